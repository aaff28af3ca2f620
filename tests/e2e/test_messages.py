# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# What a proxy may and may not do to messages: RFC 5625, 3597, 4343, 9619 (rules C20-C32) and the
# names that never leave (C100-C103).

import dns.flags
import dns.opcode
import dns.rcode
import dns.tsigkeyring
import pytest

from harness import wire
from harness.client import TRANSPORTS, TcpClient, ask, gets_no_answer, tcp, udp
from harness.waiting import wait_for

RD, CD, AD, Z, QR = 0x0100, 0x0010, 0x0020, 0x0040, 0x8000


def rcode(message):
    return message[3] & 15


def test_reserved_flag_bits_do_no_harm(proxy):
    """C20"""
    assert ask(proxy.address, "reserved.example", flags=RD | Z).rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("rdtype", [65534, 0xff00, 1000, 20000])
def test_unknown_types_pass_octet_by_octet(proxy, upstream, rdtype, transport):
    """C21, C22: compression pointers of unknown RDATA are none."""
    rdata = b"\xc0\x0c" + bytes(range(256)) + b"\xff\xff"
    upstream.on_query = lambda query: wire.answer(
        query.raw, records=[wire.record(b"\xc0\x0c", rdtype, rdata)])
    message = wire.header(7, RD, 1) + wire.question("unknown.example", rdtype)
    answer = TRANSPORTS[transport](proxy.address, message)
    assert answer[12:] == message[12:] + wire.record(b"\xc0\x0c", rdtype, rdata)


@pytest.mark.parametrize("rdclass", [3, 4, 254, 0xff01])
def test_unknown_classes_pass(proxy, upstream, rdclass):
    """C21"""
    record = wire.record(b"\xc0\x0c", 16, b"\x02hi", rdclass=rdclass)
    upstream.on_query = lambda query: wire.answer(query.raw, records=[record])
    message = wire.header(7, RD, 1) + wire.question("class.example", 16, rdclass)
    assert udp(proxy.address, message)[12:] == message[12:] + record


def test_owner_names_need_no_compression(proxy, upstream):
    """C22"""
    record = wire.record("plain.example", 1, b"\x0a\0\0\1")
    upstream.on_query = lambda query: wire.answer(query.raw, records=[record])
    answer = ask(proxy.address, "plain.example")
    assert str(answer.answer[0][0]) == "10.0.0.1"


@pytest.mark.parametrize("size", [65535, 65524, 65400, 16384, 16383, 4097])
def test_large_answers_pass_over_tcp(proxy, upstream, size):
    """C24: every length that the prefix can name."""
    upstream.on_query = lambda query: wire.sized_answer(query.raw, size)
    message = wire.query("large.example", "TYPE65280")
    answer = tcp(proxy.address, message)
    assert answer[12:] == wire.sized_answer(message, size)[12:]
    assert len(answer) == size


@pytest.mark.parametrize("size", [65535, 65530, 65524, 65400])
def test_an_opt_never_makes_an_answer_too_large(proxy, upstream, size):
    """L3: the answer is whole where there is room for our OPT, and an answer in any case."""
    upstream.on_query = lambda query: wire.sized_answer(query.raw, size)
    answer = tcp(proxy.address, wire.query("large.example", "TYPE65280", edns=0))
    message = wire.parse(answer)
    assert message.edns == 0
    if size + 11 <= 65535:
        assert len(answer) == size + 11 and message.answer


def test_large_queries_pass(proxy):
    """C24: 4,096 octets over UDP, 65,535 over TCP."""
    for size, transport in ((4096, udp), (65535, tcp)):
        bare = len(wire.query_with("large.example", wire.option(65001)))
        message = wire.query_with("large.example", wire.option(65001, b"\1" * (size - bare)))
        assert len(message) == size
        assert wire.address_in(transport(proxy.address, message)) is not None


def signed(name, ident):
    message = wire.parse(wire.query(name, edns=0, id=ident))
    message.use_tsig(dns.tsigkeyring.from_text({"key.example.": "c2VjcmV0IHNlY3JldCBzZWNyZXQ="}))
    return message.to_wire()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_signed_messages_pass_octet_by_octet(proxy, upstream, transport):
    """C25: nothing but the ID changes, in both directions."""
    trailer = wire.record("key.example", 250, b"\5\xc0\x0c" * 9, rdclass=255, ttl=0)
    upstream.on_query = lambda query: wire.answer(query.raw, edns=False, additional=[
        wire.opt(wire.option(wire.PADDING, b"\0" * 30)), trailer])
    message = signed("signed.example", 4711)
    answer = TRANSPORTS[transport](proxy.address, message)
    assert upstream.queries[0].raw[2:] == message[2:]
    assert answer == wire.set_id(upstream.on_query(upstream.queries[0]), 4711)


