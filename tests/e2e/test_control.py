# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# dotproxyctl and the control socket, with the program as it runs.

import os
import pathlib
import pwd
import re
import signal
import socket
import stat
import subprocess

import pytest

from harness.client import ask
from harness.configuration import USER, describe
from harness.process import binary, copy_for_anybody, kill, state_of
from harness.waiting import PATIENCE, wait_for


def ctl(path, *arguments, timeout=PATIENCE):
    """Runs dotproxyctl; with the socket, or the file, at `path`."""
    option = "-s" if "conf" not in path.name else "-c"
    program = os.path.join(os.path.dirname(binary()), "dotproxyctl")
    return subprocess.run([program, option, str(path), *arguments], capture_output=True, text=True,
                          timeout=timeout, stdin=subprocess.DEVNULL)


def status(path):
    """The lines of `status` as a dictionary."""
    result = ctl(path, "status")
    assert result.returncode == 0, result.stderr
    return dict(line.split(" ", 1) for line in result.stdout.splitlines())


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE)
    client.connect(str(path))
    return client


def send_reload(path):
    client = connect(path)
    client.sendall(b"reload\n")
    return client


@pytest.fixture
def control(place, start, upstream):
    """A running program and its control socket."""
    path = place / "control"
    return start(upstream, workers=2, control_socket=str(path), cache={"size": "1M"}), path


def test_status_tells_what_runs(control):
    proxy, path = control
    for number in range(5):
        ask(proxy.address, f"counted{number}.example")
    # Which are counted when they have been sent.
    wait_for(lambda: status(path).get("udp_answers") == "5")
    lines = status(proxy.config_file)
    assert lines == status(path) | {"uptime": lines["uptime"],
                                    "generation_uptime": lines["generation_uptime"],
                                    "worker.0.uptime": lines["worker.0.uptime"],
                                    "worker.1.uptime": lines["worker.1.uptime"]}
    assert int(lines["pid"]) == proxy.pid
    assert lines["state"] == "serving" and lines["generation"] == "1" and lines["workers"] == "2"
    assert {int(lines[f"worker.{slot}.pid"]) for slot in (0, 1)} == set(proxy.workers())
    assert lines["worker.0.state"] == "ready" and lines["worker.0.restarts"] == "0"
    assert lines["udp_queries"] == "5" and int(lines["upstream_connections"]) >= 1


def keys_on_the_manual_page():
    """What dotproxyctl(8) describes, one set for each of its two lists."""
    page = (pathlib.Path(__file__).parents[2] / "man" / "dotproxyctl.8").read_text()
    keys = page[page.index("\n.Ss Keys\n"):page.index("\n.Sh FILES\n")]
    for part in keys.split("Of these,"):
        items = " , ".join(re.findall(r"^\.It Ic (.*)$", part, re.MULTILINE))
        yield {re.sub(r" Ns (Ar |Ic )?", "", key) for key in items.split(" , ")}


def test_the_manual_page_describes_what_is_printed(start, upstream, place):
    """Every key of `status` and `cache`, and no other."""
    path = place / "control"
    start(upstream, describe(upstream) | {"group": "corp"}, workers=2,
          control_socket=str(path), cache={"size": "1M"})
    of_status, of_cache_alone = keys_on_the_manual_page()
    keys = {re.sub(r"^(worker|upstream)\.\d+\.", r"\1.N.", key).replace("group.corp", "group.NAME")
            for key in status(path)}
    # Those of an address have the names of those of all.
    of_one = {key for key in keys if key.startswith("upstream.N.")} - {
        "upstream.N.address", "upstream.N.group"}
    assert of_one and {key.replace("upstream.N.", "upstream_") for key in of_one} <= keys
    assert keys - of_one == of_status
    printed = {line.partition(" ")[0] for line in ctl(path, "cache").stdout.splitlines()}
    assert printed == of_cache_alone | {key for key in of_status if key.startswith("cache_")}


def test_status_counts_the_workers_that_died(control):
    proxy, path = control
    kill(int(status(path)["worker.1.pid"]))

    def replaced():
        lines = status(path)
        return lines["worker.1.restarts"] == "1" and lines["worker.1.state"] == "ready"
    wait_for(replaced)
    assert status(path)["worker.0.restarts"] == "0"


def test_reload_returns_when_the_new_workers_serve(control):
    proxy, path = control
    for turn in range(3):
        before = {status(path)[f"worker.{slot}.pid"] for slot in (0, 1)}
        result = ctl(path, "reload")
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        lines = status(path)
        assert lines["state"] == "serving"
        assert all(lines[f"worker.{slot}.state"] == "ready" for slot in (0, 1))
        assert not before & {lines[f"worker.{slot}.pid"] for slot in (0, 1)}
        assert ask(proxy.address, f"turn{turn}.example").answer


