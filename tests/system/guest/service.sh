# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced in guests with systemd: questions about the service, and load for it.
# shellcheck shell=bash disable=SC2154 # guest/upstream.sh has what is not assigned here

systemd_version() { systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p'; }

property() { systemctl show -P "$1" "${2:-dotproxy.service}"; }

master() { property MainPID; }

# The processes of the workers, in a line; also while one is being replaced.
workers() { pgrep -P "$(master)" | sort -n | paste -s -d ' '; }

filters() { sed -n 's/^Seccomp_filters:[[:space:]]*//p' "/proc/$1/status"; }

# Whether each worker has a filter of system calls beside those that the service gave them all.
workers_have_filter() {
    local pid common
    common=$(filters "$(master)")
    for pid in $(workers); do
        [ "$(filters "$pid")" -gt "$common" ] || return 1
    done
}

is_active() { systemctl -q is-active dotproxy; }

is_enabled() { systemctl -q is-enabled "${1:-dotproxy}"; }

# equal A B: with what both are, when they are not.
equal() { [ "$1" = "$2" ] || { echo "\"$1\", not \"$2\"" && return 1; }; }

differ() { ! equal "$1" "$2" >/dev/null || { echo "\"$1\" again" && return 1; }; }

master_is() { equal "$(master)" "$1"; }

workers_are() { equal "$(workers)" "$1"; }

is_gone() { ! kill -0 "$1" 2>/dev/null; }

# all_new OLD...: as many workers as configured, none of which is one of those.
all_new() {
    local old count
    count=$(workers | wc -w)
    equal "$count" "$(nproc)" || return 1
    for old; do
        [[ " $(workers) " != *" $old "* ]] || { echo "$old is there" && return 1; }
    done
}

# new_service OLD-MASTER RESTARTS: systemd has started another one, that often so far. In this
# order: the old one is active until systemd knows that it has died.
new_service() {
    equal "$(property NRestarts)" "$2" && is_active && differ "$(master)" "$1"
}

# Sets $since, from where on said() reads the journal. Not a cursor: systemd 252 passes over the
# first line after it when it is asked for some lines only.
mark_journal() {
    journalctl --sync
    since=$(date '+%F %T.%6N')
}

# said PRIORITY PATTERN: dotproxy did, or systemd about it, since mark_journal.
said() {
    journalctl -q -u dotproxy -p "$1" -o cat --since="$since" >/tmp/said
    grep -q -e "$2" /tmp/said || { cat /tmp/said && return 1; }
}

# What logcheck would mail of what was logged since mark_journal.
for_logcheck() {
    journalctl --sync
    journalctl -q -o short -t dotproxy -t dotproxyctl --since="$since" >/tmp/lines
    [ -s /tmp/lines ] || return 2
    grep -vE -f /etc/logcheck/ignore.d.server/dotproxy /tmp/lines
}

# in_drop_in LINE...: a drop-in of that content, in force from the next start on.
in_drop_in() {
    mkdir -p /etc/systemd/system/dotproxy.service.d
    printf '%s\n' "$@" >/etc/systemd/system/dotproxy.service.d/test.conf
    systemctl daemon-reload
}

no_drop_in() {
    rm -rf /etc/systemd/system/dotproxy.service.d
    systemctl daemon-reload
}

# load_begins [udp|tcp] [PORT]: 200 questions a second, some for what is known and most for what
# never was, until load_ends. A question that has no answer in 20 s is lost.
questions=/tmp/questions
load_begins() {
    [ -p $questions ] || mkfifo $questions
    ask_on >$questions &
    asking=$!
    dnsperf -s 127.0.0.1 -p "${2:-5300}" -d $questions -n 1 -t 20 -m "${1:-udp}" -c 8 -Q 200 \
        -S 0.5 >/tmp/load.out 2>&1 &
    load=$!
    load_goes_on
}

# As many at once as there is time for until the next ones.
ask_on() {
    local number=0 end
    while :; do
        for ((end = number + 20; number < end; number++)); do
            echo "load-$BASHPID-$number.load.example A"
            ((number % 4 != 0)) || echo "dotproxy.example A"
        done
        sleep 0.1
    done
}

# Half a second and more from now on.
load_goes_on() {
    local lines
    lines=$(load_lines)
    within 20 load_has "$((lines + 2))"
}

load_lines() { grep -cs '^[0-9.]*: [0-9.]*$' /tmp/load.out; }

load_has() { [ "$(load_lines)" -ge "$1" ]; }

# Sets $asked_under_load, $lost_under_load, and $bad_under_load: answers that were none.
load_ends() {
    load_goes_on
    kill "$asking"
    wait "$load" # for the answers as well
    asked_under_load=$(load_number 'Queries sent')
    lost_under_load=$(load_number 'Queries lost')
    bad_under_load=$(($(load_number 'Queries completed') -
        $(load_number 'Response codes: *NOERROR')))
    # What was asked for last is not there any more in a cache that was emptied.
    answers
}

load_number() { sed -n "s/^ *$1:* *\([0-9]*\).*/\1/p" /tmp/load.out; }

# How many questions the workers have in hand.
in_hand() { dotproxyctl status | sed -n 's/^queries_waiting //p'; }

in_hand_at_least() { [ "$(in_hand)" -ge "$1" ]; }

# lost_at_most NUMBER: of the questions of the load that has ended.
lost_at_most() {
    if [ "${asked_under_load:-0}" -lt 100 ] || [ "${lost_under_load:-1}" -gt "$1" ] ||
        [ "${bad_under_load:-1}" -ne 0 ]; then
        cat /tmp/load.out
        return 1
    fi
}

# Whether what is known is answered without the upstream. That it is known was seen before.
remembers() {
    local status=0
    stop_upstream
    answers "$@" || status=$?
    start_upstream
    return $status
}

cached() { dotproxyctl cache | sed -n 's/^cache_entries //p'; }

cached_at_least() { [ "$(cached)" -ge "$1" ] || { echo "$(cached), not $1" && return 1; }; }

listens() { ss -Htuln "sport = :$1" | grep .; }

# files_now: every file that a package could leave behind. Whatever runs here writes some of them;
# dpkg and apt keep records of every package, and users stay. debhelper's part of the purge removes
# /etc/apparmor.d/disable when nothing is in it.
files_now() {
    find /etc /var /run /usr -xdev \
        \( -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /run/log \
        -o -path /run/udev -o -path /run/systemd -o -path /etc/unbound/dotproxy-test \) -prune \
        -o -print | grep -v -e '^/var/lib/dpkg/[a-z-]*$' -e '^/etc/[a-z]*-$' \
        -e "^${upstream_ca%.pem}" -e '^/etc/apparmor.d/disable$' -e '^/run/ufw.lock$' | sort
}