def test_signed_messages_are_not_coalesced(proxy, upstream):
    """C25"""
    upstream.hold("signed.example.")
    with TcpClient(proxy.address) as client:
        client.send(signed("signed.example", 1), signed("signed.example", 2),
                    wire.query("signed.example", id=3))
        upstream.wait_for_query("signed.example", 3)
        upstream.release("signed.example.")
        assert len(client.receive_all(3)) == 3


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("questions", [0, 2])
def test_a_query_has_one_question(proxy, upstream, questions, transport):
    """C26"""
    message = wire.header(5, RD, questions) + wire.question("many.example") * questions
    answer = TRANSPORTS[transport](proxy.address, message)
    assert answer[:2] == b"\0\5" and answer[2] & 0x80 and rcode(answer) == dns.rcode.FORMERR
    assert not upstream.queries


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("opcode", [1, 2, 3, 4, 5, 6, 7, 15])
def test_other_opcodes_are_not_implemented(proxy, upstream, opcode, transport):
    """C27"""
    message = wire.query("opcode.example", "SOA", flags=opcode << 11, id=6)
    answer = TRANSPORTS[transport](proxy.address, message)
    assert answer[:2] == message[:2] and answer[2] & 0x80
    assert answer[2] >> 3 & 15 == opcode and rcode(answer) == dns.rcode.NOTIMP
    assert not upstream.queries


def test_a_stream_goes_on_after_an_unknown_opcode(proxy):
    """C27, C114"""
    with TcpClient(proxy.address) as client:
        client.send(wire.header(1, 6 << 11), wire.query("next.example", id=2))
        assert set(client.receive_all(2)) == {b"\0\1", b"\0\2"}


def test_responses_from_clients_are_dropped(proxy, upstream):
    """C28: no loop, no reflection."""
    assert gets_no_answer(proxy.address, wire.query("response.example", flags=QR | RD))
    assert not upstream.asked("response.example")