def test_a_bad_reload_says_where_and_changes_nothing(control):
    proxy, path = control
    workers = sorted(proxy.workers())
    text = proxy.config_file.read_text()
    proxy.write_configuration(text + "\n\nworkres = 3;\n")
    line = len(text.splitlines()) + 3
    result = ctl(path, "reload")
    assert result.returncode == 1
    assert f"{proxy.config_file}:{line}: workres: unknown key; did you mean workers?" \
        in result.stderr
    assert len(result.stderr.splitlines()) == 1
    # The key is found although another one is wrong.
    assert ctl(proxy.config_file, "reload").returncode == 1
    assert sorted(proxy.workers()) == workers
    assert ask(proxy.address, "still.example").answer
    proxy.write_configuration(text)
    assert ctl(path, "reload").returncode == 0


def test_a_reload_whose_workers_do_not_get_ready_says_so(control):
    proxy, path = control
    old = set(proxy.workers())
    client = send_reload(path)
    for pid in wait_for(lambda: set(proxy.workers()) - old):
        kill(pid)
    # The first may have been ready before the kill, but not all of them.
    answer = client.recv(4096)
    assert answer in (b"ok\n", b"error a worker ended before it was ready\n")
    assert ask(proxy.address, "served.example").answer


def test_every_reload_is_answered_in_its_turn(control):
    """Who asks while one is under way gets an answer about the next."""
    proxy, path = control
    clients = [send_reload(path) for _ in range(8)]
    for client in clients:
        assert client.recv(4096) == b"ok\n"
        client.close()
    # All places were taken, until it is seen that those who had them have left.
    wait_for(lambda: ctl(path, "status").returncode == 0)
    assert 2 <= int(status(path)["generation"]) <= 9


def test_reloads_that_wait_are_told_when_the_service_ends(control):
    proxy, path = control
    clients = [send_reload(path) for _ in range(3)]
    proxy.send_signal(signal.SIGTERM)
    for client in clients:
        try:
            assert client.recv(4096) in (b"ok\n", b"error the service is ending\n", b"")
        except ConnectionResetError:
            pass  # the request was not read any more
        client.close()


def cache(path):
    result = ctl(path, "cache")
    assert result.returncode == 0, result.stderr
    return {key: int(value) for key, value in
            (line.split(" ") for line in result.stdout.splitlines())}


def test_cache_tells_what_is_in_it(control):
    proxy, path = control
    before = cache(path)
    assert before["cache_entries"] == 0 and before["cache_size"] == 1 << 20
    for _ in range(2):
        for number in range(30):
            ask(proxy.address, f"entry{number}.example")
    lines = cache(path)
    assert lines["cache_entries"] == lines["cache_insertions"] == 30
    assert lines["cache_misses"] == lines["cache_hits"] == 30
    assert 0 < lines["cache_octets"] < lines["cache_capacity"] < lines["cache_size"]
    assert lines["cache_shard_entries_min"] <= lines["cache_shard_entries_mean"] \
        <= lines["cache_shard_entries_max"] <= 30
    assert int(status(path)["cache_hits"]) == 30


def test_flush_forgets_what_it_is_told_to(control, upstream):
    """A name is asked for again if it was flushed, and only then."""
    proxy, path = control
    names = ["a.zone.example", "b.zone.example", "deep.a.zone.example", "zone.example",
             "azone.example", "other.example"]

    def remembered():
        """Which of the names are answered from memory; afterwards all of them are."""
        before = {name: len(upstream.asked(name)) for name in names}
        for name in names:
            ask(proxy.address, name)
        return {name for name in names if len(upstream.asked(name)) == before[name]}

    def flush(*arguments):
        result = ctl(path, "flush", *arguments)
        assert result.returncode == 0, result.stderr
        key, value = result.stdout.split()
        assert key == "flushed"
        return int(value), set(names) - remembered()

    assert remembered() == set()
    assert remembered() == set(names)
    assert flush("A.zone.Example.") == (1, {"a.zone.example"})
    assert flush("b.zone.example", "A") == (1, {"b.zone.example"})
    assert flush("b.zone.example", "AAAA") == (0, set())
    assert flush("b.zone.example", "TYPE1") == (1, {"b.zone.example"})
    assert flush("zone.example") == (1, {"zone.example"})
    assert flush("--below", "zone.example") == (4, {name for name in names
                                                    if name.endswith(".zone.example")
                                                    or name == "zone.example"})
    assert flush("\\097zone.example") == (1, {"azone.example"})
    assert flush("--below", ".") == (6, set(names))
    assert flush() == (6, set(names))


