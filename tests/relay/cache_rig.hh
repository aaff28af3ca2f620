// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A Rig whose worker has a cache, in front of one resolver that leaves the answering to the test;
// and the questions and answers that tell what the cache did.

#pragma once

#include "worker/rig.hh"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace dotproxy::test {

using namespace std::chrono_literals;

inline constexpr unsigned noerror = 0;
inline constexpr unsigned servfail = 2;
inline constexpr unsigned nxdomain = 3;
inline constexpr unsigned refused = 5;

inline constexpr unsigned no_error_told = 0xffff; // no Extended DNS Error
inline constexpr unsigned ede_bogus = 6;
inline constexpr unsigned ede_stale = 3;
inline constexpr unsigned ede_cached = 13;
inline constexpr unsigned ede_stale_nxdomain = 19;
inline constexpr unsigned ede_network = 23;

/// As the program has it by default.
[[nodiscard]] inline CacheConfig default_cache() {
    return {.size = CacheMemory::smallest,
            .min_ttl = 0s,
            .max_ttl = 24h,
            .max_negative_ttl = 3h,
            .failure_ttl = 5s,
            .stale_after = 1800ms,
            .max_stale = 24h,
            .prefetch = true};
}

/// A worker with a cache: one of its own, or one that it shares with another.
inline Resolver& serve_cached(Rig& rig, std::shared_ptr<const CacheMemory> memory = nullptr) {
    if (rig.config.cache.size == 0) {
        rig.config.cache = default_cache();
    }
    rig.cache =
        memory ? std::move(memory) : std::make_shared<const CacheMemory>(rig.config.cache.size, 1);
    Resolver& resolver = rig.add_upstream();
    resolver.answers = false;
    rig.open();
    return resolver;
}

/// How a query is asked, apart from the question.
struct How {
    std::uint16_t id{0x4711};
    unsigned flags{dns::test::query_flags};
    bool edns{true};
    std::uint32_t opt_flags{0}; // dnssec_ok
    unsigned payload{1232};
    dns::Octets options{};
    std::uint16_t type{dns::type::a};
    unsigned klass{dns::klass::in};
};

[[nodiscard]] inline Message make_query(std::string_view name, const How& how = {}) {
    dns::test::Message made{how.id, how.flags};
    made.question(name, how.type, how.klass);
    if (how.edns) {
        made.opt(how.options, how.payload, how.opt_flags);
    }
    return {made.octets().begin(), made.octets().end()};
}

// What the resolver says.

/// One address.
[[nodiscard]] inline dns::test::Message with_ttl(const Asked& asked, std::uint32_t ttl) {
    dns::test::Message message{asked.id, dns::test::response_flags};
    message.question(asked.name, asked.type);
    message.pointer(dns::header_size)
        .u16(asked.type)
        .u16(dns::klass::in)
        .u32(ttl)
        .u16(4)
        .raw(dns::test::address);
    message.count(dns::test::Section::answer);
    return message;
}

/// That there is no such name or no such type.
[[nodiscard]] inline dns::test::Message denial(const Asked& asked, unsigned rcode,
                                               std::uint32_t ttl, std::uint32_t minimum) {
    dns::test::Message message{asked.id, dns::test::response_flags | rcode};
    message.question(asked.name, asked.type);
    dns::test::Bytes soa;
    soa.name("ns.example").name("root.example").u32(1).u32(2).u32(3).u32(4).u32(minimum);
    message.name("example");
    message.rest(dns::test::Section::authority, dns::type::soa, soa.octets(), dns::klass::in, ttl);
    return message;
}

/// A failure, with an Extended DNS Error or without.
[[nodiscard]] inline dns::test::Message failure(const Asked& asked, unsigned rcode = servfail,
                                                std::optional<unsigned> error = std::nullopt) {
    dns::test::Message message{asked.id, dns::test::response_flags | rcode};
    message.question(asked.name, asked.type);
    if (error) {
        dns::test::Bytes code;
        code.u16(*error);
        dns::test::Bytes option;
        option.option(15, code.octets());
        message.opt(option.octets());
    }
    return message;
}

// What the client gets.

/// Asks, and waits until the question has come to the resolver.
inline Asked put(Rig& rig, Resolver& resolver, const UdpClient& client, const Message& query) {
    client.send(query);
    assert_true(rig.until([&] { return !resolver.asked.empty(); }));
    return resolver.take();
}

/// Asks, has the resolver say what `say(asked)` makes, and returns what the client gets.
template <class Say>
Message ask(Rig& rig, Resolver& resolver, const Message& query, Say say) {
    const UdpClient client{rig.udp_address()};
    const Asked asked = put(rig, resolver, client, query);
    resolver.send(asked.session, say(asked).octets());
    return answer_to(rig, client);
}

/// The same, with one address.
inline Message learn(Rig& rig, Resolver& resolver, std::string_view name, std::uint32_t ttl) {
    return ask(rig, resolver, make_query(name),
               [ttl](const Asked& asked) { return with_ttl(asked, ttl); });
}

/// Asks for what is answered without the upstream.
inline Message ask(Rig& rig, const Message& query) {
    const UdpClient client{rig.udp_address()};
    client.send(query);
    return answer_to(rig, client);
}

/// The TTL of the first record, which is owned by the name that was asked for.
[[nodiscard]] inline std::uint32_t ttl_of(const Message& message) {
    const std::size_t at = dns::test::layout(message).question_end;
    return at + 10 <= message.size() ? dns::load32(message, at + 6) : ~0U;
}

/// The first Extended DNS Error.
[[nodiscard]] inline unsigned error_of(const Message& message) {
    const auto option = dns::test::find_option(message, 15);
    return option.found && option.data.size() >= 2 ? dns::load16(option.data, 0) : no_error_told;
}

/// Questions that went to the resolver or are on their way. Nothing is missed that is only late.
[[nodiscard]] inline std::uint64_t asked_upstream(const Rig& rig) {
    return rig.count(UpstreamCounter::queries);
}

[[nodiscard]] inline bool nothing_waits(const Rig& rig) {
    return rig.count(Counter::queries_waiting) == 0;
}

} // namespace dotproxy::test