@pytest.mark.parametrize("size", [0, 1, 2, 11])
def test_datagrams_shorter_than_a_header_are_dropped(proxy, size):
    """C29"""
    assert gets_no_answer(proxy.address, b"\0\1\1\0\0\1\0\0\0\0\0"[:size])


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("rest", [
    b"", b"\3www", b"\3www\0\0\1", b"\xc0\x0c\0\1\0\1", b"\x40abc\0\0\1\0\1", b"\xff" * 30,
    b"\x3f" + b"a" * 20, (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1"])
def test_questions_that_cannot_be_read_are_format_errors(proxy, upstream, rest, transport):
    """C29: with the ID, the opcode and RD echoed, and no more than a header."""
    answer = TRANSPORTS[transport](proxy.address, wire.header(8, RD, 1) + rest)
    assert len(answer) == 12 and answer[:2] == b"\0\x08"
    assert answer[2] & 0xf9 == 0x81 and rcode(answer) == dns.rcode.FORMERR
    assert not upstream.queries


@pytest.mark.parametrize("case", ["trailing octets", "a trailing record", "missing record",
                                  "counts without records"])
def test_messages_that_do_not_add_up_are_format_errors(proxy, upstream, case):
    """C30, L1, L7: nothing of them reaches the upstream."""
    good = wire.query("sums.example", id=3)
    message = {
        "trailing octets": good + b"\0",
        "a trailing record": good + wire.record("evil.example", 1, b"\1\2\3\4"),
        "missing record": good[:10] + b"\0\1" + good[12:],
        "counts without records": wire.header(3, RD, 65535, 65535, 65535, 65535),
    }[case]
    for transport in TRANSPORTS.values():
        answer = transport(proxy.address, message)
        assert answer[:2] == b"\0\3" and rcode(answer) == dns.rcode.FORMERR
    assert not upstream.queries


def test_each_client_gets_its_own_spelling_back(proxy, upstream):
    """C31: 0x20 clients, also those whose questions were joined."""
    spellings = ["CaSe.ExAmPlE", "case.example", "CASE.EXAMPLE"]
    upstream.hold("case.example.")
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(name, id=n) for n, name in enumerate(spellings)))
        client.send(wire.query("sentinel.example", id=99))
        client.receive()
        upstream.release("case.example.")
        answers = client.receive_all(3)
    assert len(upstream.asked("case.example")) == 1
    for number, spelling in enumerate(spellings):
        answer = answers[bytes([0, number])]
        assert answer[12:wire.question_end(answer)] == wire.question(spelling)


@pytest.mark.parametrize("flags", [0, RD, RD | CD, CD])
def test_flags_are_those_of_the_question(proxy, upstream, flags):
    """C32, C90: RD and CD echoed, RA set, opcode kept; both reach the upstream."""
    answer = ask(proxy.address, "flags.example", flags=flags)
    assert answer.flags & (RD | CD) == flags
    assert answer.flags & dns.flags.RA and answer.flags & dns.flags.QR
    assert upstream.queries[0].message.flags & (RD | CD) == flags


@pytest.mark.parametrize("asked,expected", [({}, False), ({"flags": RD | AD}, True),
                                            ({"do": True}, True)])
def test_ad_is_for_those_who_asked_for_it(proxy, upstream, asked, expected):
    """C90: AD or DO in the query (RFC 6840, section 5.7)."""
    upstream.on_query = lambda query: wire.answer(query.raw, flags=0x8080 | AD)
    answer = ask(proxy.address, "ad.example", **asked)
    assert bool(answer.flags & AD) == expected


@pytest.mark.parametrize("code", [dns.rcode.NXDOMAIN, dns.rcode.REFUSED, dns.rcode.SERVFAIL,
                                  dns.rcode.NOTIMP, dns.rcode.YXDOMAIN, dns.rcode.BADCOOKIE])
def test_every_rcode_passes(proxy, upstream, code):
    """C32: the upper bits are in the OPT."""
    upstream.on_query = lambda query: wire.answer(query.raw, rcode=code)
    assert ask(proxy.address, "rcode.example", edns=0).rcode() == code


def test_any_is_forwarded_as_asked(proxy, upstream):
    """C87 (RFC 8482)"""
    records = [wire.record(b"\xc0\x0c", 1, b"\1\2\3\4"), wire.record(b"\xc0\x0c", 16, b"\1x")]
    upstream.on_query = lambda query: wire.answer(query.raw, records=records)
    message = wire.query("any.example", "ANY")
    assert udp(proxy.address, message)[12:] == message[12:] + b"".join(records)


def test_resolver_arpa_does_not_leave(proxy, upstream):
    """C100"""
    for name in ("resolver.arpa", "_dns.resolver.arpa"):
        answer = ask(proxy.address, name, "SVCB")
        assert answer.rcode() == dns.rcode.NOERROR and not answer.answer
    assert not upstream.queries


@pytest.mark.parametrize("name,rdtype,code", [
    ("localhost", "A", dns.rcode.NOERROR), ("www.localhost", "AAAA", dns.rcode.NOERROR),
    ("x.invalid", "A", dns.rcode.NXDOMAIN), ("x.onion", "A", dns.rcode.NXDOMAIN),
    ("x.test", "A", dns.rcode.NXDOMAIN), ("x.local", "A", dns.rcode.NXDOMAIN),
    ("default.service.arpa", "A", dns.rcode.NXDOMAIN),
    ("1.0.168.192.in-addr.arpa", "PTR", dns.rcode.NXDOMAIN)])
def test_local_names_leave_only_if_so_configured(start, upstream, name, rdtype, code):
    """C101"""
    strict = start(upstream, workers=1, local_zones=True)
    assert ask(strict.address, name, rdtype).rcode() == code
    assert not upstream.queries
    transparent = start(upstream, workers=1, local_zones=False)
    ask(transparent.address, name, rdtype)
    assert upstream.asked(name)


def test_local_zones_let_exceptions_through_and_say_who_answered(start, upstream):
    """RFC 8914, RFC 8020"""
    proxy = start(upstream, workers=1, local_zones=True,
                  local_zones_except=["home.arpa", "2.1.10.in-addr.arpa"])
    for name in ("nas.home.arpa", "3.2.1.10.in-addr.arpa"):
        ask(proxy.address, name)
        assert upstream.asked(name)
    above = ask(proxy.address, "1.10.in-addr.arpa", "PTR", edns=0)
    beside = ask(proxy.address, "3.10.in-addr.arpa", "PTR", edns=0)
    assert [above.rcode(), beside.rcode()] == [dns.rcode.NOERROR, dns.rcode.NXDOMAIN]
    for answer in (above, beside):
        assert [int(option.code) for option in answer.options if option.otype == 15] == [29]
    assert not ask(proxy.address, "x.onion").options
    assert len(upstream.queries) == 2


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("rdtype", [251, 252])
def test_zone_transfers_are_refused(proxy, upstream, rdtype, transport):
    """C102, L44"""
    message = wire.header(2, 0, 1) + wire.question("example", rdtype)
    assert rcode(TRANSPORTS[transport](proxy.address, message)) == dns.rcode.REFUSED
    assert not upstream.queries


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_nxname_does_not_leave(proxy, upstream, transport):
    """RFC 9824, section 3.5"""
    message = wire.header(2, 0, 1) + wire.question("name.example", 128)
    assert rcode(TRANSPORTS[transport](proxy.address, message)) == dns.rcode.FORMERR
    assert not upstream.queries


@pytest.mark.parametrize("name", ["version.bind", "id.server"])
def test_chaos_identity_does_not_leave(proxy, upstream, name):
    """C103"""
    ask(proxy.address, name, "TXT", rdclass="CH")
    assert not upstream.queries


def test_names_with_any_octet_pass_and_stay_out_of_the_log(proxy, upstream):
    """L11: control characters, quotes, NUL, 0xff; query names are not logged."""
    for octet in b"\n\0\x1b\"{}\\\xff% ":
        message = wire.header(9, RD, 1) + b"\6secret" + b"\1" + bytes([octet]) + \
            b"\7example\0\0\1\0\1"
        assert wire.address_in(udp(proxy.address, message)) is not None
    wait_for(lambda: len(upstream.queries) == 10)
    assert "secret" not in proxy.log
