// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// L82, through parse_response(), since an answer section is judged only after the walk.

#include "dns/chain.hh"

#include "dns/messages.hh"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <string_view>

#include "unit.hh"

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;

namespace {

struct Entry {
    std::string_view owner;
    unsigned type;
    std::string_view target; // of an alias
};

using Entries = std::initializer_list<Entry>;

ResponseVerdict judge(const Message& message, unsigned qtype, unsigned qclass = klass::in) {
    Message asked{1, query_flags};
    asked.question("www.example.com", qtype, qclass);
    Response response;
    return parse_response(message.octets(), parsed(asked).question, response);
}

// Every owner is spelled out, so names have to be compared.
ResponseVerdict verdict(Entries entries, unsigned qtype = type::a) {
    Message message = response("www.example.com", qtype);
    for (const Entry& entry : entries) {
        if (entry.type == type::cname || entry.type == type::dname) {
            const Bytes target = wire_name(entry.target);
            message.record(Section::answer, entry.owner, entry.type, target.octets());
        } else {
            message.record(Section::answer, entry.owner, entry.type, rdata_of(entry.type).octets());
        }
    }
    return judge(message, qtype);
}

void assert_accepted(Entries entries, unsigned qtype = type::a) {
    assert_true(verdict(entries, qtype) == ResponseVerdict::accepted);
}

void assert_unrelated(Entries entries, unsigned qtype = type::a) {
    assert_true(verdict(entries, qtype) == ResponseVerdict::unrelated);
}

void assert_mixed(Entries entries, unsigned qtype = type::a) {
    assert_true(verdict(entries, qtype) == ResponseVerdict::mixed);
}

void test_answer_when_at_qname_then_is_accepted(void** /*state*/) {
    assert_accepted({});
    assert_accepted({{"www.example.com", type::a, ""}, {"WWW.example.COM", type::a, ""}});
    assert_accepted({{"www.example.com", type::a, ""}, {"www.example.com", type::rrsig, ""}});
}

void test_answer_when_owner_is_foreign_then_is_unrelated(void** /*state*/) {
    assert_unrelated({{"www.example.org", type::a, ""}});
    assert_unrelated({{"www.example.org", type::a, ""}, {"example.com", type::a, ""}});
    assert_unrelated({{"other.example", type::rrsig, ""}, {"a.www.example.com", type::a, ""}});
}

void test_answer_when_one_owner_is_foreign_then_is_mixed(void** /*state*/) {
    assert_mixed({{"www.example.com", type::a, ""}, {"example.com", type::a, ""}});
    assert_mixed({{"www.example.com", type::a, ""}, {"a.www.example.com", type::a, ""}});
    assert_mixed({{"other.example", type::rrsig, ""}, {"www.example.com", type::a, ""}});
    assert_mixed({{"www.example.com", type::cname, "a.example"}, {"b.example", type::a, ""}});
}

// A signature is of nothing that was left.
void test_answer_when_only_signatures_belong_then_is_unrelated(void** /*state*/) {
    assert_unrelated({{"www.example.com", type::rrsig, ""}, {"www.example.com", type::txt, ""}});
    assert_unrelated({{"www.example.com", type::txt, ""}, {"www.example.com", type::rrsig, ""}});
    assert_mixed({{"www.example.com", type::rrsig, ""}, {"a.example", type::rrsig, ""}},
                 type::rrsig);
}

void test_answer_when_type_is_another_then_is_unrelated(void** /*state*/) {
    assert_unrelated({{"www.example.com", type::aaaa, ""}});
    assert_mixed({{"www.example.com", type::a, ""}, {"www.example.com", type::txt, ""}});
    assert_unrelated({{"www.example.com", 47, ""}}); // NSEC is no answer but to itself
    assert_accepted({{"www.example.com", 47, ""}}, 47);
    assert_accepted({{"www.example.com", 65534, ""}}, 65534); // C21
    assert_accepted({{"www.example.com", type::rrsig, ""}}, type::rrsig);
}

void test_answer_when_any_was_asked_then_every_type_is_accepted(void** /*state*/) {
    for (const unsigned qtype : {unsigned{type::any}, 253U, 254U}) {
        assert_accepted({{"www.example.com", type::aaaa, ""}, {"www.example.com", 65280, ""}},
                        qtype);
        assert_unrelated({{"www.example.org", type::aaaa, ""}}, qtype);
    }
}

void test_answer_when_class_is_another_then_is_unrelated(void** /*state*/) {
    Message message = response("www.example.com");
    message.record(Section::answer, "www.example.com", type::a, address, klass::ch);
    assert_true(judge(message, type::a) == ResponseVerdict::unrelated);
    Message any{7, response_flags};
    any.question("www.example.com", type::a, klass::any);
    any.record(Section::answer, "www.example.com", type::a, address, klass::ch);
    assert_true(judge(any, type::a, klass::any) == ResponseVerdict::accepted);
    // Nor does an alias of another class lead anywhere.
    Message alias = response("www.example.com");
    alias.record(Section::answer, "www.example.com", type::cname, wire_name("a.example").octets(),
                 klass::ch);
    alias.record(Section::answer, "a.example", type::a, address);
    assert_true(judge(alias, type::a) == ResponseVerdict::unrelated);
}

void test_answer_when_aliases_are_in_order_then_is_accepted(void** /*state*/) {
    Message message = response("www.example.com");
    message.pointer(header_size);
    Bytes target;
    target.u8(3).text("cdn").pointer(16);
    message.rest(Section::answer, type::cname, target.octets());
    const std::size_t cdn = message.size() - target.size();
    message.at(12, Section::answer, type::rrsig, rdata_of(type::rrsig).octets());
    message.at(cdn, Section::answer, type::a, address);
    message.at(cdn, Section::answer, type::rrsig, rdata_of(type::rrsig).octets());
    assert_true(judge(message, type::a) == ResponseVerdict::accepted);
    message.at(16, Section::answer, type::a, address); // example.com
    assert_true(judge(message, type::a) == ResponseVerdict::mixed);
}

void test_answer_when_aliases_are_in_any_order_then_is_accepted(void** /*state*/) {
    assert_accepted({{"c.example", type::a, ""},
                     {"b.example", type::cname, "C.example"},
                     {"WWW.example.com", type::cname, "b.example"}});
    assert_mixed({{"c.example", type::a, ""},
                  {"b.example", type::cname, "c.example"},
                  {"www.example.com", type::cname, "a.example"}});
    assert_unrelated({{"c.example", type::a, ""}, {"b.example", type::cname, "c.example"}});
}

void test_answer_when_aliases_end_without_the_type_then_is_accepted(void** /*state*/) {
    assert_accepted({{"www.example.com", type::cname, "a.example"}}); // no data at the end
    assert_accepted({{"www.example.com", type::cname, "a.example"}}, type::cname);
}

void test_answer_when_aliases_go_in_circles_then_ends(void** /*state*/) {
    assert_accepted({{"www.example.com", type::cname, "a.example"},
                     {"a.example", type::cname, "www.example.com"}});
    assert_mixed({{"www.example.com", type::cname, "a.example"},
                  {"a.example", type::cname, "www.example.com"},
                  {"b.example", type::a, ""}});
}

void test_answer_when_dname_redirects_then_is_accepted(void** /*state*/) {
    assert_accepted({{"example.com", type::dname, "example.net"},
                     {"example.com", type::rrsig, ""},
                     {"www.example.com", type::cname, "www.example.net"},
                     {"www.example.net", type::a, ""}});
    assert_accepted({{"example.com", type::dname, "example.net"}, // from before CNAMEs were made
                     {"www.example.net", type::a, ""}});
    assert_accepted({{"www.example.com", type::dname, "example.net"}}, type::dname);
}

void test_answer_when_dname_does_not_redirect_then_is_unrelated(void** /*state*/) {
    assert_unrelated({{"example.org", type::dname, "example.net"}});
    assert_unrelated({{"example.com", type::rrsig, ""}}); // without the DNAME
    assert_unrelated({{"example.org", type::dname, "example.net"}, {"example.net", type::a, ""}});
    assert_mixed({{"example.com", type::dname, "example.net"}, {"example.com", type::a, ""}});
    assert_mixed({{"example.com", type::dname, "example.net"}, {"example.net", type::a, ""}});
    // A DNAME does not redirect its own owner (RFC 6672, section 2.3).
    assert_mixed({{"www.example.com", type::dname, "example.net"}, {"example.net", type::a, ""}});
}

void test_answer_when_dname_makes_a_name_too_long_then_ends(void** /*state*/) {
    Bytes target;
    target.u8(63).fill(63, 'a').u8(63).fill(63, 'a').u8(63).fill(63, 'a').u8(60).fill(60, 'a').u8(
        0);
    Message message = response("www.example.com");
    message.record(Section::answer, "example.com", type::dname, target.octets());
    assert_true(judge(message, type::a) == ResponseVerdict::accepted);
    message.record(Section::answer, "a.example", type::a, address);
    assert_true(judge(message, type::a) == ResponseVerdict::mixed);
}

// Links from www.example.com over n1.example, n2.example ... and an address at the end.
Message linked(unsigned links, bool backwards) {
    const auto name_of = [](unsigned i, Bytes& out) {
        out.u8(3).u8('n').u8('0' + i / 10).u8('0' + i % 10).name("example");
    };
    Message message = response("www.example.com");
    for (unsigned step = 0; step < links; ++step) {
        const unsigned i = backwards ? links - 1 - step : step;
        if (i == 0) {
            message.pointer(header_size);
        } else {
            name_of(i, message);
        }
        Bytes target;
        name_of(i + 1, target);
        message.rest(Section::answer, type::cname, target.octets());
    }
    name_of(links, message);
    message.rest(Section::answer, type::a, address);
    return message;
}

void test_answer_when_links_are_too_many_then_is_unrelated(void** /*state*/) {
    for (const bool backwards : {false, true}) {
        assert_true(judge(linked(max_links, backwards), type::a) == ResponseVerdict::accepted);
        assert_true(judge(linked(max_links + 1, backwards), type::a) == ResponseVerdict::unrelated);
        assert_true(judge(linked(60, backwards), type::a) == ResponseVerdict::unrelated);
    }
}

// L5. A walk that is not in proportion to the message would take seconds of the processor; what is
// asserted leaves room for a sanitizer and for code that is not optimized. The figure is printed
// for whoever wants to watch it.
void assert_quick(const Message& message, const Question& asked, ResponseVerdict expected,
                  const char* what) {
    assert_true(message.size() <= max_message_size);
    const auto now = [] {
        timespec time{};
        ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec};
    };
    auto best = std::chrono::nanoseconds::max();
    for (int i = 0; i < 3; ++i) {
        Response response;
        const std::chrono::nanoseconds start = now();
        const ResponseVerdict verdict = parse_response(message.octets(), asked, response);
        best = std::min(best, now() - start);
        assert_int_equal(static_cast<int>(verdict), static_cast<int>(expected));
    }
    const double spent = std::chrono::duration<double, std::milli>(best).count();
    std::printf("# %s: %.2f ms\n", what, spent);
    assert_true(spent < 500);
}

