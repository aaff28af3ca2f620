# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# A control group of a test's own, below the topmost one that can be seen.

import os
import pathlib
import tempfile

from .waiting import wait_for

_ROOT = pathlib.Path("/sys/fs/cgroup")


class ControlGroup:
    """A group in the hierarchy of a controller; OSError where this machine lets nobody make one."""

    def __init__(self, controller):
        first = _ROOT / controller
        self._is_first = (first / "cgroup.procs").exists()  # version 1
        parent = first if self._is_first else _ROOT
        if not self._is_first and \
                controller not in (_ROOT / "cgroup.subtree_control").read_text().split():
            raise OSError(f"no {controller} controller is given to others in {_ROOT}")
        self._path = pathlib.Path(tempfile.mkdtemp(prefix="dotproxy-e2e-", dir=parent))
        self._path.chmod(0o755)

    def enter(self):
        """Moves the calling process here."""
        self._write("cgroup.procs", os.getpid())

    def hide(self):
        """Nobody but root can look at it any more."""
        self._path.chmod(0o700)

    def limit_memory(self, octets):
        """Without a way out into swap space, where there is any."""
        if not self._is_first:
            self._write("memory.max", octets)
            self._write("memory.swap.max", 0)
            return
        # Never less than the other one.
        self._write("memory.memsw.limit_in_bytes", -1)
        self._write("memory.limit_in_bytes", octets)
        self._write("memory.memsw.limit_in_bytes", octets)

    def memory(self):
        """Octets in use."""
        name = "memory.usage_in_bytes" if self._is_first else "memory.current"
        return int((self._path / name).read_text())

    def limit_cpus(self, cpus):
        period = 100000
        if self._is_first:
            self._write("cpu.cfs_period_us", period)
            self._write("cpu.cfs_quota_us", int(cpus * period))
        else:
            self._write("cpu.max", f"{int(cpus * period)} {period}")

    def close(self):
        """Waits for whoever is still in here to end."""
        wait_for(self._remove, what=f"{self._path} to be empty")

    def _remove(self):
        try:
            self._path.rmdir()
        except OSError:
            return False
        return True

    def _write(self, name, value):
        file = self._path / name
        if file.exists() or not name.startswith("memory.memsw") and name != "memory.swap.max":
            file.write_text(str(value))
