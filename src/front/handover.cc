// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/handover.hh"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

namespace dotproxy {

namespace {

struct alignas(cmsghdr) Control {
    std::array<std::uint8_t, CMSG_SPACE(sizeof(int))> octets{};
};

} // namespace

Handover make_handover() {
    std::array<int, 2> ends{};
    // Datagrams keep a connection and its octets together.
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        throw std::system_error{errno, std::generic_category(), "socketpair"};
    }
    return {.in = Fd{ends[0]}, .out = Fd{ends[1]}};
}

bool hand_over(const Handover& handover, int connection, std::span<const std::uint8_t> unread,
               const Handed& what) noexcept {
    Handed mark = what;
    std::array<iovec, 2> parts{
        iovec{.iov_base = &mark, .iov_len = sizeof mark},
        // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): sendmsg(2) only reads
        iovec{.iov_base = const_cast<std::uint8_t*>(unread.data()), .iov_len = unread.size()}};
    Control control;
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    message.msg_control = control.octets.data();
    message.msg_controllen = control.octets.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof connection);
    std::memcpy(CMSG_DATA(header), &connection, sizeof connection);
    return ::sendmsg(handover.in.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

Fd take_over(const Handover& handover, std::span<std::uint8_t> room, std::size_t& size,
             Handed* what) noexcept {
    // The kernel would hand out the message and drop the connection if it had no number for it.
    // Only this thread makes descriptors, so one that can be had now can be had then.
    if (!Fd{::dup(handover.out.get())}) {
        return Fd{};
    }
    Handed mark;
    std::array<iovec, 2> parts{iovec{.iov_base = &mark, .iov_len = sizeof mark},
                               iovec{.iov_base = room.data(), .iov_len = room.size()}};
    Control control;
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    message.msg_control = control.octets.data();
    message.msg_controllen = control.octets.size();
    const ssize_t count = ::recvmsg(handover.out.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (count < 1) {
        errno = count < 0 ? errno : EAGAIN;
        return Fd{};
    }
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (count < static_cast<ssize_t>(sizeof mark) || header == nullptr ||
        header->cmsg_type != SCM_RIGHTS) {
        errno = EBADMSG; // refused by a security module, or the end of something that is no client
        return Fd{};
    }
    size = static_cast<std::size_t>(count) - sizeof mark;
    if (what != nullptr) {
        *what = mark;
    }
    int connection = -1;
    std::memcpy(&connection, CMSG_DATA(header), sizeof connection);
    return Fd{connection};
}

} // namespace dotproxy
