// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/control_socket.hh"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace dotproxy {

namespace {

constexpr int backlog = 16;

sockaddr_un address_of(const std::string& path) noexcept {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
}

const sockaddr* generic(const sockaddr_un& address) noexcept {
    return reinterpret_cast<const sockaddr*>(&address);
}

Fd make_socket() noexcept {
    return Fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
}

/// bind(), with the mode in place from the first moment.
bool bind_to(int socket, const sockaddr_un& address) noexcept {
    const mode_t before = ::umask(S_IXUSR | S_IXGRP | S_IRWXO); // what is left is 0660
    const bool bound = ::bind(socket, generic(address), sizeof address) == 0;
    const int error = errno;
    ::umask(before);
    errno = error;
    return bound;
}

[[noreturn]] void fail(const std::string& path, const std::string& what) {
    throw std::runtime_error{path + ": " + what};
}

[[noreturn]] void fail(const std::string& path) {
    fail(path, std::generic_category().message(errno));
}

/// Removes a socket that nobody serves. Anything else that is at its place is somebody's.
void remove_stale(const std::string& path, const sockaddr_un& address) {
    struct stat status {};

    if (::lstat(path.c_str(), &status) != 0) {
        if (errno == ENOENT) {
            return;
        }
        fail(path);
    }
    if (!S_ISSOCK(status.st_mode)) {
        fail(path, "there is a file that is not a socket");
    }
    const Fd probe = make_socket();
    if (::connect(probe.get(), generic(address), sizeof address) == 0 || errno == EAGAIN) {
        fail(path, "another process serves it");
    }
    if (errno != ECONNREFUSED || ::unlink(path.c_str()) != 0) {
        fail(path);
    }
}

} // namespace

ControlSocket::ControlSocket(std::string path) : socket_{make_socket()} {
    const sockaddr_un address = address_of(path);
    bool bound = socket_ && bind_to(socket_.get(), address);
    if (!bound && errno == EADDRINUSE) {
        remove_stale(path, address);
        bound = bind_to(socket_.get(), address);
    }

    struct stat status {};

    if (!bound || ::listen(socket_.get(), backlog) != 0 || ::lstat(path.c_str(), &status) != 0) {
        fail(path);
    }
    path_ = std::move(path);
    device_ = status.st_dev;
    inode_ = status.st_ino;
}

ControlSocket::ControlSocket(ControlSocket&& other) noexcept
    : path_{std::exchange(other.path_, {})}, socket_{std::move(other.socket_)},
      device_{other.device_}, inode_{other.inode_} {}

ControlSocket& ControlSocket::operator=(ControlSocket&& other) noexcept {
    // What was here goes with the temporary.
    ControlSocket taken{std::move(other)};
    std::swap(path_, taken.path_);
    std::swap(socket_, taken.socket_);
    std::swap(device_, taken.device_);
    std::swap(inode_, taken.inode_);
    return *this;
}

ControlSocket::~ControlSocket() {
    if (in_place()) {
        ::unlink(path_.c_str());
    }
}

bool ControlSocket::in_place() const noexcept {
    struct stat status {};

    return !path_.empty() && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
           status.st_ino == inode_;
}

void ControlSocket::let_go() noexcept {
    socket_.reset();
    path_.clear();
}

std::string control_path(const Config& config) {
    if (config.control_socket != default_control_socket) {
        return config.control_socket;
    }
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    const char* const given = std::getenv("RUNTIME_DIRECTORY");
    std::string directory{given != nullptr ? given : ""};
    directory.resize(std::min(directory.find(':'), directory.size())); // there may be several
    if (directory.empty() || directory.front() != '/') {
        return config.control_socket;
    }
    return directory + "/control";
}

void make_control_directory(const std::string& path, const Account& account) noexcept {
    const std::string directory = path.substr(0, path.rfind('/'));
    if (directory.empty() || ::mkdir(directory.c_str(), S_IRWXU) != 0) {
        return;
    }
    const Fd made{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    constexpr mode_t mode = S_IRWXU | S_IRGRP | S_IXGRP | S_IROTH | S_IXOTH;
    static_cast<void>(::fchmod(made.get(), mode) == 0 &&
                      ::fchown(made.get(), account.user, account.group) == 0);
}

} // namespace dotproxy
