// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Where to listen and whom to ask: the lists `listen` and `upstreams`.

#include "config/parsing.hh"
#include "unit.hh"

#include <string>
#include <utility>

using dotproxy::Config;
using dotproxy::test::assert_error;
using dotproxy::test::assert_error_at;
using dotproxy::test::error_of;
using dotproxy::test::parse;
using dotproxy::test::scratch;
using dotproxy::test::set_up;
using dotproxy::test::setting;
using dotproxy::test::tear_down;

namespace {

void test_parse_when_list_is_empty_then_error(void** /*state*/) {
    assert_error_at("listen = ();", "1: listen: is empty; give at least one");
    assert_error_at("upstreams = ();", "1: upstreams: is empty; give at least one");
    assert_error_at(setting("listen[].protocols", "()"), "1: listen[0].protocols: is empty");
    assert_error_at(setting("upstreams[].addresses", "()"), "1: upstreams[0].addresses: is empty");
    assert_error_at("listen = { address = \"::1\"; };", "1: listen: is a group; give a list");
}

void test_parse_when_something_required_is_missing_then_error(void** /*state*/) {
    assert_error("listen = ( { port = 53; } );",
                 "1: listen[0]: has no address; give address = \"127.0.0.1\"");
    assert_error("upstreams = ( { name = \"a.example\"; } );",
                 "1: upstreams[0]: has no addresses; give addresses = ( \"192.0.2.1\" )");
}

// C62
void test_parse_when_upstream_cannot_be_verified_then_error(void** /*state*/) {
    for (const char* const identity : {"", "name = \"\";", "name = \"\"; pins = ();"}) {
        assert_error_at("upstreams = ( { addresses = ( \"192.0.2.1\" ); " + std::string{identity} +
                            " } );",
                        "1: upstreams[0]: has neither name nor pins, so nothing to verify the "
                        "server by; ");
    }
    assert_error_at(setting("upstreams[].name", "\"192.0.2.300\""),
                    "1: upstreams[0].name: \"192.0.2.300\" is neither a DNS name nor an IP ");
    assert_error_at(setting("upstreams[].pins", "( \"sha256\" )"),
                    "1: upstreams[0].pins[0]: \"sha256\" is not a pin; ");
}

std::string with_url(const std::string& url, const std::string& more = "") {
    return "upstreams = ( { url = \"" + url + "\"; addresses = ( \"192.0.2.1\" ); " + more +
           " } );";
}

void test_parse_when_an_upstream_has_a_url_then_that_says_whom_to_ask(void** /*state*/) {
    const Config config = parse(with_url("https://DNS.example:8443/q?a=b{?dns}"));
    const auto& upstream = config.upstreams.at(0);
    assert_true(upstream.is_https() && !upstream.plain);
    assert_string_equal(upstream.name.c_str(), "dns.example");
    assert_string_equal(upstream.authority.c_str(), "dns.example:8443");
    assert_string_equal(upstream.path.c_str(), "/q?a=b");
    assert_string_equal(upstream.text(upstream.addresses.at(0)).c_str(),
                        "https://dns.example:8443/q?a=b at 192.0.2.1:8443");
    assert_int_equal(parse(with_url("https://dns.example/")).upstreams[0].addresses[0].port(), 443);
    assert_string_equal(parse(with_url("https://[2001:DB8::1]/q")).upstreams[0].name.c_str(),
                        "2001:db8::1");
    // E90: another path is another resolver.
    assert_string_equal(
        error_of("upstreams = ( { url = \"https://a.example/1\"; addresses = ( \"192.0.2.1\" ); },"
                 "{ url = \"https://a.example/2\"; addresses = ( \"192.0.2.1\" ); } );")
            .c_str(),
        "nothing");
}

void test_parse_when_a_url_cannot_be_used_then_error(void** /*state*/) {
    assert_error(with_url("http://dns.example/dns-query"),
                 "1: upstreams[0].url: \"http://dns.example/dns-query\" does not begin with "
                 "https://; give the URL of a resolver, such as "
                 "\"https://dns.example/dns-query\"");
    assert_error_at(with_url("https://dns.example"),
                    "1: upstreams[0].url: \"https://dns.example\" has no path; ");
    assert_error(with_url("https://dns.example/q", "port = 8443;"),
                 "1: upstreams[0].port: is in the url already; leave it out");
    assert_error(with_url("https://dns.example/q", "name = \"dns.example\";"),
                 "1: upstreams[0].name: is in the url already; leave it out");
    assert_error(with_url("https://dns.example/q", "group = \"g\"; transport = \"plain\";"),
                 "1: upstreams[0].url: is of no use, since nobody is verified in the clear; leave "
                 "it out");
}

void test_parse_when_an_upstream_has_a_way_out_then_taken(void** /*state*/) {
    const std::string one = "name = \"a.example\"; addresses = ( \"192.0.2.1\" ); ";
    const Config config = parse("upstreams = ( { " + one + " source = \"10.8.0.2\"; }, { " + one +
                                " interface = \"wg0\"; }, { " + one + " } );");
    const auto text = [&config](std::size_t i) {
        return config.upstreams.at(i).text(config.upstreams[i].addresses.at(0));
    };
    assert_string_equal(text(0).c_str(), "a.example at 192.0.2.1:853 from 10.8.0.2");
    assert_string_equal(text(1).c_str(), "a.example at 192.0.2.1:853 through wg0");
    assert_string_equal(text(2).c_str(), "a.example at 192.0.2.1:853");
    assert_int_equal(config.upstreams[0].source->port(), 0);

    assert_error(setting("upstreams[].source", "\"2001:db8::1\""),
                 "1: upstreams[0].addresses[0]: 192.0.2.1 cannot be asked from 2001:db8::1, which "
                 "is of the other family; give it an upstream of its own");
    assert_error(setting("upstreams[].source", "\"0.0.0.0\""),
                 "1: upstreams[0].source: is no single address; give one that this machine has, or "
                 "leave it out");
    for (const char* const name :
         {"a/b", "..", "of:sixteen-octet", "an interface", "0123456789abcdef"}) {
        assert_error(setting("upstreams[].interface", "\"" + std::string{name} + "\""),
                     "1: upstreams[0].interface: \"" + std::string{name} +
                         "\" is no name of an interface; give one that ip link shows, such as "
                         "\"wg0\"");
    }
}

void test_parse_when_address_cannot_be_used_then_error(void** /*state*/) {
    const auto listen = [](const char* address) {
        return setting("listen[].address", '"' + std::string{address} + '"');
    };
    const std::string front = "1: listen[0].address: ";
    assert_error(setting("listen[].address", "\"localhost\""),
                 front + "\"localhost\" is not an IP address; give one of this machine, such as "
                         "\"127.0.0.1\", or \"0.0.0.0\" or \"::\" for all that it has (a port has "
                         "its own key)");
    assert_error_at(listen("127.0.0.1:53"), front + "\"127.0.0.1:53\" is not an IP address; ");
    assert_error_at(listen(""), front + "is empty; give a string such as \"0.0.0.0\"");
    assert_error_at(listen("224.0.0.1"), front + "\"224.0.0.1\" is a multicast ");
    assert_error_at(listen("255.255.255.255"), front + "\"255.255.255.255\" is a multicast or ");
    assert_error_at(listen("ff02::1%lo"), front + "\"ff02::1%lo\" is a multicast ");
    assert_error_at(listen("::ffff:127.0.0.1"), front + "\"::ffff:127.0.0.1\" is an IPv4 ");
    assert_error_at(listen("fe80::1"), front + "\"fe80::1\" is on every link; ");
    assert_error_at(listen("fe80::1%none"), front + "there is no interface \"none\"; ");
    assert_string_equal(error_of(listen("0.0.0.0")).c_str(), "nothing");
    assert_error(setting("upstreams[].addresses", "( \"192.0.2.1\", \"::\" )"),
                 "1: upstreams[0].addresses[1]: \"::\" is not the address of a server; give one "
                 "such as \"192.0.2.1\"");
}

void test_parse_when_listener_is_given_twice_then_error(void** /*state*/) {
    assert_error("listen = ( { address = \"::1\"; protocols = ( \"tcp\" ); },\n"
                 "           { address = \"0::1\"; } );",
                 "2: listen[1].address: [::1]:5300 is already in listen[0]; give each address, "
                 "port and protocol once");
    assert_error_at(setting("listen[].protocols", "( \"udp\", \"udp\" )"),
                    "1: listen[0].protocols[1]: is given twice; ");
    assert_string_equal(error_of("listen = ( { address = \"::1\"; },\n"
                                 "           { address = \"::1\"; port = 53; } );")
                            .c_str(),
                        "nothing");
}

// The kernel lets neither be bound when the other one is there.
void test_parse_when_listener_includes_another_then_error(void** /*state*/) {
    assert_error("listen = ( { address = \"127.0.0.1\"; protocols = ( \"tcp\" ); },\n"
                 "           { address = \"0.0.0.0\"; } );",
                 "2: listen[1].address: 0.0.0.0:5300 includes 127.0.0.1:5300 in listen[0]; give "
                 "either \"0.0.0.0\" or single addresses");
    assert_error("listen = ( { address = \"::\"; },\n           { address = \"::1\"; } );",
                 "2: listen[1].address: [::1]:5300 is included in [::]:5300 in listen[0]; give "
                 "either \"::\" or single addresses");
    for (const char* const apart :
         {"{ address = \"0.0.0.0\"; }, { address = \"::1\"; }, { address = \"::2\"; }",
          "{ address = \"0.0.0.0\"; }, { address = \"::\"; }",
          "{ address = \"0.0.0.0\"; }, { address = \"127.0.0.1\"; port = 53; }",
          "{ address = \"0.0.0.0\"; protocols = ( \"tcp\" ); },"
          "{ address = \"127.0.0.1\"; protocols = ( \"udp\" ); }"}) {
        assert_string_equal(error_of("listen = ( " + std::string{apart} + " );").c_str(),
                            "nothing");
    }
}

// L37: the same address with another name is another server.
void test_parse_when_server_is_given_twice_then_error(void** /*state*/) {
    assert_error("upstreams = (\n{ name = \"a.example\"; addresses = ( \"192.0.2.1\" ); },\n"
                 "{ name = \"A.example.\"; addresses = ( \"192.0.2.2\", \"192.0.2.1\" ); } );",
                 "3: upstreams[1].addresses: 192.0.2.1:853 is already in upstreams[0] with the "
                 "same name; give each server once");
    assert_error_at(setting("upstreams[].addresses", "( \"::1\", \"::1\" )"),
                    "1: upstreams[0].addresses[1]: \"::1\" is given twice; ");
    assert_string_equal(
        error_of("upstreams = ( { name = \"a.example\"; addresses = ( \"192.0.2.1\" ); },"
                 "{ name = \"b.example\"; addresses = ( \"192.0.2.1\" ); },"
                 "{ name = \"a.example\"; addresses = ( \"192.0.2.1\" ); port = 443; } );")
            .c_str(),
        "nothing");
}

// An upstream's own file stands in place of the common one, which then need not be there.
void test_parse_when_upstream_has_a_ca_file_then_that_vouches_for_it(void** /*state*/) {
    const std::string own = scratch.write("own.pem", "");
    const std::string first =
        "{ name = \"a.example\"; addresses = ( \"192.0.2.1\" );\n ca_file = \"" + own + "\"; }";
    const Config config = parse("upstreams = ( " + first +
                                ", { name = \"b.example\"; addresses = ( \"192.0.2.2\" ); } );\n");
    assert_string_equal(config.upstreams[0].ca_file.c_str(), own.c_str());
    assert_string_equal(config.upstreams[0].ca_place.c_str(), "file:2: upstreams[0].ca_file");
    assert_string_equal(config.upstreams[1].ca_file.c_str(), scratch.path("ca.pem").c_str());
    assert_string_equal(config.upstreams[1].ca_place.c_str(), "file:3: tls.ca_file");
    const Config alone = dotproxy::parse_config("upstreams = ( " + first + " );", "file");
    assert_string_equal(alone.upstreams[0].ca_file.c_str(), own.c_str());
    assert_error_at(setting("upstreams[].ca_file", "\"/nowhere/ca.pem\""),
                    "1: upstreams[0].ca_file: cannot read \"/nowhere/ca.pem\": No such file or "
                    "directory; give ");
    assert_error_at(setting("upstreams[].ca_file", "\"ca.pem\""),
                    "1: upstreams[0].ca_file: \"ca.pem\" is a relative path; ");
}

/// A configuration with listeners and, in its own `tls`, certificates.
Config parse_secure(const std::string& listen, const std::string& certificates) {
    return dotproxy::parse_config(listen + "\ntls: { ca_file = \"" + scratch.path("ca.pem") +
                                      "\"; certificates = " + certificates + "; };",
                                  "file");
}

constexpr auto pair = "( { chain = \"/chain.pem\"; key = \"/key.pem\"; } )";

// 853 where nothing else is served there (RFC 7858, section 3.1).
void test_parse_when_a_listener_speaks_tls_then_so_it_does(void** /*state*/) {
    const Config config = parse_secure("listen = ( { address = \"::1\"; protocols = ( \"dot\" ); },"
                                       " { address = \"127.0.0.1\"; port = 853;"
                                       " protocols = ( \"udp\", \"tcp\" ); },"
                                       " { address = \"127.0.0.2\";"
                                       " protocols = ( \"dot\", \"udp\" ); } );",
                                       pair);
    assert_string_equal(config.listen[0].address.text().c_str(), "[::1]:853");
    assert_true(config.listen[0].dot && !config.listen[0].udp && !config.listen[0].tcp);
    assert_true(config.listen[0].takes(dotproxy::Protocol::tcp));
    assert_true(config.listen[0].speaks_tls());
    assert_false(config.listen[1].speaks_tls());
    assert_string_equal(config.listen[2].address.text().c_str(), "127.0.0.2:5300");
    assert_true(config.listen[2].dot && config.listen[2].udp);
    assert_int_equal(config.certificates.size(), 1);
    assert_string_equal(config.certificates[0].chain.c_str(), "/chain.pem");
    assert_string_equal(config.certificates[0].key.c_str(), "/key.pem");
    assert_string_equal(config.certificates[0].key_place.c_str(),
                        "file:2: tls.certificates[0].key");
}

// E3
void test_parse_when_tls_lacks_something_then_error(void** /*state*/) {
    assert_error_at("listen = ( { address = \"::1\";\n protocols = ( \"udp\", \"dot\" ); } );",
                    "2: listen[0].protocols[1]: this takes a certificate, and there is none; ");
    assert_error_at(setting("listen[].protocols", "( \"dot\", \"tcp\" )"),
                    "1: listen[0].protocols[1]: \"tcp\" and \"dot\" cannot be had on one port; ");
    assert_error_at("listen = ( { address = \"::1\"; port = 853; },"
                    " { address = \"::1\"; protocols = ( \"dot\" ); } );",
                    "1: listen[1].address: [::1]:853 is already in listen[0]; ");
    for (const auto& [list, expected] :
         {std::pair{pair, "file:2: tls.certificates: no listener uses them; "},
          std::pair{"( { chain = \"/chain.pem\"; } )",
                    "file:2: tls.certificates[0]: has no key; give key = \"/etc/"},
          std::pair{"( { key = \"/key.pem\"; } )", "file:2: tls.certificates[0]: has no chain; "},
          std::pair{"( { chain = \"chain.pem\"; key = \"/key.pem\"; } )",
                    "file:2: tls.certificates[0].chain: \"chain.pem\" is a relative path; "}}) {
        try {
            (void)parse_secure("", list);
            fail_msg("it was taken");
        } catch (const dotproxy::ConfigError& error) {
            if (!std::string{error.what()}.starts_with(expected)) {
                fail_msg("%s", error.what());
            }
        }
    }
}

// E23, E60, E70: what a listener speaks over HTTP, and with whom.
void test_parse_when_listener_speaks_http_then_taken(void** /*state*/) {
    const Config config = parse_secure(
        "listen = ( { address = \"::1\"; protocols = ( \"doh\" ); path = \"/q\"; cors = true; },"
        " { address = \"127.0.0.1\"; protocols = ( \"doh\", \"dot\" ); },"
        " { address = \"127.0.0.2\"; port = 8053; protocols = ( \"http\" );"
        " trusted = ( \"127.0.0.1\", \"10.0.0.0/8\" ); } );",
        pair);
    const dotproxy::ListenConfig& https = config.listen[0];
    assert_true(https.doh && https.speaks_tls() && !https.dot && !https.tcp && !https.udp);
    assert_int_equal(https.address.port(), 443);
    assert_string_equal(https.path.c_str(), "/q");
    assert_true(https.cors && https.trusted.empty());
    assert_true(config.listen[1].doh && config.listen[1].dot);
    assert_int_equal(config.listen[1].address.port(), 853);
    assert_string_equal(config.listen[1].path.c_str(), "/dns-query");
    const dotproxy::ListenConfig& http = config.listen[2];
    assert_true(http.http && !http.speaks_tls() && http.takes(dotproxy::Protocol::tcp));
    assert_true(http.trusts(*dotproxy::Address::parse("10.1.2.3", 1)));
    assert_false(http.trusts(*dotproxy::Address::parse("11.1.2.3", 1)));
}

void test_parse_when_listener_over_http_makes_no_sense_then_error(void** /*state*/) {
    const auto refuse = [](const std::string& rest, const std::string& error) {
        assert_error_at("listen = ( { address = \"127.0.0.1\"; " + rest + " } );", error);
    };
    refuse("protocols = ( \"http\" );",
           "1: listen[0]: \"http\" is for proxies, and none is trusted; ");
    refuse("protocols = ( \"http\", \"tcp\" ); trusted = ( \"127.0.0.1\" );",
           "1: listen[0].protocols[1]: \"http\" cannot be had on one port with another ");
    refuse("protocols = ( \"tcp\", \"doh\" );",
           "1: listen[0].protocols[1]: \"tcp\" and \"doh\" cannot be had on one port; ");
    refuse("path = \"/dns-query\";", "1: listen[0].path: is of no use without HTTP; ");
    refuse("trusted = ( \"127.0.0.1\" );", "1: listen[0].trusted: is of no use without a proxy; ");
    refuse("protocols = ( \"doh\" ); trusted = ( \"x\" );",
           "1: listen[0].trusted[0]: \"x\" is not a network; ");
    for (const char* const everybody : {"0.0.0.0/0", "::/0"}) {
        refuse("protocols = ( \"http\" ); trusted = ( \"" + std::string{everybody} + "\" );",
               "1: listen[0].trusted[0]: \"" + std::string{everybody} + "\" is everybody, ");
    }
    refuse("protocols = ( \"doh\" ); trusted = ( \"10.0.0.0/8\", \"10.0.0.0/8\" );",
           "1: listen[0].trusted[1]: \"10.0.0.0/8\" is given twice; ");
    for (const char* const path :
         {"dns-query", "/dns-query{?dns}", "/a b", "/%2f", "/#", "/\\\\"}) {
        refuse("protocols = ( \"doh\" ); path = \"" + std::string{path} + "\";",
               "1: listen[0].path: ");
    }
}

// E74: a proxy that announces its clients, of every protocol; nobody else is believed.
void test_parse_when_proxies_announce_their_clients_then_taken(void** /*state*/) {
    const Config config = parse_secure(
        "listen = ( { address = \"127.0.0.1\"; proxy_protocol = true; trusted = ( \"10.0.0.0/8\" "
        "); },"
        " { address = \"127.0.0.1\"; protocols = ( \"dot\" ); proxy_protocol = true;"
        " trusted = ( \"::1\" ); }, { address = \"127.0.0.2\"; proxy_protocol = false; } );",
        pair);
    assert_true(config.listen[0].proxy_protocol && config.listen[0].udp);
    assert_true(config.listen[0].trusts(*dotproxy::Address::parse("10.1.2.3", 1)));
    assert_true(config.listen[1].proxy_protocol);
    assert_false(config.listen[2].proxy_protocol);
    assert_error_at("listen = ( { address = \"127.0.0.1\"; proxy_protocol = true; } );",
                    "1: listen[0]: proxy_protocol is for proxies, and none is trusted; ");
    assert_error_at("listen = ( { address = \"127.0.0.1\"; proxy_protocol = true;"
                    " trusted = ( \"0.0.0.0/0\" ); } );",
                    "1: listen[0].trusted[0]: \"0.0.0.0/0\" is everybody, ");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_when_listener_speaks_http_then_taken),
        cmocka_unit_test(test_parse_when_listener_over_http_makes_no_sense_then_error),
        cmocka_unit_test(test_parse_when_proxies_announce_their_clients_then_taken),
        cmocka_unit_test(test_parse_when_list_is_empty_then_error),
        cmocka_unit_test(test_parse_when_something_required_is_missing_then_error),
        cmocka_unit_test(test_parse_when_upstream_cannot_be_verified_then_error),
        cmocka_unit_test(test_parse_when_an_upstream_has_a_url_then_that_says_whom_to_ask),
        cmocka_unit_test(test_parse_when_a_url_cannot_be_used_then_error),
        cmocka_unit_test(test_parse_when_an_upstream_has_a_way_out_then_taken),
        cmocka_unit_test(test_parse_when_address_cannot_be_used_then_error),
        cmocka_unit_test(test_parse_when_listener_is_given_twice_then_error),
        cmocka_unit_test(test_parse_when_listener_includes_another_then_error),
        cmocka_unit_test(test_parse_when_server_is_given_twice_then_error),
        cmocka_unit_test(test_parse_when_upstream_has_a_ca_file_then_that_vouches_for_it),
        cmocka_unit_test(test_parse_when_a_listener_speaks_tls_then_so_it_does),
        cmocka_unit_test(test_parse_when_tls_lacks_something_then_error),
    };
    return cmocka_run_group_tests_name("config/load_servers", tests, set_up, tear_down);
}
