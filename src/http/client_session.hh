// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// ClientSession: HTTP/2 with an upstream (RFC 9113), by nghttp2, as a transformer of octets: DNS
// messages become requests (RFC 8484, section 4.1), and what comes back becomes events. It knows
// neither sockets nor DNS. Whoever owns it gives each request a tag, a small number that stands for
// nothing else until the request has ended.
//
// One turn:
//     feed(octets)
//     while next(event)
//     ask(), cancel(), ping()
//     fill(), write output()
//
// Nothing waits in nghttp2 but what the peer's windows hold back: no more is asked than room()
// (E82), so each request has left this host with the fill() that follows.

#pragma once

#include "base/buffer.hh"
#include "http/memory.hh"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nghttp2/nghttp2.h>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy::http {

class ClientContext;

/// Where requests go.
struct Target {
    std::string authority; // "dns.example", or "dns.example:8443" (RFC 9113, section 8.3.1)
    std::string path;      // "/dns-query"
};

/// What became of a request, or of the connection.
struct Event {
    enum class Kind : std::uint8_t {
        response,  // a whole one, be its status what it may
        refused,   // the peer has not looked at the request (RFC 9113, section 8.7)
        failed,    // its stream was reset, or the response was against the rules
        pong,      // a ping was answered
        leaving,   // the peer takes no more requests; those that it has it may answer still
        throttled, // it ends all since we ask too much (ENHANCE_YOUR_CALM, E85)
        expelled,  // it ends all since it cannot be asked in this way (E85)
    };
    Kind kind{Kind::pong};
    std::uint16_t tag{0};   // of a request: with the first three
    unsigned status{0};     // of a response; and what follows
    bool is_message{false}; // it has the type of a DNS message
    std::span<std::uint8_t> body{};
    std::chrono::seconds age{0}; // since when its content stands (RFC 9111, section 5.1)
    std::optional<std::chrono::seconds> retry_after{};
};

class ClientSession {
  public:
    /// Of one connection, what nghttp2 may have, in octets.
    static constexpr std::size_t memory_limit = std::size_t{8} << 20U;

    /// The most that a response may have, which is a DNS message.
    static constexpr std::size_t body_limit = 65535;

    /// Of all responses that are not whole together, in octets.
    static constexpr std::size_t bodies_limit = std::size_t{8} << 20U;

    /// Context and target outlive it. Not sound from the start when there is no memory.
    ClientSession(ClientContext& context, const Target& target) noexcept;
    ClientSession(const ClientSession&) = delete;
    ClientSession& operator=(const ClientSession&) = delete;
    ~ClientSession();

    /// How many more requests the peer takes now.
    [[nodiscard]] std::size_t room() const noexcept;

    /// Sends a message, which is copied. There is room(), and the tag is not in use.
    void ask(std::uint16_t tag, std::span<const std::uint8_t> message) noexcept;

    /// Nobody waits for it any more: no event will come of it, and the tag is free.
    void cancel(std::uint16_t tag) noexcept;

    /// Asks for a sign of life.
    void ping() noexcept;

    /// Takes in all of `octets`, and fills output() with what they ask for.
    void feed(std::span<const std::uint8_t> octets) noexcept;
    /// Takes the next event. Its body stands until the next call. false: there is none.
    [[nodiscard]] bool next(Event& event) noexcept;

    /// Moves what is to be written to output().
    void fill() noexcept;

    /// Octets to be written to the peer. Its owner consumes it.
    [[nodiscard]] Buffer& output() noexcept { return output_; }

    /// How many octets wait: in output(), and of messages that the peer's windows hold back (E89).
    [[nodiscard]] std::size_t waiting() const noexcept { return output_.size() + withheld_; }

    /// Whether it can be used: not where the peer broke the protocol, or memory has run out.
    [[nodiscard]] bool is_sound() const noexcept { return error_ == 0; }

    /// Why it is not, or why the peer leaves, for the log.
    [[nodiscard]] std::string_view reason() const noexcept;

    /// Makes the callbacks those of this class; for ClientContext.
    static void set(nghttp2_session_callbacks& callbacks) noexcept;

  private:
    struct Stream {
        std::int32_t id{0};   // 0: nobody waits for it
        bool open{false};     // it has not been closed
        Event event;          // as far as it is known
        bool has_head{false}; // the final status and its fields have come
        bool ended{false};    // the response is whole
        bool too_large{false};
        Buffer message; // what is not yet written to a frame
        std::vector<std::uint8_t> body;
    };

    /// An event, and the stream that it is of; 0: of none.
    struct Told {
        Event event;
        std::int32_t id;
    };

    struct Free {
        void operator()(nghttp2_session* session) const noexcept { nghttp2_session_del(session); }
    };

    // What nghttp2 calls. None of them acts: they take down what is told after feeding, or queue
    // frames (E40, E41).
    static int on_header(nghttp2_session* session, const nghttp2_frame* frame,
                         const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                         std::size_t value_size, std::uint8_t flags, void* self) noexcept;
    static int on_data(nghttp2_session* session, std::uint8_t flags, std::int32_t id,
                       const std::uint8_t* data, std::size_t size, void* self) noexcept;
    static int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* self) noexcept;
    static int on_frame_sent(nghttp2_session* session, const nghttp2_frame* frame,
                             void* self) noexcept;
    static int on_close(nghttp2_session* session, std::int32_t id, std::uint32_t error,
                        void* self) noexcept;
    static ssize_t read_message(nghttp2_session* session, std::int32_t id, std::uint8_t* to,
                                std::size_t size, std::uint32_t* flags, nghttp2_data_source* source,
                                void* self) noexcept;

    [[nodiscard]] Stream& stream_for(std::uint16_t tag);
    [[nodiscard]] Stream* stream_of(std::int32_t id) noexcept;
    void close(Stream& stream) noexcept;
    void release_response() noexcept;
    [[nodiscard]] bool submit(Stream& stream, std::size_t size) noexcept;

    void tell(Event::Kind kind) { events_.push_back({.event = {.kind = kind}, .id = 0}); }

    void on_goodbye(std::uint32_t error) noexcept;
    void on_settings() noexcept;
    [[nodiscard]] int on_part(Stream& stream, bool last) noexcept;

    const Target& target_;
    Memory memory_;
    std::unique_ptr<nghttp2_session, Free> session_; // after memory_: it ends first
    std::vector<std::unique_ptr<Stream>> streams_;   // by tag
    std::size_t open_{0};                            // streams that nghttp2 has
    std::vector<Told> events_;
    std::size_t taken_{0};      // of events_
    Stream* response_{nullptr}; // whose body was given out last
    Buffer output_;
    std::size_t received_{0};    // octets of responses that are not whole
    std::size_t withheld_{0};    // octets of messages that are not in a frame
    std::uint32_t goodbye_{0};   // the peer's reason to leave
    std::uint32_t complaint_{0}; // nghttp2's about the peer
    int error_{0};
    bool leaving_{false};
    std::optional<Event::Kind> last_word_;
};

} // namespace dotproxy::http
