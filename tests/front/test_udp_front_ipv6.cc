// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/udp_front.hh"

#include "front/wildcard.hh"
#include "ipv6.hh"
#include "unit.hh"

namespace {

// C37
void test_answer_when_wildcard_then_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.add_upstream();
    rig.open();
    Wildcard wildcard{rig, "::"};
    expect_answer_from(wildcard, "::1");
}

} // namespace

int main() {
    if (lacks_ipv6()) {
        return 0;
    }
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answer_when_wildcard_then_answered, make_rig,
                                        free_rig),
    };
    return cmocka_run_group_tests_name("front/udp_front of IPv6", tests, make_world, free_world);
}
