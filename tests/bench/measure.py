# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
"""Processes of the benchmark: start them on their core, ask them, weigh them, end them.

Every wait has a bound and every process that was started is ended, whatever happens.
"""

import contextlib
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from peers import UPSTREAM_NAME, Peer, Setup

START_PATIENCE = 10.0
END_PATIENCE = 3.0


class Trouble(Exception):
    """A proxy or a tool does not do what the row needs; the row stays empty for this peer."""


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for file in Path(f"/proc/{each}/task").glob("*/children"):
                found += [int(child) for child in file.read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process tree, of threads that have ended as well.

    The kernel's CPU clock of a process counts nanoseconds where /proc/PID/stat counts ticks.
    """
    total = 0.0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            total += time.clock_gettime((~each << 3) | 2)
    return total


def pss_kib(pid: int) -> float:
    """Proportional set size of a process tree."""
    total = 0
    for each in tree(pid):
        text = Path(f"/proc/{each}/smaps_rollup").read_text()
        total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1))
    return float(total)


def free_port() -> int:
    """A port that was free for UDP and TCP on 127.0.0.1 a moment ago."""
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                tcp.bind(udp.getsockname())
                return udp.getsockname()[1]
    raise Trouble("no free port")


def query(name: str, ident: int = 0) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", ident, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def is_good(answer: bytes) -> bool:
    return len(answer) > 12 and answer[2] & 0x80 != 0 and answer[3] & 0x0F == 0


class Place:
    """Where the processes run: the cores, a working directory, the certificates, the tools."""

    def __init__(self, tools: Path, proxy_core: int, load_core: int):
        self.tools = tools.resolve()
        self.proxy_core = proxy_core
        self.load_core = load_core
        self.all_cores = os.sched_getaffinity(0)
        self.directory = Path(tempfile.mkdtemp(prefix="dotproxy-bench-"))
        self.directory.chmod(0o711)
        self.children: list[subprocess.Popen] = []
        self.names = 0
        os.sched_setaffinity(0, {load_core})
        self._make_certificates()

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *_) -> None:
        for child in list(self.children):
            self.end(child, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def tag(self) -> str:
        """A label of 12 octets that no run before had: its names are in no cache."""
        self.names += 1
        return f"r{os.getpid() % 100000:05d}n{self.names:05d}"

    def spawn(self, argv: list[str], cores: set[int], **options) -> subprocess.Popen:
        # The child inherits the affinity: no code of ours runs between fork and exec, and
        # nothing but the program itself lies between exec and its first answer.
        os.sched_setaffinity(0, cores)
        try:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True,
                                     **options)
        finally:
            os.sched_setaffinity(0, {self.load_core})
        self.children.append(child)
        return child

    def end(self, child: subprocess.Popen, how: int = signal.SIGTERM) -> None:
        """Ends a process and what it started."""
        if child.poll() is None:
            for number in (how, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGCONT)
                    os.killpg(child.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(END_PATIENCE)
                    break
        # What a proxy forked may outlive it for a moment; the group is ours alone.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        if child.stdout:
            child.stdout.close()
        if child in self.children:
            self.children.remove(child)

    def _make_certificates(self) -> None:
        """A CA and a server certificate, both ECDSA on P-256, good for a few days."""
        self.ca = self.directory / "ca.pem"
        self.certificate = self.directory / "server.pem"
        self.key = self.directory / "server.key"
        ca_key = self.directory / "ca.key"
        (self.directory / "ca.template").write_text(
            'cn = "dotproxy benchmark CA"\nca\ncert_signing_key\nexpiration_days = 7\n')
        (self.directory / "server.template").write_text(
            f'cn = "{UPSTREAM_NAME}"\ndns_name = "{UPSTREAM_NAME}"\ntls_www_server\n'
            "signing_key\nexpiration_days = 7\n")
        make_key = ["--generate-privkey", "--key-type=ecdsa", "--curve=secp256r1"]
        for arguments in (
            [*make_key, f"--outfile={ca_key}"],
            [*make_key, f"--outfile={self.key}"],
            ["--generate-self-signed", f"--load-privkey={ca_key}",
             f"--template={self.directory}/ca.template", f"--outfile={self.ca}"],
            ["--generate-certificate", f"--load-privkey={self.key}",
             f"--load-ca-certificate={self.ca}", f"--load-ca-privkey={ca_key}",
             f"--template={self.directory}/server.template", f"--outfile={self.certificate}"],
        ):
            subprocess.run(["certtool", *arguments], check=True, timeout=30,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read_line(child: subprocess.Popen, patience: float) -> str:
    """The next line of a tool, which writes whole lines; Trouble when none comes in time."""
    if not select.select([child.stdout], [], [], patience)[0]:
        raise Trouble(f"{child.args[0]}: no word within {patience:.0f} s")
    line = child.stdout.readline().decode()
    if not line:
        raise Trouble(f"{child.args[0]}: ended early")
    return line.strip()


def numbers(line: str) -> dict[str, float]:
    return {key: float(value) for key, value in (pair.split("=") for pair in line.split())}


class Upstream:
    """A bench/responder."""

    def __init__(self, place: Place, *, delay_ms: int = 0, idle_close_ms: int = 0,
                 mute: str = ""):
        self.place = place
        self.port = 0
        self.options = [f"--delay={delay_ms}", f"--idle-close={idle_close_ms}", f"--mute={mute}"]
        self.start()

    def __enter__(self) -> "Upstream":
        return self

    def __exit__(self, *_) -> None:
        self.place.end(self.child, signal.SIGKILL)

    def start(self) -> None:
        """Starts it, or starts it again on its old port."""
        self.child = self.place.spawn(
            [str(self.place.tools / "responder"), f"--cert={self.place.certificate}",
             f"--key={self.place.key}", f"--port={self.port}", *self.options],
            {self.place.load_core}, stdout=subprocess.PIPE, bufsize=0)
        self.port = int(read_line(self.child, START_PATIENCE).split()[1])

    def kill(self) -> None:
        self.place.end(self.child, signal.SIGKILL)

    def toggle_silence(self) -> None:
        """Makes it forget what it reads from now on, or speak again."""
        self.child.send_signal(signal.SIGUSR2)

    def counters(self) -> dict[str, float]:
        self.child.send_signal(signal.SIGUSR1)
        return numbers(read_line(self.child, START_PATIENCE))


class Proxy:
    """A running proxy that has answered at least once: on its core, or with a worker on each core
    if `everywhere`."""

    def __init__(self, place: Place, peer: Peer, *upstreams: Upstream, everywhere: bool = False,
                 secure: bool = False, **options):
        self.place = place
        self.name = peer.name
        self.port = free_port()
        self.dot_port, self.doh_port = (free_port(), free_port()) if secure else (0, 0)
        directory = Path(tempfile.mkdtemp(prefix=peer.name + "-", dir=place.directory))
        directory.chmod(0o777)  # some make their sockets when they are root no more
        cores = {place.proxy_core}
        if everywhere:
            cores = place.all_cores
            options["workers"] = len(cores)
        setup = Setup(directory=directory, port=self.port, ca_file=place.ca,
                      upstreams=tuple(each.port for each in upstreams), chain=place.certificate,
                      key=place.key, dot_port=self.dot_port, doh_port=self.doh_port, **options)
        self.control = setup.control
        program = peer.find()
        if peer.is_confined:
            program = shutil.copy(program, directory)
        argv = [program, *peer.prepare(setup)]
        with open(directory / "log", "wb") as log:
            self.started = time.monotonic()
            self.child = place.spawn(argv, cores, stdout=log, stderr=log,
                                     cwd=directory)
        try:
            self.start_seconds = self._wait_for_answer(place.tag())
        except Trouble:
            self.place.end(self.child, signal.SIGKILL)
            raise

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_) -> None:
        self.place.end(self.child)

    @property
    def pid(self) -> int:
        return self.child.pid

    def _wait_for_answer(self, tag: str) -> float:
        """Asks until an answer has come: again at once where nobody listens yet or a failure is
        answered, else after 10 ms. One question has to do: with two under way a second worker may
        take the second one and connect for it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", self.port))
            client.settimeout(0.01)
            for attempt in range(int(START_PATIENCE * 2000)):
                try:
                    client.send(query(f"q{attempt:08d}.{tag}.bench.example.com", attempt % 65536))
                    if is_good(client.recv(4096)):
                        return time.monotonic() - self.started
                    time.sleep(0.0005)
                except ConnectionRefusedError:
                    time.sleep(0.0005)
                except TimeoutError:
                    pass
                late = time.monotonic() - self.started > START_PATIENCE
                if late or self.child.poll() is not None:
                    break
        raise Trouble(f"{self.child.args[0]} does not answer")

    def ask_once(self, patience: float = 3.0) -> float:
        """Seconds until the answer to one question, asked again never."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", self.port))
            client.settimeout(patience)
            begin = time.monotonic()
            client.send(query(f"q00000000.{self.place.tag()}.bench.example.com", 1))
            with contextlib.suppress(TimeoutError):
                if is_good(client.recv(4096)):
                    return time.monotonic() - begin
        raise Trouble("no answer to a single question")


class Quota:
    """A control group of processes that have a fifth of a core together: 1 ms in 5. Its end, by
    when they have to be gone, is `__exit__`."""

    PERIOD_US, QUOTA_US = 5000, 1000

    def __init__(self) -> None:
        name = f"dotproxy-bench-{os.getpid()}"
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, where, kind, options, *_ = line.split()
            self.group = Path(where) / name
            try:
                if kind == "cgroup2":
                    self._make_v2(Path(where))
                    return
                if kind == "cgroup" and "cpu" in options.split(","):
                    self._make_v1()
                    return
            except OSError:
                with contextlib.suppress(OSError):
                    self.group.rmdir()
        raise Trouble("no control group can be made that has a quota of the processor")

    def _make_v2(self, root: Path) -> None:
        (root / "cgroup.subtree_control").write_text("+cpu")
        self.group.mkdir()
        (self.group / "cpu.max").write_text(f"{self.QUOTA_US} {self.PERIOD_US}")

    def _make_v1(self) -> None:
        self.group.mkdir()
        (self.group / "cpu.cfs_period_us").write_text(str(self.PERIOD_US))
        (self.group / "cpu.cfs_quota_us").write_text(str(self.QUOTA_US))

    def hold(self, pid: int) -> None:
        """Takes in a process and all that descend from it."""
        for each in tree(pid):
            (self.group / "cgroup.procs").write_text(str(each))

    def __enter__(self) -> "Quota":
        return self

    def __exit__(self, *_) -> None:
        end = time.monotonic() + END_PATIENCE
        while self.group.exists() and time.monotonic() < end:
            with contextlib.suppress(OSError):
                self.group.rmdir()
            time.sleep(0.01)


class Flood:
    """A running bench/flood."""

    def __init__(self, place: Place, port: int, *options: str):
        self.place = place
        self.child = place.spawn([str(place.tools / "flood"), f"--port={port}", *options],
                                 {place.load_core}, stdout=subprocess.PIPE, bufsize=0)
        read_line(self.child, START_PATIENCE)  # it is there

    def __enter__(self) -> "Flood":
        return self

    def __exit__(self, *_) -> None:
        self.place.end(self.child, signal.SIGKILL)

    def counters(self) -> dict[str, float]:
        self.child.send_signal(signal.SIGUSR1)
        return numbers(read_line(self.child, START_PATIENCE))


class Load:
    """A running bench/load."""

    def __init__(self, place: Place, port: int, *options: str, seconds: float, warm_up: float = 0.3,
                 timeout: float = 2.0, tag: str | None = None):
        self.place = place
        self.patience = warm_up + seconds + timeout + START_PATIENCE
        self.child = place.spawn(
            [str(place.tools / "load"), f"--port={port}", f"--tag={tag or place.tag()}",
             f"--seconds={seconds}", f"--warm-up={warm_up}", f"--timeout={timeout}", *options],
            {place.load_core}, stdout=subprocess.PIPE, bufsize=0)

    def wait_for(self, word: str) -> None:
        """Waits for "begin" or "end"."""
        if read_line(self.child, self.patience) != word:
            raise Trouble(f"load did not say {word}")

    def result(self) -> tuple[dict[str, float], list[tuple[int, int]]]:
        """The numbers, and (sent, answered) of each bin."""
        line = read_line(self.child, self.patience)
        rest = self.child.stdout.read().decode().splitlines()
        self.place.end(self.child)
        bins = [tuple(int(field) for field in each.split()[2:4]) for each in rest]
        return numbers(line), bins


def measure(place: Place, proxy: Proxy, *options: str, seconds: float, port: int = 0,
            **more) -> dict[str, float]:
    """Runs a load; adds the CPU seconds that the proxy used in the window, and their share."""
    load = Load(place, port or proxy.port, *options, seconds=seconds, **more)
    load.wait_for("begin")
    before = cpu_seconds(proxy.pid)
    load.wait_for("end")
    cpu = cpu_seconds(proxy.pid) - before
    result, _ = load.result()
    if result["received"] == 0:
        raise Trouble("no answers under load")
    return result | {"cpu": cpu, "cpu_us": cpu / result["received"] * 1e6,
                     "busy": cpu / result["seconds"], "qps": result["received"] / result["seconds"]}
