# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Browsers that are set up as README.Debian says: to ask within HTTPS alone, at a URL of their own
# (RFC 8484; E106). The page that they show is at a name which only dotproxy knows.

import contextlib
import http.server
import json
import os
import socket
import subprocess
import threading

import pytest

from harness import program, wire
from harness.waiting import free_port, wait_for

PAGE = "This page was found."
NAME = "page.example"


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"<!doctype html><title>{PAGE}</title><p>{PAGE}".encode()
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.server.shown.append((self.headers["host"], self.path))

    def log_message(self, *_):
        pass


@pytest.fixture
def web():
    """A web server at 127.0.0.1. `shown`: (host, path) of each request."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        server.shown = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def resolver(start, upstream, authority):
    """dotproxy over HTTPS, by which names lead to this machine: (proxy, the URL of the manual)."""
    upstream.on_query = lambda query: wire.answer(query.raw).replace(
        socket.inet_aton(wire.address_of(query.name)), socket.inet_aton("127.0.0.1"))
    port = free_port()
    leaf = authority.leaf(["dns.example.net"], ["127.0.0.1"])
    proxy = start(upstream, workers=1, tls={"certificates": [leaf.for_server()]},
                  listen=[("127.0.0.1", free_port()), ("127.0.0.1", port, ["doh"])])
    return proxy, f"https://127.0.0.1:{port}/dns-query"


def trust(database, authority):
    """As what a person clicks: this authority may say who a server is."""
    database.mkdir(parents=True, exist_ok=True)
    for arguments in (("-N", "--empty-password"),
                      ("-A", "-t", "C,,", "-n", "tests", "-i", str(authority.file))):
        subprocess.run([program.find("certutil"), "-d", f"sql:{database}", *arguments],
                       check=True, capture_output=True, timeout=60)


@contextlib.contextmanager
def running(command, home):
    """A browser, with all that it starts: it ends with the block."""
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    with (home / "said").open("wb") as said:
        browser = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=said,
                                   stderr=said, start_new_session=True)
    try:
        yield browser
    except AssertionError as problem:
        problem.add_note((home / "said").read_text())
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(browser.pid, 9)
        browser.wait()


def chromium(home, authority, url, page):
    """What its policy says in a managed network is what a person chooses there."""
    trust(home / ".pki/nssdb", authority)
    profile = home / "profile"
    profile.mkdir()
    (profile / "Local State").write_text(json.dumps({
        "dns_over_https": {"mode": "secure", "templates": url + "{?dns}"}}))
    return [program.find("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu",
            "--disable-dev-shm-usage", f"--user-data-dir={profile}", "--dump-dom", page]


def firefox(home, authority, url, page):
    """Max Protection, Custom. Addresses of a network at home are none that it believes by itself."""
    profile = home / "profile"
    trust(profile, authority)
    settings = {"network.trr.mode": 3, "network.trr.uri": url, "network.trr.custom_uri": url,
                "network.trr.allow-rfc1918": True, "network.trr.confirmationNS": "skip",
                "network.captive-portal-service.enabled": False,
                "network.connectivity-service.enabled": False,
                "datareporting.policy.dataSubmissionEnabled": False,
                "browser.aboutwelcome.enabled": False, "app.normandy.enabled": False}
    (profile / "user.js").write_text("".join(
        f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
        for name, value in settings.items()))
    return [program.find("firefox-esr"), "--headless", "--no-remote", "--profile", str(profile),
            "--screenshot", str(home / "page.png"), page]


@pytest.mark.parametrize("browser", (chromium, firefox))
def test_a_browser_finds_a_page(resolver, web, authority, place, upstream, browser):
    proxy, url = resolver
    page = f"{NAME}:{web.server_port}"
    with running(browser(place, authority, url, f"http://{page}/"), place):
        wait_for(lambda: (page, "/") in web.shown, timeout=90, what=f"{page} to be asked for")
    assert upstream.asked(f"{NAME}.")
    assert proxy.counters()["http_queries"] >= 1
