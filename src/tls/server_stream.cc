// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "tls/server_stream.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace dotproxy::tls {

namespace {

// One ticket is enough, and it is sent when the handshake is over (E13, G27).
constexpr unsigned flags = GNUTLS_SERVER | GNUTLS_NO_AUTO_SEND_TICKET;

// A ClientHello has two KiB, or three. GnuTLS would hold 128, and holds any message as long as it
// is not whole, so what comes of a handshake is bounded as well (E14, G28).
constexpr std::size_t most_hello = 16384;
constexpr std::size_t most_heard = 32768;

// For how long a ticket is good, in seconds; the key that it is sealed with works three times as
// long (G25).
constexpr int ticket_lifetime = 7200;

constexpr std::size_t most_name = 255;

/// By their places in ServerStream::Application, but for the first.
constexpr std::array<std::string_view, 3> applications{"dot", "h2", "http/1.1"};

/// Offers `names`. A client that offers none of them is told so.
bool offer_all(gnutls_session_t session, std::span<const std::string_view> names) noexcept {
    std::array<std::array<unsigned char, 8>, applications.size()> texts{};
    std::array<gnutls_datum_t, applications.size()> protocols{};
    for (std::size_t i = 0; i < names.size(); ++i) { // GnuTLS takes a copy, but not from const
        std::copy(names[i].begin(), names[i].end(), texts[i].begin());
        protocols[i] = {texts[i].data(), static_cast<unsigned>(names[i].size())};
    }
    constexpr unsigned alpn = GNUTLS_ALPN_MANDATORY | GNUTLS_ALPN_SERVER_PRECEDENCE;
    return gnutls_alpn_set_protocols(session, protocols.data(), static_cast<unsigned>(names.size()),
                                     alpn) >= 0;
}

} // namespace

ServerStream::ServerStream(const ServerContext& context, const Address& local, const Offer& offer,
                           Buffer& output) noexcept
    : Session{flags, output}, context_{context}, local_{local} {
    if (handle() == nullptr || !set_up(offer)) {
        fail(Failure::protocol, "The TLS session cannot be set up");
    }
}

bool ServerStream::set_up(const Offer& offer) noexcept {
    gnutls_session_t session = handle();
    gnutls_session_set_ptr(session, this);
    gnutls_handshake_set_post_client_hello_function(session, on_hello);
    gnutls_handshake_set_max_packet_length(session, most_hello);
    gnutls_db_set_cache_expiration(session, ticket_lifetime);
    const std::span all{applications};
    const auto offered = !offer.http ? all.first(1) : offer.dot ? all : all.subspan(1);
    return gnutls_priority_set(session, context_.priority()) >= 0 &&
           gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, context_.first()) >= 0 &&
           offer_all(session, offered) &&
           gnutls_session_ticket_enable_server(session, &context_.ticket_key()) >= 0;
}

Io ServerStream::handshake() noexcept {
    if (failure() != Failure::none) {
        return Io::failed;
    }
    if (ready()) {
        return Io::done;
    }
    if (heard_ > most_heard) {
        return fail_with(GNUTLS_E_UNEXPECTED_PACKET_LENGTH);
    }
    heard_ += fed();
    const Io io = shake();
    if (io == Io::done) {
        set_ready();
        send_ticket();
    }
    return io;
}

/// E29
ServerStream::Ending ServerStream::ending_by(int alert) noexcept {
    const bool about_certificate =
        (alert >= GNUTLS_A_BAD_CERTIFICATE && alert <= GNUTLS_A_CERTIFICATE_UNKNOWN) ||
        alert == GNUTLS_A_UNKNOWN_CA;
    return about_certificate ? Ending::certificate : Ending::closed;
}

ServerStream::Application ServerStream::application() const noexcept {
    gnutls_datum_t chosen{};
    if (gnutls_alpn_get_selected_protocol(handle(), &chosen) < 0) {
        return Application::unsaid;
    }
    const std::string_view name{reinterpret_cast<const char*>(chosen.data), chosen.size};
    const auto at = std::find(applications.begin(), applications.end(), name);
    return static_cast<Application>(at - applications.begin() + 1);
}

void ServerStream::send_ticket() noexcept {
    if (gnutls_protocol_get_version(handle()) == GNUTLS_TLS1_3) {
        // Who cannot use one gets none.
        (void)gnutls_session_ticket_send(handle(), 1, 0);
    }
}

bool ServerStream::resumes() const noexcept {
    return gnutls_session_is_resumed(handle()) != 0;
}

ServerStream::Ending ServerStream::ending() const noexcept {
    switch (error()) {
    case GNUTLS_E_PREMATURE_TERMINATION:
        return Ending::closed;
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
        return ending_by(gnutls_alert_get(handle()));
    case GNUTLS_E_DECRYPTION_FAILED: {
        // OpenSSL begins to encrypt with its last message, and refuses a certificate before that.
        const auto alert = clear_alert();
        return alert ? ending_by(*alert) : Ending::nonsense;
    }
    case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
    case GNUTLS_E_NO_CIPHER_SUITES:
    case GNUTLS_E_NO_COMMON_KEY_SHARE:
    case GNUTLS_E_NO_APPLICATION_PROTOCOL:
    case GNUTLS_E_INSUFFICIENT_SECURITY:
        return Ending::incompatible;
    default:
        return Ending::nonsense;
    }
}

/// GnuTLS has read a ClientHello. Without this it would look for a certificate by itself (E7).
int ServerStream::on_hello(gnutls_session_t session) noexcept {
    static_cast<ServerStream*>(gnutls_session_get_ptr(session))->choose_certificate();
    return 0;
}

void ServerStream::choose_certificate() noexcept {
    greeted_ = true;
    std::array<char, most_name + 1> name{};
    std::size_t size = name.size();
    unsigned type = 0;
    if (gnutls_server_name_get(handle(), name.data(), &size, &type, 0) < 0 ||
        type != GNUTLS_NAME_DNS) {
        name[0] = '\0';
    }
    const std::size_t length = ::strnlen(name.data(), most_name);
    std::for_each_n(name.begin(), length, [](char& c) {
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    // A literal is not allowed there, and means the address that the client came to.
    std::string_view asked{name.data(), length};
    if (asked.find_first_not_of("0123456789.") == std::string_view::npos) {
        asked = {};
    }
    (void)gnutls_credentials_set(handle(), GNUTLS_CRD_CERTIFICATE,
                                 context_.credentials(asked, local_));
}

} // namespace dotproxy::tls
