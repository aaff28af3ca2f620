# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Whom dotproxy tells its questions: nobody who has not proved who he is (RFC 8310, strict profile;
# rules C60-C69, C72, G8-G11, G20, L38-L41).

import datetime
import pathlib
import ssl
import time

import dns.rcode
import pytest
from cryptography import x509

from harness import wire
from harness.certificates import CLIENT_AUTH, DAY, Authority, weak_key
from harness.client import ask, udp
from harness.client_hello import ClientHello
from harness.ipv6 import needs_ipv6
from harness.upstream import CLOSE_NOTIFY
from harness.waiting import wait_for

HOUR = DAY / 24


@pytest.fixture
def stranger(directory):
    """An authority that dotproxy does not trust, though it calls itself like the one it does."""
    return Authority(directory)


@pytest.fixture
def face(start, serve):
    """Puts dotproxy in front of one server: face(certificate, name, pins) -> (proxy, server)."""
    def make(certificate, name="dot.example", pins=(), **how):
        server = serve(certificate, **how)
        entry = {"addresses": [server.address], "port": server.port}
        entry |= {"name": name} if name else {}
        entry |= {"pins": list(pins)} if pins else {}
        return start(entry, workers=1, timeouts={"query": "1s", "connect": "500ms"}), server
    return make


def assert_trusted(proxy, server):
    answer = ask(proxy.address, "trusted.example", edns=0)
    assert [str(rdata) for rdata in answer.answer[0]] == [wire.address_of("trusted.example")]
    assert server.asked("trusted.example") and not server.cleartext


def assert_refused(proxy, server):
    """The client hears why, in time, and the server has heard nothing."""
    for transport in ("udp", "tcp"):
        answer = ask(proxy.address, "secret.example", edns=0, transport=transport)
        assert answer.rcode() == dns.rcode.SERVFAIL
        assert set(wire.errors_of(answer)) & {22, 23}
    assert server.connections and not server.queries and not server.cleartext


GOOD = {
    "by name": ({}, "dot.example"),
    "by name in other case": ({}, "DoT.Example"),
    "by name with a trailing dot": ({}, "dot.example."),
    "by one of many names": ({"names": ("a.example", "dot.example")}, "dot.example"),
    "by wildcard": ({"names": ("*.dot.example",)}, "a.dot.example"),
    "by IPv4 address": ({"names": (), "ips": ("127.0.0.1",)}, "127.0.0.1"),
    "by IPv6 address": ({"names": (), "ips": ("::1",)}, "::1"),
    "without key purpose": ({"purpose": None}, "dot.example"),
}


@pytest.mark.parametrize("case", [
    pytest.param(case, marks=needs_ipv6 if "IPv6" in case else ()) for case in GOOD])
def test_a_good_certificate_is_trusted(face, authority, case):
    """C63, C64, L41"""
    how, name = GOOD[case]
    proxy, server = face(authority.leaf(**how), name, address="::1" if ":" in name else "127.0.0.1")
    assert_trusted(proxy, server)
    sni = None if "by IP" in case else name.lower().rstrip(".")
    assert server.connections[0].sni == sni  # C67


