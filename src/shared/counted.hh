// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What is counted: the one table of all counters and of the closed lists that some are split by,
// each with its names. A key of dotproxyctl(8) is the name of the list, an underscore and the name
// in it. New ones are added here, to the enumeration and to its names, and to the manual.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dotproxy {

/// Counted without further distinction.
enum class Counter : std::uint8_t {
    udp_queries,
    tcp_queries,
    udp_answers,
    tcp_answers,
    truncated,     // UDP answers sent with TC
    local_answers, // answered here, never forwarded
    format_errors, // FORMERR, NOTIMP and BADVERS
    cache_hits,
    cache_misses,
    cache_stale,      // expired answers given since there was nothing better (RFC 8767)
    cache_failures,   // failures found again (RFC 9520)
    cache_refreshes,  // questions asked again for the cache alone
    cache_not_stored, // too big, or another worker was storing in the same part
    joined,           // questions that joined one in flight (C95)
    dropped,          // messages that get no answer: responses, fragments of a header, port 0
    repeated,         // UDP questions asked again while they waited: one answer is for both
    late_dropped,     // UDP answers for beyond "local" that were not there in time (DNSBomb)
    send_failed,      // answers that the kernel did not take
    clients_gone,     // answers whose client had left (C12)
    tcp_accepted,
    tcp_refused, // over limits.tcp_clients
    tcp_idle_closed,
    tcp_timed_out,       // slow readers and writers (L26)
    tcp_handed_over,     // to the next generation, at a reload
    accept_paused,       // out of descriptors or memory (L47)
    tcp_refused_address, // one address had too many (C15)
    tcp_nonsense,        // connections closed since what came in them was no DNS
    tls_handshakes,      // with clients, that were completed
    tls_resumed,         // of these, those that went on with an earlier session
    tls_queries,         // of tcp_queries, those that came over TLS
    http_queries,        // and those that came over HTTP, be that over TLS or not
    http_refused,        // requests that were answered with an error of HTTP
    http_broken,         // connections closed since they broke its rules
    proxy_refused,       // connections closed since a proxy did not say whose they are
    proxy_dropped,       // datagrams, as well
    access_refused,      // who may not ask was told so: REFUSED, or a connection closed
    access_dropped,      // who may not ask was told so a moment ago
    cookies_valid,       // questions with a cookie of ours: the address is the client's own
    cookies_bad,         // ... with one that is not, or not any more
    cookies_renewed,     // of the valid ones, those that were getting old
    limited_truncated,   // UDP questions beyond limits.client_rate, answered with TC
    limited_cookies,     // ... with BADCOOKIE and a cookie to come back with
    limited_dropped,     // ... and not at all
    limited_misses,      // questions beyond limits.client_misses: not asked upstream
    limited_connects,    // TCP connections beyond limits.client_connects, closed
    blocks,              // of addresses, because of what came from there; counted by the master
    blocked_dropped,     // datagrams that the kernel dropped for that; as the next
    blocked_refused,     // questions and connections of who is blocked that came through
    udp_receive_drops,   // datagrams that the kernel had no room for; counted by the master
    overload_dropped,    // ... that were dropped unread since their source asks most of all
    // Gauges: what there is now.
    tcp_clients,
    tls_clients,      // of these, those over TLS
    tls_handshaking,  // of these, those that are in the middle of a handshake
    certificate_left, // seconds until the first of our own ends; set by the master
    queries_waiting,
    upstream_connections,
    blocked,   // prefixes; counted by the master, as the next
    offenders, // who was over a limit just now
    udp_queue, // octets that wait to be read, as the kernel counts; counted by the master
    count_
};

/// The first of those that are no counters.
constexpr Counter first_gauge = Counter::tcp_clients;

/// The type in a question.
enum class QueryType : std::uint8_t {
    a,
    aaaa,
    https,
    svcb,
    ptr,
    txt,
    srv,
    mx,
    ns,
    soa,
    cname,
    ds,
    dnskey,
    any,
    other,
    count_
};

