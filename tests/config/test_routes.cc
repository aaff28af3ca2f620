// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Which group is asked about which names: `upstreams[].group` and `routes`.

#include "config/routes.hh"

#include "config/parsing.hh"
#include "dns/name_text.hh"

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <utility>
#include <vector>

using dotproxy::Config;
using dotproxy::Route;
using dotproxy::Routes;
using dotproxy::dns::Name;
using dotproxy::dns::parse_name;
using dotproxy::dns::same_name;
using namespace dotproxy::test;

namespace {

const std::string upstreams =
    R"(upstreams = ( { name = "dns.example"; addresses = ( "192.0.2.1" ); },
        { group = "corp"; name = "ns.example"; addresses = ( "192.0.2.2" ); },
        { group = "lab"; name = "ns.example"; addresses = ( "192.0.2.2" ); },
        { group = "corp"; name = "ns.example"; addresses = ( "192.0.2.3" ); } );
)";

std::string with_routes(const std::string& routes) {
    return upstreams + "routes = ( " + routes + " );";
}

/// The number of the group that is asked about a name; -1: no route is for it.
int find(const Routes& routes, const std::string& name) {
    const auto group = routes.find(parse_name(name)->view());
    return group ? *group : -1;
}

Routes routes_of(const std::vector<std::pair<std::string, std::uint8_t>>& domains) {
    std::vector<Route> all;
    for (const auto& [domain, group] : domains) {
        all.push_back({.domain = *parse_name(domain), .group = group});
    }
    return Routes{std::move(all)};
}

void test_find_when_no_route_is_for_it_then_none(void** /*state*/) {
    assert_int_equal(find(Routes{}, "www.example"), -1);
    assert_int_equal(find(routes_of({}), "."), -1);
    const Routes routes = routes_of({{"corp.example", 1}, {"b.example", 1}});
    for (const char* const name : {".", "example", "xcorp.example", "corp.example.org",
                                   "a\\.b.example", "corp", "corp.examplf"}) {
        if (find(routes, name) != -1) {
            fail_msg("%s has a route", name);
        }
    }
}

void test_find_when_in_several_domains_then_the_longest(void** /*state*/) {
    const Routes routes = routes_of(
        {{"a.corp.example", 3}, {"corp.example", 1}, {"lan", 2}, {"x.a.corp.example", 0}});
    assert_int_equal(find(routes, "corp.example"), 1);
    assert_int_equal(find(routes, "b.corp.example"), 1);
    assert_int_equal(find(routes, "a.corp.example"), 3);
    assert_int_equal(find(routes, "w.v.u.a.corp.example"), 3);
    assert_int_equal(find(routes, "x.a.corp.example"), 0);
    assert_int_equal(find(routes, "y.x.a.corp.example"), 0);
    assert_int_equal(find(routes, "printer.lan"), 2);
    assert_int_equal(find(routes, "lan"), 2);
    assert_int_equal(find(routes, "lan.example"), -1);
}

void test_find_when_name_is_as_long_as_can_be_then_found(void** /*state*/) {
    std::string deep = "a";
    for (int i = 1; i < 127; ++i) {
        deep += ".a";
    }
    const Routes routes = routes_of({{"a", 1}, {deep, 2}});
    assert_int_equal(find(routes, deep), 2);
    assert_int_equal(find(routes, deep.substr(2)), 1);
    const std::string label(63, 'b');
    const std::string wide = label + '.' + label + '.' + label + '.' + label.substr(2);
    assert_int_equal(find(routes_of({{wide, 3}}), wide), 3);
}

// What leads to a name that there is does exist itself (RFC 8020).
void test_lead_below_then_so_of_all_names_above(void** /*state*/) {
    const Routes routes = routes_of({{"a.b.corp.example", 1}, {"lan", 2}});
    for (const char* const name :
         {".", "example", "corp.example", "b.corp.example", "lan", "a.b.corp.example"}) {
        assert_true(routes.lead_below(parse_name(name)->view()));
    }
    for (const char* const name : {"x.example", "c.b.corp.example", "x.a.b.corp.example", "n"}) {
        assert_false(routes.lead_below(parse_name(name)->view()));
    }
    assert_false(Routes{}.lead_below(parse_name("example")->view()));
}