BAD = {
    "wrong name": ({"names": ("other.example",)}, "dot.example"),
    "name below": ({"names": ("www.dot.example",)}, "dot.example"),
    "wildcard for two labels": ({"names": ("*.dot.example",)}, "b.a.dot.example"),
    "wildcard for no label": ({"names": ("*.dot.example",)}, "dot.example"),
    "wildcard within a label": ({"names": ("a*.dot.example",)}, "ab.dot.example"),
    "common name only": ({"names": (), "common_name": "dot.example"}, "dot.example"),
    "common name beside an address": (
        {"names": (), "ips": ("127.0.0.1",), "common_name": "dot.example"}, "dot.example"),
    "wrong address": ({"names": (), "ips": ("127.0.0.2",)}, "127.0.0.1"),
    "address as a DNS name": ({"names": ("127.0.0.1",)}, "127.0.0.1"),
    "address as the common name": ({"names": (), "common_name": "127.0.0.1"}, "127.0.0.1"),
    "expired": ({"valid": (-2 * DAY, -HOUR)}, "dot.example"),
    "not yet valid": ({"valid": (HOUR, DAY)}, "dot.example"),
    "self-signed": ({"self_signed": True}, "dot.example"),
    "for clients": ({"purpose": CLIENT_AUTH}, "dot.example"),
    "weak signature": ({"weakly_signed": True}, "dot.example"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_certificate_gets_no_query(face, authority, case):
    """C61, C63, C64, L39"""
    how, name = BAD[case]
    assert_refused(*face(authority.leaf(**how), name))


def test_a_weak_key_gets_no_query(face, authority):
    """C64, G10: RSA of 1,024 bits."""
    assert_refused(*face(authority.leaf(key=weak_key())))


def test_an_unknown_authority_gets_no_query(face, stranger):
    """C64"""
    assert_refused(*face(stranger.leaf()))


def test_a_certificate_in_a_strangers_chain_gets_no_query(face, stranger, authority):
    """C64: the root that we trust, merely presented."""
    assert_refused(*face(stranger.leaf(chain=[authority.certificate])))


def test_a_leaf_that_acts_as_authority_gets_no_query(face, authority, directory):
    """C64: a chain with a certificate in it that may not sign."""
    middle = authority.leaf()
    impostor = Authority(directory, "impostor")
    impostor.key, impostor.subject = middle.key, middle.certificate.subject
    assert_refused(*face(impostor.leaf(chain=[middle.certificate])))


@pytest.mark.parametrize("permitted,trusted", [("example", True), ("elsewhere", False)])
def test_name_constraints_hold(face, authority, permitted, trusted):
    """C64"""
    middle = authority.intermediate(f"limited to {permitted}", x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(permitted)], excluded_subtrees=None))
    leaf = middle.leaf(chain=[middle.certificate])
    (assert_trusted if trusted else assert_refused)(*face(leaf))


def test_a_wrong_name_is_told_with_the_names_there_are(face, authority):
    """The administrator sees at once whose certificate it is (L11: escaped and bounded)."""
    proxy, server = face(authority.leaf(names=("other.example", "more.example")))
    assert_refused(proxy, server)
    wait_for(lambda: "is not for dot.example but for other.example, more.example" in proxy.log)


# An authority for one upstream.

def entry(server, **more):
    return {"name": server.name, "addresses": [server.address], "port": server.port} | more


@pytest.mark.parametrize("trusted", [True, False])
def test_an_upstreams_own_authority_vouches_for_it_alone(start, serve, authority, stranger,
                                                         trusted):
    """Its file stands in place of the common one, for it and for nobody else."""
    own = serve(stranger.leaf() if trusted else authority.leaf())
    proxy = start(entry(own, ca_file=str(stranger.file)), workers=1, timeouts={"query": "1s"})
    (assert_trusted if trusted else assert_refused)(proxy, own)
    other = serve(stranger.leaf())
    beside = start(entry(other), entry(own, ca_file=str(stranger.file)), workers=1,
                   timeouts={"query": "1s"})
    ask(beside.address, "beside.example")
    assert not other.queries and bool(own.asked("beside.example")) == trusted


def test_an_upstreams_own_authority_is_read_again_at_a_reload(start, serve, directory, authority,
                                                              stranger):
    file = directory / "own.pem"
    file.write_text(pathlib.Path(authority.file).read_text())
    server = serve(stranger.leaf())
    proxy = start(entry(server, ca_file=str(file)), workers=1, timeouts={"query": "1s"})
    assert_refused(proxy, server)
    file.write_text(pathlib.Path(stranger.file).read_text())
    proxy.reload()
    assert_trusted(proxy, server)


# Pins (C65, C66).

OTHER_PIN = "A" * 43 + "="


@pytest.mark.parametrize("name", ["dot.example", ""])
def test_the_right_pin_is_trusted(face, authority, name):
    """C65: one of several, with and without a name."""
    leaf = authority.leaf()
    assert_trusted(*face(leaf, name, [OTHER_PIN, leaf.pin]))


@pytest.mark.parametrize("name", ["dot.example", ""])
def test_the_wrong_pin_gets_no_query(face, authority, name):
    """C65, C66"""
    assert_refused(*face(authority.leaf(), name, [OTHER_PIN]))


def test_a_pin_of_the_validated_chain_is_trusted(face, authority):
    """C65: the authority's."""
    assert_trusted(*face(authority.leaf(), pins=[authority.pin]))


@pytest.mark.parametrize("name", ["dot.example", ""])
def test_a_pinned_certificate_merely_presented_gets_no_query(face, authority, stranger, name):
    """G11, L40: the forged chain, by a stranger and by somebody whom our authority knows."""
    pinned = authority.leaf()
    for forger in (stranger, authority):
        assert_refused(*face(forger.leaf(chain=[pinned.certificate]), name, [pinned.pin]))


