// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/config.hh"

#include "config/keys.hh"
#include "config/parsing.hh"
#include "unit.hh"

#include <algorithm>
#include <fstream>
#include <sched.h>
#include <sstream>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using dotproxy::Config;
using dotproxy::ConfigError;
using dotproxy::parse_config;
using dotproxy::test::assert_error;
using dotproxy::test::assert_error_at;
using dotproxy::test::error_of;
using dotproxy::test::in_messages;
using dotproxy::test::parse;
using dotproxy::test::scratch;
using dotproxy::test::set_up;
using dotproxy::test::setting;
using dotproxy::test::tear_down;
using dotproxy::test::tls;

namespace {

std::string read_file(const std::string& name) {
    const char* const srcdir = std::getenv("srcdir");
    const std::ifstream file{std::string{srcdir != nullptr ? srcdir : "."} + '/' + name};
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

unsigned cpus() {
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    return static_cast<unsigned>(CPU_COUNT(&set));
}

void assert_defaults(const Config& config) {
    assert_int_equal(config.workers, cpus());
    assert_string_equal(config.user.c_str(), "_dotproxy");
    assert_string_equal(config.group.c_str(), "_dotproxy");
    assert_string_equal(config.pid_file.c_str(), "");
    assert_int_equal(config.listen.size(), 2);
    assert_string_equal(config.listen[0].address.text().c_str(), "127.0.0.1:5300");
    assert_string_equal(config.listen[1].address.text().c_str(), "[::1]:5300");
    for (const auto& listen : config.listen) {
        assert_true(listen.udp && listen.tcp && !listen.dot);
    }
    assert_int_equal(config.upstreams.size(), 1);
    const auto& upstream = config.upstreams[0];
    assert_string_equal(upstream.name.c_str(), "cloudflare-dns.com");
    assert_true(upstream.pins.empty());
    assert_int_equal(upstream.addresses.size(), 4);
    assert_string_equal(upstream.addresses[0].text().c_str(), "1.1.1.1:853");
    assert_string_equal(upstream.addresses[1].text().c_str(), "1.0.0.1:853");
    assert_string_equal(upstream.addresses[2].text().c_str(), "[2606:4700:4700::1111]:853");
    assert_string_equal(upstream.addresses[3].text().c_str(), "[2606:4700:4700::1001]:853");
    assert_true(config.failover_on_error);
    assert_true(config.local_zones && config.local_zones_except.empty());
    assert_true(config.timeouts.query == 5s);
    assert_true(config.timeouts.connect == 2s);
    assert_true(config.timeouts.client_idle == 10s);
    assert_true(config.timeouts.tls_idle == 30s);
    assert_true(config.timeouts.upstream_idle == 30s);
    assert_true(config.timeouts.drain == 10s);
    assert_int_equal(config.limits.queries, 65536);
    assert_int_equal(config.limits.tcp_clients, 10000);
    assert_int_equal(config.limits.tls_clients, 2000);
    assert_true(config.certificates.empty());
    assert_int_equal(config.limits.queries_per_client, 128);
    assert_true(config.limits.cookie_secret_file.empty());
    assert_string_equal(config.control_socket.c_str(), "/run/dotproxy/control");
    assert_true(config.sandbox);
    assert_int_equal(config.cache.size, 64U << 20U);
    assert_true(config.cache.min_ttl == 0s);
    assert_true(config.cache.max_ttl == 24h);
    assert_true(config.cache.max_negative_ttl == 3h);
    assert_true(config.cache.failure_ttl == 5s);
    assert_true(config.cache.stale_after == 1800ms);
    assert_true(config.cache.max_stale == 24h);
    assert_true(config.cache.prefetch);
    assert_true(config.log.level == dotproxy::log::Level::notice);
    assert_true(config.log.target == dotproxy::log::Target::automatic);
}

void test_parse_when_empty_then_defaults(void** /*state*/) {
    assert_defaults(parse(""));
}

// The default CA file is left out on both sides, for machines that have none.
void test_parse_when_example_then_the_same_as_empty(void** /*state*/) {
    std::string example = read_file("etc/dotproxy.conf");
    const std::string ca_file = "\"/etc/ssl/certs/ca-certificates.crt\"";
    const std::size_t at = example.find(ca_file);
    assert_int_not_equal(at, std::string::npos);
    example.replace(at, ca_file.size(), '"' + scratch.path("ca.pem") + '"');
    assert_defaults(parse_config(example, "etc/dotproxy.conf"));
}

void test_parse_when_default_ca_file_is_missing_then_error_without_line(void** /*state*/) {
    std::string error;
    Config config;
    try {
        config = parse_config("", "file");
    } catch (const ConfigError& caught) {
        error = caught.what();
    }
    if (std::ifstream{"/etc/ssl/certs/ca-certificates.crt"}) {
        assert_string_equal(config.ca_file.c_str(), "/etc/ssl/certs/ca-certificates.crt");
    } else {
        assert_true(error.starts_with("file: tls.ca_file: cannot read "));
    }
}

void test_parse_when_everything_is_given_then_taken(void** /*state*/) {
    const Config config = parse(R"(
        workers = 3; user = "u"; group = "g"; pid_file = "/run/x.pid";
        control_socket = "/run/x.socket"; sandbox = "off";
        listen = ( { address = "192.0.2.1"; port = 53; protocols = ( "udp" ); },
                   { address = "192.0.2.1"; port = 53; protocols = [ "tcp" ]; } );
        upstreams = ( { name = "DNS.example."; addresses = [ "192.0.2.2" ]; port = 8853;
                        pins = ( "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
                                 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" ); },
                      { name = "2001:DB8::1"; addresses = ( "192.0.2.2" ); port = 8853; },
                      { pins = ( "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" );
                        addresses = ( "fe80::1%lo" ); } );
        failover_on_error = false;
        local_zones = false; local_zones_except = ( "Home.ARPA.", "1.10.in-addr.arpa" );
        timeouts: { query = "100ms"; connect = "100ms"; client_idle = "0s"; upstream_idle = "1h";
                    drain = "5m"; };
        limits: { queries = 64; tcp_clients = 0; queries_per_client = 65535; mode = "count";
                  client_rate = 1; client_misses = 2; client_connects = 0; block_time = "0s";
                  networks = ( { prefix = "10.8.0.0/16"; factor = 2.5; },
                               { prefix = "10.8.0.1"; factor = 0; } );
                  cookie_secret_file = "/nowhere/secret"; };
        cache: { size = "1G"; min_ttl = "1m"; max_ttl = "2m"; max_negative_ttl = "0s";
                 failure_ttl = "5m"; stale_after = "0.1s"; max_stale = "0s"; prefetch = false; };
        log: { level = "debug"; target = "syslog"; };)");
    assert_int_equal(config.workers, 3);
    assert_string_equal(config.user.c_str(), "u");
    assert_string_equal(config.group.c_str(), "g");
    assert_string_equal(config.pid_file.c_str(), "/run/x.pid");
    assert_int_equal(config.listen.size(), 2);
    assert_true(config.listen[0].udp && !config.listen[0].tcp);
    assert_true(!config.listen[1].udp && config.listen[1].tcp);
    assert_int_equal(config.upstreams.size(), 3);
    assert_string_equal(config.upstreams[0].name.c_str(), "dns.example");
    assert_int_equal(config.upstreams[0].pins.size(), 2);
    assert_int_equal(config.upstreams[0].pins[0][0], 0xe3);
    assert_string_equal(config.upstreams[0].addresses[0].text().c_str(), "192.0.2.2:8853");
    assert_string_equal(config.upstreams[1].name.c_str(), "2001:db8::1");
    assert_string_equal(config.upstreams[2].name.c_str(), "");
    assert_string_equal(config.upstreams[2].addresses[0].text().c_str(), "[fe80::1%lo]:853");
    assert_false(config.failover_on_error);
    assert_false(config.local_zones);
    assert_int_equal(config.local_zones_except.size(), 2);
    assert_memory_equal(config.local_zones_except[0].octets.data(), "\4home\4arpa", 11);
    assert_int_equal(config.local_zones_except[0].size, 11);
    assert_string_equal(config.ca_file.c_str(), scratch.path("ca.pem").c_str());
    assert_true(config.timeouts.query == 100ms);
    assert_true(config.timeouts.connect == 100ms);
    assert_true(config.timeouts.client_idle == 0s);
    assert_true(config.timeouts.upstream_idle == 1h);
    assert_true(config.timeouts.drain == 5min);
    assert_int_equal(config.limits.queries, 64);
    assert_int_equal(config.limits.tcp_clients, 0);
    assert_int_equal(config.limits.queries_per_client, 65535);
    assert_true(config.limits.mode == dotproxy::LimitsConfig::Mode::count);
    assert_int_equal(config.limits.client_rate, 1);
    assert_int_equal(config.limits.client_misses, 2);
    assert_int_equal(config.limits.client_connects, 0);
    assert_true(config.limits.block_time == 0s);
    const auto factor = [&config](const char* address) {
        const auto* const found = config.limits.networks.find(
            dotproxy::AddressBits::of(*dotproxy::Address::parse(address, 0)));
        return found == nullptr ? -1 : found->second;
    };
    assert_true(factor("10.8.0.1") == 0);
    assert_true(factor("10.8.0.2") == 2.5);
    assert_true(factor("10.9.0.1") == -1);
    assert_string_equal(config.limits.cookie_secret_file.c_str(), "/nowhere/secret");
    assert_true(config.places.cookie_secret_file.ends_with(": limits.cookie_secret_file"));
    assert_string_equal(config.control_socket.c_str(), "/run/x.socket");
    assert_false(config.sandbox);
    assert_int_equal(config.cache.size, 1U << 30U);
    assert_true(config.cache.min_ttl == 1min);
    assert_true(config.cache.max_ttl == 2min);
    assert_true(config.cache.max_negative_ttl == 0s);
    assert_true(config.cache.failure_ttl == 5min);
    assert_true(config.cache.stale_after == 100ms);
    assert_true(config.cache.max_stale == 0s);
    assert_false(config.cache.prefetch);
    assert_true(config.log.level == dotproxy::log::Level::debug);
    assert_true(config.log.target == dotproxy::log::Target::syslog);
}

// No key but one is of this type, so each key that is really read complains.
void test_parse_when_type_is_wrong_then_error_names_the_key(void** /*state*/) {
    assert_error_at(setting("limits.networks[].factor", "\"1.5\""),
                    "1: limits.networks[0].factor: is a string; give a number from 0 to 1000");
    for (const std::string& path : dotproxy::keys::all()) {
        if (path == "limits.networks[].factor") {
            continue;
        }
        const std::string text = setting(path, "1.5") + (path.starts_with("tls.") ? "" : tls);
        std::string error = "nothing";
        try {
            (void)parse_config(text, "file");
        } catch (const ConfigError& caught) {
            error = caught.what();
        }
        const std::string expected =
            "file:1: " + in_messages(path) + ": is a floating-point number; give ";
        if (!error.starts_with(expected)) {
            fail_msg("%s\ngives \"%s\"", text.c_str(), error.c_str());
        }
    }
    for (const char* const group :
         {"listen", "upstreams", "routes", "timeouts", "limits", "cache", "log"}) {
        assert_error_at(std::string{group} + " = 1;",
                        "1: " + std::string{group} + ": is an integer; give a ");
    }
}

struct Range {
    const char* path;
    const char* too_small;
    const char* least;
    const char* most;
    const char* too_large;
};

void test_parse_when_out_of_range_then_error_and_at_its_ends_none(void** /*state*/) {
    const Range ranges[] = {
        {"workers", "-1", "0", "256", "257"},
        {"listen[].port", "0", "1", "65535", "65536"},
        {"upstreams[].port", "0", "1", "65535", "65536"},
        {"limits.queries", "63", "64", "4194304", "4194305"},
        {"limits.tcp_clients", "-1", "0", "1000000", "1000001"},
        {"limits.tls_clients", "-1", "0", "1000000", "1000001"},
        {"limits.queries_per_client", "0", "1", "65535", "65536"},
        {"limits.client_rate", "-1", "0", "1000000", "1000001"},
        {"limits.client_misses", "-1", "0", "1000000", "1000001"},
        {"limits.client_connects", "-1", "0", "1000000", "1000001"},
        {"limits.block_time", "\"0.5s\"", "\"0s\"", "\"1h\"", "\"61m\""},
        {"limits.networks[].factor", "0.009", "0.01", "1000", "1000.1"},
        {"timeouts.query", "\"99ms\"", "\"100ms\"", "\"60s\"", "\"60001ms\""},
        {"timeouts.client_idle", "\"\"", "\"0s\"", "\"1h\"", "\"61m\""},
        {"timeouts.tls_idle", "\"\"", "\"0s\"", "\"1h\"", "\"61m\""},
        {"timeouts.upstream_idle", "\"\"", "\"0s\"", "\"1h\"", "\"1d\""},
        {"timeouts.drain", "\"\"", "\"0s\"", "\"5m\"", "\"301s\""},
        {"cache.size", "\"1023k\"", "\"1M\"", sizeof(void*) < 8 ? "\"1G\"" : "\"64G\"", "\"65G\""},
        {"cache.min_ttl", "\"\"", "\"0s\"", "\"1d\"", "\"25h\""},
        {"cache.max_ttl", "\"0s\"", "\"1s\"", "\"7d\"", "\"8d\""},
        {"cache.max_negative_ttl", "\"\"", "\"0s\"", "\"1d\"", "\"25h\""},
        {"cache.failure_ttl", "\"0s\"", "\"1s\"", "\"5m\"", "\"301s\""},
        {"cache.stale_after", "\"\"", "\"0s\"", "\"5s\"", "\"5001ms\""},
        {"cache.max_stale", "\"\"", "\"0s\"", "\"7d\"", "\"8d\""},
        {"timeouts.connect", "\"49ms\"", "\"50ms\"", "\"5s\"", "\"31s\""},
    };
    for (const Range& range : ranges) {
        const std::string front = "1: " + in_messages(range.path) + ": ";
        assert_error_at(setting(range.path, range.too_small), front);
        assert_error_at(setting(range.path, range.too_large), front);
        assert_string_equal(error_of(setting(range.path, range.least)).c_str(), "nothing");
        assert_string_equal(error_of(setting(range.path, range.most)).c_str(), "nothing");
    }
}

// 2^32 + 1, which libconfig 1.5 would cut down to 1.
void test_parse_when_integer_is_beyond_32_bits_then_error(void** /*state*/) {
    assert_error("workers = 4294967297;", "1: workers: is out of range; give 0 to 256");
    assert_error("workers = -4294967295;", "1: workers: is out of range; give 0 to 256");
    assert_error("workers = 0x100000001;", "1: workers: is out of range; give 0 to 256");
    assert_error("workers = 18446744073709551617;", "1: workers: is out of range; give 0 to 256");
}

void test_parse_when_key_is_unknown_then_the_nearest_is_suggested(void** /*state*/) {
    assert_error("\nwokers = 1;", "2: wokers: unknown key; did you mean workers?");
    assert_error("timeouts = { querry = \"1s\"; };",
                 "1: timeouts.querry: unknown key; did you mean query?");
    assert_error("upstreams = ( { adresses = (); } );",
                 "1: upstreams[0].adresses: unknown key; did you mean addresses?");
    assert_error("listen = ( { address = \"::1\"; },\n{ host = \"::1\"; } );",
                 "2: listen[1].host: unknown key; give one of address, port, protocols, allow, "
                 "path, cors, trusted or proxy_protocol");
    assert_error("upstreams = 1;\nsandbox_ = \"on\";",
                 "2: sandbox_: unknown key; did you mean sandbox?");
    assert_error("query = \"1s\";", "1: query: unknown key; give timeouts: { query = VALUE; };");
    assert_error("protocols = ();", "1: protocols: unknown key; give it in an element of listen");
    assert_error("cache = {\nworkers = 1; };",
                 "2: cache.workers: unknown key; give it outside of all groups");
    assert_error("forward-zone = 1;", "1: forward-zone: unknown key; it is from unbound.conf; give "
                                      "what dotproxy.conf(5) describes");
    assert_error("log = { colour = true; };",
                 "1: log.colour: unknown key; give one of level or target");
    assert_error("tls_ca_file_name = 1;",
                 "1: tls_ca_file_name: unknown key; give one of workers, user, group, pid_file, "
                 "listen, upstreams, tls, timeouts, limits, log, local_zones, cache, "
                 "control_socket, sandbox, local_zones_except, failover_on_error, allow or "
                 "routes");
}

void test_parse_when_exception_is_in_no_local_zone_then_error(void** /*state*/) {
    for (const std::string name : {".", "arpa", "in-addr.arpa", "172.in-addr.arpa", "example.com",
                                   "resolver.arpa", "a.resolver.arpa"}) {
        assert_error("local_zones_except = ( \"home.arpa\",\n\"" + name + "\" );",
                     "2: local_zones_except[1]: \"" + name +
                         "\" is not within a zone that local_zones is about; give one that is, "
                         "such as \"home.arpa\" or \"10.in-addr.arpa\"");
    }
    assert_error("local_zones_except = ( \"a..test\" );",
                 "1: local_zones_except[0]: \"a..test\" is not a domain name; give one such as "
                 "\"home.arpa\"");
    assert_error("local_zones_except = ( \"a.test\", \"A.test.\" );",
                 "1: local_zones_except[1]: \"A.test.\" is given twice; give each name once");
}

void test_parse_when_duration_has_no_unit_then_hint(void** /*state*/) {
    assert_error("timeouts = { query = 5; };",
                 "1: timeouts.query: 5 has no unit; for seconds write \"5s\", in quotes");
    assert_error("timeouts = { query = \"5\"; };",
                 "1: timeouts.query: \"5\" is not a duration; give a number and its unit, "
                 "ms, s, m, h or d, such as \"5s\"");
    assert_error("timeouts = { query = \"2m\"; };",
                 "1: timeouts.query: \"2m\" is out of range; give \"100ms\" to \"1m\"");
}

void test_parse_when_connect_exceeds_query_then_error(void** /*state*/) {
    assert_error("timeouts = { connect = \"3s\";\n query = \"2s\"; };",
                 "1: timeouts.connect: is longer than timeouts.query; give at most \"2s\"");
    assert_true(parse("timeouts = { query = \"1s\"; };").timeouts.connect == 1s);
}

void test_parse_when_min_ttl_exceeds_max_ttl_then_error(void** /*state*/) {
    assert_error("cache = {\nmin_ttl = \"2d\"; };",
                 "2: cache.min_ttl: is longer than cache.max_ttl; give at most \"1d\"");
    assert_error("cache = { max_ttl = \"1m\";\nmin_ttl = \"90s\"; };",
                 "2: cache.min_ttl: is longer than cache.max_ttl; give at most \"1m\"");
}

// Who lowers the one need not know of the other.
void test_parse_when_stale_after_exceeds_query_then_error_or_less(void** /*state*/) {
    assert_error("timeouts = { query = \"1s\"; }; cache = { stale_after = \"1.8s\"; };",
                 "1: cache.stale_after: \"1.8s\" is out of range; give \"0s\" to \"1s\"");
    assert_true(parse("timeouts = { query = \"1s\"; };").cache.stale_after == 1s);
    assert_true(
        parse("cache = { size = \"2M\"; }; timeouts = { query = \"1s\"; };").cache.stale_after ==
        1s);
}

void test_parse_when_ttl_is_no_whole_second_then_error(void** /*state*/) {
    assert_error("cache = { max_ttl = \"90500ms\"; };",
                 "1: cache.max_ttl: \"90500ms\" is not a whole number of seconds; give \"90s\" "
                 "or \"91s\"");
    assert_true(parse("cache = { max_ttl = \"1.5m\"; };").cache.max_ttl == 90s);
}

void test_parse_when_size_is_none_then_hint(void** /*state*/) {
    const std::string most = sizeof(void*) < 8 ? "1G" : "64G";
    assert_error("cache = { size = 64; };",
                 "1: cache.size: is an integer; give a size in quotes, from \"1M\" to \"" + most +
                     "\", or \"0\"");
    assert_error("cache = { size = \"64MB\"; };",
                 "1: cache.size: \"64MB\" is not a size; give a whole number, alone or with k, M "
                 "or G, such as \"64M\"");
    assert_error("cache = { size = \"1\"; };", "1: cache.size: \"1\" is out of range; give "
                                               "\"1M\" to \"" +
                                                   most + "\", or \"0\"");
    assert_int_equal(parse("cache = { size = \"0\"; };").cache.size, 0);
}

void test_parse_when_control_socket_can_be_no_path_of_one_then_error(void** /*state*/) {
    const std::string longest = '/' + std::string(106, 'x');
    assert_error("control_socket = \"control\";",
                 "1: control_socket: \"control\" is a relative path; give an absolute one, or "
                 "\"\" for none");
    assert_error_at("control_socket = \"" + longest + "x\";", "1: control_socket: \"/xxx");
    assert_string_equal(parse("control_socket = \"" + longest + "\";").control_socket.c_str(),
                        longest.c_str());
    assert_string_equal(parse("control_socket = \"\";").control_socket.c_str(), "");
}

void test_parse_when_word_is_unknown_then_error_lists_the_known(void** /*state*/) {
    assert_error("log = { level = \"warn\"; };", "1: log.level: \"warn\" is not known here; give "
                                                 "error, warning, notice, info or debug");
    assert_error(setting("listen[].protocols", "( \"sctp\" )"),
                 "1: listen[0].protocols[0]: \"sctp\" is not known here; give udp, tcp, "
                 "dot, doh or http");
}

// Text that the usual settings would follow has its own group of this name.
void test_parse_when_key_in_tls_is_unknown_then_the_known_are_named(void** /*state*/) {
    try {
        (void)parse_config("tls = {\n colour = 1; };", "file");
        fail_msg("it was taken");
    } catch (const ConfigError& error) {
        assert_string_equal(error.what(), "file:2: tls.colour: unknown key; give one of ca_file or "
                                          "certificates");
    }
}

// L64
void test_parse_when_ca_file_cannot_be_read_then_error(void** /*state*/) {
    const auto error = [](const std::string& path) {
        try {
            (void)parse_config("tls = { ca_file = \"" + path + "\"; };", "file");
            return std::string{"nothing"};
        } catch (const ConfigError& caught) {
            return std::string{caught.what()};
        }
    };
    assert_true(error("/nowhere/ca.pem")
                    .starts_with("file:1: tls.ca_file: cannot read \"/nowhere/ca.pem\": No such "
                                 "file or directory; give "));
    assert_true(error("/").starts_with("file:1: tls.ca_file: cannot read \"/\": not a regular "));
    assert_true(error("ca.pem").starts_with("file:1: tls.ca_file: \"ca.pem\" is a relative "));
    assert_true(error("").starts_with("file:1: tls.ca_file: is empty; "));
}

void test_parse_when_path_of_pid_file_is_relative_then_error(void** /*state*/) {
    assert_error_at("pid_file = \"x.pid\";", "1: pid_file: \"x.pid\" is a relative path; ");
}

void test_load_when_error_is_in_an_included_file_then_that_is_named(void** /*state*/) {
    const std::string inner = scratch.write("inner", "\ntimeouts = { query = 5; };\n");
    const std::string outer = scratch.write("outer", "workers = 1;\n@include \"inner\"\n" + tls);
    try {
        (void)dotproxy::load_config(outer);
        fail_msg("it was taken");
    } catch (const ConfigError& error) {
        assert_true(std::string{error.what()}.starts_with(inner + ":2: timeouts.query: 5 has no"));
    }
    scratch.write("inner", "timeouts = { query = \"7s\"; };\n");
    assert_true(dotproxy::load_config(outer).timeouts.query == 7s);
}

void test_keys_then_they_are_those_of_the_manual_page(void** /*state*/) {
    const std::string page = read_file("man/dotproxy.conf.5");
    const std::string item = "\n.It Ic ";
    std::vector<std::string> described;
    for (std::size_t at = 0; (at = page.find(item, at)) != std::string::npos;) {
        at += item.size();
        described.push_back(page.substr(at, page.find(' ', at) - at));
    }
    std::vector<std::string> known = dotproxy::keys::all();
    std::ranges::sort(described);
    std::ranges::sort(known);
    for (const std::string& key : known) {
        if (!std::ranges::binary_search(described, key)) {
            fail_msg("dotproxy.conf(5) does not describe %s", key.c_str());
        }
    }
    assert_int_equal(described.size(), known.size());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_when_empty_then_defaults),
        cmocka_unit_test(test_parse_when_example_then_the_same_as_empty),
        cmocka_unit_test(test_parse_when_default_ca_file_is_missing_then_error_without_line),
        cmocka_unit_test(test_parse_when_everything_is_given_then_taken),
        cmocka_unit_test(test_parse_when_type_is_wrong_then_error_names_the_key),
        cmocka_unit_test(test_parse_when_out_of_range_then_error_and_at_its_ends_none),
        cmocka_unit_test(test_parse_when_integer_is_beyond_32_bits_then_error),
        cmocka_unit_test(test_parse_when_key_is_unknown_then_the_nearest_is_suggested),
        cmocka_unit_test(test_parse_when_key_in_tls_is_unknown_then_the_known_are_named),
        cmocka_unit_test(test_parse_when_exception_is_in_no_local_zone_then_error),
        cmocka_unit_test(test_parse_when_duration_has_no_unit_then_hint),
        cmocka_unit_test(test_parse_when_connect_exceeds_query_then_error),
        cmocka_unit_test(test_parse_when_min_ttl_exceeds_max_ttl_then_error),
        cmocka_unit_test(test_parse_when_stale_after_exceeds_query_then_error_or_less),
        cmocka_unit_test(test_parse_when_ttl_is_no_whole_second_then_error),
        cmocka_unit_test(test_parse_when_size_is_none_then_hint),
        cmocka_unit_test(test_parse_when_control_socket_can_be_no_path_of_one_then_error),
        cmocka_unit_test(test_parse_when_word_is_unknown_then_error_lists_the_known),
        cmocka_unit_test(test_parse_when_ca_file_cannot_be_read_then_error),
        cmocka_unit_test(test_parse_when_path_of_pid_file_is_relative_then_error),
        cmocka_unit_test(test_load_when_error_is_in_an_included_file_then_that_is_named),
        cmocka_unit_test(test_keys_then_they_are_those_of_the_manual_page),
    };
    return cmocka_run_group_tests_name("config/load", tests, set_up, tear_down);
}