/// What find() is, said the slow way.
int longest_of(const std::vector<Route>& routes, const Name& name) {
    const Route* best = nullptr;
    for (const Route& route : routes) {
        if (dotproxy::dns::within(name.view(), route.domain.view()) &&
            (best == nullptr || route.domain.size > best->domain.size)) {
            best = &route;
        }
    }
    return best != nullptr ? best->group : -1;
}

/// Of few labels, so that names share them.
Name some_name(std::minstd_rand& random) {
    std::string text = std::to_string(random() % 8);
    for (auto labels = random() % 5; labels > 0; --labels) {
        text += '.' + std::to_string(random() % 8);
    }
    return *parse_name(text);
}

void test_find_when_there_are_many_then_as_one_by_one(void** /*state*/) {
    std::minstd_rand random{1};
    std::vector<Route> all;
    while (all.size() < 1000) {
        const Route route{.domain = some_name(random),
                          .group = static_cast<std::uint8_t>(random() % 60)};
        if (std::ranges::none_of(all, [&](const Route& other) {
                return same_name(other.domain.view(), route.domain.view());
            })) {
            all.push_back(route);
        }
    }
    const Routes routes{all};
    for (int i = 0; i < 20000; ++i) {
        const Name name = some_name(random);
        const auto group = routes.find(name.view());
        assert_int_equal(group ? *group : -1, longest_of(all, name));
    }
}

void test_domains_of_when_many_then_the_first_and_how_many_more(void** /*state*/) {
    std::vector<std::pair<std::string, std::uint8_t>> all;
    for (int i = 0; i < 11; ++i) {
        all.emplace_back(std::to_string(i) + ".example", 1);
    }
    assert_string_equal(routes_of(all).domains_of(1).c_str(),
                        "0.example, 1.example, 2.example, 3.example, 4.example, 5.example, "
                        "6.example, 7.example and 3 further domains");
    assert_string_equal(routes_of(all).domains_of(2).c_str(), "");
}

