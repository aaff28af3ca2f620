# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# DNS over HTTPS for clients (RFC 8484; rules E21-E72): real clients, real proxies' ways to ask, and
# reloads in which nothing is lost.

import base64
import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading

import pytest

from harness import wire
from harness.client import TcpClient, TlsClient, tls_context
from harness.network import with_sources
from harness.waiting import free_port, wait_for

pytest.importorskip("h2", reason="python3-h2 is not installed")

from harness.http import PATH, HttpClient, HttpsClient, Refused  # noqa: E402

needs = {tool: pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed")
         for tool in ("curl", "dnsperf", "h2load", "kdig", "nghttp")}


@pytest.fixture
def context(authority):
    return tls_context(authority.file, protocols=("h2",))


@pytest.fixture
def start_https(start, upstream, leaf):
    """dotproxy with a listener for "doh" beside the plain one: (proxy, address of that one)."""
    def make(protocols=("doh",), **how):
        address = ("127.0.0.1", free_port())
        return start(upstream, listen=[("127.0.0.1", free_port()), (*address, protocols)],
                     tls={"certificates": [leaf.for_server()]}, **how), address
    return make


@pytest.fixture
def start_http(start, upstream):
    """The same without TLS, for a proxy at `trusted`."""
    def make(trusted="127.0.0.1", **how):
        host, port = address = ("127.0.0.1", free_port())
        return start(upstream, listen=[("127.0.0.1", free_port()),
                                       {"address": host, "port": port, "protocols": ["http"],
                                        "trusted": [trusted]}], workers=1, **how), address
    return make


def run(*command, **how):
    result = subprocess.run(command, capture_output=True, timeout=60, **how)
    assert result.returncode == 0, result
    return result.stdout


def curl(authority, address, *arguments):
    """Whatever it wrote, headers first."""
    host, port = address
    return run("curl", "--silent", "--show-error", "--include", "--cacert", str(authority.file),
               "--resolve", f"dot.example:{port}:{host}", *arguments)


def url(address, path=PATH):
    return f"https://dot.example:{address[1]}{path}"


@needs["kdig"]
def test_kdig_is_answered(start_https, authority):
    """By GET and by POST; padded as it asks, and without a keepalive (E21, E24)."""
    proxy, (host, port) = start_https(workers=1)
    strict = (f"@{host}", "-p", str(port), f"+tls-ca={authority.file}",
              "+tls-hostname=dot.example")
    for way in ("+https", "+https-get"):
        said = run("kdig", *strict, way, "+padding", "+ednsopt=11", "www.example", "A").decode()
        assert "status: NOERROR" in said and wire.address_of("www.example") in said
        assert "PADDING" in said and "Option (11)" not in said
    assert proxy.counters()["http_queries"] == 2


@needs["curl"]
def test_curl_is_answered(start_https, authority, tmp_path):
    """E53, E54, E55, E59, and E60: over HTTP/1.1 where it speaks nothing newer."""
    _, address = start_https(workers=1)
    question = wire.query("www.example", id=0)
    (tmp_path / "question").write_bytes(question)
    text = base64.urlsafe_b64encode(question).rstrip(b"=").decode()
    for version in ("--http2", "--http1.1"):
        for arguments in ((url(address, f"{PATH}?dns={text}"),),
                          (url(address), "--header", "content-type: application/dns-message",
                           "--data-binary", f"@{tmp_path / 'question'}")):
            head, body = curl(authority, address, version, *arguments).split(b"\r\n\r\n", 1)
            lines = head.decode().lower().split("\r\n")
            assert lines[0].strip() == ("http/2 200" if version == "--http2" else "http/1.1 200 ok")
            assert wire.address_in(body) == wire.address_of("www.example")
            headers = dict(line.split(": ", 1) for line in lines[1:])
            assert headers["content-type"] == "application/dns-message"
            assert headers["content-length"] == str(len(body))
            assert re.fullmatch(r"max-age=[1-9]\d*", headers["cache-control"])
            assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} gmt", headers["date"])
            assert "server" not in headers


