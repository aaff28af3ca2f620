# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The certificates that clients over TLS are shown: which of them, how they are renewed, and what is
# said of those that are of no use (rules E1-E8).

import os
import re
import signal
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from harness.certificates import CLIENT_AUTH, DAY, weak_key
from harness.client import TlsClient, ask, tls_context
from harness.configuration import USER
from harness.process import binary
from harness.waiting import wait_for

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account's rights")


@pytest.fixture
def context(authority):
    return tls_context(authority.file)


def shown(address, context, name):
    with TlsClient(address, context, name=name) as client:
        assert client.ask("www.example").answer
        return client.serial


def test_the_name_and_the_address_choose(start_secure, authority, context):
    """E7, E8"""
    first = authority.leaf(("first.example",), ("127.0.0.9",))
    exact = authority.leaf(("a.wild.example",))
    wildcard = authority.leaf(("*.wild.example",))
    by_address = authority.leaf((), ("127.0.0.1",))
    _, address = start_secure(first, exact, wildcard, by_address, workers=1)
    for name, certificate in (("first.example", first), ("a.wild.example", exact),
                              ("b.wild.example", wildcard), (None, by_address)):
        assert shown(address, context, name) == certificate.certificate.serial_number


def test_ecdsa_and_rsa_stand_side_by_side(start_secure, authority, leaf):
    """E7: each client is shown what it can verify."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    other = authority.leaf(key=key)
    _, address = start_secure(other, leaf, workers=1)
    for ciphers, certificate in (("ECDHE-ECDSA-AES128-GCM-SHA256", leaf),
                                 ("ECDHE-RSA-AES128-GCM-SHA256", other)):
        context = tls_context(authority.file)
        context.maximum_version = 0x0303
        context.set_ciphers(ciphers)
        assert shown(address, context, "dot.example") == certificate.certificate.serial_number
    assert shown(address, tls_context(authority.file), "dot.example") == \
        leaf.certificate.serial_number


def test_a_reload_renews(start_secure, authority, context):
    """E6, E12: the new one is shown, and a session that began with the old one goes on."""
    old, new = authority.leaf(), authority.leaf()
    proxy, address = start_secure(old, workers=2)
    with TlsClient(address, context) as client:
        assert client.ask("www.example").answer
        assert client.serial == old.certificate.serial_number
        session = client.session
    entry = old.for_server()
    overwritten(entry["chain"], new.chain_file)
    overwritten(entry["key"], new.key_file)
    proxy.reload()
    assert shown(address, context, "dot.example") == new.certificate.serial_number
    with TlsClient(address, context, session=session) as client:
        assert client.resumed and client.ask("www.example").answer


def test_a_half_renewed_pair_changes_nothing(start_secure, authority, context):
    """E3, E6: the old one is shown on, until the other half is there."""
    old, new = authority.leaf(), authority.leaf()
    proxy, address = start_secure(old, workers=1)
    entry = old.for_server()
    before = set(proxy.workers())
    overwritten(entry["chain"], new.chain_file)
    proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: "is the key of another certificate" in proxy.log)
    assert "reload failed, the old configuration goes on" in proxy.log
    assert set(proxy.workers()) == before
    assert shown(address, context, "dot.example") == old.certificate.serial_number
    overwritten(entry["key"], new.key_file)
    proxy.reload()
    assert shown(address, context, "dot.example") == new.certificate.serial_number


def write(directory, text, authority):
    file = directory / "test.conf"
    account = f'user = "{USER}"; group = "nogroup";\n' if os.geteuid() == 0 else ""
    file.write_text(text + account + f'upstreams = ( {{ name = "a.example"; addresses = '
                    f'( "127.0.0.1" ); ca_file = "{authority.file}"; }} );\n')
    file.chmod(0o644)
    return file


def check(file):
    return subprocess.run([binary(), "-t", "-c", file], capture_output=True, text=True, timeout=20,
                          stdin=subprocess.DEVNULL)


def listing(*entries):
    pairs = ",\n".join(f'{{ chain = "{one["chain"]}";\nkey = "{one["key"]}"; }}' for one in entries)
    return ('listen = ( { address = "127.0.0.1"; protocols = ( "dot" ); } );\n'
            f"tls: {{ certificates = (\n{pairs} ); }};\n")


def overwritten(path, other):
    """The file with what is in the other one, and its own mode."""
    with open(path, "wb") as file, open(other, "rb") as source:
        file.write(source.read())
    return path


FAULTS = {
    "no key": (lambda one, make: {"key": overwritten(make()["key"], one["chain"])}, 4, "key: .*no private key in it"),
    "no certificate": (lambda one, _: {"chain": one["key"]}, 3, "chain: .*no certificate in it"),
    "no file": (lambda one, _: {"chain": "/nonexistent/chain.pem"}, 3,
                "chain: /nonexistent/chain.pem: No such file"),
    "key of another": (lambda _, make: {"key": make()["key"]}, 4,
                       "key: .*is the key of another certificate"),
    "for clients": (lambda _, make: make(purpose=CLIENT_AUTH), 3, "chain: .*serverAuth"),
    "common name only": (lambda _, make: make(names=()), 3, "chain: .*subject alternative name"),
    "weak key": (lambda _, make: make(key=weak_key()), 3, "chain: .*RSA of 1024 bits"),
    "weak signature": (lambda _, make: make(weakly_signed=True), 3, "chain: .*SHA1"),
    "relative path": (lambda one, _: {"key": "privkey.pem"}, 4, "key: .*relative path"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_certificate_that_is_of_no_use_is_refused(directory, authority, leaf, fault):
    """E3, with the file, the line and the key that say so."""
    change, line, message = FAULTS[fault]
    good = leaf.for_server()
    changed = change(good, lambda **how: authority.leaf(**how).for_server())
    result = check(write(directory, listing(good | changed), authority))
    assert result.returncode == 2, result
    assert re.search(rf"test\.conf:{line}: tls\.certificates\[0\]\.{message}", result.stderr), result


@pytest.mark.parametrize("fault", FAULTS)
def test_a_reload_to_one_that_is_of_no_use_changes_nothing(start_secure, authority, leaf, context,
                                                           fault):
    """E3: the reason is in the log, and the old generation serves on."""
    change, _, message = FAULTS[fault]
    proxy, address = start_secure(leaf, workers=1)
    before = proxy.workers()
    changed = change(leaf.for_server(), lambda **how: authority.leaf(**how).for_server())
    proxy.write_configuration(tls={"certificates": [leaf.for_server() | changed]})
    proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: re.search(r"reload failed, the old configuration goes on: .*"
                               rf"tls\.certificates\[0\]\.{message}", proxy.log))
    assert proxy.workers() == before
    assert shown(address, context, "dot.example") == leaf.certificate.serial_number


def test_listeners_and_certificates_go_together(directory, authority, leaf):
    """E3"""
    bare = 'listen = ( { address = "127.0.0.1";\n protocols = ( "dot" ); } );\n'
    result = check(write(directory, bare, authority))
    assert result.returncode == 2
    assert "test.conf:2: listen[0].protocols[0]: this takes a certificate" in result.stderr
    idle = listing(leaf.for_server()).replace('"dot"', '"tcp"')
    result = check(write(directory, idle, authority))
    assert result.returncode == 2 and "tls.certificates: no listener uses them" in result.stderr
    both = bare.replace('"dot"', '"tcp", "dot"')
    result = check(write(directory, both, authority))
    assert result.returncode == 2
    assert "protocols[1]: \"tcp\" and \"dot\" cannot be had on one port" in result.stderr
    twice = listing(leaf.for_server(), authority.leaf().for_server())
    result = check(write(directory, twice, authority))
    assert result.returncode == 2
    assert re.search(r"tls\.certificates: .* is for dot\.example, as is ", result.stderr)


@needs_root
def test_a_key_is_never_read_with_roots_rights(directory, prepare, upstream, authority, leaf):
    """E1: at the start as with -t, or the first reload would end it."""
    entry = authority.leaf().for_server()
    os.chown(entry["key"], 0, 0)
    os.chmod(entry["key"], 0o600)
    said = (rf"tls\.certificates\[0\]\.key: {entry['key']}: Permission denied "
            rf"\(read as user {USER}\); see CERTIFICATES in dotproxy\.conf\(5\)\n")
    result = check(write(directory, listing(entry), authority))
    assert result.returncode == 2 and re.search(r"test\.conf:4: " + said, result.stderr), result
    proxy = prepare(upstream, listen=[("127.0.0.1", 12345, ["dot"])],
                    tls={"certificates": [entry]})
    proxy.expect_clean_exit = False
    proxy.launch()
    assert proxy.process.wait(20) != 0
    assert re.search(said, proxy.log)


def test_keys_are_for_no_other_eyes(directory, authority, leaf):
    """E3"""
    entry = authority.leaf().for_server()
    os.chmod(entry["key"], 0o644)
    result = check(write(directory, listing(entry), authority))
    assert result.returncode == 2 and "may be read by everybody" in result.stderr


def test_t_lists_them(directory, authority, leaf):
    """E5, and E4: what is warned of."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    chain = (authority.certificate,)
    good = authority.leaf(("dot.example", "*.dot.example"), ("192.0.2.1",), chain=chain)
    old = authority.leaf(("old.example",), valid=(-9 * DAY, -DAY), key=key, chain=chain)
    result = check(write(directory, listing(good.for_server(), old.for_server()), authority))
    assert result.returncode == 0, result
    first, second, last = result.stdout.splitlines()
    assert re.fullmatch(rf"{good.chain_file}: dot\.example, \*\.dot\.example, 192\.0\.2\.1 "
                        r"\(ECDSA 256\), until [-\d]+ [:\d]+ UTC", first)
    assert re.fullmatch(rf"{old.chain_file}: old\.example \(RSA 2048\), until .* UTC", second)
    assert last.endswith("good")
    assert f"{old.chain_file}: has expired at " in result.stderr
    assert str(good.chain_file) not in result.stderr


def test_what_is_wrong_with_them_is_logged_and_counted(start_secure, authority, leaf):
    """E4: it serves all the same."""
    late = authority.leaf(valid=(-100 * DAY, 2 * DAY))
    proxy, _ = start_secure(late, workers=1)
    wait_for(lambda: "ends within 2 days, at " in proxy.log)
    assert "has no certificate of who issued it" in proxy.log
    assert 0 < proxy.counters()["certificate_left"] <= 2 * 24 * 3600
    assert ask(proxy.address, "www.example").answer
