// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/version.hh"

#include "config/config.hh"
#include "tls/client_context.hh"

namespace dotproxy {

const char* version_number() noexcept {
    return PACKAGE_VERSION;
}

std::string version_text() {
    return std::string{"dotproxy " PACKAGE_VERSION "\nGnuTLS "} + tls::library_version() +
           "\nlibconfig " + config_library_version() + "\n";
}

} // namespace dotproxy
