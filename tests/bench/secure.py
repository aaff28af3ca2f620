# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
"""What clients cost that ask over TLS and HTTPS, and upstreams that are asked over HTTPS. DNS over TLS
is asked by bench/load, over HTTPS by h2load of nghttp2, which knows how to keep requests under way but
not what an answer should be."""

import os
import re
import shutil
import socket
import ssl
import struct
import time
from pathlib import Path

from measure import (Load, Place, Proxy, Trouble, Upstream, cpu_seconds, is_good, measure, pss_kib,
                     query)
from peers import UPSTREAM_NAME, Peer
from rows import (IDLE_CLIENTS, IP_BIND_ADDRESS_NO_PORT, Row, Stage, Values, ask_framed, note)

SECURE = "CPU microseconds per cached answer over TLS and HTTPS, ten connections with ten queries each"
NEW = "CPU microseconds for a connection with one question, cached, over TLS at 200/s"
BESIDE = "cached answers over UDP at 2,000/s, beside one client's 1,000 full handshakes a second"
WAYS = "CPU microseconds per query, UDP, not cached: an upstream over TLS, and the same over HTTPS"
HELD = f"KiB per idle client ({IDLE_CLIENTS:,}) over TLS and HTTPS"

SECURE_ROWS = (
    Row("dot-hit", SECURE, "TLS, saturated", cached=True, digits=2),
    Row("dot-hit-qps", SECURE, "  queries/s", None, True, cached=True, digits=0),
    Row("dot-hit-records", SECURE, "  answers per record", None, True, cached=True, digits=2),
    Row("doh-hit", SECURE, "HTTPS, HTTP/2, saturated", cached=True, digits=2),
    Row("doh-hit-qps", SECURE, "  queries/s", None, True, cached=True, digits=0),
    Row("dot-hit-paced", SECURE, "TLS, 4,000 queries/s", cached=True),
    Row("doh-hit-paced", SECURE, "HTTPS, 4,000 queries/s", cached=True),
    Row("dot-new", NEW, "full handshakes", cached=True, digits=0),
    Row("dot-resumed", NEW, "resumed sessions", cached=True, digits=0),
    Row("dot-storm-calm", BESIDE, "99th percentile without, microseconds", cached=True, digits=0),
    Row("dot-storm-p99", BESIDE, "99th percentile, microseconds", cached=True, digits=0),
    Row("dot-storm-times", BESIDE, "  times of that without", 2, cached=True, digits=2),
    Row("dot-storm-answered", BESIDE, "  answered, %", 100, True, cached=True, digits=2),
    Row("dot-storm-made", BESIDE, "  handshakes/s", None, True, cached=True, digits=0),
    Row("to-dot", WAYS, "to TLS, 96 queries under way"),
    Row("to-doh", WAYS, "to HTTPS, 96 queries under way"),
    Row("to-doh-times", WAYS, "  times of that to TLS", 1.5, digits=2),
    Row("to-dot-busy", WAYS, "  share of the core in use, to TLS, %", None, True, digits=0),
    Row("to-doh-busy", WAYS, "  share of the core in use, to HTTPS, %", None, True, digits=0),
    Row("to-dot-records", WAYS, "  queries per TLS record, to TLS", None, True, digits=2),
    Row("to-doh-records", WAYS, "  queries per TLS record, to HTTPS", None, True, digits=2),
    Row("to-dot-paced", WAYS, "to TLS, 4,000 queries/s"),
    Row("to-doh-paced", WAYS, "to HTTPS, 4,000 queries/s"),
    Row("to-doh-paced-times", WAYS, "  times of that to TLS", 1.5, digits=2),
    Row("dot-client-pss", HELD, "TLS", 12, cached=True),
    Row("doh-client-pss", HELD, "HTTPS", 30, cached=True),
)

DOT_LOADS = {
    "dot-hit": ["--clients=10", "--outstanding=100", "--names=100"],
    "dot-hit-paced": ["--clients=10", "--rate=4000", "--names=100"],
    "dot-new": ["--clients=64", "--rate=200", "--reconnect", "--names=100"],
    "dot-resumed": ["--clients=64", "--rate=200", "--reconnect", "--resume", "--names=100"],
}


class H2load:
    """Requests for one name over ten connections; `pace`: so many a second on each."""

    def __init__(self, place: Place, port: int, tag: str, seconds: int, pace: int = 0):
        program = shutil.which("h2load")
        if program is None:
            raise Trouble("h2load is not installed")
        body = place.directory / "question"
        body.write_bytes(query(f"q00000000.{tag}.bench.example.com"))
        self.place = place
        self.patience = seconds + 20
        rate = [f"--rps={pace}"] if pace else ["-m", "10"]
        self.log = Path(place.directory / "h2load.log")
        with open(self.log, "wb") as log:
            self.child = place.spawn(
                [program, "-c", "10", *rate, "-D", str(seconds), "-d", str(body), "-H",
                 "content-type: application/dns-message", f"https://127.0.0.1:{port}/dns-query"],
                {place.load_core}, stdout=log, stderr=log)

    def result(self) -> int:
        """How many answers came."""
        self.child.wait(self.patience)
        text = self.log.read_text()
        found = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
        if found is None or int(found[1]) == 0 or any(int(found[i]) for i in (2, 3, 4)):
            raise Trouble(f"h2load: {found[0] if found else text[-200:]}")
        return int(found[1])


