// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// ServerSession: HTTP/2 with a client (RFC 9113), by nghttp2. See Server for how it is used.
//
// What one client can make us hold is bounded: so many streams at a time, those that it has given
// up but that are still asked among them (E46); 128 KiB of messages (E48); 256 KiB
// of nghttp2's own (E50); output() (E45). Answers that wait are its owner's to bound, by held().

#pragma once

#include "base/buffer.hh"
#include "http/memory.hh"
#include "http/question.hh"
#include "http/server.hh"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nghttp2/nghttp2.h>
#include <optional>
#include <span>
#include <vector>

namespace dotproxy::http {

class ServerContext;

class ServerSession final : public Server {
  public:
    /// Streams that a client may have at a time (E42), unless its owner says less.
    static constexpr std::uint32_t most_streams = 100;

    /// Of the fields of one request, names, values and 32 for each as RFC 9113, section 6.5.2,
    /// counts them: beyond the first they are dropped and the request is refused, beyond the second
    /// the stream is reset, and the second time the connection ends (E43).
    static constexpr std::size_t fields_limit = 8192;
    static constexpr std::size_t fields_limit_hard = 16384;
    static constexpr std::size_t fields_count_limit = 64;

    /// Of all messages of a connection that are kept, in octets: those that are not whole, and
    /// those that wait to be taken (E48).
    static constexpr std::size_t messages_limit = 131072;

    /// The context and the service outlive it. dead from the start when there is no memory.
    ServerSession(ServerContext& context, const Service& service,
                  std::uint32_t streams = most_streams) noexcept;
    ~ServerSession() override;

    State feed(std::span<const std::uint8_t> octets) noexcept override;
    [[nodiscard]] bool wants_input() const noexcept override;

    [[nodiscard]] bool has_request() const noexcept override {
        return state_ == State::open && !whole_.empty();
    }

    [[nodiscard]] bool next_request(Request& request) noexcept override;
    Answered respond(std::uint32_t stream, std::span<const std::uint8_t> message,
                     std::uint32_t max_age) noexcept override;
    Answered fail(std::uint32_t stream, Status status) noexcept override;
    void cancel(std::uint32_t stream) noexcept override;
    State fill() noexcept override;

    [[nodiscard]] std::size_t held() const noexcept override { return output_.size() + unsent_; }

    [[nodiscard]] std::size_t withheld() const noexcept override {
        return state_ == State::open ? unsent_ : 0;
    }

    [[nodiscard]] std::uint64_t permitted() const noexcept override { return permitted_; }

    [[nodiscard]] std::size_t received() const noexcept override { return messages_; }

    [[nodiscard]] std::size_t asked() const noexcept override { return asked_; }

    [[nodiscard]] bool idle() const noexcept override { return used_ == 0 && held() == 0; }

    void drain() noexcept override;
    void last_call() noexcept override;
    void terminate() noexcept override;
    [[nodiscard]] std::string_view reason() const noexcept override;

    /// How many streams count: from the first octet of a request to the end of its answer, and
    /// until its owner has answered it.
    [[nodiscard]] std::size_t streams() const noexcept { return used_; }

    /// What nghttp2 has for this connection, in octets.
    [[nodiscard]] std::size_t memory() const noexcept { return memory_.used(); }

    /// Makes them those of this class; for ServerContext.
    static void set(nghttp2_session_callbacks& callbacks) noexcept;

  private:
    /// One request and its answer. Its states, and what ends them:
    ///   free
    ///   receiving   the request is not whole
    ///   ignored     it was reset: what still comes of it is not looked at; the stream's end
    ///   refused     it is to be answered with a status, after feeding
    ///   whole       it waits to be taken
    ///   asked       it was taken, and its owner is to answer it
    ///   killed      as asked, but the client has given it up
    ///   answering   the stream's end
    struct Stream {
        enum class State : std::uint8_t {
            free,
            receiving,
            ignored,
            refused,
            whole,
            asked,
            killed,
            answering,
        };

        std::int32_t id{0};
        State state{State::free};
        Status status{Status::ok}; // where it is refused
        std::size_t fields{0};
        std::size_t fields_size{0};
        std::size_t message{0}; // octets of its message, as they count
        std::size_t rest{0};    // octets that came after it was answered
        Question question;
        Buffer answer;     // of its body, what is not yet written to a frame
        bool large{false}; // the answer is
    };

    struct Free {
        void operator()(nghttp2_session* session) const noexcept { nghttp2_session_del(session); }
    };

    // What nghttp2 calls. None of them acts: they take down what is to be done after feeding, or
    // queue frames (E40, E41).
    static int on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame,
                                void* self) noexcept;
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
    static ssize_t read_answer(nghttp2_session* session, std::int32_t id, std::uint8_t* to,
                               std::size_t size, std::uint32_t* flags, nghttp2_data_source* source,
                               void* self) noexcept;

    [[nodiscard]] Stream* stream_of(std::int32_t id) noexcept;
    [[nodiscard]] Stream* asked_stream(std::uint32_t id) noexcept;
    [[nodiscard]] int begin_stream(std::int32_t id);
    [[nodiscard]] int count_field(Stream& stream, std::size_t size) noexcept;
    void take_field(Stream& stream, std::string_view name, std::string_view value);
    [[nodiscard]] int take_body(Stream& stream, std::span<const std::uint8_t> part);
    [[nodiscard]] int take_head(Stream& stream, bool last);
    [[nodiscard]] int take_rest(Stream& stream, std::size_t size) noexcept;
    void make_whole(Stream& stream);
    void refuse(Stream& stream, Status status) noexcept;
    void ignore(Stream& stream) noexcept;
    [[nodiscard]] int reset(std::int32_t id, std::uint32_t error) noexcept;
    void keep_message(Stream& stream) noexcept;
    void drop_message(Stream& stream) noexcept;
    void forget_taken() noexcept;
    void closed(Stream& stream) noexcept;
    void disown(Stream& stream) noexcept;
    void free_stream(Stream& stream) noexcept;
    void release_idle() noexcept;
    void answer_refused() noexcept;
    Answered answer(std::uint32_t id, Status status, std::span<const std::uint8_t> body,
                    std::optional<std::uint32_t> max_age) noexcept;
    void submit(Stream& stream, Status status, std::span<const std::uint8_t> body,
                std::optional<std::uint32_t> max_age) noexcept;
    State end(int error) noexcept;
    void look_for_end() noexcept;

    ServerContext& context_;
    const Service& service_;
    const std::uint32_t most_streams_;
    Memory memory_; // before the session, which has its memory from there
    std::unique_ptr<nghttp2_session, Free> session_;
    std::vector<std::unique_ptr<Stream>> streams_; // as many as were used at a time
    std::vector<Stream*> free_;                    // of these
    std::vector<Stream*> whole_;                   // in the order in which they became so
    std::size_t used_{0};                          // streams that are not free
    std::size_t asked_{0};                         // of these, those that are asked or killed
    std::size_t refused_{0};                       // and refused
    std::size_t messages_{0};                      // octets of messages that are kept
    Stream* taken_{nullptr};                       // whose message is in use by its owner
    std::uint64_t permitted_{0};                   // octets of answers that the client has taken on
    std::size_t unsent_{0};                        // octets of answers that are not in output_ yet
    int error_{0};                                 // of nghttp2, that ended it
    std::uint32_t farewell_{0};                    // the error in our last GOAWAY
    bool bomb_{false};                             // there was a head far too large already
    bool noticed_{false};                          // the client was told that this will end
    bool last_called_{false};                      // and which request is the last
    bool confirmed_{false};                        // it has heard of it
};

} // namespace dotproxy::http
