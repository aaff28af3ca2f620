// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "ctl/name_text.hh"

#include <algorithm>
#include <array>
#include <charconv>

namespace dotproxy::ctl {

namespace {

using namespace std::string_view_literals;

struct Type {
    std::string_view name;
    std::uint16_t number;
};

// Those of IANA's registry that a client may ask for and a cache may hold.
constexpr std::array types{
    Type{"A", 1},           Type{"NS", 2},       Type{"CNAME", 5},       Type{"SOA", 6},
    Type{"PTR", 12},        Type{"HINFO", 13},   Type{"MX", 15},         Type{"TXT", 16},
    Type{"RP", 17},         Type{"AFSDB", 18},   Type{"SIG", 24},        Type{"KEY", 25},
    Type{"AAAA", 28},       Type{"LOC", 29},     Type{"SRV", 33},        Type{"NAPTR", 35},
    Type{"KX", 36},         Type{"CERT", 37},    Type{"DNAME", 39},      Type{"APL", 42},
    Type{"DS", 43},         Type{"SSHFP", 44},   Type{"IPSECKEY", 45},   Type{"RRSIG", 46},
    Type{"NSEC", 47},       Type{"DNSKEY", 48},  Type{"DHCID", 49},      Type{"NSEC3", 50},
    Type{"NSEC3PARAM", 51}, Type{"TLSA", 52},    Type{"SMIMEA", 53},     Type{"HIP", 55},
    Type{"CDS", 59},        Type{"CDNSKEY", 60}, Type{"OPENPGPKEY", 61}, Type{"CSYNC", 62},
    Type{"ZONEMD", 63},     Type{"SVCB", 64},    Type{"HTTPS", 65},      Type{"SPF", 99},
    Type{"NID", 104},       Type{"L32", 105},    Type{"L64", 106},       Type{"LP", 107},
    Type{"EUI48", 108},     Type{"EUI64", 109},  Type{"ANY", 255},       Type{"URI", 256},
    Type{"CAA", 257},       Type{"AVC", 258},    Type{"DLV", 32769},
};

char upper(char c) noexcept {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

} // namespace

std::optional<std::uint16_t> parse_type(std::string_view text) {
    std::string name{text};
    std::transform(name.begin(), name.end(), name.begin(), upper);
    const auto* const known = std::ranges::find(types, name, &Type::name);
    if (known != types.end()) {
        return known->number;
    }
    constexpr auto generic = "TYPE"sv;
    std::uint16_t number = 0;
    const char* const last = name.data() + name.size();
    if (!name.starts_with(generic)) {
        return std::nullopt;
    }
    const auto [end, error] = std::from_chars(name.data() + generic.size(), last, number);
    return error == std::errc{} && end == last && number != 0 ? std::optional{number}
                                                              : std::nullopt;
}

std::string hex(std::span<const std::uint8_t> octets) {
    constexpr auto digits = "0123456789abcdef"sv;
    std::string text;
    for (const std::uint8_t octet : octets) {
        text += digits[octet >> 4U];
        text += digits[octet & 0xfU];
    }
    return text;
}

} // namespace dotproxy::ctl
