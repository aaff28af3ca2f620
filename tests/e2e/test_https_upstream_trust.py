# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# DNS over HTTPS as the way to an upstream: whom it is told, how that is configured, and what the
# administrator sees of it (rules C61-C66, E5, E86, E91).

import re
import subprocess

import dns.rcode
import pytest

from harness import configuration, wire
from harness.certificates import DAY, Authority
from harness.client import ask, assert_answered
from harness.process import binary
from harness.waiting import wait_for

pytest.importorskip("h2", reason="python3-h2 is not installed")

from harness.https_server import PATH, Reply  # noqa: E402


def entry(server, **changes):
    return configuration.describe(server) | changes


# Whom it is told.

TRUSTED = {
    "by name": ({}, {}),
    "by one of many names": ({"names": ("other.example", "dot.example")}, {}),
    "by the right pin": ({}, {"pins": ["A" * 43 + "=", "right"]}),
}
UNTRUSTED = {
    "wrong name": ({"names": ("other.example",)}, {}),
    "name of the address": ({"names": (), "ips": ("127.0.0.1",)}, {}),
    "expired": ({"valid": (-2 * DAY, -DAY)}, {}),
    "self-signed": ({"self_signed": True}, {}),
    "wrong pin": ({}, {"pins": ["A" * 43 + "="]}),
    "right pin, wrong name": ({"names": ("other.example",)}, {"pins": ["right"]}),
}


def face(start, serve_https, authority, case):
    how, changes = (TRUSTED | UNTRUSTED)[case]
    leaf = authority.leaf(**how)
    if "pins" in changes:
        changes = {"pins": [leaf.pin if pin == "right" else pin for pin in changes["pins"]]}
    server = serve_https(leaf)
    return start(entry(server, **changes), workers=1, timeouts={"query": "2s"}), server


@pytest.mark.parametrize("case", TRUSTED)
def test_who_proves_to_be_the_urls_host_is_asked(start, serve_https, authority, case):
    """C61-C66"""
    proxy, server = face(start, serve_https, authority, case)
    assert_answered(proxy, "trusted.example")
    assert server.asked("trusted.example") and not server.cleartext
    assert server.connections[0].hello.alpn == ["h2"]


@pytest.mark.parametrize("case", UNTRUSTED)
def test_who_does_not_is_told_nothing(start, serve_https, authority, case):
    """C61-C66: no request leaves, not even its headers."""
    proxy, server = face(start, serve_https, authority, case)
    answer = ask(proxy.address, "secret.example", edns=0)
    assert answer.rcode() == dns.rcode.SERVFAIL and set(wire.errors_of(answer)) & {22, 23}
    assert server.connections and not server.queries and not server.cleartext
    assert not any(one.begun for one in server.connections)


@pytest.mark.parametrize("trusted", [True, False])
def test_an_upstreams_own_authority_vouches_for_it(start, serve_https, authority, directory,
                                                   trusted):
    stranger = Authority(directory)
    server = serve_https((stranger if trusted else authority).leaf())
    proxy = start(entry(server, ca_file=str(stranger.file)), workers=1, timeouts={"query": "2s"})
    assert bool(ask(proxy.address, "own.example").answer) == trusted == bool(server.queries)


# What is found out at the start.

def check(proxy):
    return subprocess.run([binary(), "-t", "--connect", "-c", proxy.config_file], text=True,
                          capture_output=True, timeout=60, stdin=subprocess.DEVNULL)


def test_the_command_tells_that_it_works(prepare, https):
    result = check(prepare(https))
    assert result.returncode == 0 and not result.stderr, result
    assert re.search(rf"at 127\.0\.0\.1:{https.port}: ok \(.*TLS 1\.3.*\)", result.stdout), result
    https.wait(lambda it: it.connections[0].ended)
    request, = https.queries
    assert request.is_probe and request.id == 0


def test_the_command_tells_of_a_real_server_that_it_works(prepare, unbound):
    assert check(prepare(unbound([". NS a.example."], https=True))).returncode == 0


# What is wrong with a server, and what is said of it.
WRONG = {
    "another path": ({"on_query": lambda _: Reply(status=404)}, "answers HTTP 404 on /dns-query"),
    "another host": ({"on_query": lambda _: Reply(status=421)}, "answers HTTP 421 on /dns-query"),
    "no ALPN": ({"alpn": ()}, "does not speak HTTP/2"),
    "an old HTTP": ({"alpn": ("http/1.1",)}, "does not speak HTTP/2"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_command_tells_what_is_wrong(prepare, serve_https, case):
    """E86, E91"""
    script, reason = WRONG[case]
    server = serve_https(**script)
    result = check(prepare(server))
    assert result.returncode == 3, result
    assert f":{server.port}: {reason}" in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_at_a_start(prepare, serve_https, case):
    """E86, E91: in one line, though nobody asks."""
    script, reason = WRONG[case]
    server = serve_https(**script)
    proxy = prepare(server)
    proxy.launch()  # the server's script shall see the check
    proxy.wait_for_notification("READY=1")
    line, = wait_for(lambda: re.findall(r"warning: (.*)", proxy.log))
    assert f":{server.port}: {reason}" in line


def test_the_status_tells_what_was_asked(start, https, place):
    proxy = start(https, workers=1, control_socket=str(place / "control"))
    assert_answered(proxy, "status.example")
    status = dict(line.split(" ", 1) for line in proxy.ctl("status").splitlines())
    assert f"127.0.0.1:{https.port}" in status["upstream.0.address"]
    assert status["upstream.0.queries"] == status["upstream.0.answers"] == "1"


REFUSED = {
    "a name beside it": {"name": "dot.example"},
    "a port beside it": {"port": 443},
    "another scheme": {"url": "http://dot.example/dns-query"},
    "no scheme": {"url": "dot.example/dns-query"},
    "no host": {"url": "https:///dns-query"},
    "a port that is none": {"url": "https://dot.example:65536/dns-query"},
    "an account": {"url": "https://me:secret@dot.example/dns-query"},
    "no path": {"url": "https://dot.example"},
    "a fragment": {"url": "https://dot.example/dns-query#top"},
    "a space": {"url": "https://dot.example/dns query"},
    "an end of line": {"url": "https://dot.example/dns-query\nx:y"},
    "nothing in it": {"url": ""},
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_url_is_refused(prepare, case):
    proxy = prepare({"url": f"https://dot.example{PATH}", "addresses": ["127.0.0.1"]} |
                    REFUSED[case])
    result = subprocess.run([binary(), "-t", "-c", proxy.config_file], text=True,
                            capture_output=True, timeout=30)
    assert result.returncode == 2 and "dotproxy.conf:" in result.stderr, result
    assert "upstreams" in result.stderr
