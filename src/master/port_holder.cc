// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/port_holder.hh"

#include "base/fd.hh"
#include "base/number.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <limits>
#include <netinet/in.h>
#include <pwd.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace dotproxy {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view listening = "0A"; // TCP_LISTEN
constexpr std::size_t most_text = 4U << 20U; // of one table

// The columns of a table, separated by blanks: "sl: local remote st queues timer retransmits uid
// timeout inode".
constexpr std::size_t local_column = 1;
constexpr std::size_t state_column = 3;
constexpr std::size_t owner_column = 7;
constexpr std::size_t inode_column = 9;

std::string read_text(const std::string& path) {
    const Fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    std::string text;
    std::array<char, 16384> part{};
    ssize_t count = 0;
    while (text.size() < most_text && (count = ::read(file.get(), part.data(), part.size())) > 0) {
        text.append(part.data(), static_cast<std::size_t>(count));
    }
    return text;
}

std::vector<std::string_view> columns_of(std::string_view line) {
    std::vector<std::string_view> columns;
    for (;;) {
        line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
        if (line.empty()) {
            return columns;
        }
        const std::size_t end = std::min(line.find(' '), line.size());
        columns.push_back(line.substr(0, end));
        line.remove_prefix(end);
    }
}

/// "0100007F:14B4": words of four octets as this machine has them in memory, and a port.
std::optional<Address> read_address(std::string_view text) noexcept {
    constexpr std::size_t digits_of_word = 8;
    const std::size_t colon = std::min(text.find(':'), text.size());
    const auto port =
        parse_number<std::uint16_t>(text.substr(std::min(colon + 1, text.size())), 16);
    std::array<std::uint32_t, 4> words{};
    const std::size_t count = colon / digits_of_word;
    if (!port || colon % digits_of_word != 0 || (count != 1 && count != words.size())) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < count; ++i) {
        const auto word =
            parse_number<std::uint32_t>(text.substr(i * digits_of_word, digits_of_word), 16);
        if (!word) {
            return std::nullopt;
        }
        words[i] = *word;
    }
    if (count == 1) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(*port);
        v4.sin_addr.s_addr = words[0];
        return Address{v4};
    }
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(*port);
    std::memcpy(&v6.sin6_addr, words.data(), sizeof v6.sin6_addr);
    return Address{v6};
}

/// Whether the two cannot both be bound, as far as a table tells: whether [::] takes IPv4 as well
/// does not stand there, nor the interface of a link-local address.
bool may_collide(const Address& bound, const Address& wanted) noexcept {
    return bound.covers(wanted) || wanted.covers(bound) ||
           (bound.port() == wanted.port() && bound.is_v6() &&
            (bound.is_wildcard() ||
             bound.host() == wanted.host().substr(0, wanted.host().find('%'))));
}

/// The process that has a socket open; 0: none that may be looked at.
pid_t process_with(std::uint64_t inode) {
    const std::string wanted = "socket:[" + std::to_string(inode) + "]";
    std::error_code error;
    for (fs::directory_iterator one{"/proc", error}, end; !error && one != end;
         one.increment(error)) {
        const auto pid = parse_number<pid_t>(one->path().filename().native());
        if (!pid) {
            continue;
        }
        std::error_code closed;
        for (fs::directory_iterator fd{one->path() / "fd", closed}; !closed && fd != end;
             fd.increment(closed)) {
            std::error_code gone;
            if (fs::read_symlink(fd->path(), gone) == wanted) {
                return *pid;
            }
        }
    }
    return 0;
}

std::string name_of(pid_t pid) {
    std::string name = read_text("/proc/" + std::to_string(pid) + "/comm");
    name.resize(std::min(name.find('\n'), name.size()));
    return name;
}

std::string describe(const BoundSocket& socket) {
    const std::string has = " has " + socket.address.text();
    if (const pid_t pid = process_with(socket.inode); pid != 0) {
        return pid == ::getpid()
                   ? "dotproxy itself" + has
                   : "process " + std::to_string(pid) + " (" + name_of(pid) + ")" + has;
    }
    if (socket.owner == ::geteuid()) {
        return "another process of the same account, or the service manager for it," + has;
    }
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    const passwd* const owner = ::getpwuid(socket.owner);
    return "a process of " + (owner != nullptr ? std::string{owner->pw_name} : "another account") +
           has;
}

} // namespace

std::optional<BoundSocket> find_bound(std::string_view table, Protocol protocol,
                                      const Address& address) {
    while (!table.empty()) {
        const std::size_t end = std::min(table.find('\n'), table.size());
        const auto columns = columns_of(table.substr(0, end));
        table.remove_prefix(std::min(end + 1, table.size()));
        if (columns.size() <= inode_column ||
            (protocol == Protocol::tcp && columns[state_column] != listening)) {
            continue;
        }
        const auto bound = read_address(columns[local_column]);
        const auto owner = parse_number<uid_t>(columns[owner_column]);
        const auto inode = parse_number<std::uint64_t>(columns[inode_column]);
        if (bound && owner && inode && may_collide(*bound, address)) {
            return BoundSocket{.address = *bound, .owner = *owner, .inode = *inode};
        }
    }
    return std::nullopt;
}

std::string describe_port_holder(Protocol protocol, const Address& address) {
    const std::string table =
        protocol == Protocol::udp ? "/proc/self/net/udp" : "/proc/self/net/tcp";
    for (const char* const family : {"", "6"}) {
        if (family[0] == '\0' && address.is_v6()) {
            continue; // what is bound to IPv4 is in nobody's way there
        }
        if (const auto socket = find_bound(read_text(table + family), protocol, address)) {
            return describe(*socket);
        }
    }
    return "another program has it: as root, \"ss -lnp" +
           std::string{protocol == Protocol::udp ? "u" : "t"} +
           " sport = " + std::to_string(address.port()) + "\" tells which";
}

} // namespace dotproxy
