# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# EDNS: dotproxy has one conversation with its client and another with the upstream (RFC 6891
# section 6.2.6; rules C40-C53, L1, L2, L24).

import struct

import dns.rcode
import pytest

from harness import wire
from harness.client import TRANSPORTS, TcpClient, ask, tcp, udp

RD = 0x0100
ECS_NET = b"\0\1\x18\0\xc0\0\2"   # 192.0.2.0/24
ECS_OPT_OUT = b"\0\1\0\0"         # 0.0.0.0/0
COOKIE = b"\1\2\3\4\5\6\7\x08"
EVERY_TRANSPORT = pytest.mark.parametrize("transport", TRANSPORTS)


def options_upstream(query):
    return {option.otype: option.to_wire() for option in query.message.options}


@EVERY_TRANSPORT
def test_an_opt_is_answered_with_an_opt(proxy, transport):
    """C41"""
    assert ask(proxy.address, "with.example", edns=0, transport=transport).edns == 0
    assert ask(proxy.address, "without.example", transport=transport).edns == -1


@EVERY_TRANSPORT
def test_errors_of_our_own_have_an_opt_where_the_query_had_one(start, upstream, transport):
    """C41: SERVFAIL that says why (RFC 8914), REFUSED. Not NOTIMP: what follows the header of an
    unknown opcode is not known to be records."""
    proxy = start(upstream, workers=1, timeouts={"query": "2s"})
    upstream.kill()
    failure = ask(proxy.address, "down.example", edns=0, transport=transport)
    assert failure.rcode() == dns.rcode.SERVFAIL and failure.edns == 0
    assert set(wire.errors_of(failure)) & {22, 23}
    bare = ask(proxy.address, "down.example", transport=transport)
    assert bare.rcode() == dns.rcode.SERVFAIL and bare.edns == -1
    for edns, expected in ((0, 0), (None, -1)):
        refused = wire.query("axfr.example", "AXFR", edns=edns)
        assert wire.parse(TRANSPORTS[transport](proxy.address, refused)).edns == expected


@EVERY_TRANSPORT
@pytest.mark.parametrize("version", [1, 2, 255])
def test_other_versions_are_answered_with_badvers(proxy, upstream, version, transport):
    """C42: with the version that we know, and no word to the upstream."""
    message = wire.query("version.example", edns=version)
    answer = wire.parse(TRANSPORTS[transport](proxy.address, message))
    assert answer.rcode() == dns.rcode.BADVERS and answer.edns == 0
    assert not upstream.queries


OPT = wire.opt()
MISPLACED = {
    "two": (0, 0, 2, OPT + OPT),
    "not at the root": (0, 0, 1, b"\3www\0" + OPT[1:]),
    "in the answer section": (1, 0, 0, OPT),
    "in the authority section": (0, 1, 0, OPT),
    "an option past the end": (0, 0, 1, OPT[:-2] + b"\0\5" + b"\0\x0c\0\x09\0"),
    "half an option": (0, 0, 1, OPT[:-2] + b"\0\3" + b"\0\x0c\0"),
    "RDATA past the end": (0, 0, 1, OPT[:-2] + b"\0\x40"),
}


@EVERY_TRANSPORT
@pytest.mark.parametrize("case", MISPLACED)
def test_a_misplaced_or_broken_opt_is_a_format_error(proxy, upstream, case, transport):
    """C43, C47, L1: nothing of it reaches the upstream."""
    answers, authorities, additionals, records = MISPLACED[case]
    message = wire.header(3, RD, 1, answers, authorities, additionals) + \
        wire.question("opt.example") + records
    answer = TRANSPORTS[transport](proxy.address, message)
    assert answer[3] & 15 == dns.rcode.FORMERR and answer[:2] == b"\0\3"
    assert not upstream.queries


def test_an_opt_need_not_be_the_last_record(proxy, upstream):
    """C44: and what stands beside it is not smuggled upstream."""
    message = wire.header(3, RD, 1, 0, 0, 2) + wire.question("order.example") + wire.opt() + \
        wire.record("beside.example", 1, b"\1\2\3\4")
    answer = wire.parse(udp(proxy.address, message))
    assert answer.rcode() == dns.rcode.NOERROR and answer.edns == 0
    assert b"beside" not in upstream.queries[0].raw


@EVERY_TRANSPORT
def test_unknown_options_are_ignored(proxy, upstream, transport):
    """C45: not echoed, not forwarded."""
    answer = ask(proxy.address, "unknown.example", transport=transport,
                 options=[(100, b"abc"), (65001, b""), (65535, b"\0" * 100)])
    assert answer.answer and not answer.options
    assert not set(options_upstream(upstream.queries[0])) & {100, 65001, 65535}


