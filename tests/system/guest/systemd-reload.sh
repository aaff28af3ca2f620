# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced by guest/systemd.sh: reloads, good ones and others.
# shellcheck shell=bash disable=SC2154 # guest/upstream.sh has what is not assigned here

check_reloads() {
    local transport old_master old_workers entries turn
    mark_journal
    for transport in udp tcp; do
        old_master=$(master)
        old_workers=$(workers)
        load_begins $transport
        entries=$(cached)
        for turn in 1 2 3; do
            check "reload $turn under load over $transport" systemctl reload dotproxy
        done
        load_ends
        # shellcheck disable=SC2086 # one argument each
        check "the workers are new" within 20 all_new $old_workers
        check "the master is the same" master_is "$old_master"
        check "no question over $transport was lost" lost_at_most 0
        check "what was cached is kept" cached_at_least "$entries"
    done
    check "the journal has the reloads" within 10 said notice 'reloaded: serving with'
    check "of which logcheck tells nothing" gives 1 for_logcheck
    check "what was cached is used" remembers
}

# refused TEXT PATTERN: a reload with the configuration as it is now.
refused() {
    mark_journal
    check "$1: the reload fails" fails systemctl reload dotproxy
    check "the journal says where" within 10 said err "$2"
    check "the service goes on" is_active
    check "with the same master" master_is "$old_master"
    check "and the same workers" workers_are "$old_workers"
    check "and answers" answers_new
}

check_refused_reloads() {
    local old_master old_workers line
    old_master=$(master)
    within 20 all_new
    old_workers=$(workers)
    cp -p /etc/dotproxy.conf /tmp/good.conf

    echo 'workers = many;' >>/etc/dotproxy.conf
    line=$(wc -l </etc/dotproxy.conf)
    refused "a mistake in the file" "/etc/dotproxy.conf:$line:"

    # Nothing is wrong with the file, as far as can be seen without the service.
    listen_elsewhere 5333
    sed 's/port = 5300/port = 5333/' /tmp/good.conf >/etc/dotproxy.conf
    refused "a port that is taken" '127.0.0.1:5333: Address already in use'
    kill "$listener"

    cp -p /tmp/good.conf /etc/dotproxy.conf
    check "with the file as it was, a reload succeeds" systemctl reload dotproxy
    # shellcheck disable=SC2086
    check "and the workers are new" within 20 all_new $old_workers
    check "and answer" answers_new
}

# listen_elsewhere PORT: has somebody else listen on 127.0.0.1, and sets $listener.
listen_elsewhere() {
    local file=$upstream_directory/other.conf
    cat >"$file" <<END
server:
    interface: 127.0.0.1@$1
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
remote-control:
    control-enable: no
END
    unbound -d -c "$file" 2>/dev/null &
    listener=$!
    within 20 timeout 2 bash -c "exec 3<>/dev/tcp/127.0.0.1/$1"
}
