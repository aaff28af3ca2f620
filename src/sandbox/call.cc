// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "sandbox/call.hh"

#include <cstdlib>
#include <memory>
#include <seccomp.h>

namespace dotproxy::sandbox {

namespace {

struct Free {
    void operator()(char* text) const noexcept {
        std::free(text); // NOLINT(cppcoreguidelines-no-malloc): libseccomp's malloc
    }
};

} // namespace

std::string call_name(std::uint64_t call) {
    const auto architecture = static_cast<std::uint32_t>(call >> 32U);
    const auto number = static_cast<std::uint32_t>(call);
    // Its own pseudo calls are negative, and the kernel never reports one.
    if (const auto signed_number = static_cast<int>(number); signed_number >= 0) {
        const std::unique_ptr<char, Free> name{
            seccomp_syscall_resolve_num_arch(architecture, signed_number)};
        if (name != nullptr) {
            return name.get();
        }
    }
    return "system call " + std::to_string(number);
}

} // namespace dotproxy::sandbox
