# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Runs in a machine that was booted with systemd: a life of the package from its installation to its
# purge. Each part leaves the service running, with the configuration it had.
# shellcheck shell=bash

set -u
cd /mnt || exit 1
for part in tap.sh guest/upstream.sh guest/service.sh guest/systemd-install.sh \
    guest/systemd-reload.sh guest/systemd-failures.sh guest/systemd-restart.sh \
    guest/systemd-port53.sh guest/systemd-upgrade.sh; do
    # shellcheck source=/dev/null
    . /mnt/$part
done

is_systemd() { [ "$(cat /proc/1/comm)" = systemd ]; }
check "systemd $(systemd_version) is process 1" is_systemd
files_now >/tmp/files-before
check_installation
check_sandbox
check_reloads
check_refused_reloads
check_killed_workers
check_killed_master
check_watchdog
check_quick_failures
check_restarts
check_port_53
check_upgrades
check_journal
check_removal
no_unit_failed() {
    [ -z "$(systemctl --failed --no-legend)" ] || { systemctl --failed && return 1; }
}
check "no unit has failed" no_unit_failed
finish