def ask_over_https(place: Place, proxy: Proxy, tag: str, seconds: int, pace: int) -> Values:
    H2load(place, proxy.doh_port, tag, 1).result()  # the answer is known from here on
    before = cpu_seconds(proxy.pid)
    count = H2load(place, proxy.doh_port, tag, seconds, pace).result()
    return {"cpu_us": (cpu_seconds(proxy.pid) - before) / count * 1e6, "qps": count / seconds}


def hits(place: Place, peer: Peer, wanted: set[str], scale: float) -> Values:
    values: Values = {}
    with Upstream(place) as upstream, \
            Proxy(place, peer, upstream, cache=True, secure=True) as proxy:
        for key, options in DOT_LOADS.items():
            if not wanted & {key, f"{key}-qps", f"{key}-records"}:
                continue
            try:
                result = measure(place, proxy, f"--tls={place.ca}", f"--server={UPSTREAM_NAME}",
                                 *options, port=proxy.dot_port, seconds=2 * scale, warm_up=0.6)
            except Trouble as trouble:
                note(f"  {peer.name}: {key}: {trouble}")
                continue
            values[key] = result["cpu_us"]
            values[f"{key}-qps"] = result["qps"]
            if result["records"]:
                values[f"{key}-records"] = result["received"] / result["records"]
        for key, pace in ("doh-hit", 0), ("doh-hit-paced", 400):
            if wanted & {key, f"{key}-qps"} and "doh" in peer.doors:
                try:
                    result = ask_over_https(place, proxy, place.tag(), max(1, round(2 * scale)), pace)
                    values[key] = result["cpu_us"]
                    values[f"{key}-qps"] = result["qps"]
                except Trouble as trouble:
                    note(f"  {peer.name}: {key}: {trouble}")
    return values


def storm(place: Place, peer: Peer, _: set[str], scale: float) -> Values:
    values: Values = {}
    calm = ["--clients=8", "--rate=2000", "--names=100"]
    with Upstream(place) as upstream, \
            Proxy(place, peer, upstream, cache=True, secure=True) as proxy:
        values["dot-storm-calm"] = measure(place, proxy, *calm, seconds=4 * scale)["p99"]
        makes = Load(place, proxy.dot_port, f"--tls={place.ca}", f"--server={UPSTREAM_NAME}",
                     "--clients=256", "--rate=1000", "--reconnect", "--names=100",
                     seconds=4 * scale + 1)
        # They share a core: who asks over UDP is not to wait for who makes handshakes there.
        os.setpriority(os.PRIO_PROCESS, makes.child.pid, 19)
        try:
            makes.wait_for("begin")
            result = measure(place, proxy, *calm, seconds=4 * scale)
            makes.wait_for("end")
            made, _ = makes.result()
        finally:
            place.end(makes.child)
    return values | {"dot-storm-p99": result["p99"],
                     "dot-storm-times": result["p99"] / values["dot-storm-calm"],
                     "dot-storm-answered": 100 * result["answered"] / result["sent"],
                     "dot-storm-made": made["received"] / made["seconds"]}


