// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What both roles allow of TLS.

#pragma once

namespace dotproxy::tls {

// Appended to the distribution's default. It only takes away, so that a policy of the machine that
// allows less stays in force; groups alone are listed anew, because their order decides for which
// ones keys are made in advance. No version before TLS 1.2, no CBC, no static RSA, no finite field
// Diffie-Hellman, no SHA-1, no RSA below 2048 bits (C64, C69, G10, G22).
inline constexpr const char* policy = "-VERS-TLS1.1:-VERS-TLS1.0:-VERS-SSL3.0:-VERS-DTLS-ALL:"
                                      "-RSA:-DHE-RSA:-MAC-ALL:+AEAD:"
                                      "-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1:"
                                      "-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:"
                                      "%PROFILE_MEDIUM:%DISABLE_TLS13_COMPAT_MODE";

} // namespace dotproxy::tls