@needs["curl"]
def test_curl_resolves_by_it(start_https, upstream, authority):
    """--doh-url: the name in a URL is looked up here. It leads back here, where there is no page."""
    upstream.on_query = lambda query: wire.answer(query.raw).replace(
        socket.inet_aton(wire.address_of("dot.example")), socket.inet_aton("127.0.0.1"))
    proxy, address = start_https(workers=1)
    said = run("curl", "--silent", "--show-error", "--include", "--ipv4", "--cacert",
               str(authority.file), "--doh-insecure", "--doh-url",
               f"https://127.0.0.1:{address[1]}{PATH}", url(address, "/elsewhere"))
    assert said.startswith(b"HTTP/2 404")
    assert proxy.counters()["http_queries"] >= 1


TYPE = ("--header", "content-type: application/dns-message")


@needs["curl"]
@pytest.mark.parametrize("status, path, options", (
    (404, "/", ()), (404, f"{PATH}/", ()),
    (400, PATH, ()), (400, f"{PATH}?dns=AAAA&dns=AAAA", ()), (400, f"{PATH}?dns=A", ()),
    (400, f"{PATH}?dns=AAA=", ()), (400, PATH, (*TYPE, "--data-binary", "x")),
    (405, PATH, ("--request", "DELETE")), (405, PATH, ("--request", "OPTIONS")),
    (413, PATH, (*TYPE, "--data-binary", "x" * 66000)), (414, f"{PATH}?dns={'A' * 7000}", ()),
    (415, PATH, ("--data-binary", "x")),
    (431, f"{PATH}?dns=AAAA", [part for number in range(11) for part in
                               ("--header", f"x-{number}: {'x' * 900}")]),
    (501, PATH, ("--request", "BREW"))))
def test_what_is_no_question_is_told_so(start_https, authority, status, path, options):
    """E58: with one line of text."""
    proxy, address = start_https(workers=1)
    versions = ("--http2", "--http1.1")
    for version in versions[:1] if status == 431 else versions:  # where less is too much
        head, text = curl(authority, address, version, url(address, path),
                          *options).split(b"\r\n\r\n", 1)
        assert int(head.split()[1]) == status
        assert b"content-type: text/plain; charset=utf-8" in head
        assert text.count(b"\n") == 1 and text.endswith(b"\n")
        assert (b"allow: GET, HEAD, POST" in head) == (status == 405)
        assert proxy.counters()["http_refused"] == versions.index(version) + 1


@needs["nghttp"]
def test_nghttp_is_answered(start_https):
    _, address = start_https(workers=1)
    said = run("nghttp", "--no-verify-peer", "--verbose", "--header=accept: */*",
               f"https://127.0.0.1:{address[1]}{PATH}?dns="
               "AAABAAABAAAAAAAAA3d3dwdleGFtcGxlAAABAAE").decode("latin-1")
    assert ":status: 200" in said and "SETTINGS_MAX_CONCURRENT_STREAMS(0x03):100" in said


@needs["h2load"]
def test_h2load_loses_nothing(start_https):
    """More streams than may be asked at a time, on several connections."""
    _, address = start_https(cache=None)
    said = run("h2load", "-n", "5000", "-c", "5", "-m", "100",
               f"https://127.0.0.1:{address[1]}{PATH}?dns="
               "AAABAAABAAAAAAAAA3d3dwdleGFtcGxlAAABAAE").decode()
    assert "5000 succeeded, 0 failed, 0 errored, 0 timeout" in said
    assert "status codes: 5000 2xx" in said


@needs["dnsperf"]
def test_dnsperf_loses_nothing(start_https, directory):
    """One question at a time: it has room for one answer, whatever comes with it."""
    _, (host, port) = start_https(cache=None)
    names = directory / "names"
    names.write_text("".join(f"name{n}.example A\n" for n in range(200)))
    for method in ("GET", "POST"):
        said = run("dnsperf", "-s", host, "-p", str(port), "-d", str(names), "-n", "1", "-m", "doh",
                   "-O", f"doh-uri=https://{host}{PATH}", "-O", f"doh-method={method}", "-c", "1",
                   "-q", "1", "-t", "10").decode()
        assert re.search(r"Queries lost:\s+0 ", said), said
        assert re.search(r"NOERROR 200 ", said), said


def test_one_port_for_both(start_https, authority, context):
    """E23: the client says which; who says nothing means DNS in frames."""
    _, address = start_https(protocols=("dot", "doh"), workers=1)
    with HttpsClient(address, context) as client:
        assert client.ask("www.example").answer
    for protocols in (("dot",), ()):
        with TlsClient(address, tls_context(authority.file, protocols=protocols)) as client:
            assert client.ask("www.example").answer
    # Of who offers several, DNS in frames is the first.
    with TlsClient(address, tls_context(authority.file, protocols=("h2", "dot"))) as client:
        assert client.socket.selected_alpn_protocol() == "dot"


