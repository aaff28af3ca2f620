# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Resolvers that others wrote as clients over TLS (RFC 7858), which verify whom they ask: unbound and
# stubby. systemd-resolved, which is another one, runs in the guests of tests/system.

import time

import pytest

from harness import program, wire
from harness.client import ask
from harness.load import Load
from harness.waiting import awake, free_port, wait_for

NAME = "dot.example"


def unbound(run, place, authority, secure):
    port = free_port()
    return run((program.unconfined("unbound", place), "-d", "-c"), f"""server:
    directory: "{place}"
    username: ""
    chroot: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    interface: 127.0.0.1@{port}
    do-not-query-localhost: no
    module-config: "iterator"
    cache-max-ttl: 0
    local-zone: "example." transparent
    tls-cert-bundle: "{authority.file}"
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{secure[1]}#{NAME}
    forward-tls-upstream: yes
remote-control:
    control-enable: no
""", port)


def stubby(run, place, authority, secure):
    port = free_port()
    return run(("stubby", "-C"), f"""resolution_type: GETDNS_RESOLUTION_STUB
appdata_dir: "{place}"
dns_transport_list:
  - GETDNS_TRANSPORT_TLS
tls_authentication: GETDNS_AUTHENTICATION_REQUIRED
tls_ca_file: "{authority.file}"
tls_query_padding_blocksize: 128
idle_timeout: 10000
listen_addresses:
  - 127.0.0.1@{port}
upstream_recursive_servers:
  - address_data: 127.0.0.1
    tls_port: {secure[1]}
    tls_auth_name: "{NAME}"
""", port, suffix="yml")


@pytest.mark.parametrize("resolver", (unbound, stubby))
def test_a_resolver_is_answered(start_secure, run, place, authority, resolver):
    """Also through reloads, each of which ends the connections that it keeps (E62)."""
    proxy, secure = start_secure(workers=2)
    server = resolver(run, place, authority, secure)
    for number in range(20):
        name = f"name{number}.example"
        for transport in ("udp", "tcp"):
            answer = ask(server.address, name, transport=transport).answer
            assert [str(rdata) for rdata in answer[0]] == [wire.address_of(name)]
    assert proxy.counters()["tls_queries"] >= 20
    for _ in range(3):
        stood_still = time.monotonic() - awake()
        with Load(server.address, rate=50) as load:
            for _ in range(3):
                asked = proxy.counters()["tls_queries"]
                proxy.reload()
                wait_for(lambda: proxy.counters()["tls_queries"] > asked + 20)
        # A machine that stands still looks to a resolver like a server that is silent.
        if time.monotonic() - awake() < stood_still + 0.5:
            break
    if resolver is unbound:
        load.assert_flawless()
    else:
        check_nothing_was_lost_here(proxy, load)
        wait_for(lambda: ask(server.address, "afterwards.example").answer)


def check_nothing_was_lost_here(proxy, load):
    """stubby does not always ask again what it sent as its connection ended (RFC 7766, section
    6.2.4), and where two answers come together it may not look at the second one until something
    else comes. How many that are is for the scheduler to say, but each that came here has an
    answer."""
    counted = proxy.counters()
    assert counted["tls_queries"] == counted["tcp_answers"], counted
    assert not load.lost and not load.crossed
    assert len(load.failed) < len(load.asked) // 2, [one.name for one in load.failed]


@pytest.mark.parametrize("resolver", (unbound, stubby))
def test_a_resolver_verifies(start_secure, authority, run, place, resolver):
    """Of another name it takes no answer: what the test before shows was verified."""
    proxy, secure = start_secure(authority.leaf(["other.example"]), workers=1)
    server = resolver(run, place, authority, secure)
    assert not ask(server.address, "name.example").answer
    # It was asked; and it is told that the certificate was refused (E29), where the client says so. Who
    # asks us may have its answer before that is here.
    ends = ["tls_failures_certificate"]
    if resolver is not unbound:
        ends += ["tls_failures_closed", "tls_handshakes"]
    wait_for(lambda: any(proxy.counters().get(key) for key in ends))
    counted = proxy.counters()
    assert not counted.get("tls_queries") and not counted.get("tls_failures_nonsense"), counted
