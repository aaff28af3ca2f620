# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# DNS cookies (RFC 7873, 9018): limits 13, 14, 44, 45 and 62, as clients see them. A cookie of any age
# is made here, with the secret that the proxy has from its file.

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time

import dns.rcode
import pytest

from harness import wire
from harness.client import TRANSPORTS, TcpClient, answers_to, ask
from harness.configuration import GROUP
from harness.network import with_sources
from harness.process import binary
from harness.waiting import wait_for

SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"
OTHER = "445536bcd2513298075a5d379663c962"
OWN = bytes.fromhex("2464c4abcf10c957")
HOUR = 3600
BADCOOKIE = 23

GREEDY, CALM = "10.0.0.1", "10.0.0.2"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network")


def siphash24(key, data):
    """SipHash-2-4 as its authors describe it, a number."""
    mask = (1 << 64) - 1

    def rotate(value, bits):
        return (value << bits | value >> (64 - bits)) & mask

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & mask
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[3]) & mask
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & mask
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & mask
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
         k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573]
    words = data + b"\0" * (7 - len(data) % 8) + bytes([len(data) & 255])
    for word, in struct.iter_unpack("<Q", words):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 255
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def cookie(age=0, secret=SECRET, address="127.0.0.1", version=1):
    """The client's and a server's, in 24 octets."""
    front = OWN + struct.pack("!B3xI", version, int(time.time()) - age)
    return front + struct.pack("<Q", siphash24(bytes.fromhex(secret),
                                               front + socket.inet_aton(address)))


def test_the_cookies_of_this_file_are_those_of_the_rfc():
    """Appendix A.1"""
    front = OWN + struct.pack("!B3xI", 1, 1559731985)
    assert struct.pack("<Q", siphash24(bytes.fromhex(SECRET), front + bytes([198, 51, 100, 100]))
                       ) == bytes.fromhex("1f8130c3eee29480")


def write_secrets(place, *secrets, mode=0o640):
    """The file with the secret. Of root's the account that serves has the group."""
    file = place / "cookie.secret"
    new = file.with_suffix(".new")
    new.write_text("".join(secret + "\n" for secret in secrets))
    new.chmod(mode)
    if os.geteuid() == 0:
        shutil.chown(new, group=GROUP)
    new.rename(file)
    return str(file)


@pytest.fixture
def secret_file(directory):
    return write_secrets(directory, SECRET)


@pytest.fixture
def fleet_member(start, upstream, secret_file):
    return start(upstream, workers=1, limits={"cookie_secret_file": secret_file})


def cookie_in(answer):
    """The one in a parsed answer; None without."""
    found = wire.options_of(answer, wire.COOKIE)
    assert len(found) <= 1
    return found[0] if found else None


def with_cookie(address, data, name="cookie.example", transport="udp", **fields):
    return ask(address, name, options=[(wire.COOKIE, data)], transport=transport, **fields)


def without_question(address, *options, transport="udp"):
    message = wire.header(7, 0x0100, additionals=1) + wire.opt(*options)
    return wire.parse(TRANSPORTS[transport](address, message))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_who_sends_one_gets_one(fleet_member, upstream, transport):
    """limits 44: with a miss, a hit, an error and an answer that is made here."""
    before = cookie()
    for name in ("miss.example", "miss.example", "localhost"):
        given = cookie_in(with_cookie(fleet_member.address, OWN, name, transport))
        assert given[:12] == before[:12] and len(given) == 24
        made = struct.unpack("!I", given[12:16])[0]
        assert given == cookie(int(time.time()) - made) and abs(made - time.time()) < 60
    upstream.on_query = lambda query: wire.answer(query.raw, rcode=5)
    refused = with_cookie(fleet_member.address, OWN, "refused.example", transport)
    assert refused.rcode() == dns.rcode.REFUSED and len(cookie_in(refused)) == 24
    assert cookie_in(ask(fleet_member.address, "plain.example", edns=0)) is None
    assert all(wire.COOKIE not in [option.otype for option in query.message.options]
               for query in upstream.queries)


