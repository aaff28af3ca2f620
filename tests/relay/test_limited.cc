// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What a client gets that has used up what upstreams may be asked for it (limits 15, 57).

#include "relay/relay.hh"

#include "relay/mailbox.hh"
#include "unit.hh"
#include "worker/rig_names.hh"

#include <string>

using namespace std::chrono_literals;
using dotproxy::Address;
using dotproxy::Client;
using dotproxy::test::Mailbox;

namespace {

constexpr unsigned servfail = 2;

/// A client of the local network, whose limit is one question a second.
class Limited {
  public:
    explicit Limited(Rig& rig, std::uint32_t misses = 1) : rig_{rig} {
        rig.config.limits.client_misses = misses;
        rig.config.cache.size = 1U << 20U;
        rig.config.cache.max_ttl = 24h;
        rig.config.cache.max_stale = 24h;
        rig.config.cache.stale_after = 1800ms;
        rig.cache = std::make_shared<const dotproxy::CacheMemory>(rig.config.cache.size, 1);
        rig.add_upstream();
        rig.open();
    }

    /// The answer to a question.
    Message ask(const std::string& name) {
        mailbox_.answers.clear();
        put(name);
        assert_true(rig_.until([this] { return !mailbox_.answers.empty(); }));
        return mailbox_.answers.front();
    }

    /// The same, however long that takes.
    Message ask_through(const std::string& name) {
        mailbox_.answers.clear();
        put(name);
        for (int i = 0; mailbox_.answers.empty() && i < 100; ++i) {
            rig_.pass(100ms);
        }
        assert_false(mailbox_.answers.empty());
        return mailbox_.answers.front();
    }

    /// How many new names it can ask for, one after the other, that are answered with this RCODE.
    unsigned ask_all(unsigned code) {
        dotproxy::test::Resolver& resolver = *rig_.resolvers[0];
        resolver.answers = false;
        unsigned asked = 0;
        for (; rig_.count(FailureReason::limited) == 0 && asked < 100; ++asked) {
            mailbox_.answers.clear();
            put("name" + std::to_string(asked) + ".example");
            assert_true(rig_.until([&] {
                while (!resolver.asked.empty()) {
                    const dotproxy::test::Asked one = resolver.take();
                    dotproxy::dns::test::Message answer{one.id,
                                                        dotproxy::dns::test::response_flags | code};
                    resolver.send(one.session, answer.question(one.name, one.type).octets());
                }
                return !mailbox_.answers.empty();
            }));
        }
        return asked - 1; // the last one was turned away
    }

    /// Asks for new names until there is nothing left.
    void use_up() {
        for (int i = 0; rcode(ask("new" + std::to_string(i) + ".example")) != servfail; ++i) {
            assert_true(i < 10);
        }
    }

  private:
    void put(const std::string& name) {
        rig_.in_turn([&] {
            Client client;
            client.front = &mailbox_;
            client.peer = *Address::parse("10.0.0.1", 4242);
            client.asked_at = rig_.now();
            client.standing.network = 0;
            assert_true(rig_.relay().ask(client, query(name, 1)) ==
                        dotproxy::Relay::Heard::question);
        });
    }

    Rig& rig_;
    Mailbox mailbox_;
};

void test_ask_when_used_up_then_hits_are_given(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Limited client{rig};
    assert_int_equal(rcode(client.ask("warm.example")), 0);
    client.use_up();
    assert_int_equal(rcode(client.ask("warm.example")), 0);
    assert_int_equal(rcode(client.ask("cold.example")), servfail);
    assert_int_equal(rig.count(FailureReason::limited), 2);
    assert_int_equal(rig.count(Counter::limited_misses), 2);
    rig.pass(1s);
    assert_int_equal(rcode(client.ask("cold.example")), 0);
}

void test_ask_when_used_up_and_expired_then_stale(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Limited client{rig};
    assert_int_equal(rcode(client.ask("warm.example")), 0);
    rig.pass(2h);
    client.use_up();
    const std::uint64_t failed = rig.count(FailureReason::limited);
    assert_int_equal(rcode(client.ask("warm.example")), 0);
    assert_int_equal(rig.count(Counter::cache_stale), 1);
    assert_int_equal(rig.count(FailureReason::limited), failed);
    assert_int_equal(rig.count(Counter::limited_misses), failed + 1);
}

// limits 16: of forty at once; a name that is not costs two, one that cannot be resolved four.
void test_ask_when_names_are_cheap_then_all_of_a_burst(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Limited client{rig, 10};
    assert_int_equal(client.ask_all(0), 40);
}

void test_ask_when_names_are_not_then_half_as_many(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    constexpr unsigned nxdomain = 3;
    Limited client{rig, 10};
    assert_int_equal(client.ask_all(nxdomain), 20);
}

void test_ask_when_names_fail_then_a_fourth_as_many(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Limited client{rig, 10};
    assert_int_equal(client.ask_all(servfail), 10);
}

// limits 16: that no upstream works is nobody's fault here.
void test_ask_when_no_upstream_works_then_not_dearer(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Limited client{rig, 10};
    assert_int_equal(rcode(client.ask("before.example")), 0);
    rig.resolvers[0]->stop();
    for (int i = 0; i < 25; ++i) { // of 40
        const std::string name = "during" + std::to_string(i) + ".example";
        assert_int_equal(rcode(client.ask_through(name)), servfail);
    }
    assert_int_equal(rig.count(FailureReason::limited), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ask_when_used_up_then_hits_are_given, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_used_up_and_expired_then_stale, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_names_are_cheap_then_all_of_a_burst, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_names_are_not_then_half_as_many, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_names_fail_then_a_fourth_as_many, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_ask_when_no_upstream_works_then_not_dearer, make_rig,
                                        free_rig),
    };
    return cmocka_run_group_tests_name("relay/limited", tests, make_world, free_world);
}