void test_work_when_message_is_all_aliases_then_is_bounded(void** /*state*/) {
    Message circle = response("www.example.com");
    Message spelled = response("www.example.com");
    Bytes root;
    root.u8(0);
    Bytes self;
    self.pointer(header_size);
    while (circle.size() + 14 <= max_message_size) {
        circle.at(12, Section::answer, type::cname, self.octets());
    }
    while (spelled.size() + 12 <= max_message_size) {
        spelled.record(Section::answer, "", type::dname, root.octets());
    }
    const Question asked = parsed(query("www.example.com")).question;
    assert_quick(circle, asked, ResponseVerdict::unrelated, "aliases of one name");
    assert_quick(spelled, asked, ResponseVerdict::unrelated, "DNAMEs of the root");
}

// Owners that take as many steps as a name may, each one equal to QNAME.
void test_work_when_every_owner_is_far_away_then_is_bounded(void** /*state*/) {
    constexpr unsigned null = 10; // whose RDATA may be anything
    Message asked{1, query_flags};
    for (int i = 0; i < 127; ++i) {
        asked.u8(1).u8('a');
    }
    asked.u8(0).u16(null).u16(klass::in);
    asked.count(Section::question);
    Message message{7, response_flags};
    message.raw(asked.octets().subspan(header_size));
    message.count(Section::question);
    Bytes steps; // opaque RDATA that holds a chain of labels and pointers
    const std::size_t base = message.size() + 2 + 10;
    std::size_t last = header_size + 2 * 95; // 32 labels in front of the root
    for (int i = 0; i < 30; ++i) {
        const std::size_t here = base + steps.size();
        steps.u8(1).u8('a').pointer(last);
        last = here;
    }
    message.at(header_size, Section::answer, null, steps.octets());
    // The rest of the 127 labels, here and one pointer away from every owner.
    Bytes front;
    const std::size_t front_at = message.size() + 2 + 10;
    for (int i = 0; i < 64; ++i) {
        front.u8(1).u8('a');
    }
    front.pointer(last);
    message.at(header_size, Section::answer, null, front.octets());
    while (message.size() + 14 <= max_message_size) {
        message.u8(1).u8('a').pointer(front_at);
        message.rest(Section::answer, null, {});
    }
    assert_quick(message, parsed(asked).question, ResponseVerdict::accepted,
                 "owners of 127 labels over 32 pointers");
    Bytes root;
    root.u8(0);
    message.truncate(message.size() - 14);
    message.record(Section::answer, "", type::dname, root.octets());
    message.count(Section::answer, -1);
    assert_quick(message, parsed(asked).question, ResponseVerdict::accepted,
                 "the same with a DNAME at the end");
}

