// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// ControlSocket: the socket in the file system that dotproxyctl(8) connects to. It is bound, and
// removed, with the rights that the master keeps: root never touches a name in a directory that
// another account can write to (L69). Who may connect is decided by the file's mode alone.

#pragma once

#include "base/fd.hh"
#include "config/config.hh"
#include "master/privileges.hh"

#include <string>
#include <sys/types.h>

namespace dotproxy {

/// A listening socket bound to a path, or nothing.
class ControlSocket {
  public:
    ControlSocket() noexcept = default;
    /// Listens at `path`, which its owner and group may connect to. A socket that nobody serves any
    /// more is replaced. Throws std::runtime_error with the path and what is wrong.
    explicit ControlSocket(std::string path);
    ControlSocket(ControlSocket&& other) noexcept;
    ControlSocket& operator=(ControlSocket&& other) noexcept;
    ControlSocket(const ControlSocket&) = delete;
    ControlSocket& operator=(const ControlSocket&) = delete;
    /// Removes the file, unless another one has taken its place.
    ~ControlSocket();

    /// -1: there is none.
    [[nodiscard]] int fd() const noexcept { return socket_.get(); }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

    /// Whether the path still leads here.
    [[nodiscard]] bool in_place() const noexcept;

    /// Closes the descriptor and leaves the file alone; for a child of the process.
    void let_go() noexcept;

  private:
    std::string path_; // empty: there is no file of ours
    Fd socket_;
    dev_t device_{0}; // of the file
    ino_t inode_{0};
};

/// Where `config` wants the socket; empty: nowhere. The default gives way to the directory that
/// systemd has made for the service, if it has.
[[nodiscard]] std::string control_path(const Config& config);

/// Makes the directory of `path` for `account` where it is missing. For root; what goes wrong shows
/// when the socket is bound.
void make_control_directory(const std::string& path, const Account& account) noexcept;

} // namespace dotproxy