def test_a_worker_that_is_forked_during_a_flush_has_no_part_in_it(control):
    """It would keep the memory of a cache that nobody uses any more for as long as it lives."""
    proxy, path = control
    before = proxy.workers()
    proxy.write_configuration(cache={"size": "2M"})
    with connect(path) as flusher, connect(path) as reloader:
        for client in (flusher, reloader):
            client.sendall(b"status\n")
            assert client.recv(65536)
        # Both are read in one turn.
        proxy.send_signal(signal.SIGSTOP)
        wait_for(lambda: state_of(proxy.pid) == "T")
        flusher.sendall(b"flush\n")
        reloader.sendall(b"reload\n")
        proxy.send_signal(signal.SIGCONT)
        assert b"flushed 0\n" in flusher.recv(65536)
        assert reloader.recv(65536) == b"ok\n"
    wait_for(lambda: not set(before) & set(proxy.workers()))
    for pid in proxy.workers():
        maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
        assert maps.count("memfd:dotproxy-cache") == 1


def test_without_a_cache_there_is_none_to_look_at(place, start, upstream):
    path = place / "control"
    start(upstream, workers=1, control_socket=str(path))
    for command in (["cache"], ["flush"], ["flush", "--below", "example"]):
        result = ctl(path, *command)
        assert result.returncode == 1
        assert result.stderr == "dotproxyctl: cache.size is 0: nothing is remembered\n"


@pytest.mark.parametrize("arguments", [
    [], ["what"], ["status", "now"], ["reload", "x"], ["cache", "x"], ["flush", "a..b"],
    ["flush", "a.example", "XYZ"], ["flush", "a", "A", "x"], ["flush", "--below"],
    ["flush", "--below", "a", "b"], ["flush", ""], ["flush", "x" * 64],
    ["limits", "x"], ["block"], ["block", "x"], ["block", "192.0.2.1", "0s"],
    ["block", "192.0.2.1", "25h"], ["block", "192.0.2.1", "1.5s"], ["block", "192.0.2.1", "1s", "x"],
    ["unblock"], ["unblock", "192.0.2.0/33"], ["unblock", "192.0.2.1", "1s"]])
def test_what_makes_no_sense_is_refused_without_a_service(place, arguments):
    result = ctl(place / "none", *arguments)
    assert result.returncode == 2 and "usage:" in result.stderr


@pytest.mark.parametrize("arguments", [["help"], ["help", "flush"], ["-h"], ["--help"]])
def test_help_needs_no_service(place, arguments):
    result = ctl(place / "none", *arguments)
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.startswith("usage: dotproxyctl")


def test_no_service_is_told_with_what_to_look_at(place):
    path = place / "none"
    result = ctl(path, "status")
    assert result.returncode == 2
    assert str(path) in result.stderr and "is dotproxy running" in result.stderr
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert "is dotproxy running" in ctl(path, "status").stderr
    config = place / "x.conf"
    config.write_text("control_socket = \"\";\n")
    result = ctl(config, "status")
    assert result.returncode == 2 and "control_socket is \"\"" in result.stderr
    config.write_text("control_socket = ;\n")
    result = ctl(config, "status")
    assert result.returncode == 2 and f"{config}:1:18: control_socket: has no value" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_no_permission_is_told(control, place):
    _, path = control
    path.chmod(0o600)
    os.chown(path, 0, 0)
    result = subprocess.run(
        [copy_for_anybody(os.path.join(os.path.dirname(binary()), "dotproxyctl"), place), "-s",
         str(path), "status"], capture_output=True, text=True, user=USER, timeout=PATIENCE)
    assert result.returncode == 2 and "Permission denied" in result.stderr


def test_the_socket_is_for_owner_and_group(control):
    """L69"""
    proxy, path = control
    found = path.stat()
    assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o660
    if os.geteuid() == 0:
        account = pwd.getpwnam(USER)
        assert (found.st_uid, found.st_gid) == (account.pw_uid, account.pw_gid)
    assert proxy.stop() == 0
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_its_directory_is_made_for_the_account(directory, start, upstream):
    path = directory / "made" / "control"
    start(upstream, workers=1, control_socket=str(path))
    assert ctl(path, "status").returncode == 0
    found = path.parent.stat()
    assert found.st_uid == pwd.getpwnam(USER).pw_uid and stat.S_IMODE(found.st_mode) == 0o755


