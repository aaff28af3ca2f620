# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The sandbox of the real program's workers: what they have given up as the kernel tells it, and what
# becomes of one that somebody has taken over.

import os
import pathlib
import re
import signal
import socket

import pytest

from harness import inject, wire
from harness.client import ask, udp_socket
from harness.configuration import GROUP, USER
from harness.process import binary, copy_for_anybody
from harness.waiting import wait_for

# A sanitizer makes calls of its own, and maps its shadow as it likes.
pytestmark = pytest.mark.unsanitized

O_RDONLY, AF_PACKET, SOCK_RAW, PTRACE_TRACEME, SIGCHLD = 0, 17, 3, 0, 17
AT_FDCWD = -100

# What somebody would do next.
FORBIDDEN = {
    "open": (b"/etc/passwd", O_RDONLY, 0),
    "openat": (AT_FDCWD, b"/etc/passwd", O_RDONLY, 0),
    "execve": (b"/bin/sh", 0, 0),
    "socket": (AF_PACKET, SOCK_RAW, 0),
    "ptrace": (PTRACE_TRACEME, 0, 0, 0),
    "clone": (SIGCHLD, 0, 0, 0, 0),
    "fork": (),
    "vfork": (),
    "kill": (1, 0),
    "prctl": (4, 1, 0, 0, 0),  # PR_SET_DUMPABLE
    "bpf": (0, 0, 0),
    "io_uring_setup": (1, 0),
    "rt_sigaction": (int(signal.SIGSYS), 0, 0, 8),
}

can_inject = pytest.mark.skipif(bool(inject.why_not()), reason=str(inject.why_not()))


@pytest.fixture
def proxy(start, upstream):
    return start(upstream, workers=1, sandbox="on")


def status_of(pid):
    return dict(re.findall(r"^(\w+):\t(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(),
                           re.MULTILINE))


def core_limit(pid):
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    return re.search(r"^Max core file size +(\S+) +(\S+)", limits, re.MULTILINE).groups()


def worker_of(proxy):
    wait_for(lambda: len(proxy.workers()) == 1, what="the worker to be there")
    return proxy.workers()[0]


@can_inject
@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_worker_made_to_call_what_it_never_calls_dies(proxy, name):
    """The call has no effect, the log names it, a new worker serves; what is asked meanwhile waits
    in the socket and is answered (L60)."""
    if not inject.has_call(name):
        pytest.skip(f"this architecture has no {name}")
    victim = worker_of(proxy)
    assert ask(proxy.address, "before.example").answer
    assert inject.inject(victim, name, *FORBIDDEN[name]) is None
    with udp_socket(proxy.address) as sock:
        for number in range(20):
            sock.send(wire.query(f"meanwhile{number}.example", id=number))
        assert {sock.recv(65536)[1] for _ in range(20)} == set(range(20))
    assert worker_of(proxy) != victim
    assert f"error: worker 0 (pid {victim}) called {name}, which its sandbox forbids, and was " \
        "killed" in proxy.log


@can_inject
def test_a_worker_made_to_call_what_is_allowed_goes_on(proxy):
    """Which proves that it is the call that the others die of, and not how they are made to."""
    worker = worker_of(proxy)
    assert inject.inject(worker, "getpid") == worker
    assert inject.inject(worker, "close", -1) == -9  # EBADF
    assert ask(proxy.address, "after.example").answer
    assert worker_of(proxy) == worker


@can_inject
def test_without_the_sandbox_the_same_call_succeeds(start, upstream):
    proxy = start(upstream, workers=1, sandbox="off")
    worker = worker_of(proxy)
    opened = inject.inject(worker, "openat", *FORBIDDEN["openat"])
    assert opened > 2 and os.readlink(f"/proc/{worker}/fd/{opened}") == "/etc/passwd"
    assert ask(proxy.address, "after.example").answer
    assert worker_of(proxy) == worker


@can_inject
def test_a_port_that_no_upstream_has_is_out_of_reach(proxy, upstream):
    """Landlock: the filter lets connect pass, and sees no address."""
    worker = worker_of(proxy)
    if inject.landlock_version() < 4:
        pytest.skip("this kernel's Landlock knows no ports")
    with socket.create_server(("127.0.0.1", 0)) as server:
        def connect(port):
            name = socket.AF_INET.to_bytes(2, "little") + port.to_bytes(2, "big") \
                + socket.inet_aton("127.0.0.1") + bytes(8)
            flags = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            fd = inject.inject(worker, "socket", socket.AF_INET, flags, 0)
            result = inject.inject(worker, "connect", fd, name, len(name))
            inject.inject(worker, "close", fd)
            return result
        assert connect(upstream.port) in (0, -115)  # EINPROGRESS
        assert connect(server.getsockname()[1]) == -13  # EACCES
    assert worker_of(proxy) == worker


@can_inject
def test_workers_that_die_of_it_again_and_again_are_forked_with_pauses(proxy):
    """L60: as after any other end."""
    for turn in range(3):
        victim = worker_of(proxy)
        assert ask(proxy.address, f"turn{turn}.example").answer
        assert inject.inject(victim, "getpid") == victim
        inject.inject(victim, "execve", *FORBIDDEN["execve"])
        wait_for(lambda: victim not in proxy.children())
    assert ask(proxy.address, "after.example").answer
    assert proxy.log.count("called execve, which its sandbox forbids") == 3


def is_open_to_its_account(pid):
    """Nobody but root owns what tells about a process that is not."""
    return os.stat(f"/proc/{pid}/mem").st_uid == int(status_of(pid)["Uid"].split()[0])