void test_work_when_message_is_all_pointers_then_is_bounded(void** /*state*/) {
    Message message = response("www.example.com");
    message.count(Section::answer, -1).count(Section::additional, -1);
    std::size_t last = header_size;
    while (message.size() + 2 <= max_message_size) {
        const std::size_t here = message.size();
        message.pointer(last);
        last = std::min<std::size_t>(here, 0x3ffe);
    }
    assert_quick(message, parsed(query("www.example.com")).question, ResponseVerdict::malformed,
                 "pointers");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_when_at_qname_then_is_accepted),
        cmocka_unit_test(test_answer_when_owner_is_foreign_then_is_unrelated),
        cmocka_unit_test(test_answer_when_one_owner_is_foreign_then_is_mixed),
        cmocka_unit_test(test_answer_when_only_signatures_belong_then_is_unrelated),
        cmocka_unit_test(test_answer_when_type_is_another_then_is_unrelated),
        cmocka_unit_test(test_answer_when_any_was_asked_then_every_type_is_accepted),
        cmocka_unit_test(test_answer_when_class_is_another_then_is_unrelated),
        cmocka_unit_test(test_answer_when_aliases_are_in_order_then_is_accepted),
        cmocka_unit_test(test_answer_when_aliases_are_in_any_order_then_is_accepted),
        cmocka_unit_test(test_answer_when_aliases_end_without_the_type_then_is_accepted),
        cmocka_unit_test(test_answer_when_aliases_go_in_circles_then_ends),
        cmocka_unit_test(test_answer_when_dname_redirects_then_is_accepted),
        cmocka_unit_test(test_answer_when_dname_does_not_redirect_then_is_unrelated),
        cmocka_unit_test(test_answer_when_dname_makes_a_name_too_long_then_ends),
        cmocka_unit_test(test_answer_when_links_are_too_many_then_is_unrelated),
        cmocka_unit_test(test_work_when_message_is_all_aliases_then_is_bounded),
        cmocka_unit_test(test_work_when_every_owner_is_far_away_then_is_bounded),
        cmocka_unit_test(test_work_when_message_is_all_pointers_then_is_bounded),
    };
    return cmocka_run_group_tests_name("dns/chain", tests, nullptr, nullptr);
}