/// The RCODE of an answer to a client.
enum class ResponseCode : std::uint8_t {
    noerror,
    nxdomain,
    servfail,
    refused,
    formerr,
    notimp,
    badvers,
    other,
    count_
};

/// Why dotproxy itself answered SERVFAIL.
enum class FailureReason : std::uint8_t {
    timeout,         // no upstream answered as long as the client waits
    unreachable,     // no connection to an upstream, or none that lasted
    untrusted,       // no upstream that could prove its identity
    overload,        // no room for the question
    crowding,        // its client has as many unanswered ones as others could have yet
    limited,         // its client has asked too many that upstreams had to be asked for
    unusable_answer, // the upstream's could not be passed on (L82)
    cached,          // it had failed just before (RFC 9520)
    draining,        // the worker ended
    count_
};

/// Whence an answer came; how long each kind takes is measured.
enum class Outcome : std::uint8_t {
    hit,    // the cache
    stale,  // the cache, where it had expired (RFC 8767)
    miss,   // an upstream
    local,  // dotproxy, which knew without asking
    failed, // nowhere
    count_
};

/// Why a client over TLS got no further than the handshake.
enum class TlsFailure : std::uint8_t {
    closed,       // it left
    certificate,  // it does not accept ours
    incompatible, // no version, cipher or protocol that both would speak
    nonsense,     // what it sent was no TLS, or broke its rules
    timeout,      // it took too long, or others needed its place
    ended,        // by us for another reason: a block, the end of the service
    count_
};

/// Why a worker had to be replaced.
enum class RestartReason : std::uint8_t {
    exit,    // it ended by itself
    signal,  // it crashed, or somebody killed it
    hang,    // it gave no sign of life
    sandbox, // it made a call that is forbidden
    count_
};

enum class ReloadResult : std::uint8_t { ok, failed, count_ };

/// Counted for each address of an upstream.
enum class UpstreamCounter : std::uint8_t {
    connects,
    handshakes,
    resumed,
    failed, // connections that failed before they were of use
    queries,
    records, // TLS records that carried them
    answers,
    resent,
    late,        // answers that nobody waits for any more
    refused,     // answers not passed on, or not whole: malformed, unrelated ... (L82)
    broken,      // connections closed since their stream made no sense (L83)
    failed_over, // questions answered with an error, for which another upstream was asked
    count_
};

/// Why an attempt to connect to an upstream came to nothing.
enum class ConnectFailure : std::uint8_t {
    refused, // by its host
    timeout,
    unreachable, // no route to it
    reset,       // closed before the handshake was over
    tls,         // the handshake failed, for another reason than a certificate
    name,        // the certificate is for somebody else
    expired,
    not_yet_valid,
    untrusted_ca,
    pin, // no key in the chain is pinned
    other,
    count_
};

/// Who closed a connection to an upstream that had been of use or might have been.
enum class ClosedBy : std::uint8_t {
    peer_idle, // while nothing was in flight
    peer_busy, // while questions were
    us,
    count_
};

/// What is measured for each address of an upstream.
enum class UpstreamTime : std::uint8_t {
    rtt,       // from a query to its answer
    connect,   // until TCP is connected
    handshake, // from there until the upstream has proved its identity
    count_
};

/// How many values an enumeration of this table has.
template <class Key>
constexpr std::size_t count_of = static_cast<std::size_t>(Key::count_);

/// The names of an enumeration: what all begin with, and of each the rest.
template <class Key>
struct Names {
    std::string_view list;
    std::array<std::string_view, count_of<Key>> each;
};

template <class Key>
constexpr Names<Key> names_of = {};

