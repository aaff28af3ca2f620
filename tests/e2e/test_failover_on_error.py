# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Upstreams that answer, but with an error: who else is asked, and who is not (RFC 1034, section
# 5.3.3, step 4d; RFC 9520, section 3; L80-L82).

import contextlib
import struct
import time

import dns.flags
import dns.message
import dns.rcode
import dns.tsigkeyring
import pytest
from dns.rcode import FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL

from harness import wire
from harness.blackhole import Blackhole
from harness.client import ask, tcp
from harness.load import Load
from harness.upstream import RESET
from harness.waiting import free_port, in_time, wait_for

BOGUS = [6, 7, 8, 9, 10, 11, 12, 25, 27]
FILTERED = [15, 16, 17]


def says(rcode, *codes):
    """A script: answers with this RCODE and Extended DNS Errors."""
    options = [wire.option(wire.EDE, struct.pack("!H", code) + b"why") for code in codes]
    return lambda query: wire.answer(query.raw, rcode=rcode, options=options)


def is_check(query):
    return bool(query.message.flags & dns.flags.CD)


def bogus(query):
    """A script: a validating resolver where the signatures are wrong, which does not say so."""
    return wire.answer(query.raw, rcode=NOERROR if is_check(query) else SERVFAIL)


@pytest.fixture
def pair(start, serve):
    """dotproxy with two upstreams: pair(script) -> (proxy, first, second)."""
    def make(script, **how):
        first, second = serve(on_query=script), serve()
        return start(first, second, **{"workers": 1} | how), first, second
    return make


def assert_good(answer, name):
    assert answer.rcode() == NOERROR
    assert answer.answer[0][0].address == wire.address_of(name)


def checks(server, name):
    """Of the queries for a name, in their order, whether each was with CD."""
    return [is_check(query) for query in server.asked(name)]


# What goes on to the next upstream.

@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED, NOTIMP, FORMERR])
def test_an_error_has_the_next_upstream_asked(pair, rcode, transport):
    proxy, first, second = pair(says(rcode))
    assert_good(ask(proxy.address, "next.example", transport=transport), "next.example")
    assert first.asked("next.example") and checks(second, "next.example") == [False]


@pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED])
@pytest.mark.parametrize("code", [14, 18, 20, 22, 23])
def test_an_error_of_the_upstream_itself_has_the_next_one_asked_at_once(pair, rcode, code):
    """What it says for itself need not be found out."""
    proxy, first, second = pair(says(rcode, code))
    assert_good(ask(proxy.address, "next.example", edns=0), "next.example")
    assert checks(first, "next.example") == [False] == checks(second, "next.example")


@pytest.mark.parametrize("reply", ["malformed", "truncated", "unrelated"])
def test_an_answer_of_no_use_has_the_next_upstream_asked(pair, reply):
    """L82: and if nobody has a better one, it is SERVFAIL as ever."""
    def useless(query):
        good = wire.answer(query.raw, edns=False)
        return {"malformed": good[:-1], "truncated": wire.answer(query.raw, flags=0x8280),
                "unrelated": wire.answer(query.raw, records=[
                    wire.record("other.example", 1, bytes(4))])}[reply]
    proxy, first, second = pair(useless)
    assert_good(ask(proxy.address, "useless.example"), "useless.example")
    assert len(first.asked("useless.example")) == 1
    second.on_query = useless
    answer = ask(proxy.address, "useless2.example", edns=0)
    assert answer.rcode() == SERVFAIL and wire.errors_of(answer) == [24]


def test_nothing_is_lost_while_the_first_upstream_answers_errors_alone(pair):
    """A resolver that has lost its own way out, under load."""
    proxy, first, second = pair(None)
    with Load(proxy.address, rate=100) as load:
        wait_for(lambda: len(load.asked) > 30)
        first.on_query = says(SERVFAIL)
        failed = len(load.asked)
        wait_for(lambda: len(load.asked) > failed + 200)
    load.assert_flawless()
    assert second.queries and len(second.handshakes) == 1


# What an upstream means.

@pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED])
@pytest.mark.parametrize("code", BOGUS + FILTERED)
def test_what_the_upstream_means_is_passed_on(pair, rcode, code):
    """What is bogus stays bogus; what is filtered stays filtered."""
    proxy, first, second = pair(says(rcode, code))
    answer = ask(proxy.address, "meant.example", edns=0)
    assert answer.rcode() == rcode and wire.errors_of(answer) == [code]
    assert checks(first, "meant.example") == [False] and not second.connections


