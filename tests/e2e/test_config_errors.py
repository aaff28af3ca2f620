# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# What is wrong with a configuration is said with file, line, key, and exit status 2; with -t and at
# start alike (C62, L64).

import os
import pathlib
import re
import subprocess

import pytest

from harness.process import binary, copy_for_anybody
from harness.waiting import free_port

UPSTREAM = 'upstreams = ( { name = "dot.example"; addresses = ( "127.0.0.1" ); } );\n'

# The text, the line of the fault, the word that the message names.
FAULTS = {
    "unknown key": ("workers = 1;\nworkres = 2;\n", 2, "workres"),
    "unknown key in a group": ("timeouts: {\n  query = \"1s\";\n  qery = \"1s\";\n};\n", 3, "qery"),
    "unknown key in a list": ('listen = (\n { address = "127.0.0.1";\n  prt = 1; } );\n', 3,
                              "prt"),
    "wrong type": ('\n\nworkers = "two";\n', 3, "workers"),
    "wrong type of a group": ("timeouts = 5;\n", 1, "timeouts"),
    "wrong type of a list": ("listen = { };\n", 1, "listen"),
    "negative workers": ("workers = -1;\n", 1, "workers"),
    "too many workers": ("workers = 1000000;\n", 1, "workers"),
    "port out of range": ('listen = ( { address = "127.0.0.1"; port = 65536; } );\n', 1, "port"),
    "port zero": ('listen = ( { address = "127.0.0.1"; port = 0; } );\n', 1, "port"),
    "bad address": ('listen = (\n  { address = "localhost"; } );\n', 2, "address"),
    "bad protocol": ('listen = ( { address = "127.0.0.1";\n protocols = ( "sctp" ); } );\n', 2,
                     "protocols"),
    "duplicate listener": ('listen = ( { address = "127.0.0.1"; port = 5300; },\n'
                           '           { address = "127.0.0.1"; port = 5300; } );\n', 2, "listen"),
    "no listener": ("listen = ( );\n", 1, "listen"),
    "no upstream": ("upstreams = ( );\n", 1, "upstreams"),
    "nothing to verify": ('upstreams = (\n { addresses = ( "127.0.0.1" ); } );\n', 2, "upstreams"),
    "empty name and no pins": ('upstreams = (\n { name = ""; addresses = ( "127.0.0.1" ); } );\n',
                               2, "upstreams"),
    "no address": ('upstreams = (\n { name = "dot.example"; } );\n', 2, "upstreams"),
    "bad upstream address": ('upstreams = ( { name = "a.example";\n'
                             ' addresses = ( "dot.example" ); } );\n', 2, "addresses"),
    "bad pin": ('upstreams = ( { name = "a.example"; addresses = ( "127.0.0.1" );\n'
                ' pins = ( "sha256" ); } );\n', 2, "pins"),
    "duration without unit": ("timeouts: { query = 5; };\n", 1, "query"),
    "duration of nothing": ('timeouts: { query = "0s"; };\n', 1, "query"),
    "duration that is none": ('timeouts: { query = "soon"; };\n', 1, "query"),
    "limit out of range": ("limits: { queries = 0; };\n", 1, "queries"),
    "unknown level": ('log: { level = "loud"; };\n', 1, "level"),
    "unknown target": ('log: {\n target = "printer"; };\n', 2, "target"),
    "missing CA file": ('tls: { ca_file = "/nonexistent/ca.pem"; };\n', 1, "ca_file"),
    "relative CA file": ('tls: { ca_file = "ca.pem"; };\n', 1, "ca_file"),
    "syntax": ("workers = 1;\nlisten = (\n", 2, "listen"),
    "no value": ("workers = ;\n", 1, "workers"),
    "key twice": ("workers = 1;\nworkers = 2;\n", 2, "workers"),
}


def run(file, *arguments, program=None, user=None):
    return subprocess.run([program or binary(), *arguments, "-c", file], capture_output=True,
                          text=True, timeout=20, stdin=subprocess.DEVNULL, user=user)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(directory, authority, fault):
    text, line, key = FAULTS[fault]
    if not text.startswith("tls"):
        text += f'tls: {{ ca_file = "{authority.file}"; }};\n'
    file = directory / "faulty.conf"
    file.write_text(text)
    for arguments in (("-t",), ("-f",)):
        result = run(file, *arguments)
        assert result.returncode == 2, result
        place = rf"{re.escape(str(file))}:{line}(:[0-9]+)?: "
        message = next((one for one in result.stderr.splitlines() if re.search(place, one)), None)
        assert message, result.stderr
        assert key in re.split(place, message)[-1]


def test_a_file_that_is_not_there_is_named(directory):
    for arguments in (("-t",), ("-f",)):
        result = run(directory / "missing.conf", *arguments)
        assert result.returncode == 2 and str(directory / "missing.conf") in result.stderr


def assert_refused(file, place, *words):
    """-t and a start alike, at both of which nothing is changed: status 2 and one message."""
    for arguments in (("-t",), ("-f",), ()):
        result = run(file, *arguments)
        assert result.returncode == 2, result
        assert result.stderr.startswith(f"dotproxy: {place}: "), result.stderr
        assert all(word in result.stderr for word in words) and "; " in result.stderr
        assert result.stderr.count("\n") == 1 and not result.stdout


