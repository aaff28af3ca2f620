# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
"""signed_zone.py DIRECTORY: a signed zone to validate with, signed.example, as signed.zone, and its key
as signed.anchor. secure.signed.example has a signature, and that of bogus.signed.example is wrong."""

import pathlib
import sys
import time

import dns.dnssec
import dns.name
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import ec

DAY = 24 * 3600
TTL = 300
ZONE = dns.name.from_text("signed.example.")

key = ec.generate_private_key(ec.SECP256R1())
dnskey = dns.dnssec.make_dnskey(
    key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, flags=257
)


def rrset(name, rrtype, rdata):
    return dns.rrset.from_text(name, TTL, "IN", rrtype, rdata)


def signature(signed):
    now = int(time.time())
    rrsig = dns.dnssec.sign(signed, key, ZONE, dnskey, inception=now - DAY, expiration=now + 30 * DAY)
    return dns.rrset.from_rdata(signed.name, TTL, rrsig)


keys = dns.rrset.from_rdata(ZONE, TTL, dnskey)
secure = rrset("secure.signed.example.", "A", "192.0.2.3")
bogus = rrset("bogus.signed.example.", "A", "192.0.2.4")
records = [
    rrset("signed.example.", "SOA", "ns.signed.example. root.signed.example. 1 3600 600 86400 300"),
    rrset("signed.example.", "NS", "ns.signed.example."),
    keys,
    signature(keys),
    secure,
    signature(secure),
    bogus,
    signature(rrset("bogus.signed.example.", "A", "192.0.2.5")),
]
directory = pathlib.Path(sys.argv[1])
(directory / "signed.zone").write_text("".join(f"{record}\n" for record in records))
(directory / "signed.anchor").write_text(f"{keys}\n")
