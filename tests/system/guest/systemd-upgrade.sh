# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced by guest/systemd.sh: another version, the removal and the purge, and what the journal has
# in the end.
# shellcheck shell=bash disable=SC2154 # guest/upstream.sh has what is not assigned here

previous=/tmp/previous.deb

# The package as the version before could have been: another number, another default.
make_previous() {
    local d=/tmp/previous
    rm -rf $d
    dpkg-deb -R "$(package)" $d &&
        sed -i 's/^Version: .*/Version: 0.0.1-1/' $d/DEBIAN/control &&
        sed -i 's/max_stale = "1d"/max_stale = "2d"/' $d/etc/dotproxy.conf &&
        dpkg-deb --root-owner-group -b $d $previous
}

# apt-get without a question: what the administrator changed stays.
apt_get() { apt-get -q -y -o Dpkg::Options::=--force-confold "$@"; }

is_installed() {
    equal "$(dpkg-query -W -f '${Status} ${Version}' dotproxy)" "install ok installed $1"
}

is_removed() { [[ $(dpkg-query -W -f '${Status}' dotproxy 2>&1) == *" $1" ]]; }

version_of() { dpkg-deb -f "$1" Version; }

check_upgrades() {
    local old_master old_workers settings entries
    # The other way first: the version before is what there is from here on.
    check "the version before is made" make_previous
    settings=$(sha256sum </etc/dotproxy.conf)
    old_master=$(master)
    check "a downgrade" apt_get install --allow-downgrades $previous
    check "is installed" is_installed "$(version_of $previous)"
    check "the settings are kept" equal "$(sha256sum </etc/dotproxy.conf)" "$settings"
    check "it runs anew" differ "$(master)" "$old_master"
    check "and answers" answers

    in_drop_in '[Service]' 'Nice=5'
    old_master=$(master)
    old_workers=$(workers)
    load_begins
    entries=$(cached)
    check "an upgrade under load" apt_get install "$(package)"
    load_ends
    check "is installed" is_installed "$(version_of "$(package)")"
    check "the master is new" differ "$(master)" "$old_master"
    # shellcheck disable=SC2086
    check "and so are the workers" within 20 all_new $old_workers
    check "no question was lost" lost_at_most 0
    check "what was cached is kept" cached_at_least "$entries"
    check "and is used" remembers
    check "the settings are kept" equal "$(sha256sum </etc/dotproxy.conf)" "$settings"
    check "the new defaults lie beside them" grep -q 'max_stale = "1d"' /etc/dotproxy.conf.dpkg-dist
    check "systemd has read the unit" equal "$(property NeedDaemonReload)" no
    check "the administrator's drop-in is in force" equal "$(niceness)" 5
    no_drop_in

    enable_socket_unit && systemctl start dotproxy && load_begins udp 53
    check "an upgrade with port 53 by dotproxy.socket" reinstall_both
    load_ends
    check "loses no question" lost_at_most 0
    check "and leaves that as it was" equal \
        "$(systemctl is-enabled dotproxy.socket) $(systemctl is-active dotproxy.socket)" \
        'enabled active'
    systemctl disable -q --now dotproxy.socket

    systemctl disable -q --now dotproxy
    check "an upgrade of a service that is disabled" reinstall_both
    check "leaves it stopped" fails is_active
    check "and disabled" fails is_enabled
    systemctl enable -q --now dotproxy
    check "which can be changed" answers
}

niceness() { ps -o ni= -p "$(master)" | tr -d ' '; }

reinstall_both() {
    apt_get install --allow-downgrades $previous && apt_get install "$(package)"
}

# Errors that no check has provoked, and how much there is in all.
check_journal() {
    journalctl --sync
    journalctl -q -o cat -p err _COMM=dotproxy | grep -v -e 'was killed by signal [0-9]' \
        -e 'does not respond' -e 'socketpair: Too many open files' -e 'is given twice' \
        -e 'Address already in use' -e "$upstream_ca" -e ':53: Permission denied' >/tmp/errors
    check "the journal has no error that was not provoked" shows_nothing /tmp/errors
    journalctl -q -o cat -p notice _COMM=dotproxy >/tmp/notices
    check "and is not flooded" is_short /tmp/notices 400
}

shows_nothing() { [ ! -s "$1" ] || { cat "$1" && return 1; }; }

is_short() { [ "$(wc -l <"$1")" -le "$2" ] || { sort "$1" | uniq -c | sort -rn && return 1; }; }

files_are_as_before() { diff /tmp/files-before <(files_now); }

# removes LOG: as an administrator does, who sees what is in LOG.
removes() { apt_get remove dotproxy 2>&1 | tee "$1"; }

check_removal() {
    local settings resolved=/etc/systemd/resolved.conf.d/dotproxy.conf dns=/etc/resolv.conf
    settings=$(sha256sum </etc/dotproxy.conf)
    install -D -m 644 /usr/share/doc/dotproxy/examples/systemd-resolved.conf $resolved
    # Who asks there would start what was stopped.
    enable_socket_unit && load_begins udp 53
    check "port 53 is dotproxy's by dotproxy.socket" listens 53
    check "the package is removed, while port 53 is asked" removes /tmp/removal
    kill "$asking" "$load"
    check "the file that has it asked in vain from now on is named" \
        grep "^    $resolved" /tmp/removal
    check "and so is the one that every program reads" grep "^    $dns" /tmp/removal
    rm -r "${resolved%/*}"
    check "nobody listens there" fails listens 53
    check "dpkg knows that its settings stay" is_removed config-files
    check "no process is left" fails pgrep -u _dotproxy
    check "the settings are kept" equal "$(sha256sum </etc/dotproxy.conf)" "$settings"
    check "the account is kept" id _dotproxy
    check "and the place for certificates" test -d /etc/dotproxy/tls
    check "it is installed again" apt_get install "$(package)"
    check "the settings are used" answers
    check "the service is enabled" is_enabled
    check "the socket unit, too" is_enabled dotproxy.socket
    check "and port 53 answers" answers -p 53
    cp -p $dns /tmp/resolv.conf
    echo "nameserver 127.0.0.53" >$dns
    check "it is removed once more" removes /tmp/removal
    check "and has nobody to name" fails grep -A 1 'have questions sent' /tmp/removal
    cp -p /tmp/resolv.conf $dns
    check "it is installed again" apt_get install "$(package)"

    check "the package is purged" apt_get purge dotproxy
    check "no process is left" fails pgrep -u _dotproxy
    stop_upstream
    # systemd removes a service's private directories when it comes to it.
    check "no file is left" within 20 files_are_as_before
}
