// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Stream: a GnuTLS session over two buffers. The pull function reads input_ and the push function
// appends to output_, so that neither ever blocks and a record is never half accepted (G3, L45).
//
// States: shaking hands -> ready -> closing; failed from any of them. The only way to ready leads
// through check_peer(): GnuTLS calls it in a full handshake before it sends anything protected;
// after a resumed one, where GnuTLS verifies nothing, handshake() calls it (G8, L39).

#include "tls/stream.hh"

#include "tls/verify.hh"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

namespace dotproxy::tls {

namespace {

constexpr unsigned session_flags =
    GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS_TLS12; // G23

// What gnutls_session_get_data2() gives when there is no ticket yet is not longer than this (G7).
constexpr unsigned dummy_ticket_size = 4;

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

void Stream::Free::operator()(gnutls_session_int* session) const noexcept {
    gnutls_deinit(session);
}

Stream::Stream(const ClientContext& context, const Identity& identity, Tickets& tickets) noexcept
    : context_{context}, identity_{identity}, tickets_{tickets} {
    gnutls_session_t session = nullptr;
    if (gnutls_init(&session, session_flags) >= 0) {
        session_.reset(session);
    }
    if (session_ == nullptr || !set_up()) {
        fail(Failure::protocol, "The TLS session cannot be set up");
        return;
    }
    offer_ticket();
}

Stream::~Stream() = default;

bool Stream::set_up() noexcept {
    gnutls_session_t session = session_.get();
    gnutls_session_set_ptr(session, this);
    gnutls_session_set_verify_function(session, verify);
    gnutls_handshake_set_hook_function(session, GNUTLS_HANDSHAKE_NEW_SESSION_TICKET,
                                       GNUTLS_HOOK_BOTH, keep_ticket);
    gnutls_transport_set_ptr(session, this);
    gnutls_transport_set_pull_function(session, pull); // also keeps kernel TLS off (G14)
    gnutls_transport_set_pull_timeout_function(session, pull_timeout);
    gnutls_transport_set_vec_push_function(session, push);

    std::array<unsigned char, 3> dot{'d', 'o', 't'}; // GnuTLS takes a copy, but not from const
    const gnutls_datum_t protocol{dot.data(), dot.size()};
    if (gnutls_priority_set(session, context_.priority()) < 0 ||
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, context_.credentials()) < 0 ||
        gnutls_alpn_set_protocols(session, &protocol, 1, 0) < 0) {
        return false;
    }
    const std::string& name = identity_.name();
    return name.empty() || identity_.is_ip() || // C67, G13
           gnutls_server_name_set(session, GNUTLS_NAME_DNS, name.data(), name.size()) >= 0;
}

void Stream::offer_ticket() noexcept {
    const std::vector<std::uint8_t> ticket = tickets_.take();
    if (!ticket.empty()) {
        // One that GnuTLS refuses (expired, damaged) only costs a full handshake.
        (void)gnutls_session_set_data(session_.get(), ticket.data(), ticket.size());
    }
}

Io Stream::handshake() noexcept {
    if (failure_ != Failure::none) {
        return Io::failed;
    }
    if (ready_) {
        return Io::done;
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
    if (!verified_ && !check_peer()) {
        return fail_with(GNUTLS_E_CERTIFICATE_ERROR);
    }
    ready_ = true;
    return Io::done;
}

const char* Stream::version() const noexcept {
    // The policy lets in no other.
    return gnutls_protocol_get_version(session_.get()) == GNUTLS_TLS1_3 ? "TLS 1.3" : "TLS 1.2";
}

Io Stream::receive(std::span<std::uint8_t> plain, std::size_t& size) noexcept {
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

Io Stream::send(std::span<const std::uint8_t> plain) noexcept {
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

void Stream::close() noexcept {
    if (failure_ == Failure::none && ready_ && !std::exchange(closing_, true)) {
        (void)gnutls_bye(session_.get(), GNUTLS_SHUT_WR);
    }
}

bool Stream::check_peer() noexcept {
    const Verdict verdict = verify_peer(session_.get(), context_, identity_);
    verified_ = verdict.trusted;
    if (!verified_) {
        // What is kept was earned by the same certificate; without it the next handshake is a full
        // one and sees whatever certificate the peer has by then.
        tickets_.clear();
        refusal_ = verdict.refusal;
        fail(Failure::untrusted, verdict.reason);
    }
    return verified_;
}

Io Stream::fail(Failure failure, std::string_view reason) noexcept {
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

Io Stream::fail_with(int error) noexcept {
    if (cut_) {
        error = GNUTLS_E_PREMATURE_TERMINATION; // for GnuTLS half a record is one it cannot decode
    }
    if (!is_over(error)) {
        (void)gnutls_alert_send_appropriate(session_.get(), error);
    }
    try {
        return fail(Failure::protocol, describe(session_.get(), error));
    } catch (const std::bad_alloc&) {
        return fail(Failure::protocol, "out of memory");
    }
}

// From here on GnuTLS calls: nothing may be thrown through it.

ssize_t Stream::pull(gnutls_transport_ptr_t stream, void* data, std::size_t size) noexcept {
    Stream& self = *static_cast<Stream*>(stream);
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
    self.input_ = self.input_.subspan(taken.size());
    return static_cast<ssize_t>(taken.size());
}

int Stream::pull_timeout(gnutls_transport_ptr_t stream, unsigned /*milliseconds*/) noexcept {
    return static_cast<const Stream*>(stream)->more_to_read() ? 1 : 0;
}

ssize_t Stream::push(gnutls_transport_ptr_t stream, const giovec_t* parts, int count) noexcept {
    Stream& self = *static_cast<Stream*>(stream);
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

int Stream::keep_ticket(gnutls_session_t session, unsigned /*type*/, unsigned when,
                        unsigned /*incoming*/, const gnutls_datum_t* message) noexcept {
    Stream& self = *static_cast<Stream*>(gnutls_session_get_ptr(session));
    if (when == GNUTLS_HOOK_PRE) {
        // Afterwards the message has been eaten up.
        self.ticket_is_sound_ = lifetime_is_sound({message->data, message->size});
        return 0;
    }
    gnutls_datum_t data{};
    if (!self.ready_ || !self.ticket_is_sound_ || gnutls_session_get_data2(session, &data) < 0) {
        return 0;
    }
    if (data.size > dummy_ticket_size) {
        try {
            self.tickets_.put({data.data, data.data + data.size});
        } catch (const std::bad_alloc&) {
            // A ticket less; the next connection takes a full handshake.
        }
    }
    gnutls_free(data.data);
    return 0;
}

int Stream::verify(gnutls_session_t session) noexcept {
    return static_cast<Stream*>(gnutls_session_get_ptr(session))->check_peer()
               ? 0
               : GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

} // namespace dotproxy::tls
