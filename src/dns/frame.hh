// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// DNS messages in a byte stream: a two-octet length before each (RFC 1035, section 4.2.2).

#pragma once

#include "dns/wire.hh"

namespace dotproxy::dns {

constexpr std::size_t frame_prefix_size = 2;

/// What stands at the front of a stream.
struct Frame {
    enum class State : std::uint8_t {
        complete, // `message` is whole
        partial,  // more octets are needed
        invalid,  // a length that no DNS message has (C17): the stream is lost
    };
    State state{State::partial};
    Octets message;          // when complete
    std::size_t consumed{0}; // octets of prefix and message, when complete
};

/// Looks at the front of `stream`.
[[nodiscard]] inline Frame next_frame(Octets stream) noexcept {
    if (stream.size() < frame_prefix_size) {
        return {};
    }
    const std::size_t length = load16(stream, 0);
    if (length < header_size) {
        return {.state = Frame::State::invalid, .message = {}, .consumed = 0};
    }
    if (stream.size() < frame_prefix_size + length) {
        return {};
    }
    return {.state = Frame::State::complete,
            .message = stream.subspan(frame_prefix_size, length),
            .consumed = frame_prefix_size + length};
}

} // namespace dotproxy::dns
