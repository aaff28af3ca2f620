// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "dns/frame.hh"

#include "dns/messages.hh"

#include "unit.hh"

using namespace dotproxy::dns;
using namespace dotproxy::dns::test;

namespace {

void test_frame_when_stream_grows_octet_by_octet_then_completes_at_the_last(void** /*state*/) {
    Bytes stream;
    stream.u16(13).fill(13, 'x'); // C2
    for (std::size_t size = 0; size < stream.size(); ++size) {
        const Frame frame = next_frame(stream.octets().first(size));
        assert_true(frame.state == Frame::State::partial);
        assert_int_equal(frame.consumed, 0);
    }
    const Frame frame = next_frame(stream.octets());
    assert_true(frame.state == Frame::State::complete);
    assert_int_equal(frame.message.size(), 13); // C3
    assert_int_equal(frame.consumed, 15);
}

void test_frame_when_two_arrive_at_once_then_gives_the_first(void** /*state*/) {
    Bytes stream;
    stream.u16(12).fill(12, 'a').u16(12).fill(12, 'b');
    const Frame first = next_frame(stream.octets());
    assert_true(first.state == Frame::State::complete);
    assert_int_equal(first.message[0], 'a');
    const Frame second = next_frame(stream.octets().subspan(first.consumed));
    assert_true(second.state == Frame::State::complete);
    assert_int_equal(second.message[11], 'b');
}

void test_frame_when_shorter_than_a_header_then_is_invalid(void** /*state*/) {
    for (unsigned length = 0; length < header_size; ++length) {
        Bytes stream;
        stream.u16(length).fill(length, 0);
        assert_true(next_frame(stream.octets()).state == Frame::State::invalid); // C17
        assert_true(next_frame(stream.octets().first(2)).state == Frame::State::invalid);
    }
}

void test_frame_when_largest_then_is_complete(void** /*state*/) {
    Bytes stream;
    stream.u16(0xffff).fill(0xffff, 'x');
    const Frame frame = next_frame(stream.octets());
    assert_true(frame.state == Frame::State::complete); // C24
    assert_int_equal(frame.message.size(), max_message_size);
    assert_true(next_frame(stream.octets().first(65536)).state == Frame::State::partial);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_when_stream_grows_octet_by_octet_then_completes_at_the_last),
        cmocka_unit_test(test_frame_when_two_arrive_at_once_then_gives_the_first),
        cmocka_unit_test(test_frame_when_shorter_than_a_header_then_is_invalid),
        cmocka_unit_test(test_frame_when_largest_then_is_complete),
    };
    return cmocka_run_group_tests_name("dns/frame", tests, nullptr, nullptr);
}
