# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced by guest/systemd.sh: stops, starts, and restarts with the sockets and the cache in the
# store of the service manager.
# shellcheck shell=bash

# From an address to the wildcard on its port and back: what the store holds is not in the way.
check_listen_changes() {
    local how
    cp -p /etc/dotproxy.conf /tmp/good.conf
    for how in reload restart; do
        sed -i 's/address = "127\.0\.0\.1"/address = "0.0.0.0"/' /etc/dotproxy.conf
        check "from 127.0.0.1 to all addresses: $how" systemctl "$how" dotproxy
        check "all are bound" bound_to 0.0.0.0
        check "it answers" answers
        check "the sockets and the cache are stored" within 10 stores 5
        cp -p /tmp/good.conf /etc/dotproxy.conf
        check "and back: $how" systemctl "$how" dotproxy
        check "one is bound" bound_to 127.0.0.1
        check "it answers" answers
        check "the sockets and the cache are stored" within 10 stores 5
    done
}

# bound_to ADDRESS: a UDP socket is, at port 5300, and a TCP one.
bound_to() {
    ss -Hlnu "sport = :5300" | grep -qF " $1:5300 " &&
        ss -Hlnt "sport = :5300" | grep -qF " $1:5300 "
}

stores() { equal "$(property NFileDescriptorStore)" "$1"; }

check_restarts() {
    local old_master turn entries
    mark_journal
    load_begins
    entries=$(cached)
    for turn in 1 2 3; do
        old_master=$(master)
        check "restart $turn under load" systemctl restart dotproxy
        check "the master is new" differ "$(master)" "$old_master"
    done
    load_ends
    check "no question was lost" lost_at_most 0
    check "what was cached is kept" cached_at_least "$entries"
    check "logcheck tells nothing of that" gives 1 for_logcheck
    check "what was cached is used" remembers
    check "the control socket is there" as_member dotproxyctl status

    check_listen_changes

    check "the service is stopped" systemctl stop dotproxy
    check "the journal has its end" within 10 said notice 'ending'
    check "no process is left" fails pgrep -u _dotproxy
    check "nobody listens" fails answers +tries=1 +time=1
    check "nothing is stored" equal "$(property NFileDescriptorStore)" 0
    check "the runtime directory has gone" fails test -e /run/dotproxy
    check "it is started" systemctl start dotproxy
    check "with an empty cache" equal "$(cached)" 0
    check "and answers" answers
}
