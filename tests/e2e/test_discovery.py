# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Who asks in the clear finds the encrypted ways to the same resolver, and can verify that they are
# (RFC 9462; E100 to E103).

import pytest

from harness.client import TlsClient, ask, tls_context
from harness.http import HttpsClient
from harness.waiting import free_port

NAME = "_dns.resolver.arpa"


@pytest.fixture
def start_with(start, upstream, authority):
    """dotproxy at `host` with DNS over TLS and HTTPS at the same address, on ports of their own."""
    def make(host="127.0.0.1", ips=("127.0.0.1",), **how):
        ports = {protocol: free_port() for protocol in ("plain", "dot", "doh")}
        proxy = start(upstream, workers=1, tls={
            "certificates": [authority.leaf(ips=ips).for_server()]}, listen=[
                (host, ports["plain"]),
                *({"address": host, "port": ports[one], "protocols": [one]}
                  for one in ("dot", "doh"))], **how)
        return proxy, ports
    return make


def bindings(address, **how):
    """What the answer says: {ALPN: (priority, target, {key: value})}, and its additional section."""
    answer = ask(address, NAME, "SVCB", **how)
    found = {}
    for rrset in answer.answer:
        assert rrset.name.to_text() == NAME + "." and rrset.ttl == 300
        for one in rrset:
            keys = {int(key): value for key, value in one.params.items()}
            found[keys[1].ids[0].decode()] = (one.priority, one.target.to_text(), keys)
    return found, answer.additional


def test_what_browsers_ask_before_they_do_without_is_asked_upstream(start_with, upstream):
    """E103: whether there is a filter that they are not to go around is for upstreams to say."""
    _, ports = start_with()
    assert ask(("127.0.0.1", ports["plain"]), "use-application-dns.net").answer
    assert upstream.asked("use-application-dns.net")


@pytest.mark.parametrize("transport", ("udp", "tcp"))
def test_what_is_found_answers_and_proves_to_be_the_same(start_with, authority, transport):
    _, ports = start_with()
    found, additional = bindings(("127.0.0.1", ports["plain"]), transport=transport)
    assert {alpn: rank for alpn, (rank, _, _) in found.items()} == {"h2": 1, "dot": 2}
    assert found["h2"][2][7].value == b"/dns-query{?dns}"
    assert [str(one) for one in additional] == ["dot.example. 300 IN A 127.0.0.1"]
    for alpn, client in (("dot", TlsClient), ("h2", HttpsClient)):
        _, target, keys = found[alpn]
        assert list(keys[4].addresses) == ["127.0.0.1"]
        context = tls_context(authority.file, protocols=(alpn,))
        with client((keys[4].addresses[0], keys[3].port), context,
                    name=target.rstrip(".")) as over_tls:
            shown = over_tls.socket.getpeercert()["subjectAltName"]
            assert ("IP Address", "127.0.0.1") in shown  # RFC 9462, section 4.2
            assert over_tls.ask("www.example").answer
            assert not over_tls.ask(NAME, "SVCB").answer  # plain listeners only


def test_of_a_wildcard_the_address_that_was_asked_counts(start_with):
    """E101: of another one that the certificate does not have nothing is said."""
    _, ports = start_with("0.0.0.0", ("127.0.0.2",))
    for transport in ("udp", "tcp"):
        found, additional = bindings(("127.0.0.2", ports["plain"]), transport=transport)
        assert set(found) == {"h2", "dot"} and "127.0.0.2" in str(additional[0])
        found, additional = bindings(("127.0.0.1", ports["plain"]), transport=transport)
        assert not found and not additional


def test_what_is_beside_it_does_not_exist_for_anybody(start_with):
    """RFC 9462, section 6.4; nothing of that is forwarded."""
    proxy, ports = start_with()
    for name, rtype in ((NAME, "A"), ("resolver.arpa", "SVCB"), ("x._dns.resolver.arpa", "SVCB"),
                        ("_dns.dot.example.resolver.arpa", "SVCB")):
        answer = ask(("127.0.0.1", ports["plain"]), name, rtype)
        assert answer.rcode() == 0 and not answer.answer
    assert proxy.counters()["local_answers"] == 4


def test_a_reload_finds_another_certificate(start_with, authority):
    proxy, ports = start_with(ips=())
    assert not bindings(("127.0.0.1", ports["plain"]))[0]
    proxy.write_configuration(tls={"certificates": [
        authority.leaf(("ns.example",), ips=("127.0.0.1",)).for_server()]})
    proxy.reload()
    found, _ = bindings(("127.0.0.1", ports["plain"]))
    assert {target for _, target, _ in found.values()} == {"ns.example."}