def test_name_and_pin_must_both_hold(face, authority, stranger):
    """C66: the right pin with another name, an expired certificate, an unknown authority."""
    for leaf in (authority.leaf(names=("other.example",)), authority.leaf(valid=(-DAY, -HOUR)),
                 stranger.leaf()):
        assert_refused(*face(leaf, pins=[leaf.pin]))


def test_a_bad_certificate_with_the_right_pin_gets_no_query(face, authority):
    """C64, C65: where there is a pin and no name."""
    for how in ({"valid": (-DAY, -HOUR)}, {"valid": (HOUR, DAY)}, {"purpose": CLIENT_AUTH}):
        leaf = authority.leaf(**how)
        assert_refused(*face(leaf, "", [leaf.pin]))


# Resumption (G8, L38).

def test_a_resumed_session_is_verified_again(face, authority):
    """G8: a certificate that was good at the full handshake and expires before the resumed one."""
    proxy, server = face(authority.leaf())
    # Not before all is ready, however long that took.
    leaf = authority.leaf(valid=(-DAY, datetime.timedelta(seconds=4)))
    server.use(leaf)
    expires = leaf.certificate.not_valid_after
    assert_trusted(proxy, server)
    # The last second counts as valid, and the clock of time() may be a few milliseconds late.
    wait_for(lambda: datetime.datetime.utcnow() > expires + datetime.timedelta(seconds=1.2))
    for connection in server.open_connections:
        connection.close(CLOSE_NOTIFY)
    answer = ask(proxy.address, "secret.example", edns=0)
    assert answer.rcode() == dns.rcode.SERVFAIL and not server.asked("secret.example")
    assert len(server.connections) > 1


def test_tickets_belong_to_one_identity(start, serve, leaf):
    """L37, L38: two upstreams at one address; the certificate is good for one of them only."""
    server = serve()
    other = {"name": "other.example", "addresses": [server.address], "port": server.port}
    proxy = start(server, other, workers=1, timeouts={"query": "1s"})
    assert_trusted(proxy, server)
    for _ in range(3):
        server.open_connections[0].close(CLOSE_NOTIFY)
        ask(proxy.address, f"again{time.monotonic_ns()}.example")
    assert {connection.sni for connection in server.connections
            if connection.queries} == {"dot.example"}


# The handshake.

def test_garbage_instead_of_a_handshake_gets_no_cleartext(face, leaf):
    """C60"""
    def garbage(connection):
        connection.send_wire(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        return False
    proxy, server = face(leaf, on_accept=garbage)
    assert_refused(proxy, server)
    assert all(connection.octets < 2000 for connection in server.connections)


def test_a_reset_handshake_gets_no_cleartext(face, leaf):
    """C60"""
    proxy, server = face(leaf, on_accept=lambda connection: connection.close("rst"))
    assert_refused(proxy, server)


def test_alpn_is_offered_and_not_demanded(face, leaf):
    """C68"""
    for offered, chosen in ((("dot",), "dot"), ((), None), (("h2",), None)):
        proxy, server = face(leaf, alpn=offered)
        assert_trusted(proxy, server)
        assert server.connections[0].alpn == chosen
        assert server.connections[0].hello.alpn == ["dot"]


@pytest.mark.parametrize("version,trusted", [
    (ssl.TLSVersion.TLSv1_3, True), (ssl.TLSVersion.TLSv1_2, True),
    (ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1, False)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_is_1_3_or_1_2(face, leaf, version, trusted):
    """C69"""
    def limit(context):
        context.minimum_version = context.maximum_version = version
    (assert_trusted if trusted else assert_refused)(*face(leaf, prepare=limit))


def test_the_hello_offers_nothing_weak(face, leaf):
    """C69, C72: no early data, no compression, no old version, no static RSA, CBC or 3DES; also
    when a session is resumed."""
    proxy, server = face(leaf)
    assert_trusted(proxy, server)
    server.connections[0].close(CLOSE_NOTIFY)
    udp(proxy.address, wire.query("again.example"))
    assert len(server.handshakes) == 2 and server.handshakes[1].resumed
    for connection in server.handshakes:
        hello = connection.hello
        assert not hello.has(ClientHello.EARLY_DATA)
        assert hello.compression == b"\0"
        assert set(hello.versions) <= {0x0304, 0x0303}
        assert not set(hello.ciphers) & {0x002f, 0x0035, 0x000a, 0xc013, 0xc014, 0x009c, 0x009d}
