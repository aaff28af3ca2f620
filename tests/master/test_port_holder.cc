// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/port_holder.hh"

#include "unit.hh"

#include <bit>
#include <cstring>
#include <string>
#include <sys/socket.h>

using dotproxy::Address;
using dotproxy::describe_port_holder;
using dotproxy::find_bound;
using dotproxy::Listener;
using dotproxy::open_listener;
using dotproxy::Protocol;

namespace {

// As the kernel writes them on a machine with the least significant octet first.
const std::string udp =
    "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode ref pointer drops\n"
    "  111: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 "
    "21001 2 0000000000000000 0\n"
    "  222: 00000000:14B4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 "
    "21002 2 0000000000000000 0\n";
const std::string tcp =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode\n"
    "   0: 0100007F:0035 0200007F:C350 01 00000000:00000000 00:00000000 00000000     5        0 "
    "31001 1 0000000000000000 100 0 0 10 0\n"
    "   1: 0100007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000     6        0 "
    "31002 1 0000000000000000 100 0 0 10 0\n";
const std::string udp6 =
    "  sl  local_address                         remote_address                        st tx_queue "
    "rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
    "  333: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 "
    "00000000:00000000 00:00000000 00000000     7        0 41001 2 0000000000000000 0\n"
    "  334: 00000000000000000000000000000000:14B4 00000000000000000000000000000000:0000 07 "
    "00000000:00000000 00:00000000 00000000     8        0 41002 2 0000000000000000 0\n";

std::string found(const std::string& table, Protocol protocol, const char* host,
                  std::uint16_t port) {
    const auto socket = find_bound(table, protocol, *Address::parse(host, port));
    return socket ? socket->address.text() + " " + std::to_string(socket->owner) + " " +
                        std::to_string(socket->inode)
                  : "none";
}

void test_find_then_the_socket_that_overlaps(void** /*state*/) {
    if constexpr (std::endian::native == std::endian::little) {
        assert_string_equal(found(udp, Protocol::udp, "127.0.0.53", 53).c_str(),
                            "127.0.0.53:53 101 21001");
        assert_string_equal(found(udp, Protocol::udp, "0.0.0.0", 53).c_str(),
                            "127.0.0.53:53 101 21001");
        assert_string_equal(found(udp, Protocol::udp, "127.0.0.1", 53).c_str(), "none");
        assert_string_equal(found(udp, Protocol::udp, "127.0.0.1", 5300).c_str(),
                            "0.0.0.0:5300 0 21002");
        assert_string_equal(found(udp6, Protocol::udp, "::1", 53).c_str(), "[::1]:53 7 41001");
        assert_string_equal(found(udp6, Protocol::udp, "::", 53).c_str(), "[::1]:53 7 41001");
        assert_string_equal(found(udp6, Protocol::udp, "::2", 53).c_str(), "none");
        // It may take IPv4 as well: the table does not tell.
        assert_string_equal(found(udp6, Protocol::udp, "127.0.0.1", 5300).c_str(),
                            "[::]:5300 8 41002");
    }
}

void test_find_when_tcp_then_what_listens(void** /*state*/) {
    if constexpr (std::endian::native == std::endian::little) {
        assert_string_equal(found(tcp, Protocol::tcp, "127.0.0.1", 53).c_str(),
                            "127.0.0.1:53 6 31002");
    }
}

void test_find_when_no_table_then_none(void** /*state*/) {
    for (const char* const text :
         {"", "\n\n", "a b c d e f g h i j", "0: 1: 2 0A 4 5 6 7 8 9 10", "0: 0100007F:0035",
          "0: 0100007:0035 1 07 1 1 1 1 1 1", "0: 0100007F:00350 1 07 1 1 1 1 1 1"}) {
        assert_string_equal(found(text, Protocol::udp, "127.0.0.1", 53).c_str(), "none");
    }
}

void test_describe_when_this_process_has_it_then_itself(void** /*state*/) {
    for (const Protocol protocol : {Protocol::udp, Protocol::tcp}) {
        for (const char* const host : {"127.0.0.1", "::1"}) {
            const Listener any = open_listener(protocol, *Address::parse("0.0.0.0", 0));
            sockaddr_storage name{};
            socklen_t size = sizeof name;
            assert_int_equal(
                ::getsockname(any.socket.get(), reinterpret_cast<sockaddr*>(&name), &size), 0);
            const std::uint16_t port = Address::from(name)->port();
            const Address wanted = *Address::parse(host, port);
            const std::string text = describe_port_holder(protocol, wanted);
            if (wanted.is_v6()) { // which nobody has
                assert_non_null(std::strstr(text.c_str(), "\"ss -lnp"));
            } else {
                assert_string_equal(
                    text.c_str(), ("dotproxy itself has 0.0.0.0:" + std::to_string(port)).c_str());
            }
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_find_then_the_socket_that_overlaps),
        cmocka_unit_test(test_find_when_tcp_then_what_listens),
        cmocka_unit_test(test_find_when_no_table_then_none),
        cmocka_unit_test(test_describe_when_this_process_has_it_then_itself),
    };
    return cmocka_run_group_tests_name("master/port_holder", tests, nullptr, nullptr);
}
