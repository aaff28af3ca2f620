// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The kernel's interface is written down here: <linux/landlock.h> is as old as the machine that
// builds, and the kernel that runs may be newer, or older.

#include "sandbox/landlock.hh"

#include "base/fd.hh"

#include <cerrno>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

namespace dotproxy::sandbox {

namespace {

/// Each version took it longer by a field; an older one takes it as long as the rest is 0.
struct Ruleset {
    std::uint64_t files;
    std::uint64_t net;
    std::uint64_t scopes;
};

struct PortRule {
    std::uint64_t allowed;
    std::uint64_t port; // in host order
};

constexpr std::uint32_t ask_version = 1;
constexpr int port_rule = 2;

constexpr std::uint64_t bind_tcp = 1U << 0U;
constexpr std::uint64_t connect_tcp = 1U << 1U;
constexpr std::uint64_t abstract_sockets = 1U << 0U;
constexpr std::uint64_t signals = 1U << 1U;

constexpr int net_since = 4;
constexpr int scopes_since = 6;

/// The bits of all rights to files that a version knows: 13 in the first one, then to link across
/// directories, to truncate, and to control devices.
std::uint64_t all_file_rights(int version) noexcept {
    const unsigned count = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
    return (std::uint64_t{1} << count) - 1;
}

[[noreturn]] void fail(const char* what) {
    throw std::system_error{errno, std::generic_category(), what};
}

void add_rule(const Fd& rules, const PortRule& rule) {
    if (::syscall(SYS_landlock_add_rule, rules.get(), port_rule, &rule, 0U) != 0) {
        fail("landlock_add_rule");
    }
}

} // namespace

int landlock_version() noexcept {
    const long version =
        ::syscall(SYS_landlock_create_ruleset, nullptr, std::size_t{0}, ask_version);
    return version > 0 ? static_cast<int>(version) : 0;
}

void enter_landlock(int version, const Needs& needs) {
    const Ruleset ruleset{
        .files = all_file_rights(version),
        .net = version >= net_since ? bind_tcp | connect_tcp : 0,
        // A path to a socket, such as the log's, is none of the abstract ones.
        .scopes = version >= scopes_since ? abstract_sockets | signals : 0,
    };
    const Fd rules{static_cast<int>(
        ::syscall(SYS_landlock_create_ruleset, &ruleset, sizeof ruleset, std::uint32_t{0}))};
    if (!rules) {
        fail("landlock_create_ruleset");
    }
    if (version >= net_since) {
        for (const std::uint16_t port : needs.ports) {
            add_rule(rules, {.allowed = connect_tcp, .port = port});
        }
        if (needs.source) { // with a port that the kernel chooses, and no other
            add_rule(rules, {.allowed = bind_tcp, .port = 0});
        }
    }
    if (::syscall(SYS_landlock_restrict_self, rules.get(), 0U) != 0) {
        fail("landlock_restrict_self");
    }
}

} // namespace dotproxy::sandbox