void test_routes_when_given_then_taken(void** /*state*/) {
    const Config config = parse(with_routes(
        R"({ domains = ( "Corp.Example.", "10.in-addr.arpa" ); group = "corp"; },
           { domains = [ "lab.corp.example", "home.arpa" ]; group = "lab"; },
           { domains = ( "www.corp.example" ); group = "default"; })"));
    assert_int_equal(config.groups.size(), 3);
    const std::array<unsigned, 4> groups{0, 1, 2, 1};
    for (std::size_t i = 0; i < groups.size(); ++i) {
        assert_int_equal(config.upstreams[i].group, groups[i]);
    }
    assert_int_equal(find(config.routes, "a.corp.example"), 1);
    assert_int_equal(find(config.routes, "a.lab.corp.example"), 2);
    assert_int_equal(find(config.routes, "www.corp.example"), 0);
    assert_int_equal(find(config.routes, "corp.example.net"), -1);
    const std::vector<std::string> texts = config.group_texts();
    assert_int_equal(texts.size(), 2);
    assert_string_equal(texts[0].c_str(), "group corp: asked about corp.example, 10.in-addr.arpa");
    assert_string_equal(texts[1].c_str(), "group lab: asked about lab.corp.example, home.arpa");
    assert_int_equal(parse("").groups.size(), 1);
    assert_true(parse("").group_texts().empty());
}

void test_routes_when_wrong_then_error(void** /*state*/) {
    const auto is = [](const std::string& routes, const std::string& expected) {
        assert_error(with_routes(routes), "5: routes[0]" + expected);
    };
    is(R"({ domains = ( "a.example" ); group = "x"; })",
       ".group: no upstream is in the group \"x\"; give default, corp or lab, or an upstream with "
       "group = \"x\"");
    is(R"({ domains = ( "a.example" ); })", ": has no group; give group = \"corp\"");
    is(R"({ group = "corp"; })", ": has no domains; give domains = ( \"corp.example\" )");
    is(R"({ domains = (); group = "corp"; })",
       ".domains: is empty; give at least one, such as ( \"corp.example\" )");
    is(R"({ domains = ( "a..b" ); group = "corp"; })",
       ".domains[0]: \"a..b\" is not a domain name; give one such as \"corp.example\"");
    is(R"({ domains = ( "." ); group = "corp"; })",
       ".domains[0]: is the root; the upstreams of the default group are asked about all names; "
       "give a domain such as \"corp.example\"");
    is(R"({ domains = ( "A.example", "b.example", "a.example." ); group = "corp"; })",
       ".domains[2]: \"a.example.\" is given twice; give each domain once");
    is(R"({ domain = ( "a.example" ); group = "corp"; })",
       ".domain: unknown key; did you mean domains?");
}

void test_group_when_its_name_is_none_then_error(void** /*state*/) {
    for (const char* const name :
         {"Corp", "a b", "corp.example", "\xc3\xa4", "abcdefghijklmnopqrstuvwxyzabcdefg"}) {
        assert_error_at(setting("upstreams[].group", '"' + std::string{name} + '"'),
                        "1: upstreams[0].group: \"" + std::string{name} +
                            "\" is no name of a group; give one of at most 32 lower-case letters, "
                            "digits, - and _, such as \"corp\"");
    }
}

void test_group_when_nobody_is_in_the_default_one_then_error(void** /*state*/) {
    assert_error(setting("upstreams[].group", "\"corp\""),
                 "1: upstreams: each has a group, and nobody is there for what no route is for; "
                 "give one without group");
}

void test_groups_when_more_than_64_then_error(void** /*state*/) {
    std::string many = "{ name = \"a.example\"; addresses = ( \"192.0.2.1\" ); }";
    for (int i = 1; i <= 64; ++i) {
        assert_string_equal(error_of("upstreams = ( " + many + " );").c_str(), "nothing");
        many += ",\n{ group = \"g" + std::to_string(i) +
                "\"; name = \"a.example\"; addresses = ( \"192.0.2.1\" ); }";
    }
    assert_error("upstreams = ( " + many + " );",
                 "65: upstreams[64].group: is group number 65; give at most 64");
}

constexpr auto router =
    "{ group = \"router\"; transport = \"plain\"; addresses = ( \"192.168.1.1\" ); }";

std::string with_router(const std::string& one) {
    return "upstreams = ( { name = \"a.example\"; addresses = ( \"192.0.2.1\" ); },\n" + one +
           " );";
}

void test_transport_when_plain_then_taken(void** /*state*/) {
    const Config config = parse(with_router(router));
    const auto& upstream = config.upstreams.at(1);
    assert_true(upstream.plain && config.is_plain(1));
    assert_false(config.upstreams[0].plain || config.is_plain(0));
    assert_string_equal(upstream.text(upstream.addresses[0]).c_str(),
                        "192.168.1.1:53 of group router");
    for (const char* const address : {"127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "169.254.1.1",
                                      "100.64.0.1", "fd00::1", "fe80::1%lo"}) {
        std::string one = router;
        one.replace(one.find("192.168.1.1"), 11, address);
        assert_string_equal(error_of(with_router(one)).c_str(), "nothing");
    }
}

void test_transport_when_it_would_leave_the_network_then_error(void** /*state*/) {
    for (const char* const address : {"8.8.8.8", "100.128.0.1", "172.32.0.1", "2001:db8::1"}) {
        std::string one = router;
        one.replace(one.find("192.168.1.1"), 11, address);
        assert_error(with_router(one),
                     "2: upstreams[1].addresses[0]: \"" + std::string{address} +
                         "\" is beyond the own network, where nobody is asked in the clear; give a "
                         "private address, or transport = \"tls\"");
    }
    assert_error(
        with_router("{ transport = \"plain\"; addresses = ( \"192.168.1.1\" ); }"),
        "2: upstreams[1].transport: is for groups that routes lead to: nothing else leaves "
        "in the clear; give it a group, or \"tls\"");
}

void test_transport_when_plain_and_our_own_address_then_error(void** /*state*/) {
    const auto with_own = [](const std::string& listen, const std::string& address) {
        return "listen = ( { address = \"" + listen + "\"; port = 53; } );\n" +
               with_router("{ group = \"router\"; transport = \"plain\"; addresses = ( \"" +
                           address + "\" ); }");
    };
    assert_error(with_own("192.168.1.1", "192.168.1.1"),
                 "3: upstreams[1].addresses[0]: 192.168.1.1:53 is where dotproxy listens itself; "
                 "give the address of another server");
    assert_error(with_own("0.0.0.0", "127.0.0.1"),
                 "3: upstreams[1].addresses[0]: 127.0.0.1:53 is where dotproxy listens itself; "
                 "give the address of another server");
    assert_string_equal(error_of(with_own("0.0.0.0", "192.168.1.1")).c_str(), "nothing");
    assert_string_equal(error_of(with_own("127.0.0.1", "127.0.0.53")).c_str(), "nothing");
}

void test_transport_when_plain_and_verified_then_error(void** /*state*/) {
    for (const char* const more : {"name = \"ns.lan\";", "pins = ();", "ca_file = \"/ca.pem\";"}) {
        std::string one = router;
        one.insert(1, std::string{" "} + more);
        const std::string key{more, std::string_view{more}.find(' ')};
        assert_error(with_router(one), "2: upstreams[1]." + key +
                                           ": is of no use, since nobody is verified in the clear; "
                                           "leave it out");
    }
    assert_error(
        with_router(router + std::string{",\n{ group = \"router\"; name = \"ns.lan\"; "
                                         "addresses = ( \"192.168.1.2\" ); }"}),
        "3: upstreams[2]: others of the group \"router\" are asked in the clear; give it a "
        "group of its own");
}

void test_upstreams_when_one_is_given_twice_in_a_group_then_error(void** /*state*/) {
    assert_error("upstreams = ( { name = \"a.example\"; addresses = ( \"192.0.2.1\" ); },\n"
                 "{ name = \"a.example\"; addresses = ( \"192.0.2.1\" ); group = \"default\"; } );",
                 "2: upstreams[1].addresses: 192.0.2.1:853 is already in upstreams[0] with the "
                 "same name; give each server once");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_find_when_no_route_is_for_it_then_none),
        cmocka_unit_test(test_find_when_in_several_domains_then_the_longest),
        cmocka_unit_test(test_find_when_name_is_as_long_as_can_be_then_found),
        cmocka_unit_test(test_lead_below_then_so_of_all_names_above),
        cmocka_unit_test(test_find_when_there_are_many_then_as_one_by_one),
        cmocka_unit_test(test_domains_of_when_many_then_the_first_and_how_many_more),
        cmocka_unit_test(test_routes_when_given_then_taken),
        cmocka_unit_test(test_routes_when_wrong_then_error),
        cmocka_unit_test(test_group_when_its_name_is_none_then_error),
        cmocka_unit_test(test_group_when_nobody_is_in_the_default_one_then_error),
        cmocka_unit_test(test_groups_when_more_than_64_then_error),
        cmocka_unit_test(test_transport_when_plain_then_taken),
        cmocka_unit_test(test_transport_when_it_would_leave_the_network_then_error),
        cmocka_unit_test(test_transport_when_plain_and_our_own_address_then_error),
        cmocka_unit_test(test_transport_when_plain_and_verified_then_error),
        cmocka_unit_test(test_upstreams_when_one_is_given_twice_in_a_group_then_error),
    };
    return cmocka_run_group_tests_name("routes", tests, set_up, tear_down);
}
