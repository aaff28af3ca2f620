# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# At a start and at a reload, and for `dotproxy -t --connect`, every address of every upstream is
# connected to once, though nobody asks: what is wrong with one shows then, and not when it is needed.

import contextlib
import os
import pathlib
import pwd
import re
import signal
import socket
import subprocess

import pytest

from harness import configuration
from harness.blackhole import Blackhole
from harness.certificates import DAY
from harness.client import ask
from harness.network import in_own_network
from harness.process import binary, copy_for_anybody, has_sanitizer, kill
from harness.upstream import CLOSE_NOTIFY
from harness.waiting import free_port, in_time, wait_for

# A check that is to succeed, or to fail for another reason, has time for a machine that is away for a
# moment; one that is to take all the time there is does not make a test long.
CALM, BRIEF = {"timeouts": {"connect": "10s"}}, {"timeouts": {"connect": "4s"}}

NO_WAY = "127.255.255.255"  # connect(2) to a broadcast address fails as where there is no network


def entry(server, **changes):
    return configuration.describe(server) | changes


def silent(_):
    """A script: reads queries and answers none."""
    return None


def stall(_):
    """A script: the connection is accepted and there is no handshake."""
    return False


def warnings(proxy):
    return re.findall(r"warning: (.*)", proxy.log)


# What is wrong with a server's certificate or with what is configured, and what is said of it.
FAULTS = {
    "name": ({"names": ("other.example",)}, {}, "not for dot.example but for other.example"),
    "pin": ({}, {"pins": ["A" * 43 + "="]}, "pinned"),
    "expired": ({"valid": (-2 * DAY, -DAY)}, {}, "expired"),
    "authority": ({"self_signed": True}, {}, "issuer is unknown"),
}


@pytest.fixture(params=FAULTS)
def faulty(request, serve, authority):
    """A server that cannot be trusted, its entry in the configuration, and the reason."""
    certificate, changes, reason = FAULTS[request.param]
    server = serve(authority.leaf(**certificate))
    return server, entry(server, **changes), reason


@pytest.fixture
def blackhole():
    with contextlib.closing(Blackhole()) as hole:
        yield hole


# The service.

def test_what_is_wrong_is_said_at_a_start_and_at_a_reload(start, upstream, faulty):
    """In one line each time, by one of the workers, though nobody asks; the first one is well."""
    server, described, reason = faulty
    proxy = start(upstream, described, workers=3, **CALM)
    line = wait_for(lambda: warnings(proxy))[0]
    assert line.startswith(f"upstream dot.example at 127.0.0.1:{server.port}: ") and reason in line
    proxy.reload()
    wait_for(lambda: len(warnings(proxy)) == 2)
    assert proxy.stop() == 0
    assert warnings(proxy) == [line, line]
    assert len(server.checks) == len(upstream.checks) == 2
    assert not server.connections and not upstream.connections


def test_ordinary_use_does_not_say_it_again(start, faulty):
    server, described, _ = faulty
    proxy = start(described, workers=1, **CALM)
    wait_for(lambda: warnings(proxy))
    ask(proxy.address, "refused.example")
    assert server.connections and len(warnings(proxy)) == 1 and not server.queries


def test_of_what_works_nothing_is_said(start, serve):
    """Two addresses are two checks, whatever the number of workers."""
    servers = [serve(), serve()]
    proxy = start(*servers, workers=3, **CALM)
    proxy.reload()
    counted = proxy.counters()
    assert proxy.stop() == 0
    assert not warnings(proxy)
    for server in servers:
        assert len(server.checks) == 2 and not server.connections
        assert all(one.handshaken for one in server.checks)
    assert not any(key.startswith(("udp_", "tcp_", "queries_")) for key in counted), counted


def test_a_worker_in_place_of_another_checks_nothing(start, upstream):
    proxy = start(upstream, workers=1)
    for _ in range(2):
        before = proxy.workers()
        kill(before[0])
        wait_for(lambda: proxy.workers() and proxy.workers() != before)
        ask(proxy.address, "again.example")
    assert proxy.stop() == 0
    assert len(upstream.checks) == 1 and len(upstream.queries) == 2
    assert {query.name for query in upstream.queries} == {"again.example."}


