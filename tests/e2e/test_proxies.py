# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Behind proxies that others wrote (E70 to E75): nginx, HAProxy and dnsdist, set up as the manual
# says. Who asks through them is asked for by its address, which only the proxy can know: one may
# ask, the other may not.

import os

import dns.rcode
import pytest

from harness import wire
from harness.client import TcpClient, TlsClient, tls_context, udp_socket
from harness.http import HttpsClient
from harness.waiting import free_port, wait_for

FRIEND, STRANGER = "127.0.0.5", "127.0.0.6"


@pytest.fixture
def run_nginx(run, place):
    def make(configuration, port):
        modules = "/usr/lib/nginx/modules/ngx_stream_module.so"
        load = f"load_module {modules};" if os.path.exists(modules) else ""
        return run(("nginx", "-p", place, "-c"), f"""{load}
user root; daemon off; master_process off; pid nginx.pid; error_log stderr;
events {{}}
{configuration}
""", port)
    return make


@pytest.fixture
def run_haproxy(run, place):
    def make(configuration, port):
        return run(("haproxy", "-db", "-f"), f"""
defaults
  timeout connect 5s
  timeout client 30s
  timeout server 30s
{configuration}
""", port)
    return make


@pytest.fixture
def start_behind(start, upstream, leaf):
    """dotproxy behind a proxy of this host: (it, the port that it takes)."""
    def make(*protocols, **how):
        port = free_port()
        tls = {"certificates": [leaf.for_server()]} if "dot" in protocols else {}
        return start(upstream, workers=1, tls=tls, allow=[FRIEND], listen=[
            ("127.0.0.1", free_port()),
            {"address": "127.0.0.1", "port": port, "protocols": list(protocols),
             "trusted": ["127.0.0.1"], **how}]), port
    return make


def assert_knows_clients_of_http(address, context):
    with HttpsClient(address, context, source=FRIEND) as client:
        for number in range(20):
            assert client.ask(f"name{number}.example").answer
    with HttpsClient(address, context, source=STRANGER) as client:
        assert client.reply(client.post(wire.query("www.example"))).status == 403


def assert_knows_clients_of_tcp(address):
    with TcpClient(address, source=FRIEND) as client:
        for number in range(20):
            client.send(wire.query(f"name{number}.example"))
            assert wire.address_in(client.receive())
    with TcpClient(address, source=STRANGER) as client:
        client.send(wire.query("www.example"))
        assert client.is_closed_by_peer()


@pytest.fixture
def https(authority):
    return tls_context(authority.file, protocols=("h2",))


def test_nginx_speaks_http_1(start_behind, run_nginx, leaf, https):
    """E72: the connections that it keeps are used again."""
    proxy, behind = start_behind("http")
    port = free_port()
    nginx = run_nginx(f"""http {{
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f;
  uwsgi_temp_path u; scgi_temp_path s;
  upstream dotproxy {{ server 127.0.0.1:{behind}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {leaf.chain_file}; ssl_certificate_key {leaf.key_file};
    location /dns-query {{
      proxy_pass http://dotproxy; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}""", port)
    assert_knows_clients_of_http(nginx.address, https)
    assert proxy.counters()["tcp_accepted"] < 20


def test_haproxy_speaks_http_2_in_the_clear(start_behind, run_haproxy, leaf, https, place):
    """E71."""
    _, behind = start_behind("http")
    port = free_port()
    both = place / "both.pem"
    both.write_text(leaf.chain_file.read_text() + leaf.key_file.read_text())
    haproxy = run_haproxy(f"""
frontend doh
  mode http
  bind 127.0.0.1:{port} ssl crt {both} alpn h2
  option forwardfor
  default_backend dotproxy
backend dotproxy
  mode http
  server one 127.0.0.1:{behind} proto h2
""", port)
    assert_knows_clients_of_http(haproxy.address, https)


def test_nginx_announces_its_clients(start_behind, run_nginx):
    """In version 1, the only one that it has."""
    _, behind = start_behind("tcp", proxy_protocol=True)
    port = free_port()
    nginx = run_nginx(f"""stream {{
  server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{behind}; proxy_protocol on; }}
}}""", port)
    assert_knows_clients_of_tcp(nginx.address)


def test_haproxy_announces_its_clients(start_behind, run_haproxy, authority):
    """In version 2, before TLS, and itself where it looks whether anybody is there (E75)."""
    proxy, behind = start_behind("dot", proxy_protocol=True)
    port = free_port()
    haproxy = run_haproxy(f"""
listen dot
  mode tcp
  bind 127.0.0.1:{port}
  server one 127.0.0.1:{behind} send-proxy-v2 check check-send-proxy check-ssl verify none inter 100
""", port)
    wait_for(lambda: proxy.counters().get("tls_handshakes", 0) >= 3)
    with TlsClient(haproxy.address, tls_context(authority.file), source=FRIEND) as client:
        assert client.ask("www.example").answer
    with TcpClient(haproxy.address, source=STRANGER) as client:
        assert client.is_closed_by_peer()
    assert not proxy.counters().get("proxy_refused")


def test_dnsdist_announces_its_clients(start_behind, run):
    """fleet 6: over UDP before each datagram, and itself in its check of each second."""
    proxy, behind = start_behind("udp", "tcp", proxy_protocol=True)
    port = free_port()
    dnsdist = run(("dnsdist", "--supervised", "--disable-syslog", "-C"), f"""
setLocal("127.0.0.1:{port}")
setACL({{"127.0.0.0/8"}})
newServer({{address="127.0.0.1:{behind}", useProxyProtocol=true, checkInterval=1}})
""", port)
    wait_for(lambda: proxy.counters().get("udp_queries"), what="its check")
    with udp_socket(dnsdist.address, FRIEND) as friend:
        for number in range(20):
            friend.send(wire.query(f"name{number}.example"))
            assert wire.address_in(friend.recv(4096))
    with udp_socket(dnsdist.address, STRANGER) as stranger:
        stranger.send(wire.query("www.example"))
        assert wire.parse(stranger.recv(4096)).rcode() == dns.rcode.REFUSED
    with TcpClient(dnsdist.address, source=FRIEND) as client:
        client.send(wire.query("www.example"))
        assert wire.address_in(client.receive())
    assert not proxy.counters().get("proxy_dropped")
