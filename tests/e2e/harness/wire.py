# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# DNS messages as octets: what dnspython would not write, or not fast enough, and the answers of
# the scripted server, which can be told from each other by the name they were asked for.

import hashlib
import ipaddress
import random
import struct

import dns.edns
import dns.flags
import dns.message
import dns.rdataclass
import dns.rdatatype

KEEPALIVE = 11
PADDING = 12
COOKIE = 10
ECS = 8
NSID = 3
EDE = 15

HEADER = struct.Struct("!HHHHHH")


def query(name, rdtype="A", *, edns=None, payload=1232, do=False, options=(), **fields):
    """A query in octets. `edns`: version, None for no OPT; `options`: (code, octets) pairs.

    `fields`: id, flags (an integer that replaces RD alone), rdclass, ednsflags (replaces DO).
    """
    if (options or do) and edns is None:
        edns = 0
    message = dns.message.make_query(name, rdtype, fields.get("rdclass", "IN"))
    if edns is not None:
        message.use_edns(
            edns, fields.get("ednsflags", 0x8000 if do else 0), payload,
            options=[dns.edns.GenericOption(code, data) for code, data in options])
    message.id = fields.get("id", random.getrandbits(16))
    message.flags = fields.get("flags", dns.flags.RD)
    return message.to_wire()


def query_with(text, *options):
    """A query for the address of `text` with options in octets, as many and as long as they are."""
    return header(7, 0x0100, 1, additionals=1) + question(text) + opt(*options)


def header(ident, flags, questions=0, answers=0, authorities=0, additionals=0):
    return HEADER.pack(ident, flags, questions, answers, authorities, additionals)


def name(text):
    """A name in octets. Labels are separated by dots, nothing is escaped."""
    labels = [label.encode("latin-1") for label in text.strip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def question(text, rdtype=1, rdclass=1):
    return name(text) + struct.pack("!HH", rdtype, rdclass)


def record(owner, rdtype, rdata, ttl=60, rdclass=1):
    """A record; `owner` is text or octets (b"\\xc0\\x0c" points to the question)."""
    owner = owner if isinstance(owner, bytes) else name(owner)
    return owner + struct.pack("!HHIH", rdtype, rdclass, ttl, len(rdata)) + rdata


def option(code, data=b""):
    return struct.pack("!HH", code, len(data)) + data


def opt(*options, payload=1232, ttl=0):
    """An OPT record with options in octets."""
    data = b"".join(options)
    return b"\0" + struct.pack("!HHIH", 41, payload, ttl, len(data)) + data


def _name_end(message, at):
    """Where the name ends that begins at `at`, with a zero or with a pointer."""
    while 0 < message[at] < 0xC0:
        at += 1 + message[at]
    return at + (1 if message[at] == 0 else 2)


def question_end(message):
    """Where header and question of a message with one question end."""
    return _name_end(message, 12) + 4


def question_name(message):
    """The QNAME in lower case with a trailing dot; octets that are no text are escaped."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("latin-1").lower())
        at += 1 + message[at]
    return ".".join(labels) + "."


def question_type(message):
    return struct.unpack_from("!H", message, question_end(message) - 4)[0]


def set_id(message, ident):
    return struct.pack("!H", ident) + message[2:]


def address_of(text):
    """The IPv4 address that the scripted server gives a name: another one for each name."""
    digest = hashlib.sha1(text.lower().rstrip(".").encode("latin-1")).digest()
    return str(ipaddress.IPv4Address(bytes([10]) + digest[:3]))


def _rdata_of(text, rdtype):
    digest = hashlib.sha1(text.rstrip(".").encode("latin-1")).digest()
    if rdtype == 1:
        return bytes([10]) + digest[:3]
    if rdtype == 28:
        return bytes.fromhex("20010db8") + digest[:12]
    if rdtype == 16:
        return b"\x28" + digest.hex().encode()
    return None if rdtype < 1000 else digest


def answer(message, *, records=None, rcode=0, edns=True, options=(), flags=0x8080,
           authority=(), additional=()):
    """A good answer to the query `message`, its OPT included where the query had one.

    `records`: the answer section in octets, instead of the one record that the name gives.
    """
    end = question_end(message)
    asked_flags = struct.unpack_from("!H", message, 2)[0]
    if records is None:
        rdtype = question_type(message)
        rdata = _rdata_of(question_name(message), rdtype)
        records = [] if rdata is None or rcode else [record(b"\xc0\x0c", rdtype, rdata)]
    extra = list(additional)
    if edns and message[10:12] != b"\0\0":
        extra.append(opt(*options, ttl=(rcode >> 4) << 24))
    return b"".join([
        header(struct.unpack_from("!H", message)[0], flags | (asked_flags & 0x0110) | (rcode & 15),
               1, len(records), len(authority), len(extra)),
        message[12:end], *records, *authority, *extra])


def sized_answer(message, size):
    """A good answer of exactly `size` octets: TXT-like records of an unknown type, no OPT."""
    rest = size - question_end(message)
    rdtype, records = question_type(message), []
    while rest:
        take = min(rest, 16000)
        if 0 < rest - take < 13:
            take -= 13
        records.append(record(b"\xc0\x0c", rdtype, b"\x5a" * (take - 12)))
        rest -= take
    return answer(message, records=records, edns=False)


def parse(message):
    return dns.message.from_wire(message)


def is_answer(answer, query):
    """Whether a parsed answer belongs to a query, of which nothing behind the question need be
    well-formed: dnspython 2.7 parses options strictly."""
    bare = query[:6] + bytes(6) + query[12:question_end(query)]
    return parse(bare).is_response(answer)


def address_in(message):
    """The address in the one A record of an answer; None when there is none."""
    if message[6:8] != b"\0\1" or message[3] & 15:
        return None
    rdata = _name_end(message, question_end(message)) + 10
    return str(ipaddress.IPv4Address(message[rdata:rdata + 4]))


def options_of(message, code):
    """The data of each option of this code in a parsed message."""
    return [entry.to_wire() for entry in message.options if entry.otype == code]


def errors_of(message):
    """The info codes of the Extended DNS Errors in a parsed message (RFC 8914)."""
    return [struct.unpack_from("!H", data)[0] for data in options_of(message, EDE)]