def test_what_is_not_there_is_said_and_delays_nobody(start, upstream, blackhole):
    proxy = start(upstream, blackhole, {"name": "dot.example", "addresses": ["127.0.0.1"],
                                        "port": free_port()}, workers=1, **BRIEF)
    in_time(1, lambda: ask(proxy.address, "prompt.example"))
    wait_for(lambda: len(warnings(proxy)) == 2)
    assert any(line.endswith("Connection refused") for line in warnings(proxy))
    assert any(line.endswith("no connection in time") for line in warnings(proxy))


def test_a_server_that_answers_no_probe_is_said_to_and_still_asked(prepare, serve):
    """Some are good for questions and never answer that one: it is not held against them."""
    first = serve(on_query=lambda query: None if query.is_probe else query.answer())
    second = serve()
    proxy = prepare(first, second, workers=1, **BRIEF)
    proxy.launch()  # the first server's script shall see the check
    proxy.wait_for_notification("READY=1")
    line = wait_for(lambda: warnings(proxy))[0]
    assert line == f"upstream dot.example at 127.0.0.1:{first.port}: no answer to a probe"
    assert ask(proxy.address, "good.example").answer
    assert first.asked("good.example") and not second.asked("good.example")
    assert len(warnings(proxy)) == 1


def test_a_check_holds_up_neither_a_reload_nor_an_end(prepare, serve):
    server = serve(on_accept=stall)
    proxy = prepare(server, workers=2, timeouts={"connect": "15s"})
    proxy.launch()
    proxy.wait_for_notification("READY=1")
    server.wait(lambda it: len(it.connections) == 1)
    before = set(proxy.workers())
    proxy.send_signal(signal.SIGHUP)
    proxy.wait_for_notification("READY=1", 2)
    server.wait(lambda it: len(it.connections) == 2 and it.connections[0].ended)
    wait_for(lambda: not before & set(proxy.workers()))
    in_time(10, lambda: proxy.stop(), attempts=1)
    assert not warnings(proxy)


# The command.

@pytest.fixture
def check(directory, authority):
    """Runs `dotproxy -t --connect` for upstreams: its result, with the lines about addresses as
    `works` and `fails`, by their port."""
    def run(*upstreams, arguments=("-t", "--connect"), user=None, **changes):
        settings = configuration.merge(configuration.defaults(
            [("127.0.0.1", free_port())], upstreams, authority.file), CALM | changes)
        if has_sanitizer():
            settings["sandbox"] = "off"
        file = directory / "checked.conf"
        file.write_text(configuration.render(settings))
        program = copy_for_anybody(binary(), directory) if user else binary()
        result = subprocess.run([program, *arguments, "-c", file], capture_output=True, text=True,
                                timeout=60, stdin=subprocess.DEVNULL, user=user)
        result.works = dict(re.findall(r"^dot\.example at \S+:(\d+): ok (.*)$", result.stdout, re.M))
        result.fails = dict(re.findall(
            r"^dotproxy: error: upstream dot\.example at \S+:(\d+): (.*)$", result.stderr, re.M))
        return result
    return run


def test_the_command_tells_of_each_address_that_it_works(check, serve):
    servers = [serve(), serve()]
    result = check(*servers)
    assert result.returncode == 0 and not result.stderr
    assert set(result.works) == {str(server.port) for server in servers}
    assert all(re.fullmatch(r"\(TLS 1\.3, \d+ ms\)", told) for told in result.works.values())
    assert result.stdout.count("\n") == 3
    for server in servers:
        server.wait(lambda it: it.connections[0].ended)
        assert len(server.connections) == 1 and [query.is_probe for query in server.queries] == [True]


def assert_tells_of(result, good, port, reason):
    assert result.returncode == 3, result
    assert set(result.works) == {str(good.port)} and set(result.fails) == {str(port)}, result
    assert reason in result.fails[str(port)]
    assert result.stderr.count("\n") == 1


