# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The program under test as a tree of processes, and Debian's unbound as its upstream.

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading

from . import configuration
from .program import unconfined
from .upstream import listening
from .waiting import PATIENCE, free_port, wait_for

# The line about a worker, which may have counted nothing yet. What a worker says of itself is
# another one.
_COUNTERS = re.compile(r"master: counters (\d+)/(\d+):(.*)\n")
_SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|WARNING: ThreadSanitizer")


def binary():
    """The program under test: $DOTPROXY, else ./dotproxy (make check runs in the build tree)."""
    return os.path.abspath(os.environ.get("DOTPROXY", "dotproxy"))


def copy_for_anybody(program, directory):
    """A copy that every account can execute: the build tree may be where only root can enter."""
    return shutil.copy(program, directory)


def has_sanitizer():
    """Whether the program was built with AddressSanitizer."""
    return b"__asan_init" in pathlib.Path(binary()).read_bytes()


# Hands descriptors over: from 3 on, and to the process that it becomes.
_AS_SYSTEMD = """
import fcntl, os, sys
copies = [fcntl.fcntl(int(number), fcntl.F_DUPFD_CLOEXEC, 100) for number in sys.argv[1].split(",")]
for number in sys.argv[1].split(","):
    os.set_inheritable(int(number), False)
for number, copy in enumerate(copies):
    os.dup2(copy, 3 + number)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(copies))}
os.execv(sys.argv[2], sys.argv[2:])
"""


def passing(numbers):
    """The `launcher` and `pass_fds` that pass descriptors as systemd does."""
    return {"pass_fds": numbers,
            "launcher": (sys.executable, "-c", _AS_SYSTEMD, ",".join(map(str, numbers)))}


