// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What is left of an answer when the records beside it are left out (RFC 2181, section 5.4.1).

#include "dns/excerpt.hh"

#include "dns/messages.hh"

#include "unit.hh"

#include <array>
#include <cstdint>
#include <optional>
#include <tuple>

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;

namespace {

using Room = std::array<std::uint8_t, max_message_size>;

const Question& asked() {
    static const ParsedQuery query = parsed(test::query("www.example.com"));
    return query.question;
}

std::optional<Answer> excerpt(const Message& message, MutableOctets room) {
    Response response;
    assert_true(parse_response(message.octets(), asked(), response) == ResponseVerdict::mixed);
    return excerpt_of(message.octets(), response, asked(), room);
}

/// Whether what is left of `from` is, octet by octet, the records of `expected`.
void assert_left(const Message& from, const Message& expected) {
    Room room;
    const std::optional<Answer> left = excerpt(from, room);
    assert_true(left.has_value());
    assert_int_equal(left->answers, ancount(expected.octets()));
    assert_int_equal(left->authorities, nscount(expected.octets()));
    assert_int_equal(left->additionals, arcount(expected.octets()));
    const std::size_t question_end = test::query("www.example.com").size();
    assert_true(same(left->records, expected.octets().subspan(question_end)));
    Response again;
    assert_true(parse_response(expected.octets(), asked(), again) == ResponseVerdict::accepted);
}

constexpr std::size_t qname = header_size;
constexpr std::size_t zone = header_size + 4; // example.com

void test_excerpt_when_a_record_is_foreign_then_the_others_are_left(void** /*state*/) {
    for (const int place : {0, 1, 2}) {
        Message message = response("www.example.com");
        for (const int i : {0, 1, 2}) {
            if (i == place) {
                message.record(Section::answer, "bank.example", type::a, address);
            }
            message.at(qname, Section::answer, type::a, address);
        }
        Message expected = response("www.example.com");
        for (int i = 0; i < 3; ++i) {
            expected.at(qname, Section::answer, type::a, address);
        }
        assert_left(message, expected);
    }
}

void test_excerpt_when_type_or_class_is_another_then_it_is_left_out(void** /*state*/) {
    Message message = response("www.example.com");
    message.at(qname, Section::answer, type::txt, rdata_of(type::txt).octets());
    message.record(Section::answer, "www.example.com", type::a, address, klass::ch);
    message.at(qname, Section::answer, type::a, address);
    Message expected = response("www.example.com");
    expected.at(qname, Section::answer, type::a, address);
    assert_left(message, expected);
}

// What is left points into what goes, and over it.
void test_excerpt_when_pointers_lead_to_what_goes_then_names_are_spelled_once(void** /*state*/) {
    Message message = response("www.example.com");
    const std::size_t foreign = message.size();
    message.record(Section::answer, "Cdn.bank.example", type::txt, rdata_of(type::txt).octets());
    Bytes target;
    target.pointer(foreign);
    message.at(qname, Section::answer, type::cname, target.octets());
    message.at(foreign, Section::answer, type::a, address);
    message.at(foreign, Section::answer, type::a, address);
    message.at(foreign + 4, Section::authority, type::ns, wire_name("ns.example").octets());

    Message expected = response("www.example.com");
    const Bytes spelled = wire_name("Cdn.bank.example");
    expected.at(qname, Section::answer, type::cname, spelled.octets());
    const std::size_t cdn = expected.size() - spelled.size();
    expected.at(cdn, Section::answer, type::a, address);
    expected.at(cdn, Section::answer, type::a, address);
    expected.record(Section::authority, "bank.example", type::ns, wire_name("ns.example").octets());
    assert_left(message, expected);
}

// All names of RDATA are written anew, and what is no name stays as it is.
void test_excerpt_when_rdata_holds_names_then_they_lead_where_they_led(void** /*state*/) {
    Message message = response("www.example.com");
    message.record(Section::answer, "bank.example", type::a, address);
    message.at(qname, Section::answer, type::a, address);
    Bytes soa;
    const std::size_t mname = message.size() + 12;
    soa.u8(2).text("ns").pointer(zone).u8(4).text("root").pointer(mname).fill(20, 0xc0);
    message.at(zone, Section::authority, type::soa, soa.octets());
    Bytes opaque;
    opaque.pointer(mname);
    message.at(mname, Section::additional, 65280, opaque.octets());

    Message expected = response("www.example.com");
    expected.at(qname, Section::answer, type::a, address);
    const Bytes apex = wire_name("example.com");
    const std::size_t apex_at = expected.size();
    Bytes rdata;
    rdata.name("ns.example.com").name("root.ns.example.com").fill(20, 0xc0);
    expected.raw(apex.octets());
    expected.rest(Section::authority, type::soa, rdata.octets());
    expected.at(apex_at + apex.size() + 10, Section::additional, 65280, opaque.octets());
    assert_left(message, expected);
}

// What a type of the Internet is in another class nobody knows; its names, if it has any, may be
// compressed. Those of RFC 1035 are the same in all.
void test_excerpt_when_names_cannot_be_found_then_there_is_none(void** /*state*/) {
    constexpr unsigned hesiod = 4;
    constexpr unsigned srv = 33;
    for (const auto& [rtype, klass, moves] :
         {std::tuple{srv, hesiod, false}, std::tuple{unsigned{type::a}, unsigned{klass::ch}, false},
          std::tuple{unsigned{type::ns}, hesiod, true}, std::tuple{65280U, hesiod, true},
          std::tuple{srv, unsigned{klass::in}, true}}) {
        Message message = response("www.example.com");
        const std::size_t foreign = message.size();
        message.record(Section::answer, "bank.example", type::a, address);
        message.at(qname, Section::answer, type::a, address);
        Bytes rdata;
        if (rtype == srv) {
            rdata.fill(6, 0);
        }
        rdata.pointer(foreign);
        message.record(Section::authority, "example.com", rtype, rdata.octets(), klass);
        Room room;
        assert_int_equal(excerpt(message, room).has_value(), moves);
    }
}

void test_excerpt_when_there_is_an_opt_then_it_is_not_in_the_records(void** /*state*/) {
    Message message = response("www.example.com");
    message.at(qname, Section::answer, type::a, address);
    message.record(Section::answer, "bank.example", type::a, address);
    message.at(zone, Section::additional, type::a, address);
    message.opt(Bytes{}.option(15, Bytes{}.u16(18).octets()).octets());
    message.at(qname, Section::additional, type::a, address);
    Message expected = response("www.example.com");
    expected.at(qname, Section::answer, type::a, address);
    expected.record(Section::additional, "example.com", type::a, address);
    assert_left(message, expected);
    Room room;
    const std::optional<Answer> left = excerpt(message, room);
    assert_int_equal(left->error_count, 1);
    assert_int_equal(left->errors[0].code, 18);
}

void test_excerpt_when_it_is_too_large_for_a_message_then_there_is_none(void** /*state*/) {
    // More long names than are kept in mind, all in one record that goes, and pointers to them.
    constexpr unsigned null = 10;
    Message message = response("www.example.com");
    Bytes names;
    const std::size_t names_at = message.size() + 12;
    constexpr unsigned count = 17;
    constexpr std::size_t each = 3 * 64 + 1;
    for (unsigned i = 0; i < count; ++i) {
        for (int label = 0; label < 3; ++label) {
            names.u8(63).fill(63, 'a' + i);
        }
        names.u8(0);
    }
    message.at(qname, Section::answer, null, names.octets());
    message.at(qname, Section::answer, type::a, address);
    Message most = message;
    for (unsigned i = 0; i < count; ++i) {
        message.at(names_at + i * each, Section::authority, type::a, address);
    }
    Room room;
    assert_true(excerpt(message, room).has_value());
    for (int i = 0; i < 400; ++i) {
        message.at(names_at + (count - 1) * each, Section::authority, type::a, address);
    }
    assert_false(excerpt(message, room).has_value());
    // The first names are kept in mind.
    for (int i = 0; i < 4000; ++i) {
        most.at(names_at, Section::authority, type::a, address);
    }
    assert_true(excerpt(most, room).has_value());
}

// What is left fills a message but for `spare` octets; or has so many too much.
void test_excerpt_when_it_ends_near_the_limit_then_is_whole_or_none(void** /*state*/) {
    Bytes name;
    name.u8(63).fill(63, 'a').u8(63).fill(63, 'b').u8(63).fill(63, 'c').u8(0);
    constexpr std::size_t tail = 64; // the name without its first label
    const std::size_t question_end = test::query("www.example.com").size();
    const std::size_t other_records = 16 + 12 + name.size() + 10 + name.size() - tail;
    for (int spare = -100; spare < 20; ++spare) {
        Bytes filling;
        filling.fill(
            max_message_size - question_end - other_records - static_cast<std::size_t>(spare), 0);
        Message message = response("www.example.com");
        message.raw(name.octets());
        message.rest(Section::answer, type::a, address);
        message.at(qname, Section::answer, type::a, address);
        message.at(qname, Section::authority, 10, filling.octets());
        Bytes target;
        target.pointer(question_end + tail);
        message.at(question_end, Section::authority, type::ns, target.octets());
        assert_true(message.size() <= max_message_size);
        Room room;
        room.fill(0x5a);
        const std::optional<Answer> left = excerpt(message, room);
        assert_int_equal(left.has_value(), spare >= 0);
        if (left) {
            assert_int_equal(question_end + left->records.size() + static_cast<std::size_t>(spare),
                             max_message_size);
        }
        for (std::size_t at = max_message_size - question_end; at < room.size(); ++at) {
            assert_int_equal(room[at], 0x5a);
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_excerpt_when_a_record_is_foreign_then_the_others_are_left),
        cmocka_unit_test(test_excerpt_when_type_or_class_is_another_then_it_is_left_out),
        cmocka_unit_test(test_excerpt_when_pointers_lead_to_what_goes_then_names_are_spelled_once),
        cmocka_unit_test(test_excerpt_when_rdata_holds_names_then_they_lead_where_they_led),
        cmocka_unit_test(test_excerpt_when_names_cannot_be_found_then_there_is_none),
        cmocka_unit_test(test_excerpt_when_there_is_an_opt_then_it_is_not_in_the_records),
        cmocka_unit_test(test_excerpt_when_it_is_too_large_for_a_message_then_there_is_none),
        cmocka_unit_test(test_excerpt_when_it_ends_near_the_limit_then_is_whole_or_none),
    };
    return cmocka_run_group_tests_name("dns/excerpt", tests, nullptr, nullptr);
}
