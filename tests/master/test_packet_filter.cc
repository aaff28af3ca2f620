// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The programs that drop packets, in an interpreter against a model that walks the rules, and in
// the kernel (limits 21 and 22).

#include "master/packet_filter.hh"

#include "base/fd.hh"
#include "base/listener.hh"
#include "unit.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <endian.h>
#include <linux/if_ether.h>
#include <random>
#include <string>
#include <sys/socket.h>
#include <vector>

using dotproxy::Address;
using dotproxy::AddressBits;
using dotproxy::attach_packet_filter;
using dotproxy::detach_packet_filter;
using dotproxy::Fate;
using dotproxy::FilterRule;
using dotproxy::Listener;
using dotproxy::make_packet_filter;
using dotproxy::Prefix;

namespace {

using Program = std::vector<sock_filter>;

constexpr std::size_t most_rules = 256;

AddressBits bits(const std::string& literal) {
    return AddressBits::of(Address::parse(literal, 0).value());
}

Prefix prefix(const std::string& literal) {
    return Prefix::parse(literal).value();
}

std::uint32_t word_of(const AddressBits& address, unsigned word) {
    const std::uint64_t half = word < 2 ? address.high : address.low;
    return static_cast<std::uint32_t>(word % 2 == 0 ? half >> 32U : half);
}

/// What a program loads: all that it may look at of a packet.
std::uint32_t load(std::uint32_t k, const AddressBits& source, std::uint32_t random) {
    const auto offset = static_cast<std::int32_t>(k);
    if (offset == SKF_AD_OFF + SKF_AD_PROTOCOL) {
        return source.is_v4() ? ETH_P_IP : ETH_P_IPV6;
    }
    if (offset == SKF_AD_OFF + SKF_AD_RANDOM) {
        return random;
    }
    if (source.is_v4()) {
        assert_int_equal(offset, SKF_NET_OFF + 12);
        return word_of(source, 3);
    }
    const std::int32_t in_source = offset - SKF_NET_OFF - 8;
    assert_true(in_source >= 0 && in_source <= 12 && in_source % 4 == 0);
    return word_of(source, static_cast<unsigned>(in_source) / 4);
}

/// How many octets of the packet a program lets through; `steps` grows by what it took.
std::uint32_t run(const Program& program, const AddressBits& source, std::uint32_t random,
                  std::size_t& steps) {
    std::uint32_t a = 0;
    std::array<std::uint32_t, BPF_MEMWORDS> memory{};
    for (std::size_t at = 0;; ++at, ++steps) {
        assert_true(at < program.size());
        const sock_filter& one = program[at];
        switch (one.code) {
        case BPF_LD | BPF_W | BPF_ABS:
            a = load(one.k, source, random);
            break;
        case BPF_LD | BPF_MEM:
            a = memory.at(one.k);
            break;
        case BPF_ST:
            memory.at(one.k) = a;
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= one.k;
            break;
        case BPF_JMP | BPF_JA:
            at += one.k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            at += a == one.k ? one.jt : one.jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            at += a >= one.k ? one.jt : one.jf;
            break;
        case BPF_RET | BPF_K:
            return one.k;
        default:
            fail_msg("instruction %#x", unsigned{one.code});
        }
    }
}

Fate fate_of(const Program& program, const AddressBits& source) {
    std::size_t steps = 0;
    const bool passes = run(program, source, 64 * 7, steps) != 0;
    const bool is_dropped = run(program, source, 64 * 7 + 1, steps) == 0;
    assert_true(steps < 2 * 60);
    return !is_dropped ? Fate::pass : passes ? Fate::drop_most : Fate::drop;
}

Fate expected(const std::vector<FilterRule>& rules, const AddressBits& source) {
    Fate fate = Fate::pass;
    for (const FilterRule& rule : rules) {
        if (rule.prefix.contains(source)) {
            fate = std::max(fate, rule.fate);
        }
    }
    return fate;
}

/// The addresses around the ends of a prefix, where mistakes are.
std::vector<AddressBits> around(const Prefix& prefix) {
    std::vector<AddressBits> found;
    const AddressBits first = prefix.bits();
    AddressBits last = first;
    for (unsigned bit = prefix.length(); bit < 128; ++bit) {
        (bit < 64 ? last.high : last.low) |= std::uint64_t{1} << (63 - bit % 64);
    }
    const AddressBits below{.high = first.high - (first.low == 0 ? 1 : 0), .low = first.low - 1};
    const AddressBits above{.high = last.high + (last.low == UINT64_MAX ? 1 : 0),
                            .low = last.low + 1};
    for (const AddressBits& one : {first, last, below, above}) {
        if (one.is_v4() == prefix.is_v4()) {
            found.push_back(one);
        }
    }
    return found;
}

void check(const std::vector<FilterRule>& rules, const std::vector<AddressBits>& sources) {
    const Program program = make_packet_filter(rules);
    assert_in_range(program.size(), 1, BPF_MAXINSNS);
    for (const AddressBits& source : sources) {
        if (fate_of(program, source) != expected(rules, source)) {
            fail_msg("%s is treated otherwise than %zu rules say",
                     Prefix(source, 128).text().c_str(), rules.size());
        }
    }
}

// limits 21
void test_filter_when_there_is_nothing_to_drop_then_all_passes(void** /*state*/) {
    check({}, {bits("192.0.2.1"), bits("::"), bits("2001:db8::1")});
    const Program program = make_packet_filter({});
    assert_in_range(program.size(), 1, 4);
}

void test_filter_when_addresses_are_given_then_these_alone(void** /*state*/) {
    const std::vector<FilterRule> rules{{prefix("192.0.2.7"), Fate::drop},
                                        {prefix("198.51.100.0/24"), Fate::drop_most},
                                        {prefix("198.51.100.9"), Fate::drop},
                                        {prefix("2001:db8::7"), Fate::drop_most},
                                        {prefix("2001:db8:1::/48"), Fate::drop}};
    const Program program = make_packet_filter(rules);
    assert_true(fate_of(program, bits("192.0.2.7")) == Fate::drop);
    assert_true(fate_of(program, bits("192.0.2.6")) == Fate::pass);
    assert_true(fate_of(program, bits("192.0.2.8")) == Fate::pass);
    assert_true(fate_of(program, bits("198.51.100.8")) == Fate::drop_most);
    assert_true(fate_of(program, bits("198.51.100.9")) == Fate::drop);
    assert_true(fate_of(program, bits("198.51.101.0")) == Fate::pass);
    assert_true(fate_of(program, bits("2001:db8::7")) == Fate::drop_most);
    assert_true(fate_of(program, bits("2001:db8::8")) == Fate::pass);
    assert_true(fate_of(program, bits("2001:db8:1:ffff::9")) == Fate::drop);
    assert_true(fate_of(program, bits("2001:db8:2::")) == Fate::pass);
}

void test_filter_when_a_family_is_given_then_all_of_it(void** /*state*/) {
    const std::vector<AddressBits> sources{bits("0.0.0.0"), bits("255.255.255.255"), bits("::"),
                                           bits("ffff::ffff"), bits("10.0.0.1")};
    check({{prefix("0.0.0.0/0"), Fate::drop}}, sources);
    check({{prefix("::/0"), Fate::drop}}, sources);
    check({{prefix("128.0.0.0/1"), Fate::drop}, {prefix("8000::/1"), Fate::drop_most}}, sources);
    check({{prefix("255.255.255.255"), Fate::drop},
           {prefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), Fate::drop}},
          {bits("255.255.255.255"), bits("255.255.255.254"), bits("::"),
           bits("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
           bits("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe")});
}

/// Rules close to each other, so that they touch and contain each other.
std::vector<FilterRule> random_rules(std::mt19937_64& random, std::size_t count) {
    std::vector<FilterRule> rules;
    const auto below = [&random](std::uint64_t bound) { return random() % bound; };
    // Few values a word: words are equal, zero and at their end often.
    const auto word = [&]() -> std::uint64_t {
        constexpr std::array<std::uint32_t, 6> some{0, 1, 2, 0x20010db8, 0xfffffffe, 0xffffffff};
        return below(3) == 0 ? random() & UINT32_MAX : some.at(below(some.size()));
    };
    while (rules.size() < count) {
        const bool v4 = below(3) == 0;
        const AddressBits address =
            v4 ? AddressBits{.high = 0, .low = std::uint64_t{0xffff} << 32U | word()}
               : AddressBits{.high = word() << 32U | word(), .low = word() << 32U | word()};
        const auto length =
            static_cast<unsigned>(below(4) == 0 ? 128 : below(v4 ? 33 : 129) + (v4 ? 96 : 0));
        rules.push_back({.prefix = Prefix{address, length},
                         .fate = below(2) == 0 ? Fate::drop : Fate::drop_most});
    }
    return rules;
}

// limits 21: any set of rules, and what is in and around it.
void test_filter_when_rules_are_random_then_as_the_model(void** /*state*/) {
    std::mt19937_64 random{20};
    for (int round = 0; round < 400; ++round) {
        const auto rules = random_rules(random, 1 + random() % (round % 20 == 0 ? most_rules : 12));
        std::vector<AddressBits> sources{bits("::"), bits("0.0.0.0"), bits("127.0.0.1")};
        for (const FilterRule& rule : rules) {
            const auto more = around(rule.prefix);
            sources.insert(sources.end(), more.begin(), more.end());
        }
        check(rules, sources);
    }
}

/// As many as there can be, which have nothing in common but begin alike.
std::vector<FilterRule> many_addresses(std::mt19937_64& random, bool v4) {
    std::vector<FilterRule> rules;
    while (rules.size() < most_rules) {
        const AddressBits address =
            v4 ? AddressBits{.high = 0,
                             .low = std::uint64_t{0xffff} << 32U | (random() & UINT32_MAX)}
               : AddressBits{.high = random(), .low = random()};
        rules.push_back({.prefix = Prefix{address, 128},
                         .fate = rules.size() % 2 == 0 ? Fate::drop : Fate::drop_most});
    }
    return rules;
}

// limits 21: what 256 take.
void test_filter_when_there_are_as_many_as_can_be_then_they_fit(void** /*state*/) {
    std::mt19937_64 random{256};
    const std::size_t v4 = make_packet_filter(many_addresses(random, true)).size();
    const std::size_t v6 = make_packet_filter(many_addresses(random, false)).size();
    print_message("# 256 addresses of IPv4: %zu instructions, of IPv6: %zu\n", v4, v6);
    assert_true(v4 < 1200);
    assert_true(v6 < 2700);
}

/// A socket that is bound to an address of this host, and says so.
Listener receiver(const char* literal) {
    return open_listener(dotproxy::Protocol::udp, Address::parse(literal, 0).value());
}

Address name_of(const Listener& listener) {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    assert_int_equal(
        ::getsockname(listener.socket.get(), reinterpret_cast<sockaddr*>(&name), &size), 0);
    return Address::from(name).value();
}

/// How many of `count` datagrams from a source arrive.
int arrived(const Listener& listener, const char* source, int count) {
    const Listener sender = receiver(source);
    const Address to = name_of(listener);
    int got = 0;
    for (int i = 0; i < count; ++i) {
        assert_int_equal(::sendto(sender.socket.get(), "x", 1, 0, to.data(), to.size()), 1);
        char octet = 0;
        got += ::recv(listener.socket.get(), &octet, 1, MSG_DONTWAIT) == 1 ? 1 : 0;
    }
    return got;
}

std::size_t filter_size(const Listener& listener) {
    socklen_t size = 0;
    assert_int_equal(::getsockopt(listener.socket.get(), SOL_SOCKET, SO_GET_FILTER, nullptr, &size),
                     0);
    return size;
}

// limits 21 and 22, by the kernel itself; and 25: nothing is left.
void test_attach_when_addresses_are_given_then_the_kernel_drops_them(void** /*state*/) {
    const Listener listener = receiver("127.0.0.1");
    std::mt19937_64 random{7};
    auto rules = many_addresses(random, true);
    rules.resize(most_rules - 2);
    rules.push_back({prefix("127.7.0.0/16"), Fate::drop});
    rules.push_back({prefix("127.8.0.0/24"), Fate::drop_most});
    const Program program = make_packet_filter(rules);
    assert_true(attach_packet_filter(listener.socket.get(), program));
    assert_true(attach_packet_filter(listener.socket.get(), program));
    assert_int_equal(filter_size(listener), program.size());
    assert_int_equal(arrived(listener, "127.7.0.0", 100), 0);
    assert_int_equal(arrived(listener, "127.7.255.255", 100), 0);
    assert_int_equal(arrived(listener, "127.6.255.255", 100), 100);
    assert_int_equal(arrived(listener, "127.8.1.0", 100), 100);
    assert_in_range(arrived(listener, "127.8.0.9", 6400), 40, 200); // 100, and six sigmas
    detach_packet_filter(listener.socket.get());
    detach_packet_filter(listener.socket.get());
    assert_int_equal(filter_size(listener), 0);
    assert_int_equal(arrived(listener, "127.7.0.0", 10), 10);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_filter_when_there_is_nothing_to_drop_then_all_passes),
        cmocka_unit_test(test_filter_when_addresses_are_given_then_these_alone),
        cmocka_unit_test(test_filter_when_a_family_is_given_then_all_of_it),
        cmocka_unit_test(test_filter_when_rules_are_random_then_as_the_model),
        cmocka_unit_test(test_filter_when_there_are_as_many_as_can_be_then_they_fit),
        cmocka_unit_test(test_attach_when_addresses_are_given_then_the_kernel_drops_them),
    };
    return cmocka_run_group_tests_name("master/packet_filter", tests, nullptr, nullptr);
}
