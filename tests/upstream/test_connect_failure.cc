// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/connect_failure.hh"

#include "unit.hh"

#include <cerrno>

using dotproxy::ConnectFailure;
using dotproxy::failure_of;
using dotproxy::tls::Refusal;

namespace {

void expect(ConnectFailure found, ConnectFailure wanted) {
    assert_int_equal(static_cast<int>(found), static_cast<int>(wanted));
}

void test_errno_then_what_it_means_to_who_connects(void** /*state*/) {
    expect(failure_of(ECONNREFUSED), ConnectFailure::refused);
    expect(failure_of(ETIMEDOUT), ConnectFailure::timeout);
    for (const int error : {ECONNRESET, EPIPE}) {
        expect(failure_of(error), ConnectFailure::reset);
    }
    for (const int error : {ENETUNREACH, EHOSTUNREACH, ENETDOWN, EADDRNOTAVAIL, EACCES, EPERM}) {
        expect(failure_of(error), ConnectFailure::unreachable);
    }
    for (const int error : {0, EMFILE, ENOMEM, EPROTO}) {
        expect(failure_of(error), ConnectFailure::other);
    }
}

void test_refusal_then_by_the_same_name(void** /*state*/) {
    expect(failure_of(Refusal::name), ConnectFailure::name);
    expect(failure_of(Refusal::expired), ConnectFailure::expired);
    expect(failure_of(Refusal::not_yet_valid), ConnectFailure::not_yet_valid);
    expect(failure_of(Refusal::untrusted_ca), ConnectFailure::untrusted_ca);
    expect(failure_of(Refusal::pin), ConnectFailure::pin);
    expect(failure_of(Refusal::other), ConnectFailure::other);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_errno_then_what_it_means_to_who_connects),
        cmocka_unit_test(test_refusal_then_by_the_same_name),
    };
    return cmocka_run_group_tests_name("upstream/connect_failure", tests, nullptr, nullptr);
}
