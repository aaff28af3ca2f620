// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/client_context.hh"

#include "http/client_session.hh"

#include <cstddef>
#include <new>

namespace dotproxy::http {

namespace {

// Of all connections to the upstreams of a group, in octets: a few that are full of streams, and
// more than there ever are that are not.
constexpr std::size_t memory_limit = std::size_t{32} << 20U;

// Acknowledgements that wait since the peer does not read, and settings in one frame.
constexpr std::size_t max_outbound_ack = 64;
constexpr std::size_t max_settings = 32;
// Frames that one head of an answer is cut into (CVE-2024-28182).
[[maybe_unused]] constexpr std::size_t max_continuations = 8;

nghttp2_session_callbacks* make_callbacks() {
    nghttp2_session_callbacks* callbacks = nullptr;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        throw std::bad_alloc{};
    }
    ClientSession::set(*callbacks);
    return callbacks;
}

nghttp2_option* make_options() {
    nghttp2_option* options = nullptr;
    if (nghttp2_option_new(&options) != 0) {
        throw std::bad_alloc{};
    }
    nghttp2_option_set_max_outbound_ack(options, max_outbound_ack);
    nghttp2_option_set_max_settings(options, max_settings);
    nghttp2_option_set_no_closed_streams(options, 1); // they would be kept for a tree of priorities
#ifdef HAVE_NGHTTP2_OPTION_SET_MAX_CONTINUATIONS
    nghttp2_option_set_max_continuations(options, max_continuations);
#endif
    return options;
}

} // namespace

ClientContext::ClientContext()
    : callbacks_{make_callbacks()}, options_{make_options()}, memory_{.used = 0,
                                                                      .most = memory_limit} {}

ClientContext::~ClientContext() = default;

} // namespace dotproxy::http
