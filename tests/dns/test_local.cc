// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Names that are answered here, with the zones of src/dns/reverse.cc.

#include "dns/local.hh"

#include "dns/messages.hh"
#include "dns/name_text.hh"

#include <string_view>

#include "unit.hh"

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;

namespace {

constexpr unsigned formerr = 1;
constexpr unsigned nxdomain = 3;
constexpr unsigned refused = 5;

/// What was said here, if anything was.
struct Reply {
    std::array<std::uint8_t, 1232> out{};
    std::size_t size{0};

    [[nodiscard]] Octets octets() const { return Octets{out}.first(size); }

    [[nodiscard]] unsigned rcode() const { return flags(octets()) & 0xfU; }

    [[nodiscard]] bool forwarded() const { return size == 0; }

    /// The first record: its type, TTL and RDATA.
    [[nodiscard]] std::size_t first() const { return layout(octets()).question_end; }

    [[nodiscard]] unsigned first_type() const { return load16(octets(), first() + 2); }

    [[nodiscard]] Octets first_rdata() const {
        return octets().subspan(first() + 12, load16(octets(), first() + 10));
    }
};

void answer(Reply& reply, const ParsedQuery& asked, const LocalZones& zones,
            const Channel& channel = {}) {
    if (const auto found = find_local(asked.question, zones)) {
        reply.size = write_local(*found, asked.question, asked.asker, channel, reply.out);
    }
}

Reply ask(const Message& query, bool zones = true, std::span<const Name> except = {}) {
    ParsedQuery parsed;
    Reply reply;
    assert_true(parse_query(query.octets(), parsed) == QueryVerdict::forward);
    answer(reply, parsed, {.served = zones, .except = except});
    if (reply.size != 0) {
        assert_true(layout(reply.octets()).sound);
        assert_int_equal(id(reply.octets()), 0x1234);
        assert_int_equal(flags(reply.octets()) & 0xfff0, 0x8180);
        // What we say ourselves must pass where an upstream's answer would.
        Response response;
        assert_true(parse_response(reply.octets(), parsed.question, response) ==
                    ResponseVerdict::accepted);
    }
    return reply;
}

Reply ask(std::string_view name, unsigned qtype = type::a, bool zones = true) {
    return ask(query(name, qtype), zones);
}

// Without data, with an SOA whose owner is the end of the name from `apex` on (RFC 2308).
void assert_negative(const Reply& reply, unsigned rcode, std::size_t apex) {
    assert_false(reply.forwarded());
    assert_int_equal(reply.rcode(), rcode);
    assert_int_equal(ancount(reply.octets()), 0);
    assert_int_equal(nscount(reply.octets()), 1);
    assert_int_equal(reply.first_type(), type::soa);
    assert_int_equal(load16(reply.octets(), reply.first()), 0xc000U | (header_size + apex));
}

void assert_positive(const Reply& reply, unsigned rtype) {
    assert_int_equal(reply.rcode(), 0);
    assert_int_equal(ancount(reply.octets()), 1);
    assert_int_equal(nscount(reply.octets()), 0);
    assert_int_equal(reply.first_type(), rtype);
    assert_int_equal(load16(reply.octets(), reply.first()), 0xc000U | header_size);
}

void test_transfer_when_asked_then_is_refused(void** /*state*/) {
    for (const unsigned qtype : {unsigned{type::axfr}, unsigned{type::ixfr}}) {
        Message message = query("example.com", qtype);
        message.opt();
        const Reply reply = ask(message, false);
        assert_int_equal(reply.rcode(), refused); // C102
        assert_int_equal(load16(find_option(reply.octets(), 15).data, 0), 21);
    }
}

// RFC 9824, section 3.5: whatever the name and wherever the zones are.
void test_nxname_when_asked_then_is_a_format_error(void** /*state*/) {
    for (const std::string_view name : {"example.com", "localhost", "10.in-addr.arpa", ""}) {
        for (const bool zones : {false, true}) {
            Message message = query(name, 128);
            message.opt();
            const Reply reply = ask(message, zones);
            assert_int_equal(reply.rcode(), formerr);
            assert_int_equal(load16(find_option(reply.octets(), 15).data, 0), 30);
            assert_int_equal(ancount(reply.octets()) + nscount(reply.octets()), 0);
        }
    }
    const Reply plain = ask("example.com", 128);
    assert_int_equal(plain.rcode(), formerr);
    assert_int_equal(arcount(plain.octets()), 0); // C41
    for (const unsigned neighbour : {127U, 129U}) {
        assert_true(ask("example.com", neighbour).forwarded()); // C21
    }
}

void test_chaos_when_identity_is_asked_then_is_refused(void** /*state*/) {
    for (const std::string_view name :
         {"version.bind", "VERSION.server", "hostname.bind", "id.server", "authors.bind"}) {
        for (const unsigned qtype : {unsigned{type::txt}, unsigned{type::any}}) {
            Message message{0x1234, query_flags};
            message.question(name, qtype, klass::ch);
            assert_int_equal(ask(message, false).rcode(), refused); // C103
        }
        assert_true(ask(name, type::txt).forwarded()); // in class IN it is a name like any other
    }
}

void test_chaos_when_anything_else_is_asked_then_is_forwarded(void** /*state*/) {
    for (const std::string_view name : {"bind", "a.version.bind", "version.example", "localhost"}) {
        Message message{0x1234, query_flags};
        message.question(name, type::txt, klass::ch);
        assert_true(ask(message).forwarded()); // C21
    }
}

void test_resolver_arpa_when_asked_then_has_no_data_ever(void** /*state*/) {
    for (const bool zones : {false, true}) {
        assert_negative(ask("_dns.resolver.arpa", 64, zones), 0, 5); // C100
        assert_negative(ask("resolver.arpa", 64, zones), 0, 0);
        assert_negative(ask("a.b.Resolver.ARPA", type::a, zones), 0, 4);
        assert_negative(ask("resolver.arpa", type::ds, zones), 0, 0);
    }
    assert_true(ask("resolver.example").forwarded());
    assert_true(ask("xresolver.arpa").forwarded());
}

void test_localhost_when_asked_then_is_the_loopback(void** /*state*/) {
    const std::array<std::uint8_t, 4> loopback{127, 0, 0, 1};
    for (const std::string_view name : {"localhost", "LocalHost", "a.b.localhost"}) {
        const Reply four = ask(name, type::a);
        assert_positive(four, type::a);
        assert_true(same(four.first_rdata(), loopback));
        const Reply six = ask(name, type::aaaa);
        assert_positive(six, type::aaaa);
        assert_int_equal(six.first_rdata().size(), 16);
        assert_int_equal(six.first_rdata()[15], 1);
    }
    assert_negative(ask("localhost", type::txt), 0, 0);
    assert_negative(ask("a.localhost", 15), 0, 2);
    assert_int_equal(ancount(ask("a.localhost", type::any).octets()), 2);
    assert_positive(ask("localhost", type::soa), type::soa);
    assert_true(ask("localhost.example").forwarded());
}

void test_localhost_when_spelled_oddly_then_keeps_the_spelling(void** /*state*/) {
    const Message message = query("LOCALhost");
    const Reply reply = ask(message);
    assert_true(same(reply.octets().subspan(12, 11), message.octets().subspan(12, 11))); // C31
}

void test_names_of_nowhere_when_asked_then_do_not_exist(void** /*state*/) {
    assert_negative(ask("invalid"), nxdomain, 0);
    assert_negative(ask("a.b.invalid", type::any), nxdomain, 4);
    assert_negative(ask("onion", type::soa), nxdomain, 0); // RFC 7686: all such queries
    assert_negative(ask("abc.onion", type::aaaa), nxdomain, 4);
    assert_negative(ask("a.test"), nxdomain, 2);        // RFC 6761, section 6.2
    assert_negative(ask("Printer.LOCAL"), nxdomain, 8); // RFC 6762, section 22.1
    for (const std::string_view name : {"invalid", "a.test", "printer.local", "abc.onion"}) {
        assert_true(ask(name, type::a, false).forwarded()); // C101: the transparent mode
    }
    // Special to somebody else, or left to the upstream.
    for (const std::string_view name : {"example", "www.example.com", "ipv4only.arpa", "alt"}) {
        assert_true(ask(name).forwarded());
    }
    assert_true(ask("local.example").forwarded());
    assert_true(ask("onion.example").forwarded());
    assert_true(ask("").forwarded());
}

void test_reverse_when_address_is_private_then_does_not_exist(void** /*state*/) {
    struct {
        std::string_view name;
        std::size_t apex;
    } const names[] = {
        {"4.3.2.10.in-addr.arpa", 6},    {"x.10.in-addr.arpa", 2},
        {"1.0.16.172.in-addr.arpa", 4},  {"1.0.31.172.in-addr.arpa", 4},
        {"1.0.168.192.in-addr.arpa", 4}, {"5.0.0.0.in-addr.arpa", 6},
        {"2.0.0.127.in-addr.arpa", 6},   {"1.1.0.127.in-addr.arpa", 6},
        {"1.1.0.0.127.in-addr.arpa", 8}, {"1.1.254.169.in-addr.arpa", 4},
        {"1.2.0.192.in-addr.arpa", 2},   {"1.100.51.198.in-addr.arpa", 2},
        {"1.113.0.203.in-addr.arpa", 2}, {"a.255.255.255.255.in-addr.arpa", 2},
        {"1.1.64.100.in-addr.arpa", 4},  {"1.1.127.100.in-addr.arpa", 4}, // RFC 7793
        {"1.0.D.F.ip6.arpa", 4},         {"0.8.e.f.ip6.arpa", 2},
        {"0.9.e.f.ip6.arpa", 2},         {"0.a.e.f.ip6.arpa", 2},
        {"0.b.e.f.ip6.arpa", 2},         {"1.8.b.d.0.1.0.0.2.ip6.arpa", 2},
    };

    for (const auto& [name, apex] : names) {
        assert_negative(ask(name, type::ptr), nxdomain, apex);
        assert_true(ask(name, type::ptr, false).forwarded()); // C101: the transparent mode
    }
}

void test_reverse_when_address_is_public_then_is_forwarded(void** /*state*/) {
    for (const std::string_view name :
         {"8.8.8.8.in-addr.arpa",
          "1.0.15.172.in-addr.arpa",
          "1.0.32.172.in-addr.arpa",
          "172.in-addr.arpa",
          "1.0.169.192.in-addr.arpa",
          "192.in-addr.arpa",
          "11.in-addr.arpa",
          "1.63.100.in-addr.arpa",
          "1.128.100.in-addr.arpa",
          "010.in-addr.arpa",
          "266.in-addr.arpa",
          "1a.in-addr.arpa",
          "254.255.255.255.in-addr.arpa",
          "in-addr.arpa",
          "arpa",
          "10.in-addr.example",
          "10.arpa",
          "c.f.ip6.arpa",
          "c.e.f.ip6.arpa",
          "9.b.d.0.1.0.0.2.ip6.arpa",
          "df.ip6.arpa",
          "0.0.0.0.ip6.arpa",
          "ip6.arpa",
          "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.0.0.2.ip6.arpa"}) {
        assert_true(ask(name, type::ptr).forwarded());
    }
}

void test_reverse_when_apex_is_asked_then_has_soa_and_ns(void** /*state*/) {
    assert_positive(ask("10.in-addr.arpa", type::soa), type::soa);
    const Reply ns = ask("168.192.in-addr.arpa", type::ns);
    assert_positive(ns, type::ns);
    assert_int_equal(load16(ns.first_rdata(), 0), 0xc00c); // RFC 6303, section 3: the zone itself
    assert_negative(ask("d.f.ip6.arpa", type::ptr), 0, 0);
    assert_int_equal(ancount(ask("8.e.f.ip6.arpa", type::any).octets()), 2);
    assert_negative(ask("255.255.255.255.in-addr.arpa", type::ptr), 0, 0);
}

void test_reverse_when_soa_is_given_then_is_that_of_rfc_6303(void** /*state*/) {
    const Reply reply = ask("1.10.in-addr.arpa", type::ptr);
    const Octets rdata = reply.first_rdata();
    assert_int_equal(load16(rdata, 0), 0xc00e);
    assert_true(same(rdata.subspan(2, 16), wire_name("nobody.invalid").octets()));
    assert_int_equal(load32(rdata, 18), 1);
    assert_int_equal(load32(rdata, 34), 10800);
    assert_int_equal(load32(reply.octets(), reply.first() + 6), 10800);
}

void test_reverse_when_address_is_loopback_then_points_to_localhost(void** /*state*/) {
    const std::string_view six =
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa";
    for (const std::string_view name : {std::string_view{"1.0.0.127.in-addr.arpa"}, six}) {
        const Reply reply = ask(name, type::ptr);
        assert_positive(reply, type::ptr);
        assert_true(same(reply.first_rdata(), wire_name("localhost").octets()));
    }
    assert_negative(ask("1.0.0.127.in-addr.arpa", type::a), 0, 6);
    assert_negative(ask("0.0.127.in-addr.arpa", type::ptr), 0, 4); // something lies below
    assert_negative(ask("0.127.in-addr.arpa", type::ptr), 0, 2);
    Message unspecified{0x1234, query_flags};
    for (int i = 0; i < 32; ++i) {
        unspecified.u8(1).u8('0');
    }
    unspecified.name("ip6.arpa").u16(type::ptr).u16(klass::in);
    unspecified.count(Section::question);
    assert_negative(ask(unspecified), 0, 0);
}

// RFC 8375 and RFC 9665: the zones of a network that has servers of its own for them, or nobody.
void test_home_and_service_arpa_when_asked_then_are_served_here(void** /*state*/) {
    assert_negative(ask("printer.home.arpa"), nxdomain, 8);
    assert_negative(ask("_dnssd-srp._tcp.default.service.arpa", 33), nxdomain, 24);
    for (const std::string_view apex : {"home.arpa", "Service.ARPA"}) {
        assert_negative(ask(apex), 0, 0);
        assert_positive(ask(apex, type::soa), type::soa);
        assert_true(ask(apex, type::a, false).forwarded());
    }
}

// RFC 4035, section 3.1.4.1: the parent answers for it, and validators need that answer.
void test_ds_when_zone_is_delegated_then_is_forwarded(void** /*state*/) {
    assert_true(ask("10.in-addr.arpa", type::ds).forwarded());
    assert_true(ask("home.arpa", type::ds).forwarded());
    assert_true(ask("service.arpa", type::ds).forwarded());
    assert_true(ask("d.f.ip6.arpa", type::ds).forwarded());
    assert_negative(ask("1.10.in-addr.arpa", type::ds), nxdomain, 2);
    assert_negative(ask("localhost", type::ds), 0, 0);
}

void test_answer_when_asker_has_edns_then_gets_an_opt(void** /*state*/) {
    Message message = query("localhost");
    message.opt({}, 1232, dnssec_ok);
    const Reply reply = ask(message);
    assert_int_equal(layout(reply.octets()).opts, 1); // C41
    assert_int_equal(load32(reply.octets(), layout(reply.octets()).opt + 5), dnssec_ok);
    assert_int_equal(layout(ask("localhost").octets()).opts, 0);
}

void test_answer_when_room_is_small_then_is_truncated(void** /*state*/) {
    const ParsedQuery asked = parsed(query("localhost"));
    Reply reply;
    answer(reply, asked, {.served = true, .except = {}}, {.limit = 30, .keepalive = {}});
    assert_int_equal(reply.size, 27);
    assert_int_equal(flags(reply.octets()) & 0x0200, 0x0200);
}

void test_answer_when_name_is_longest_then_fits(void** /*state*/) {
    Message message{0x1234, query_flags};
    message.u8(63).fill(63, 'a').u8(63).fill(63, 'a').u8(63).fill(63, 'a').u8(51).fill(51, 'a');
    message.name("localhost").u16(type::any).u16(klass::in);
    message.count(Section::question);
    assert_int_equal(ancount(ask(message).octets()), 2);
    Message deep{0x1234, query_flags};
    for (int i = 0; i < 123; ++i) {
        deep.u8(1).u8('a');
    }
    deep.name("onion").u16(type::a).u16(klass::in);
    deep.count(Section::question);
    assert_negative(ask(deep), nxdomain, 246);
}

// A person with dig sees who answered; others are told nothing (C41).
void test_answer_when_made_here_then_says_so(void** /*state*/) {
    for (const std::string_view name :
         {"localhost", "a.onion", "10.in-addr.arpa", "_dns.resolver.arpa"}) {
        Message message = query(name);
        message.opt();
        const auto answer = ask(message);
        const Octets error = find_option(answer.octets(), 15).data;
        const std::string_view text = "answered by dotproxy itself";
        assert_int_equal(error.size(), 2 + text.size());
        assert_int_equal(load16(error, 0), 29);
        assert_true(std::equal(text.begin(), text.end(), error.begin() + 2, error.end()));
        assert_int_equal(arcount(ask(name).octets()), 0);
    }
}

void test_exception_when_asked_then_is_forwarded_with_all_below(void** /*state*/) {
    const std::array<Name, 4> except{*parse_name("home.arpa"), *parse_name("1.10.in-addr.arpa"),
                                     *parse_name("corp.local"), *parse_name("localhost")};
    for (const std::string_view name :
         {"home.arpa", "Nas.HOME.arpa", "1.10.in-addr.arpa", "3.2.1.10.in-addr.arpa", "corp.local",
          "a.b.corp.local", "localhost", "www.localhost"}) {
        assert_false(ask(name).forwarded());
        assert_true(ask(query(name), true, except).forwarded());
    }
    assert_negative(ask(query("2.10.in-addr.arpa"), true, except), nxdomain, 2);
    assert_negative(ask(query("11.10.in-addr.arpa"), true, except), nxdomain, 3);
    assert_negative(ask(query("xcorp.local"), true, except), nxdomain, 6);
    assert_negative(ask(query("a.service.arpa"), true, except), nxdomain, 2);
    assert_negative(ask(query("_dns.resolver.arpa"), true, except), 0, 5); // C100
    assert_negative(ask(query("_dns.resolver.arpa"), false, except), 0, 5);
}

// NXDOMAIN would deny the exception as well (RFC 8020).
void test_exception_when_name_is_above_then_that_exists(void** /*state*/) {
    const std::array<Name, 2> except{*parse_name("3.2.1.10.in-addr.arpa"),
                                     *parse_name("a.corp.local")};
    for (const std::string_view name : {"2.1.10.in-addr.arpa", "1.10.in-addr.arpa"}) {
        assert_int_equal(ask(name).rcode(), nxdomain);
        assert_negative(ask(query(name), true, except), 0, name.front() == '2' ? 4 : 2);
    }
    assert_negative(ask(query("corp.local"), true, except), 0, 5);
    assert_negative(ask(query("Local"), true, except), 0, 0);
    assert_positive(ask(query("local", type::soa), true, except), type::soa);
    assert_negative(ask(query("b.corp.local"), true, except), nxdomain, 7);
}

void test_exception_when_within_no_zone_then_may_be_none(void** /*state*/) {
    for (const char* const name : {"home.arpa", "a.home.arpa", "10.in-addr.arpa", "onion", "a.test",
                                   "16.172.in-addr.arpa", "d.f.ip6.arpa"}) {
        assert_true(may_be_excepted(parse_name(name)->view()));
    }
    for (const char* const name : {".", "arpa", "in-addr.arpa", "172.in-addr.arpa", "example.com",
                                   "resolver.arpa", "_dns.resolver.arpa", "f.ip6.arpa"}) {
        assert_false(may_be_excepted(parse_name(name)->view()));
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_transfer_when_asked_then_is_refused),
        cmocka_unit_test(test_nxname_when_asked_then_is_a_format_error),
        cmocka_unit_test(test_chaos_when_identity_is_asked_then_is_refused),
        cmocka_unit_test(test_chaos_when_anything_else_is_asked_then_is_forwarded),
        cmocka_unit_test(test_resolver_arpa_when_asked_then_has_no_data_ever),
        cmocka_unit_test(test_localhost_when_asked_then_is_the_loopback),
        cmocka_unit_test(test_localhost_when_spelled_oddly_then_keeps_the_spelling),
        cmocka_unit_test(test_names_of_nowhere_when_asked_then_do_not_exist),
        cmocka_unit_test(test_reverse_when_address_is_private_then_does_not_exist),
        cmocka_unit_test(test_reverse_when_address_is_public_then_is_forwarded),
        cmocka_unit_test(test_reverse_when_apex_is_asked_then_has_soa_and_ns),
        cmocka_unit_test(test_reverse_when_soa_is_given_then_is_that_of_rfc_6303),
        cmocka_unit_test(test_reverse_when_address_is_loopback_then_points_to_localhost),
        cmocka_unit_test(test_home_and_service_arpa_when_asked_then_are_served_here),
        cmocka_unit_test(test_ds_when_zone_is_delegated_then_is_forwarded),
        cmocka_unit_test(test_answer_when_asker_has_edns_then_gets_an_opt),
        cmocka_unit_test(test_answer_when_room_is_small_then_is_truncated),
        cmocka_unit_test(test_answer_when_name_is_longest_then_fits),
        cmocka_unit_test(test_answer_when_made_here_then_says_so),
        cmocka_unit_test(test_exception_when_asked_then_is_forwarded_with_all_below),
        cmocka_unit_test(test_exception_when_name_is_above_then_that_exists),
        cmocka_unit_test(test_exception_when_within_no_zone_then_may_be_none),
    };
    return cmocka_run_group_tests_name("dns/local", tests, nullptr, nullptr);
}