class SecureClients:
    """Clients that have asked once and stay."""

    def __init__(self, place: Place, port: int, count: int, alpn: str):
        self.clients: list[ssl.SSLSocket] = []
        context = ssl.create_default_context(cafile=place.ca)
        context.set_alpn_protocols([alpn])
        message = query(f"q00000000.{place.tag()}.bench.example.com")
        for number in range(count):
            plain = socket.socket()
            plain.settimeout(5)
            plain.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            plain.bind((f"127.0.{1 + number % 200}.1", 0))
            plain.connect(("127.0.0.1", port))
            client = context.wrap_socket(plain, server_hostname=UPSTREAM_NAME)
            self.clients.append(client)
            if alpn == "dot":
                self._ask_dot(client, message)
            else:
                self._ask_h2(client, message)

    @staticmethod
    def _ask_dot(client: ssl.SSLSocket, message: bytes) -> None:
        if not is_good(ask_framed(client, message)):
            raise Trouble("refuses idle clients")

    @staticmethod
    def _ask_h2(client: ssl.SSLSocket, message: bytes) -> None:
        """RFC 9113 and RFC 7541 by hand: a POST whose header fields are literals."""
        def frame(kind: int, flags: int, stream: int, octets: bytes) -> bytes:
            return struct.pack("!I", len(octets))[1:] + struct.pack("!BBI", kind, flags, stream) + octets

        def field(name: str, value: str) -> bytes:
            return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        head = b"".join(field(*one) for one in (
            (":method", "POST"), (":scheme", "https"), (":authority", UPSTREAM_NAME),
            (":path", "/dns-query"), ("content-type", "application/dns-message"),
            ("content-length", str(len(message)))))
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") +
                       frame(1, 4, 1, head) + frame(0, 1, 1, message))
        octets = b""
        while True:
            while len(octets) < 9 or len(octets) < 9 + int.from_bytes(octets[:3], "big"):
                more = client.recv(65536)
                if not more:
                    raise Trouble("closes idle clients")
                octets += more
            size, kind, flags = int.from_bytes(octets[:3], "big"), octets[3], octets[4]
            octets = octets[9 + size:]
            if kind in (0, 1) and flags & 1:  # the end of the answer
                return
            if kind in (3, 7):
                raise Trouble("refuses idle clients")

    def held(self) -> int:
        count = 0
        for client in self.clients:
            client.setblocking(False)
            try:
                count += 1 if client.recv(65536) else 0
            except ssl.SSLWantReadError:
                count += 1
            except OSError:
                pass
        return count

    def __enter__(self) -> "SecureClients":
        return self

    def __exit__(self, *_) -> None:
        for client in self.clients:
            client.close()


WAYS_LOADS = {"": ["--outstanding=96"], "-paced": ["--rate=4000"]}


def ask_over(place: Place, upstream: Upstream, proxy: Proxy, https: bool, *options: str,
             seconds: float) -> Values:
    before = upstream.counters()
    result = measure(place, proxy, *options, seconds=seconds)
    seen = {name: count - before[name] for name, count in upstream.counters().items()}
    if (seen["requests"] > seen["queries"] / 2) != https:  # each way has its health checks
        raise Trouble("does not ask over HTTPS" if https else "asks over HTTPS")
    return result | {"per_record": seen["queries"] / seen["records"]}


def ways(place: Place, peer: Peer, _: set[str], scale: float) -> Values:
    """One way after the other, so that what else happens on the machine meets both."""
    values: Values = {}
    with Upstream(place) as upstream, Proxy(place, peer, upstream) as to_dot, \
            Proxy(place, peer, upstream, https=True) as to_doh:
        for pace, options in WAYS_LOADS.items():
            for way, proxy in ("dot", to_dot), ("doh", to_doh):
                result = ask_over(place, upstream, proxy, way == "doh", *options,
                                  seconds=2 * scale)
                values |= {f"to-{way}{pace}": result["cpu_us"],
                           f"to-{way}{pace}-busy": result["busy"] * 100,
                           f"to-{way}{pace}-records": result["per_record"]}
            values[f"to-doh{pace}-times"] = values[f"to-doh{pace}"] / values[f"to-dot{pace}"]
    return values


def memory(place: Place, peer: Peer, wanted: set[str], scale: float) -> Values:
    values: Values = {}
    for door, alpn in ("dot", "dot"), ("doh", "h2"):
        if f"{door}-client-pss" not in wanted or door not in peer.doors:
            continue
        try:
            with Upstream(place) as upstream, \
                    Proxy(place, peer, upstream, patient=True, secure=True) as proxy:
                port = getattr(proxy, f"{door}_port")
                with SecureClients(place, port, 16, alpn):
                    before = pss_kib(proxy.pid)
                    with SecureClients(place, port, round(IDLE_CLIENTS * min(1.0, scale)),
                                       alpn) as clients:
                        time.sleep(0.2)
                        held = clients.held()
                        if held < 0.9 * len(clients.clients):
                            raise Trouble(f"keeps {held} of {len(clients.clients)} idle clients")
                        values[f"{door}-client-pss"] = (pss_kib(proxy.pid) - before) / held
        except (Trouble, OSError) as trouble:
            note(f"  {peer.name}: {door}: {trouble}")
    return values


def has_doors(peer: Peer) -> bool:
    return bool(peer.doors)


def asks_https(peer: Peer) -> bool:
    return peer.asks_https


SECURE_STAGES = (
    Stage(tuple(row.key for row in SECURE_ROWS if row.group in (SECURE, NEW)), hits,
          needs_cache=True, concerns=has_doors),
    Stage(tuple(row.key for row in SECURE_ROWS if row.group == BESIDE), storm, needs_cache=True,
          concerns=has_doors),
    Stage(tuple(row.key for row in SECURE_ROWS if row.group == WAYS), ways, concerns=asks_https),
    Stage(tuple(row.key for row in SECURE_ROWS if row.group == HELD), memory, every_round=False,
          concerns=has_doors),
)
