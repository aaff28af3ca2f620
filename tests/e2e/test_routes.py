# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Groups of upstreams, and routes: who is asked about what, and who never hears of it.

import re
import subprocess

import dns.message
import dns.tsigkeyring
import pytest
from dns.rcode import NOERROR, NXDOMAIN, REFUSED, SERVFAIL

from harness import configuration, wire
from harness.client import ask, tcp
from harness.load import Load
from harness.process import binary
from harness.upstream import RESET
from harness.waiting import wait_for

DOMAINS = {"corp": ["corp.example", "10.in-addr.arpa"], "default": ["www.corp.example"]}


def routes(domains):
    return [{"domains": names, "group": group} for group, names in domains.items()]


def of_group(server, group="corp"):
    return configuration.describe(server) | {"group": group}


def says(number):
    """A script: answers every question with this RCODE."""
    return lambda query: wire.answer(query.raw, rcode=number)


@pytest.fixture
def divided(start, serve):
    """dotproxy with an upstream for all and one of a group:
    divided(script of the latter, domains) -> (proxy, the first, the other)."""
    def make(script=None, domains=DOMAINS, **how):
        everybody, corp = serve(), serve(**({"on_query": script} if script else {}))
        proxy = start(everybody, of_group(corp), **{"workers": 1, "routes": routes(domains)} | how)
        return proxy, everybody, corp
    return make


def close(query):
    """A script: ends the connection in place of an answer."""
    query.connection.close(RESET)


def status(proxy):
    return dict(line.split(" ", 1) for line in proxy.ctl("status").splitlines())


def names_of(server):
    return [query.name for query in server.queries]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_the_longest_route_says_who_is_asked(divided, transport):
    proxy, everybody, corp = divided()
    for name in ("corp.example", "a.b.Corp.Example", "1.0.0.10.in-addr.arpa"):
        assert ask(proxy.address, name, transport=transport).rcode() == NOERROR
    for name in ("example", "xcorp.example", "www.corp.example", "a.www.corp.example", "."):
        assert ask(proxy.address, name, transport=transport).rcode() == NOERROR
    assert len(names_of(corp)) == 3 and len(names_of(everybody)) == 5
    assert {name.lower() for name in names_of(corp)} == {
        "corp.example.", "a.b.corp.example.", "1.0.0.10.in-addr.arpa."}


def test_a_signed_query_goes_where_the_route_leads(divided):
    """C25"""
    proxy, everybody, corp = divided(
        lambda query: wire.header(query.id, 0x8180, 1) + wire.question("signed.corp.example"))
    message = dns.message.make_query("signed.corp.example", "A")
    message.use_tsig(dns.tsigkeyring.from_text({"key.example.": "c2VjcmV0IHNlY3JldCBzZWNyZXQ="}))
    assert tcp(proxy.address, message.to_wire())[3] & 15 == NOERROR
    assert corp.asked("signed.corp.example") and not everybody.queries


@pytest.mark.parametrize("script, expected", [
    (says(SERVFAIL), SERVFAIL), (says(REFUSED), REFUSED), (close, SERVFAIL)])
def test_nobody_stands_in_for_a_group(divided, script, expected):
    """The other way round as well: a name of one's own is not told to others, nor asked of others
    what is not theirs."""
    proxy, everybody, corp = divided(script)
    assert ask(proxy.address, "a.corp.example").rcode() == expected
    assert corp.asked("a.corp.example") and not everybody.queries
    everybody.on_query = script
    assert ask(proxy.address, "a.example").rcode() == expected
    assert everybody.asked("a.example") and not corp.asked("a.example")


def test_within_a_group_the_next_one_is_asked(start, serve):
    everybody, first, second = serve(), serve(on_query=says(SERVFAIL)), serve()
    proxy = start(everybody, of_group(first), of_group(second), workers=1,
                  routes=routes({"corp": ["corp.example"]}))
    answer = ask(proxy.address, "a.corp.example")
    assert answer.answer[0][0].address == wire.address_of("a.corp.example")
    assert first.asked("a.corp.example") and second.asked("a.corp.example")
    assert not everybody.queries


def test_a_group_that_is_away_is_no_trouble_of_the_others(divided):
    """What it is asked fails, and everything else is answered as ever."""
    proxy, everybody, corp = divided(timeouts={"query": "2s"})
    corp.close()
    with Load(proxy.address, rate=100) as load:
        wait_for(lambda: len(load.asked) > 20)
        assert ask(proxy.address, "a.corp.example").rcode() == SERVFAIL
        wait_for(lambda: len(load.asked) > 60)
    load.assert_flawless()
    assert not everybody.asked("a.corp.example")


