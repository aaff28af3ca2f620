// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Service: the running dotproxy, as seen from its control socket.

#pragma once

#include "base/fd.hh"

#include <stdexcept>
#include <string>

namespace dotproxy::ctl {

/// There is no service to talk to, or it went away; what() says what to look at.
class NoService : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// A connection to the service.
class Service {
  public:
    /// Throws NoService.
    explicit Service(std::string path);

    /// Sends a request (master/request.hh) and writes the lines of the answer to the standard
    /// output. Returns what the service says against it; empty: it is done. Throws NoService.
    [[nodiscard]] std::string ask(const std::string& request);

  private:
    [[nodiscard]] std::string read_line();

    std::string path_;
    Fd socket_;
    std::string unread_;
};

} // namespace dotproxy::ctl
