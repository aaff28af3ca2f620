# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# What whoever starts the program leaves it with, and what its kernel lacks: closed streams, signals
# that are ignored, limits, no seccomp, no Landlock.

import errno
import os
import pathlib
import re
import resource
import signal

import pytest

from harness.client import ask
from harness.process import has_ended, kill
from harness.refusal import is_possible as refusal_is_possible
from harness.refusal import refusing
from harness.waiting import wait_for

CLOSED = ("sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh")
PR_SET_SECCOMP = 22

can_lack = pytest.mark.skipif(not refusal_is_possible, reason="this machine's calls are not known")


def assert_streams_lead_nowhere(pids):
    for pid in pids:
        for descriptor in range(3):
            assert os.readlink(f"/proc/{pid}/fd/{descriptor}") == "/dev/null"


@pytest.mark.unsanitized  # which opens files of its own before main()
def test_closed_standard_streams_do_not_become_sockets(start, upstream):
    """What is written to the standard error output would go to whoever is at the other end."""
    proxy = start(upstream, launcher=CLOSED)
    assert_streams_lead_nowhere([proxy.pid, *proxy.workers()])
    proxy.reload()
    assert ask(proxy.address, "after.example").answer


@pytest.mark.unsanitized  # which opens files of its own before main()
def test_a_daemon_keeps_its_sockets_when_the_standard_streams_were_closed(daemon):
    """It puts /dev/null there, whatever was there."""
    proxy, pid, _ = daemon(launcher=CLOSED)
    assert_streams_lead_nowhere([pid])
    assert ask(proxy.address, "daemon.example").answer
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: has_ended(pid))


def test_a_parent_that_ignores_its_children_is_no_example(start, upstream):
    """With SIGCHLD ignored, which is inherited, nobody is told of a worker's end."""
    proxy = start(upstream, workers=1, before=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    victim, = proxy.workers()
    kill(victim)
    wait_for(lambda: f"(pid {victim}) was killed by signal 9" in proxy.log)
    assert ask(proxy.address, "after.example").answer
    assert proxy.stop() == 0


def test_a_limit_to_the_size_of_files_is_an_error_that_is_told(prepare, upstream):
    """The signal that it comes with would end the master without a word."""
    proxy = prepare(upstream, cache={"size": "1M"},
                    before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)))
    proxy.expect_clean_exit = False
    proxy.launch()
    assert proxy.process.wait(20) == 1
    assert "size of the shared memory: File too large" in proxy.log


def test_a_daemon_that_is_ready_can_be_controlled(daemon, directory):
    """An init script may go on to dotproxyctl as soon as the start has returned."""
    _, pid, _ = daemon(control_socket=str(directory / "run" / "control"))
    assert (directory / "run" / "control").is_socket()
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: has_ended(pid))


@can_lack
@pytest.mark.unsanitized  # which has no sandbox
def test_without_seccomp_nothing_starts_but_without_a_sandbox(prepare, start, upstream):
    """Neither in the new way nor in the old one; the log says what helps."""
    launcher = refusing("seccomp", errno.ENOSYS) + refusing("prctl", errno.EINVAL, PR_SET_SECCOMP)
    proxy = prepare(upstream, workers=1, sandbox="on", launcher=launcher)
    proxy.expect_clean_exit = False
    proxy.launch()
    assert proxy.process.wait(20) == 1
    assert 'cannot enter its sandbox: seccomp: Invalid argument; sandbox = "off" goes without' \
        in proxy.log
    assert "exited with status 78" in proxy.log  # which is not tried again
    proxy = start(upstream, workers=1, sandbox="off", launcher=launcher)
    assert ask(proxy.address, "open.example").answer


@can_lack
@pytest.mark.unsanitized  # which has no sandbox
@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_landlock_the_filter_is_the_sandbox(start, upstream, error):
    """As the kernel says it that was built without it, or booted without it."""
    proxy = start(upstream, workers=1, sandbox="on",
                  launcher=refusing("landlock_create_ruleset", error))
    assert "no Landlock here" in proxy.log
    status = pathlib.Path(f"/proc/{proxy.workers()[0]}/status").read_text()
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)
    assert ask(proxy.address, "filtered.example").answer


@can_lack
@pytest.mark.unsanitized  # which has no sandbox
def test_a_sandbox_that_memory_was_short_for_is_tried_again(prepare, upstream):
    """What has run out may be there a moment later: not the status that takes the worker away for
    good, and no advice to do without."""
    proxy = prepare(upstream, workers=1, sandbox="on",
                    launcher=refusing("landlock_restrict_self", errno.ENOMEM))
    proxy.expect_clean_exit = False
    proxy.launch()
    assert proxy.process.wait(20) == 1
    if "no Landlock here" in proxy.log:
        pytest.skip("this kernel has no Landlock to enter")
    assert "cannot enter its sandbox: landlock_restrict_self: Cannot allocate memory\n" in proxy.log
    assert "exited with status 1\n" in proxy.log