def test_a_route_goes_before_what_is_answered_here(divided):
    """RFC 6303, section 3; RFC 8375, section 4; RFC 8020 for what leads to it."""
    domains = {"corp": ["1.10.in-addr.arpa", "home.arpa", "service.onion", "arpa"]}
    proxy, everybody, corp = divided(says(NOERROR), domains, local_zones=True)
    for name in ("7.1.10.in-addr.arpa", "nas.home.arpa", "a.service.onion", "2.10.in-addr.arpa",
                 "1.192.in-addr.arpa"):
        ask(proxy.address, name)
        assert corp.asked(name), name
    asked = len(corp.queries)
    for name in ("localhost", "a.localhost", "x.invalid", "y.onion", "_dns.resolver.arpa"):
        ask(proxy.address, name)
    above = ask(proxy.address, "onion")
    assert above.rcode() == NOERROR and len(corp.queries) == asked and not everybody.queries


def test_what_leads_to_a_name_of_ones_own_exists(divided):
    proxy, everybody, corp = divided(domains={"corp": ["2.1.10.in-addr.arpa"]}, local_zones=True)
    assert ask(proxy.address, "1.10.in-addr.arpa", "PTR").rcode() == NOERROR
    assert ask(proxy.address, "3.10.in-addr.arpa", "PTR").rcode() == NXDOMAIN
    assert not corp.queries and not everybody.queries


def test_a_ds_is_asked_of_who_has_the_zone_above(divided):
    """RFC 4035, section 3.1.4.1"""
    proxy, everybody, corp = divided()
    ask(proxy.address, "corp.example", "DS")
    assert everybody.asked("corp.example") and not corp.queries
    ask(proxy.address, "sub.corp.example", "DS")
    assert corp.asked("sub.corp.example")
    ask(proxy.address, "www.corp.example", "DS")
    assert corp.asked("www.corp.example")


def test_a_ds_of_a_single_label_is_not_asked_of_the_root(divided):
    """RFC 8198: who hears that there is no such name asks for nothing below."""
    proxy, everybody, corp = divided(domains={"corp": ["lan"]})
    ask(proxy.address, "lan", "DS")
    assert corp.asked("lan") and not everybody.queries


def test_what_one_group_answered_is_not_for_another(divided, place):
    """The cache outlives the reload; the answers of a group are kept for it."""
    proxy, everybody, corp = divided(cache={"size": "1M"}, control_socket=str(place / "control"))
    for _ in range(2):
        assert ask(proxy.address, "a.corp.example").answer
        assert ask(proxy.address, "a.example").answer
    assert len(corp.asked("a.corp.example")) == len(everybody.asked("a.example")) == 1
    proxy.write_configuration(routes=routes({"corp": ["a.example"]}))
    proxy.reload()
    for _ in range(2):
        assert ask(proxy.address, "a.corp.example").answer
        assert ask(proxy.address, "a.example").answer
    assert len(everybody.asked("a.corp.example")) == len(corp.asked("a.example")) == 1
    proxy.write_configuration(routes=routes(DOMAINS))
    proxy.reload()
    ask(proxy.address, "a.corp.example")
    ask(proxy.address, "a.example")
    assert len(corp.asked("a.corp.example")) == len(everybody.asked("a.example")) == 1


def test_every_upstream_of_every_group_is_checked(divided):
    proxy, everybody, corp = divided()
    wait_for(lambda: len(re.findall("upstream .*: works", proxy.log)) == 2)
    assert len(everybody.checks) == len(corp.checks) == 1


def test_routes_are_shown(divided, place):
    proxy, _, corp = divided(control_socket=str(place / "control"))
    lines = status(proxy)
    assert lines["group.corp"] == "corp.example, 10.in-addr.arpa"
    assert lines["upstream.1.group"] == "corp" and "upstream.0.group" not in lines
    ask(proxy.address, "a.corp.example")
    lines = status(proxy)
    assert lines["upstream.1.queries"] == "1"
    assert lines["upstream.0.queries"] == "0"
    tested = subprocess.run([binary(), "-t", "-c", proxy.config_file], check=True, text=True,
                            capture_output=True, timeout=20)
    assert "group corp: asked about corp.example, 10.in-addr.arpa\n" in tested.stdout
    assert "nothing is asked" not in tested.stderr
    proxy.write_configuration(routes=[])
    tested = subprocess.run([binary(), "-t", "-c", proxy.config_file], check=True, text=True,
                            capture_output=True, timeout=20)
    assert 'upstreams: nothing is asked of the group "corp"; give it domains' in tested.stderr
