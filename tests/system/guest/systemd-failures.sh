# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced by guest/systemd.sh: workers and masters that die or hang, and starts that fail.
# shellcheck shell=bash disable=SC2154 # guest/upstream.sh has what is not assigned here

check_killed_workers() {
    local signal victim old_master held=0
    old_master=$(master)
    load_begins
    for signal in SEGV KILL; do
        mark_journal
        victim=$(workers | cut -d ' ' -f 1)
        kill -STOP "$victim"
        # All that anybody holds, and two more, that may be between two hands.
        held=$((held + $(in_hand) + 2))
        kill -"$signal" "$victim"
        kill -CONT "$victim" 2>/dev/null
        check "a worker killed by SIG$signal is replaced" within 20 all_new "$victim"
        check "the journal has it as an error" within 10 said err "(pid $victim) was killed by"
        check "and logcheck tells it" for_logcheck
    done
    load_ends
    check "the master is the same" master_is "$old_master"
    check "no question was lost but what they held" lost_at_most $held
}

check_killed_master() {
    local old_master old_workers restarts pid
    old_master=$(master)
    old_workers=$(workers)
    restarts=$(property NRestarts)
    load_begins
    pkill -STOP -x unbound
    check "the workers have questions in hand" within 10 in_hand_at_least 20
    kill -KILL "$old_master"
    pkill -CONT -x unbound
    check "a master that is killed is started again" \
        within 20 new_service "$old_master" $((restarts + 1))
    for pid in $old_workers; do
        check "worker $pid of the old one has gone" within 20 is_gone "$pid"
    done
    load_ends
    check "no question was lost, of those in hand neither" lost_at_most 0
    check "what was cached is remembered" remembers
}

check_watchdog() {
    local old_master old_workers restarts victim
    in_drop_in '[Service]' 'WatchdogSec=3'
    check "a restart with a short watchdog" systemctl restart dotproxy
    old_master=$(master)
    old_workers=$(workers)
    restarts=$(property NRestarts)

    mark_journal
    victim=${old_workers%% *}
    kill -STOP "$victim"
    check "a worker that hangs is replaced" within 20 all_new "$victim"
    check "the journal says so" within 10 said err "(pid $victim) does not respond"
    check "by the master, which is the same" master_is "$old_master"

    mark_journal
    load_begins
    kill -STOP "$old_master"
    check "a master that hangs is replaced" within 30 new_service "$old_master" $((restarts + 1))
    check "by the watchdog" within 10 said notice 'Watchdog timeout'
    load_ends
    # What the workers had in hand when systemd killed them, a quarter of a second's worth: twice
    # that waited for the new ones.
    check "no question was lost that waited for that" lost_at_most 50

    sed -i 's/^workers = 0;/workers = 1;/' /etc/dotproxy.conf
    check "a restart with one worker" systemctl restart dotproxy
    old_master=$(master)
    restarts=$(property NRestarts)
    mark_journal
    allow_no_worker
    kill -KILL "$(workers)"
    check "a service that can have no worker is started again" \
        within 60 new_service "$old_master" $((restarts + 1))
    check "by the watchdog" within 10 said notice 'Watchdog timeout'
    check "and answers" answers_new
    sed -i 's/^workers = 1;/workers = 0;/' /etc/dotproxy.conf
    no_drop_in
    check "a restart with the usual watchdog" systemctl restart dotproxy
    check "what was cached is remembered" remembers
}

# A master with one worker has one descriptor to spare when that has died: too few for the channel
# to another one, enough for a notification.
allow_no_worker() {
    local pid limit=0
    pid=$(master)
    while [ -e "/proc/$pid/fd/$limit" ]; do
        limit=$((limit + 1))
    done
    setpriv --reuid=_dotproxy --regid=_dotproxy --clear-groups \
        prlimit --pid "$pid" --nofile="$limit:"
}

check_quick_failures() {
    local restarts old_master
    old_master=$(master)
    mv "$upstream_ca" /tmp/ca.pem
    mark_journal
    check "without its file of certificates a reload fails" fails systemctl reload dotproxy
    check "the journal names the file" within 10 said err "$upstream_ca"
    check "the service goes on" master_is "$old_master"
    restarts=$(property NRestarts)
    kill -KILL "$old_master"
    check "a start fails, and eight more, and it is tried on" \
        within 120 has_restarted $((restarts + 9))
    check "the unit has not given up" equal "$(property ActiveState)" activating
    if [ "$(systemd_version)" -ge 254 ]; then
        check "the pauses have grown to ten seconds" equal "$(property RestartUSecNext)" 10s
    else
        check "the pauses cannot grow" equal "$(property RestartUSec)" 1s
    fi
    mv /tmp/ca.pem "$upstream_ca"
    check "once the file is there, the service comes up by itself" within 30 is_active
    check "and answers" answers_new
}

has_restarted() { [ "$(property NRestarts)" -ge "$1" ]; }
