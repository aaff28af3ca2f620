# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# What one client may ask in a second, whoever else asks: limits 1 to 18 and 55 to 57. Rates are so
# low here that no machine is too slow to be over them, and tests wait for what counts, not for times.

import contextlib
import os
import subprocess
import time

import pytest

from harness import wire
from harness.client import TcpClient, answers_to, ask, udp_socket
from harness.network import ip, with_sources
from harness.process import binary, kill
from harness.waiting import free_port, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network")

GREEDY, CALM = "10.0.0.1", "10.0.0.2"
STRANGER = "203.0.113.7"
TOO_MANY = b"\0\0too many questions from your network"


def in_network(action):
    with_sources(["10.0.0.0/8", "203.0.113.0/24"], action)


def limited(**limits):
    """The settings of a proxy with low limits; what is not given here is not limited."""
    return {"client_rate": 0, "client_misses": 0, "client_connects": 0} | limits


def test_over_its_rate_a_client_is_shown_the_way_over_tcp(prepare, serve):
    """Half of what is over is answered, by no more octets than were asked with; there is no limit
    over TCP, nor for others."""
    def check():
        proxy = prepare(serve(), workers=1, limits=limited(client_rate=1), cache={"size": "1M"}
                        ).start()
        queries = [wire.query("warm.example", id=number, edns=0) for number in range(1, 51)]
        ask(proxy.address, "warm.example")
        answers = answers_to(proxy.address, GREEDY, queries)
        truncated = [answer for answer in answers.values() if wire.parse(answer).flags & 0x200]
        given = len(answers) - len(truncated)
        counters = proxy.counters()
        assert given >= 2
        assert counters["limited_truncated"] == counters["truncated"] == len(truncated)
        assert counters["limited_truncated"] - counters["limited_dropped"] in (0, 1)
        assert given + counters["limited_truncated"] + counters["limited_dropped"] == 50
        for answer in truncated:
            assert len(answer) <= len(queries[0])
            message = wire.parse(answer)
            assert message.rcode() == 0 and not message.answer and message.question
        assert len(answers_to(proxy.address, CALM, [wire.query("warm.example")])) == 1
        with TcpClient(proxy.address, source=GREEDY) as client:
            for number in range(20):
                client.send(wire.query("warm.example", id=number))
                assert wire.address_in(client.receive()) == wire.address_of("warm.example")
    in_network(check)


def test_dig_finds_the_way(prepare, serve):
    """A real client that is over its limit goes on over TCP."""
    def check():
        proxy = prepare(serve(), limits=limited(client_rate=1)).start()

        def is_over():
            dig = subprocess.run(
                ["dig", "-b", GREEDY, f"@{proxy.address[0]}", "-p", str(proxy.address[1]),
                 "+nocookie", "+tries=20", "+time=1", "dig.example"], capture_output=True, text=True,
                check=True)
            assert wire.address_of("dig.example") in dig.stdout
            return "retrying in TCP mode" in dig.stdout
        wait_for(is_over, what="a truncated answer")
    in_network(check)


def test_hits_are_given_when_misses_are_used_up(prepare, serve):
    """What is in the cache, and what others wait for; the rest is SERVFAIL, which says why."""
    def check():
        upstream = serve(on_query=lambda query: None if query.name.startswith("slow")
                         else wire.answer(query.raw))
        proxy = prepare(upstream, workers=1, limits=limited(client_misses=1),
                        cache={"size": "1M"}, timeouts={"query": "60s"}).start()
        ask(proxy.address, "warm.example")
        queries = [wire.query(f"new{number}.example", id=number, edns=0)
                   for number in range(1, 41)]
        with udp_socket(proxy.address, CALM) as other:
            other.send(wire.query("slow.example", id=999))
            answers = {}

            def all_answered():
                answers.update(answers_to(proxy.address, GREEDY, queries))
                return len(answers) == 40
            wait_for(all_answered)
            failed = [one for one in map(wire.parse, answers.values()) if one.rcode() == 2]
            assert failed
            assert all(wire.options_of(one, wire.EDE) == [TOO_MANY] for one in failed)
            warm, = answers_to(proxy.address, GREEDY, [wire.query("warm.example")]).values()
            assert wire.address_in(warm) == wire.address_of("warm.example")
            before = proxy.counters()
            assert before["failures_limited"] == before["limited_misses"]
            assert not answers_to(proxy.address, GREEDY, [wire.query("slow.example")])
            after = proxy.counters()
            assert after["joined"] == before.get("joined", 0) + 1
            assert after["limited_misses"] == before["limited_misses"]
    in_network(check)