def test_systemds_directory_is_taken_for_the_default(place, start, upstream):
    start(upstream, workers=1, control_socket=None,
          environment={"RUNTIME_DIRECTORY": str(place)})
    assert ctl(place / "control", "status").returncode == 0


def test_a_stale_socket_is_replaced(place, start, upstream):
    path = place / "control"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    if os.geteuid() == 0:
        os.chown(path, pwd.getpwnam(USER).pw_uid, -1)
    start(upstream, workers=1, control_socket=str(path))
    assert ctl(path, "status").returncode == 0


def test_a_second_instance_leaves_the_first_ones_socket(control, start, upstream):
    first, path = control
    second = start(upstream, workers=1, control_socket=str(path))
    wait_for(lambda: f"control_socket: {path}: another process serves it" in second.log)
    assert ask(second.address, "both.example").answer
    assert int(status(path)["pid"]) == first.pid
    assert second.stop() == 0
    assert int(status(path)["pid"]) == first.pid


def test_a_socket_that_cannot_be_made_is_no_reason_to_end(directory, start, upstream):
    path = directory / "missing" / "deep" / "control"
    proxy = start(upstream, workers=1, control_socket=str(path))
    assert ask(proxy.address, "served.example").answer
    assert f"warning: control_socket: {path}: No such file or directory" in proxy.log


def test_a_file_that_is_no_socket_is_left(place, start, upstream):
    path = place / "control"
    path.write_text("precious")
    proxy = start(upstream, workers=1, control_socket=str(path))
    wait_for(lambda: "control_socket:" in proxy.log)
    assert path.read_text() == "precious"


def unix_sockets(pid):
    """The inodes of the sockets that a process has open."""
    found = set()
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            found.add(int(target[8:-1]))
    return found


def inodes_at(path):
    """The inodes of the sockets that are bound to `path`, or come from it."""
    return {int(line.split()[6]) for line in
            pathlib.Path("/proc/net/unix").read_text().splitlines()
            if line.endswith(f" {path}")}


def test_no_worker_has_it_open(control):
    """Nor the connection that asked for the reload it was started by."""
    proxy, path = control
    before = proxy.workers()
    with send_reload(path) as client:
        assert client.recv(4096) == b"ok\n"
        wait_for(lambda: not set(before) & set(proxy.workers()))
        ours = inodes_at(path)
        assert len(ours) == 2 and ours <= unix_sockets(proxy.pid)
        for pid in proxy.workers():
            assert not ours & unix_sockets(pid)


def test_a_reload_moves_it(control, place):
    proxy, path = control
    elsewhere = place / "elsewhere"
    proxy.write_configuration(control_socket=str(elsewhere))
    with send_reload(path) as client:
        assert client.recv(4096) == b"ok\n"
        client.sendall(b"status\n")
        assert client.recv(65536).startswith(b"version ")
    assert not path.exists()
    assert status(elsewhere)["generation"] == "2"
    proxy.write_configuration(control_socket=str(place / "no" / "where"))
    assert ctl(elsewhere, "reload").returncode == 0
    wait_for(lambda: f"(dotproxyctl still reaches {elsewhere})" in proxy.log)
    assert status(elsewhere)["generation"] == "3"
    elsewhere.unlink()
    proxy.write_configuration(control_socket=str(elsewhere))
    proxy.reload()
    assert status(elsewhere)["generation"] == "4"
    proxy.write_configuration(control_socket="")
    assert ctl(elsewhere, "reload").returncode == 0
    assert not elsewhere.exists()


def test_clients_that_misbehave_disturb_nobody(control):
    """Silent, garbled, half a line, and one that never reads; and the descriptors come back."""
    proxy, path = control
    descriptors = proxy.descriptors()
    clients = [connect(path) for _ in range(5)]
    clients[0].sendall(os.urandom(100000).replace(b"\n", b"x")[:1000])
    clients[1].sendall(b"stat")
    clients[2].sendall(b"\n" * 500)
    clients[3].setblocking(False)
    try:
        while True:
            clients[3].send(b"status\n" * 100)
    except BlockingIOError:
        pass
    assert status(path)["state"] == "serving"
    for number in range(20):
        assert ask(proxy.address, f"served{number}.example").answer
    assert ctl(path, "reload").returncode == 0
    for client in clients:
        client.close()
    wait_for(lambda: proxy.descriptors() <= descriptors)
    assert status(path)["state"] == "serving"
