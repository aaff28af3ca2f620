// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A text is refused, or stands for octets that no other text stands for.

#include "http/base64url.hh"

#include "fuzz/fuzz.hh"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace dotproxy::http;
using dotproxy::fuzz::require;

std::string encode(const std::vector<std::uint8_t>& octets) {
    constexpr std::string_view alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::string text;
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const std::uint8_t octet : octets) {
        bits = bits << 8U | octet;
        count += 8;
        while (count >= 6) {
            count -= 6;
            text += alphabet[bits >> count & 63U];
        }
    }
    if (count > 0) {
        text += alphabet[bits << (6U - count) & 63U];
    }
    return text;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    std::vector<std::uint8_t> octets(base64url_size(size));
    if (const auto used = decode_base64url(text, octets)) {
        require(*used == octets.size(), "the size is what the length says");
        require(encode(octets) == text, "a text that stands for octets is the only one");
    }
    return 0;
}