@pytest.mark.parametrize("do", [False, True])
def test_do_passes_and_unknown_flags_do_not(proxy, upstream, do):
    """C46 (RFC 3225)"""
    answer = ask(proxy.address, "flags.example", edns=0, ednsflags=0x7fff | (0x8000 if do else 0))
    assert answer.ednsflags == (0x8000 if do else 0)
    assert upstream.queries[0].message.ednsflags == (0x8000 if do else 0)


@pytest.mark.parametrize("edns", [{}, {"edns": 0}, {"do": True}, {"edns": 0, "payload": 4096},
                                  {"options": [(100, b"x"), (wire.COOKIE, COOKIE)]}])
def test_each_query_upstream_has_one_opt_of_our_own(proxy, upstream, edns):
    """C48, C51: no option twice, and padded to a multiple of 128 octets (RFC 8467)."""
    for number in range(3):
        ask(proxy.address, f"own{number}.example", **edns)
    for query in upstream.queries:
        assert query.raw[6:12] == b"\0\0\0\0\0\1" and len(query.raw) % 128 == 0
        assert query.message.edns == 0 and query.message.payload == 1232
        codes = [option.otype for option in query.message.options]
        assert len(codes) == len(set(codes))
        assert set(codes) <= {wire.PADDING, wire.KEEPALIVE} and wire.PADDING in codes


def test_queries_of_every_length_are_padded(proxy, upstream):
    """C51: the steps between the multiples as well."""
    for length in range(1, 250, 3):
        labels, rest = [], length
        while rest > 0:
            labels.append("a" * min(rest, 60))
            rest -= 61
        ask(proxy.address, ".".join(labels))
    assert len(upstream.queries) >= 80
    assert {len(query.raw) % 128 for query in upstream.queries} == {0}


def test_format_errors_of_the_upstream_pass(proxy, upstream):
    """C49"""
    upstream.on_query = lambda query: wire.answer(query.raw, rcode=1, edns=False)
    assert ask(proxy.address, "formerr.example", edns=0).rcode() == dns.rcode.FORMERR


# The table of hop-by-hop options, cell by cell (C50).

def test_keepalive_is_offered_over_tcp_to_who_asks(start, upstream):
    """RFC 7828: the idle time-out in units of 100 ms."""
    proxy = start(upstream, workers=1, timeouts={"client_idle": "7s"})
    asked = ask(proxy.address, "a.example", transport="tcp", options=[(wire.KEEPALIVE, b"")])
    assert wire.options_of(asked, wire.KEEPALIVE) == [struct.pack("!H", 70)]
    silent = ask(proxy.address, "b.example", transport="tcp", edns=0)
    assert not wire.options_of(silent, wire.KEEPALIVE)


def test_keepalive_is_ignored_over_udp(proxy):
    """RFC 7828, section 3.2.2"""
    answer = ask(proxy.address, "a.example", options=[(wire.KEEPALIVE, b"")])
    assert answer.answer and not wire.options_of(answer, wire.KEEPALIVE)


def test_keepalive_is_asked_for_once_a_connection(proxy, upstream):
    """RFC 7828, section 3.2.1: empty, in the first query."""
    for number in range(3):
        ask(proxy.address, f"k{number}.example")
    first, *others = [options_upstream(query) for query in upstream.queries]
    assert first[wire.KEEPALIVE] == b""
    assert not any(wire.KEEPALIVE in options for options in others)


@EVERY_TRANSPORT
def test_the_upstreams_keepalive_is_not_passed_on(proxy, upstream, transport):
    """C40: a promise that is not ours to make."""
    upstream.on_query = lambda query: wire.answer(
        query.raw, options=[wire.option(wire.KEEPALIVE, b"\x0b\xb8")])
    answer = ask(proxy.address, "promise.example", edns=0, transport=transport)
    assert not wire.options_of(answer, wire.KEEPALIVE)


def test_a_keepalive_of_zero_ends_a_connection(proxy, upstream):
    """RFC 7828, C53: no new queries on it; it is closed when what is on it is answered."""
    upstream.on_query = lambda query: wire.answer(
        query.raw, options=[wire.option(wire.KEEPALIVE, b"\0\0")])
    upstream.hold("held.example.")
    with TcpClient(proxy.address) as client:
        client.send(wire.query("held.example"))
        upstream.wait_for_query("held.example")
        ask(proxy.address, "zero.example")
        ask(proxy.address, "next.example")
        held, = upstream.asked("held.example")
        following, = upstream.asked("next.example")
        assert following.connection is not held.connection
        assert not held.connection.ended
        upstream.release("held.example.")
        assert wire.address_in(client.receive()) == wire.address_of("held.example")
    upstream.wait(lambda _: held.connection.ended)