def assert_shut_in(proxy):
    worker = worker_of(proxy)
    for pid in (proxy.pid, worker):
        status = status_of(pid)
        assert status["NoNewPrivs"] == "1"
        for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(status[kind], 16) == 0, kind
        assert not is_open_to_its_account(pid)
    assert status_of(worker)["Seccomp"] == "2"
    assert core_limit(worker) == ("0", "0")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to give up")
def test_what_is_given_up_after_a_start_as_root(proxy):
    """L68; the bounding set as well, which only root can."""
    assert_shut_in(proxy)
    for pid in (proxy.pid, *proxy.workers()):
        assert int(status_of(pid)["CapBnd"], 16) == 0
    proxy.reload()
    assert_shut_in(proxy)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start as somebody else")
def test_what_is_given_up_after_a_start_as_anybody(prepare, upstream, directory):
    program = copy_for_anybody(binary(), directory)
    proxy = prepare(upstream, workers=1, sandbox="on", program=program,
                    launcher=("setpriv", f"--reuid={USER}", "--clear-groups")).start()
    assert status_of(proxy.pid)["Uid"].split()[0] != "0"
    assert_shut_in(proxy)


def test_a_reload_takes_it_off_and_puts_it_on(start, upstream):
    """For the workers of the next generation. Without it they can be looked at by others of their
    account, whatever the master has been through."""
    proxy = start(upstream, workers=1, sandbox="off")
    assert status_of(worker_of(proxy))["Seccomp"] == "0"
    assert is_open_to_its_account(worker_of(proxy))
    assert core_limit(worker_of(proxy)) == core_limit("self")
    for setting, mode in (("on", "2"), ("off", "0")):
        proxy.write_configuration(sandbox=setting)
        proxy.reload()
        assert status_of(worker_of(proxy))["Seccomp"] == mode
        assert is_open_to_its_account(worker_of(proxy)) == (setting == "off")
        assert ask(proxy.address, f"{setting}.example").answer


def assert_hidden(proxy):
    for pid in (proxy.pid, worker_of(proxy)):
        assert not is_open_to_its_account(pid)


@pytest.mark.parametrize("setting", ["on", "off"])
def test_private_keys_are_not_shown(start_secure, setting):
    """E10: who has one leaves no core file, and nobody of its account looks into it."""
    proxy, _ = start_secure(workers=1, sandbox=setting)
    assert_hidden(proxy)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start as somebody else")
@pytest.mark.parametrize("setting", ["on", "off"])
def test_private_keys_are_not_shown_after_a_start_as_anybody(start_secure, directory, setting):
    """E10: as under systemd, where no change of the account hides the process."""
    program = copy_for_anybody(binary(), directory)
    proxy, _ = start_secure(workers=1, sandbox=setting, program=program,
                            launcher=("setpriv", f"--reuid={USER}", f"--regid={GROUP}",
                                      "--clear-groups"))
    assert_hidden(proxy)


@pytest.mark.parametrize("setting", ["on", "off"])
def test_a_file_for_the_keys_of_sessions_is_for_debugging(start, upstream, directory, setting):
    """GnuTLS opens it in the middle of the first handshake, which workers that are shut in would
    not survive."""
    keys = directory / "keys"
    keys.touch()
    keys.chmod(0o666)
    proxy = start(upstream, workers=1, sandbox=setting, environment={"SSLKEYLOGFILE": str(keys)})
    worker = worker_of(proxy)
    assert ask(proxy.address, "handshake.example").answer
    assert worker_of(proxy) == worker
    proxy.stop()
    assert bool(keys.read_text()) == (setting == "off")


def test_what_people_ask_is_in_no_core_file(start, upstream):
    """MADV_DONTDUMP ("dd") on the cache, and on what questions are kept in while they wait."""
    proxy = start(upstream, workers=1, sandbox="off", cache={"size": "2M"})
    worker = worker_of(proxy)
    upstream.hold("secret-question.example.")
    with udp_socket(proxy.address) as sock:
        sock.send(wire.query("secret-question.example", id=7))
        upstream.wait_for_query("secret-question.example.")
        regions = regions_of(worker)
        holding = [one for one in regions if b"\x0fsecret-question\x07example\0" in one.octets()]
    upstream.release("secret-question.example.")
    # The slab of questions in flight; the stack and the heap may hold traces of it.
    assert any(one.undumped and not one.name for one in holding)
    caches = [one for one in regions if "memfd:dotproxy-cache" in one.name]
    assert caches and all(one.undumped for one in caches)
    kept = sum(one.size for one in regions if one.undumped and not one.name)
    assert kept > 65536 * 200  # limits.queries places


class Region:
    """One mapping of a process."""

    def __init__(self, pid, head, body):
        fields = head.split(maxsplit=5)
        self.begin, end = (int(part, 16) for part in fields[0].split("-"))
        self.size, self.readable = end - self.begin, "r" in fields[1]
        self.name = fields[5] if len(fields) > 5 else ""
        self.undumped = "dd" in re.search(r"VmFlags: (.*)", body)[1].split()
        self._touched = int(re.search(r"Rss:\s+(\d+)", body)[1]) > 0
        self._pid = pid

    def octets(self):
        if not self.readable or not self._touched or self.name in ("[vvar]", "[vsyscall]"):
            return b""
        with open(f"/proc/{self._pid}/mem", "rb", buffering=0) as memory:
            memory.seek(self.begin)
            return memory.read(self.size)


def regions_of(pid):
    parts = re.split(r"^([0-9a-f]+-[0-9a-f]+ .*)$",
                     pathlib.Path(f"/proc/{pid}/smaps").read_text(), flags=re.MULTILINE)
    return [Region(pid, head, body) for head, body in zip(parts[1::2], parts[2::2])]
