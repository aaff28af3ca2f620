# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Addresses to listen on that cannot be bound beside each other: one, and the wildcard on its port.
# Who serves a LAN changes from the one to the other, by a reload or by a restart.

import errno
import os
import pathlib
import signal
import socket
import subprocess

import pytest

from harness import wire
from harness.client import TcpClient, ask, udp_socket
from harness.ipv6 import family_of, needs_ipv6
from harness.load import Load
from harness.process import binary, passing
from harness.refusal import is_possible as refusal_is_possible
from harness.refusal import refusing
from harness.waiting import free_port, wait_for

PAIRS = [pytest.param("127.0.0.1", "0.0.0.0", id="4-wider"),
         pytest.param("0.0.0.0", "127.0.0.1", id="4-narrower"),
         pytest.param("::1", "::", id="6-wider", marks=needs_ipv6),
         pytest.param("::", "::1", id="6-narrower", marks=needs_ipv6)]
TRANSPORTS = ("udp", "tcp")
PR_SET_SECCOMP = 22


def all_free_port():
    return free_port(("127.0.0.1", "::1", "0.0.0.0", "::"))


def loopback(address, port):
    """Where a client asks whom both address and wildcard serve."""
    return ("::1" if ":" in address else "127.0.0.1", port)


def listen(proxy, *addresses):
    proxy.write_configuration(listen=[{"address": address, "port": port}
                                      for address, port in addresses])


def assert_served(address, name):
    for transport in TRANSPORTS:
        assert ask(address, f"{transport}.{name}", transport=transport).answer


def names_of(proxy):
    """What the log says that is served, the last time."""
    return [line for line in proxy.log.splitlines() if "serving with" in line][-1]


def udp_sockets(port):
    """The lines of the kernel's tables about sockets that are bound to a port."""
    tables = [pathlib.Path(f"/proc/net/{name}") for name in ("udp", "udp6")]
    return [line for table in tables if table.exists() for line in table.read_text().splitlines()
            if f":{port:04X}" in line.split()[1]]


@pytest.mark.parametrize("old,new", PAIRS)
def test_a_reload_goes_from_one_to_the_other_and_back(start, upstream, old, new):
    port = all_free_port()
    client = loopback(old, port)
    proxy = start(upstream, workers=2, listen=[(old, port)])
    for turn, address in enumerate((new, old, new)):
        listen(proxy, (address, port))
        proxy.reload()
        assert f"{address}:{port}" in names_of(proxy).replace("[", "").replace("]", "")
        assert_served(client, f"turn{turn}.example")
        # With its last worker the old socket has gone: no new one has inherited it.
        wait_for(lambda: len(udp_sockets(port)) == 1)
    assert "reload failed" not in proxy.log


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_such_reloads_under_load_lose_nothing(start, upstream, transport):
    """Each question is read by whoever has the socket it came to, and each connection accepted."""
    port = all_free_port()
    proxy = start(upstream, workers=2, listen=[("127.0.0.1", port)])
    with Load(("127.0.0.1", port), rate=300, transport=transport) as load:
        for turn in range(6):
            before = len(load.asked)
            listen(proxy, (("0.0.0.0", "127.0.0.1")[turn % 2], port))
            proxy.reload()
            wait_for(lambda: len(load.asked) > before + 20)
    load.assert_flawless()


@pytest.mark.parametrize("old,new", PAIRS)
def test_connections_that_nobody_has_accepted_yet_are_served(start, upstream, old, new):
    """They stand in the queue of a socket that goes, as its workers are stopped."""
    port = all_free_port()
    proxy = start(upstream, workers=1, listen=[(old, port)])
    before = proxy.workers()
    os.kill(before[0], signal.SIGSTOP)
    clients = [TcpClient(loopback(old, port)) for _ in range(20)]
    for number, client in enumerate(clients):
        client.send(wire.query(f"queued{number}.example", id=number))
    listen(proxy, (new, port))
    proxy.send_signal(signal.SIGHUP)
    proxy.wait_for_notification("READY=1", 2)
    for number, client in enumerate(clients):
        assert wire.address_in(client.receive()) == wire.address_of(f"queued{number}.example")
        client.socket.close()
    os.kill(before[0], signal.SIGCONT)


@pytest.mark.parametrize("old,new", PAIRS)
def test_datagrams_that_nobody_has_read_yet_are_answered(start, upstream, old, new):
    port = all_free_port()
    proxy = start(upstream, workers=1, listen=[(old, port)])
    before = proxy.workers()
    os.kill(before[0], signal.SIGSTOP)
    with udp_socket(loopback(old, port)) as sock:
        for number in range(20):
            sock.send(wire.query(f"queued{number}.example", id=number))
        listen(proxy, (new, port))
        proxy.send_signal(signal.SIGHUP)
        proxy.wait_for_notification("READY=1", 2)
        os.kill(before[0], signal.SIGCONT)
        answers = {int.from_bytes(sock.recv(65536)[:2], "big") for _ in range(20)}
    assert answers == set(range(20))
    assert "reload failed" not in proxy.log


