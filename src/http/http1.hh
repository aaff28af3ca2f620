// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Http1: HTTP/1.1 with a client (RFC 9112), as much of it as proxies need that speak nothing newer
// to who stands behind them (E72): GET, HEAD and POST, bodies with a length, one request at a time.
// What comes behind one waits unread. See Server for how it is used.

#pragma once

#include "base/buffer.hh"
#include "http/question.hh"
#include "http/server.hh"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace dotproxy::http {

class ServerContext;

class Http1 final : public Server {
  public:
    /// Of a request's head, in octets.
    static constexpr std::size_t head_limit = 16384;

    /// Both outlive it.
    Http1(ServerContext& context, const Service& service) noexcept
        : context_{context}, service_{service} {}

    State feed(std::span<const std::uint8_t> octets) noexcept override;
    [[nodiscard]] bool wants_input() const noexcept override;

    [[nodiscard]] bool has_request() const noexcept override { return phase_ == Phase::whole; }

    [[nodiscard]] bool next_request(Request& request) noexcept override;
    Answered respond(std::uint32_t stream, std::span<const std::uint8_t> message,
                     std::uint32_t max_age) noexcept override;
    Answered fail(std::uint32_t stream, Status status) noexcept override;
    void cancel(std::uint32_t stream) noexcept override;
    State fill() noexcept override;

    [[nodiscard]] std::size_t held() const noexcept override { return output_.size(); }

    [[nodiscard]] std::size_t received() const noexcept override {
        return input_.size() + question_.message().size();
    }

    [[nodiscard]] std::size_t asked() const noexcept override {
        return phase_ == Phase::asked ? 1 : 0;
    }

    [[nodiscard]] bool idle() const noexcept override {
        return phase_ == Phase::head && input_.empty() && output_.empty();
    }

    /// The next answer says that it is the last.
    void drain() noexcept override;
    void last_call() noexcept override;
    void terminate() noexcept override;
    [[nodiscard]] std::string_view reason() const noexcept override;

  private:
    /// Of the request that is looked at: its head is read; its body is; it is not taken yet; its
    /// owner has it. Then the next one's head.
    enum class Phase : std::uint8_t { head, body, whole, asked };

    void forget_taken() noexcept;
    void advance() noexcept;
    [[nodiscard]] bool read_head();
    [[nodiscard]] bool read_body();
    void begin_body();
    void reject(Status status) noexcept;
    void finish(Status status) noexcept;
    Answered answer(std::uint32_t stream, Status status, std::span<const std::uint8_t> body,
                    std::optional<std::uint32_t> max_age) noexcept;
    void write(Status status, std::span<const std::uint8_t> body,
               std::optional<std::uint32_t> max_age) noexcept;
    void append(std::string_view text);

    ServerContext& context_;
    const Service& service_;
    Buffer input_; // what was fed and not yet looked at
    Question question_;
    std::optional<Status> status_;   // that it will be answered with
    std::optional<Status> rejected_; // what ended the connection
    std::size_t scanned_{0};         // of input_: no end of a head begins before that
    std::size_t body_left_{0};       // octets that are to come
    std::uint32_t number_{0};        // of the request, which is its stream
    Phase phase_{Phase::head};
    bool large_{false};    // there was much in input_
    bool last_{false};     // the connection ends with this answer
    bool draining_{false}; // or with the next one
};

} // namespace dotproxy::http
