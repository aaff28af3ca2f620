# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# A pytest plugin that reports in the Test Anything Protocol, for automake's driver. It writes to
# descriptor 3, so that what pytest prints for people can go elsewhere.

import os


class Tap:
    """One line for each test, when everything about it (teardown as well) is known."""

    def __init__(self):
        self._out = os.fdopen(3, "w", buffering=1)
        self._number = 0
        self._failed = False
        self._skipped = None
        self._notes = []

    def _write(self, line):
        print(line, file=self._out)

    def _note(self, text):
        for line in text.splitlines():
            self._write(f"# {line}")

    def pytest_collection_finish(self, session):
        plan = f"1..{len(session.items)}"
        if self._skipped and not session.items:
            plan += self._reason()
        self._skipped = None
        self._write(plan)

    def pytest_collectreport(self, report):
        if report.failed:
            self._note(str(report.longrepr))
            self._write(f"Bail out! {report.nodeid} cannot be loaded")
        elif report.skipped:
            self._skipped = report.longrepr[2]  # of a whole file

    def _reason(self):
        return " # SKIP " + self._skipped.removeprefix("Skipped: ").replace("\n", " ")

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self._failed = True
            self._notes.append(f"{report.when}: {report.longrepr}")
        elif report.skipped:
            self._skipped = report.longrepr[2] if isinstance(report.longrepr, tuple) else "skipped"
        if report.when == "teardown":
            self._finish(report.nodeid.rpartition("/")[2])

    def _finish(self, name):
        self._number += 1
        for note in self._notes:
            self._note(note)
        # A "#" in a name would begin a directive.
        line = f"{'not ok' if self._failed else 'ok'} {self._number} - {name.replace('#', ' ')}"
        if self._skipped and not self._failed:
            line += self._reason()
        self._write(line)
        self._failed, self._skipped, self._notes = False, None, []


def pytest_configure(config):
    config.pluginmanager.register(Tap())