@pytest.mark.parametrize("old,new", PAIRS)
def test_a_reload_that_fails_later_leaves_the_old_socket(start, upstream, directory, old, new):
    """The new one has been bound by then."""
    port = all_free_port()
    client = loopback(old, port)
    proxy = start(upstream, workers=1, listen=[(old, port)])
    good = proxy.settings["tls"]["ca_file"]
    empty = directory / "empty.pem"
    empty.write_text("no certificate\n")
    empty.chmod(0o644)
    listen(proxy, (new, port))
    for count in range(1, 4):
        proxy.write_configuration(tls={"ca_file": str(empty)})
        proxy.send_signal(signal.SIGHUP)
        wait_for(lambda: proxy.log.count("reload failed") == count)
        assert_served(client, f"attempt{count}.example")
    proxy.write_configuration(tls={"ca_file": good})
    proxy.reload()
    assert_served(client, "after.example")


@pytest.mark.skipif(not refusal_is_possible, reason="this machine's calls are not known")
@pytest.mark.unsanitized  # which has no sandbox
@pytest.mark.parametrize("old,new", PAIRS)
def test_when_the_new_workers_fail_the_old_socket_serves(start, upstream, old, new):
    """Nobody has been away from it, and the next attempt succeeds. Here they are to be shut in by
    what the kernel has not."""
    port = all_free_port()
    client = loopback(old, port)
    proxy = start(upstream, workers=1, listen=[(old, port)], sandbox="off",
                  launcher=refusing("seccomp", errno.ENOSYS) +
                  refusing("prctl", errno.EINVAL, PR_SET_SECCOMP))
    listen(proxy, (new, port))
    proxy.write_configuration(sandbox="on")
    for count in range(1, 4):
        proxy.send_signal(signal.SIGHUP)
        wait_for(lambda: proxy.log.count("reload failed") == count)
        assert_served(client, f"attempt{count}.example")
    proxy.write_configuration(sandbox="off")
    proxy.reload()
    assert_served(client, "after.example")


def test_an_address_comes_back_while_those_who_left_it_still_drain(start, upstream):
    """A worker that has a question in hand keeps the socket open; its port is not lost to the
    service for so long, nor does anybody wait at it in vain."""
    one, other = all_free_port(), all_free_port()
    proxy = start(upstream, workers=1, listen=[("127.0.0.1", one)],
                  timeouts={"drain": "15s", "query": "15s"})
    first = proxy.workers()[0]
    upstream.hold("held.example.")
    with udp_socket(("127.0.0.1", one)) as sock:
        sock.send(wire.query("held.example", id=7))
        upstream.wait_for_query("held.example")
        for turn, address in enumerate([("127.0.0.1", other), ("127.0.0.1", one),
                                        ("0.0.0.0", one), ("127.0.0.1", one)]):
            listen(proxy, address)
            proxy.send_signal(signal.SIGHUP)
            proxy.wait_for_notification("READY=1", turn + 2)
            assert "reload failed" not in proxy.log
            assert_served(("127.0.0.1", address[1]), f"turn{turn}.example")
            if address[1] == other:
                for transport in TRANSPORTS:
                    with pytest.raises(ConnectionRefusedError):
                        ask(("127.0.0.1", one), "gone.example", transport=transport)
        assert first in proxy.workers()
        upstream.release("held.example.")
        assert sock.recv(65536)[:2] == b"\0\7"


def restart(first, prepare, upstream, address):
    """The process that comes after `first`, with another address, as systemd starts it: what is
    kept is open there as well until it is told to close it."""
    assert first.stop() == 0
    kept = first.take_kept()
    second = prepare(upstream, listen=[address], workers=1,
                     **passing([number for _, number in kept]),
                     environment={"LISTEN_FDNAMES": ":".join(name for name, _ in kept)})
    second.kept = {"listen": [os.dup(number) for name, number in kept if name == "listen"]}
    second.launch()
    for _, number in kept:
        os.close(number)
    second.wait_for_notification("READY=1")
    return second


@pytest.mark.parametrize("old,new", PAIRS)
def test_a_restart_goes_from_one_to_the_other_and_back(start, prepare, upstream, old, new):
    port = all_free_port()
    proxy = start(upstream, workers=1, listen=[(old, port)])
    for turn, address in enumerate((new, old)):
        proxy = restart(proxy, prepare, upstream, (address, port))
        assert_served(loopback(old, port), f"turn{turn}.example")
        assert len(proxy.kept["listen"]) == 2


