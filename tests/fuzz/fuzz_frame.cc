// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A byte stream: the same frames come out of it at once and octet by octet.

#include "dns/frame.hh"

#include "fuzz/fuzz.hh"

#include <algorithm>

namespace {

using namespace dotproxy::dns;
using dotproxy::fuzz::require;

// Long inputs would take time that grows with their square.
constexpr std::size_t max_stepwise = 512;

void check_growth(Octets stream, const Frame& whole) {
    const std::size_t end =
        whole.state == Frame::State::complete ? whole.consumed - 1 : stream.size();
    for (std::size_t size = 0; size <= std::min(end, max_stepwise); ++size) {
        const Frame part = next_frame(stream.first(size));
        require(part.consumed == 0, "nothing is taken of a part");
        require(part.state == Frame::State::partial ||
                    (part.state == whole.state && size >= frame_prefix_size),
                "a verdict does not change as more arrives");
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Octets stream{data, size};
    while (true) {
        const Frame frame = next_frame(stream);
        check_growth(stream, frame);
        if (frame.state != Frame::State::complete) {
            require(frame.message.empty() && frame.consumed == 0, "no message without a frame");
            return 0;
        }
        require(frame.message.size() >= header_size, "a message has a header");
        require(frame.consumed == frame_prefix_size + frame.message.size(), "the frame adds up");
        require(load16(stream, 0) == frame.message.size(), "the length is the message's");
        stream = stream.subspan(frame.consumed);
    }
}