def test_the_command_tells_who_is_not_trusted(check, upstream, faulty):
    server, described, reason = faulty
    assert_tells_of(check(upstream, described), upstream, server.port, reason)


def test_the_command_tells_who_is_not_there(check, upstream, blackhole):
    port = free_port()
    assert_tells_of(check(upstream, entry(blackhole, port=port)), upstream, port,
                    "Connection refused")
    assert_tells_of(check(upstream, entry(upstream, addresses=[NO_WAY], port=port)), upstream, port,
                    "Network is unreachable")
    assert_tells_of(check(upstream, blackhole, **BRIEF), upstream, blackhole.port,
                    "no connection in time")


@pytest.mark.parametrize("script,reason", [
    ({"on_accept": stall}, "no TLS handshake in time"),
    ({"on_query": silent}, "no answer to a probe"),
    ({"on_ready": lambda one: one.close(CLOSE_NOTIFY)}, "closed by the upstream")])
def test_the_command_tells_who_is_silent(check, upstream, serve, script, reason):
    server = serve(**script)
    assert_tells_of(check(upstream, server, **BRIEF), upstream, server.port, reason)


def test_an_address_that_this_host_cannot_have_a_way_to_is_forgiven(check, upstream):
    """As to IPv6 where there is none: another address of the same upstream works."""
    result = check(entry(upstream, addresses=[NO_WAY, upstream.address]))
    assert result.returncode == 0 and str(upstream.port) in result.works
    assert result.stderr == f"dotproxy: warning: upstream dot.example at {NO_WAY}:" \
                            f"{upstream.port}: connect: Network is unreachable\n"


def owner_of(sock):
    """Whose the other end of an accepted socket is: its numeric user."""
    wanted = [f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}"
              for host, port in (sock.getpeername(), sock.getsockname())]
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        if line.split()[1:3] == wanted:
            return int(line.split()[7])
    raise AssertionError(f"nobody has {wanted}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_checks_as_the_account_that_serves(check, serve):
    """What strangers write is not read with root's rights, nor outside of the sandbox (L68)."""
    owners = []
    server = serve(on_accept=lambda one: owners.append(owner_of(one.socket)))
    assert check(server).returncode == 0
    assert owners == [pwd.getpwnam(configuration.USER).pw_uid]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network")
def test_the_first_octets_may_travel_in_the_first_packet(check, serve):
    """TCP Fast Open, from the second connection on: there is no wait before the handshake."""
    def fast_opens():
        names, values = pathlib.Path("/proc/thread-self/net/netstat").read_text().splitlines()[:2]
        return int(dict(zip(names.split(), values.split()))["TCPFastOpenActive"])

    def check_thrice():
        server = serve()
        server.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        statuses = [check(server).returncode for _ in range(3)]
        return statuses, fast_opens()
    assert in_own_network(check_thrice, tcp_fastopen=3) == ([0, 0, 0], 2)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_anybody_may_check(check, upstream):
    result = check(upstream, user=65534)
    assert result.returncode == 0 and str(upstream.port) in result.works, result


def test_a_service_that_runs_is_not_touched(place, start, upstream):
    proxy = start(upstream, workers=1, control_socket=str(place / "control"),
                  pid_file=str(place / "pid"))
    workers, left = proxy.workers(), sorted(os.listdir(place))
    pid = (place / "pid").read_text()
    result = subprocess.run([binary(), "-t", "--connect", "-c", proxy.config_file],
                            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert result.returncode == 0, result
    assert proxy.workers() == workers and sorted(os.listdir(place)) == left
    assert (place / "pid").read_text() == pid
    assert ask(proxy.address, "still.example").answer


def test_a_file_with_a_fault_is_not_tried(check, upstream):
    result = check(upstream, workers=-1)
    assert result.returncode == 2 and not upstream.connections


def test_without_t_there_is_nothing_to_connect_for(check, upstream):
    result = check(upstream, arguments=("--connect",))
    assert result.returncode == 2 and "-t" in result.stderr and not upstream.connections