def test_nxdomain_is_an_answer(pair):
    proxy, _, second = pair(says(NXDOMAIN))
    assert ask(proxy.address, "none.example").rcode() == NXDOMAIN
    assert not second.connections


def test_what_the_next_upstream_means_is_passed_on(pair):
    proxy, _, second = pair(says(REFUSED))
    second.on_query = says(SERVFAIL, 6)
    answer = ask(proxy.address, "meant.example", edns=0)
    assert answer.rcode() == SERVFAIL and wire.errors_of(answer) == [6]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("without", [NOERROR, NXDOMAIN])
def test_servfail_that_ends_with_checking_disabled_is_bogus(pair, without, transport):
    """Nobody else is asked, now or a moment later, and the client learns why."""
    proxy, first, second = pair(lambda query: wire.answer(
        query.raw, rcode=without if is_check(query) else SERVFAIL))
    for seen in ([False, True], [False, True, False]):
        answer = ask(proxy.address, "bogus.example", edns=0, transport=transport)
        assert answer.rcode() == SERVFAIL and wire.errors_of(answer) == [6]
        assert not answer.flags & dns.flags.CD and not answer.answer
        assert checks(first, "bogus.example") == seen
    assert not second.connections


@pytest.mark.parametrize("code", [None, 0, 5, 13])
@pytest.mark.parametrize("with_check", [SERVFAIL, REFUSED])
def test_servfail_that_stays_with_checking_disabled_has_the_next_one_asked(pair, with_check, code):
    """Other (0), DNSSEC Indeterminate (5) and Cached Error (13) leave open whether it is bogus."""
    codes = [] if code is None else [code]
    proxy, first, second = pair(
        lambda query: says(with_check if is_check(query) else SERVFAIL, *codes)(query))
    assert_good(ask(proxy.address, "fails.example"), "fails.example")
    assert checks(first, "fails.example") == [False, True]
    assert checks(second, "fails.example") == [False]


def test_a_name_is_not_checked_again_lately(pair):
    proxy, first, second = pair(says(SERVFAIL))
    second.on_query = says(SERVFAIL)
    for seen in ([False, True], [False, True, False]):
        assert ask(proxy.address, "fails.example").rcode() == SERVFAIL
        assert checks(first, "fails.example") == seen
    assert checks(second, "fails.example") == [False, False]


def test_whoever_disables_checking_needs_no_check(pair):
    proxy, first, second = pair(says(SERVFAIL))
    answer = ask(proxy.address, "cd.example", flags=dns.flags.RD | dns.flags.CD)
    assert_good(answer, "cd.example")
    assert checks(first, "cd.example") == [True] == checks(second, "cd.example")


def test_the_answer_to_a_signed_query_is_passed_on_as_it_is(pair):
    """C25"""
    proxy, first, second = pair(
        lambda query: wire.header(query.id, 0x8182, 1) + wire.question("signed.example"))
    message = dns.message.make_query("signed.example", "A")
    message.use_tsig(dns.tsigkeyring.from_text({"key.example.": "c2VjcmV0IHNlY3JldCBzZWNyZXQ="}))
    answer = tcp(proxy.address, message.to_wire())
    assert answer[3] & 15 == SERVFAIL
    assert len(first.asked("signed.example")) == 1 and not second.connections


# When all fail.

def test_when_all_fail_the_first_failure_is_the_answer(pair):
    proxy, first, second = pair(says(REFUSED, 18))
    second.on_query = says(SERVFAIL, 22)
    answer = ask(proxy.address, "all.example", edns=0)
    assert answer.rcode() == REFUSED and wire.errors_of(answer) == [18]
    assert len(first.asked("all.example")) == 1 == len(second.asked("all.example"))


def test_a_question_has_three_sends(start, serve):
    """L81: all causes together; a check is one of them."""
    servers = [serve(on_query=says(REFUSED, 18)) for _ in range(4)]
    proxy = start(*servers, workers=1)
    answer = ask(proxy.address, "refused.example", edns=0)
    assert answer.rcode() == REFUSED and wire.errors_of(answer) == [18]
    assert [len(one.asked("refused.example")) for one in servers] == [1, 1, 1, 0]
    servers[0].on_query = says(SERVFAIL)
    assert ask(proxy.address, "servfail.example", edns=0).rcode() == SERVFAIL
    assert [len(one.asked("servfail.example")) for one in servers] == [2, 1, 0, 0]


