# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# dotproxy as a service: systemd's protocols, the classic daemon, its signals and its log.

import errno
import fcntl
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import termios

import pytest

from harness import wire
from harness.client import ask, tcp, udp
from harness.process import has_ended, kill, passing
from harness.refusal import is_possible as refusal_is_possible
from harness.refusal import refusing
from harness.waiting import PATIENCE, awake, free_port, wait_for


def test_the_life_of_a_service_is_told(start, upstream):
    """sd_notify: READY; RELOADING with its time, READY; STOPPING."""
    proxy = start(upstream)
    proxy.reload()
    proxy.stop()
    wait_for(lambda: "STOPPING=1" in proxy.lines())
    told = [line for line in proxy.lines()
            if line in ("READY=1", "RELOADING=1", "STOPPING=1")]
    assert told == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    reloading = next(text for text in proxy.notifications if "RELOADING=1" in text)
    assert re.search(r"^MONOTONIC_USEC=\d+$", reloading, re.M)


def test_who_may_drain_for_long_is_given_the_time(start, upstream):
    """EXTEND_TIMEOUT_USEC: TimeoutStopSec of the unit need not know timeouts.drain."""
    proxy = start(upstream, timeouts={"drain": "5m"})
    proxy.stop()
    stopping = wait_for(lambda: [text for text in proxy.notifications if "STOPPING=1" in text])
    assert int(re.search(r"^EXTEND_TIMEOUT_USEC=(\d+)$", stopping[0], re.M)[1]) > 300_000_000


def test_a_failed_reload_is_told_as_well(start, upstream):
    """RELOADING is followed by READY, or systemd waits for ever."""
    proxy = start(upstream)
    proxy.write_configuration("workers = ;")
    proxy.send_signal(signal.SIGHUP)
    proxy.wait_for_notification("READY=1", 2)


def test_ready_means_ready(prepare, upstream):
    """No question after READY is lost, though it is the very first."""
    for _ in range(5):
        proxy = prepare(upstream).start()
        assert udp(proxy.address, wire.query("first.example"), 5)
        assert tcp(proxy.address, wire.query("first.example"), 5)
        proxy.stop()


def test_the_watchdog_is_fed(start, upstream):
    """WATCHDOG_USEC: more often than it says."""
    proxy = start(upstream, environment={"WATCHDOG_USEC": "2000000"})
    proxy.wait_for_notification("WATCHDOG=1", 3, timeout=3 * 2)


def test_the_watchdog_of_somebody_else_is_left_alone(start, upstream):
    """WATCHDOG_PID"""
    proxy = start(upstream, environment={"WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"})
    began = len(proxy.lines())
    for number in range(20):
        ask(proxy.address, f"busy{number}.example")
    assert "WATCHDOG=1" not in proxy.lines()[began:]


def _limit_descriptors(pid, soft):
    """Sets the soft limit of a process. Root may not where it lacks CAP_SYS_RESOURCE; a process of the
    same user and group may."""
    owner = os.stat(f"/proc/{pid}")
    who = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} \
        if os.geteuid() == 0 else {}
    subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={soft}:"], check=True, **who)


def test_the_watchdog_is_not_fed_for_a_service_without_workers(start, upstream):
    """Nobody is alive who could answer, and nobody can be started: systemd is to try."""
    proxy = start(upstream, workers=1, environment={"WATCHDOG_USEC": "800000"})
    soft = re.search(r"Max open files +(\d+)",
                     pathlib.Path(f"/proc/{proxy.pid}/limits").read_text())[1]
    taken = {int(one) for one in os.listdir(f"/proc/{proxy.pid}/fd")}
    # With the worker's channel closed, one is left below: for a notification, not for a worker.
    _limit_descriptors(proxy.pid, min(set(range(len(taken) + 1)) - taken))
    kill(proxy.workers()[0])
    wait_for(lambda: "worker 0: socketpair" in proxy.log)
    fed = proxy.lines().count("WATCHDOG=1")
    # The third attempt comes a second after the first, the next one three seconds later.
    wait_for(lambda: proxy.log.count("worker 0: socketpair") >= 3)
    assert proxy.lines().count("WATCHDOG=1") <= fed + 1  # which may have been on its way
    _limit_descriptors(proxy.pid, soft)
    proxy.wait_for_notification("WATCHDOG=1", proxy.lines().count("WATCHDOG=1") + 2)
    assert ask(proxy.address, "after.example").answer


def test_workers_that_hang_are_replaced_before_the_watchdog_acts(start, upstream):
    """All of them at once. Two thirds of the time are enough to be sure, the rest to replace them."""
    proxy = start(upstream, workers=2, environment={"WATCHDOG_USEC": "12000000"})
    victims = proxy.workers()
    for victim in victims:
        os.kill(victim, signal.SIGSTOP)
    began = awake()
    wait_for(lambda: len(proxy.workers()) == 2 and not set(victims) & set(proxy.workers()))
    assert awake() - began < 12
    assert ask(proxy.address, "after.example").answer


