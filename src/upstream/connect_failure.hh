// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What an attempt to connect to an upstream that came to nothing is counted as.

#pragma once

#include "shared/counted.hh"
#include "tls/verify.hh"

namespace dotproxy {

/// For an errno of a socket.
[[nodiscard]] ConnectFailure failure_of(int error) noexcept;

/// For a peer that is not trusted.
[[nodiscard]] ConnectFailure failure_of(tls::Refusal refusal) noexcept;

} // namespace dotproxy
