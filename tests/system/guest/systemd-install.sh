# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced by guest/systemd.sh: the installation, and how the service is confined.
# shellcheck shell=bash

package() { echo /mnt/dotproxy_*.deb; }

is_as_shipped() {
    dpkg -V dotproxy && equal "$(sha256sum </etc/dotproxy.conf)" \
        "$(dpkg-deb --fsys-tarfile "$(package)" | tar -xO ./etc/dotproxy.conf | sha256sum)"
}

check_installation() {
    check "apt-get installs the package" apt-get install -q -y "$(package)"
    check "with the files of the package" is_as_shipped
    check "the service is enabled" is_enabled
    check "and runs, with the configuration as shipped" is_active
    check "the socket unit is not enabled" fails is_enabled dotproxy.socket
    check "systemd has read the unit" equal "$(property NeedDaemonReload)" no
    check "the status says what is served" grep -q 'workers on udp 127.0.0.1:5300 .*\[::1\]:5300' \
        <(property StatusText)
    check "systemd-analyze verify has nothing to say" is_verified
    start_upstream
    check "the administrator names an upstream" point_at_upstream
    check "and has it read" systemctl reload dotproxy
    check "a question over UDP is answered" answers +notcp
    check "over TCP" answers +tcp
    check "over IPv6 and UDP" answers @::1 +notcp
    check "over IPv6 and TCP" answers @::1 +tcp
}

is_verified() {
    local said
    said=$(systemd-analyze verify --man=no "$(property FragmentPath)" \
        "$(property FragmentPath dotproxy.socket)" 2>&1 | grep dotproxy)
    [ -z "$said" ] || { echo "$said" && return 1; }
}

# status_has PATTERN: in /proc/PID/status of the master and of all workers.
status_has() {
    local pid
    for pid in $(master) $(workers); do
        grep -q -E "$1" "/proc/$pid/status" || { cat "/proc/$pid/status" && return 1; }
    done
}

has_no_capability() {
    local set
    for set in Inh Prm Eff Bnd Amb; do
        status_has "^Cap$set:[[:space:]]0{16}$" || return 1
    done
}

users_are_its_own() {
    local pid
    for pid in $(master) $(workers); do
        differ "$(readlink "/proc/$pid/ns/user")" "$(readlink /proc/1/ns/user)" || return 1
    done
}

sees_read_only() {
    nsenter -t "$(master)" -m touch "$1/dotproxy-test" 2>&1 | grep 'Read-only file system'
}

# as_member COMMAND... and as_stranger COMMAND...: as an account in the group _dotproxy, and as one
# that has nothing to do with it.
as_member() {
    setpriv --reuid=nobody --regid=nogroup --groups="$(getent group _dotproxy | cut -d : -f 3)" "$@"
}
as_stranger() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }

# sees_nothing_in DIRECTORY: with a file in it.
sees_nothing_in() {
    touch "$1/visible"
    [ -z "$(nsenter -t "$(master)" -m ls -A "$1" 2>/dev/null)" ]
}

check_sandbox() {
    local id
    id=$(id -u _dotproxy)
    check "master and workers are _dotproxy" status_has "^Uid:([[:space:]]$id){4}$"
    check "and of no other group" status_has "^Groups:[[:space:]]($(id -g _dotproxy) ?)?$"
    check "no new privileges" status_has '^NoNewPrivs:[[:space:]]1$'
    check "system calls are filtered" status_has '^Seccomp:[[:space:]]2$'
    check "by workers with a filter of their own" workers_have_filter
    check "no capability in any set" has_no_capability
    check "users of their own" users_are_its_own
    check "/usr is read-only" sees_read_only /usr
    check "/etc is read-only" sees_read_only /etc
    check "/var is read-only" sees_read_only /var
    check "/home is hidden" sees_nothing_in /home
    check "/root is hidden" sees_nothing_in /root
    check "exposure is 1.2 at most ($(exposure))" \
        systemd-analyze security --no-pager --threshold=12 dotproxy
    check "root may use the control socket" dotproxyctl status
    check "and members of the group" as_member dotproxyctl status
    check "nobody else may" fails as_stranger dotproxyctl status
}

exposure() {
    systemd-analyze security --no-pager dotproxy |
        sed -n 's/.*Overall exposure level[^:]*: \([0-9.]*\).*/\1/p'
}
