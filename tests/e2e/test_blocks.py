# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Whoever floods is blocked by the kernel (limits 19 to 26 and 58). Rates are so low here that no
# machine is too slow to be a flood, and tests wait for what is said, not for times.

import contextlib
import ctypes
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys

import pytest

from harness import wire
from harness.client import TcpClient, ask, udp_socket
from harness.configuration import USER
from harness.ipv6 import needs_ipv6
from harness.network import ip, with_sources
from harness.process import has_ended, kill, passing
from harness.waiting import PATIENCE, free_port, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network")

GREEDY, CALM = "10.0.0.1", "10.0.0.2"
GREEDY_6, CALM_6 = "fd00:7::1", "fd00:7::2"
SO_GET_FILTER = 26
OPTION_MEMORY = pathlib.Path("/proc/sys/net/core/optmem_max")
# A decision takes ten seconds in a row, and a machine may be away in one of them.
LONG = 90


def in_network(action):
    with_sources(["10.0.0.0/8", "fd00:7::/64"], action)


@pytest.fixture
def control(place, prepare, serve):
    """Prepares an instance with a control socket and one worker."""
    def make(**how):
        return prepare(serve(), **{"workers": 1, "control_socket": str(place / "control"),
                                   "cache": {"size": "1M"}} | how)
    return make


def instructions(number):
    """How many the program at a socket has."""
    size = ctypes.c_uint(0)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.getsockopt(number, socket.SOL_SOCKET, SO_GET_FILTER, None, ctypes.byref(size)) == 0
    return size.value


def filters(proxy):
    """Those of all sockets that the program has."""
    return [instructions(number) for number in proxy.kept["listen"]]


def expect_answer(address, source):
    with udp_socket(address, source) as sock:
        sock.send(wire.query("same.example"))
        assert wire.address_in(sock.recv(65536)) == wire.address_of("same.example")


def is_dropped(address, source, by):
    """Whether a question from `source` gets no answer by the time when one of `by` has, which is
    asked after it: there is one worker, and nobody waits for an upstream."""
    ask(address, "same.example")
    with udp_socket(address, source) as sock:
        sock.send(wire.query("same.example"))
        with udp_socket(address, by) as other:
            other.send(wire.query("same.example"))
            assert wire.address_in(other.recv(65536)) == wire.address_of("same.example")
        return not select.select([sock], [], [], 0)[0]


_ATTACHES = """
import ctypes, socket, struct
program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0xffffffff))
socket.socket().setsockopt(socket.SOL_SOCKET, 26, struct.pack("HP", 1, ctypes.addressof(program)))
"""


