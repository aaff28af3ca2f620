// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// An HTTP/2 connection to an upstream. The first octets say what its owner does and when; the rest
// is what the upstream says. Whatever that is, each request comes to one end at most, nothing is
// told of one that was given up, what is held is bounded, and nghttp2 gives all its memory back.

#include "http/client_context.hh"
#include "http/client_session.hh"

#include "fuzz/fuzz.hh"

#include <algorithm>
#include <array>
#include <memory>
#include <span>

namespace {

using namespace dotproxy::http;
using dotproxy::fuzz::require;

using Octets = std::span<const std::uint8_t>;
using Kind = Event::Kind;

constexpr std::uint16_t most_asked = 24; // at a time

/// What its owner does, by the bits of the input's first two octets, and how the rest is cut.
struct Plan {
    explicit Plan(Octets& input) noexcept : bits{input[0]}, step{input[1]} {
        input = input.subspan(2);
    }

    [[nodiscard]] bool cancels() const noexcept { return (bits & 1U) != 0; }

    [[nodiscard]] bool asks_on() const noexcept { return (bits & 2U) != 0; } // after each part

    [[nodiscard]] bool early() const noexcept { return (bits & 4U) != 0; } // nothing is written yet

    [[nodiscard]] bool large() const noexcept { return (bits & 8U) != 0; } // messages are

    [[nodiscard]] bool deaf() const noexcept { return (bits & 16U) != 0; } // output is not taken

    [[nodiscard]] bool pings() const noexcept { return (bits & 32U) != 0; }

    [[nodiscard]] bool cancels_between() const noexcept { return (bits & 64U) != 0; } // events

    [[nodiscard]] bool poor() const noexcept { return (bits & 128U) != 0; } // memory is short

    unsigned bits;
    std::size_t step;
};

class Owner {
  public:
    explicit Owner(Plan plan) : plan_{plan} {
        if (plan.poor()) {
            context_.memory().most = 24'000;
        }
        session_ = std::make_unique<ClientSession>(context_, target_);
        ask(5);
        if (!plan.early()) {
            session_->fill();
            take_output();
        }
    }

    void feed(Octets part) {
        ++fed_;
        session_->feed(part);
        take_events();
        if (plan_.cancels()) {
            cancel(static_cast<std::uint16_t>(fed_ % most_asked));
        }
        if (plan_.asks_on()) {
            ask(2);
        }
        if (plan_.pings() && fed_ % 4 == 0) {
            session_->ping();
        }
        check();
        session_->fill();
        check();
        take_output();
    }

    void end() {
        for (std::uint16_t tag = 0; tag < most_asked; ++tag) {
            cancel(tag);
        }
        Event event;
        while (session_->next(event)) {
            require(!is_of_request(event), "nobody is told of what was given up");
        }
        session_->fill();
        check();
        session_.reset();
        require(context_.memory().used == 0, "all memory is given back");
    }

    [[nodiscard]] bool open() const { return session_->is_sound(); }

  private:
    static bool is_of_request(const Event& event) {
        return event.kind == Kind::response || event.kind == Kind::refused ||
               event.kind == Kind::failed;
    }

    void ask(unsigned count) {
        static const std::vector<std::uint8_t> message(65535, 'q');
        for (std::uint16_t tag = 0; tag < most_asked && count > 0; ++tag) {
            if (!asked_[tag] && session_->room() > 0) {
                session_->ask(tag, Octets{message}.first(plan_.large() ? 65535 : 40));
                asked_[tag] = true;
                --count;
            }
        }
    }

    void cancel(std::uint16_t tag) {
        session_->cancel(tag);
        asked_[tag] = false;
    }

    void take_events() {
        Event event;
        std::size_t taken = 0;
        while (session_->next(event)) {
            ++taken;
            if (is_of_request(event)) {
                require(event.tag < most_asked && asked_[event.tag], "who asked is told, once");
                asked_[event.tag] = false;
                check(event);
            } else if (event.kind == Kind::leaving) {
                require(!left_, "it leaves once");
                left_ = true;
            } else if (event.kind != Kind::pong) {
                require(left_, "whoever throws us out leaves");
            }
            if (plan_.cancels_between()) {
                cancel(static_cast<std::uint16_t>((event.tag + taken) % most_asked));
            }
        }
        require(!left_ || session_->room() == 0, "whoever leaves takes nothing more");
    }

    static void check(const Event& event) {
        require(event.body.size() <= ClientSession::body_limit,
                "a body is no longer than messages");
        require(event.kind != Kind::response || (event.status / 100 != 1 && event.status <= 999),
                "a response is no interim one");
        require(event.age.count() >= 0, "nothing is younger than new");
        require(!event.retry_after || event.retry_after->count() >= 0, "nobody waits backwards");
    }

    void check() const {
        constexpr std::size_t frames = 65536; // of heads, settings and acknowledgements
        const auto asked = static_cast<std::size_t>(std::ranges::count(asked_, true));
        const std::size_t room = session_->room();
        require(room <= 0xffffffff, "room does not wrap");
        require(room == 0 || open(), "who is not sound has no room");
        const std::size_t message = plan_.large() ? 65535 : 40;
        const std::size_t output = session_->output().size();
        require(session_->waiting() >= output, "output waits");
        require(!open() || session_->waiting() - output <= asked * message,
                "no more is withheld than was asked");
        require(plan_.deaf() || output <= 2 * most_asked * message + frames, "output is bounded");
        require(context_.memory().used <= ClientSession::memory_limit + 64, "memory is bounded");
    }

    void take_output() {
        if (!plan_.deaf()) {
            session_->output().clear();
        }
    }

    Plan plan_;
    mutable ClientContext context_;
    Target target_{"dns.example", "/dns-query"};
    std::unique_ptr<ClientSession> session_; // whose end asserts that nghttp2 has no memory left
    std::array<bool, most_asked> asked_{};
    bool left_{false};
    std::size_t fed_{0};
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) {
        return 0;
    }
    Octets said{data, size};
    const Plan plan{said};
    Owner owner{plan};
    while (!said.empty() && owner.open()) {
        const Octets part = said.first(std::min(plan.step + 1, said.size()));
        said = said.subspan(part.size());
        owner.feed(part);
    }
    owner.end();
    return 0;
}
