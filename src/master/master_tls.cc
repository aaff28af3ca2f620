// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Master: the certificates of clients over TLS, and the key of their tickets.

#include "base/log.hh"
#include "master/master.hh"
#include "sandbox/sandbox.hh"

#include <chrono>

namespace dotproxy {

namespace {

constexpr std::chrono::hours between_looks{24};

} // namespace

/// The key of tickets outlives the generations: all clients return at a reload, which ends their
/// sessions, and resume them (E12).
ServerTls Master::load_server_tls(const Config& config) {
    if (config.certificates.empty()) {
        return nullptr;
    }
    sandbox::hide_memory(); // where keys are from now on, and in what is forked (E10)
    const bool in_use = ticket_key_ != nullptr && now_ < next_ticket_key_;
    const auto key = in_use ? ticket_key_ : std::make_shared<const tls::TicketKey>();
    ServerTls loaded = load_certificates(config, key);
    if (!in_use) {
        ticket_key_ = key;
        next_ticket_key_ = now_ + tls::TicketKey::lifetime;
    }
    return loaded;
}

/// Says what is to be said of certificates when a generation begins to serve, and each day after.
void Master::look_at_certificates() {
    if (now_ < next_certificate_look_) {
        return;
    }
    next_certificate_look_ = now_ + between_looks;
    if (current_) {
        for (const std::string& line : warnings_of(current_->config, current_->server_tls)) {
            log::write(log::Level::warning, "%s", line.c_str());
        }
    }
}

/// Before they are told.
void Master::count_certificates() {
    counters_.master().set(Counter::certificate_left,
                           seconds_left(current_ ? current_->server_tls : nullptr));
}

} // namespace dotproxy
