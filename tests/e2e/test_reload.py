# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# SIGHUP: a new generation beside the old one, and no question lost between them; a configuration
# that does not work changes nothing (rules L62, L64, L65, L74).

import os
import re
import signal
import socket

import dns.rcode
import pytest

from harness import wire
from harness.client import TcpClient, ask, udp_socket
from harness.load import Load
from harness.process import kill
from harness.waiting import free_port, wait_for


def test_a_reload_replaces_every_worker(start, upstream):
    proxy = start(upstream, workers=3)
    before = set(proxy.workers())
    proxy.reload()
    wait_for(lambda: len(proxy.workers()) == 3)
    assert not before & set(proxy.workers())


@pytest.mark.parametrize("transport,reloads", [("udp", 20), ("tcp", 12)])
def test_reloads_under_load_lose_nothing(start, upstream, transport, reloads):
    """L65: constant load; one client that pipelines on as long as it can."""
    proxy = start(upstream, workers=2)
    with Load(proxy.address, rate=300, transport=transport) as load:
        for _ in range(reloads):
            before = len(load.asked)
            proxy.reload()
            wait_for(lambda: len(load.asked) > before + 20)
    load.assert_flawless()


def test_a_reload_with_questions_in_flight_loses_none(start, upstream):
    """L65: asked of the old generation, answered by it while the new one is at work."""
    proxy = start(upstream, workers=1, timeouts={"drain": "15s", "query": "15s"})
    upstream.hold("flight.example.")
    with TcpClient(proxy.address) as client, udp_socket(proxy.address) as sock:
        client.send(wire.query("flight.example", id=1))
        sock.send(wire.query("flight.example", id=2))
        upstream.wait_for_query("flight.example")
        ask(proxy.address, "sentinel.example")
        ready = proxy.lines().count("READY=1")
        proxy.send_signal(signal.SIGHUP)
        proxy.wait_for_notification("READY=1", ready + 1)
        for number in range(20):
            assert ask(proxy.address, f"new{number}.example").answer
        upstream.release("flight.example.")
        assert wire.address_in(client.receive()) == wire.address_of("flight.example")
        assert wire.address_in(sock.recv(65536)) == wire.address_of("flight.example")


def test_a_reload_uses_the_new_configuration(start, serve):
    """Another upstream, another listener, more workers; the old listener is closed."""
    first, second = serve(), serve()
    proxy = start(first, workers=1)
    old = proxy.address
    ask(old, "first.example")
    new = ("127.0.0.1", free_port())
    proxy.listen = [new]
    proxy.write_configuration(
        workers=2, listen=[{"address": new[0], "port": new[1]}],
        upstreams=[{"name": second.name, "addresses": [second.address], "port": second.port}])
    proxy.reload()
    assert ask(new, "second.example").answer
    assert second.asked("second.example") and len(first.queries) == 1
    wait_for(lambda: len(proxy.workers()) == 2)

    def is_closed(transport):
        try:
            ask(old, "gone.example", transport=transport, timeout=1)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    for transport in ("udp", "tcp"):
        wait_for(lambda: is_closed(transport), what=f"the old {transport} listener to close")


def test_a_reload_changes_the_log_of_the_workers(start, upstream):
    """Their words, not the master's alone: level by level, as the file says."""
    proxy = start(upstream, workers=1, log={"level": "error"}, timeouts={"query": "1s"})
    upstream.kill()

    def fails_and_logs(name, level):
        length = len(proxy.log)
        proxy.write_configuration(log={"level": level})
        proxy.reload()
        assert ask(proxy.address, name).rcode() == dns.rcode.SERVFAIL
        return "worker 0: " in proxy.log[length:]
    assert not fails_and_logs("quiet.example", "error")
    assert fails_and_logs("told.example", "warning")
    assert not fails_and_logs("quiet-again.example", "error")


def test_a_listener_that_stays_is_never_closed(start, upstream):
    """L65: one is added, one stays; then it goes again."""
    proxy = start(upstream, workers=1)
    added = free_port()
    listeners = list(proxy.settings["listen"])
    with Load(proxy.address, rate=200) as load:
        for listen in (listeners + [{"address": "127.0.0.1", "port": added}], listeners):
            proxy.write_configuration(listen=listen)
            proxy.reload()
        assert len(load.asked) > 0
    load.assert_flawless()