def test_sockets_are_taken_from_systemd(prepare, upstream):
    """LISTEN_FDS: they are used where the configuration names their address, and stay open to those
    who ask before the program is there."""
    port = free_port()
    sockets = []
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        sock = socket.socket(socket.AF_INET, kind)
        sock.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        sockets.append(sock)
    early = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    early.settimeout(20)
    early.sendto(wire.query("early.example", id=77), ("127.0.0.1", port))

    numbers = [sock.fileno() for sock in sockets]
    proxy = prepare(upstream, listen=[("127.0.0.1", port)], **passing(numbers))
    proxy.start()
    assert early.recv(65536)[:2] == b"\0\x4d"
    for transport in ("udp", "tcp"):
        assert ask(proxy.address, "passed.example", transport=transport).answer
    proxy.reload()
    for transport in ("udp", "tcp"):
        assert ask(proxy.address, "again.example", transport=transport).answer
    for sock in [*sockets, early]:
        sock.close()


# What a kernel says that was booted with ipv6.disable=1.
_WITHOUT_IPV6 = refusing("socket", errno.EAFNOSUPPORT, socket.AF_INET6) if refusal_is_possible else ()


@pytest.mark.skipif(not refusal_is_possible, reason="this machine's system calls are not known")
def test_a_kernel_without_ipv6_serves_on_ipv4(prepare, upstream):
    """The usual configuration names ::1; it is left out, with a word, as long as something is
    left."""
    port = free_port()
    proxy = prepare(upstream, listen=[("127.0.0.1", port), ("::1", port)],
                    launcher=_WITHOUT_IPV6)
    proxy.start()
    for transport in ("udp", "tcp"):
        assert ask(proxy.address, "v4.example", transport=transport).answer
    for transport in ("udp", "tcp"):
        assert f"{transport} [::1]:{port}: Address family not supported" in proxy.log
    proxy.reload()
    assert ask(proxy.address, "again.example").answer
    proxy.stop()

    alone = prepare(upstream, listen=[("::1", port)],
                    launcher=_WITHOUT_IPV6)
    alone.expect_clean_exit = False
    alone.launch()
    assert alone.process.wait(20) == 1
    assert "no address" in alone.log


def test_a_privileged_port_without_a_privilege_says_what_helps(prepare, upstream):
    """The error names the ways to port 53 (README.Debian has them at length)."""
    if int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 53:
        pytest.skip("port 53 is for everybody on this machine")
    launcher = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
    proxy = prepare(upstream, listen=[("127.0.0.1", 53)], launcher=launcher)
    proxy.expect_clean_exit = False
    proxy.launch()
    assert proxy.process.wait(20) == 1
    assert "127.0.0.1:53: Permission denied" in proxy.log
    assert "CAP_NET_BIND_SERVICE" in proxy.log and "service manager" in proxy.log


def test_counters_are_logged_on_request(start, upstream):
    """SIGUSR1: what all workers there ever were have counted, in lines that are not cut off."""
    proxy = start(upstream, workers=3)
    for number in range(17):
        ask(proxy.address, f"counted{number}.example")
    proxy.reload()
    assert proxy.counters()["udp_queries"] == 17
    lines = re.findall(r"master: counters (\d+)/(\d+):((?: [_a-z]+=\d+)+)\n", proxy.log)
    assert [int(number) for number, _, _ in lines] == list(range(1, len(lines) + 1))
    assert {int(last) for _, last, _ in lines} == {len(lines)}
    assert ask(proxy.address, "after.example").answer


def test_gauges_are_zero_at_rest(start, upstream):
    """L48: after questions of every fate, nothing is waiting and nobody is connected."""
    proxy = start(upstream, workers=1, timeouts={"query": "500ms"})
    upstream.on_query = lambda query: None if query.name.startswith("none") \
        else wire.answer(query.raw)
    for number in range(5):
        for transport in ("udp", "tcp"):
            ask(proxy.address, f"some{number}.example", transport=transport)
            ask(proxy.address, f"none{number}.example", transport=transport)

    # What is zero is left out.
    wait_for(lambda: not {"tcp_clients", "queries_waiting"} & set(proxy.counters()))


def test_the_classic_daemon(daemon):
    """Without -f: the caller gets its prompt back when the service is ready; the PID file names the
    master, which has no terminal, and goes with it."""
    proxy, pid, file = daemon()
    assert ask(proxy.address, "daemon.example").answer
    assert not has_ended(pid) and pid != proxy.pid
    assert stat.S_IMODE(file.stat().st_mode) & 0o022 == 0
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert fields[4] == "0", "a controlling terminal"
    for descriptor in range(3):
        assert os.readlink(f"/proc/{pid}/fd/{descriptor}") == "/dev/null" \
            or "stderr" in os.readlink(f"/proc/{pid}/fd/{descriptor}")
    os.kill(pid, signal.SIGHUP)
    for number in range(20):
        assert ask(proxy.address, f"reload{number}.example").answer
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: has_ended(pid))
    assert not file.exists() or file.read_text() == ""


