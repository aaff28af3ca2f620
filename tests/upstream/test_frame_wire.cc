// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/frame_wire.hh"

#include "dns/messages.hh"
#include "unit.hh"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

using dotproxy::FrameWire;
using dotproxy::Inquiry;
using dotproxy::TimePoint;
using dotproxy::dns::Octets;
using Kind = FrameWire::Arrival::Kind;

namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t mask = 0x5a5a;

/// An inquiry with a question.
struct Asked : Inquiry {
    explicit Asked(std::string_view name) {
        const auto wire = dotproxy::dns::test::wire_name(name);
        question.name.size = static_cast<std::uint8_t>(wire.size());
        std::ranges::copy(wire.octets(), question.name.octets.begin());
        question.type = dotproxy::dns::type::a;
        question.klass = dotproxy::dns::klass::in;
    }
};

/// What is queued, as if each query came back as its own answer.
std::vector<std::uint8_t> echo(FrameWire& wire) {
    const Octets queued = wire.queued();
    std::vector<std::uint8_t> frames{queued.begin(), queued.end()};
    wire.on_sent();
    return frames;
}

void test_answers_then_each_finds_its_inquiry_in_any_order(void** /*state*/) {
    FrameWire wire{mask};
    Asked first{"a.example"};
    Asked second{"b.example"};
    const std::uint16_t slot = wire.send(first);
    const std::vector<std::uint8_t> one = echo(wire);
    const std::uint16_t other_slot = wire.send(second);
    std::vector<std::uint8_t> both = echo(wire);
    both.insert(both.end(), one.begin(), one.end());
    assert_int_equal(wire.in_flight(), 2);

    wire.feed(both);
    FrameWire::Arrival arrival = wire.next();
    assert_true(arrival.kind == Kind::answer && arrival.inquiry == &second);
    assert_int_equal(arrival.slot, other_slot);
    wire.free(other_slot);
    arrival = wire.next();
    assert_true(arrival.kind == Kind::answer && arrival.inquiry == &first);
    wire.free(slot);
    assert_true(wire.next().kind == Kind::nothing);
    wire.keep_rest(TimePoint{1s});
    assert_true(wire.partial_since() == TimePoint::max());
    assert_int_equal(wire.in_flight(), 0);
}

// C2: wherever the stream is cut, the same messages come out of it.
void test_stream_when_cut_anywhere_then_nothing_is_lost(void** /*state*/) {
    Asked inquiry{"www.example"};
    FrameWire sample{mask};
    static_cast<void>(sample.send(inquiry));
    const std::size_t size = sample.queued().size();
    for (std::size_t cut = 1; cut < size; ++cut) {
        FrameWire wire{mask};
        const std::uint16_t slot = wire.send(inquiry);
        const std::vector<std::uint8_t> frames = echo(wire);
        wire.feed(Octets{frames}.first(cut));
        assert_true(wire.next().kind == Kind::nothing);
        wire.keep_rest(TimePoint{1s});
        assert_true(wire.partial_since() == TimePoint{1s}); // L84
        wire.feed(Octets{frames}.subspan(cut));
        const FrameWire::Arrival arrival = wire.next();
        assert_true(arrival.kind == Kind::answer && arrival.slot == slot);
        assert_int_equal(arrival.message.size() + 2, size);
        assert_true(wire.next().kind == Kind::nothing);
        wire.keep_rest(TimePoint{2s});
        assert_true(wire.partial_since() == TimePoint::max());
    }
}

// L85, C98: the second answer is late, and so is one that nobody waits for; both leave the rest be.
void test_answer_when_nobody_waits_then_late(void** /*state*/) {
    FrameWire wire{mask};
    Asked inquiry{"www.example"};
    const std::uint16_t slot = wire.send(inquiry);
    std::vector<std::uint8_t> twice = echo(wire);
    const std::vector<std::uint8_t> once = twice;
    twice.insert(twice.end(), once.begin(), once.end());
    wire.forget(slot);
    assert_int_equal(wire.in_flight(), 0);
    assert_int_equal(wire.forgotten(), 1);
    wire.feed(twice);
    FrameWire::Arrival arrival = wire.next();
    assert_true(arrival.kind == Kind::late);
    assert_int_equal(arrival.slot, slot);
    assert_int_equal(wire.forgotten(), 0);
    arrival = wire.next();
    assert_true(arrival.kind == Kind::late);
    assert_int_equal(arrival.slot, dotproxy::Slots::none);
}

// L83: the stream has shifted, or makes no sense.
void test_stream_when_it_makes_no_sense_then_broken(void** /*state*/) {
    FrameWire wire{mask};
    constexpr std::array<std::uint8_t, 14> never_asked{0, 12, 0x12, 0x34};
    wire.feed(never_asked);
    FrameWire::Arrival arrival = wire.next();
    assert_true(arrival.kind == Kind::broken);
    assert_non_null(arrival.reason.c_str());
    FrameWire other{mask};
    constexpr std::array<std::uint8_t, 4> too_short{0, 2, 1, 1};
    other.feed(too_short);
    arrival = other.next();
    assert_true(arrival.kind == Kind::broken);
    assert_non_null(arrival.reason.c_str());
}

void test_probe_then_its_answer_is_told_from_others(void** /*state*/) {
    FrameWire wire{mask};
    wire.send_probe();
    const std::vector<std::uint8_t> frames = echo(wire);
    assert_int_equal(wire.in_flight(), 0);
    wire.feed(frames);
    assert_true(wire.next().kind == Kind::probe);
    assert_int_equal(wire.in_flight(), 0);
}

// C13: who releases them is told which of them the peer can have seen.
void test_release_then_each_is_told_whether_it_was_sent(void** /*state*/) {
    FrameWire wire{mask};
    Asked sent{"a.example"};
    Asked unsent{"b.example"};
    static_cast<void>(wire.send(sent));
    wire.send_probe(); // is no inquiry, and not counted as one
    assert_int_equal(wire.on_sent(), 1);
    static_cast<void>(wire.send(unsent));
    int visits = 0;
    wire.release_inquiries([&](Inquiry& inquiry, bool was_sent) {
        ++visits;
        assert_int_equal(was_sent, &inquiry == &sent);
    });
    assert_int_equal(visits, 2);
    wire.for_each_inquiry([](const Inquiry& /*inquiry*/) { fail_msg("one is left"); });
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_then_each_finds_its_inquiry_in_any_order),
        cmocka_unit_test(test_stream_when_cut_anywhere_then_nothing_is_lost),
        cmocka_unit_test(test_answer_when_nobody_waits_then_late),
        cmocka_unit_test(test_stream_when_it_makes_no_sense_then_broken),
        cmocka_unit_test(test_probe_then_its_answer_is_told_from_others),
        cmocka_unit_test(test_release_then_each_is_told_whether_it_was_sent),
    };
    return cmocka_run_group_tests_name("upstream/frame_wire", tests, nullptr, nullptr);
}
