// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Server: one HTTP connection of a client as a transformer of octets. Whoever owns it feeds in what
// was read (and decrypted), takes out whole requests, answers them in whatever order, and writes
// what is in output(). It knows neither sockets nor DNS nor time: which of its bounds are met with
// which deadline is its owner's to say. There are two kinds: ServerSession (HTTP/2) and Http1.
//
// One turn:
//     feed(octets)                        as long as wants_input()
//     while next_request(request)         as long as the owner has time; the rest waits
//         respond(), fail() or cancel()   each request that was taken, once, now or later
//     fill(), write output()              until held() is 0 or nothing more can be written

#pragma once

#include "base/buffer.hh"
#include "http/status.hh"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace dotproxy::http {

/// What is served at a listener.
struct Service {
    std::string path{"/dns-query"}; // exactly, without parameters
    bool cors{false};               // any web page may ask (E56)
    bool forwarded{false};          // X-Forwarded-For is kept: the peer is trusted (E73)
};

/// A whole request. What it refers to stands until the next call of next_request(),
/// feed() or fill().
struct Request {
    std::uint32_t stream{0};               // names it in what the owner answers
    std::span<const std::uint8_t> message; // not empty, and no more is known about it
    std::string_view forwarded_for;        // all lines of X-Forwarded-For, joined by commas
    bool forwarded_too_long{false};        // there was more of it than is kept, so it says nothing
};

class Server {
  public:
    enum class State : std::uint8_t {
        open,
        ending, // nothing more is read or asked; write output(), then close
        dead,   // close: there is nothing to write, or nobody to read it
    };

    /// What became of an answer.
    enum class Answered : std::uint8_t {
        queued,
        gone, // the client does not want it any more, or the connection is over
    };

    /// While output() holds so many octets nothing is added to it, but for the rest of a frame of
    /// at most 16 KiB, or one answer over HTTP/1.1. Who does not read, but makes us write, so fills
    /// the queues of the protocol, which have bounds, and not memory (E45).
    static constexpr std::size_t output_limit = 65536;

    /// A body is a DNS message, and may be as long as one (E48).
    static constexpr std::size_t body_limit = 65535;

    Server() = default;
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    virtual ~Server() = default;

    /// Takes in all of `octets`; nothing when not open. What can be asked is there afterwards.
    virtual State feed(std::span<const std::uint8_t> octets) noexcept = 0;

    /// Whether it would be useful to read: open, no request waits to be taken, and output() is
    /// not full. A connection that is fed all the same is bounded too.
    [[nodiscard]] virtual bool wants_input() const noexcept = 0;

    /// Whether next_request() has one.
    [[nodiscard]] virtual bool has_request() const noexcept = 0;

    /// Takes the next whole request, in the order in which they became whole. false: there is none.
    /// Who takes one answers it once, by respond(), fail() or cancel(): until then it counts in
    /// asked(), even if its client has given it up (E46).
    [[nodiscard]] virtual bool next_request(Request& request) noexcept = 0;

    /// Answers with a DNS message, which is copied, and may be kept by caches for `max_age` seconds
    /// (RFC 8484, section 5.1).
    virtual Answered respond(std::uint32_t stream, std::span<const std::uint8_t> message,
                             std::uint32_t max_age) noexcept = 0;

    /// Answers with a status that is an error, and its explanation.
    virtual Answered fail(std::uint32_t stream, Status status) noexcept = 0;

    /// Ends the request without an answer: over HTTP/2 its stream is reset, over HTTP/1.1 the
    /// connection ends.
    virtual void cancel(std::uint32_t stream) noexcept = 0;

    /// Moves what is to be written to output(), while that is below its limit. Call it before
    /// writing, and when output() has been written.
    virtual State fill() noexcept = 0;

    /// Octets to be written to the client. Its owner consumes it.
    [[nodiscard]] Buffer& output() noexcept { return output_; }

    [[nodiscard]] State state() const noexcept { return state_; }

    /// Octets of answers that are not written: in output(), and those that still wait for room in
    /// it or for the client's permission (E47). Who has any and takes none is held to be gone.
    [[nodiscard]] virtual std::size_t held() const noexcept = 0;

    /// Of these, octets that wait for the client's permission, while it can still give it.
    [[nodiscard]] virtual std::size_t withheld() const noexcept { return 0; }

    /// Octets of answers that it has permitted so far.
    [[nodiscard]] virtual std::uint64_t permitted() const noexcept { return 0; }

    /// Octets of requests that are kept: not whole, or not taken.
    [[nodiscard]] virtual std::size_t received() const noexcept = 0;

    /// How many requests were taken and are not answered yet.
    [[nodiscard]] virtual std::size_t asked() const noexcept = 0;

    /// Whether the client has nothing under way: no request of which a part has come or that is not
    /// answered, and nothing to be written (E61).
    [[nodiscard]] virtual bool idle() const noexcept = 0;

    /// Begins to end the connection in order: the client is told to ask elsewhere. What it asks
    /// before it knows is answered. Ends by itself when the client has confirmed it (E62).
    virtual void drain() noexcept = 0;

    /// As drain(), for a client that did not confirm in time: what it has asked by now is the last.
    virtual void last_call() noexcept = 0;

    /// Ends at once: no more than a farewell is written.
    virtual void terminate() noexcept = 0;

    /// How many requests were answered with an error by itself since it was last asked.
    [[nodiscard]] std::uint32_t take_refused() noexcept { return std::exchange(turned_down_, 0); }

    /// Why it is not open any more, for the log; empty when it ended in order.
    [[nodiscard]] virtual std::string_view reason() const noexcept = 0;

  protected:
    Buffer output_;
    State state_{State::open};
    std::uint32_t turned_down_{0}; // requests, since it was last asked
};

/// Which of the two a client speaks, of one that has not said so by ALPN.
enum class Version : std::uint8_t { unknown, http1, http2 };

/// Tells it from what was read first: HTTP/2 begins with a line that no HTTP/1.1 has (RFC 9113,
/// section 3.4). unknown: that takes more octets.
[[nodiscard]] Version version_of(std::span<const std::uint8_t> begin) noexcept;

} // namespace dotproxy::http
