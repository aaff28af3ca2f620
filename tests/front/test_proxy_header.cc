// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The PROXY protocol (E74, E75).

#include "front/proxy_header.hh"
#include "unit.hh"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

using dotproxy::most_proxy_header;
using dotproxy::parse_proxy_datagram;
using dotproxy::parse_proxy_header;
using dotproxy::ProxyHeader;
using State = dotproxy::ProxyHeader::State;

namespace {

dotproxy::dns::Octets octets_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

constexpr std::string_view signature{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr std::string_view v4{"\xc0\0\x02\x01\xc6\x33\x64\x01\xc0\0\x03\x55", 12};

/// Of version 2, with whatever it says.
std::string v2(std::uint8_t command, std::uint8_t family, std::string_view rest) {
    std::string text{signature};
    text += static_cast<char>(command);
    text += static_cast<char>(family);
    text += static_cast<char>(rest.size() >> 8U);
    text += static_cast<char>(rest.size() & 0xffU);
    return text.append(rest);
}

std::string v6_addresses() {
    std::string addresses(36, '\0');
    addresses.replace(0, 4, std::string_view{"\x20\x01\x0d\xb8", 4});
    addresses[15] = 7;
    addresses[33] = 53;
    return addresses;
}

/// What comes of a header with something behind it, however much of it is there.
void assert_header(const std::string& header, const char* client) {
    for (std::size_t size = 0; size < header.size(); ++size) {
        if (parse_proxy_header(octets_of(header).first(size)).state != State::partial) {
            fail_msg("%zu of %zu octets", size, header.size());
        }
    }
    const ProxyHeader whole = parse_proxy_header(octets_of(header + "\x16\x03\x01"));
    assert_int_equal(whole.state, State::complete);
    assert_int_equal(whole.size, header.size());
    const char* const nobody = whole.local ? "itself" : "unknown";
    assert_false(whole.local && whole.client);
    assert_string_equal(whole.client ? whole.client->text().c_str() : nobody, client);
}

void assert_invalid(const std::string& header) {
    if (parse_proxy_header(octets_of(header)).state != State::invalid) {
        fail_msg("taken: %s", header.c_str());
    }
}

void test_version_1_then_its_client(void** /*state*/) {
    assert_header("PROXY TCP4 192.0.2.1 198.51.100.1 49152 853\r\n", "192.0.2.1:49152");
    assert_header("PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n", "[2001:db8::7]:1");
    assert_header("PROXY UNKNOWN\r\n", "unknown");
    assert_header("PROXY UNKNOWN ffff:f...f:ffff whatever 65535 65535\r\n", "unknown");
}

void test_version_1_when_it_is_not_right_then_invalid(void** /*state*/) {
    for (const char* const line :
         {"TCP4", "TCP4 192.0.2.1", "TCP4 192.0.2.1 198.51.100.1 49152",
          "TCP4 192.0.2.1 198.51.100.1 49152 853 ", "TCP4 192.0.2.1 198.51.100.1 49152 853 1",
          "TCP4  192.0.2.1 198.51.100.1 49152 853", "TCP4 192.0.2.256 198.51.100.1 49152 853",
          "TCP4 192.0.2.1 198.51.100.1 65536 853", "TCP4 192.0.2.1 198.51.100.1 -1 853",
          "TCP4 2001:db8::7 2001:db8::1 1 2", "TCP6 192.0.2.1 198.51.100.1 1 2",
          "TCP6 fe80::1%lo 2001:db8::1 1 2", "UDP4 192.0.2.1 198.51.100.1 49152 853",
          "tcp4 192.0.2.1 198.51.100.1 49152 853", "", "UNKNOWNX"}) {
        assert_invalid("PROXY " + std::string{line} + "\r\n");
    }
    assert_invalid("PROXY " + std::string(101, 'x'));
    assert_invalid("PROXY UNKNOWN " + std::string(92, 'x') + "\r\n"); // 108 octets
    assert_invalid("PROX\r\n");
    assert_invalid("\x16\x03\x01");
    assert_invalid("GET / HTTP/1.1\r\n");
}

void test_version_2_then_its_client(void** /*state*/) {
    assert_header(v2(0x21, 0x11, v4), "192.0.2.1:49152");
    assert_header(v2(0x21, 0x12, v4), "192.0.2.1:49152");
    assert_header(v2(0x21, 0x21, v6_addresses()), "[2001:db8::7]:53");
    // What comes behind the addresses is of no interest.
    assert_header(v2(0x21, 0x11, std::string{v4} + std::string(300, 'x')), "192.0.2.1:49152");
    // A proxy that looks whether we are there, with or without something in place of addresses.
    assert_header(v2(0x20, 0x00, ""), "itself");
    assert_header(v2(0x20, 0x11, v4), "itself");
    assert_header(v2(0x20, 0x41, v4), "itself");
    assert_header(v2(0x21, 0x00, "whatever"), "unknown");
    assert_header(v2(0x21, 0x31, std::string(216, '/')), "unknown");
}

void test_version_2_when_it_is_not_right_then_invalid(void** /*state*/) {
    assert_invalid(v2(0x11, 0x11, v4));
    assert_invalid(v2(0x31, 0x11, v4));
    assert_invalid(v2(0x22, 0x11, v4));
    assert_invalid(v2(0x21, 0x41, v4));
    assert_invalid(v2(0x21, 0x13, v4));
    assert_invalid(v2(0x21, 0x11, v4.substr(1)));
    assert_invalid(v2(0x21, 0x21, v4));
    assert_invalid(v2(0x21, 0x11, std::string(most_proxy_header, 'x')).substr(0, 16));
}

// fleet 6: version 1 says nothing of the datagrams behind the first.
void test_datagram_then_version_2_and_whole(void** /*state*/) {
    const std::string header = v2(0x21, 0x12, v4);
    const ProxyHeader whole = parse_proxy_datagram(octets_of(header + "question"));
    assert_int_equal(whole.state, State::complete);
    assert_int_equal(whole.size, header.size());
    for (std::size_t size = 0; size < header.size(); ++size) {
        assert_int_equal(parse_proxy_datagram(octets_of(header).first(size)).state, State::invalid);
    }
    const std::string older = "PROXY UNKNOWN\r\n";
    assert_int_equal(parse_proxy_datagram(octets_of(older)).state, State::invalid);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_version_1_then_its_client),
        cmocka_unit_test(test_version_1_when_it_is_not_right_then_invalid),
        cmocka_unit_test(test_version_2_then_its_client),
        cmocka_unit_test(test_version_2_when_it_is_not_right_then_invalid),
        cmocka_unit_test(test_datagram_then_version_2_and_whole),
    };
    return cmocka_run_group_tests_name("front/proxy_header", tests, nullptr, nullptr);
}
