#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# machine.sh STAGE: runs in the virtual machine, once after each boot: `install`, then `late`,
# where the network comes long after the service, then `without_ipv6`. What one stage leaves on the
# disk is what the next begins with.

set -uo pipefail

# shellcheck source=tests/system/tap.sh
. /mnt/tap.sh
# shellcheck source=tests/system/guest/upstream.sh
. /mnt/guest/upstream.sh
# shellcheck source=tests/system/guest/service.sh
. /mnt/guest/service.sh

kept=/var/lib/dotproxy-test # from boot to boot
limit=120                   # seconds; emulated in software, everything is slow
configuration=/etc/dotproxy.conf
dropin=/etc/systemd/system/dotproxy.service.d
late_address=192.0.2.1      # of this machine, when its network comes
late_address_6=2001:db8::1
far_address=192.0.2.53      # of the upstream beyond it
far_stranger=203.0.113.53   # who is there as well, and in no network of this machine

## AppArmor

# confined: whether master and workers are under the profile, enforced.
confined() {
    local pid pids
    mapfile -t pids < <(pgrep -x dotproxy)
    [ ${#pids[@]} -ge 3 ] || { echo "only ${pids[*]}" && return 1; }
    for pid in "${pids[@]}"; do
        grep -x 'dotproxy (enforce)' "/proc/$pid/attr/apparmor/current" || return 1
    done
}

denials() {
    journalctl -b -q -o cat | grep -E 'apparmor="DENIED".*profile="dotproxy|type=1326.*dotproxy'
}

# denied FILE COMMAND...: whether the command fails, names the file, and the kernel tells that
# AppArmor kept it from that.
denied() {
    local file=$1 output
    shift
    output=$("$@" 2>&1) && echo "it succeeded: $output" && return 1
    grep -F "$file" <<<"$output" | grep 'Permission denied' || { echo "$output" && return 1; }
    within $limit logged_denial "$file"
}
logged_denial() { denials | grep "name=\"$1\""; }

## Checks that every stage makes

# needed TEXT COMMAND...: a check without which none of the others makes sense.
needed() {
    local before=$failures
    check "$@"
    if [ $failures -gt "$before" ]; then
        journalctl -b -q -o cat -u dotproxy | tail -n 20 | sed 's/^/# /'
        denials | tail -n 20 | sed 's/^/# /'
        echo "Bail out! Without that there is nothing to check."
        exit 1
    fi
}

is_serving() { systemctl is-active dotproxy && [ "$(property NRestarts)" = 0 ]; }

# errors: what dotproxy logged as an error, but for workers that are killed, and why.
errors() {
    journalctl -b -q -o cat -t dotproxy -p err |
        grep -vE 'was killed by signal|memory has run out'
}

# nothing COMMAND: whether it has nothing to show.
nothing() {
    local output
    output=$("$@")
    [ -z "$output" ] || { printf '%s\n' "$output" && return 1; }
}

no_cycle() { ! journalctl -b -q -o cat | grep -iE 'ordering cycle|deleted to break'; }

check_health() {
    check "in all that AppArmor denied nothing" nothing denials
    check "... dotproxy logged no error" nothing errors
    check "... no unit failed" nothing systemctl --failed --plain --no-legend
}

## install

install_package() { dpkg -i /mnt/*.deb; }

# replaced COUNT PID...: whether that many of these workers have made way for as many others.
replaced() {
    local count=$1 now same
    shift
    now=$(workers)
    same=$(comm -12 <(xargs -n 1 <<<"$*" | sort) <(xargs -n 1 <<<"$now" | sort) | wc -l)
    echo "$* have become $now"
    [ "$(wc -w <<<"$now")" -eq $# ] && [ $((same + count)) -eq $# ]
}
all_replaced() { replaced $# "$@"; }

check_control() {
    check "dotproxyctl status" sh -c 'dotproxyctl status | grep -x "state serving"'
    check "dotproxyctl cache" sh -c 'dotproxyctl cache | grep "^cache_entries [1-9]"'
    check "dotproxyctl flush" dotproxyctl flush
    check "dotproxyctl flush NAME" dotproxyctl flush dotproxy.example A
    local before
    before=$(workers)
    check "dotproxyctl reload" dotproxyctl reload
    # shellcheck disable=SC2086 # several
    check "... replaces the workers" within $limit all_replaced $before
    before=$(workers)
    check "systemctl reload" systemctl reload dotproxy
    # shellcheck disable=SC2086 # several
    check "... replaces the workers" within $limit all_replaced $before
    check "... which are confined" within $limit confined
}

## The sandbox of the program itself, under this kernel

traced() { fails grep -x "TracerPid:$(printf '\t')0" "/proc/$1/status"; }

# locks_in_new_worker: whether a worker that is started now tells the kernel to keep it from all
# files.
locks_in_new_worker() {
    local before tracer status=0
    before=$(workers)
    strace -f -qq -e trace=landlock_restrict_self -o /tmp/trace -p "$(master)" &
    tracer=$!
    within $limit traced "$(master)" && kill -KILL "${before%% *}" &&
        within $limit grep 'landlock_restrict_self(.* = 0' /tmp/trace || status=1
    kill $tracer
    wait $tracer
    # shellcheck disable=SC2086 # several
    within $limit replaced 1 $before && return $status
}

check_sandbox() {
    local program
    check "workers have a filter of system calls of their own" workers_have_filter
    check "workers are kept from all files by Landlock" locks_in_new_worker
    for program in filter landlock sandbox; do
        check "tests/sandbox/test_$program passes under this kernel" "/mnt/test_$program"
    done
}

tells_of_memory() { journalctl -b -q -o cat -t dotproxy -p err | grep 'memory has run out'; }

check_deaths() {
    local before restarts
    before=$(workers)
    kill -SEGV "${before%% *}"
    # shellcheck disable=SC2086
    check "a worker that crashes is replaced" within $limit replaced 1 $before
    before=$(workers)
    echo 1000 >"/proc/${before%% *}/oom_score_adj"
    echo f >/proc/sysrq-trigger
    # shellcheck disable=SC2086
    check "a worker that is killed for its memory is replaced" within $limit replaced 1 $before
    check "... the journal says what for" within $limit tells_of_memory
    check "... and the master is the same" is_serving
    before=$(master)
    restarts=$(property NRestarts)
    kill -KILL "$before"
    check "a master that is killed is started again" \
        within $limit new_service "$before" $((restarts + 1))
    check "... and confined, with its workers" within $limit confined
    check "... and answers" within $limit answers_new
    check "systemctl restart" systemctl restart dotproxy
    check "... keeps the cache" sh -c 'dotproxyctl cache | grep "^cache_entries [1-9]"'
}

syslogged() { journalctl -b -q -o cat _TRANSPORT=syslog -t dotproxy | grep .; }

check_syslog() {
    sed -i 's/target = "auto"/target = "syslog"/' $configuration
    check "log.target = \"syslog\": restart" systemctl restart dotproxy
    check "... what is logged arrives" within $limit syslogged
    sed -i 's/target = "syslog"/target = "auto"/' $configuration
    check "log.target = \"auto\": reload" systemctl reload dotproxy
}

# answers_at_53 [DIG-ARGUMENT...]
answers_at_53() { answers -p 53 "$@"; }

check_port_53() {
    cp $configuration /root/dotproxy.conf.5300
    sed -i '/^listen/,/^);/s/5300/53/' $configuration
    mkdir -p $dropin
    cp /usr/share/doc/dotproxy/examples/privileged-port.conf $dropin/
    systemctl daemon-reload
    check "port 53 with the drop-in: restart" systemctl restart dotproxy
    check "... answers over UDP" within $limit answers_at_53
    check "... answers over TCP" answers_at_53 +tcp
    check "... confined" confined
    cp /root/dotproxy.conf.5300 $configuration
    systemctl stop dotproxy
    rm -r $dropin
    systemctl daemon-reload
    check "port 53 with the socket unit: start" systemctl start dotproxy.socket
    check "... the first question starts the service" within $limit answers_at_53
    check "... answers over TCP" answers_at_53 +tcp
    check "... confined" confined
    systemctl stop dotproxy.socket dotproxy
}

# init_script ARGUMENT: as on a machine without systemd.
init_script() { SYSTEMCTL_SKIP_REDIRECT=1 /etc/init.d/dotproxy "$1"; }

check_init_script() {
    local file=/run/dotproxy.pid
    check "init script: start" init_script start
    check "... master and workers are confined" confined
    check "... with an account of their own" sh -c '! pgrep -x dotproxy -u root'
    check "... and answer" within $limit answers_new
    check "init script: reload" init_script reload
    check "init script: status" init_script status
    check "... the process ID is in $file" test -s $file
    check "init script: restart" init_script restart
    check "... answers" within $limit answers_new
    check "init script: stop" init_script stop
    check "... leaves no process" nothing pgrep -x dotproxy
}

# Beside the sandbox of the service, which AppArmor's comes on top of: root finds no other
# hindrance.
check_limits() {
    local outside=/var/lib/outside.pem
    cp $upstream_ca $outside
    cp $configuration /root/dotproxy.conf
    check "dotproxy -t finds the configuration good" dotproxy -t
    check "... not one that lies elsewhere" denied /root/dotproxy.conf \
        dotproxy -t -c /root/dotproxy.conf
    sed -i "s,^\(    ca_file = \).*,\1\"/etc/shadow\";," $configuration
    check "... not with a secret file" denied /etc/shadow dotproxy -t
    sed -i "s,^\(    ca_file = \).*,\1\"$outside\";," $configuration
    check "the service does not reload with certificates that lie elsewhere" \
        fails systemctl reload dotproxy
    check "... AppArmor kept it from that" within $limit logged_denial $outside
    check "... the journal names the file" within $limit \
        sh -c "journalctl -b -q -o cat -u dotproxy | grep '$outside.*Permission denied'"
    check "... and it goes on" answers_new
    echo "$outside r," >/etc/apparmor.d/local/usr.sbin.dotproxy
    check "... a rule of the administrator's" apparmor_parser -r /etc/apparmor.d/usr.sbin.dotproxy
    check "... lets it read them" systemctl reload dotproxy
    cp /root/dotproxy.conf $configuration
}

check_errors() {
    echo 'listen = (((' >>$configuration
    check "a configuration that is wrong is not taken" fails systemctl reload dotproxy
    check "... the journal names the line" within $limit \
        sh -c "journalctl -b -q -o cat -u dotproxy | grep '$configuration:[0-9]*:'"
    cp /root/dotproxy.conf $configuration
    check "... the old one goes on" answers_new
    check "... the right one is taken again" systemctl reload dotproxy
}

# prepare_late: what is at hand at the next boot listens at addresses that are not there, and asks
# one that cannot be reached.
prepare_late() {
    cp $kept/shipped.conf $configuration
    point_at_upstream $far_address
    sed -i "/^listen/a { address = \"$late_address\"; port = 5300; }," $configuration
    sed -i "/^listen/a { address = \"$late_address_6\"; port = 5300; }," $configuration
    cat /proc/sys/kernel/random/boot_id >$kept/boot_id
    cp $configuration $kept/dotproxy.conf
}

# What the shipped configuration does not make use of, but may be confined all the same.
check_rest() {
    cp $upstream_ca /etc/dotproxy/ca.pem
    cat >/etc/dotproxy/try.conf <<'END'
listen = ( { address = "fe80::1%lo"; port = 5300; } );
tls: { ca_file = "/etc/dotproxy/ca.pem"; };
END
    echo '@include "dotproxy/try.conf"' >$configuration.try
    check "files below /etc/dotproxy, and addresses with an interface" \
        dotproxy -t -c $configuration.try
    check "what dotproxy -t says reaches a terminal" \
        sh -c 'script -q -c "dotproxy -t" /dev/null | grep good'
    rm /etc/dotproxy/ca.pem /etc/dotproxy/try.conf $configuration.try
}

stage_install() {
    mkdir -p $kept
    check "AppArmor is enabled" aa-enabled
    needed "the package is installed" install_package
    needed "the service is active" within $limit is_serving
    check "the service is enabled" systemctl is-enabled dotproxy
    check "the profile is loaded, to be enforced" \
        grep -x 'dotproxy (enforce)' /sys/kernel/security/apparmor/profiles
    check "master and workers are confined" within $limit confined
    cp $configuration $kept/shipped.conf
    make_upstream_certificate
    check "a resolver that speaks DNS over TLS runs" start_upstream
    check "the configuration names it" point_at_upstream
    check "the service takes it" systemctl reload dotproxy
    needed "an answer over UDP" within $limit answers
    check "an answer over TCP" answers +tcp
    check_control
    check_sandbox
    check_deaths
    check_syslog
    check_port_53
    check_init_script
    check_rest
    systemctl start dotproxy
    check_health
    check_limits
    check_errors
    prepare_late
}

## late

another_boot() { fails cmp /proc/sys/kernel/random/boot_id $kept/boot_id; }

in_the_far() { nsenter --net=/run/netns/far "$@"; }

# ask ADDRESS [DIG-ARGUMENT...]: asks from beyond this machine's network.
ask() {
    local address=$1
    shift
    in_the_far dig "@$address" -p 5300 +time=3 +tries=1 "$@"
}
far_stranger_is_refused() {
    ask $late_address -b $far_stranger dotproxy.example A | grep 'status: REFUSED'
}
far_answers() { ask "$@" dotproxy.example A | grep -q '192\.0\.2\.1$'; }

fails_with_reason() {
    dig @127.0.0.1 -p 5300 +time=10 +tries=1 "new-$RANDOM.load.example" A >/tmp/answer
    cat /tmp/answer
    grep -q 'status: SERVFAIL' /tmp/answer && grep -q 'EDE: 2[23]' /tmp/answer
}

bring_network() {
    ip netns add far &&
        ip link add late type veth peer name far netns far &&
        in_the_far ip link set lo up &&
        in_the_far ip address add $far_address/24 dev far &&
        in_the_far ip address add 2001:db8::53/64 dev far nodad &&
        in_the_far ip address add $far_stranger/32 dev far &&
        in_the_far ip link set far up &&
        ip address add $late_address/24 dev late &&
        ip address add $late_address_6/64 dev late nodad &&
        ip link set late up &&
        ip route add $far_stranger/32 dev late
}

start_far_upstream() {
    in_the_far bash -c ". /mnt/tap.sh; . /mnt/guest/upstream.sh; start_upstream $far_address"
}

stage_late() {
    check "this is another boot" another_boot
    needed "the service came up by itself, at once" within $limit is_serving
    check "... without waiting for a network" fails systemctl is-active network-online.target
    check "... in an order that can be kept" no_cycle
    check "... confined, with its workers" within $limit confined
    check "... with the administrator's configuration" cmp $configuration $kept/dotproxy.conf
    check "... and an empty cache" sh -c 'dotproxyctl cache | grep -x "cache_entries 0"'
    check "no address of the network is there yet" fails sh -c "ip address | grep $late_address"
    check "who asks now is told why there is no answer" within $limit fails_with_reason
    check "the network comes" bring_network
    check "... and the upstream with it" start_far_upstream
    check "questions from the network are answered within 30 s" within 30 far_answers $late_address
    check "... over TCP" within 30 far_answers $late_address +tcp
    check "... over IPv6" within 30 far_answers $late_address_6
    check "... and the machine's own" within 30 answers
    check "... but no stranger's" within $limit far_stranger_is_refused
    check "... by the process that the boot started" is_serving
    check_health
    cp $kept/shipped.conf $configuration
}

## without_ipv6

warns_about_ipv6() { journalctl -b -q -o cat -t dotproxy -p warning | grep '::1'; }

answers_localhost() {
    dig @127.0.0.1 -p 5300 +time=3 +tries=2 localhost A "$@" | grep '127\.0\.0\.1$'
}

gone() {
    fails pgrep -x dotproxy &&
        nothing find /etc /run /var/lib -name '*dotproxy*' ! -path '*dotproxy-test*'
}

stage_without_ipv6() {
    check "the kernel has no IPv6" fails test -e /proc/net/if_inet6
    needed "the service comes up, as it was shipped" within $limit is_serving
    check "... confined, with its workers" within $limit confined
    check "... says what it does without" within $limit warns_about_ipv6
    check "... answers over UDP" within $limit answers_localhost
    check "... answers over TCP" answers_localhost +tcp
    check "... reloads" systemctl reload dotproxy
    check_health
    check "the package is purged" dpkg --purge dotproxy
    check "... with its profile and all else" gone
}

"stage_$1"
finish