def test_without_a_word_the_first_line_tells(start_https, authority):
    """E60: a port for HTTP alone, and a client without ALPN."""
    _, address = start_https(workers=1)
    question = wire.query("www.example", id=0)
    with TlsClient(address, tls_context(authority.file, protocols=())) as client:
        client.send_octets(b"POST /dns-query HTTP/1.1\r\nHost: dot.example\r\nContent-Type: "
                           b"application/dns-message\r\nContent-Length: %d\r\n\r\n%s" %
                           (len(question), question))
        octets = b""
        while b"\r\n\r\n" not in octets:
            octets += client.socket.recv(4096)
        assert octets.startswith(b"HTTP/1.1 200 OK\r\n")


def test_large_answers_pass(start_https, upstream, context):
    """More than a frame, a record, or what the client permits at first."""
    upstream.on_query = lambda query: wire.sized_answer(query.raw, 60000)
    _, address = start_https(workers=1)
    with HttpsClient(address, context) as client:
        messages = [wire.query(f"n{number}.example", "TYPE65280", id=number)
                    for number in range(40)]
        streams = [client.post(message) for message in messages]
        for message, stream in zip(messages, streams):
            reply = client.reply(stream)
            assert reply.body[12:] == wire.sized_answer(message, 60000)[12:]


class Constant:
    """A client that asks all the time, several at once, as RFC 9113 has it: what was not looked at is
    asked again on another connection, which resumes the session."""

    def __init__(self, address, context):
        self.address, self.context = address, context
        self.answered, self.connections, self.full, self.problems = 0, 0, 0, []
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self):
        session = None
        try:
            while not self.over.is_set():
                with HttpsClient(self.address, self.context, session=session) as client:
                    self.connections += 1
                    self.full += not client.resumed
                    self._use(client)
                    session = client.session
        except Exception as problem:  # which ends the thread, and is seen below
            self.problems.append(problem)

    def _use(self, client):
        while not self.over.is_set() and not client.goodbyes:
            streams = [client.post(wire.query("www.example", id=0)) for _ in range(4)]
            for stream in streams:
                try:
                    reply = client.reply(stream)
                except Refused:
                    continue  # it is asked again: that is not lost
                assert wire.address_in(reply.body), reply
                self.answered += 1


def test_reloads_lose_nothing(start_https, context):
    """E62: whatever the client was not told is not looked at is answered; and no new connection costs
    more than a resumption (E12)."""
    proxy, address = start_https(workers=2, timeouts={"drain": "1s"})
    with Constant(address, context) as one, Constant(address, context) as other:
        for _ in range(8):
            seen = one.connections, other.connections
            proxy.reload()
            wait_for(lambda: one.problems or other.problems or
                     one.connections > seen[0] and other.connections > seen[1])
    assert not one.problems and not other.problems, (one.problems, other.problems)
    assert one.full == other.full == 1
    assert one.answered and other.answered


class ConstantProxy:
    """A proxy that asks all the time over HTTP/1.1, on connections that it keeps."""

    def __init__(self, address):
        self.address, self.answered, self.told, self.problems = address, 0, 0, []
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self):
        try:
            with contextlib.closing(http.client.HTTPConnection(*self.address,
                                                               timeout=30)) as connection:
                while not self.over.is_set():
                    connection.request("POST", PATH, wire.query("www.example", id=0),
                                       {"content-type": "application/dns-message",
                                        "x-forwarded-for": "127.0.0.1"})
                    reply = connection.getresponse()
                    assert reply.status == 200
                    assert wire.address_in(reply.read())
                    self.answered += 1
                    self.told += reply.will_close  # and connects once more
        except Exception as problem:
            self.problems.append(problem)


def test_reloads_lose_nothing_of_proxies(start_http):
    """E62: over HTTP/1.1 the next answer says that it is the last one of that connection."""
    proxy, address = start_http(timeouts={"drain": "1s"})
    with ConstantProxy(address) as one, ConstantProxy(address) as other:
        for _ in range(8):
            seen = one.told, other.told
            proxy.reload()
            wait_for(lambda: one.problems or other.problems or
                     one.told > seen[0] and other.told > seen[1])
    assert not one.problems and not other.problems, (one.problems, other.problems)
    assert one.answered and other.answered


