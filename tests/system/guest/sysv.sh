# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The package in a guest without systemd: what the init script does, and what its exit status says,
# by the rules of the LSB ("System Initialization", Init Script Actions). Run as PID 1's child, or
# where nothing is PID 1.
# shellcheck shell=bash

set -uo pipefail
cd /

# shellcheck source=tests/system/tap.sh
. /mnt/tap.sh
# shellcheck source=tests/system/guest/upstream.sh
. /mnt/guest/upstream.sh
# shellcheck source=tests/system/guest/certificates.sh
. /mnt/guest/certificates.sh

script=/etc/init.d/dotproxy
pid_file=/run/dotproxy.pid
configuration=/etc/dotproxy.conf
logged=/var/log/daemon.log

# Everything but what dpkg, apt and the log keep for themselves.
list_files() {
    find /etc /run /tmp /usr /var -xdev \( -path /var/lib/dpkg -o -path /var/cache \
        -o -path /var/log -o -path /var/lib/apt -o -path '/tmp/*' -o -path '/run/syslog*' \) -prune -o -print | sort
}

master() { cat $pid_file; }
workers() { pgrep -P "$(master)" | sort; }
runs() { pgrep -x dotproxy >/dev/null; }
# complains PATTERN COMMAND...: fails, and says that.
complains() {
    local pattern=$1 output
    shift
    if output=$("$@" 2>&1); then
        echo "succeeded: $output" && return 1
    fi
    grep -q -- "$pattern" <<<"$output" || { echo "$output" && return 1; }
}

is_installed() { dpkg -s dotproxy | grep -qx 'Status: install ok installed'; }
has_rc_links() {
    local level
    for level in 2 3 4 5; do
        compgen -G "/etc/rc$level.d/S[0-9][0-9]dotproxy" >/dev/null || return 1
    done
    for level in 0 1 6; do
        compgen -G "/etc/rc$level.d/K[0-9][0-9]dotproxy" >/dev/null || return 1
    done
}
pid_file_is_the_master() {
    # The one whose parent is not dotproxy itself.
    [ "$(stat -c %U:%G:%a $pid_file)" = root:root:644 ] &&
        [ "$(readlink "/proc/$(master)/exe")" = /usr/sbin/dotproxy ] &&
        ! pgrep -x dotproxy | grep -qx "$(ps -o ppid= -p "$(master)" | tr -d ' ')" &&
        [ "$(workers | wc -l)" -eq "$(nproc)" ] &&
        [ "$(pgrep -c -x dotproxy)" -eq $(($(nproc) + 1)) ]
}
# L68: no process keeps an identity, a group or a capability of root's.
nothing_of_roots() {
    local id pid
    id=$(id -u _dotproxy)
    runs || return 1
    for pid in $(pgrep -x dotproxy); do
        grep -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb)):' "/proc/$pid/status"
        awk -v uid="$id" -v gid="$(id -g _dotproxy)" '
            $1 == "Uid:" { for (i = 2; i <= 5; i++) if ($i != uid) bad = 1 }
            $1 == "Gid:" { for (i = 2; i <= 5; i++) if ($i != gid) bad = 1 }
            $1 == "Groups:" { for (i = 2; i <= NF; i++) if ($i != gid) bad = 1 }
            $1 ~ /^Cap(Inh|Prm|Eff|Amb):$/ && $2 !~ /^0+$/ { bad = 1 }
            END { exit bad }' "/proc/$pid/status" || return 1
    done
}
# workers_have FIELD VALUE: in /proc/PID/status, each of them.
workers_have() {
    local pid
    for pid in $(workers); do
        grep -qx "$1:[[:space:]]*$2" "/proc/$pid/status" || { cat "/proc/$pid/status" && return 1; }
    done
}
cannot_gain() {
    local pid
    for pid in $(pgrep -x dotproxy); do
        grep -qx 'NoNewPrivs:[[:space:]]1' "/proc/$pid/status" &&
            grep -qx 'CapBnd:[[:space:]]0*' "/proc/$pid/status" || return 1
    done
}
as_anybody() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
# What logcheck would mail of all that was logged so far.
for_logcheck() {
    grep ' dotproxy' $logged >/tmp/lines || return 2
    grep -vE -f /etc/logcheck/ignore.d.server/dotproxy /tmp/lines
}
reloads() {
    local master_before workers_before
    master_before=$(master) workers_before=$(workers)
    "$script" "$1" && [ "$(master)" = "$master_before" ] && runs &&
        within 20 fails grep -qxF "$workers_before" <(workers)
}
restarts() {
    local before
    before=$(master)
    "$script" "$1" && [ "$(master)" != "$before" ] && ! kill -0 "$before" 2>/dev/null
}
# untouched MASTER WORKERS: still the same processes.
untouched() { [ "$(master)" = "$1" ] && [ "$(workers)" = "$2" ] && answers +notcp; }
is_off_after_upgrade() {
    apt-get -q -y --allow-downgrades install /mnt/dotproxy-older.deb &&
        apt-get -q -y install /mnt/dotproxy.deb && $script stop && fails has_rc_links
}
restart_syslogd() {
    /etc/init.d/inetutils-syslogd restart >/dev/null && within 20 test -S /dev/log
}

