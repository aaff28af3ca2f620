# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Where the log goes: syslog, the journal, standard error; from the master and from the workers.

import os
import pathlib
import re
import signal
import socket
import subprocess
import threading

import dns.rcode
import pytest

from harness.client import ask
from harness.process import has_ended, kill
from harness.waiting import wait_for

# Priorities of the facility "daemon" (RFC 5424, section 6.2.1).
ERROR, WARNING, NOTICE = 27, 28, 29

# A failure is what workers speak of.
SHORT = {"query": "1s"}

# A /dev that only those see who are started here: a few devices, and `log` leads to the test.
IN_A_DEV_OF_ITS_OWN = """
mount -t tmpfs none "$1"
for device in null zero full random urandom tty; do
    : >"$1/$device"
    mount --bind "/dev/$device" "$1/$device"
done
ln -s "$2" "$1/log"
mount --move "$1" /dev
shift 2
exec "$@"
"""


class Syslog:
    """A syslog daemon at /dev/log for whatever is started through `launcher`."""

    def __init__(self, directory):
        self.path = directory / "syslog"
        self.lines = []
        self._socket = None
        dev = directory / "dev"
        dev.mkdir()
        self.launcher = ("unshare", "--mount", "--propagation", "private", "sh", "-euc",
                         IN_A_DEV_OF_ITS_OWN, "sh", str(dev), str(self.path))
        self.start()

    def start(self):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self.path.chmod(0o666)
        threading.Thread(target=self._read, args=(self._socket,), daemon=True).start()

    def stop(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.path.unlink()

    def _read(self, sock):
        try:
            while datagram := sock.recv(8192):
                self.lines.append(datagram.decode())
        except OSError:
            pass

    def wait_for(self, priority, pid, text):
        """Waits for a line: <PRIORITY>Mmm dd hh:mm:ss dotproxy[PID]: TEXT..."""
        line = re.compile(rf"<{priority}>\w{{3}} [ \d]\d \d\d:\d\d:\d\d dotproxy\[{pid}\]: "
                          + re.escape(text))
        wait_for(lambda: any(line.match(one) for one in self.lines), 10, f"{line} in {self.lines}")


def can_mount(directory):
    """Containers often cannot, even for root."""
    command = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "none",
               str(directory)]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def syslog(directory):
    if os.geteuid() != 0:
        pytest.skip("only root makes a mount namespace, to have a /dev/log of its own")
    if not can_mount(directory):
        pytest.skip("nothing can be mounted in a namespace here, to have a /dev/log of its own")
    server = Syslog(directory)
    yield server
    if server.path.exists():
        server.stop()


def make_a_worker_speak(proxy, upstream):
    """Nothing but a failure makes it."""
    upstream.kill()
    assert ask(proxy.address, "failed.example").rcode() == dns.rcode.SERVFAIL


def test_syslog_is_told_by_master_and_workers(start, upstream, syslog):
    """Facility daemon; each line with its priority and the PID of who speaks, and none of it on
    standard error."""
    proxy = start(upstream, workers=1, timeouts=SHORT, launcher=syslog.launcher,
                  log={"target": "syslog", "level": "notice"})
    syslog.wait_for(NOTICE, proxy.pid, "master: serving with 1 workers")
    worker, = proxy.workers()
    make_a_worker_speak(proxy, upstream)
    syslog.wait_for(WARNING, worker, "worker 0: upstream ")
    kill(worker)
    syslog.wait_for(ERROR, proxy.pid, f"master: worker 0 (pid {worker}) was killed by signal 9")
    proxy.stop()
    syslog.wait_for(NOTICE, proxy.pid, "master: ending")
    assert proxy.log == ""
    assert not any("\n" in line or "warning:" in line for line in syslog.lines)