@pytest.mark.parametrize("data,counter", [
    (lambda: cookie(10), "cookies_valid"),
    (lambda: cookie(-240), "cookies_valid"),
    (lambda: cookie(HOUR // 2 + 10), "cookies_renewed"),
    (lambda: cookie(HOUR + 10), "cookies_bad"),
    (lambda: cookie(-360), "cookies_bad"),
    (lambda: cookie(version=2), "cookies_bad"),
    (lambda: cookie(secret=OTHER), "cookies_bad"),
    (lambda: cookie(address="127.0.0.2"), "cookies_bad"),
    (lambda: cookie()[:16], "cookies_bad"),
    (lambda: cookie() + b"\0" * 16, "cookies_bad"),
], ids=["fresh", "little-ahead", "old", "expired", "future", "version", "secret", "address",
        "short", "long"])
def test_a_cookie_is_checked_and_never_required(fleet_member, data, counter):
    """limits 44 and 45: all are answered, and those that are not good get one that is."""
    sent = data()
    answer = with_cookie(fleet_member.address, sent)
    assert answer.rcode() == 0 and answer.answer
    given = cookie_in(answer)
    assert given[:8] == OWN and len(given) == 24
    assert (given == sent) == (counter == "cookies_valid")
    counters = fleet_member.counters()
    counted = {name: counters[name] for name in counters if name.startswith("cookies_")}
    assert counted == {counter: 1} | ({"cookies_valid": 1} if counter == "cookies_renewed" else {})
    assert cookie_in(with_cookie(fleet_member.address, given)) == given


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_of_a_wrong_length_it_is_a_format_error(proxy, upstream, transport):
    """RFC 7873, section 5.2.2"""
    for length in range(42):
        answer = with_cookie(proxy.address, bytes(length), transport=transport)
        right = length == 8 or 16 <= length <= 40
        assert answer.rcode() == (dns.rcode.NOERROR if right else dns.rcode.FORMERR)
        assert (cookie_in(answer) is not None) == right
    assert len(upstream.queries) == 1 + 25


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_without_a_question_there_is_a_cookie_to_be_had(fleet_member, upstream, transport):
    """RFC 7873, section 5.4"""
    def tried(*options):
        answer = without_question(fleet_member.address, *options, transport=transport)
        assert not answer.question and not answer.answer
        return answer.rcode(), cookie_in(answer)
    rcode, given = tried(wire.option(wire.COOKIE, OWN))
    assert rcode == 0 and given[:8] == OWN
    assert tried(wire.option(wire.COOKIE, given)) == (0, given)
    rcode, better = tried(wire.option(wire.COOKIE, cookie(2 * HOUR)))
    assert rcode == BADCOOKIE and tried(wire.option(wire.COOKIE, better))[0] == 0
    assert tried() == (dns.rcode.FORMERR, None)
    assert tried(wire.option(wire.COOKIE, OWN[1:])) == (dns.rcode.FORMERR, None)
    assert not upstream.queries


def test_servers_with_one_secret_are_one(start, serve, directory, secret_file):
    """limits 62; and with a drawn one each is its own, which a reload does not change."""
    shared = [start(serve(), limits={"cookie_secret_file": secret_file}) for _ in range(2)]
    alone = [start(serve()) for _ in range(2)]
    given = cookie_in(with_cookie(shared[0].address, OWN))
    assert cookie_in(with_cookie(shared[1].address, given)) == given
    given = cookie_in(with_cookie(alone[0].address, OWN))
    assert cookie_in(with_cookie(alone[1].address, given)) != given
    alone[0].reload()
    assert cookie_in(with_cookie(alone[0].address, given)) == given
    assert alone[1].counters()["cookies_bad"] == 1


def dig(address, *arguments, source=None):
    """What dig prints."""
    return subprocess.run(
        ["dig", *(["-b", source] if source else []), f"@{address[0]}", "-p", str(address[1]),
         "+tries=20", "+time=1", *arguments], capture_output=True, text=True, check=True).stdout


def test_dig_calls_it_good(start, serve, secret_file):
    """A real client, and two servers; kdig as well."""
    members = [start(serve(), limits={"cookie_secret_file": secret_file}) for _ in range(2)]
    first = dig(members[0].address, f"+cookie={OWN.hex()}", "dig.example")
    given = re.search(r"COOKIE: ([0-9a-f]{48}) \(good\)", first).group(1)
    assert f"COOKIE: {given} (good)" in dig(members[1].address, f"+cookie={given}", "dig.example")
    assert members[1].counters()["cookies_valid"] == 1
    assert "NOERROR" in dig(members[0].address, "+header-only", f"+cookie={given}")
    kdig = subprocess.run(
        ["kdig", f"@{members[0].address[0]}", "-p", str(members[0].address[1]),
         f"+cookie={given}", "kdig.example"], capture_output=True, text=True, check=True).stdout
    assert "status: NOERROR" in kdig and given[16:] in kdig.lower()


def limited(secret_file, **limits):
    return {"client_rate": 1, "client_misses": 0, "client_connects": 0,
            "cookie_secret_file": secret_file} | limits


def queries(data, count=40, name="warm.example"):
    options = [(wire.COOKIE, data)] if data else []
    return [wire.query(name, id=number, edns=0, options=options)
            for number in range(1, count + 1)]


@needs_root
def test_over_its_rate_a_client_is_given_a_cookie(prepare, serve, secret_file):
    """limits 13: in place of TC, and by 16 octets more than it sent at most; without one it is TC
    as ever, and a malformed question is no better off."""
    def check():
        proxy = prepare(serve(), workers=1, limits=limited(secret_file), cache={"size": "1M"}
                        ).start()
        ask(proxy.address, "warm.example")
        for sent in (OWN, cookie(2 * HOUR, address=GREEDY), cookie(address=CALM),
                     OWN + bytes(32), OWN + bytes(8)):
            messages = queries(sent)
            answers = answers_to(proxy.address, GREEDY, messages)
            fended_off = [one for one in answers.values() if wire.parse(one).rcode() == BADCOOKIE]
            assert fended_off
            for answer in fended_off:
                message = wire.parse(answer)
                assert not message.answer and message.question and not message.flags & 0x200
                assert len(answer) <= len(messages[0]) + (16 if sent == OWN else 8)
                good = cookie_in(message)
        # With that it has a budget of its own, and what is beyond comes back over TCP.
        passed = [wire.parse(one)
                  for one in answers_to(proxy.address, GREEDY, queries(good)).values()]
        assert sum(bool(one.answer) for one in passed) >= 2
        assert all(one.rcode() == 0 and (one.answer or one.flags & 0x200) for one in passed)
        counters = proxy.counters()
        assert counters["limited_cookies"] == counters["responses_other"]
        assert counters["limited_truncated"] == sum(bool(one.flags & 0x200) for one in passed)
        assert counters["limited_cookies"] + counters["limited_truncated"] - \
            counters["limited_dropped"] in (0, 1)
        truncated = answers_to(proxy.address, GREEDY, queries(None)).values()
        assert truncated and all(wire.parse(one).flags & 0x200 for one in truncated)
        broken = answers_to(proxy.address, GREEDY, [one + b"\0" for one in queries(OWN)]).values()
        assert broken and all(wire.parse(one).rcode() == dns.rcode.FORMERR for one in broken)
    with_sources(["10.0.0.0/8"], check)


@needs_root
def test_who_has_a_good_cookie_has_budgets_of_its_own(prepare, serve, secret_file):
    """limits 14, 22: what others send in its name takes nothing from it, large answers cost it no
    more, and it has no more than anybody."""
    def check():
        large = [wire.record(b"\xc0\x0c", 16, b"\xfa" + b"x" * 250)] * 4
        upstream = serve(on_query=lambda query: wire.answer(
            query.raw, records=large if query.name.startswith("large") else None))
        proxy = prepare(upstream, workers=1, cache={"size": "1M"}, timeouts={"query": "60s"},
                        limits=limited(secret_file, client_misses=1)).start()
        ask(proxy.address, "large.example", "TXT", edns=0)
        ask(proxy.address, "warm.example")
        answers_to(proxy.address, GREEDY, queries(None))  # in its name
        answers_to(proxy.address, GREEDY, [wire.query(f"old{number}.example", id=number)
                                           for number in range(1, 41)])
        good = cookie(address=GREEDY)
        messages = [wire.query("large.example", "TXT", id=number, options=[(wire.COOKIE, good)])
                    for number in range(1, 61)]
        answers = answers_to(proxy.address, GREEDY, messages)
        assert sum(len(one) > 1000 for one in answers.values()) >= 2
        assert len(answers) < 60
        before = proxy.counters().get("limited_misses", 0)
        misses = [wire.query(f"new{number}.example", id=number, options=[(wire.COOKIE, good)])
                  for number in range(1, 41)]
        with TcpClient(proxy.address, source=GREEDY) as client:
            for message in misses:
                client.send(message)
            failed = sum(wire.parse(client.receive()).rcode() == 2 for _ in misses)
        assert 0 < failed <= 36
        assert proxy.counters()["limited_misses"] == before + failed
        # Another's cookie is nobody's.
        assert len(answers_to(proxy.address, CALM, queries(good))) < 40
    with_sources(["10.0.0.0/8"], check)


@needs_root
def test_dig_comes_back_with_the_cookie(prepare, serve, secret_file):
    """A real client that is over its rate asks again with what BADCOOKIE gave it."""
    def check():
        proxy = prepare(serve(), workers=1, limits=limited(secret_file)).start()

        def is_over():
            out = dig(proxy.address, f"+cookie={OWN.hex()}", "dig.example", source=GREEDY)
            assert wire.address_of("dig.example") in out
            return "BADCOOKIE, retrying" in out
        wait_for(is_over, what="a question that is over the rate")
        assert proxy.counters()["limited_cookies"] > 0
    with_sources(["10.0.0.0/8"], check)


@needs_root
def test_a_new_secret_costs_no_client_anything(prepare, serve, directory):
    """limits 45 and 62 (RFC 9018, section 5): no BADCOOKIE in any step, on servers of which one is
    a step behind. The client is over its rate, so that a bad cookie would be seen at once."""
    def check():
        places = [directory / "a", directory / "b"]
        for place in places:
            place.mkdir()
            place.chmod(0o755)
        members = [prepare(serve(), workers=1, cache={"size": "1M"}, limits=limited(
            write_secrets(place, SECRET))).start() for place in places]
        given = cookie(address=GREEDY)
        answers_to(members[0].address, GREEDY, queries(None))

        def asked_all():
            nonlocal given
            for proxy in members:
                answers = wait_for(lambda: answers_to(proxy.address, GREEDY, queries(given, 2)))
                for answer in answers.values():
                    assert wire.parse(answer).rcode() == 0
                given = cookie_in(wire.parse(answer))
        first = given
        asked_all()
        for step in ((SECRET, OTHER), (OTHER, SECRET), (OTHER,)):
            for place, proxy in zip(places, members):
                write_secrets(place, *step)
                proxy.reload()
                asked_all()
        assert given != first
        assert all("cookies_bad" not in proxy.counters() for proxy in members)
        assert len(answers_to(members[0].address, GREEDY, queries(first))) < 40  # of the old one
    with_sources(["10.0.0.0/8"], check)


def test_a_secret_that_is_none_is_refused(prepare, upstream, directory, secret_file):
    """limits 45: by -t, at the start, and by a reload, which changes nothing."""
    proxy = prepare(upstream, limits={"cookie_secret_file": secret_file}).start()
    given = cookie_in(with_cookie(proxy.address, OWN))

    def tested():
        return subprocess.run([binary(), "-t", "-c", proxy.config_file],
                              capture_output=True, text=True, check=False)
    assert tested().returncode == 0
    cases = {"may be read by everybody": lambda: os.chmod(secret_file, 0o644),
             "line 1 is no secret": lambda: write_secrets(directory, SECRET[1:]),
             "cannot be read: No such file": lambda: os.unlink(secret_file)}
    if os.geteuid() == 0:
        cases["cannot be read: Permission denied"] = lambda: write_secrets(
            directory, SECRET, mode=0o600)
    for wanted, make in cases.items():
        make()
        refused = tested()
        front = f'limits.cookie_secret_file: "{secret_file}" {wanted}'
        assert refused.returncode != 0 and front in refused.stderr
        assert re.search(re.escape(str(proxy.config_file)) + r":\d+: ", refused.stderr)
        assert SECRET[1:] not in refused.stderr
        failed = proxy.counters().get("reloads_failed", 0)
        proxy.send_signal(signal.SIGHUP)
        wait_for(lambda: proxy.counters().get("reloads_failed", 0) == failed + 1)
        assert front in proxy.log
        assert cookie_in(with_cookie(proxy.address, given)) == given
    if os.geteuid() == 0:
        late = prepare(upstream, limits={"cookie_secret_file": secret_file})
        late.expect_clean_exit = False
        assert late.launch().process.wait(30) != 0
        assert "Permission denied" in late.log