def test_a_restart_keeps_what_stays_beside_what_goes(start, prepare, upstream):
    """What waits in the socket of an address that is named still is not lost with the other one."""
    stays, goes = ("127.0.0.1", all_free_port()), ("127.0.0.1", all_free_port())
    first = start(upstream, workers=1, listen=[stays, goes])
    assert first.stop() == 0
    kept = first.take_kept()
    with udp_socket(stays) as sock:
        sock.send(wire.query("between.example", id=77))
        second = prepare(upstream, listen=[stays, ("0.0.0.0", goes[1])], workers=1,
                         **passing([number for _, number in kept]),
                         environment={"LISTEN_FDNAMES": ":".join(name for name, _ in kept)})
        second.kept = {"listen": [os.dup(number) for _, number in kept]}
        second.launch()
        for _, number in kept:
            os.close(number)
        second.wait_for_notification("READY=1")
        assert sock.recv(65536)[:2] == b"\0\x4d"
    assert_served(goes, "wider.example")
    assert len(second.kept["listen"]) == 4


def test_a_kept_socket_that_is_no_use_is_not_in_the_way(prepare, upstream):
    """One that does not listen any more has its port all the same."""
    port = all_free_port()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))
        proxy = prepare(upstream, listen=[("127.0.0.1", port)], workers=1,
                        **passing([sock.fileno()]), environment={"LISTEN_FDNAMES": "listen"})
        proxy.kept = {"listen": [os.dup(sock.fileno())]}
        proxy.launch()
    proxy.wait_for_notification("READY=1")
    assert_served(("127.0.0.1", port), "fresh.example")


def bound(address, port):
    """UDP and TCP sockets as a socket unit has them."""
    sockets = []
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        sock = socket.socket(family_of(address), kind)
        if ":" in address:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        sockets.append(sock)
    return sockets


@pytest.mark.parametrize("passed,named", [
    pytest.param("0.0.0.0", "127.0.0.1", id="4"),
    pytest.param("::", "::1", id="6", marks=needs_ipv6),
    pytest.param("::", "127.0.0.1", id="both", marks=needs_ipv6)])
def test_what_a_passed_socket_includes_is_served_by_it(prepare, upstream, passed, named):
    port = all_free_port()
    sockets = bound(passed, port)
    proxy = prepare(upstream, workers=1, listen=[(named, port)],
                    **passing([sock.fileno() for sock in sockets])).start()
    assert_served((named, port), "passed.example")
    proxy.reload()
    assert_served((named, port), "again.example")
    for sock in sockets:
        sock.close()


def test_a_passed_socket_in_the_way_of_a_wider_one_is_named(prepare, upstream):
    """It is the service manager's, and comes back with every start."""
    port = all_free_port()
    sockets = bound("127.0.0.1", port)
    proxy = prepare(upstream, listen=[("0.0.0.0", port)],
                    **passing([sock.fileno() for sock in sockets]))
    proxy.expect_clean_exit = False
    proxy.launch()
    assert proxy.process.wait(20) == 1
    assert f"udp 0.0.0.0:{port}: the service manager passes udp 127.0.0.1:{port}" in proxy.log
    for sock in sockets:
        sock.close()


@pytest.mark.parametrize("how", ["start", "reload"])
def test_who_has_the_port_is_told(prepare, upstream, how):
    """At a start by root, who may look at every process, by name and number."""
    port = all_free_port()
    program = ("import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
               f"s.bind(('0.0.0.0', {port})); print(flush=True); sys.stdin.read()")
    with subprocess.Popen(["/usr/bin/python3", "-c", program], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        wanted = ("127.0.0.1", port)
        proxy = prepare(upstream, workers=1,
                        listen=[wanted] if how == "start" else [("127.0.0.1", free_port())])
        text = f"udp 127.0.0.1:{port}: Address already in use; "
        if how == "start":
            proxy.expect_clean_exit = False
            proxy.launch()
            assert proxy.process.wait(20) == 1
            assert f"{text}process {holder.pid} (python3" in proxy.log
        else:
            proxy.start()
            listen(proxy, wanted)
            proxy.send_signal(signal.SIGHUP)
            wait_for(lambda: "reload failed" in proxy.log)
            assert text in proxy.log and f"has 0.0.0.0:{port}" in proxy.log
        holder.stdin.close()


@pytest.mark.parametrize("old,new", PAIRS)
def test_both_in_one_file_are_refused_before_anything_runs(prepare, upstream, old, new):
    """By -t and by the start, in the same words."""
    port = all_free_port()
    proxy = prepare(upstream, listen=[(old, port), (new, port)])
    proxy.expect_clean_exit = False
    proxy.launch()
    assert proxy.process.wait(20) == 2
    words = proxy.log.strip()
    assert "listen[1].address: " in words and "listen[0]" in words
    tested = subprocess.run([binary(), "-t", "-c", str(proxy.config_file)], check=False,
                            capture_output=True, text=True, timeout=20)
    assert tested.returncode == 2 and tested.stderr.strip() == words


def test_a_list_of_descriptors_that_is_too_long_is_refused(prepare, upstream):
    """What it names beyond those that were passed would be taken from the program itself."""
    launcher = ("sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=6 exec "$@"', "sh")
    proxy = prepare(upstream, launcher=launcher)
    proxy.expect_clean_exit = False
    proxy.launch()
    assert proxy.process.wait(20) == 1
    assert "LISTEN_FDS says that 6 descriptors are passed" in proxy.log
    assert "is not open" in proxy.log
