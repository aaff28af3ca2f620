# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# What RFC 8906 wants of every server, asked of our listeners (rules 1.9).

import dns.flags
import dns.rcode
import pytest

from harness import wire
from harness.client import TRANSPORTS, ask, udp

Z = 0x0040
RD = 0x0100
ALL_OPTIONS = [(wire.NSID, b""), (wire.ECS, b"\0\1\0\0"), (wire.COOKIE, b"12345678"), (9, b""),
               (100, b"")]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("rdtype,fields", [
    ("SOA", {}),
    ("TYPE1000", {}),
    ("SOA", {"flags": RD | Z}),
    ("SOA", {"edns": 0}),
    ("SOA", {"options": [(100, b"")]}),
    ("SOA", {"edns": 0, "ednsflags": 0x0040}),
    ("SOA", {"do": True}),
    ("SOA", {"options": [(wire.COOKIE, b"12345678")]}),
    ("SOA", {"options": [(wire.NSID, b"")]}),
    ("SOA", {"options": [(wire.ECS, b"\0\1\0\0")]}),
    ("SOA", {"do": True, "options": ALL_OPTIONS}),
], ids=["plain", "unknown type", "reserved flag", "EDNS", "unknown option", "unknown EDNS flag",
        "DO", "COOKIE", "NSID", "ECS", "all options"])
def test_a_query_of_any_make_is_answered(proxy, rdtype, fields, transport):
    answer = ask(proxy.address, "ednscomp.example", rdtype, transport=transport, **fields)
    assert answer.rcode() == dns.rcode.NOERROR
    has_opt = any(key in fields for key in ("edns", "do", "options"))
    assert answer.edns == (0 if has_opt else -1)
    assert not answer.flags & Z
    assert answer.ednsflags & 0xffff == (0x8000 if fields.get("do") else 0)
    assert not wire.options_of(answer, 100)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("fields", [{}, {"options": [(100, b"")]}, {"ednsflags": 0x0040}],
                         ids=["alone", "unknown option", "unknown flag"])
def test_edns_version_1_is_badvers(proxy, fields, transport):
    message = wire.query("ednscomp.example", "SOA", edns=1, **fields)
    answer = wire.parse(TRANSPORTS[transport](proxy.address, message))
    assert answer.rcode() == dns.rcode.BADVERS and answer.edns == 0
    assert answer.ednsflags & 0xffff == 0 and not answer.options


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_unknown_opcode_is_notimp(proxy, transport):
    message = wire.header(5, 15 << 11)
    answer = TRANSPORTS[transport](proxy.address, message)
    assert answer[:2] == b"\0\5" and answer[2] & 0xf8 == 0xf8
    assert answer[3] & 15 == dns.rcode.NOTIMP


def test_truncation_keeps_the_opt_and_do(proxy, upstream):
    upstream.on_query = lambda query: wire.sized_answer(query.raw, 2000)
    answer = wire.parse(udp(proxy.address, wire.query(
        "ednscomp.example", "TYPE65280", do=True, payload=512)))
    assert answer.flags & dns.flags.TC and answer.edns == 0 and answer.ednsflags & 0x8000
