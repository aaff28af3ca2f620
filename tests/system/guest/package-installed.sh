#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Installs the package in /mnt where no init runs, and has those who will use its files read them.
# Prints TAP.

set -uo pipefail
cd /mnt || exit
# shellcheck source=tests/system/tap.sh
. /mnt/tap.sh

most=1.2 # exposure, of 10
drop_ins=/etc/systemd/system/dotproxy.service.d
examples=/usr/share/doc/dotproxy/examples

# exposure: of the unit with the drop-ins that are in place.
exposure() {
    systemd-analyze security --offline=true --no-pager dotproxy.service |
        sed -n 's/.*exposure level for dotproxy\.service: \([0-9.]*\).*/\1/p'
}

# with DROP-IN COMMAND...: while that one of the examples is in place.
with() {
    local status=0
    mkdir -p $drop_ins
    cp "$examples/$1" $drop_ins/
    shift
    "$@" || status=$?
    rm -r $drop_ins
    return $status
}

verified() {
    local output
    output=$(systemd-analyze verify --man=no dotproxy.service dotproxy.socket 2>&1) &&
        ! grep dotproxy <<<"$output"
}

# In a loop of restarts; what systemd does not know is not in the unit either.
pauses_grow_if_they_can() {
    local version unit expected=0
    version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
    [ "$version" -lt 254 ] || expected=2
    unit=$(dpkg -L dotproxy | grep '/dotproxy\.service$')
    [ "$(grep -cE '^(RestartSteps|RestartMaxDelaySec)=' "$unit")" -eq $expected ]
}

# Compiled for the features of that version, since this kernel need not have any.
profile_is_good() {
    apparmor_parser --skip-kernel-load --skip-cache --Werror \
        --features-file=/etc/apparmor.d/abi/3.0 /etc/apparmor.d/usr.sbin.dotproxy
}

completions_load() {
    bash -euc '. /usr/share/bash-completion/bash_completion
        for command in dotproxy dotproxyctl; do
            _completion_loader $command || true
            complete -p $command
        done'
}

# Of what ufw would do by README.Debian. It looks at a firewall that this kernel need not have.
ufw_lets_clients_in() {
    ufw --dry-run allow from 192.0.2.0/24 to any app dotproxy | tee /tmp/rules
    for port in 53 5300; do
        for protocol in udp tcp; do
            grep -qE -- "-p $protocol .*--dport(s)? $port " /tmp/rules || return 1
        done
    done
    grep -qE -- "-p tcp .*--dport(s)? 853 " /tmp/rules
}

# Nothing starts it where no init runs.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
check 'it is installed' dpkg -i dotproxy_*.deb
check 'its user is there, without a home or a shell' grep -E \
    '^_dotproxy:[^:]*:[0-9]+:[0-9]+:[^:]*:/nonexistent:/usr/sbin/nologin$' /etc/passwd
check 'so is a place for certificates, which its group reads' \
    [ "$(stat -c '%a %U:%G' /etc/dotproxy /etc/dotproxy/tls | paste -s)" = \
    "$(printf '755 root:root\t750 root:_dotproxy')" ]
check 'the configuration is good' dotproxy -t
check 'the units are good' verified
check 'pauses between restarts grow where systemd can' pauses_grow_if_they_can
for name in privileged-port.conf upstream-allow-list.conf; do
    check "the unit with $name is good" with $name verified
done
score=$(exposure)
check "the unit's exposure is $score, and $most at most" \
    systemd-analyze security --offline=true --no-pager --threshold="${most/./}" dotproxy.service
echo "# with privileged-port.conf $(with privileged-port.conf exposure)," \
    "with upstream-allow-list.conf $(with upstream-allow-list.conf exposure)"
check 'the AppArmor profile is good' profile_is_good
check 'bash finds the completions' completions_load
check 'ufw knows it by its name' ufw app info dotproxy
check 'and lets clients in' ufw_lets_clients_in
check 'it is purged' dpkg -P dotproxy
check 'and leaves nothing' fails sh -c 'find / -xdev -name "*dotproxy*" ! -path "/mnt/*" \
    ! -path "/var/log/*" ! -path "/proc/*" | grep .'
finish
