# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# What is counted, as `status` tells it: each reason by something that really happens, and nothing
# lost by what happens to workers.

import contextlib
import os
import pathlib
import re
import signal
import socket
import time

import dns.rcode
import pytest

from harness import wire
from harness.blackhole import Blackhole
from harness.certificates import DAY, Authority
from harness.client import ask, udp, udp_socket
from harness.load import Load
from harness.process import kill
from harness.upstream import FIN, RESET
from harness.waiting import PATIENCE, free_port, wait_for

GAUGES = {"tcp_clients", "queries_waiting", "upstream_connections", "blocked", "offenders", "udp_queue"}
COUNTED = re.compile(r"^(?!uptime|generation|workers$|pid$|worker\.|upstream\.).* \d+$")


@pytest.fixture
def counting(place, start):
    """Starts dotproxy with one worker and a control socket."""
    return lambda *upstreams, **how: start(
        *upstreams, **({"workers": 1, "control_socket": str(place / "control")} | how))


def status(proxy):
    """The lines of `status` as a dictionary."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(PATIENCE)
        client.connect(proxy.settings["control_socket"])
        client.sendall(b"status\n")
        octets = b""
        while not octets.endswith(b"\nok\n"):
            octets += client.recv(65536) or pytest.fail("the answer has no end")
    return dict(line.split(" ", 1) for line in octets.decode().splitlines()[:-1])


def counts(proxy):
    """What counts for the service as a whole, as numbers."""
    return {key: int(value) for key, value in status(proxy).items()
            if COUNTED.match(f"{key} {value}")}


def grown(before, after, prefix):
    """Which of those that begin with `prefix` are more than before, and by how much."""
    return {key.removeprefix(prefix): after[key] - before[key] for key in after
            if key.startswith(prefix) and after[key] != before[key]}


def silent(_):
    """A script: reads queries and answers none."""
    return None


def nobody():
    """A server that is not there: connections are refused."""
    return {"name": "dot.example", "addresses": ["127.0.0.1"], "port": free_port()}


# Questions and answers.

def test_types_and_rcodes_of_questions(counting, upstream):
    rcodes = {"nx": 3, "refused": 5, "broken": 2, "strange": 9}

    upstream.on_query = lambda query: wire.answer(
        query.raw, rcode=rcodes.get(query.name.split(".")[0], 0))
    proxy = counting(upstream)
    before = counts(proxy)
    types = ["A", "AAAA", "HTTPS", "SVCB", "PTR", "TXT", "SRV", "MX", "NS", "SOA", "CNAME", "DS",
             "DNSKEY", "ANY"]
    for rdtype in types:
        ask(proxy.address, f"type-{rdtype}.example", rdtype)
    ask(proxy.address, "type-other.example", "CAA")
    for name in rcodes:
        ask(proxy.address, f"{name}.example")
    assert udp(proxy.address, wire.query("other.example", flags=0x2900))  # an UPDATE
    ask(proxy.address, "version.example", edns=1)
    after = counts(proxy)
    assert grown(before, after, "query_types_") == \
        {rdtype.lower(): 1 for rdtype in types} | {"other": 1, "a": 1 + len(rcodes)}
    assert grown(before, after, "responses_") == \
        {"noerror": len(types) + 1, "nxdomain": 1, "refused": 1, "servfail": 1, "other": 1,
         "notimp": 1, "badvers": 1}
    assert grown(before, after, "failures") == {}


def test_outcomes_and_how_long_they_took(counting, upstream):
    proxy = counting(upstream, cache={"size": "1M"}, local_zones=True)
    before = counts(proxy)
    for _ in range(3):
        ask(proxy.address, "known.example")
    ask(proxy.address, "localhost")
    # Those of a turn are counted when its last answer has left.
    wait_for(lambda: counts(proxy)["query_duration_hit_count"] == 2)
    after = wait_for(lambda: (now := counts(proxy))["query_duration_local_count"] == 1 and now)
    assert {key: more for key, more in grown(before, after, "query_duration_").items()
            if key.endswith("_count")} == {"hit_count": 2, "miss_count": 1, "local_count": 1}
    # The upstream is another process: nothing comes from there in no time.
    assert after["query_duration_miss_us"] > 0
    assert after["turn_duration_count"] >= 4
    assert grown(before, after, "upstream_rtt_")["count"] == 1
    assert grown(before, after, "upstream_handshake_")["count"] == 1


def test_a_stale_answer_is_an_outcome(counting, upstream):
    upstream.on_query = lambda query: wire.answer(
        query.raw, records=[wire.record(b"\xc0\x0c", 1, bytes(4), ttl=1)])
    proxy = counting(upstream, cache={"size": "1M", "stale_after": "100ms"})
    ask(proxy.address, "old.example")
    upstream.on_query = silent
    answer = wait_for(lambda: (one := ask(proxy.address, "old.example", edns=0)) and
                      3 in wire.errors_of(one) and one)
    assert answer.rcode() == dns.rcode.NOERROR
    wait_for(lambda: counts(proxy)["query_duration_stale_count"] == 1)


# Failures.

def assert_one_failure(proxy, reason, name="fails.example", before=None):
    """Asks and gets SERVFAIL, which is counted as this and as nothing else."""
    before = before or counts(proxy)
    answer = ask(proxy.address, name, edns=0)
    assert answer.rcode() == dns.rcode.SERVFAIL and wire.errors_of(answer)
    after = wait_for(lambda: (now := counts(proxy))["query_duration_failed_count"] >
                     before["query_duration_failed_count"] and now)
    assert grown(before, after, "failures_") == {reason: 1}
    assert grown(before, after, "failures") == {"": 1, f"_{reason}": 1}
    assert grown(before, after, "responses_") == {"servfail": 1}


def test_a_failure_by_silence(counting, upstream):
    upstream.on_query = silent
    assert_one_failure(counting(upstream, timeouts={"query": "1s", "connect": "500ms"}), "timeout")


def test_a_failure_for_nobody_is_there(counting):
    assert_one_failure(counting(nobody(), timeouts={"query": "1s", "connect": "500ms"}),
                       "unreachable")


def test_a_failure_for_who_is_not_trusted(counting, serve, authority):
    proxy = counting(serve(authority.leaf(names=("other.example",))),
                     timeouts={"query": "1s", "connect": "500ms"})
    assert_one_failure(proxy, "untrusted")


def test_a_failure_for_an_answer_of_no_use(counting, upstream):
    """L82: what is cut off cannot be passed on."""
    upstream.on_query = lambda query: wire.answer(query.raw, records=[], flags=0x8280)
    proxy = counting(upstream)
    assert_one_failure(proxy, "unusable_answer")
    assert counts(proxy)["upstream_refused"] == 1


def test_an_error_for_which_another_upstream_was_asked(counting, serve):
    """Of the one that answered so, once for a question, whatever it took to find out."""
    first = serve(on_query=lambda query: wire.answer(query.raw, rcode=dns.rcode.SERVFAIL))
    proxy = counting(first, serve(), cache={"size": "0"})
    for name in ("first.example", "second.example"):
        assert ask(proxy.address, name).rcode() == dns.rcode.NOERROR
    told = status(proxy)
    assert told["upstream.0.failed_over"] == "2"
    assert told["upstream.1.failed_over"] == "0"
    assert told["failures"] == "0"
    line = f"127.0.0.1:{first.port}: answers with an error; another upstream is asked"
    assert sum(line in one for one in proxy.log.splitlines()) == 1, "and told, but not each time"


def test_a_failure_for_lack_of_room(counting, upstream):
    upstream.on_query = silent
    proxy = counting(upstream, limits={"queries": 64})
    with contextlib.closing(udp_socket(proxy.address)) as sock:
        for number in range(64):
            sock.send(wire.query(f"room{number}.example"))
        before = wait_for(lambda: (now := counts(proxy))["queries_waiting"] == 64 and now)
        assert_one_failure(proxy, "overload", "late.example", before)
    assert counts(proxy)["overload"] == 1


def test_a_failure_that_is_remembered(counting, upstream):
    """RFC 9520. It has a key of its own, and is none of `failures`."""
    upstream.on_query = lambda query: wire.answer(query.raw, rcode=2)
    proxy = counting(upstream, cache={"size": "1M", "failure_ttl": "60s"})
    ask(proxy.address, "fails.example")

    def told_again():
        before = counts(proxy)
        ask(proxy.address, "fails.example")
        after = counts(proxy)
        assert grown(before, after, "failures") in ({}, {"_cached": 1})
        return grown(before, after, "failures") and after
    assert wait_for(told_again)["failures"] == 0


def test_a_failure_of_a_worker_that_ends(counting, upstream):
    upstream.on_query = silent
    proxy = counting(upstream, timeouts={"drain": "300ms"})
    with contextlib.closing(udp_socket(proxy.address)) as sock:
        sock.send(wire.query("late.example"))
        wait_for(lambda: counts(proxy)["queries_waiting"] == 1)
        proxy.reload()
        assert wire.parse(sock.recv(4096)).rcode() == dns.rcode.SERVFAIL
    assert grown(dict.fromkeys(counts(proxy), 0), counts(proxy), "failures_") == {"draining": 1}


# Connections to upstreams that come to nothing.

def refuse_connections(**_):
    return nobody()


def never_shake_hands(serve, **_):
    return serve(on_accept=lambda connection: False)


def reset_at_once(serve, **_):
    return serve(on_accept=lambda connection: connection.close(RESET))


def speak_nonsense(serve, **_):
    def script(connection):
        connection.send_wire(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        return False
    return serve(on_accept=script)


def with_leaf(**how):
    return lambda serve, authority, **_: serve(authority.leaf(**how))


def of_a_stranger(serve, directory, **_):
    return serve(Authority(directory, "a stranger").leaf())


def with_another_pin(serve, authority, **_):
    server = serve()
    return {"name": server.name, "addresses": [server.address], "port": server.port,
            "pins": [authority.leaf().pin]}


@pytest.mark.parametrize("reason, server", [
    ("refused", refuse_connections), ("timeout", never_shake_hands), ("reset", reset_at_once),
    ("tls", speak_nonsense), ("name", with_leaf(names=("other.example",))),
    ("expired", with_leaf(valid=(-3 * DAY, -DAY))),
    ("not_yet_valid", with_leaf(valid=(DAY, 3 * DAY))),
    ("untrusted_ca", of_a_stranger), ("pin", with_another_pin)])
def test_why_there_is_no_connection(counting, serve, authority, directory, reason, server):
    proxy = counting(server(serve=serve, authority=authority, directory=directory),
                     timeouts={"query": "1s", "connect": "400ms"})
    before = counts(proxy)
    ask(proxy.address, "fails.example")
    after = wait_for(lambda: (now := counts(proxy))[f"upstream_connect_failures_{reason}"] and now)
    assert list(grown(dict.fromkeys(after, 0), after, "upstream_connect_failures_")) == [reason]
    assert not {"us", "peer_busy"} & set(grown(before, after, "upstream_closes_"))


# Connections to upstreams that end.

def test_who_closed_a_connection(counting, upstream):
    proxy = counting(upstream, timeouts={"upstream_idle": "1s"})
    assert ask(proxy.address, "first.example").answer
    upstream.connections[-1].close(FIN)
    wait_for(lambda: counts(proxy)["upstream_closes_peer_idle"] == 1)

    def close(query):
        upstream.on_query = None
        query.connection.close(FIN)
    upstream.on_query = close
    assert ask(proxy.address, "second.example").answer
    assert counts(proxy)["upstream_closes_peer_busy"] == 1
    wait_for(lambda: counts(proxy)["upstream_closes_us"] >= 1)  # idle for a second
    after = counts(proxy)
    assert after["upstream_closes_peer_idle"] == after["upstream_closes_peer_busy"] == 1


# The service's life.

def test_an_address_keeps_what_was_counted_of_it(counting, serve):
    """Through a reload that changes the order, one that leaves it out, and back."""
    first, second = serve(), serve()
    proxy = counting(first, second)
    for number in range(5):
        ask(proxy.address, f"some{number}.example")
    lines = status(proxy)
    assert lines["upstream.0.address"] == f"dot.example at 127.0.0.1:{first.port}"
    assert (lines["upstream.0.queries"], lines["upstream.1.queries"]) == \
        ("5", "0")
    for upstreams in ([second, first], [second], [first, second]):
        proxy.write_configuration(upstreams=[{"name": one.name, "addresses": [one.address],
                                              "port": one.port} for one in upstreams])
        proxy.reload()
        ask(proxy.address, f"more{upstreams[0].port}-{len(upstreams)}.example")
    lines = status(proxy)
    assert lines["upstream.0.queries"] == "6"
    assert lines["upstream.1.queries"] == "2"
    assert lines["upstream_queries"] == "8"


def test_reloads_are_counted(counting, upstream):
    proxy = counting(upstream)
    proxy.reload()
    text = proxy.config_file.read_text()
    proxy.write_configuration(text + "\nworkres = 1;\n")
    proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: counts(proxy)["reloads_failed"] == 1)
    assert counts(proxy)["reloads_ok"] == 1


def test_workers_that_were_replaced_are_counted(counting, upstream):
    proxy = counting(upstream)
    kill(proxy.workers()[0])
    wait_for(lambda: counts(proxy)["worker_restarts_signal"] == 1)
    assert grown(dict.fromkeys(counts(proxy), 0), counts(proxy), "worker_restarts_") == \
        {"signal": 1}


def kernel_drops(port):
    """What the kernel has dropped at the UDP socket of this port."""
    table = pathlib.Path("/proc/net/udp").read_text().splitlines()[1:]
    return sum(int(fields[-1]) for fields in map(str.split, table)
               if fields[1].endswith(f":{port:04X}"))


def test_what_the_kernel_drops_is_counted(counting, upstream):
    """Exactly, and for good: also when the socket is closed."""
    address, other = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
    proxy = counting(upstream, listen=[address, other])
    worker = proxy.workers()[0]
    os.kill(worker, signal.SIGSTOP)
    with contextlib.closing(udp_socket(address)) as sock:
        for _ in range(100):
            for _ in range(1000):
                sock.send(bytes(1400))
            if kernel_drops(address[1]) >= 100:
                break
    dropped = kernel_drops(address[1])
    assert dropped >= 100
    assert counts(proxy)["udp_receive_drops"] == dropped
    os.kill(worker, signal.SIGCONT)
    proxy.write_configuration(listen=[proxy.settings["listen"][1]])
    proxy.reload()
    assert ask(other, "after.example").answer
    assert counts(proxy)["udp_receive_drops"] == dropped


def test_no_counter_ever_falls(counting, upstream):
    """Through reloads and kills under load. What a killed worker had not answered was asked for
    nothing, and what it had counted stays."""
    proxy = counting(upstream, workers=2)
    seen = counts(proxy)
    sums = []

    def look():
        nonlocal seen
        now = counts(proxy)
        assert {key: (seen[key], now[key]) for key in now
                if key not in GAUGES and now[key] < seen[key]} == {}
        seen = now
        sums.append(now["udp_queries"])

    with Load(proxy.address, rate=100) as load:
        for turn in range(20):
            moment = time.monotonic()
            if turn % 4 == 3:
                proxy.reload()
            else:
                # Those of the generation before, which nobody replaces, have gone by then.
                kill(wait_for(lambda: len(both := proxy.workers()) == 2 and both)[turn % 2])
            while not load.good_since(moment):
                look()
                time.sleep(0.02)  # how often it is looked, no wait for anything
            look()
    wait_for(lambda: counts(proxy)["queries_waiting"] == 0)  # L48
    look()
    answered = sum(one.answered is not None for one in load.asked)
    # Who is killed may have sent an answer and not counted it yet, or counted it and not sent it.
    kills = seen["worker_restarts_signal"]
    assert answered - kills <= seen["udp_answers"] <= seen["udp_queries"] <= len(load.asked)
    assert seen["reloads_ok"] == 5 and seen["worker_restarts_signal"] == 15
    assert seen["query_duration_miss_count"] - kills <= seen["udp_answers"]
    assert seen["tcp_clients"] == 0 and sums == sorted(sums)