def _read_to_the_end(descriptor):
    """What comes until the last one who could write has let go of the other end."""
    octets = b""
    while select.select([descriptor], [], [], PATIENCE)[0]:
        try:
            part = os.read(descriptor, 4096)
        except OSError as error:
            assert error.errno == errno.EIO  # a terminal's way to say so
            part = b""
        if not part:
            return octets
        octets += part
    raise AssertionError(f"not at its end after {PATIENCE} s: {octets}")


def test_a_daemon_lets_go_of_its_starters_pipe(daemon):
    """Neither the master nor a worker keeps it: `dotproxy 2>&1 | logger` ends."""
    reading, writing = os.pipe()
    try:
        proxy, _, _ = daemon(workers=3, output=writing)
        os.close(writing)
        _read_to_the_end(reading)
        assert ask(proxy.address, "there.example").answer
    finally:
        os.close(reading)


def test_a_daemon_lets_go_of_its_starters_terminal(daemon):
    """No process has it open or as its own: logging out takes nothing with it."""
    ours, theirs = pty.openpty()

    def own_it():
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
    try:
        proxy, pid, _ = daemon(workers=3, output=theirs, before=own_it)
        os.close(theirs)
        _read_to_the_end(ours)
        workers = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(workers) == 3
        for one in [pid, *workers]:
            fields = pathlib.Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            assert fields[4] == "0", "a controlling terminal"
        assert ask(proxy.address, "there.example").answer
    finally:
        os.close(ours)


def test_a_daemon_whose_number_is_in_the_file_is_not_started_twice(daemon, prepare, upstream):
    """By the lock of the PID file, before anything is bound."""
    proxy, pid, file = daemon()
    second = prepare(upstream, pid_file=str(file))
    second.expect_clean_exit = False
    second.launch()
    assert second.process.wait(20) == 1
    assert f"process {pid} is running" in second.log
    assert re.search(rf"{second.config_file}:[0-9]+: pid_file: {file}: process", second.log)
    assert file.read_text() == f"{pid}\n"
    assert ask(proxy.address, "first.example").answer


def test_an_init_script_names_the_pid_file_whatever_the_configuration_says(place, prepare,
                                                                           upstream):
    """-p: it need not know the configuration, nor does that lose the file by a reload."""
    # Relative, to where it is started: a daemon goes elsewhere.
    proxy = prepare(upstream, arguments=("-p", "../run/given.pid"),
                    pid_file=str(place / "configured.pid"))
    proxy.launch()
    assert proxy.process.wait(20) == 0, proxy.log
    pid = int((place / "given.pid").read_text())
    try:
        assert ask(proxy.address, "given.example").answer
        assert not (place / "configured.pid").exists()
        os.kill(pid, signal.SIGHUP)
        for number in range(20):
            assert ask(proxy.address, f"reload{number}.example").answer
        assert int((place / "given.pid").read_text()) == pid
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: has_ended(pid))
        assert not (place / "given.pid").exists() or (place / "given.pid").read_text() == ""
    finally:
        kill(pid)


def test_a_crash_leaves_nothing_in_the_way_of_the_next_start(daemon, directory):
    """The PID file of a master that was killed, also when its number is another program's now."""
    _, pid, file = daemon()
    kill(pid)
    assert file.read_text() == f"{pid}\n"
    for stale in (pid, os.getpid(), 1):
        file.write_text(f"{stale}\n")
        proxy, pid, _ = daemon()
        assert ask(proxy.address, "again.example").answer
        kill(pid)


def test_a_daemon_that_cannot_start_says_so(prepare, upstream):
    """The caller sees the exit status: the init script can tell."""
    proxy = prepare(upstream, arguments=())
    proxy.expect_clean_exit = False
    proxy.write_configuration("workers = nonsense;")
    proxy.launch()
    assert proxy.process.wait(20) == 2


def test_a_pid_file_is_no_way_to_other_files(directory, place, prepare, upstream):
    """L69: a symbolic link is not followed."""
    victim = directory / "victim"
    victim.write_text("precious")
    (place / "dotproxy.pid").symlink_to(victim)
    proxy = prepare(upstream, pid_file=str(place / "dotproxy.pid"))
    proxy.expect_clean_exit = False
    proxy.launch()
    wait_for(lambda: proxy.process.poll() is not None or "READY=1" in proxy.lines())
    assert victim.read_text() == "precious"


def test_no_socket_is_open_but_those_needed(start, upstream):
    """L16: UDP is for listening only, unless a group is asked in the clear (test_plain.py)."""
    if not shutil.which("ss"):
        pytest.skip("ss is not installed")
    proxy = start(upstream, workers=2)
    ask(proxy.address, "warm.example")
    found = subprocess.run(["ss", "-Hunap"], capture_output=True, text=True, check=True).stdout
    pids = {str(pid) for pid in [proxy.pid, *proxy.workers()]}
    ours = [line for line in found.splitlines()
            if pids & set(re.findall(r"pid=(\d+)", line))]
    assert ours and all(f":{proxy.address[1]}" in line.split()[3] for line in ours)
