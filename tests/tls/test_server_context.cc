// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Which certificate a client is shown (E7, E8).

#include "tls/shop.hh"

#include <stdexcept>

using namespace dotproxy::tls;
using namespace dotproxy::tls::test;

namespace {

constexpr const char* only_ecdsa = "NORMAL:-SIGN-ALL:+SIGN-ECDSA-SHA256:"
                                   "+SIGN-ECDSA-SECP256R1-SHA256";
constexpr const char* only_rsa = "NORMAL:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-RSA-SHA256";
constexpr const char* tls_1_2 = "NORMAL:-VERS-ALL:+VERS-TLS1.2";

struct World {
    Certificate first{issue({.dns = {"first.example"}})};
    Certificate name{issue({.dns = {"dot.example", "a.wild.example"}})};
    Certificate name_rsa{issue({.dns = {"dot.example"}, .key = Key::rsa_2048})};
    Certificate wildcard{issue({.dns = {"*.wild.example"}, .ips = {"192.0.2.1"}})};
    Certificate wildcard_rsa{issue({.dns = {"*.wild.example"}, .key = Key::rsa_2048})};
    Certificate address{issue({.ips = {"2001:db8::1", "192.0.2.2"}})};
    ServerContext context{pairs_of({&first, &name_rsa, &name, &wildcard, &wildcard_rsa, &address}),
                          ticket_key()};
};

const World& world() {
    static const World made;
    return made;
}

void assert_shown(const Certificate& wanted, const char* name, const char* local,
                  const char* priority = "NORMAL") {
    AnyClient client{name, priority};
    Clerk clerk{world().context, at(local)};
    carry(client, clerk);
    assert_true(client.shaken);
    assert_true(client.was_shown(wanted));
}

// E7, in both versions of TLS.
void test_name_chooses_its_certificate(void** /*state*/) {
    const World& w = world();
    for (const char* priority : {"NORMAL", tls_1_2}) {
        assert_shown(w.first, "first.example", "192.0.2.53", priority);
        assert_shown(w.name, "dot.example", "192.0.2.53", priority);
        assert_shown(w.name, "DOT.Example", "192.0.2.53", priority);
        assert_shown(w.wildcard, "b.wild.example", "192.0.2.53", priority);
        assert_shown(w.wildcard, "B.WILD.example", "192.0.2.53", priority);
    }
}

// E7: what is exact comes before a wildcard; a wildcard covers one label.
void test_name_when_several_cover_it_then_the_closest(void** /*state*/) {
    const World& w = world();
    assert_shown(w.name, "a.wild.example", "192.0.2.53");
    assert_shown(w.first, "b.a.wild.example", "192.0.2.53");
    assert_shown(w.first, "wild.example", "192.0.2.53");
}

// E7: ECDSA and RSA side by side, also where only a wildcard has the one.
void test_name_when_client_knows_one_algorithm_then_that_certificate(void** /*state*/) {
    const World& w = world();
    for (const std::string version : {"", ":-VERS-ALL:+VERS-TLS1.2"}) {
        assert_shown(w.name, "dot.example", "192.0.2.53", (only_ecdsa + version).c_str());
        assert_shown(w.name_rsa, "dot.example", "192.0.2.53", (only_rsa + version).c_str());
        assert_shown(w.wildcard_rsa, "a.wild.example", "192.0.2.53", (only_rsa + version).c_str());
    }
}

// E8
void test_name_when_unknown_then_the_first(void** /*state*/) {
    for (const char* name :
         {"other.example", "localhost", "x", "..", ".", "wild.example.", "192.0.2.1.example"}) {
        assert_true(world().context.credentials(name, at("192.0.2.1")) == world().context.first());
    }
    assert_shown(world().first, "other.example", "192.0.2.1");
    const std::string longest = std::string(250, 'a') + ".test";
    assert_true(world().context.credentials(longest, at("192.0.2.1")) == world().context.first());
    assert_true(world().context.credentials(longest + ".wild.example", at("192.0.2.1")) ==
                world().context.first());
}

// E8
void test_no_name_then_the_address_chooses(void** /*state*/) {
    const World& w = world();
    assert_shown(w.wildcard, nullptr, "192.0.2.1");
    assert_shown(w.wildcard, nullptr, "::ffff:192.0.2.1");
    assert_shown(w.address, nullptr, "192.0.2.2");
    assert_shown(w.address, nullptr, "2001:db8::1");
    assert_shown(w.first, nullptr, "2001:db8::2");
    // A literal is no name.
    assert_shown(w.address, "192.0.2.1", "192.0.2.2");
}

// E3
void test_one_name_twice_with_one_type_of_key_is_refused(void** /*state*/) {
    const Certificate a = issue({.dns = {"a.example", "b.example"}});
    const Certificate b = issue({.dns = {"b.example"}});
    const Certificate rsa = issue({.dns = {"b.example"}, .key = Key::rsa_2048});
    const ServerContext good{pairs_of({&a, &rsa}), ticket_key()};
    assert_int_equal(good.certificates().size(), 2);
    try {
        const ServerContext bad{pairs_of({&a, &b}), ticket_key()};
        fail_msg("taken");
    } catch (const std::runtime_error& error) {
        const std::string what = error.what();
        assert_true(what.find(": is for b.example, as is ") != std::string::npos);
    }
    const Certificate here = issue({.dns = {"a.example"}, .ips = {"192.0.2.1"}});
    const Certificate there = issue({.dns = {"b.example"}, .ips = {"192.0.2.1"}});
    try {
        const ServerContext bad{pairs_of({&here, &there}), ticket_key()};
        fail_msg("taken");
    } catch (const std::runtime_error& error) {
        const std::string what = error.what();
        assert_true(what.find(": is for 192.0.2.1, as is ") != std::string::npos);
    }
}

// E4
void test_earliest_end_is_that_of_whichever_ends_first(void** /*state*/) {
    const Certificate longer = issue({.dns = {"a.example"}, .until = std::chrono::hours{72}});
    const Certificate shorter = issue({.dns = {"b.example"}, .until = std::chrono::hours{48}});
    const ServerContext context{pairs_of({&longer, &shorter}), ticket_key()};
    assert_int_equal(context.earliest_end(), context.certificates().at(1).until);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_name_chooses_its_certificate),
        cmocka_unit_test(test_name_when_several_cover_it_then_the_closest),
        cmocka_unit_test(test_name_when_client_knows_one_algorithm_then_that_certificate),
        cmocka_unit_test(test_name_when_unknown_then_the_first),
        cmocka_unit_test(test_no_name_then_the_address_chooses),
        cmocka_unit_test(test_one_name_twice_with_one_type_of_key_is_refused),
        cmocka_unit_test(test_earliest_end_is_that_of_whichever_ends_first),
    };
    return cmocka_run_group_tests_name("tls/server_context", tests, nullptr, nullptr);
}
