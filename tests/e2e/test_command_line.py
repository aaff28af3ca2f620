# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The command line: -t, -V, -h, and what is none of them.

import re
import subprocess

import pytest

from harness.process import binary


def run(*arguments):
    return subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=20,
                          stdin=subprocess.DEVNULL)


def test_the_versions_are_told():
    """-V: of the program and of the libraries in use."""
    result = run("-V")
    assert result.returncode == 0 and not result.stderr
    assert re.search(r"^dotproxy \d+\.\d+", result.stdout)
    assert re.search(r"gnutls\D+3\.\d+", result.stdout, re.I)
    assert re.search(r"libconfig\D+1\.\d+", result.stdout, re.I)


def test_help_is_given():
    """-h: on standard output, every option in it."""
    result = run("-h")
    assert result.returncode == 0 and not result.stderr
    for option in ("-f", "-c", "-p", "-t", "--connect", "-V", "-h"):
        assert option in result.stdout


@pytest.mark.parametrize("arguments", [["-x"], ["-c"], ["-p"], ["surplus"], ["-t", "surplus"]])
def test_wrong_use_is_an_error(arguments):
    """Said on standard error; nothing is started."""
    result = run(*arguments)
    assert result.returncode != 0 and result.stderr and not result.stdout
