#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
"""Writes the seed corpora: small messages, whole and broken, one file for each thing that can be
wrong. Run it again after a change; what a fuzzer found lies beside them as found-*."""

import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent / "corpus"
A, NS, CNAME, SOA, PTR, TXT, SIG, AAAA, DNAME, OPT, RRSIG, TKEY, TSIG, AXFR, ANY = (
    1, 2, 5, 6, 12, 16, 24, 28, 39, 41, 46, 249, 250, 252, 255)
IN, CH = 1, 3
ADDRESS = bytes([192, 0, 2, 1])
QNAME = b"\xc0\x0c"


def name(dotted):
    labels = [label for label in dotted.encode("latin-1").split(b".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(owner, rtype, rdata=b"", rclass=IN, ttl=300):
    owner = owner if isinstance(owner, bytes) else name(owner)
    return owner + struct.pack(">HHIH", rtype, rclass, ttl, len(rdata)) + rdata


def option(code, data=b""):
    return struct.pack(">HH", code, len(data)) + data


def opt(options=b"", ttl=0, size=1232, owner=b"\0"):
    return record(owner, OPT, options, size, ttl)


def message(flags, questions=(), answers=(), authorities=(), additionals=(), tail=b"", counts=None):
    sections = (questions, answers, authorities, additionals)
    counts = counts or [len(section) for section in sections]
    return (struct.pack(">6H", 0x1234, flags, *counts)
            + b"".join(part for section in sections for part in section) + tail)


def question(qname="www.example.com", qtype=A, qclass=IN):
    return (qname if isinstance(qname, bytes) else name(qname)) + struct.pack(">HH", qtype, qclass)


def query(qname="www.example.com", qtype=A, qclass=IN, flags=0x0100, **sections):
    return message(flags, [question(qname, qtype, qclass)], **sections)


def response(*answers, qname="www.example.com", qtype=A, flags=0x8180, **sections):
    return message(flags, [question(qname, qtype)], answers, **sections)


LONGEST = b"\x3f" + b"a" * 63
LONGEST = LONGEST * 3 + b"\x3d" + b"b" * 61 + b"\0"
DEEPEST = b"\x01a" * 127 + b"\0"
# RFC 9018, appendix A.1
SERVER_COOKIE = bytes.fromhex("2464c4abcf10c957010000005cf79f111f8130c3eee29480")
ECS0 = option(8, bytes([0, 1, 0, 0]))

QUERIES = {
    "plain": query(),
    "mixed-case": query("wWw.eXaMpLe.CoM", AAAA),
    "root-ns": query("", NS),
    "longest-name": query(LONGEST),
    "deepest-name": query(DEEPEST),
    "too-long-name": query(b"\x3f" + b"a" * 63 + LONGEST),
    "label-64": query(b"\x40" + b"a" * 64 + b"\0"),
    "binary-name": query(b"\x05\0\n\x1b\"\xff\x01{\0"),
    "compressed-name": query(QNAME),
    "edns": query(additionals=[opt()]),
    "edns-do": query(additionals=[opt(ttl=0x8000, size=4096)]),
    "edns-size-0": query(additionals=[opt(size=0)]),
    "edns-version-1": query(additionals=[opt(ttl=0x10000)]),
    "edns-version-1-options": query(additionals=[opt(b"\1\2\3", ttl=0x10000)]),
    "edns-unknown-flags": query(additionals=[opt(ttl=0x7fff)]),
    "edns-all-options": query(additionals=[opt(option(3) + option(10, b"12345678") + ECS0
                                               + option(11) + option(12, b"\1" * 30)
                                               + option(65001, b"x"))]),
    "edns-ecs-24": query(additionals=[opt(option(8, bytes([0, 1, 24, 0, 192, 0, 2])))]),
    "edns-ecs-short": query(additionals=[opt(option(8, b"\0\1\0"))]),
    "edns-keepalive-value": query(additionals=[opt(option(11, b"\0\x64"))]),
    "edns-many-options": query(additionals=[opt(option(13) * 300)]),
    "cookie-client": query(additionals=[opt(option(10, b"12345678"))]),
    "cookie-server": query(additionals=[opt(option(10, SERVER_COOKIE))]),
    "cookie-longest": query(additionals=[opt(option(10, SERVER_COOKIE + b"\1" * 16))]),
    "cookie-empty": query(additionals=[opt(option(10))]),
    "cookie-size-15": query(additionals=[opt(option(10, SERVER_COOKIE[:15]))]),
    "cookie-size-41": query(additionals=[opt(option(10, SERVER_COOKIE + b"\1" * 17))]),
    "cookie-twice": query(additionals=[opt(option(10, b"12345678") + option(10))]),
    "cookie-alone": message(0x0100, additionals=[opt(option(10, SERVER_COOKIE))]),
    "cookie-sealed": query(additionals=[opt(option(10, b"12345678")),
                                        record("key", TSIG, b"\0" * 20, 255, 0)]),
    "edns-option-past-end": query(additionals=[opt(option(10, b"1234")[:-1])]),
    "edns-option-stub": query(additionals=[opt(b"\0\x0a\0")]),
    "edns-twice": query(additionals=[opt(), opt()]),
    "edns-owner": query(additionals=[opt(owner=name("a"))]),
    "edns-in-answer": query(answers=[opt()]),
    "edns-first": query(additionals=[opt(), record("a.example", A, ADDRESS)]),
    "tsig": query(additionals=[opt(), record("key", TSIG, b"\0" * 20, 255, 0)]),
    "tsig-not-last": query(additionals=[record("key", TSIG, b"\0" * 20, 255, 0), opt()]),
    "sig0": query(additionals=[record("", SIG, b"\0" * 20, 255, 0)]),
    "tkey": query("key", TKEY, 255, additionals=[record("key", TKEY, b"\0" * 20, 255, 0)]),
    "flags-all": query(flags=0x07f0),
    "response": response(),
    "notify": query(flags=0x2400, qtype=SOA),
    "update": query(flags=0x2800, qtype=SOA),
    "dso": message(0x3000, tail=b"\0\1\0\0"),
    "no-question": message(0x0100),
    "two-questions": message(0x0100, [question(), question()]),
    "trailing-octet": query(tail=b"\0"),
    "hidden-opt": query(tail=opt()),
    "counts-huge": message(0x0100, [question()], counts=[1, 65535, 65535, 65535]),
    "count-missing": message(0x0100, [question()], counts=[1, 0, 0, 1]),
    "header-short": query()[:11],
    "header": query()[:12],
    "question-cut": query()[:-1],
    "record-loop": query(answers=[record(struct.pack(">H", 0xc000 + 33), A, ADDRESS)]),
    "record-rdlength": query(answers=[record(QNAME, A, ADDRESS)[:-1]]),
    "any": query(qtype=ANY),
    "axfr": query(qtype=AXFR),
    "ixfr": query(qtype=251, authorities=[record(QNAME, SOA, b"\0" * 22)]),
    "class-any": query("localhost", qclass=255),
    "chaos": query("version.bind", TXT, CH),
    "chaos-other": query("version.example", TXT, CH),
    "localhost": query("LocalHost", additionals=[opt(ECS0 + option(11))]),
    "localhost-any": query("a.localhost", ANY),
    "invalid": query("a.invalid"),
    "onion": query("abcdef.onion", additionals=[opt(ttl=0x8000)]),
    "resolver-arpa": query("_dns.resolver.arpa", 64),
    "home-arpa": query("printer.home.arpa", AAAA),
    "reverse-10": query("4.3.2.10.in-addr.arpa", PTR),
    "reverse-172": query("1.0.20.172.in-addr.arpa", PTR),
    "reverse-apex": query("10.in-addr.arpa", ANY),
    "reverse-ds": query("10.in-addr.arpa", 43),
    "reverse-loopback": query("1.0.0.127.in-addr.arpa", PTR),
    "reverse-loopback6": query("1." + "0." * 31 + "ip6.arpa", PTR),
    "reverse-public": query("8.8.8.8.in-addr.arpa", PTR),
    "reverse-odd": query("999.a.01.10x.in-addr.arpa", PTR),
    "reverse-bare": query("in-addr.arpa", PTR),
}

CDN = name("cdn.example.net")
SOA_RDATA = name("ns.example.com") + name("admin.example.com") + struct.pack(">5I", 1, 2, 3, 4, 5)
UNICODE = "\u20ac\u00e9".encode()
EDES = option(15, b"\0\x06why") + option(15, b"\0\x16") + option(15, b"\0\x17" + UNICODE)

RESPONSES = {
    "address": response(record(QNAME, A, ADDRESS)),
    "address-edns": response(record(QNAME, A, ADDRESS), additionals=[opt()]),
    "addresses": response(*[record(QNAME, A, ADDRESS)] * 5, additionals=[opt(option(12, b"\0" * 40))]),
    "uncompressed": response(record("WWW.example.com", A, ADDRESS)),
    "authentic": response(record(QNAME, A, ADDRESS), record(QNAME, RRSIG, b"\0" * 40), flags=0x81a0,
                          additionals=[opt(ttl=0x8000)]),
    "other-case": response(record(QNAME, A, ADDRESS), qname="wWw.ExAmPlE.cOm"),
    "cname": response(record(QNAME, CNAME, CDN), record(b"\xc0\x2d", A, ADDRESS)),
    "cname-reversed": response(record(CDN, A, ADDRESS), record(QNAME, CNAME, CDN)),
    "cname-loop": response(record(QNAME, CNAME, CDN), record(CDN, CNAME, QNAME)),
    "cname-self": response(record(QNAME, CNAME, QNAME)),
    "cname-many": response(*[record(QNAME, CNAME, CDN)] * 40),
    "cname-foreign": response(record(CDN, CNAME, QNAME)),
    "cname-empty": response(record(QNAME, CNAME)),
    "cname-long": response(record(QNAME, CNAME, CDN + b"\0")),
    "dname": response(record("example.com", DNAME, name("example.net")),
                      record(QNAME, CNAME, name("www.example.net")),
                      record("www.example.net", A, ADDRESS)),
    "dname-alone": response(record("example.com", DNAME, name("example.net")),
                            record("www.example.net", A, ADDRESS)),
    "dname-long": response(record("example.com", DNAME, LONGEST)),
    "dname-root": response(record("", DNAME, b"\0")),
    "foreign-owner": response(record("evil.example", A, ADDRESS)),
    "foreign-beside": response(record("evil.example", A, ADDRESS), record(QNAME, CNAME, b"\xc0\x21"),
                               record(b"\xc0\x21", A, ADDRESS), record(b"\xc0\x26", A, ADDRESS),
                               authorities=[record(b"\xc0\x10", SOA, b"\xc0\x26" * 2 + SOA_RDATA[-20:])],
                               additionals=[opt()]),
    "foreign-type": response(record(QNAME, AAAA, ADDRESS * 4)),
    "foreign-question": response(record(QNAME, A, ADDRESS), qname="www.example.org"),
    "any": response(record(QNAME, A, ADDRESS), record(QNAME, TXT, b"\1x"), qtype=ANY),
    "unknown-type": response(record(QNAME, 65534, b"\xc0" * 9), qtype=65534),
    "referral": response(authorities=[record(b"\xc0\x10", NS, name("ns.example.com"))],
                         additionals=[record("ns.example.com", A, ADDRESS), opt()]),
    "nxdomain": response(flags=0x8183, authorities=[record(b"\xc0\x10", SOA, SOA_RDATA)],
                         additionals=[opt()]),
    "nodata": response(authorities=[record(b"\xc0\x10", SOA, SOA_RDATA)]),
    "soa-short": response(authorities=[record(b"\xc0\x10", SOA, SOA_RDATA[:-1])]),
    "soa-pointers": response(authorities=[record(b"\xc0\x10", SOA, QNAME * 2 + b"\0" * 20)]),
    "servfail": response(flags=0x8182),
    "servfail-edes": response(flags=0x8182, additionals=[opt(EDES)]),
    "edes-five": response(additionals=[opt(option(15, b"\0\1a") * 5)]),
    "ede-long": response(additionals=[opt(option(15, b"\0\1" + b"x" * 2000))]),
    "ede-200": response(record(QNAME, A, ADDRESS), additionals=[opt(option(15, b"\0\1" + b"x" * 200))]),
    "ede-control": response(additionals=[opt(option(15, b"\0\1a\nb"))]),
    "ede-utf8-bad": response(additionals=[opt(option(15, b"\0\1\xc0\xaf\xed\xa0\x80"))]),
    "ede-short": response(additionals=[opt(option(15, b"\1"))]),
    "keepalive": response(additionals=[opt(option(11, b"\1\x2c"))]),
    "keepalive-empty": response(additionals=[opt(option(11))]),
    "badvers": response(additionals=[opt(ttl=0x1000000)]),
    "badvers-bare": message(0x8180, additionals=[opt(ttl=0x1000000)]),
    "no-question": message(0x8180),
    "no-question-refused": message(0x8185),
    "no-question-records": message(0x8182, answers=[record("evil.example", A, ADDRESS)]),
    "two-questions": message(0x8180, [question(), question()]),
    "truncated": response(flags=0x8380),
    "query": query(),
    "notify": response(flags=0xa180),
    "opt-twice": response(additionals=[opt(), opt()]),
    "opt-owner": response(additionals=[opt(owner=QNAME)]),
    "opt-authority": response(authorities=[opt()]),
    "opt-option-past-end": response(additionals=[opt(option(15, b"\0\1x")[:-1])]),
    "opt-options-many": response(additionals=[opt(option(65001) * 300 + EDES)]),
    "opt-first": response(record(QNAME, A, ADDRESS),
                          additionals=[opt(), record("a.example", A, ADDRESS)]),
    "tsig": response(record(QNAME, A, ADDRESS), additionals=[record("key", TSIG, b"\0" * 20, 255, 0)]),
    "rdata-address-short": response(record(QNAME, A, ADDRESS[:3])),
    "rdata-address6-long": response(record(QNAME, AAAA, ADDRESS * 4 + b"\0"), qtype=AAAA),
    "rdata-text-unfilled": response(record(QNAME, TXT, b"\1x\5yz"), qtype=TXT),
    "rdata-mx": response(record(QNAME, 15, b"\0\1" + QNAME), qtype=15),
    "rdata-srv-long": response(record(QNAME, 33, b"\0" * 6 + QNAME + b"\0"), qtype=33),
    "rdata-naptr": response(record(QNAME, 35, b"\0" * 4 + b"\1u\1s\0" + CDN), qtype=35),
    "rdata-nsec": response(authorities=[record(QNAME, 47, CDN + b"\0\1\x40\1\1\x40")]),
    "rdata-nsec3": response(authorities=[record(QNAME, 50, b"\1\0\0\1\1s\2hh\0\1\x40")]),
    "rdata-https": response(record(QNAME, 65, b"\0\1\0\0\1\0\3\2h2\0\4\0\4" + ADDRESS), qtype=65),
    "rdata-https-falling": response(record(QNAME, 65, b"\0\1\0\0\4\0\0\0\1\0\0"), qtype=65),
    "rdata-apl": response(record(QNAME, 42, b"\0\1\x18\x83\xc0\0\2"), qtype=42),
    "rdata-caa": response(record(QNAME, 257, b"\0\5issueca.example"), qtype=257),
    "rdata-location": response(record(QNAME, 29, b"\0" * 16), qtype=29),
    "rdata-class-ch": response(record(QNAME, A, b"\0\0\1", 3)),
    "trailing-octet": response(record(QNAME, A, ADDRESS), tail=b"\0"),
    "counts-huge": message(0x8180, [question()], counts=[1, 65535, 65535, 65535]),
    "rdlength-long": response(record(QNAME, A, ADDRESS)[:-1]),
    "pointer-self": response(record(struct.pack(">H", 0xc021), A, ADDRESS)),
    "pointer-forward": response(record(b"\xc0\xff", A, ADDRESS)),
    "pointer-header": response(record(b"\xc0\x02", A, ADDRESS)),
    "pointer-chain": response(record(QNAME, A, b"".join(
        b"\1a" + struct.pack(">H", 0xc000 + (12 if i == 0 else 45 + 4 * (i - 1))) for i in range(60))),
        record(b"\xc0\x71", A, ADDRESS)),
    "label-type": response(record(b"\x80a\0", A, ADDRESS)),
    "name-long": response(record(b"\x3f" + b"a" * 63 + QNAME, A, ADDRESS), qname=LONGEST),
    "name-deepest": response(record(QNAME, A, ADDRESS), qname=DEEPEST, additionals=[opt(EDES)]),
    "large": response(*[record(QNAME, TXT, b"\xff" + b"x" * 255)] * 6, qtype=TXT, additionals=[opt()]),
}

FRAMES = {
    "empty": b"",
    "prefix-half": b"\0",
    "prefix": b"\0\x1d",
    "one": struct.pack(">H", len(query())) + query(),
    "three": (struct.pack(">H", len(query())) + query()) * 3,
    "one-and-half": (struct.pack(">H", len(query())) + query()) * 2,
    "length-0": b"\0\0" + query(),
    "length-11": b"\0\x0b" + query()[:11],
    "length-12": b"\0\x0c" + query()[:12],
    "length-most": b"\xff\xff" + query(),
    "shifted": struct.pack(">H", len(query()) + 1) + query() + struct.pack(">H", 29) + query(),
}
FRAMES["one-and-half"] = FRAMES["one-and-half"][:-9]


def kept(records=(), ttls=(), rcode=0, errors=(), counts=None, more=b""):
    """A kept answer, as src/dns/kept.cc lays it out; `ttls` are offsets."""
    head = rcode | len(errors) << 12
    counts = counts or [len(records), 0, 0]
    return (struct.pack(">4H", head, *counts) + b"".join(struct.pack(">H", at) for at in ttls)
            + b"".join(struct.pack(">HH", code, len(text)) + text for code, text in errors)
            + b"".join(records) + more)


def key(qname="www.example.com", qtype=A, qclass=IN, flags=1):
    return question(qname, qtype, qclass) + bytes([flags])


RECORD = record(QNAME, A, ADDRESS)
KEPT = {
    "kept": kept([RECORD], [6]),
    "kept-two": kept([RECORD] * 2, [6, 22], errors=[(6, b"why"), (22, b"")]),
    "kept-empty": kept(rcode=2),
    "kept-nothing": b"",
    "kept-head": kept()[:7],
    "kept-offset-0": kept([RECORD], [0]),
    "kept-offset-end": kept([RECORD], [12]),
    "kept-offset-far": kept([RECORD], [65535]),
    "kept-offset-twice": kept([RECORD] * 2, [6, 6]),
    "kept-offset-back": kept([RECORD] * 2, [22, 6]),
    "kept-counts-most": kept([RECORD], [6], counts=[65535] * 3),
    "kept-errors-five": kept(errors=[(1, b"")] * 5),
    "kept-error-long": kept(errors=[(1, b"x" * 257)]),
    "kept-error-past-end": kept(errors=[(1, b"why")])[:-1],
    "kept-cut": kept([RECORD], [6])[:-1],
    "kept-tail": kept([RECORD], [6], more=b"\0"),
    "key": key(),
    "key-longest": key(LONGEST, flags=0x1f),
    "key-root": key(""),
    "key-upper": key("Www.example.com"),
    "key-flags": key(flags=0x20),
    "key-pointer": key(QNAME),
    "key-too-long": key(b"\1a" * 128 + b"\0"),
}
TTLS = {"ttl-" + str(ttl): response(record(QNAME, A, ADDRESS, ttl=ttl))
        for ttl in (0, 1, 2**31 - 1, 2**31, 2**32 - 1)}


def entry(size, octets_of_key, filling=0, stored_at=1000, ttl=60, fill=b"k"):
    """As it lies in the ring of a shard, with neither position nor check."""
    head = struct.pack("<QQQ", size, stored_at << 16 | octets_of_key << 3 | filling, ttl)
    return head + fill * (max(size - 3, 0) * 8)


# Buckets less one, words of the ring beyond 64, flags; what follows is repeated all over the shard.
AS_IS, POSITIONS, MENDED, USED = 0, 1, 3, 7
CACHES = {
    "zeros": bytes([0, 0, AS_IS, 0]),
    "ones": bytes([3, 127, AS_IS, 255]),
    "positions-low": bytes([1, 9, AS_IS]) + struct.pack("<Q", 1),
    "positions-ring": bytes([1, 0, AS_IS]) + struct.pack("<Q", 64),
    "positions-used-up": bytes([1, 0, AS_IS]) + struct.pack("<Q", (1 << 51) - 1),
    "no-check": bytes([0, 0, POSITIONS]) + entry(6, 8),
    "size-0": bytes([0, 3, MENDED]) + struct.pack("<Q", 0),
    "size-1": bytes([0, 3, USED]) + struct.pack("<Q", 1),
    "size-2": bytes([0, 3, USED]) + struct.pack("<Q", 2),
    "size-3": bytes([0, 3, USED]) + entry(3, 0),
    "size-most": bytes([0, 100, USED]) + entry(0xffff, 8)[:4096],
    "plain": bytes([0, 64, MENDED]) + entry(6, 8),
    "used": bytes([0, 64, USED]) + entry(6, 8),
    "used-large": bytes([0, 127, USED]) + entry(40, 8),
    "expired": bytes([0, 64, USED]) + entry(6, 8, stored_at=0, ttl=0),
    "far-future": bytes([0, 64, USED]) + entry(6, 8, stored_at=(1 << 48) - 1, ttl=(1 << 32) - 1),
    "key-all": bytes([0, 64, USED]) + entry(6, 24),
    "key-past-end": bytes([0, 64, USED]) + entry(6, 25),
    "key-most": bytes([0, 64, USED]) + entry(100, 511),
    "key-too-long": bytes([0, 64, USED]) + entry(100, 512),
    "key-longest": bytes([0, 64, USED]) + entry(100, 0x1fff),
    "filling-7": bytes([0, 64, USED]) + entry(6, 8, 7),
    "filling-past-key": bytes([0, 64, USED]) + entry(4, 8, 1),
    "filling-of-nothing": bytes([0, 64, USED]) + entry(3, 0, 7),
    "four-buckets": bytes([3, 64, USED]) + entry(6, 8),
}


BASE64URL = {
    "empty": b"",
    "one": b"Zg",
    "two": b"Zm8",
    "three": b"Zm9v",
    "message": b"AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB",  # RFC 8484, section 4.1.1
    "both-signs": b"-_-_",
    "length-5": b"Zm9vY",
    "left-over": b"Zm9",
    "padding": b"Zm8=",
    "plus": b"Zm+v",
    "high": b"Zm\xffv",
}


def http1(line, *fields, body=b"", host=True):
    lines = [line, *(["Host: x"] if host else []), *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


POSTED = ("Content-Type: application/dns-message",)
GET1 = http1("GET /q?dns=Zm9v HTTP/1.1")
HTTP1 = {
    "empty": b"",
    "get": GET1,
    "head": http1("HEAD /q?dns=Zm9v HTTP/1.1"),
    "post": http1("POST /q HTTP/1.1", *POSTED, "Content-Length: 3", body=b"foo"),
    "post-part": http1("POST /q HTTP/1.1", *POSTED, "Content-Length: 30", body=b"foo"),
    "options": http1("OPTIONS /q HTTP/1.1"),
    "three": GET1 + http1("POST /q HTTP/1.1", *POSTED, "Content-Length: 3", body=b"foo") + GET1,
    "refused-and-good": http1("GET / HTTP/1.1") + http1("PUT /q HTTP/1.1") + GET1,
    "close": http1("GET /q?dns=Zm9v HTTP/1.1", "Connection: TE, close") + GET1,
    "version-0": http1("GET /q?dns=Zm9v HTTP/1.0", host=False),
    "version-2": http1("PRI * HTTP/2.0", host=False),
    "absolute": http1("GET http://x/q?dns=Zm9v HTTP/1.1"),
    "forwarded": http1("GET /q?dns=Zm9v HTTP/1.1", "X-Forwarded-For: 192.0.2.1, 2001:db8::1",
                       "x-forwarded-for: 192.0.2.2"),
    "expect": http1("POST /q HTTP/1.1", *POSTED, "Expect: 100-continue", "Content-Length: 3", body=b"foo"),
    "chunked": http1("POST /q HTTP/1.1", *POSTED, "Transfer-Encoding: chunked", body=b"3\r\nfoo\r\n0\r\n\r\n"),
    "both-kinds": http1("POST /q HTTP/1.1", *POSTED, "Transfer-Encoding: chunked", "Content-Length: 3", body=b"foo"),
    "two-lengths": http1("POST /q HTTP/1.1", *POSTED, "Content-Length: 3", "Content-Length: 3", body=b"foo"),
    "long-length": http1("POST /q HTTP/1.1", *POSTED, "Content-Length: 65536"),
    "no-host": http1("GET /q?dns=Zm9v HTTP/1.1", host=False),
    "two-hosts": http1("GET /q?dns=Zm9v HTTP/1.1", "host: y"),
    "folded": http1("GET /q?dns=Zm9v HTTP/1.1", "a: b", " c"),
    "bare-lf": b"GET /q?dns=Zm9v HTTP/1.1\nHost: x\n\n",
    "bare-cr": b"GET /q?dns=Zm9v HTTP/1.1\r\nHost: x\ra: b\r\n\r\n",
    "empty-lines": b"\r\n\r\n" + GET1,
    "many-fields": http1("GET /q?dns=Zm9v HTTP/1.1", *["a: b"] * 64),
    "endless": b"GET /q?dns=Zm9v HTTP/1.1\r\na: " + b"x" * 1000,
}


def http2(frame_type, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", frame_type, flags, stream) + payload


def field(title, value):
    return bytes([0, len(title)]) + title + bytes([len(value)]) + value


DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
LAST, ACK, WHOLE = 1, 1, 4
SET = http2(SETTINGS)
GET2 = b"\x82\x87" + field(b":path", b"/q?dns=Zm9v") + field(b":authority", b"x")
POST2 = (b"\x83\x87" + field(b":path", b"/q") + field(b":authority", b"x")
         + field(b"content-type", b"application/dns-message"))


def get2(stream, *fields):
    return http2(HEADERS, LAST | WHOLE, stream, GET2 + b"".join(field(*one) for one in fields))


def post2(stream, *fields):
    return http2(HEADERS, WHOLE, stream, POST2 + b"".join(field(*one) for one in fields))


HTTP2 = {
    "settings": SET,
    "get": SET + get2(1),
    "post": SET + post2(1) + http2(DATA, LAST, 1, b"foo"),
    "interleaved": SET + post2(1) + post2(3) + http2(DATA, 0, 1, b"f") + http2(DATA, LAST, 3, b"foo")
                   + get2(5) + http2(DATA, LAST, 1, b"oo"),
    "many": SET + b"".join(get2(stream) for stream in range(1, 31, 2)),
    "refused": SET + http2(HEADERS, LAST | WHOLE, 1, b"\x82\x87\x84") + post2(3, (b"expect", b"100-continue")),
    "early": SET + http2(HEADERS, WHOLE, 1, b"\x83\x87\x84") + http2(DATA, 0, 1, b"foo"),
    "forwarded": SET + get2(1, (b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-for", b"192.0.2.2")),
    "reset": SET + get2(1) + http2(RESET, 0, 1, b"\0\0\0\x08") + get2(3),
    "make-reset": SET + get2(1) + http2(WINDOW, 0, 1, b"\x7f\xff\xff\xff") + get2(3),
    "zero-window": http2(SETTINGS, 0, 0, b"\0\4\0\0\0\0") + get2(1) + http2(WINDOW, 0, 1, b"\0\0\0\7"),
    "wide-window": http2(SETTINGS, 0, 0, b"\0\4\0\x10\0\0") + get2(1) + get2(3) + http2(WINDOW, 0, 0, b"\0\x10\0\0"),
    "pings": SET + http2(PING, 0, 0, b"12345678") * 5 + http2(PING, ACK, 0, b"12345678"),
    "acks": SET + http2(SETTINGS, ACK) + get2(1) + http2(PING, ACK, 0, bytes(8)) + get2(3),
    "goaway": SET + get2(1) + http2(GOAWAY, 0, 0, bytes(8)) + get2(3),
    "continued": SET + http2(HEADERS, LAST, 1, GET2[:9]) + http2(CONTINUATION, WHOLE, 1, GET2[9:]),
    "continued-much": SET + http2(HEADERS, LAST, 1, GET2) + http2(CONTINUATION, 0, 1) * 10,
    "bomb": SET + http2(HEADERS, LAST | WHOLE, 1, GET2 + b"\x40" + field(b"n", b"v" * 100)[1:] + b"\xbe" * 130),
    "trailers": SET + post2(1) + http2(DATA, 0, 1, b"foo") + http2(HEADERS, LAST | WHOLE, 1, field(b"a", b"b")),
    "wrong-length": SET + post2(1, (b"content-length", b"5")) + http2(DATA, LAST, 1, b"foo"),
    "priority": SET + http2(PRIORITY, 0, 3, b"\0\0\0\1\x10") + get2(3, (b"priority", b"u=1, i")),
    "upper": SET + get2(1, (b"Upper", b"x")) + get2(3),
    "even": SET + get2(2),
    "unknown-frame": SET + http2(99, 0, 1, b"foo") + get2(1),
    "push": SET + http2(PUSH, WHOLE, 1, b"\0\0\0\2" + GET2),
    "settings-bad": http2(SETTINGS, 0, 0, b"\0\2\0\0\0\2"),
    "table-0": SET + get2(1) + http2(HEADERS, LAST | WHOLE, 3, b"\x20" + GET2),
}


def says(stream, status, *fields, last=0):
    return http2(HEADERS, last | WHOLE, stream, b"".join(field(*one) for one in [(b":status", status), *fields]))


MESSAGE2 = (b"content-type", b"application/dns-message")
ANSWER2 = response(record(QNAME, A, ADDRESS))


def answers(stream, *fields):
    return says(stream, b"200", MESSAGE2, *fields) + http2(DATA, LAST, stream, ANSWER2)


def leaves(last, error=0):
    return http2(GOAWAY, 0, 0, struct.pack(">II", last, error))


def one_setting(name, value):
    return http2(SETTINGS, 0, 0, struct.pack(">HI", name, value))


HTTP2_CLIENT = {
    "settings": SET,
    "answer": SET + answers(1),
    "answers": SET + http2(SETTINGS, ACK) + b"".join(answers(stream) for stream in (5, 1, 9, 3, 7, 11, 13)),
    "age": SET + answers(1, (b"age", b"300")) + answers(3, (b"age", b"-1")),
    "interleaved": SET + says(1, b"200", MESSAGE2) + says(3, b"200", MESSAGE2) + http2(DATA, 0, 1, ANSWER2[:9])
                   + http2(DATA, LAST, 3, ANSWER2) + http2(DATA, LAST, 1, ANSWER2[9:]),
    "statuses": SET + says(1, b"301", (b"location", b"/"), last=LAST) + says(3, b"429", (b"retry-after", b"5"), last=LAST)
                + says(5, b"503", (b"retry-after", b"Sun, 06 Nov 1994 08:49:37 GMT"), last=LAST)
                + says(7, b"204", last=LAST) + says(9, b"999", last=LAST),
    "interim": SET + says(1, b"100") + says(1, b"103", MESSAGE2) + answers(1),
    "trailers": SET + says(1, b"200", MESSAGE2) + http2(DATA, 0, 1, ANSWER2)
                + http2(HEADERS, LAST | WHOLE, 1, field(b"content-type", b"x")),
    "refused": SET + http2(RESET, 0, 1, struct.pack(">I", 7)) + http2(RESET, 0, 3, struct.pack(">I", 2)) + answers(5),
    "reset-late": SET + says(1, b"200", MESSAGE2) + http2(RESET, 0, 1, bytes(4)) + http2(DATA, LAST, 1, ANSWER2),
    "leaves": SET + leaves(0x7fffffff) + answers(1) + leaves(5) + answers(3) + answers(5),
    "throttles": SET + leaves(3, 11) + answers(1),
    "expels": SET + leaves(0, 13),
    "goes-up": SET + leaves(1) + leaves(3),
    "no-streams": one_setting(3, 0) + answers(1) + one_setting(3, 100),
    "few-streams": one_setting(3, 2) + answers(1) + answers(3) + answers(5),
    "zero-window": one_setting(4, 0) + answers(1) + http2(WINDOW, 0, 3, b"\0\0\0\7") + http2(WINDOW, 0, 5, b"\0\0\1\0"),
    "window-over": SET + http2(WINDOW, 0, 0, b"\x7f\xff\xff\xff"),
    "stream-window-over": SET + http2(WINDOW, 0, 1, b"\x7f\xff\xff\xff") + answers(3),
    "pings": SET + http2(PING, 0, 0, b"12345678") * 5 + http2(PING, ACK, 0, bytes(8)),
    "push": SET + http2(PUSH, WHOLE, 1, b"\0\0\0\2" + GET2) + answers(2) + answers(1),
    "wrong-length": SET + says(1, b"200", (b"content-length", b"5")) + http2(DATA, LAST, 1, ANSWER2),
    "malformed": SET + says(1, b"200", (b"Upper", b"x")) + says(3, b"2000") + says(5, b"abc") + answers(7),
    "too-large": SET + says(1, b"200") + http2(DATA, 0, 1, bytes(16384)) * 3 + http2(DATA, 0, 1, bytes(16383))
                 + http2(DATA, LAST, 1, b"ab"),
    "continued": SET + http2(HEADERS, 0, 1, field(b":status", b"200")) + http2(CONTINUATION, WHOLE, 1, field(*MESSAGE2))
                 + http2(DATA, LAST, 1, ANSWER2),
    "continued-much": SET + http2(HEADERS, 0, 1, field(b":status", b"200")) + http2(CONTINUATION, 0, 1) * 10,
    "bomb": SET + http2(HEADERS, LAST | WHOLE, 1, field(b":status", b"200") + b"\x40" + field(b"n", b"v" * 100)[1:]
                        + b"\xbe" * 130),
    "padded": SET + http2(HEADERS, 8 | WHOLE, 1, b"\3" + field(b":status", b"200") + bytes(3))
              + http2(DATA, 8 | LAST, 1, b"\5" + ANSWER2 + bytes(5)),
    "table-0": one_setting(1, 0) + answers(1) + answers(3),
    "frame-small": one_setting(5, 1) + answers(1),
    "http1": b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
}


def proxied(command, family, addresses, tail=b""):
    return (b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(">BBH", command, family, len(addresses + tail))
            + addresses + tail)


PORTS = struct.pack(">HH", 49152, 853)
PROXY_HEADERS = {
    "v1": b"PROXY TCP4 192.0.2.1 198.51.100.1 49152 853\r\n\0\x11",
    "v1-ipv6": b"PROXY TCP6 2001:db8::1 ::1 49152 853\r\n",
    "v1-unknown": b"PROXY UNKNOWN whatever\r\n",
    "v1-longest": b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n",
    "v1-too-long": b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    "v1-port": b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 853\r\n",
    "v1-cut": b"PROXY TCP4 192.0.2.1",
    "v2": proxied(0x21, 0x11, ADDRESS * 2 + PORTS) + b"\0\x11",
    "v2-ipv6": proxied(0x21, 0x22, bytes(range(32)) + PORTS),
    "v2-unix": proxied(0x21, 0x31, b"/" * 216),
    "v2-tlv": proxied(0x21, 0x12, ADDRESS * 2 + PORTS, b"\x04\0\1x"),
    "v2-local": proxied(0x20, 0, b""),
    "v2-dummy": proxied(0x20, 0x11, b"dummy"),
    "v2-short": proxied(0x21, 0x21, ADDRESS * 2 + PORTS),
    "v2-version": proxied(0x31, 0x11, ADDRESS * 2 + PORTS),
    "v2-long": proxied(0x21, 0x11, ADDRESS * 2 + PORTS + bytes(4080)),
    "question": b"\0\x1d" + bytes(29),
}


def write(target, files, prefix=b""):
    directory = HERE / target
    directory.mkdir(parents=True, exist_ok=True)
    for title, octets in files.items():
        (directory / title).write_bytes(prefix + octets)


write("query", QUERIES, b"\xff")  # room by the asker's size
write("query", {"room-" + str(room): bytes([room // 8]) + QUERIES["localhost"]
                for room in (0, 8, 16, 40, 64)})
write("response", RESPONSES, b"\0\0\x40")  # as asked; one room of 64 octets
write("response", {"other-type": b"\x9c\0\x40" + RESPONSES["address"],
                   "fixed-question": b"\xf0\0\x40" + RESPONSES["address"],
                   "room-0": b"\0\0\0" + RESPONSES["ede-200"],
                   "room-300": b"\0\1\x2c" + RESPONSES["ede-200"]})
write("kept", KEPT, b"\xff\0")
write("kept", RESPONSES | TTLS, b"\0\xff")  # TTLs of up to 2**31, 2**15 for negative answers
write("kept", {"bounds-" + name: b"\0\x2a" + RESPONSES[name]
               for name in ("addresses", "cname", "nxdomain", "nodata", "servfail-edes")})
write("frame", FRAMES)
write("cache", CACHES)
write("base64url", BASE64URL)
write("proxy_header", PROXY_HEADERS)
write("http1", HTTP1, b"\2")
write("http2", HTTP2, b"\0\xff")  # at once
write("http2", {"cut-" + name: b"\0\0" + HTTP2[name] for name in ("interleaved", "continued", "bomb")})
write("http2", {"late-" + name: b"\x04\x10" + HTTP2[name] for name in ("many", "reset", "make-reset")})
write("http2", {"large-" + name: b"\x0c\xff" + HTTP2[name] for name in ("many", "zero-window", "wide-window")})
write("http2", {"deaf-" + name: b"\x10\xff" + HTTP2[name] for name in ("many", "pings")})
write("http2", {"drained-" + name: b"\x24\x20" + HTTP2[name] for name in ("many", "acks", "goaway")})
write("http2", {"ended-" + name: b"\x44\x20" + HTTP2[name] for name in ("many", "interleaved")})
write("http2", {"poor-" + name: b"\x80\xff" + HTTP2[name] for name in ("many", "interleaved", "bomb")})
write("http2_client", HTTP2_CLIENT, b"\0\xff")
for title, first in {"cut": b"\0\0", "cancelled": b"\1\x20", "on": b"\2\x40", "early": b"\4\xff", "large": b"\x08\xff",
                     "deaf": b"\x10\x40", "pinged": b"\x22\x10", "between": b"\x42\xff", "poor": b"\x80\xff"}.items():
    write("http2_client", {title + "-" + name: first + HTTP2_CLIENT[name]
                           for name in ("answers", "interleaved", "refused", "leaves", "few-streams", "zero-window")}
          if title != "poor" else {"poor-" + name: first + HTTP2_CLIENT[name] for name in ("answers", "bomb", "leaves")})