def test_a_ca_file_without_certificates_is_an_error(directory):
    """Nobody could be trusted: said at start, not found out by every question."""
    (directory / "empty.pem").write_text("nothing\n")
    file = directory / "faulty.conf"
    file.write_text(f'tls: {{\n ca_file = "{directory}/empty.pem"; }};\n')
    assert_refused(file, f"{file}:2: tls.ca_file", "empty.pem", "no certificate")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another account")
@pytest.mark.parametrize("key", ["user", "group"])
def test_an_unknown_account_is_an_error(directory, authority, key):
    """L68: nothing is served as root."""
    file = directory / "faulty.conf"
    settings = {"user": "nobody", "group": "nogroup"} | {key: "no-such-account-here"}
    file.write_text(f'tls: {{ ca_file = "{authority.file}"; }};\n'
                    f'listen = ( {{ address = "127.0.0.1"; port = {free_port()}; }} );\n' +
                    "".join(f'{name} = "{value}";\n' for name, value in settings.items()))
    line = {"user": 3, "group": 4}[key]
    assert_refused(file, f"{file}:{line}: {key}", f'no {key} "no-such-account-here"')


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_account_that_is_not_needed_need_not_exist(directory, authority):
    """Started without root, dotproxy stays who it is: nothing is looked up."""
    file = directory / "good.conf"
    file.write_text(f'tls: {{ ca_file = "{authority.file}"; }};\nuser = "no-such-user-here";\n')
    program = copy_for_anybody(binary(), directory)
    assert run(file, "-t", program=program, user=65534).returncode == 0
    assert run(file, "-t").returncode == 2


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account's rights")


@needs_root
@pytest.mark.parametrize("key", ["tls", "upstream", "file"])
def test_root_judges_files_with_the_rights_of_the_account(directory, authority, key):
    """What root can read, the service may not be able to: -t says so, and not the next reload."""
    secret = directory / "secret.pem"
    secret.write_text(pathlib.Path(authority.file).read_text())
    common, own = (secret, "") if key == "tls" else (authority.file, "")
    if key == "upstream":
        own = f' ca_file = "{secret}";'
    file = directory / "rights.conf"
    file.write_text(f'user = "nobody"; group = "nogroup";\ntls: {{ ca_file = "{common}"; }};\n'
                    'upstreams = ( { name = "dot.example"; addresses = ( "127.0.0.1" );\n'
                    f'{own} }} );\n')
    assert run(file, "-t").returncode == 0
    hidden = file if key == "file" else secret
    hidden.chmod(0o600)
    result = run(file, "-t")
    assert result.returncode == 2 and not result.stdout
    place = {"tls": f"{file}:2: tls.ca_file: ", "upstream": f"{file}:4: upstreams[0].ca_file: ",
             "file": f"{file}: "}[key]
    assert result.stderr.startswith(f"dotproxy: {place}"), result.stderr
    assert "Permission denied" in result.stderr and '"nobody"' in result.stderr


@needs_root
def test_root_is_warned_of_what_the_service_does_not_see(directory, authority):
    """The file is good; systemd's service, with its own /tmp and no /home, would not find it."""
    file = directory / "hidden.conf"
    file.write_text('user = "nobody"; group = "nogroup";\n'
                    f'tls: {{ ca_file = "{authority.file}"; }};\n' + UPSTREAM)
    result = run(file, "-t")
    assert result.returncode == 0 and result.stdout == f"{file}: good\n"
    warning = f"dotproxy: warning: {file}:2: tls.ca_file: "
    assert result.stderr.startswith(warning) == os.path.isdir("/run/systemd/system")
    assert ("PrivateTmp" in result.stderr) == os.path.isdir("/run/systemd/system")


@needs_root
def test_whoever_may_not_bind_a_low_port_is_warned(directory, authority):
    file = directory / "low.conf"
    file.write_text(f'tls: {{ ca_file = "{authority.file}"; }};\n' + UPSTREAM +
                    'listen = ( { address = "127.0.0.1"; port = 1; } );\n')
    program = copy_for_anybody(binary(), directory)
    result = run(file, "-t", program=program, user=65534)
    assert result.returncode == 0
    assert f"warning: {file}:3: listen: port 1 " in result.stderr, result.stderr
    assert "dotproxy.socket" in result.stderr


def test_a_broken_certificate_is_named_by_its_number(directory, authority):
    good = pathlib.Path(authority.file).read_text()
    (directory / "broken.pem").write_text(good + good.replace("MII", "!!!", 1))
    file = directory / "faulty.conf"
    file.write_text(f'tls: {{\n ca_file = "{directory}/broken.pem"; }};\n')
    assert_refused(file, f"{file}:2: tls.ca_file", "certificate 2, which begins in line",
                   "broken")


def test_a_good_file_passes(directory, authority):
    file = directory / "good.conf"
    file.write_text('user = "nobody"; group = "nogroup";\n'
                    f'tls: {{ ca_file = "{authority.file}"; }};\n' + UPSTREAM)
    result = run(file, "-t")
    assert result.returncode == 0, result
