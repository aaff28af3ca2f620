# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# With programs that others wrote: unbound as the upstream; dig, kdig and dnsperf as clients.

import re
import shutil
import subprocess

import pytest

from harness import wire
from harness.client import ask, tcp
from harness.ipv6 import needs_ipv6
from harness.load import Load
from harness.waiting import free_port, wait_for

NAMES = 500
RECORDS = [
    "www.example. 300 IN A 192.0.2.80",
    "www.example. 300 IN AAAA 2001:db8::80",
    "alias.example. 300 IN CNAME www.example.",
    "text.example. 300 IN TXT \"some text\"",
    *(f"many.example. 300 IN A 192.0.2.{n}" for n in range(1, 201)),
    *(f"huge.example. 300 IN TXT \"{n:04} {'x' * 240}\"" for n in range(250)),
    *(f"name{n}.example. 300 IN A 192.0.2.1" for n in range(NAMES)),
]


@pytest.fixture
def resolver(unbound):
    return unbound(RECORDS)


@pytest.fixture
def proxy(start, resolver):
    return start(resolver)


@pytest.fixture
def dig(proxy):
    return lambda *arguments, **how: client("dig", proxy, *arguments, **how)


def client(program, proxy, *arguments, address=None):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    host, port = address or proxy.address
    result = subprocess.run([program, f"@{host}", "-p", str(port), *arguments],
                            capture_output=True, text=True, timeout=30)
    assert result.returncode == 0, result
    return result.stdout


def test_dig_is_answered(dig):
    for transport in ("+notcp", "+tcp"):
        assert dig("www.example", "A", "+short", transport) == "192.0.2.80\n"
        assert dig("www.example", "AAAA", "+short", transport) == "2001:db8::80\n"
        assert "status: NXDOMAIN" in dig("nothing.example", transport)
        assert "status: NOERROR" in dig("www.example", "MX", transport)
        assert "some text" in dig("text.example", "TXT", transport)


def test_dig_retries_truncated_answers(dig):
    """C23, C35: TC over UDP, then all of it over TCP."""
    cut = dig("many.example", "+ignore", "+noedns")
    assert re.search(r"flags:[^;]*\btc\b", cut) and "ANSWER: 0" in cut
    assert len(dig("many.example", "+short").splitlines()) == 200


def test_dig_keeps_its_connection(dig):
    """C4"""
    out = dig("+tcp", "+keepopen", "+short", "name1.example", "name2.example", "name3.example")
    assert out.splitlines() == ["192.0.2.1"] * 3


def test_huge_answers_pass(proxy, dig):
    """C24: 64 kB from a server that others wrote."""
    assert len(dig("huge.example", "TXT", "+tcp", "+short").splitlines()) == 250
    assert len(tcp(proxy.address, wire.query("huge.example", "TXT"))) > 60000


def test_kdig_is_answered(proxy):
    for arguments in ((), ("+tcp",), ("+edns", "+bufsize=512"), ("+padding",), ("+nocookie",),
                      ("+tcp", "+keepopen")):
        assert client("kdig", proxy, "+short", "www.example", "A", *arguments) == "192.0.2.80\n"


@needs_ipv6
def test_ipv6_clients_are_answered(start, resolver):
    proxy = start(resolver, listen=[("::1", free_port())])
    for transport in ("+notcp", "+tcp"):
        assert client("dig", proxy, "www.example", "+short", transport) == "192.0.2.80\n"


@pytest.mark.parametrize("mode", ["udp", "tcp"])
def test_dnsperf_loses_nothing(proxy, directory, mode):
    """1,000 queries at once, pipelined, twenty thousand in all."""
    if not shutil.which("dnsperf"):
        pytest.skip("dnsperf is not installed")
    names = directory / "names"
    names.write_text("".join(f"name{n % NAMES}.example A\n" for n in range(10000)))
    # Over UDP no more at once than a socket's buffer takes by default.
    outstanding = "100" if mode == "udp" else "1000"
    host, port = proxy.address
    result = subprocess.run(["dnsperf", "-s", host, "-p", str(port), "-d", str(names), "-n", "2",
                             "-m", mode, "-c", "10", "-q", outstanding, "-t", "10"],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result
    assert re.search(r"Queries lost:\s+0 ", result.stdout), result.stdout
    assert re.search(r"NOERROR 20000 ", result.stdout), result.stdout


def test_an_upstream_that_restarts_is_found_again(start, resolver):
    """C75: unbound killed and started anew; no restart of ours."""
    proxy = start(resolver, timeouts={"query": "4s"})
    assert ask(proxy.address, "www.example").answer
    resolver.close()
    assert ask(proxy.address, "www.example").rcode() != 0
    resolver.start()
    wait_for(lambda: ask(proxy.address, "www.example").answer, timeout=3)
    with Load(proxy.address, rate=100, prefix="name") as load:
        wait_for(lambda: len(load.asked) > 50)
    assert not load.lost


def test_questions_leave_verified_only(start, resolver):
    """C61: unbound's certificate is for another name."""
    entry = {"name": "other.example", "addresses": [resolver.address], "port": resolver.port}
    proxy = start(entry, timeouts={"query": "1s"})
    answer = ask(proxy.address, "www.example", edns=0)
    assert answer.rcode() == 2 and wire.errors_of(answer)
