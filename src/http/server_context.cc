// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "http/server_context.hh"

#include "http/server_session.hh"

#include <ctime>
#include <new>

namespace dotproxy::http {

namespace {

// E44. Acknowledgements that wait since the peer does not read, and settings in one frame.
constexpr std::size_t max_outbound_ack = 64;
constexpr std::size_t max_settings = 32;
// Streams that the peer resets: so many at once, and a second (CVE-2023-44487).
[[maybe_unused]] constexpr std::uint64_t reset_burst = 200;
[[maybe_unused]] constexpr std::uint64_t reset_rate = 20;
// Frames that one head of a request is cut into (CVE-2024-28182).
[[maybe_unused]] constexpr std::size_t max_continuations = 8;

nghttp2_session_callbacks* make_callbacks() {
    nghttp2_session_callbacks* callbacks = nullptr;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        throw std::bad_alloc{};
    }
    ServerSession::set(*callbacks);
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
#ifdef HAVE_NGHTTP2_OPTION_SET_STREAM_RESET_RATE_LIMIT
    nghttp2_option_set_stream_reset_rate_limit(options, reset_burst, reset_rate);
#endif
#ifdef HAVE_NGHTTP2_OPTION_SET_MAX_CONTINUATIONS
    nghttp2_option_set_max_continuations(options, max_continuations);
#endif
    return options;
}

} // namespace

ServerContext::ServerContext(std::size_t memory)
    : callbacks_{make_callbacks()}, options_{make_options()}, blocks_{memory},
      memory_{.used = 0, .most = memory, .blocks = &blocks_} {}

ServerContext::~ServerContext() = default;

std::string_view ServerContext::date() noexcept {
    return date_.at(std::time(nullptr));
}

} // namespace dotproxy::http
