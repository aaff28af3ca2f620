# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The fixtures of the end-to-end tests. Each test has a directory of its own, and each program that
# it starts is ended, and looked over, when the test is done.

import pathlib
import shutil
import signal
import tempfile

import pytest

from harness.certificates import Authority
from harness.process import Dotproxy, Unbound, has_sanitizer, kill
from harness.program import Program
from harness.upstream import Upstream
from harness.waiting import awake, free_port


# Every wait is bounded by itself. This is for what nobody thought of.
LONGEST = 120


def pytest_configure(config):
    # A thread of the harness that ends with an exception is no longer there for what follows.
    config.addinivalue_line("filterwarnings",
                            "error::pytest.PytestUnhandledThreadExceptionWarning")
    config.addinivalue_line("markers", "unsanitized: of what a sanitizer's build cannot do")
    # TERM ends a run as an interrupt does: what was started is ended as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    """Nothing is skipped: the build without a sanitizer has these."""
    if has_sanitizer():
        config.hook.pytest_deselected(
            items=[item for item in items if item.get_closest_marker("unsanitized")])
        items[:] = [item for item in items if not item.get_closest_marker("unsanitized")]


@pytest.fixture(autouse=True)
def bounded():
    """Ends a test that does not end."""
    deadline = awake() + LONGEST

    def look(*_):
        if awake() >= deadline:
            raise AssertionError(f"the test takes more than {LONGEST} s")
        signal.alarm(10)
    signal.signal(signal.SIGALRM, look)
    signal.alarm(LONGEST)
    yield
    signal.alarm(0)


def _public_directory():
    # Not below pytest's own directories: those are closed to the account that dotproxy changes to.
    # The path is short as well, since it becomes a socket's name.
    directory = pathlib.Path(tempfile.mkdtemp(prefix="dotproxy-e2e-"))
    directory.chmod(0o755)
    return directory


@pytest.fixture
def directory():
    """A directory for this test, readable for everybody."""
    path = _public_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def place(directory):
    """A directory in it that the account of the program can write to."""
    run = directory / "run"
    run.mkdir()
    run.chmod(0o777)
    return run


@pytest.fixture(scope="session")
def authority():
    """The certification authority that dotproxy is told to trust."""
    path = _public_directory()
    yield Authority(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def leaf(authority):
    """A good certificate for dot.example."""
    return authority.leaf()


@pytest.fixture
def serve(leaf):
    """Starts scripted servers: serve(**scripts) -> Upstream."""
    servers = []

    def make(certificate=leaf, **how):
        servers.append(Upstream(certificate, **how))
        return servers[-1]
    yield make
    for server in servers:
        server.close()


@pytest.fixture
def upstream(serve):
    """A scripted server that behaves until it is told otherwise."""
    return serve()


@pytest.fixture
def serve_https(leaf):
    """The same for DNS over HTTPS: serve_https(**scripts) -> HttpsServer. No client may break the
    rules of HTTP/2."""
    pytest.importorskip("h2", reason="python3-h2 is not installed")
    from harness.https_server import HttpsServer
    servers = []

    def make(certificate=leaf, **how):
        servers.append(HttpsServer(certificate, **how))
        return servers[-1]
    yield make
    for server in servers:
        server.close()
    for server in servers:
        server.assert_no_violation()


@pytest.fixture
def https(serve_https):
    """A scripted server of DNS over HTTPS that behaves until it is told otherwise."""
    return serve_https()


@pytest.fixture
def run(place):
    """Starts servers of Debian's: run(command, configuration, port, **how) -> Program."""
    programs = []

    def make(*what, **how):
        programs.append(Program(place, *what, **how))
        return programs[-1]
    yield make
    for program in programs:
        program.close()


@pytest.fixture
def prepare(directory, authority):
    """Makes instances of dotproxy that are not started yet: prepare(*upstreams, **how)."""
    instances = []

    def make(*upstreams, ca_file=authority.file, **how):
        place = directory / f"dotproxy-{len(instances)}"
        place.mkdir(mode=0o755)
        place.chmod(0o755)
        instances.append(Dotproxy(place, ca_file, upstreams, **how))
        return instances[-1]
    yield make
    _close_all(instances)


@pytest.fixture
def start(prepare):
    """Starts dotproxy and waits until it is ready: start(*upstreams, **how) -> Dotproxy."""
    return lambda *upstreams, **how: prepare(*upstreams, **how).start()


@pytest.fixture
def daemon(place, prepare, upstream):
    """Starts dotproxy without -f and waits until that is done:
    daemon(output=None, **how) -> (proxy, PID of the daemon, PID file)."""
    pids = []

    def make(output=None, **how):
        proxy = prepare(upstream, arguments=(), pid_file=str(place / "dotproxy.pid"), **how)
        proxy.launch(output)
        assert proxy.process.wait(20) == 0, proxy.log
        pids.append(int((place / "dotproxy.pid").read_text()))
        return proxy, pids[-1], place / "dotproxy.pid"
    yield make
    for pid in pids:
        kill(pid)


@pytest.fixture
def proxy(start, upstream):
    """dotproxy with one worker in front of `upstream`."""
    return start(upstream, workers=1)


@pytest.fixture
def start_secure(start, upstream, leaf):
    """Starts dotproxy in front of `upstream` with a listener over TLS beside the plain one:
    start_secure(*certificates, **how) -> (proxy, address of that one)."""
    def make(*certificates, servers=(), tls=None, **how):
        address = ("127.0.0.1", free_port())
        entries = [one.for_server() for one in certificates or (leaf,)]
        return start(*(servers or (upstream,)),
                     listen=[("127.0.0.1", free_port()), (*address, ["dot"])],
                     tls={"certificates": entries} | (tls or {}), **how), address
    return make


@pytest.fixture
def unbound(directory, leaf):
    """Starts Debian's unbound with records: unbound(records, **how) -> Unbound."""
    instances = []

    def make(records, **how):
        instances.append(Unbound(directory, leaf, records, **how))
        return instances[-1]
    yield make
    for one in instances:
        one.close()


def _close_all(instances):
    failures = []
    for one in instances:
        try:
            one.close()
        except AssertionError as failure:
            failures.append(failure)
    if failures:
        raise failures[0]
