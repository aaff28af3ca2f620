// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What anybody can see of it; root sees more, in test_privileges_as_root.cc.

#include "master/privileges.hh"

#include "master/child.hh"
#include "master/status.hh"
#include "unit.hh"

#include <sys/prctl.h>
#include <sys/resource.h>

using dotproxy::account_in_place_of_root;
using dotproxy::Config;
using dotproxy::ConfigError;
using dotproxy::drop_privileges;
using dotproxy::find_account;
using dotproxy::raise_descriptor_limit;
using dotproxy::test::first_failure;
using dotproxy::test::in_child;
using dotproxy::test::no_capability;
using dotproxy::test::status;

namespace {

constexpr uid_t nobody = 65534; // in every Debian

/// false: root, and it cannot be given up.
bool be_nobody() noexcept {
    return ::geteuid() != 0 || ::setresuid(nobody, nobody, nobody) == 0;
}

// Started without root: there is nothing to become, whatever the configuration says.
void test_drop_when_not_root_then_only_no_new_privileges(void** /*state*/) {
    assert_int_equal(in_child([] {
                         if (!be_nobody()) {
                             return 100;
                         }
                         const auto before = status("Uid");
                         drop_privileges(account_in_place_of_root(Config{}));
                         return first_failure({status("Uid") == before, no_capability("CapEff"),
                                               ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1});
                     }),
                     0);
}

/// The text of the refusal, "" for none.
std::string refusal(const char* user, const char* group) {
    Config config;
    config.user = user;
    config.group = group;
    config.places.user = "a.conf:3: user";
    config.places.group = "a.conf: group";
    try {
        static_cast<void>(find_account(config));
    } catch (const ConfigError& problem) {
        return problem.what();
    }
    return "";
}

void test_find_account_when_there_is_none_then_refused_by_place(void** /*state*/) {
    assert_string_equal(refusal("no-such-user", "nogroup").c_str(),
                        "a.conf:3: user: there is no user \"no-such-user\" on this machine; create "
                        "it or name another one");
    assert_string_equal(refusal("nobody", "no-such-group").c_str(),
                        "a.conf: group: there is no group \"no-such-group\" on this machine; "
                        "create it or name another one");
    assert_string_equal(refusal("nobody", "nogroup").c_str(), "");
}

bool set_limit(rlim_t soft, rlim_t hard) {
    const rlimit limit{.rlim_cur = soft, .rlim_max = hard};
    return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

rlim_t soft_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

void test_raise_when_below_the_hard_limit_then_as_asked(void** /*state*/) {
    assert_int_equal(in_child([] {
                         const bool set = set_limit(64, 256);
                         const auto result = raise_descriptor_limit(200);
                         return first_failure({set, result == 200, soft_limit() == 200});
                     }),
                     0);
}

void test_raise_when_there_is_more_then_it_is_left(void** /*state*/) {
    assert_int_equal(in_child([] {
                         const bool set = set_limit(200, 256);
                         const auto result = raise_descriptor_limit(100);
                         return first_failure({set, result == 200, soft_limit() == 200});
                     }),
                     0);
}

void test_raise_when_beyond_the_hard_limit_without_privilege_then_up_to_it(void** /*state*/) {
    assert_int_equal(in_child([] {
                         const bool set = set_limit(64, 256);
                         if (!be_nobody()) {
                             return 100;
                         }
                         const auto result = raise_descriptor_limit(1000);
                         return first_failure({set, result == 256, soft_limit() == 256});
                     }),
                     0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_drop_when_not_root_then_only_no_new_privileges),
        cmocka_unit_test(test_find_account_when_there_is_none_then_refused_by_place),
        cmocka_unit_test(test_raise_when_below_the_hard_limit_then_as_asked),
        cmocka_unit_test(test_raise_when_there_is_more_then_it_is_left),
        cmocka_unit_test(test_raise_when_beyond_the_hard_limit_without_privilege_then_up_to_it),
    };
    return cmocka_run_group_tests_name("master/privileges", tests, nullptr, nullptr);
}
