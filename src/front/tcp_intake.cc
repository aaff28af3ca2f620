// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/tcp_intake.hh"

#include "front/courtesy.hh"
#include "front/ends.hh"
#include "front/tcp_front.hh"
#include "relay/gate.hh"
#include "shared/counters.hh"

#include <cerrno>
#include <optional>
#include <sys/socket.h>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

constexpr Clock::duration resource_pause = 50ms; // L47
constexpr Clock::duration share_pause = 5ms;
constexpr unsigned accepts_per_turn = 16;

bool out_of_resources(int error) noexcept {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

} // namespace

void TcpIntake::Source::on_ready(std::uint32_t /*events*/) noexcept {
    if (!intake.courtesy_.step_back()) {
        intake.come_in(*this);
    }
}

TcpIntake::TcpIntake(Turn& turn, TcpFront& front, Gate& gate, Courtesy& courtesy,
                     const Handover& handover)
    : turn_{turn}, front_{front}, gate_{gate}, courtesy_{courtesy}, handover_{handover},
      nowhere_{turn.config.allow}, out_of_resources_{resource_pause}, yield_{share_pause} {
    doors_.reserve(turn.config.listen.size()); // clients refer to them
    for (const ListenConfig& listen : turn.config.listen) {
        doors_.emplace_back(listen, turn.config.allow);
    }
}

TcpIntake::~TcpIntake() = default;

bool TcpIntake::open(const Listener& listener) {
    return open(listener.socket.get(), &door_at(listener.address));
}

bool TcpIntake::open_handover() {
    return open(handover_.out.get(), nullptr);
}

const Door& TcpIntake::door_at(const Address& local) const noexcept {
    const ListenConfig* const here = turn_.config.listener_at(Protocol::tcp, local);
    return here == nullptr ? nowhere_
                           : doors_[static_cast<std::size_t>(here - turn_.config.listen.data())];
}

bool TcpIntake::open(int socket, const Door* door) {
    sources_.push_back(std::make_unique<Source>(*this, socket, door));
    return courtesy_.open(socket, *sources_.back());
}

void TcpIntake::come_in(const Source& source) noexcept {
    if (source.door == nullptr) {
        take_over_all();
    } else {
        accept_from(source);
    }
}

void TcpIntake::accept_from(const Source& source) noexcept {
    for (unsigned i = 0; i < accepts_per_turn && !paused_.armed(); ++i) {
        sockaddr_storage name{};
        socklen_t size = sizeof name;
        Fd socket{::accept4(source.socket, reinterpret_cast<sockaddr*>(&name), &size,
                            SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (!socket) {
            if (out_of_resources(errno)) {
                turn_.counters.add(Counter::accept_paused);
                pause(out_of_resources_);
            }
            return;
        }
        turn_.counters.add(Counter::tcp_accepted);
        const auto peer = Address::from(name);
        if (const auto standing = let_in(socket, peer, standing_of(peer, *source.door))) {
            if (gate_.connect(*peer, *standing)) {
                front_.welcome(std::move(socket), *peer, *standing, *source.door);
            } else {
                reset(socket);
            }
        }
        if (front_.more_than_its_share()) {
            pause(yield_);
        }
    }
}

void TcpIntake::take_over_all() noexcept {
    for (unsigned i = 0; i < accepts_per_turn && !paused_.armed(); ++i) {
        std::size_t size = 0;
        Handed what{};
        Fd socket = take_over(handover_, *turn_.scratch, size, &what);
        if (socket) {
            adopt(std::move(socket), std::span{*turn_.scratch}.first(size), what);
        } else if (out_of_resources(errno)) {
            turn_.counters.add(Counter::accept_paused); // it waits in the queue meanwhile
            pause(out_of_resources_);
        } else if (errno == EBADMSG) {
            turn_.counters.add(Counter::tcp_refused); // lost on the way
        } else {
            return;
        }
    }
}

void TcpIntake::adopt(Fd socket, dns::Octets unread, const Handed& what) noexcept {
    // Neither is known of one that was reset on the way.
    const auto local = near_end(socket);
    auto peer = far_end(socket);
    const Door& door = door_at(local.value_or(Address{}));
    // Who may ask may be others than when it came (limits 42), and so may be who may say for whom.
    auto standing = let_in(socket, peer, standing_of(peer, door));
    if (standing && what.kind == Handed::Kind::announced && what.announced != *peer) {
        peer = what.announced;
        standing = let_in(socket, peer, gate_.admit(peer, door.access));
    }
    if (!standing) {
        return;
    }
    const bool is_new = what.kind == Handed::Kind::newcomer;
    if (is_new && (door.announces() || !door.can_hand_over())) {
        front_.welcome(std::move(socket), *peer, *standing, door, unread);
    } else {
        // Where another protocol is spoken now, or another beginning awaited, it goes on as it was.
        const bool is_announced = what.kind == Handed::Kind::announced;
        const bool same = door.can_hand_over() && (is_new || door.announces() == is_announced);
        front_.adopt(std::move(socket), *peer, *standing, same ? door : nowhere_, unread);
    }
}

/// The standing of who may come in at that door; nullopt: it may not. A proxy stands for many, of
/// which each has its own with each request.
std::optional<Standing> TcpIntake::standing_of(const std::optional<Address>& peer,
                                               const Door& door) noexcept {
    if (peer && door.trusts(*peer)) {
        return Standing{};
    }
    if (door.is_for_proxies()) {
        return std::nullopt;
    }
    return gate_.admit(peer, door.access);
}

/// `standing` of `peer`, unless it has none, or is blocked, and the connection is reset (counted).
std::optional<Standing> TcpIntake::let_in(const Fd& socket, const std::optional<Address>& peer,
                                          const std::optional<Standing>& standing) noexcept {
    if (peer && gate_.blocks(*peer)) {
        reset(socket);
        return std::nullopt;
    }
    if (!standing) {
        turn_.counters.add(Counter::access_refused);
        if (peer) {
            gate_.charge_unanswered(*peer, std::nullopt, true);
        }
        reset(socket);
    }
    return standing;
}

void TcpIntake::pause(DeadlineQueue<Pause>& length) noexcept {
    if (!paused_.armed() && !closed_) {
        for (const auto& source : sources_) {
            courtesy_.close(source->socket);
        }
    }
    length.arm(paused_, turn_.now);
}

void TcpIntake::resume() noexcept {
    for (const auto& source : sources_) {
        if (!courtesy_.open(source->socket, *source)) {
            pause(out_of_resources_);
            return;
        }
    }
}

void TcpIntake::close() noexcept {
    if (closed_) {
        return;
    }
    closed_ = true;
    const bool away = paused_.armed();
    for (const auto& source : sources_) {
        if (!away) {
            courtesy_.close(source->socket);
        }
        // It may have been woken for what is there, also before it paused: no other worker was.
        paused_.disarm();
        come_in(*source);
    }
    paused_.disarm();
}

void TcpIntake::expire() noexcept {
    if (out_of_resources_.pop(turn_.now) != nullptr || yield_.pop(turn_.now) != nullptr) {
        resume();
    }
}

void TcpIntake::soonest(TimePoint& earliest) const noexcept {
    out_of_resources_.soonest(earliest);
    yield_.soonest(earliest);
}

} // namespace dotproxy
