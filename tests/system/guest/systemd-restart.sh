# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced by guest/systemd.sh: stops, starts, and restarts with the sockets and the cache in the
# store of the service manager.
# shellcheck shell=bash

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