def filters_streams():
    """Whether the kernel takes programs at TCP sockets from an account without privileges."""
    return subprocess.run([sys.executable, "-c", _ATTACHES], user=USER, stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def drops(proxy, everything=True):
    """Whether a program is at all sockets where there is one to be."""
    streams = everything and filters_streams()
    return [number > 0 for number in filters(proxy)] == [True, streams] * (
        len(proxy.kept["listen"]) // 2)


def is_answered_over_tcp(address, source, by):
    """Whether `source` gets an answer before one of `by`, asked for after it, does."""
    with socket.socket() as sock:
        sock.bind((source, 0))
        sock.setblocking(False)
        sock.connect_ex(address)
        with TcpClient(address, source=by) as first:
            first.send(wire.query("tcp.example"))
            assert wire.parse(first.receive()).rcode() == 0
        message = wire.query("tcp.example")
        with contextlib.suppress(OSError):
            sock.send(len(message).to_bytes(2, "big") + message)
        with TcpClient(address, source=by) as other:
            other.send(wire.query("tcp.example"))
            assert wire.parse(other.receive()).rcode() == 0
        try:
            return bool(sock.recv(1))
        except OSError:
            return False


def test_what_is_blocked_the_kernel_drops(control):
    """Over UDP and TCP, and nobody reads it; another address of the same network is answered."""
    def check():
        proxy = control().start()
        expect_answer(proxy.address, GREEDY)
        assert filters(proxy) == [0, 0]
        with TcpClient(proxy.address, source=GREEDY) as open_before, \
                TcpClient(proxy.address, source=CALM) as other:
            open_before.send(wire.query("tcp.example"))
            assert open_before.receive()
            proxy.ctl("block", GREEDY)
            assert drops(proxy)
            before = proxy.counters()
            assert is_dropped(proxy.address, GREEDY, CALM)
            assert not is_answered_over_tcp(proxy.address, GREEDY, CALM)
            after = proxy.counters()
            assert after["udp_queries"] - before["udp_queries"] == 2
            assert after["blocked_dropped"] >= 1 and after["blocked"] == 1
            assert open_before.is_closed_by_peer()
            other.send(wire.query("tcp.example"))
            assert other.receive()
        assert re.fullmatch(rf"block {GREEDY} left=\d+ what=all by=dotproxyctl\n",
                            proxy.ctl("limits"))
        assert f"blocks {GREEDY} for 60 s: told to by dotproxyctl" in proxy.log
        proxy.ctl("unblock", GREEDY)
        assert filters(proxy) == [0, 0]
        expect_answer(proxy.address, GREEDY)
        assert is_answered_over_tcp(proxy.address, GREEDY, CALM)
        assert re.search(rf"no longer blocks {GREEDY}, after \d+ s, as dotproxyctl says; "
                         r"\d+ datagrams were dropped", proxy.log)
    in_network(check)


def test_one_of_many_is_unblocked(control):
    """limits 58. Of both families, at sockets that take both."""
    def check():
        proxy = control(listen=[("::", free_port()), ("0.0.0.0", free_port())]).start()
        v6, v4 = ("::1", proxy.listen[0][1]), ("127.0.0.1", proxy.listen[1][1])
        for number in range(3, 100):
            proxy.ctl("block", f"10.9.{number}.0/24", "1h")
        proxy.ctl("block", "10.0.0.0/31")
        proxy.ctl("block", GREEDY_6)
        assert is_dropped(v4, GREEDY, CALM)
        assert is_dropped(v4, "10.9.77.7", CALM)
        assert is_dropped(v6, GREEDY_6, CALM_6)
        proxy.ctl("unblock", "10.9.77.0/24")
        expect_answer(v4, "10.9.77.7")
        assert is_dropped(v4, "10.9.76.7", CALM)
        proxy.ctl("unblock", GREEDY_6)
        expect_answer(v6, GREEDY_6)
        assert is_dropped(v4, GREEDY, CALM)
        assert len(proxy.ctl("limits").splitlines()) == 97
    in_network(check)


@needs_ipv6
def test_at_a_socket_of_both_families_too(control):
    """As a service manager may pass one: IPv4 comes in there as what it is (limits 21)."""
    def check():
        port = free_port()
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(("::", port))
            proxy = control(listen=[("::", port)], **passing([sock.fileno()])).start()
            v6, v4 = ("::1", port), ("127.0.0.1", port)
            expect_answer(v4, GREEDY)
            proxy.ctl("block", GREEDY)
            proxy.ctl("block", GREEDY_6)
            assert is_dropped(v4, GREEDY, CALM)
            assert is_dropped(v6, GREEDY_6, CALM_6)
            assert "blocked_refused" not in proxy.counters()
            assert proxy.stop() == 0
            assert instructions(sock.fileno()) == 0
    in_network(check)


def test_workers_refuse_whom_the_kernel_has_no_room_for(control):
    """Where a program may be small only, as by default before Linux 6.8."""
    def check():
        try:
            OPTION_MEMORY.write_text("2000")
        except OSError:
            pytest.skip("this network has no setting of its own")
        proxy = control().start()
        for number in range(3, 160, 2):  # none beside another: they would be one
            proxy.ctl("block", f"10.9.{number}.0/24")
        proxy.ctl("block", GREEDY)
        assert 0 < filters(proxy)[0] < 100
        assert "blocked_refused" not in proxy.counters()
        assert is_dropped(proxy.address, GREEDY, CALM)
        assert proxy.counters()["blocked_refused"] == 1
        assert is_dropped(proxy.address, "10.9.3.7", CALM)
        assert proxy.counters()["blocked_refused"] == 1
        assert not is_answered_over_tcp(proxy.address, GREEDY, CALM)
    in_network(check)


def test_what_finds_no_room_is_not_counted_as_blocked(control):
    """limits 32, 51: each datagram that is dropped is in one counter, whoever dropped it."""
    def check():
        proxy = control().start()
        proxy.ctl("block", GREEDY)
        worker, = proxy.workers()
        os.kill(worker, signal.SIGSTOP)
        with udp_socket(proxy.address, CALM) as calm, udp_socket(proxy.address, GREEDY) as greedy:
            for _ in range(7):
                greedy.send(wire.query("same.example"))
            while not (counters := proxy.counters()).get("udp_receive_drops"):
                for _ in range(1000):
                    calm.send(wire.query("same.example"))
            for _ in range(5):
                greedy.send(wire.query("same.example"))
        assert counters["blocked_dropped"] == 7
        assert counters["udp_queue"] > 100_000
        os.kill(worker, signal.SIGCONT)
        assert proxy.counters()["blocked_dropped"] == 12
    in_network(check)


def test_a_block_ends_by_itself(control):
    """And nothing of it is left in the kernel (limits 58)."""
    def check():
        proxy = control().start()
        proxy.ctl("block", GREEDY, "1s")
        wait_for(lambda: filters(proxy) == [0, 0])
        expect_answer(proxy.address, GREEDY)
        assert proxy.ctl("limits") == ""
        wait_for(lambda: f"no longer blocks {GREEDY}, after " in proxy.log)
        assert "blocked" not in proxy.counters()
    in_network(check)


def test_some_are_never_blocked(control):
    """limits 23"""
    def check():
        ip("addr", "add", "10.1.0.1/32", "dev", "lo")
        proxy = control(limits={"networks": [{"prefix": "10.8.0.0/16", "factor": 0}]}).start()
        for prefix in ["127.0.0.1", "127.0.0.0/8", "::1", "0.0.0.0/0", "::/0", "10.1.0.1",
                       "10.1.0.0/16", "10.8.3.0/24", "10.8.0.0/15"]:
            result = proxy.run_ctl("block", prefix)
            assert result.returncode == 1 and "is never blocked" in result.stderr, prefix
        assert filters(proxy) == [0, 0]
        proxy.ctl("block", "10.2.0.1")
        ip("addr", "add", "10.2.0.1/32", "dev", "lo")
        wait_for(lambda: filters(proxy) == [0, 0], what="the end of a block of an own address")
        result = proxy.run_ctl("unblock", GREEDY)
        assert result.returncode == 1 and "it is not blocked" in result.stderr
    in_network(check)


def test_a_block_survives_a_crash_and_a_reload(control):
    """limits 25 and 58. New sockets drop as the old ones do."""
    def check():
        proxy = control().start()
        proxy.ctl("block", GREEDY)
        victim, = proxy.workers()
        kill(victim)
        wait_for(lambda: victim not in proxy.workers() and proxy.workers())
        assert is_dropped(proxy.address, GREEDY, CALM)
        other = free_port()
        proxy.write_configuration(listen=[*proxy.settings["listen"],
                                          {"address": "127.0.0.1", "port": other}])
        proxy.reload()
        wait_for(lambda: len(proxy.kept.get("listen", ())) == 4)
        assert drops(proxy)
        assert is_dropped(proxy.address, GREEDY, CALM)
        assert is_dropped(("127.0.0.1", other), GREEDY, CALM)
        proxy.ctl("unblock", GREEDY)
        assert filters(proxy) == [0, 0, 0, 0]
    in_network(check)


def test_nothing_is_left_by_a_master_that_is_killed(control, prepare, serve):
    """Its sockets live on with what was set at them; who takes them over blocks nobody."""
    def check():
        first = control().start()
        first.ctl("block", GREEDY)
        first.expect_clean_exit = False
        orphans = first.workers()
        kill(first.pid)
        first.process.wait()
        # They take what there is in the sockets, and block as they were told, until they leave.
        wait_for(lambda: all(map(has_ended, orphans)), what="the workers to leave")
        kept = first.take_kept()
        sockets = [number for name, number in kept if name == "listen"]
        assert any(map(instructions, sockets))
        second = prepare(serve(), listen=first.listen, workers=1,
                         **passing([number for _, number in kept]),
                         environment={"LISTEN_FDNAMES": ":".join(name for name, _ in kept)}).start()
        assert list(map(instructions, sockets)) == [0, 0]
        expect_answer(second.address, GREEDY)
        for _, number in kept:
            os.close(number)
    in_network(check)


def test_nothing_is_left_by_a_service_that_ends(control):
    def check():
        proxy = control().start()
        proxy.ctl("block", GREEDY)
        assert proxy.stop() == 0
        kept = proxy.take_kept()
        assert [instructions(number) for name, number in kept if name == "listen"] == [0, 0]
        for _, number in kept:
            os.close(number)
    in_network(check)


def flood(proxy, until):
    """More questions a second than ten times a limit of one, until `until()`."""
    with udp_socket(proxy.address, GREEDY) as sock:
        def send():
            for number in range(60):
                sock.send(wire.query("flood.example", id=number))
            ask(proxy.address, "read.example")  # those before it have been
            return until()
        wait_for(send, LONG)


def limited(**limits):
    return {"client_rate": 0, "client_misses": 0, "client_connects": 0} | limits


def test_who_floods_over_udp_keeps_tcp(control):
    """It may be the victim of somebody who uses its address (limits 19 and 22)."""
    def check():
        proxy = control(limits=limited(client_rate=1)).start()
        ask(proxy.address, "tcp.example")
        flood(proxy, lambda: "block " in proxy.ctl("limits"))
        assert re.match(rf"block {GREEDY} left=\d+ what=udp by=questions rate=\d+ limit=1\n",
                        proxy.ctl("limits"))
        wait_for(lambda: re.search(rf"blocks {GREEDY} for 60 s: \d+ questions a second over its "
                                   r"limit of 1, perhaps in its name by others", proxy.log))
        assert drops(proxy, everything=False)
        with TcpClient(proxy.address, source=GREEDY) as client:
            client.send(wire.query("tcp.example"))
            assert wire.address_in(client.receive()) == wire.address_of("tcp.example")
        expect_answer(proxy.address, CALM)

        def let_through():
            """One in 64 is, and shown the way over TCP."""
            with udp_socket(proxy.address, GREEDY) as sock:
                for number in range(640):
                    sock.send(wire.query("tcp.example", id=number))
                ask(proxy.address, "tcp.example")
                sock.setblocking(False)
                answers = []
                with contextlib.suppress(BlockingIOError):
                    while True:
                        answers.append(wire.parse(sock.recv(65536)))
            assert all(answer.flags & 0x200 for answer in answers)
            assert len(answers) < 100
            return answers
        wait_for(let_through)
        # It is heard of no more, and the master has nothing to look at.
        assert wait_for(lambda: "offenders" not in (found := proxy.counters()) and found
                        )["blocks"] == 1
    in_network(check)


def test_who_floods_with_connections_loses_them(control):
    """limits 22: nobody can use another's address for that."""
    def check():
        proxy = control(limits=limited(client_connects=1)).start()
        with TcpClient(proxy.address, source=GREEDY) as client:
            def flood_with_connections():
                for _ in range(40):
                    with socket.socket() as sock:
                        sock.bind((GREEDY, 0))
                        sock.setblocking(False)
                        sock.connect_ex(proxy.address)
                        select.select([], [sock], [], 0.1)
                return "block " in proxy.ctl("limits")
            wait_for(flood_with_connections, LONG)
            assert re.match(rf"block {GREEDY} left=\d+ what=all by=connections",
                            proxy.ctl("limits"))
            assert client.is_closed_by_peer()
        assert drops(proxy)
        assert is_dropped(proxy.address, GREEDY, CALM)
        assert not is_answered_over_tcp(proxy.address, GREEDY, CALM)
    in_network(check)


def test_counting_blocks_nobody(control):
    """But tells whom it would (limits 26)."""
    def check():
        proxy = control(limits=limited(mode="count", client_rate=1)).start()
        flood(proxy, lambda: re.fullmatch(
            rf"would-block {GREEDY} left=\d+ what=udp by=questions rate=\d+ limit=1\n"
            rf"offender {GREEDY} by=questions rate=\d+ limit=1 seconds=\d+\n",
            proxy.ctl("limits")))
        assert proxy.counters()["offenders"] == 1
        assert f"would block {GREEDY} for 60 s" in proxy.log
        assert filters(proxy) == [0, 0]
        expect_answer(proxy.address, GREEDY)
        proxy.write_configuration(limits={"mode": "on"})
        proxy.reload()
        assert sum(filters(proxy)) > 0
    in_network(check)
