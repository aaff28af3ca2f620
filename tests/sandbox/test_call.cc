// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "sandbox/call.hh"

#include "unit.hh"

#include <linux/audit.h>

using dotproxy::sandbox::call_name;
using dotproxy::sandbox::pack_call;

namespace {

void test_name_when_known_then_of_that_architecture(void** /*state*/) {
    assert_string_equal(call_name(pack_call(AUDIT_ARCH_X86_64, 59)).c_str(), "execve");
    assert_string_equal(call_name(pack_call(AUDIT_ARCH_AARCH64, 221)).c_str(), "execve");
    assert_string_equal(call_name(pack_call(AUDIT_ARCH_X86_64, 0)).c_str(), "read");
}

// It was written by a process that somebody may have taken over.
void test_name_when_it_makes_no_sense_then_the_number(void** /*state*/) {
    assert_string_equal(call_name(pack_call(AUDIT_ARCH_X86_64, 99999)).c_str(),
                        "system call 99999");
    assert_string_equal(call_name(pack_call(0x12345678, 59)).c_str(), "system call 59");
    assert_string_equal(call_name(pack_call(AUDIT_ARCH_X86_64, -101)).c_str(),
                        "system call 4294967195");
    assert_string_equal(call_name(~std::uint64_t{0}).c_str(), "system call 4294967295");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_name_when_known_then_of_that_architecture),
        cmocka_unit_test(test_name_when_it_makes_no_sense_then_the_number),
    };
    return cmocka_run_group_tests_name("sandbox/call", tests, nullptr, nullptr);
}
