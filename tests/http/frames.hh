// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// HTTP/2 frames by hand (RFC 9113, section 4.1), for what no library sends, and a look at those
// that came back.

#pragma once

#include <cstdint>
#include <nghttp2/nghttp2.h>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy::http::test {

inline const std::string preface = NGHTTP2_CLIENT_MAGIC;

inline std::string big_endian(std::uint64_t number, unsigned size) {
    std::string octets;
    while (size-- > 0) {
        octets += static_cast<char>(number >> (size * 8U) & 0xffU);
    }
    return octets;
}

inline std::string frame(std::uint8_t type, unsigned flags, std::uint32_t stream,
                         std::string_view payload = {}) {
    return big_endian(payload.size(), 3) + big_endian(type, 1) + big_endian(flags, 1) +
           big_endian(stream, 4) + std::string{payload};
}

/// A field that is in no table (RFC 7541, section 6.2.2), shorter than 127.
inline std::string literal(std::string_view name, std::string_view value) {
    return std::string(1, '\0') + big_endian(name.size(), 1) + std::string{name} +
           big_endian(value.size(), 1) + std::string{value};
}

/// The fields of a good GET.
inline std::string get_block(std::string_view path = "/dns-query?dns=Zm9vYmFy") {
    return "\x82\x87" + literal(":path", path) + literal(":authority", "dns.example");
}

/// And of a POST.
inline std::string post_block() {
    return "\x83\x87" + literal(":path", "/dns-query") + literal(":authority", "dns.example") +
           literal("content-type", "application/dns-message");
}

constexpr unsigned end_stream = NGHTTP2_FLAG_END_STREAM;
constexpr unsigned end_headers = NGHTTP2_FLAG_END_HEADERS;

inline std::string settings(std::string_view payload = {}) {
    return frame(NGHTTP2_SETTINGS, 0, 0, payload);
}

inline std::string get(std::uint32_t stream) {
    return frame(NGHTTP2_HEADERS, end_headers | end_stream, stream, get_block());
}

inline std::string post_head(std::uint32_t stream) {
    return frame(NGHTTP2_HEADERS, end_headers, stream, post_block());
}

inline std::string data(std::uint32_t stream, std::string_view part, bool last = false) {
    return frame(NGHTTP2_DATA, last ? end_stream : 0, stream, part);
}

inline std::string rst(std::uint32_t stream, std::uint32_t error = NGHTTP2_CANCEL) {
    return frame(NGHTTP2_RST_STREAM, 0, stream, big_endian(error, 4));
}

inline std::string window(std::uint32_t stream, std::uint32_t more) {
    return frame(NGHTTP2_WINDOW_UPDATE, 0, stream, big_endian(more, 4));
}

inline std::string ping(unsigned flags = 0) {
    return frame(NGHTTP2_PING, flags, 0, "12345678");
}

/// A frame that came back.
struct Seen {
    std::uint8_t type;
    std::uint8_t flags;
    std::uint32_t stream;
    std::string payload;

    /// Of RST_STREAM, and of GOAWAY behind the last stream.
    [[nodiscard]] std::uint32_t error() const {
        const std::size_t at = type == NGHTTP2_GOAWAY ? 4 : 0;
        std::uint32_t number = 0;
        for (std::size_t i = at; i < at + 4; ++i) {
            number = number << 8U | static_cast<unsigned char>(payload.at(i));
        }
        return number;
    }
};

/// Whole frames only, as everything that comes out of a session is.
inline std::vector<Seen> frames_of(std::string_view octets) {
    const auto number = [&octets](std::size_t at, std::size_t size) {
        std::uint32_t value = 0;
        for (std::size_t i = at; i < at + size; ++i) {
            value = value << 8U | static_cast<unsigned char>(octets.at(i));
        }
        return value;
    };
    std::vector<Seen> frames;
    while (!octets.empty()) {
        const std::size_t size = number(0, 3);
        frames.push_back({static_cast<std::uint8_t>(octets.at(3)),
                          static_cast<std::uint8_t>(octets.at(4)), number(5, 4),
                          std::string{octets.substr(9, size)}});
        octets.remove_prefix(9 + size);
    }
    return frames;
}

} // namespace dotproxy::http::test