def bad_configurations(proxy):
    good = proxy.settings
    upstream = dict(good["upstreams"][0])
    yield {"tls": {"ca_file": str(proxy.directory / "missing.pem")}}, "ca_file"
    (proxy.directory / "empty.pem").write_text("no certificate in here\n")
    yield {"tls": {"ca_file": str(proxy.directory / "empty.pem")}}, "empty.pem"
    if os.geteuid() == 0:
        yield {"user": "no-such-user-here"}, "no-such-user-here"
        yield {"group": "no-such-group-here"}, "no-such-group-here"
    yield {"listen": good["listen"] * 2}, "listen"
    yield {"upstreams": [upstream | {"addresses": ["nowhere"]}]}, "addresses"
    yield {"workres": 3}, "workres"
    yield {"workers": "three"}, "workers"


def test_a_bad_configuration_changes_nothing(start, upstream):
    """L64: under load; each fault is logged with file, line and key; then a good one is taken."""
    proxy = start(upstream, workers=2)
    text = proxy.config_file.read_text()
    with Load(proxy.address, rate=200) as load, \
            Load(proxy.address, rate=100, transport="tcp", prefix="stream") as stream:
        workers = sorted(proxy.workers())
        faults = list(bad_configurations(proxy))
        for changes, key in faults:
            settings, length = dict(proxy.settings), len(proxy.log)
            proxy.write_configuration(**changes)
            proxy.settings = settings
            if "workres" in changes:
                proxy.config_file.write_text(text + "workres = 3;\n")
            proxy.send_signal(signal.SIGHUP)
            wait_for(lambda: key in proxy.log[length:], what=f"a word about {key}")
        for broken in ("", "listen = (", "\0\1\2"):
            if broken:
                length = len(proxy.log)
                proxy.write_configuration(broken)
                proxy.send_signal(signal.SIGHUP)
                wait_for(lambda: re.search(rf"{proxy.config_file}:\d+", proxy.log[length:]))
        proxy.config_file.unlink()
        length = len(proxy.log)
        proxy.send_signal(signal.SIGHUP)
        wait_for(lambda: str(proxy.config_file) in proxy.log[length:])
        assert sorted(proxy.workers()) == workers
        proxy.write_configuration(text)
        proxy.reload()
    load.assert_flawless()
    stream.assert_flawless()


def test_a_port_taken_by_somebody_else_changes_nothing(start, upstream):
    """L64: a generation that cannot be built."""
    proxy = start(upstream, workers=1)
    workers = proxy.workers()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        good = list(proxy.settings["listen"])
        proxy.write_configuration(listen=good + [{"address": "127.0.0.1", "port": port}])
        proxy.send_signal(signal.SIGHUP)
        wait_for(lambda: str(port) in proxy.log)
        assert ask(proxy.address, "still.example").answer
        assert proxy.workers() == workers
        proxy.write_configuration(listen=good)
    proxy.reload()
    assert ask(proxy.address, "again.example").answer


def test_many_reloads_at_once_end_well(start, upstream):
    """Signals merge; the last configuration wins and no generation is left over."""
    proxy = start(upstream, workers=2)
    with Load(proxy.address, rate=200) as load:
        for _ in range(50):
            proxy.send_signal(signal.SIGHUP)
        wait_for(lambda: len(load.asked) > 100)
        proxy.write_configuration(workers=3)
        ready = proxy.lines().count("READY=1")
        proxy.send_signal(signal.SIGHUP)
        wait_for(lambda: proxy.lines().count("READY=1") > ready and len(proxy.workers()) == 3)
    load.assert_flawless()


def test_an_idle_connection_outlives_reloads(start, upstream):
    """L65: it is handed from generation to generation, also with the beginning of a message."""
    proxy = start(upstream, workers=1)
    with TcpClient(proxy.address) as client:
        for turn in range(10):
            message = wire.query(f"idle{turn}.example", id=turn)
            framed = len(message).to_bytes(2, "big") + message
            begun = framed[:turn]
            client.send_octets(begun)
            ask(proxy.address, f"sentinel{turn}.example", transport="tcp")
            proxy.reload()
            client.send_octets(framed[len(begun):])
            assert wire.address_in(client.receive()) == wire.address_of(f"idle{turn}.example")


def test_workers_that_cannot_start_leave_the_old_ones_at_work(start, upstream):
    """The new generation is killed before it is ready: the old one goes on or a later one comes."""
    proxy = start(upstream, workers=2)
    with Load(proxy.address, rate=100) as load:
        for _ in range(5):
            old = set(proxy.workers())
            proxy.send_signal(signal.SIGHUP)
            for pid in wait_for(lambda: load.is_calm() and set(proxy.workers()) - old):
                kill(pid)
        wait_for(lambda: len(load.asked) > 50)
        wait_for(lambda: len(proxy.workers()) == 2)
    assert len(load.lost) <= 10 and not load.crossed
