// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// An HTTP/2 connection. The first octets say what its owner does and when; the rest is what the
// client says after its preface. Whatever that is, what is held and asked is bounded, each request
// that was taken can be answered once, and nghttp2 gives all its memory back.

#include "http/server_context.hh"
#include "http/server_session.hh"

#include "fuzz/fuzz.hh"

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

namespace {

using namespace dotproxy::http;
using dotproxy::fuzz::require;

using Octets = std::span<const std::uint8_t>;

// What a session takes to send, beyond its bound: 400 octets for each stream.
constexpr std::size_t sending = std::size_t{400} * ServerSession::most_streams;
constexpr std::size_t plenty = std::size_t{1} << 24U;

/// What its owner does, by the bits of the input's first two octets, and how the rest is cut.
struct Plan {
    explicit Plan(Octets& input) noexcept : bits{input[0]}, step{input[1]} {
        input = input.subspan(2);
    }

    [[nodiscard]] bool cors() const noexcept { return (bits & 1U) != 0; }

    [[nodiscard]] bool forwarded() const noexcept { return (bits & 2U) != 0; }

    [[nodiscard]] bool late() const noexcept { return (bits & 4U) != 0; } // answers are

    [[nodiscard]] bool large() const noexcept { return (bits & 8U) != 0; } // as well

    [[nodiscard]] bool deaf() const noexcept { return (bits & 16U) != 0; } // output is not taken

    [[nodiscard]] bool drains() const noexcept { return (bits & 32U) != 0; }

    [[nodiscard]] bool terminates() const noexcept { return (bits & 64U) != 0; }

    [[nodiscard]] bool poor() const noexcept { return (bits & 128U) != 0; } // memory is short

    unsigned bits;
    std::size_t step;
};

class Owner {
  public:
    explicit Owner(Plan plan)
        : plan_{plan}, context_{plan.poor() ? 32'000 : plenty}, service_{.path = "/q",
                                                                         .cors = plan.cors(),
                                                                         .forwarded =
                                                                             plan.forwarded()},
          session_{context_, service_} {}

    void feed(Octets part) {
        session_.feed(part);
        take();
        if (plan_.drains() && ++fed_ == 3) {
            session_.drain();
        }
        if (plan_.drains() && fed_ == 6) {
            session_.last_call();
        }
        if (!plan_.late()) {
            answer_all();
        }
        session_.fill();
        check();
        if (!plan_.deaf()) {
            session_.output().clear();
        }
    }

    void end() {
        if (plan_.terminates()) {
            session_.terminate();
        }
        answer_all();
        require(session_.asked() == 0, "what was answered is not asked any more");
        session_.fill();
        check();
    }

    [[nodiscard]] bool open() const { return session_.state() == Server::State::open; }

  private:
    void take() {
        Request request;
        while (session_.next_request(request)) {
            require(!request.message.empty() && request.message.size() <= Server::body_limit,
                    "a message has a size that messages have");
            require(request.forwarded_for.size() <= Question::forwarded_limit,
                    "addresses are bounded");
            require(std::find(asked_.begin(), asked_.end(), request.stream) == asked_.end(),
                    "a request is handed out once");
            asked_.push_back(request.stream);
        }
        require(session_.asked() == asked_.size(), "who is asked counts until it is answered");
    }

    void answer_all() {
        static const std::vector<std::uint8_t> answer(65535, 'x');
        for (const std::uint32_t stream : asked_) {
            if (stream % 8 == 7) {
                session_.cancel(stream);
            } else if (stream % 8 == 5) {
                session_.fail(stream, Status::forbidden);
            } else {
                session_.respond(stream, Octets{answer}.first(plan_.large() ? 65535 : 100), 60);
            }
            require(session_.respond(stream, {}, 0) == Server::Answered::gone,
                    "a request is answered once");
        }
        asked_.clear();
    }

    void check() const {
        require(session_.streams() <= ServerSession::most_streams, "streams are bounded");
        require(session_.asked() <= session_.streams(), "what is asked is a stream");
        require(session_.memory() <= Memory::most + sending + 64, "memory is bounded");
        require(session_.held() >= output().size(), "output is held");
        require(output().size() < Server::output_limit + 16384 + 9, "output is capped");
    }

    [[nodiscard]] const dotproxy::Buffer& output() const {
        return const_cast<ServerSession&>(session_).output();
    }

    Plan plan_;
    ServerContext context_;
    Service service_;
    ServerSession session_; // whose end asserts that nghttp2 has no memory left
    std::vector<std::uint32_t> asked_;
    int fed_{0};
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) {
        return 0;
    }
    Octets said{data, size};
    const Plan plan{said};
    Owner owner{plan};
    constexpr std::string_view preface = NGHTTP2_CLIENT_MAGIC;
    owner.feed({reinterpret_cast<const std::uint8_t*>(preface.data()), preface.size()});
    while (!said.empty() && owner.open()) {
        const Octets part = said.first(std::min(plan.step + 1, said.size()));
        said = said.subspan(part.size());
        owner.feed(part);
    }
    owner.end();
    return 0;
}
