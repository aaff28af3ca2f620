// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The kept form, and the way back from it; test_keeping.cc has the rest of dns/kept.hh.

#include "dns/kept.hh"

#include "dns/keeping.hh"

#include <utility>

#include "unit.hh"

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;
using namespace std::chrono_literals;

namespace {

// -- the kept form

void test_kept_when_one_address_then_takes_26_octets(void** /*state*/) {
    Message from = with_address(300);
    from.opt();
    Room room;
    assert_int_equal(keep(from, room).size(), 26); // of 30 that it may
}

void test_kept_when_the_opt_differs_then_is_the_same(void** /*state*/) {
    Room room;
    const Octets plain = keep(with_address(300), room);
    for (const std::size_t padding : {0U, 1U, 400U}) { // L24
        Bytes options;
        options.u16(12).u16(static_cast<unsigned>(padding)).fill(padding, 0);
        options.option(11, Octets{address}.first(2));
        Message from = with_address(300);
        from.opt(options.octets(), 4096, dnssec_ok);
        Room padded;
        assert_true(same(keep(from, padded), plain));
    }
}

void test_kept_when_room_is_short_then_nothing_is_written(void** /*state*/) {
    Bytes options;
    options.u16(15).u16(5).u16(6).text("why");
    Message from = with_address(300);
    from.opt(options.octets());
    const Answer answer = accepted(from, question());
    Room whole;
    const std::size_t size = keep(from, whole).size();
    for (std::size_t room = 0; room < size; ++room) {
        Room out;
        assert_int_equal(write_kept(answer, keeping(from), wide, out.room(room)), 0);
        assert_true(out.untouched_outside(room));
    }
}

void test_kept_when_policy_has_bounds_then_every_ttl_is_within(void** /*state*/) {
    const TtlPolicy policy{.min_ttl = 60s, .max_ttl = 600s, .max_negative_ttl = 90s};
    for (const auto& [ttl, kept] : {std::pair{1U, 60U}, {60U, 60U}, {61U, 61U}, {601U, 600U}}) {
        Message from = with_address(1000);
        add(from, Section::additional, type::a, address, ttl, 16);
        Room room;
        const std::optional<Answer> answer = read_kept(keep(from, room, policy), 0s);
        assert_true(answer.has_value());
        assert_int_equal(last_ttl(*answer), kept);
        assert_int_equal(load32(answer->records, 6), 600);
    }
}

// RFC 2308, section 6: a cache behind ours must not keep it longer (C83).
void test_kept_when_negative_then_soa_ends_with_its_minimum(void** /*state*/) {
    for (const auto& [ttl, minimum] : {std::pair{900U, 300U}, {300U, 900U}}) {
        Message from = denial(3, ttl, minimum);
        add(from, Section::authority, type::a, address, 900, 16);
        Room room;
        const MutableOctets kept = keep(from, room);
        const std::optional<Answer> answer = read_kept(kept, 100s);
        assert_true(answer.has_value());
        assert_int_equal(load32(answer->records, 6), 200);
        assert_int_equal(last_ttl(*answer), 800);
    }
}

// Found by fuzzing: its MINIMUM ended a record before the answer.
void test_kept_when_negative_then_minimum_outside_the_authority_means_nothing(void** /*state*/) {
    Message from = denial(3, 300, 300);
    add(from, Section::additional, type::soa, soa_rdata(5).octets(), 900);
    assert_kept(keeping(from), true, 300s);
    Room room;
    const std::optional<Answer> answer = read_kept(keep(from, room), 0s);
    assert_true(answer && load32(answer->records, 6) == 300);
    const std::size_t rdata = answer->records.size() - soa_rdata(5).octets().size();
    assert_int_equal(load32(answer->records, rdata - 6), 900);
}

void test_kept_when_positive_then_minimum_means_nothing(void** /*state*/) {
    const Question asked = question("www.example.com", type::soa);
    Message from = response("www.example.com", type::soa);
    add(from, Section::answer, type::soa, soa_rdata(5).octets(), 300);
    assert_kept(keeping(from, wide, asked), false, 300s);
    Room room;
    const std::optional<Answer> answer = read_kept(keep(from, room, wide, asked), 0s);
    assert_true(answer && load32(answer->records, 6) == 300);
}

void test_kept_when_a_failure_then_no_ttl_is_raised(void** /*state*/) {
    const TtlPolicy policy{.min_ttl = 60s, .max_ttl = 600s, .max_negative_ttl = 90s};
    for (const auto& [ttl, kept] : {std::pair{0U, 0U}, {5U, 5U}, {900U, 600U}, {~0U, 0U}}) {
        Message from = with_address(ttl);
        set_flags(from.mutable_octets(), response_flags | 2);
        Room room;
        const std::optional<Answer> answer = read_kept(keep(from, room, policy), 0s);
        assert_true(answer && answer->rcode == 2);
        assert_int_equal(last_ttl(*answer), kept); // C82
    }
}

void test_kept_when_a_failure_is_our_own_then_comes_back(void** /*state*/) {
    Answer ours;
    ours.rcode = 2;
    ours.say_first({.code = ExtendedError::network_error, .text = address});
    const Keeping found = keeping_of(ours, question(), wide);
    assert_true(found.keep == Keep::failure);
    Room room;
    const std::size_t size = write_kept(ours, found, wide, room.room(64));
    const std::optional<Answer> answer = read_kept(room.room(size), 3s);
    assert_true(answer.has_value());
    assert_int_equal(answer->rcode, 2);
    assert_int_equal(answer->error_count, 1);
    assert_int_equal(answer->errors[0].code, 23);
    assert_true(same(answer->errors[0].text, address));
    assert_true(answer->records.empty());
}

// -- and back

void test_read_when_aged_then_every_ttl_is_lowered(void** /*state*/) {
    struct {
        std::chrono::seconds age;
        std::uint32_t first;
        std::uint32_t last;
    } const cases[] = {{0s, 300, 400},
                       {-7s, 300, 400}, // a clock that went back
                       {1s, 299, 399},
                       {299s, 1, 101},
                       {300s, 0, 100},
                       {400s, 0, 0},
                       {std::chrono::seconds{1LL << 32U}, 0, 0},
                       {std::chrono::seconds::max(), 0, 0}};

    for (const auto& [age, first, last] : cases) { // C81
        Message from = with_address(300);
        add(from, Section::additional, type::a, address, 400, 16);
        Room room;
        const std::optional<Answer> answer = read_kept(keep(from, room), age);
        assert_true(answer.has_value());
        assert_int_equal(load32(answer->records, 6), first);
        assert_int_equal(last_ttl(*answer), last);
    }
}

void test_stale_when_read_then_no_ttl_is_above_30_or_what_it_was(void** /*state*/) {
    for (const auto& [ttl, stale] : {std::pair{300U, 30U}, {31U, 30U}, {30U, 30U}, {5U, 5U}}) {
        Room room;
        const std::optional<Answer> answer = read_stale(keep(with_address(ttl), room)); // C89
        assert_true(answer.has_value());
        assert_int_equal(last_ttl(*answer), stale);
    }
}

/// What a kept answer becomes is, for every asker, what the message itself becomes.
void assert_round_trip(const Bytes& from, const Question& asked) {
    const Answer direct = accepted(from, asked);
    Room room;
    const std::optional<Answer> back = read_kept(keep(from, room, wide, asked), 0s);
    assert_true(back.has_value());
    std::array<std::uint8_t, max_message_size> first; // NOLINT: what is compared was written
    std::array<std::uint8_t, max_message_size> again; // NOLINT
    for (unsigned bits = 0; bits < 16; ++bits) {
        Asker asker;
        asker.flags = (bits & 1U) != 0 ? flag::authentic_data | flag::recursion_desired : 0;
        asker.edns = (bits & 2U) != 0;
        asker.dnssec_ok = bits == 6 || bits == 7;
        asker.subnet = asker.keepalive = (bits & 8U) != 0;
        for (const std::size_t limit :
             {std::size_t{40}, classic_udp_size, max_udp_answer_size, max_message_size}) {
            const Channel channel{.limit = limit, .keepalive = 100};
            const std::size_t size = write_answer(direct, asked, asker, channel, first);
            assert_int_equal(write_answer(*back, asked, asker, channel, again), size);
            assert_memory_equal(first.data(), again.data(), size);
        }
    }
}

void test_round_trip_when_of_any_kind_then_is_the_direct_answer(void** /*state*/) {
    assert_round_trip(with_address(300), question());
    assert_round_trip(denial(0, 300, 300), question());
    assert_round_trip(denial(3, 300, 400), question());
    Message authentic = with_address(300);
    set_flags(authentic.mutable_octets(), response_flags | flag::authentic_data);
    assert_round_trip(authentic, question());
    Message chain = response("www.example.com");
    add(chain, Section::answer, type::cname, wire_name("cdn.example").octets(), 40);
    add(chain, Section::answer, type::a, address, 30, 45);
    add(chain, Section::authority, type::ns, wire_name("ns.example").octets(), 50, 49);
    add(chain, Section::additional, type::a, address, 60, 45);
    chain.opt();
    assert_round_trip(chain, question());
    Message bare{7, response_flags | 5};
    assert_round_trip(bare, question()); // no question, no records
}

void test_round_trip_when_upstream_said_why_then_says_so_again(void** /*state*/) {
    for (const unsigned count : {1U, 4U, 6U}) {
        for (const std::size_t text : {0U, 1U, 200U, 256U, 257U}) {
            Bytes options;
            for (unsigned i = 0; i < count; ++i) {
                options.u16(15).u16(static_cast<unsigned>(text + 2)).u16(i + 20).fill(text, 'x');
            }
            for (const unsigned rcode : {0U, 2U, 3U}) {
                Message from = denial(rcode, 300, 300);
                from.opt(options.octets(), 1232, rcode == 2 ? 0x01000000 : 0);
                assert_round_trip(from, question());
            }
        }
    }
}

void test_round_trip_when_records_are_many_then_all_are_there(void** /*state*/) {
    constexpr unsigned null = 10; // which may be empty
    Message from = response("", null);
    while (from.size() + 11 <= max_message_size) {
        from.u8(0);
        from.rest(Section::answer, null, {}, klass::in,
                  1000 + static_cast<std::uint32_t>(from.size()));
    }
    assert_int_equal(ancount(from.octets()), 5956);
    assert_round_trip(from, question("", null));
}

void test_round_trip_when_the_message_is_largest_then_is_whole(void** /*state*/) {
    constexpr unsigned null = 10; // of any size
    Message from = response("www.example.com", null);
    from.pointer(12).u16(null).u16(1).u32(1);
    const std::size_t rdata = max_message_size - from.size() - 2;
    from.u16(static_cast<unsigned>(rdata)).fill(rdata, 'x');
    from.count(Section::answer);
    assert_int_equal(from.size(), max_message_size);
    assert_round_trip(from, question("www.example.com", null));
}

void test_room_when_kept_is_largest_then_max_kept_size_suffices(void** /*state*/) {
    Bytes records;
    Answer answer;
    while (records.size() + 11 <= max_message_size) {
        records.u8(0).u16(1).u16(1).u32(1).u16(0);
        ++answer.answers;
    }
    Bytes text;
    text.fill(max_error_text, 'x');
    for (std::size_t i = 0; i < max_errors; ++i) {
        answer.say_first({.code = 1, .text = text.octets()});
    }
    answer.records = records.octets();
    Room room;
    const std::size_t size = write_kept(answer, {}, wide, room.room(max_kept_size));
    assert_true(size > 0 && size <= max_kept_size && size + 11 > max_kept_size);
    assert_true(read_kept(room.room(size), 0s).has_value());
}

// -- hostile octets

Message with_everything() {
    Bytes options;
    options.u16(15).u16(5).u16(6).text("why").u16(15).u16(2).u16(9);
    Message from = with_address(300);
    add(from, Section::answer, type::a, address, 200);
    add(from, Section::authority, type::ns, wire_name("ns.example").octets(), 100, 16);
    from.opt(options.octets());
    return from;
}

bool lies_within(Octets part, Octets whole) {
    return part.empty() || (part.data() >= whole.data() &&
                            part.data() + part.size() <= whole.data() + whole.size());
}

// Whatever `kept` holds: nothing outside it is touched or handed out.
bool read_within(Room& room, std::size_t size) {
    const MutableOctets kept = room.room(size);
    const std::optional<Answer> answer = read_kept(kept, 5s);
    (void)read_stale(kept);
    assert_true(room.untouched_outside(size));
    if (!answer) {
        return false;
    }
    assert_true(lies_within(answer->records, kept));
    assert_true(answer->error_count <= max_errors);
    for (const ExtendedError& error : answer->said()) {
        assert_true(lies_within(error.text, kept) && error.text.size() <= max_error_text);
    }
    std::array<std::uint8_t, 2048> out; // NOLINT: only written
    Asker asker;
    asker.edns = true;
    const Channel channel{.limit = out.size(), .keepalive = 100};
    assert_true(write_answer(*answer, question(), asker, channel, out) <= out.size());
    return true;
}

void test_read_when_cut_anywhere_then_nothing(void** /*state*/) {
    Room whole;
    const Octets kept = keep(with_everything(), whole);
    for (std::size_t size = 0; size < kept.size(); ++size) {
        Room room;
        std::ranges::copy(kept.first(size), room.room(size).begin());
        assert_false(read_within(room, size));
    }
    Room longer;
    std::ranges::copy(kept, longer.room(kept.size()).begin());
    longer.room(kept.size() + 1).back() = 0;
    assert_false(read_within(longer, kept.size() + 1));
    Room equal;
    std::ranges::copy(kept, equal.room(kept.size()).begin());
    assert_true(read_within(equal, kept.size()));
}

void test_read_when_any_octet_is_any_other_then_stays_within(void** /*state*/) {
    Room whole;
    const Octets kept = keep(with_everything(), whole);
    for (std::size_t at = 0; at < kept.size(); ++at) {
        Room room;
        for (unsigned value = 0; value < 256; ++value) {
            std::ranges::copy(kept, room.room(kept.size()).begin());
            room.room(kept.size())[at] = static_cast<std::uint8_t>(value);
            (void)read_within(room, kept.size());
        }
    }
}

void test_read_when_octets_are_random_then_stays_within(void** /*state*/) {
    std::uint32_t state = 1;
    const auto random = [&state] {
        state = state * 1664525 + 1013904223;
        return state >> 16U;
    };
    std::size_t whole = 0;
    for (int round = 0; round < 2000; ++round) {
        const std::size_t size = random() % 64;
        Room room;
        for (std::uint8_t& octet : room.room(size)) {
            octet = static_cast<std::uint8_t>(random() % 4 == 0 ? random() : 0);
        }
        whole += read_within(room, size) ? 1U : 0U;
    }
    assert_true(whole < 2000);
}

void test_read_when_too_large_then_nothing(void** /*state*/) {
    std::array<std::uint8_t, max_kept_size + 1> octets{};
    assert_false(read_kept(octets, 0s).has_value());
}

// -- what an answer says

void test_bogus_when_validation_failed_then_so(void** /*state*/) {
    assert_false(dnssec_bogus({}));
    for (unsigned code = 0; code < 64; ++code) {
        Answer answer;
        answer.rcode = 2;
        answer.say_first({.code = static_cast<std::uint16_t>(code), .text = {}});
        answer.say_first({.code = ExtendedError::network_error, .text = {}});
        assert_int_equal(dnssec_bogus(answer), // C89
                         (code >= 6 && code <= 12) || code == 25 || code == 27);
    }
    Bytes options;
    options.u16(15).u16(2).u16(6);
    Message from = response("www.example.com");
    set_flags(from.mutable_octets(), response_flags | 2);
    from.opt(options.octets());
    Room room;
    const std::optional<Answer> kept = read_kept(keep(from, room), 0s);
    assert_true(kept && dnssec_bogus(*kept));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_when_one_address_then_takes_26_octets),
        cmocka_unit_test(test_kept_when_the_opt_differs_then_is_the_same),
        cmocka_unit_test(test_kept_when_room_is_short_then_nothing_is_written),
        cmocka_unit_test(test_kept_when_policy_has_bounds_then_every_ttl_is_within),
        cmocka_unit_test(test_kept_when_negative_then_soa_ends_with_its_minimum),
        cmocka_unit_test(test_kept_when_negative_then_minimum_outside_the_authority_means_nothing),
        cmocka_unit_test(test_kept_when_positive_then_minimum_means_nothing),
        cmocka_unit_test(test_kept_when_a_failure_then_no_ttl_is_raised),
        cmocka_unit_test(test_kept_when_a_failure_is_our_own_then_comes_back),
        cmocka_unit_test(test_read_when_aged_then_every_ttl_is_lowered),
        cmocka_unit_test(test_stale_when_read_then_no_ttl_is_above_30_or_what_it_was),
        cmocka_unit_test(test_round_trip_when_of_any_kind_then_is_the_direct_answer),
        cmocka_unit_test(test_round_trip_when_upstream_said_why_then_says_so_again),
        cmocka_unit_test(test_round_trip_when_records_are_many_then_all_are_there),
        cmocka_unit_test(test_round_trip_when_the_message_is_largest_then_is_whole),
        cmocka_unit_test(test_room_when_kept_is_largest_then_max_kept_size_suffices),
        cmocka_unit_test(test_read_when_cut_anywhere_then_nothing),
        cmocka_unit_test(test_read_when_any_octet_is_any_other_then_stays_within),
        cmocka_unit_test(test_read_when_octets_are_random_then_stays_within),
        cmocka_unit_test(test_read_when_too_large_then_nothing),
        cmocka_unit_test(test_bogus_when_validation_failed_then_so),
    };
    return cmocka_run_group_tests_name("dns/kept", tests, nullptr, nullptr);
}
