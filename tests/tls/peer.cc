// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Both ends of a TLS connection without a socket.

#include "tls/peer.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <gnutls/abstract.h>
#include <utility>

namespace dotproxy::tls::test {

namespace {

void carry(Endpoint& client, Endpoint& server) {
    client.take({});
    while (!client.output.empty() || !server.output.empty()) {
        server.take(std::exchange(client.output, {}));
        client.take(std::exchange(server.output, {}));
    }
}

} // namespace

std::span<const std::uint8_t> octets(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

Service::Service(const std::vector<const Certificate*>& chain, const Certificate& key)
    : chain_length_{chain.size()} {
    must(gnutls_certificate_allocate_credentials(&credentials_), "credentials");
    // gnutls_certificate_set_x509_key() would sort the chain and drop what does not belong to it.
    std::vector<gnutls_pcert_st> raw(chain.size());
    for (std::size_t i = 0; i < chain.size(); ++i) {
        must(gnutls_pcert_import_x509(&raw[i], chain[i]->crt(), 0), "server certificate");
    }
    gnutls_privkey_t private_key = nullptr;
    must(gnutls_privkey_init(&private_key), "server key");
    must(gnutls_privkey_import_x509(private_key, key.key(), GNUTLS_PRIVKEY_IMPORT_COPY),
         "server key");
    // The credentials own the contents from here on.
    must(gnutls_certificate_set_key(credentials_, nullptr, 0, raw.data(),
                                    static_cast<int>(raw.size()), private_key),
         "server certificate");
    must(gnutls_session_ticket_key_generate(&ticket_key_), "ticket key");
}

Service::~Service() {
    gnutls_certificate_free_credentials(credentials_);
    gnutls_free(ticket_key_.data);
}

Endpoint::Endpoint(unsigned flags, const char* priority,
                   gnutls_certificate_credentials_t credentials) {
    must(gnutls_init(&session_, flags | GNUTLS_NONBLOCK), "session");
    must(gnutls_priority_set_direct(session_, priority, nullptr), priority);
    must(gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, credentials), "credentials");
    gnutls_transport_set_ptr(session_, this);
    gnutls_transport_set_pull_function(session_, pull);
    gnutls_transport_set_pull_timeout_function(session_, pull_timeout);
    gnutls_transport_set_vec_push_function(session_, push);
}

Endpoint::~Endpoint() {
    gnutls_deinit(session_);
}

void Endpoint::take(std::span<const std::uint8_t> ciphertext) {
    input_.insert(input_.end(), ciphertext.begin(), ciphertext.end());
    while (error == 0 && !closed) {
        std::array<char, 16384> plain{};
        const ssize_t result = shaken ? gnutls_record_recv(session_, plain.data(), plain.size())
                                      : static_cast<ssize_t>(gnutls_handshake(session_));
        if (result == GNUTLS_E_AGAIN && input_.empty()) {
            return;
        }
        if (result < 0 && gnutls_error_is_fatal(static_cast<int>(result)) != 0) {
            error = static_cast<int>(result);
            (void)gnutls_alert_send_appropriate(session_, error);
        } else if (!shaken) {
            shaken = result == 0;
        } else if (result == 0) {
            closed = true;
        } else if (result > 0) {
            received.append(plain.data(), static_cast<std::size_t>(result));
        }
    }
}

void Endpoint::say(std::string_view text) {
    while (!text.empty()) {
        const ssize_t sent = gnutls_record_send(session_, text.data(), text.size());
        must(static_cast<int>(std::min<ssize_t>(sent, 0)), "server sends");
        text.remove_prefix(static_cast<std::size_t>(sent));
    }
}

ssize_t Endpoint::pull(gnutls_transport_ptr_t self, void* data, std::size_t size) {
    Endpoint& end = *static_cast<Endpoint*>(self);
    if (end.input_.empty()) {
        gnutls_transport_set_errno(end.session_, EAGAIN);
        return -1;
    }
    const std::size_t taken = std::min(size, end.input_.size());
    std::memcpy(data, end.input_.data(), taken);
    end.input_.erase(end.input_.begin(), end.input_.begin() + static_cast<std::ptrdiff_t>(taken));
    return static_cast<ssize_t>(taken);
}

ssize_t Endpoint::push(gnutls_transport_ptr_t self, const giovec_t* parts, int count) {
    Endpoint& end = *static_cast<Endpoint*>(self);
    ssize_t size = 0;
    for (const giovec_t& part : std::span{parts, static_cast<std::size_t>(count)}) {
        const auto* begin = static_cast<const std::uint8_t*>(part.iov_base);
        end.output.insert(end.output.end(), begin, begin + part.iov_len);
        size += static_cast<ssize_t>(part.iov_len);
    }
    return size;
}

int Endpoint::pull_timeout(gnutls_transport_ptr_t self, unsigned /*milliseconds*/) {
    return static_cast<Endpoint*>(self)->input_.empty() ? 0 : 1;
}

Server::Server(const Service& service, const char* priority, unsigned flags)
    : Endpoint{GNUTLS_SERVER | flags, priority, service.credentials()} {
    must(gnutls_session_ticket_enable_server(session(), &service.ticket_key()), "tickets");
}

NoCredentials::NoCredentials() {
    must(gnutls_certificate_allocate_credentials(&credentials_), "credentials");
}

NoCredentials::~NoCredentials() {
    gnutls_certificate_free_credentials(credentials_);
}

AnyClient::AnyClient(const char* name, const char* priority)
    : Endpoint{GNUTLS_CLIENT, priority, get()} {
    if (name != nullptr) {
        must(gnutls_server_name_set(session(), GNUTLS_NAME_DNS, name, std::strlen(name)), name);
    }
}

void AnyClient::offer(std::string_view protocol) {
    std::string copy{protocol}; // GnuTLS takes no const
    const gnutls_datum_t one{reinterpret_cast<unsigned char*>(copy.data()),
                             static_cast<unsigned>(copy.size())};
    must(gnutls_alpn_set_protocols(session(), &one, 1, 0), "protocol");
}

void AnyClient::resume(const Octets& ticket) {
    must(gnutls_session_set_data(session(), ticket.data(), ticket.size()), "session");
}

Octets AnyClient::ticket() const {
    constexpr unsigned dummy = 4; // what there is without one
    gnutls_datum_t data{};
    must(gnutls_session_get_data2(session(), &data), "ticket");
    Octets ticket{data.data, data.data + data.size};
    gnutls_free(data.data);
    return ticket.size() > dummy ? ticket : Octets{};
}

bool AnyClient::was_shown(const Certificate& certificate) const {
    unsigned count = 0;
    const gnutls_datum_t* const shown = gnutls_certificate_get_peers(session(), &count);
    gnutls_datum_t der{};
    must(gnutls_x509_crt_export2(certificate.crt(), GNUTLS_X509_FMT_DER, &der), "export");
    const bool same = count > 0 && std::ranges::equal(std::span{shown->data, shown->size},
                                                      std::span{der.data, der.size});
    gnutls_free(der.data);
    return same;
}

Client::Client(const ClientContext& context, const Identity& identity, Tickets& tickets,
               Spoken spoken)
    : stream{context, identity, tickets, spoken} {
    drain();
}

void Client::take(std::span<const std::uint8_t> ciphertext) {
    stream.feed(ciphertext);
    drain();
}

void Client::take_end() {
    stream.feed_end();
    drain();
}

void Client::drain() {
    if (!stream.ready()) {
        last = stream.handshake();
    }
    if (!stream.ready()) {
        return;
    }
    std::array<std::uint8_t, 4096> buffer{};
    std::size_t size = 0;
    while ((last = stream.receive(buffer, size)) == Io::done) {
        plain.append(reinterpret_cast<const char*>(buffer.data()), size);
    }
}

void carry(Client& client, Server& server, const Chop& chop) {
    const auto in_pieces = [&](std::span<const std::uint8_t> all, const auto& deliver) {
        while (!all.empty()) {
            const std::size_t size =
                chop ? std::clamp<std::size_t>(chop(all.size()), 1, all.size()) : all.size();
            // A copy of its own size, so that a sanitizer sees a borrowed octet used too late.
            const Octets piece{all.begin(), all.begin() + static_cast<std::ptrdiff_t>(size)};
            deliver(std::span{piece});
            all = all.subspan(size);
        }
    };
    while (!client.stream.output().empty() || !server.output.empty()) {
        const auto view = client.stream.output().view();
        const Octets up{view.begin(), view.end()};
        client.stream.output().clear();
        in_pieces(up, [&](std::span<const std::uint8_t> piece) { server.take(piece); });
        const Octets down = std::exchange(server.output, {});
        in_pieces(down, [&](std::span<const std::uint8_t> piece) { client.take(piece); });
    }
}

bool shakes_without_policy(const Service& service, const char* priority) {
    AnyClient client{nullptr, "NORMAL:+3DES-CBC:+SIGN-RSA-SHA1:%VERIFY_ALLOW_SIGN_WITH_SHA1"};
    Server server{service, priority};
    carry(client, server);
    return client.shaken && server.shaken;
}

Octets ticket_without_check(const Service& service) {
    AnyClient client;
    Server server{service};
    carry(client, server);
    must(client.error, "unchecked handshake");
    unsigned presented = 0;
    gnutls_certificate_get_peers(client.session(), &presented);
    must(presented == service.chain_length() ? 0 : GNUTLS_E_INTERNAL_ERROR, "the whole chain");
    Octets ticket = client.ticket();
    must(ticket.empty() ? GNUTLS_E_INTERNAL_ERROR : 0, "a real ticket");
    return ticket;
}

} // namespace dotproxy::tls::test
