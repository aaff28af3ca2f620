// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The only way to ready leads through check_peer(): GnuTLS calls it in a full handshake before it
// sends anything protected; after a resumed one, where GnuTLS verifies nothing, handshake() calls
// it (G8, L39).

#include "tls/client_stream.hh"

#include "tls/verify.hh"

#include <array>
#include <new>
#include <string>
#include <vector>

namespace dotproxy::tls {

namespace {

// What gnutls_session_get_data2() gives when there is no ticket yet is not longer than this (G7).
constexpr unsigned dummy_ticket_size = 4;

} // namespace

ClientStream::ClientStream(const ClientContext& context, const Identity& identity, Tickets& tickets,
                           Spoken spoken) noexcept
    : Session{GNUTLS_CLIENT, octets_}, context_{context}, identity_{identity}, tickets_{tickets},
      spoken_{spoken} {
    if (handle() == nullptr || !set_up()) {
        fail(Failure::protocol, "The TLS session cannot be set up");
        return;
    }
    offer_ticket();
}

bool ClientStream::set_up() noexcept {
    gnutls_session_t session = handle();
    gnutls_session_set_ptr(session, this);
    gnutls_session_set_verify_function(session, verify);
    gnutls_handshake_set_hook_function(session, GNUTLS_HANDSHAKE_NEW_SESSION_TICKET,
                                       GNUTLS_HOOK_BOTH, keep_ticket);
    std::array<unsigned char, 3> dot{'d', 'o', 't'}; // GnuTLS takes a copy, but not from const
    std::array<unsigned char, 2> http2{'h', '2'};
    const gnutls_datum_t protocol = spoken_ == Spoken::dot
                                        ? gnutls_datum_t{dot.data(), dot.size()}
                                        : gnutls_datum_t{http2.data(), http2.size()};
    if (gnutls_priority_set(session, context_.priority()) < 0 ||
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, context_.credentials()) < 0 ||
        gnutls_alpn_set_protocols(session, &protocol, 1, 0) < 0) {
        return false;
    }
    const std::string& name = identity_.name();
    return name.empty() || identity_.is_ip() || // C67, G13
           gnutls_server_name_set(session, GNUTLS_NAME_DNS, name.data(), name.size()) >= 0;
}

void ClientStream::offer_ticket() noexcept {
    const std::vector<std::uint8_t> ticket = tickets_.take();
    if (!ticket.empty()) {
        // One that GnuTLS refuses (expired, damaged) only costs a full handshake.
        (void)gnutls_session_set_data(handle(), ticket.data(), ticket.size());
    }
}

Io ClientStream::handshake() noexcept {
    if (ready()) {
        return failure() == Failure::none ? Io::done : Io::failed;
    }
    const Io io = shake();
    if (io != Io::done) {
        return io;
    }
    if (!verified_ && !check_peer()) {
        return fail_with(GNUTLS_E_CERTIFICATE_ERROR);
    }
    if (!check_spoken()) {
        return fail(Failure::unfit, "does not speak HTTP/2");
    }
    set_ready();
    return Io::done;
}

bool ClientStream::check_spoken() noexcept {
    gnutls_datum_t protocol{};
    return spoken_ == Spoken::dot ||
           (gnutls_alpn_get_selected_protocol(handle(), &protocol) == 0 && protocol.size == 2 &&
            protocol.data[0] == 'h' && protocol.data[1] == '2');
}

bool ClientStream::check_peer() noexcept {
    const Verdict verdict = verify_peer(handle(), context_, identity_);
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

// From here on GnuTLS calls: nothing may be thrown through it.

int ClientStream::keep_ticket(gnutls_session_t session, unsigned /*type*/, unsigned when,
                              unsigned /*incoming*/, const gnutls_datum_t* message) noexcept {
    ClientStream& self = *static_cast<ClientStream*>(gnutls_session_get_ptr(session));
    if (when == GNUTLS_HOOK_PRE) {
        // Afterwards the message has been eaten up.
        self.ticket_is_sound_ = lifetime_is_sound({message->data, message->size});
        return 0;
    }
    gnutls_datum_t data{};
    if (!self.ready() || !self.ticket_is_sound_ || gnutls_session_get_data2(session, &data) < 0) {
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

int ClientStream::verify(gnutls_session_t session) noexcept {
    return static_cast<ClientStream*>(gnutls_session_get_ptr(session))->check_peer()
               ? 0
               : GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

} // namespace dotproxy::tls