def test_a_daemon_speaks_to_syslog(daemon, upstream, syslog):
    """Target auto, without -f: nobody is left at the terminal."""
    proxy, pid, _ = daemon(workers=1, timeouts=SHORT, launcher=syslog.launcher,
                           log={"target": "auto"})
    syslog.wait_for(NOTICE, pid, "master: serving with 1 workers")
    make_a_worker_speak(proxy, upstream)
    syslog.wait_for(WARNING, r"\d+", "worker 0: upstream ")
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: has_ended(pid))


def test_a_syslog_daemon_may_be_restarted(start, upstream, syslog):
    """Its new socket is found, by processes that are no longer root; while there is none, nothing
    waits for it."""
    proxy = start(upstream, workers=1, timeouts=SHORT, launcher=syslog.launcher,
                  log={"target": "syslog", "level": "notice"})
    syslog.wait_for(NOTICE, proxy.pid, "master: serving")
    syslog.stop()
    proxy.reload()
    assert ask(proxy.address, "without.example").answer
    syslog.lines.clear()
    syslog.start()
    proxy.reload()
    syslog.wait_for(NOTICE, proxy.pid, "master: reloaded: ")
    make_a_worker_speak(proxy, upstream)
    syslog.wait_for(WARNING, proxy.workers()[0], "worker 0: upstream ")


def test_a_worker_outlives_its_syslog_daemon(start, upstream, syslog):
    """To find the next one it makes a socket, which its sandbox lets it."""
    proxy = start(upstream, workers=1, timeouts=SHORT, launcher=syslog.launcher,
                  log={"target": "syslog", "level": "notice"})
    syslog.wait_for(NOTICE, proxy.pid, "master: serving")
    worker, = proxy.workers()
    syslog.stop()
    make_a_worker_speak(proxy, upstream)
    syslog.start()
    # An upstream that is dead already is nothing to speak of.
    upstream.start()
    wait_for(lambda: ask(proxy.address, "between.example").answer)
    make_a_worker_speak(proxy, upstream)
    syslog.wait_for(WARNING, worker, "worker 0: upstream ")
    assert proxy.workers() == [worker]


def test_no_syslog_daemon_is_no_reason_to_fail(start, upstream, syslog):
    syslog.stop()
    proxy = start(upstream, workers=1, timeouts=SHORT, launcher=syslog.launcher,
                  log={"target": "syslog"})
    assert ask(proxy.address, "quiet.example").answer


def test_a_reload_moves_the_log(start, upstream, syslog):
    """From standard error to syslog and back, for the master and for the workers."""
    proxy = start(upstream, workers=1, timeouts=SHORT, launcher=syslog.launcher,
                  log={"target": "stderr", "level": "notice"})
    assert "dotproxy: master: serving" in proxy.log and not syslog.lines
    proxy.write_configuration(log={"target": "syslog"})
    proxy.reload()
    length = len(proxy.log)
    syslog.wait_for(NOTICE, proxy.pid, "master: reloaded: ")
    make_a_worker_speak(proxy, upstream)
    syslog.wait_for(WARNING, proxy.workers()[0], "worker 0: upstream ")
    assert proxy.log[length:] == ""
    proxy.write_configuration(log={"target": "stderr"})
    proxy.reload()
    told = len(syslog.lines)
    assert ask(proxy.address, "failed-too.example").rcode() == dns.rcode.SERVFAIL
    wait_for(lambda: "dotproxy: worker 0: warning: upstream " in proxy.log[length:])
    assert len(syslog.lines) == told


# systemd says by JOURNAL_STREAM which file it connected to its journal (systemd.exec(5)).
AS_SYSTEMD = ("sh", "-euc",
              'export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2); exec "$@"', "sh")