def nobody():
    """A server that is not there: connections are refused."""
    return {"name": "dot.example", "addresses": ["127.0.0.1"], "port": free_port()}


@pytest.mark.parametrize("fault", ["refused", "no connection", "no handshake", "silent", "closes"])
def test_when_the_next_one_cannot_answer_the_first_failure_is_the_answer(start, serve, fault):
    """And long before the client's patience ends."""
    with contextlib.ExitStack() as stack:
        second = {
            "refused": nobody,
            "no connection": lambda: stack.enter_context(contextlib.closing(Blackhole())),
            "no handshake": lambda: serve(on_accept=lambda connection: False),
            "silent": lambda: serve(on_query=lambda query: None),
            "closes": lambda: serve(on_query=lambda query: query.connection.close(RESET)),
        }[fault]()
        first = serve(on_query=says(REFUSED, 18))
        proxy = start(first, second, workers=1)

        def fails():
            answer = ask(proxy.address, "alone.example", edns=0)
            assert answer.rcode() == REFUSED and wire.errors_of(answer) == [18]
        in_time(8, fails)
        if fault == "closes":
            assert len(second.asked("alone.example")) <= 2 * len(first.asked("alone.example"))


@pytest.mark.parametrize("transport", ("udp", "tcp"))
def test_when_the_patience_ends_the_first_failure_is_the_answer(start, serve, transport):
    first, second = serve(on_query=says(REFUSED, 18)), serve(on_query=lambda query: None)
    proxy = start(first, second, workers=1, timeouts={"query": "1s"})
    began = time.monotonic()
    answer = ask(proxy.address, "a.example", edns=0, transport=transport)
    assert answer.rcode() == REFUSED and wire.errors_of(answer) == [18]
    assert time.monotonic() - began > 0.5, "the next one had no time"


# Whom a name goes to.

def test_a_name_goes_first_to_who_answered_it(pair):
    """All other names go to the first as ever."""
    def fails_one(query):
        return says(SERVFAIL)(query) if query.name == "one.example." else wire.answer(query.raw)
    proxy, first, second = pair(fails_one)
    for seen in range(1, 4):
        assert_good(ask(proxy.address, "one.example"), "one.example")
        assert len(first.asked("one.example")) == 2 and len(second.asked("one.example")) == seen
        name = f"other{seen}.example"
        assert_good(ask(proxy.address, name), name)
        assert first.asked(name) and not second.asked(name)
    ask(proxy.address, "one.example", "AAAA")
    assert len(first.asked("one.example")) == 2, "it is the name that fails there"


def test_a_name_comes_back_when_who_answered_it_fails(pair):
    proxy, first, second = pair(says(SERVFAIL))
    assert_good(ask(proxy.address, "back.example"), "back.example")
    first.on_query, second.on_query = None, says(REFUSED)
    for seen in (3, 4):
        assert_good(ask(proxy.address, "back.example"), "back.example")
        assert len(first.asked("back.example")) == seen
        assert len(second.asked("back.example")) == 2


def test_a_name_comes_back_when_who_answered_it_is_gone(pair):
    proxy, first, second = pair(says(SERVFAIL))
    assert_good(ask(proxy.address, "gone.example"), "gone.example")
    first.on_query = None
    second.kill()
    in_time(2, lambda: assert_good(ask(proxy.address, "gone.example"), "gone.example"))
    assert len(first.asked("gone.example")) > 2


# Where nothing changes.

def test_failover_on_error_can_be_turned_off(pair):
    proxy, first, second = pair(says(SERVFAIL), failover_on_error=False)
    assert ask(proxy.address, "off.example").rcode() == SERVFAIL
    assert checks(first, "off.example") == [False] and not second.connections


@pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED, NOTIMP, FORMERR])
@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
def test_a_single_upstream_is_asked_once(start, serve, rcode, addresses):
    """Its addresses are no other upstream."""
    server = serve(on_query=says(rcode, 0))
    other = serve(address="127.0.0.2")
    other.refuse()
    other.port = server.port
    other.start()
    proxy = start({"name": "dot.example", "addresses": addresses, "port": server.port}, workers=1)
    answer = ask(proxy.address, "single.example", edns=0)
    assert answer.rcode() == rcode and wire.errors_of(answer) == [0]
    assert checks(server, "single.example") == [False] and not other.connections
