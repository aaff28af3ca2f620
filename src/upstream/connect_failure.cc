// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/connect_failure.hh"

#include <cerrno>

namespace dotproxy {

ConnectFailure failure_of(int error) noexcept {
    switch (error) {
    case ECONNREFUSED:
        return ConnectFailure::refused;
    case ECONNRESET:
    case EPIPE:
        return ConnectFailure::reset;
    case ETIMEDOUT:
        return ConnectFailure::timeout;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL: // no address to ask from
    case ENODEV:        // nor an interface
    case EACCES:        // a firewall of this host
    case EPERM:
        return ConnectFailure::unreachable;
    default:
        return ConnectFailure::other;
    }
}

ConnectFailure failure_of(tls::Refusal refusal) noexcept {
    switch (refusal) {
    case tls::Refusal::name:
        return ConnectFailure::name;
    case tls::Refusal::expired:
        return ConnectFailure::expired;
    case tls::Refusal::not_yet_valid:
        return ConnectFailure::not_yet_valid;
    case tls::Refusal::untrusted_ca:
        return ConnectFailure::untrusted_ca;
    case tls::Refusal::pin:
        return ConnectFailure::pin;
    case tls::Refusal::other:
        break;
    }
    return ConnectFailure::other;
}

} // namespace dotproxy