case $(runlevel 2>/dev/null) in
*[2-5]) check "PID 1 is sysvinit" grep -qx init /proc/1/comm ;;
*) # Without one invoke-rc.d starts nothing.
    printf '#!/bin/sh\necho N 2\n' >/sbin/runlevel
    chmod 755 /sbin/runlevel
    /etc/init.d/inetutils-syslogd start >/dev/null
    check "PID 1 is no init" fails grep -qx init /proc/1/comm
    ;;
esac
check "systemd does not run" test ! -e /run/systemd/system
make_upstream_certificate
check "a resolver speaks DNS over TLS" start_upstream
list_files >/tmp/before

# Installation
check "apt installs the package" apt-get -q -y install /mnt/dotproxy.deb
check "its user is there" getent passwd _dotproxy
check "it serves at once, with the shipped configuration" gives 0 $script status
check "it starts and stops with the machine" has_rc_links
check "the pid file is root's and names the master of a worker for each CPU" pid_file_is_the_master
check "no process has anything of root's" nothing_of_roots
check "and none can have anything of anybody's" cannot_gain
check "each worker has a filter of system calls" workers_have Seccomp 2
point_at_upstream 127.0.0.1
check "reload replaces the workers and keeps the master" reloads reload
check "it answers over UDP" answers +notcp
check "it answers over TCP" answers +tcp
check "it answers over IPv6" answers -6 @::1

# Its words
check "what it says is in the system's log" within 20 grep -q 'dotproxy\[' $logged
check "of which logcheck tells nothing" gives 1 for_logcheck
check "the system's log is started anew" restart_syslogd
: >$logged
check "and hears of the next reload" reloads reload
check "in the new log" within 20 grep -q 'dotproxy\[' $logged
check "of which it tells nothing either" gives 1 for_logcheck

# While it runs
check "status is 0" gives 0 $script status
check "whoever asks" gives 0 as_anybody $script status
check "nobody but root restarts it: 4" gives 4 as_anybody $script restart
check "a second start succeeds" gives 0 $script start
check "and starts nothing" pid_file_is_the_master
check "force-reload keeps the master" reloads force-reload
check "restart makes a new master" restarts restart
check "which has nothing of root's either" nothing_of_roots
check "try-restart makes a new master" restarts try-restart
check "start and restart end when it serves" answers +tries=1 +time=10
check "an unknown argument is 3" gives 3 $script frobnicate
check "and so is none" gives 3 $script

# Clients over TLS (E2)
cp $configuration /tmp/good.conf
make_certificate /tmp/live
check "certbot's hook puts a certificate in its place" env RENEWED_LINEAGE=/tmp/live $deploy_hook
check "for the service alone" only_certificates_there
serve_tls
check "it takes port 853" restarts restart
check "and answers there over TLS" answers_over_tls
before=$(master)
make_certificate /tmp/live
check "the hook has a renewed one loaded" env RENEWED_LINEAGE=/tmp/live $deploy_hook
check "which is shown" within 20 shows /tmp/live/fullchain.pem
check "by the same master" test "$(master)" = "$before"
check "who answers" answers_over_tls
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out /tmp/live/privkey.pem
check "of a key that does not match the hook tells" complains 'is the key of another certificate' \
    env RENEWED_LINEAGE=/tmp/live $deploy_hook