def test_a_stop_tells_clients(start_https, upstream, context):
    """What was asked is answered, and nobody is cut off."""
    proxy, address = start_https(workers=1)
    upstream.hold("slow.example.")
    with HttpsClient(address, context) as idle, HttpsClient(address, context) as busy:
        assert idle.ask("www.example").answer
        stream = busy.post(wire.query("slow.example"))
        upstream.wait_for_query("slow.example")
        proxy.send_signal(signal.SIGTERM)
        with pytest.raises(EOFError):
            while True:
                idle.hear()
        assert idle.goodbyes and not idle.goodbyes[-1][1]
        upstream.release("slow.example.")
        assert wire.address_in(busy.reply(stream).body) == wire.address_of("slow.example")
    assert proxy.process.wait(20) == 0


def test_a_proxy_says_whose_a_request_is(start_http):
    """E70, E71, E73: by HTTP/2 and by HTTP/1.1, each request for itself."""
    proxy, address = start_http()
    with HttpClient(address) as client:
        assert client.ask("www.example", headers=(("x-forwarded-for", "192.168.3.4"),)).answer
        for said, status in ((None, 400), ("nonsense", 400), ("203.0.113.4", 403)):
            headers = () if said is None else (("x-forwarded-for", said),)
            reply = client.reply(client.post(wire.query("www.example"), headers))
            assert reply.status == status
        assert client.ask("again.example", headers=(("x-forwarded-for", "10.0.0.1"),)).answer
    counters = proxy.counters()
    assert counters["http_queries"] == 2 and counters["http_refused"] == 3
    assert counters["access_refused"] == 1 and not counters.get("tls_queries")


def test_only_proxies_come_in(start_http):
    """E70: who is not trusted is reset, whoever may ask."""
    proxy, address = start_http(trusted="127.0.0.2", allow=["any"])
    with TcpClient(address) as client:
        assert client.is_closed_by_peer()
    assert proxy.counters()["access_refused"] == 1
    with HttpClient(address, source="127.0.0.2") as client:
        assert client.ask("www.example", headers=(("x-forwarded-for", "192.0.2.1"),)).answer


def test_a_listener_may_change_what_it_speaks(start_https, authority, context):
    """A reload makes one for DNS in frames of it, and one for both again."""
    proxy, address = start_https(workers=1)
    plain = {"address": "127.0.0.1", "port": proxy.address[1]}
    here = {"address": address[0], "port": address[1]}
    frames = tls_context(authority.file, protocols=("dot",))
    with HttpsClient(address, context) as client:
        assert client.ask("www.example").answer
    for protocols, goes, does_not in ((["dot"], frames, context), (["doh"], context, frames)):
        proxy.write_configuration(listen=[plain, here | {"protocols": protocols}])
        proxy.reload()
        with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
            TlsClient(address, does_not)
        with TlsClient(address, goes) as client:
            assert client.socket.selected_alpn_protocol() in ("dot", "h2")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network")
def test_access_and_limits_hold(start, serve, leaf, context):
    """limits 39, 42: who may not ask is reset; a client has its misses, and its connections, as over
    any other transport."""
    stranger, neighbour = "203.0.113.7", "192.168.7.7"

    def check():
        address = ("127.0.0.1", free_port())
        proxy = start(serve(), listen=[("127.0.0.1", free_port()), (*address, ["doh"])], workers=1,
                      tls={"certificates": [leaf.for_server()]},
                      limits={"client_connects": 10, "client_misses": 1})
        with TcpClient(address, source=stranger) as client:
            assert client.is_closed_by_peer()
        assert proxy.counters()["access_refused"] == 1
        with HttpsClient(address, context, source=neighbour) as client:
            answered = [bool(client.ask(f"n{i}.example").answer) for i in range(30)].count(True)
        assert 4 <= answered < 30
        assert proxy.counters()["limited_misses"] == 30 - answered
        with pytest.raises((ConnectionError, ssl.SSLEOFError)):
            for _ in range(20):  # each counts as four
                with HttpsClient(address, context, source=neighbour):
                    pass
        assert proxy.counters()["limited_connects"]
        with HttpsClient(address, context) as client:  # of this host, which has no limit
            assert client.ask("www.example").answer
    with_sources(["203.0.113.0/24", "192.168.7.0/24"], check)