def test_the_upstreams_keepalive_bounds_our_idle_time(start, upstream):
    """C53: closed from our side before the server's time is up, though our own is longer."""
    proxy = start(upstream, workers=1, timeouts={"upstream_idle": "60s"})
    upstream.on_query = lambda query: wire.answer(
        query.raw, options=[wire.option(wire.KEEPALIVE, b"\0\x0a")])
    ask(proxy.address, "short.example")
    connection = upstream.queries[0].connection
    upstream.wait(lambda _: connection.ended, what="the end of the idle connection")


@EVERY_TRANSPORT
def test_padding_of_clients_is_ignored(proxy, transport):
    """RFC 7830: whatever is in it; no padding on a way that is not encrypted."""
    answer = ask(proxy.address, "padded.example", transport=transport,
                 options=[(wire.PADDING, b"\x55" * 60)])
    assert answer.answer and not answer.options


@EVERY_TRANSPORT
@pytest.mark.parametrize("edns", [{}, {"edns": 0}])
def test_padding_of_the_upstream_is_taken_off(proxy, upstream, edns, transport):
    """C40, L24"""
    upstream.on_query = lambda query: wire.answer(
        query.raw, options=[wire.option(wire.PADDING, b"\0" * 400)])
    answer = ask(proxy.address, "padded.example", transport=transport, **edns)
    assert len(answer.to_wire()) < 100 and not answer.options


def test_cookies_stay_at_their_side(proxy, upstream):
    """RFC 7873: neither the client's goes up nor the server's comes down."""
    upstream.on_query = lambda query: wire.answer(
        query.raw, options=[wire.option(wire.COOKIE, COOKIE * 2)])
    answer = ask(proxy.address, "cookie.example", options=[(wire.COOKIE, COOKIE)])
    assert wire.COOKIE not in options_upstream(upstream.queries[0])
    assert COOKIE * 2 not in wire.options_of(answer, wire.COOKIE)


def test_subnets_are_not_passed_on(proxy, upstream):
    """RFC 7871: the client's network is nobody's business, and scopes are not for who did not ask.
    """
    upstream.on_query = lambda query: wire.answer(
        query.raw, options=[wire.option(wire.ECS, ECS_NET)])
    answer = ask(proxy.address, "ecs.example", options=[(wire.ECS, ECS_NET)])
    assert wire.ECS not in options_upstream(upstream.queries[0])
    assert not wire.options_of(answer, wire.ECS)
    assert not wire.options_of(ask(proxy.address, "plain.example", edns=0), wire.ECS)


def test_the_subnet_opt_out_is_honoured(proxy, upstream):
    """RFC 7871, section 7.1.2: it goes up, and comes back to who sent it only."""
    answer = ask(proxy.address, "out.example", options=[(wire.ECS, ECS_OPT_OUT)])
    sent = options_upstream(upstream.queries[0])[wire.ECS]
    assert sent[2] == 0
    assert wire.options_of(answer, wire.ECS) == [ECS_OPT_OUT]


@pytest.mark.parametrize("code,data", [(3, b""), (9, b""), (13, b"\0"), (5, b"\x08"), (6, b"\1"),
                                       (7, b"\1")])
def test_other_options_stay_at_their_side(proxy, upstream, code, data):
    """NSID, EXPIRE, CHAIN, DAU, DHU, N3U"""
    upstream.on_query = lambda query: wire.answer(
        query.raw, options=[wire.option(code, b"theirs")])
    answer = ask(proxy.address, "other.example", options=[(code, data)])
    assert code not in options_upstream(upstream.queries[0])
    assert b"theirs" not in wire.options_of(answer, code)


@EVERY_TRANSPORT
def test_extended_errors_reach_those_with_an_opt(proxy, upstream, transport):
    """RFC 8914: code and text."""
    upstream.on_query = lambda query: wire.answer(
        query.raw, rcode=2, options=[wire.option(wire.EDE, b"\0\6bogus")])
    answer = ask(proxy.address, "ede.example", edns=0, transport=transport)
    assert answer.rcode() == dns.rcode.SERVFAIL
    assert wire.options_of(answer, wire.EDE) == [b"\0\6bogus"]
    assert ask(proxy.address, "plain.example", transport=transport).edns == -1


def test_options_without_number_do_no_harm(proxy, upstream):
    """L2: 16,383 empty options, 300 cookies."""
    flood = [wire.option(65001)] * 16350
    cookies = [wire.option(wire.COOKIE, COOKIE)] * 300
    for options in (flood, cookies):
        answer = tcp(proxy.address, wire.query_with("flood.example", *options))
        assert answer[3] & 15 in (dns.rcode.NOERROR, dns.rcode.FORMERR)
    assert ask(proxy.address, "after.example").answer
    for query in upstream.queries:
        assert len(query.raw) == 128
