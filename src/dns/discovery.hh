// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Discovery of designated resolvers (RFC 9462): a client that asks in the clear learns of encrypted
// ways to the same resolver, in service bindings (RFC 9460, RFC 9461).

#pragma once

#include "dns/name.hh"
#include "dns/query.hh"
#include "dns/wire.hh"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy::dns {

/// An encrypted way to a resolver.
struct Service {
    std::string_view alpn; // how the protocol is called in TLS
    std::uint16_t port;
    std::uint16_t usual_port; // which goes without saying
    std::string path{};       // where HTTP is spoken: of a question's URL
};

/// Whether `question` is for them: _dns.resolver.arpa/SVCB (RFC 9462, section 4).
[[nodiscard]] bool asks_for_designated(const Question& question) noexcept;

/// The records that answer it: a service binding for each, by rank, and the address of `target`,
/// which may not be the root, as four or sixteen octets. The pointers in them refer to a message in
/// which they follow header and question; the last record is an additional one.
[[nodiscard]] std::vector<std::uint8_t> designation(const Name& target, Octets address,
                                                    std::span<const Service> services);

} // namespace dotproxy::dns