check "and the old one is shown on" answers_over_tls
make_certificate /tmp/live
check "it is stopped" gives 0 $script stop
check "the hook succeeds all the same" env RENEWED_LINEAGE=/tmp/live $deploy_hook
check "and starts nothing" fails runs
cp /tmp/good.conf $configuration
check "it is started without TLS" gives 0 $script start

# Mistakes
echo 'workers = "many";' >>$configuration
line="$configuration:$(wc -l <$configuration)"
before=$(master) workers_before=$(workers)
check "a mistake in the file: reload fails and says where" complains "$line" $script reload
check "with status 6" gives 6 $script reload
check "so does restart" complains "$line" $script restart
check "so does try-restart" complains "$line" $script try-restart
check "and nothing has happened to the processes" untouched "$before" "$workers_before"
check "a mistake in the file: stop works all the same" gives 0 $script stop
check "and start fails and says where" complains "$line" $script start
check "and nothing runs" fails runs
sed "1i listen = ( { address = \"127.0.0.1\"; port = $upstream_port; } );" /tmp/good.conf |
    sed '2,${/^listen = (/,/^);/d}' >$configuration
check "an address that another program has: start fails" complains "$upstream_port" $script start
# Who has started it knows of the failure before init has buried the process.
check "and nothing runs, and no pid file is left" \
    within 20 fails sh -c "pgrep -x dotproxy || ls $pid_file"
cat /tmp/good.conf >$configuration

# While it does not run
check "status is 3" gives 3 $script status
check "stop succeeds" gives 0 $script stop
check "try-restart succeeds" gives 0 $script try-restart
check "and starts nothing" fails runs
check "reload is 7" gives 7 $script reload
check "status is 3, whoever asks" gives 3 as_anybody $script status
check "restart starts it" gives 0 $script restart
check "and it answers" answers

# After a crash
kill -KILL "$(master)"
check "the workers of a master that was killed end" within 20 fails runs
check "status is 1" gives 1 $script status
check "start starts it" gives 0 $script start
check "and it answers" answers
kill -KILL "$(workers | head -n 1)"
check "a worker that was killed is replaced" within 20 pid_file_is_the_master
check "which logcheck tells" within 20 for_logcheck

# Other versions
check "the version before it is installed instead" apt-get -q -y --allow-downgrades install \
    /mnt/dotproxy-older.deb
check "it answers" answers
echo '# the administrator was here' >>$configuration
echo 'workers = 1;' >>$configuration
sed -i '/^workers = 0;/d' $configuration
cp $configuration /tmp/changed.conf
before=$(master)
check "an upgrade" apt-get -q -y install /mnt/dotproxy.deb
check "asks nothing and leaves the settings alone" cmp $configuration /tmp/changed.conf
check "restarts it" test "$(master)" != "$before"
check "with the settings" test "$(workers | wc -l)" -eq 1
check "and it answers" answers
check "stopped" gives 0 $script stop
check "switched off by the administrator" update-rc.d dotproxy disable
check "it stays so over an upgrade" is_off_after_upgrade
check "and is switched on again" update-rc.d dotproxy enable
check "the machine's way into runlevel 2" env RUNLEVEL=2 PREVLEVEL=N /etc/init.d/rc 2
check "starts it" gives 0 $script status

# Its end
check "removal" apt-get -q -y remove dotproxy
check "stops it" fails runs
check "keeps the configuration" cmp $configuration /tmp/changed.conf
check "and the certificates" only_certificates_there
check "leaves a script that does nothing" gives 0 sh $script start
check "and knows that nothing runs" gives 3 sh $script status
check "installed again" apt-get -q -y install /mnt/dotproxy.deb
check "it answers as before" answers
check "purge" apt-get -q -y purge dotproxy
check "stops it" fails runs
check "leaves certificates to the administrator" only_certificates_there
rm -r /etc/dotproxy
check "leaves nothing else behind" diff /tmp/before <(list_files)
check "but its user" getent passwd _dotproxy
finish
