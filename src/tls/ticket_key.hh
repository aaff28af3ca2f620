// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TicketKey: what the tickets of our own sessions are sealed with. All workers of all generations
// have the same one, so that a client resumes wherever it comes to, also after a crash or a reload
// (E12). GnuTLS derives what it works with from it anew every six hours, in all of them alike
// (G25). It is in no file, and nothing is left of it in memory.

#pragma once

#include <chrono>
#include <gnutls/gnutls.h>

namespace dotproxy::tls {

class TicketKey {
  public:
    /// Draws one. Throws std::runtime_error where that cannot be done.
    TicketKey();
    TicketKey(const TicketKey&) = delete;
    TicketKey& operator=(const TicketKey&) = delete;
    ~TicketKey();

    [[nodiscard]] const gnutls_datum_t& octets() const noexcept { return octets_; }

    /// For how long one is used (RFC 9325, section 3.4).
    static constexpr std::chrono::hours lifetime{7 * 24};

  private:
    gnutls_datum_t octets_{};
};

} // namespace dotproxy::tls