template <>
constexpr Names<Counter> names_of<Counter>{"", {"udp_queries",       "tcp_queries",
                                                "udp_answers",       "tcp_answers",
                                                "truncated",         "local_answers",
                                                "format_errors",     "cache_hits",
                                                "cache_misses",      "cache_stale",
                                                "cache_failures",    "cache_refreshes",
                                                "cache_not_stored",  "joined",
                                                "dropped",           "repeated",
                                                "late_dropped",      "send_failed",
                                                "clients_gone",      "tcp_accepted",
                                                "tcp_refused",       "tcp_idle_closed",
                                                "tcp_timed_out",     "tcp_handed_over",
                                                "accept_paused",     "tcp_refused_address",
                                                "tcp_nonsense",      "tls_handshakes",
                                                "tls_resumed",       "tls_queries",
                                                "http_queries",      "http_refused",
                                                "http_broken",       "proxy_refused",
                                                "proxy_dropped",     "access_refused",
                                                "access_dropped",    "cookies_valid",
                                                "cookies_bad",       "cookies_renewed",
                                                "limited_truncated", "limited_cookies",
                                                "limited_dropped",   "limited_misses",
                                                "limited_connects",  "blocks",
                                                "blocked_dropped",   "blocked_refused",
                                                "udp_receive_drops", "overload_dropped",
                                                "tcp_clients",       "tls_clients",
                                                "tls_handshaking",   "certificate_left",
                                                "queries_waiting",   "upstream_connections",
                                                "blocked",           "offenders",
                                                "udp_queue"}};

template <>
constexpr Names<QueryType> names_of<QueryType>{"query_types",
                                               {"a", "aaaa", "https", "svcb", "ptr", "txt", "srv",
                                                "mx", "ns", "soa", "cname", "ds", "dnskey", "any",
                                                "other"}};

template <>
constexpr Names<ResponseCode> names_of<ResponseCode>{
    "responses",
    {"noerror", "nxdomain", "servfail", "refused", "formerr", "notimp", "badvers", "other"}};

template <>
constexpr Names<FailureReason> names_of<FailureReason>{"failures",
                                                       {"timeout", "unreachable", "untrusted",
                                                        "overload", "crowding", "limited",
                                                        "unusable_answer", "cached", "draining"}};

template <>
constexpr Names<Outcome> names_of<Outcome>{"query_duration",
                                           {"hit", "stale", "miss", "local", "failed"}};

template <>
constexpr Names<TlsFailure> names_of<TlsFailure>{
    "tls_failures", {"closed", "certificate", "incompatible", "nonsense", "timeout", "ended"}};

template <>
constexpr Names<RestartReason> names_of<RestartReason>{"worker_restarts",
                                                       {"exit", "signal", "hang", "sandbox"}};

template <>
constexpr Names<ReloadResult> names_of<ReloadResult>{"reloads", {"ok", "failed"}};

template <>
constexpr Names<UpstreamCounter> names_of<UpstreamCounter>{
    "upstream",
    {"connects", "handshakes", "resumed", "failed", "queries", "records", "answers", "resent",
     "late", "refused", "broken", "failed_over"}};

template <>
constexpr Names<ConnectFailure> names_of<ConnectFailure>{
    "upstream_connect_failures",
    {"refused", "timeout", "unreachable", "reset", "tls", "name", "expired", "not_yet_valid",
     "untrusted_ca", "pin", "other"}};

template <>
constexpr Names<ClosedBy> names_of<ClosedBy>{"upstream_closes", {"peer_idle", "peer_busy", "us"}};

template <>
constexpr Names<UpstreamTime> names_of<UpstreamTime>{"upstream", {"rtt", "connect", "handshake"}};

/// Its whole name: "failures_timeout".
template <class Key>
[[nodiscard]] std::string name_of(Key key) {
    const Names<Key>& names = names_of<Key>;
    std::string name{names.list};
    name.append(name.empty() ? "" : "_").append(names.each[static_cast<std::size_t>(key)]);
    return name;
}

/// Calls `visit` with each value of an enumeration, in its order.
template <class Key, class Visit>
void for_each_of(Visit visit) {
    for (std::size_t i = 0; i < count_of<Key>; ++i) {
        visit(static_cast<Key>(i));
    }
}

} // namespace dotproxy