@pytest.mark.parametrize("target", ["auto", "stderr"])
def test_the_journal_gets_priorities(start, upstream, target):
    """sd-daemon(3): each line begins with its own; the name of the program is not repeated."""
    proxy = start(upstream, workers=1, timeouts=SHORT, launcher=AS_SYSTEMD,
                  log={"target": target, "level": "notice"})
    make_a_worker_speak(proxy, upstream)
    worker, = proxy.workers()
    kill(worker)
    lines = wait_for(lambda: "was killed" in proxy.log and proxy.log.splitlines())
    assert lines[0].startswith("<5>master: serving with 1 workers")
    assert any(line.startswith("<4>worker 0: upstream ") for line in lines)
    assert any(line.startswith(f"<3>master: worker 0 (pid {worker}) was killed") for line in lines)
    assert all(re.match(r"<[3-5]>(master|worker 0): ", line) for line in lines)


def test_a_journal_that_others_write_to_is_none_of_ours(start, upstream):
    """The variable is inherited; what counts is the file."""
    proxy = start(upstream, workers=1, timeouts=SHORT, environment={"JOURNAL_STREAM": "1:1"},
                  log={"target": "auto", "level": "notice"})
    make_a_worker_speak(proxy, upstream)
    wait_for(lambda: "dotproxy: worker 0: warning: upstream " in proxy.log)
    assert all(line.startswith("dotproxy: ") for line in proxy.log.splitlines())


# What logcheck(8) of the Debian package passes over. It reads files that rsyslogd(8) wrote, or the
# journal in the same form.
RULES = pathlib.Path(__file__).parents[2] / "debian" / "dotproxy.logcheck.ignore.server"
STAMPS = ("Nov  3 08:00:00", "2026-11-03T08:00:00.123456+00:00")


def reported(lines):
    """Those that logcheck would send to the administrator, without their front."""
    fronts = [f"{stamp} host.example dotproxy[4711]: " for stamp in STAMPS]
    told = subprocess.run(["grep", "-vE", "-f", RULES], capture_output=True, text=True, input="".join(
        f"{front}{line}\n" for front in fronts for line in lines))
    assert not told.stderr
    left = [line.partition("]: ")[2] for line in told.stdout.splitlines()]
    assert left[:len(left) // 2] == left[len(left) // 2:]
    return left[:len(left) // 2]


def live_a_life(proxy, upstream):
    """Answers, counters, reloads with another cache, an upstream that fails, and the end."""
    ask(proxy.address, "first.example")
    proxy.send_signal(signal.SIGUSR1)
    proxy.reload()
    proxy.write_configuration(cache={"size": "2M"})
    proxy.reload()
    make_a_worker_speak(proxy, upstream)
    proxy.stop()


def assert_only_trouble_is_reported(lines):
    trouble = reported(lines)
    assert trouble and all(line.startswith("worker 0: upstream ") for line in trouble)
    for normal in ("serving", "reloaded", "forgotten", "ending", "udp_queries="):
        assert any(normal in line for line in lines)


needs_rules = pytest.mark.skipif(not RULES.exists(), reason="a release's tarball has no debian/")


@needs_rules
def test_logcheck_passes_over_what_is_normal_in_the_journal(start, upstream):
    """Of all that is said in a normal life, down to what is informational, only trouble is left."""
    proxy = start(upstream, workers=1, timeouts=SHORT, launcher=AS_SYSTEMD, cache={"size": "1M"},
                  log={"target": "stderr", "level": "info"})
    live_a_life(proxy, upstream)
    assert_only_trouble_is_reported([line[3:] for line in proxy.log.splitlines()])


@needs_rules
def test_logcheck_passes_over_what_is_normal_in_syslog(start, upstream, syslog):
    """The same of the lines that syslog is given."""
    proxy = start(upstream, workers=1, timeouts=SHORT, launcher=syslog.launcher,
                  cache={"size": "1M"}, log={"target": "syslog", "level": "info"})
    live_a_life(proxy, upstream)
    syslog.wait_for(NOTICE, proxy.pid, "master: ending")
    assert_only_trouble_is_reported([line.partition("]: ")[2] for line in syslog.lines])
