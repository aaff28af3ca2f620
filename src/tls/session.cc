// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Session: GnuTLS over two buffers. The pull function reads input_ and the push function appends to
// output_, so that neither ever blocks and a record is never half accepted (G3, L45).
//
// States: shaking hands -> ready -> closing; failed from any of them.

#include "tls/session.hh"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

namespace dotproxy::tls {

namespace {

constexpr unsigned common_flags =
    GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS_TLS12; // G23

constexpr std::size_t record_size_max = 16384;

bool may_go_on(ssize_t result) noexcept {
    return result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED ||
           result == GNUTLS_E_WARNING_ALERT_RECEIVED;
}

// The peer has gone or given up: there is nobody to send an alert to.
bool is_over(int error) noexcept {
    return error == GNUTLS_E_FATAL_ALERT_RECEIVED || error == GNUTLS_E_PREMATURE_TERMINATION ||
           error == GNUTLS_E_PUSH_ERROR;
}

std::string describe(gnutls_session_t session, int error) {
    switch (error) {
    case GNUTLS_E_FATAL_ALERT_RECEIVED: {
        const char* name = gnutls_alert_get_name(gnutls_alert_get(session));
        return std::string{"The peer sent the alert: "} + (name != nullptr ? name : "unknown");
    }
    case GNUTLS_E_PREMATURE_TERMINATION:
        return "The peer cut the connection";
    case GNUTLS_E_REHANDSHAKE:
        return "The peer asked to renegotiate";
    case GNUTLS_E_PUSH_ERROR:
    case GNUTLS_E_MEMORY_ERROR:
        return "out of memory";
    default: {
        std::string text = gnutls_strerror(error);
        if (text.ends_with('.')) {
            text.pop_back();
        }
        return text;
    }
    }
}

} // namespace

void Session::Free::operator()(gnutls_session_int* session) const noexcept {
    gnutls_deinit(session);
}

Session::Session(unsigned flags, Buffer& output) noexcept : output_{output} {
    gnutls_session_t session = nullptr;
    if (gnutls_init(&session, common_flags | flags) < 0) {
        fail(Failure::protocol, "The TLS session cannot be set up");
        return;
    }
    session_.reset(session);
    gnutls_transport_set_ptr(session, this);
    gnutls_transport_set_pull_function(session, pull); // also keeps kernel TLS off (G14)
    gnutls_transport_set_pull_timeout_function(session, pull_timeout);
    gnutls_transport_set_vec_push_function(session, push);
}

Session::~Session() = default;

Io Session::shake() noexcept {
    if (failure_ != Failure::none) {
        return Io::failed;
    }
    int result = 0;
    do {
        result = gnutls_handshake(session_.get());
    } while (may_go_on(result) && more_to_read());
    if (may_go_on(result)) {
        return Io::again;
    }
    if (result < 0) {
        return fail_with(result);
    }
    resumed_ = gnutls_session_is_resumed(session_.get()) != 0;
    return Io::done;
}

const char* Session::version() const noexcept {
    // The policy lets in no other.
    return gnutls_protocol_get_version(session_.get()) == GNUTLS_TLS1_3 ? "TLS 1.3" : "TLS 1.2";
}

Io Session::receive(std::span<std::uint8_t> plain, std::size_t& size) noexcept {
    assert(!plain.empty());
    size = 0;
    if (failure_ != Failure::none) {
        return Io::failed;
    }
    if (!ready_) {
        return fail(Failure::protocol, "received from before the handshake");
    }
    ssize_t result = 0;
    do {
        // Tickets, key updates and empty records end in `again` with input left (G1).
        result = gnutls_record_recv(session_.get(), plain.data(), plain.size());
    } while (may_go_on(result) && more_to_read());
    if (result > 0) {
        size = static_cast<std::size_t>(result);
        return Io::done;
    }
    if (result == 0) {
        return Io::closed;
    }
    return may_go_on(result) ? Io::again : fail_with(static_cast<int>(result));
}

Io Session::send(std::span<const std::uint8_t> plain) noexcept {
    if (failure_ != Failure::none) {
        return Io::failed;
    }
    if (!ready_ || closing_) {
        return fail(Failure::protocol, "sent outside of the session");
    }
    while (!plain.empty()) {
        const ssize_t result = gnutls_record_send(session_.get(), plain.data(),
                                                  std::min(plain.size(), record_size_max));
        if (result < 0) {
            return fail_with(static_cast<int>(result));
        }
        plain = plain.subspan(static_cast<std::size_t>(result));
    }
    return Io::done;
}

void Session::close() noexcept {
    if (failure_ == Failure::none && ready_ && !std::exchange(closing_, true)) {
        (void)gnutls_bye(session_.get(), GNUTLS_SHUT_WR);
    }
}

Io Session::fail(Failure failure, std::string_view reason) noexcept {
    if (failure_ == Failure::none) {
        failure_ = failure;
        try {
            reason_ = reason;
        } catch (const std::bad_alloc&) {
            reason_ = "out of memory"; // short enough to need none
        }
    }
    return Io::failed;
}

Io Session::fail_with(int error) noexcept {
    if (cut_) {
        error = GNUTLS_E_PREMATURE_TERMINATION; // for GnuTLS half a record is one it cannot decode
    }
    if (!is_over(error)) {
        (void)gnutls_alert_send_appropriate(session_.get(), error);
    }
    if (failure_ == Failure::none) {
        error_ = error;
    }
    try {
        return fail(Failure::protocol, describe(session_.get(), error));
    } catch (const std::bad_alloc&) {
        return fail(Failure::protocol, "out of memory");
    }
}

void Session::note_taken(std::span<const std::uint8_t> taken) noexcept {
    const std::span last = taken.last(std::min(taken.size(), last_.size()));
    std::shift_left(last_.begin(), last_.end(), static_cast<std::ptrdiff_t>(last.size()));
    std::ranges::copy(last, last_.end() - static_cast<std::ptrdiff_t>(last.size()));
}

std::optional<int> Session::clear_alert() const noexcept {
    constexpr std::uint8_t alert = 21; // RFC 8446, sections 5.1 and 6
    constexpr std::uint8_t fatal = 2;
    constexpr std::array<std::uint8_t, 6> front{alert, 3, 3, 0, 2, fatal};
    return std::equal(front.begin(), front.end(), last_.begin()) ? std::optional{last_.back()}
                                                                 : std::nullopt;
}

// From here on GnuTLS calls: nothing may be thrown through it.

ssize_t Session::pull(gnutls_transport_ptr_t session, void* data, std::size_t size) noexcept {
    Session& self = *static_cast<Session*>(session);
    if (self.input_.empty()) {
        if (self.ended_) {
            self.cut_ = true;
            return 0;
        }
        gnutls_transport_set_errno(self.session_.get(), EAGAIN);
        return -1;
    }
    const std::span taken = self.input_.first(std::min(size, self.input_.size()));
    std::memcpy(data, taken.data(), taken.size());
    if (!self.ready_) {
        self.note_taken(taken);
    }
    self.input_ = self.input_.subspan(taken.size());
    return static_cast<ssize_t>(taken.size());
}

int Session::pull_timeout(gnutls_transport_ptr_t session, unsigned /*milliseconds*/) noexcept {
    return static_cast<const Session*>(session)->more_to_read() ? 1 : 0;
}

ssize_t Session::push(gnutls_transport_ptr_t session, const giovec_t* parts, int count) noexcept {
    Session& self = *static_cast<Session*>(session);
    ssize_t size = 0;
    try {
        for (const giovec_t& part : std::span{parts, static_cast<std::size_t>(count)}) {
            self.output_.append({static_cast<const std::uint8_t*>(part.iov_base), part.iov_len});
            size += static_cast<ssize_t>(part.iov_len);
        }
    } catch (const std::bad_alloc&) {
        gnutls_transport_set_errno(self.session_.get(), ENOMEM);
        return -1;
    }
    return size;
}

} // namespace dotproxy::tls