class Dotproxy:
    """A running dotproxy.

    `settings` change the configuration that configuration.defaults() makes; `arguments`, `pass_fds`
    and `environment` are for the process; `before` is called in the child before it executes, and
    `launcher` is a command that executes the program in its own place. `program` is a copy of it.
    """

    def __init__(self, directory, ca_file, upstreams, *, listen=None, arguments=("-f",),
                 environment=None, before=None, pass_fds=(), launcher=(), program=None,
                 **settings):
        self.directory = directory
        self.listen = listen or [("127.0.0.1", free_port())]
        self.config_file = directory / "dotproxy.conf"
        if has_sanitizer() or os.geteuid() != 0:
            # A sanitizer's report opens files; and what a process has open, its sandbox hides from
            # the others of its account.
            settings = {"sandbox": "off"} | settings
        self.settings = configuration.merge(
            configuration.defaults(self.listen, upstreams, ca_file), settings)
        self.write_configuration()
        self._log_file = directory / "stderr"
        self._environment = dict(os.environ, **(environment or {}))
        self._command = [*launcher, program or binary(), *arguments, "-c", str(self.config_file)]
        self._before, self._pass_fds = before, pass_fds
        self.notifications = []
        self.kept = {}
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(directory / "notify"))
        os.chmod(directory / "notify", 0o777)
        # Read all the time, as a service manager does: the socket holds only a few datagrams.
        self._reader = threading.Thread(target=self._read_notifications, daemon=True)
        self._reader.start()
        self.process = None
        self.expect_clean_exit = True

    @property
    def address(self):
        return self.listen[0]

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return self._log_file.read_text(errors="replace")

    def write_configuration(self, text=None, **changes):
        """Writes the configuration file anew: `text`, or the settings with changes to keep.

        It takes the old one's place whole: a reload that is under way may read it at any time, and
        an empty file is a good configuration.
        """
        self.settings = configuration.merge(self.settings, changes)
        new = self.config_file.with_suffix(".new")
        new.write_text(configuration.render(self.settings) if text is None else text)
        new.chmod(0o644)
        new.rename(self.config_file)

    def launch(self, output=None):
        """Executes the program and returns at once. What it writes goes to `log`, or to the
        descriptor `output`."""
        environment = dict(self._environment, NOTIFY_SOCKET=str(self.directory / "notify"))
        with self._log_file.open("wb") as log:
            output = log if output is None else output
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=environment, cwd=self.directory, preexec_fn=self._before,
                pass_fds=self._pass_fds)
        return self

    def start(self):
        """Executes the program and waits until it says that it is ready, and has seen whether the
        scripted servers work: what they count from then on are questions."""
        with self.checking():
            self.launch()
            self.wait_for_notification("READY=1")
        return self

    @contextlib.contextmanager
    def checking(self):
        """While the configuration as it stands is put to use: the scripted servers expect to be
        checked, and have been when this ends."""
        servers = [server for entry in self.settings["upstreams"]
                   for endpoint in configuration.endpoints(entry)
                   if (server := listening(*endpoint))]
        before = len(self.log) if self.process else 0
        for server in servers:
            server.expect_check()
        yield
        for server in servers:
            said = f":{server.port}: works\n"
            server.wait_for_checks(lambda: said in self.log[before:])

    def wait_for_notification(self, wanted, count=1, timeout=PATIENCE):
        """Waits until the line `wanted` came `count` times through the notification socket."""
        def seen():
            if self.lines().count(wanted) >= count:
                return True
            assert self.process.poll() is None, \
                f"ended with {self.process.returncode} before {wanted}:\n{self.log}"
            return False
        wait_for(seen, timeout, f"{wanted} x{count} from the program:\n{self.log[-4000:]}")

    def lines(self):
        """Every line that came through the notification socket, in order."""
        return [line for datagram in list(self.notifications) for line in datagram.splitlines()]

    def _read_notifications(self):
        while True:
            datagram, descriptors, _, _ = socket.recv_fds(self._notify, 4096, 253)
            if not datagram:
                return
            self._keep(datagram.decode().splitlines(), descriptors)
            self.notifications.append(datagram.decode())

    def _keep(self, lines, descriptors):
        """What a service manager does with descriptors that it is given to keep, by their name."""
        name = next((line[7:] for line in lines if line.startswith("FDNAME=")), "stored")
        if "FDSTOREREMOVE=1" in lines:
            for descriptor in self.kept.pop(name, []):
                os.close(descriptor)
        if "FDSTORE=1" in lines:
            self.kept.setdefault(name, []).extend(descriptors)
        if "BARRIER=1" in lines:  # which comes with a pipe, closed when it has its turn
            for descriptor in descriptors:
                os.close(descriptor)
        assert "FDSTORE=1" in lines or "BARRIER=1" in lines or not descriptors

    def take_kept(self):
        """The descriptors that a program that has ended gave to keep, as (name, number); the caller
        closes them."""
        # What it sent last is still read.
        self._notify.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        kept, self.kept = self.kept, {}
        return [(name, number) for name, numbers in kept.items() for number in numbers]

    # The tree.

    def workers(self):
        """The PIDs of the children that are alive."""
        return [pid for pid in self.children() if not has_ended(pid)]

    def zombies(self):
        return [pid for pid in self.children() if state_of(pid) == "Z"]

    def children(self):
        try:
            return [int(pid) for pid in
                    pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        except FileNotFoundError:
            return []

    def descriptors(self, pid=None):
        """How many descriptors a process of the tree has open; the master's by default."""
        return len(os.listdir(f"/proc/{pid or self.pid}/fd"))

    def cpu_seconds(self):
        """User and system time of all living processes of the tree."""
        total = 0
        for pid in [self.pid, *self.workers()]:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def assert_memory_grew_less(self, before, kib):
        """Compares memory_kib(). A sanitizer keeps what was freed, so it says nothing there."""
        if not has_sanitizer():
            assert self.memory_kib() - before < kib

    def memory_kib(self):
        """Resident memory of all workers."""
        return sum(int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(
            f"/proc/{pid}/status").read_text())[1]) for pid in self.workers())

    def counters(self):
        """What the service has counted since its start; what is 0 is left out."""
        length = len(self.log)
        self.send_signal(signal.SIGUSR1)
        lines = wait_for(lambda: (found := _COUNTERS.findall(self.log, length)) and
                         found[-1][0] == found[-1][1] and found)
        return {key: int(value) for _, _, line in lines
                for key, value in re.findall(r"(\w+)=(\d+)", line)}

    def run_ctl(self, *arguments):
        """dotproxyctl, at the control socket of its configuration."""
        return subprocess.run(
            [os.path.join(os.path.dirname(binary()), "dotproxyctl"), "-c", self.config_file,
             *arguments],
            capture_output=True, text=True, timeout=PATIENCE, check=False)

    def ctl(self, *arguments):
        """What dotproxyctl prints, which must succeed."""
        result = self.run_ctl(*arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    # Signals.

    def send_signal(self, number):
        self.process.send_signal(number)

    def reload(self):
        """SIGHUP, and waits until the new generation is at work and the old one has gone."""
        before = set(self.workers())
        ready = self.lines().count("READY=1")
        with self.checking():
            self.send_signal(signal.SIGHUP)
            self.wait_for_notification("READY=1", ready + 1)
        wait_for(lambda: not before & set(self.workers()), what="the old workers to leave")

    def stop(self, number=signal.SIGTERM, timeout=PATIENCE):
        """Ends the program and returns its exit status; killed when it does not end."""
        if self.process is None:
            return None
        workers = self.workers()
        if self.process.poll() is None:
            self.send_signal(number)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            for pid in [self.pid, *workers]:
                kill(pid)
            self.process.wait()
            raise AssertionError(f"still there {timeout} s after signal {number}:\n{self.log}")
        wait_for(lambda: all(map(has_ended, workers)), what="the workers to end with their master")
        return status

    def close(self):
        """What is true at the end of each test: a clean exit, and nothing found by a sanitizer."""
        try:
            status = self.stop()
            if status is None:
                return
            report = _SANITIZER.search(self.log)
            assert not report, self.log[report.start():][:8000]
            if self.expect_clean_exit:
                assert status == 0, f"exit status {status}:\n{self.log}"
        finally:
            for _, number in self.take_kept():
                os.close(number)
            self._notify.close()


def state_of(pid):
    """The state letter of a process; None when there is none."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def has_ended(pid):
    """Whether a process has ended, be it that nobody has asked for its status yet."""
    return state_of(pid) in (None, "Z", "X")


def kill(pid, number=signal.SIGKILL):
    """Sends a signal to a process that may have gone already. After SIGKILL it has ended: until
    that process gets its turn, it would still be counted among the living."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    if number == signal.SIGKILL:
        wait_for(lambda: has_ended(pid), what=f"process {pid} to end")


class Unbound:
    """Debian's unbound as a server for `example.`, of DNS over TLS or of DNS over HTTPS."""

    name = "dot.example"
    address = "127.0.0.1"

    def __init__(self, directory, certificate, records, https=False):
        self.port = free_port()
        self.url = f"https://{self.name}:{self.port}/dns-query" if https else None
        self._directory = directory
        self._file = directory / "unbound.conf"
        self._program = unconfined("unbound", directory)
        data = "".join(f"    local-data: '{one}'\n" for one in records)
        self._file.write_text(f"""server:
    directory: "{directory}"
    username: ""
    chroot: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    interface: 127.0.0.1@{self.port}
    {"https" if https else "tls"}-port: {self.port}
    tls-service-key: "{certificate.key_file}"
    tls-service-pem: "{certificate.chain_file}"
    module-config: "iterator"
    incoming-num-tcp: 100
    msg-buffer-size: 65552
    local-zone: "example." static
{data}remote-control:
    control-enable: no
""")
        self.process = None
        self.start()

    def start(self):
        with (self._directory / "unbound.log").open("ab") as log:
            self.process = subprocess.Popen([self._program, "-d", "-c", self._file], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL)
        wait_for(self._listens, what="unbound to listen")

    def close(self):
        self.process.kill()
        self.process.wait()

    def _listens(self):
        assert self.process.poll() is None, (self._directory / "unbound.log").read_text()
        try:
            socket.create_connection((self.address, self.port), 1).close()
        except OSError:
            return False
        return True
