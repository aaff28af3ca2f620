# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Servers of Debian's, with a configuration of the test's own.

import os
import shutil
import socket
import subprocess

import pytest

from .waiting import wait_for


def find(name):
    """The program's path, or the test is skipped."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not path:
        pytest.skip(f"{name} is not installed")
    return path


def unconfined(name, directory):
    """A copy of the program: Debian's AppArmor profiles let /usr/sbin/unbound and others read their
    own directories only, and a copy is not under them."""
    return shutil.copy(find(name), directory / name)


class Program:
    """A server at a port of 127.0.0.1, until the end of the test. The name of the file with its
    configuration ends the command."""

    def __init__(self, directory, command, configuration, port, suffix="conf"):
        self.address = ("127.0.0.1", port)
        name = os.path.basename(command[0])
        file = directory / f"{name}.{suffix}"
        file.write_text(configuration)
        self._log = directory / f"{name}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [find(command[0]), *command[1:], file], cwd=directory, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log)
        try:
            wait_for(self._listens, what=f"{name} to listen")
        except AssertionError:
            self.close()
            raise

    @property
    def log(self):
        return self._log.read_text()

    def _listens(self):
        assert self.process.poll() is None, self.log
        with socket.socket() as probe:
            return probe.connect_ex(self.address) == 0

    def close(self):
        self.process.kill()
        self.process.wait()
