# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The wall clock is stepped, far forth and far back (rule L72): timers follow the monotonic clock
# and are not disturbed; the validity of certificates follows the wall clock. And what is done each
# day or week, where both clocks are moved on.

import pathlib
import time

import dns.rcode
import pytest

from harness import wire
from harness.certificates import DAY
from harness.client import TcpClient, TlsClient, ask, tls_context
from harness.load import Load
from harness.waiting import wait_for

# AddressSanitizer has to be the first library, and so does libfaketime.
pytestmark = pytest.mark.unsanitized

STEPS = ("+400d", "-400d", "+0")


class WallClock:
    """The wall clock of the processes that are started with `environment`, by libfaketime; it opens
    a file each time, so that they cannot have a sandbox."""

    def __init__(self, library, file):
        self._file = file
        self.set("+0")
        self.of_all = {
            "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1", "FAKETIME_DISABLE_SHM": "1"}  # the monotonic clock as well
        self.environment = self.of_all | {
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}

    def set(self, offset):
        """Steps it to `offset` from the machine's."""
        new = self._file.with_suffix(".new")
        new.write_text(offset + "\n")
        new.chmod(0o644)
        new.rename(self._file)


@pytest.fixture
def clock(directory):
    library = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if not library:
        pytest.skip("faketime is not installed")
    return WallClock(library, directory / "clock")


def disconnect(upstream):
    """The next question needs a new connection."""
    for connection in upstream.open_connections:
        connection.close()


def assert_refused(proxy, upstream, name):
    """The clock is what the server's certificate says no to: nothing is asked there."""
    disconnect(upstream)
    answer = ask(proxy.address, name, edns=0)
    assert answer.rcode() == dns.rcode.SERVFAIL and set(wire.errors_of(answer)) & {22, 23}
    assert not upstream.asked(name)


def test_certificates_follow_the_wall_clock(start, upstream, clock):
    """C64: expired by the new time, not valid yet by another, good again by the right one."""
    proxy = start(upstream, workers=1, environment=clock.environment, timeouts={"query": "1s"},
                  sandbox="off")
    wait_for(lambda: ask(proxy.address, "first.example").answer)
    for offset in ("+31d", "-2d"):
        clock.set(offset)
        assert_refused(proxy, upstream, f"by{offset}.example")
        clock.set("+0")
        wait_for(lambda: ask(proxy.address, "good.example").answer, what="trust to come back")


def test_a_step_of_the_clock_loses_no_question(start, upstream, clock):
    """Over UDP and TCP, on connections that stay; no timer fires early, no worker is blamed."""
    # One worker: another that is woken late would have to connect when no certificate is valid.
    proxy = start(upstream, workers=1, environment=clock.environment | {"WATCHDOG_USEC": "1500000"},
                  sandbox="off")
    workers = proxy.workers()
    with Load(proxy.address, rate=200) as load, \
            Load(proxy.address, rate=100, transport="tcp", prefix="stream") as stream:
        wait_for(lambda: len(load.asked) > 50)
        handshakes = len(upstream.handshakes)
        for offset in STEPS * 3:
            clock.set(offset)
            before, alive = len(load.asked), proxy.lines().count("WATCHDOG=1")
            wait_for(lambda: len(load.asked) > before + 40)
            proxy.wait_for_notification("WATCHDOG=1", alive + 2)
        connections = stream.connections
    load.assert_flawless()
    stream.assert_flawless()
    assert proxy.workers() == workers
    assert connections == 1 and len(upstream.handshakes) <= max(handshakes, 2)
    clock.set("+400d")  # lest nothing was stepped
    assert_refused(proxy, upstream, "late.example")


@pytest.mark.parametrize("offset", STEPS[:2])
def test_a_deadline_is_kept_when_the_clock_is_stepped(start, upstream, clock, offset):
    """Neither at once nor never: a question that nobody answers fails when its time has come."""
    proxy = start(upstream, workers=1, environment=clock.environment, sandbox="off",
                  timeouts={"query": "2s", "drain": "1s"})
    assert ask(proxy.address, "warm.example").answer
    upstream.hold("never.example.")
    with TcpClient(proxy.address) as client:
        began = time.monotonic()
        client.send(wire.query("never.example", id=5))
        upstream.wait_for_query("never.example")
        clock.set(offset)
        assert client.receive()[3] & 15 == dns.rcode.SERVFAIL
        assert 1.7 < time.monotonic() - began < 10
    assert_refused(proxy, upstream, "late.example")
    clock.set("+0")


def test_certificates_are_told_of_each_day(start_secure, authority, clock):
    """E4: as long as they are soon to end."""
    late = authority.leaf(valid=(-70 * DAY, 20 * DAY))
    proxy, _ = start_secure(late, workers=1, environment=clock.of_all, sandbox="off")
    wait_for(lambda: "ends within 20 days, at " in proxy.log)
    clock.set("+23h")
    assert proxy.counters()["certificate_left"] <= 20 * 24 * 3600 - 23 * 3600
    assert proxy.log.count("ends within") == 1
    clock.set("+49h")
    wait_for(lambda: proxy.counters() and "ends within 18 days, at " in proxy.log)
    assert proxy.log.count("ends within") == 2


def test_tickets_have_another_key_after_a_week(start_secure, authority, clock):
    """E12: from a reload on. Until then reloads change nothing."""
    proxy, address = start_secure(authority.leaf(), workers=1, environment=clock.of_all,
                                  sandbox="off")
    context = tls_context(authority.file)

    def is_resumed(session):
        with TlsClient(address, context, session=session) as client:
            assert client.ask("www.example").answer
            return client.resumed
    clock.set("+10050m")  # a ticket of the last half hour: its age (two hours) must not end it
    with TlsClient(address, context) as client:
        assert client.ask("www.example").answer
        session = client.session
    proxy.reload()
    assert is_resumed(session)
    clock.set("+10110m")
    assert is_resumed(session)
    proxy.reload()
    assert not is_resumed(session)
