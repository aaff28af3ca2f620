// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/siphash.hh"

#include <cerrno>
#include <sys/random.h>
#include <sys/types.h>
#include <system_error>

namespace dotproxy {

SipHashKey SipHashKey::draw() {
    SipHashKey key{};
    if (::getrandom(&key, sizeof key, 0) != static_cast<ssize_t>(sizeof key)) {
        throw std::system_error{errno, std::generic_category(), "getrandom"};
    }
    return key;
}

} // namespace dotproxy
