// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/privileges.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

namespace dotproxy {

namespace {

[[noreturn]] void fail(const char* what, const char* takes = "") {
    throw std::runtime_error{std::string{"cannot give up privileges: "} + what + ": " +
                             std::system_category().message(errno) + takes};
}

/// Whether a process is `id` already, in all three senses of what `get` asks for.
template <class Id>
bool is_already(int (*get)(Id*, Id*, Id*), Id id) noexcept {
    Id real{};
    Id effective{};
    Id saved{};
    return get(&real, &effective, &saved) == 0 && real == id && effective == id && saved == id;
}

/// Root need not have the capabilities for this, in a container for one: what is as it shall be is
/// left alone.
void become(const Account& account) {
    constexpr const char* group_takes =
        "; root needs CAP_SETGID for that: allow it, or start dotproxy as its user and group";
    constexpr const char* user_takes =
        "; root needs CAP_SETUID for that: allow it, or start dotproxy as its user and group";
    const auto [uid, gid] = account;
    if (::getgroups(0, nullptr) != 0 && ::setgroups(0, nullptr) != 0) {
        fail("setgroups", group_takes);
    }
    if (!is_already(::getresgid, gid) && ::setresgid(gid, gid, gid) != 0) {
        fail("setresgid", group_takes);
    }
    if (!is_already(::getresuid, uid) && ::setresuid(uid, uid, uid) != 0) {
        fail("setresuid", user_takes);
    }
    if (uid != 0 && (::setuid(0) == 0 || ::seteuid(0) == 0)) {
        throw std::runtime_error{"cannot give up privileges: root can be had again"};
    }
}

/// What a program that is run could have. Takes a capability that only root has; for others
/// no_new_privs has to do.
void drop_bounding_set() noexcept {
    for (unsigned long each = 0; ::prctl(PR_CAPBSET_READ, each, 0, 0, 0) >= 0; ++each) {
        ::prctl(PR_CAPBSET_DROP, each, 0, 0, 0);
    }
}

using Capabilities = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

bool has_capabilities() {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    Capabilities sets{};
    if (::syscall(SYS_capget, &header, sets.data()) != 0) {
        fail("capget");
    }
    return std::any_of(sets.begin(), sets.end(), [](const __user_cap_data_struct& set) {
        return (set.effective | set.permitted | set.inheritable) != 0;
    });
}

void drop_capabilities() {
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    Capabilities none{};
    // A service manager that gave none may have taken this call as well.
    if (has_capabilities() && ::syscall(SYS_capset, &header, none.data()) != 0) {
        fail("capset");
    }
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        fail("no_new_privs");
    }
}

} // namespace

Account find_account(const Config& config) {
    const auto none = [](const std::string& place, const char* kind, const std::string& name) {
        return ConfigError{place + ": there is no " + kind + " \"" + name +
                           "\" on this machine; create it or name another one"};
    };
    // NOLINTBEGIN(concurrency-mt-unsafe): one thread
    const passwd* user = ::getpwnam(config.user.c_str());
    if (user == nullptr) {
        throw none(config.places.user, "user", config.user);
    }
    const ::group* group = ::getgrnam(config.group.c_str());
    // NOLINTEND(concurrency-mt-unsafe)
    if (group == nullptr) {
        throw none(config.places.group, "group", config.group);
    }
    return {.user = user->pw_uid, .group = group->gr_gid};
}

std::optional<Account> account_in_place_of_root(const Config& config) {
    return ::geteuid() == 0 ? std::optional{find_account(config)} : std::nullopt;
}

void drop_privileges(const std::optional<Account>& account) {
    drop_bounding_set();
    if (account) {
        become(*account);
    }
    drop_capabilities();
}

std::uint64_t raise_descriptor_limit(std::uint64_t wanted) noexcept {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    if (limit.rlim_cur >= wanted) {
        return limit.rlim_cur;
    }
    const rlimit asked{.rlim_cur = wanted, .rlim_max = std::max<rlim_t>(limit.rlim_max, wanted)};
    if (::setrlimit(RLIMIT_NOFILE, &asked) == 0) {
        return wanted;
    }
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, wanted);
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

} // namespace dotproxy