def test_connections_beyond_the_rate_are_closed(prepare, serve):
    def check():
        proxy = prepare(serve(), workers=1, limits=limited(client_connects=1)).start()
        answered = 0
        for _ in range(20):
            with TcpClient(proxy.address, source=GREEDY) as client:
                with contextlib.suppress(ConnectionError, EOFError):
                    client.send(wire.query("tcp.example"))
                    client.receive()
                    answered += 1
        assert answered >= 2
        assert proxy.counters()["limited_connects"] == 20 - answered > 0
        with TcpClient(proxy.address, source=CALM) as client:
            client.send(wire.query("tcp.example"))
            assert wire.parse(client.receive()).rcode() == 0
    in_network(check)


def test_all_workers_count_together_and_what_comes_after_them(prepare, serve):
    """A client has its two seconds' worth once, not once for each worker, a generation or a crash."""
    def check():
        proxy = prepare(serve(), workers=2, limits=limited(client_misses=1),
                        timeouts={"query": "60s"}).start()

        def given(count):
            """How many of so many new questions upstreams are asked."""
            passed = 0
            for number in range(count):
                with udp_socket(proxy.address, GREEDY) as sock:  # either worker may read it
                    sock.send(wire.query(f"{os.urandom(8).hex()}.example", edns=0))
                    passed += wire.parse(sock.recv(65536)).rcode() == 0
            return passed
        began = time.monotonic()
        passed = given(20)
        proxy.reload()
        passed += given(20)
        victim = proxy.workers()[0]
        kill(victim)
        wait_for(lambda: victim not in proxy.workers() and len(proxy.workers()) == 2)
        passed += given(20)
        assert 4 <= passed <= 4 + 1 + (time.monotonic() - began)
    in_network(check)


def test_counting_limits_nothing(prepare, serve):
    def check():
        proxy = prepare(serve(), workers=1, cache={"size": "1M"},
                        limits=limited(mode="count", client_rate=1, client_misses=1)).start()
        queries = [wire.query(f"count{number}.example", id=number) for number in range(1, 31)]
        answers = {}

        def all_answered():
            answers.update(answers_to(proxy.address, GREEDY, queries))
            return len(answers) == 30
        wait_for(all_answered)
        assert all(wire.parse(answer).rcode() == 0 for answer in answers.values())
        counters = proxy.counters()
        assert counters["limited_misses"] > 0
        assert counters["limited_truncated"] > 0
        assert "truncated" not in counters
    in_network(check)


def test_any_is_truncated_for_strangers(prepare, serve):
    """Whatever its answer is, they get no more than they sent (limits 18)."""
    def check():
        proxy = prepare(serve(), workers=1, allow=["any"], limits=limited(client_rate=1000)).start()
        query = wire.query("any.example", "ANY", id=7)
        assert wire.parse(answers_to(proxy.address, STRANGER, [query])[b"\0\7"]).flags & 0x200
        with TcpClient(proxy.address, source=STRANGER) as client:
            client.send(query)
            assert not wire.parse(client.receive()).flags & 0x200
        with udp_socket(proxy.address, GREEDY) as sock:
            sock.send(query)
            assert not wire.parse(sock.recv(65536)).flags & 0x200
    in_network(check)


def test_a_public_address_without_limits_is_refused(prepare, serve):
    """Where everybody may ask (limits 43); by -t, and by a reload, which changes nothing."""
    def check():
        port = free_port()
        proxy = prepare(serve(), listen=[("0.0.0.0", port)], allow=["any"],
                        limits={"mode": "off"})

        def tested():
            return subprocess.run([binary(), "-t", "-c", proxy.config_file],
                                  capture_output=True, text=True, check=False)
        assert tested().returncode == 0  # nobody beyond this host reaches it
        ip("addr", "add", "9.9.9.9/32", "dev", "lo")
        refused = tested()
        assert refused.returncode != 0
        assert f"listen: everybody may ask at 0.0.0.0:{port}, which the Internet can reach, and " \
            'limits.mode is "off"; ' in refused.stderr
        proxy.write_configuration(allow=["local"])
        assert tested().returncode == 0
        proxy.write_configuration(allow=["any"], limits={"mode": "on"})
        assert tested().returncode == 0
    in_network(check)
