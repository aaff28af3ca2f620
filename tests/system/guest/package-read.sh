#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Reads the package in /mnt, and how it was built, where it was built. Prints TAP.

set -uo pipefail
cd /mnt || exit
# shellcheck source=tests/system/tap.sh
. /mnt/tap.sh

deb=$(echo dotproxy_*.deb)
content=$(mktemp -d)
dpkg-deb -x "$deb" "$content"

says_nothing() {
    local output
    if ! output=$("$@" 2>&1) || [ -n "$output" ]; then
        printf '%s\n' "$output"
        return 1
    fi
}

# As root lintian says that it should not be. The standards followed are those of the oldest Debian
# that the package is for, which a later one calls out of date.
lintian_says_nothing() {
    says_nothing lintian --allow-root --pedantic -EI --suppress-tags out-of-date-standards-version \
        --fail-on=error,warning,info,pedantic dotproxy_*.changes
}

# takes_no_older PATTERN VERSION: of a library that it depends on, whose package's name matches.
takes_no_older() {
    local needed
    needed=$(dpkg-deb -f "$deb" Depends | tr ',' '\n' | sed -n "s/^ *$1 (>= \(.*\))\$/\1/p")
    echo "$needed"
    dpkg --compare-versions "${needed:-0}" ge "$2"
}

# Every line that compiles one of our files. What hardening-check finds in a program depends on the
# C library's part of it, and on which functions need a probe.
compiled_with() {
    local lines
    lines=$(grep -E -- ' -c -o src/[^ ]+\.o ' build.log)
    [ -n "$lines" ] && fails grep -Fv -e "$1" <<<"$lines"
}

# hardened PROGRAM LINE-OF-HARDENING-CHECK: whatever it thinks of the others.
hardened() { grep "^ $2: yes" <(hardening-check "$content/usr/sbin/$1" 2>&1); }

# The directories are of no interest; what is in them is all that is expected. Which texts are
# compressed is debhelper's business: those of more than 4 KiB.
is_complete() {
    local units=lib/systemd/system
    [ ! -e "$content/$units" ] && units=usr/lib/systemd/system
    diff -u - <(dpkg-deb -c "$deb" | awk '!/\/$/ { print $6 }' | sed 's,^\./,,' |
        sed -e '\,^usr/share/doc/dotproxy/examples/,d' -e '\|^usr/share/doc/|s/\.gz$//' |
        LC_ALL=C sort) < <(LC_ALL=C sort <<END
etc/apparmor.d/usr.sbin.dotproxy
etc/dotproxy.conf
etc/init.d/dotproxy
etc/logcheck/ignore.d.server/dotproxy
etc/ufw/applications.d/dotproxy
$units/dotproxy.service
$units/dotproxy.socket
usr/lib/sysusers.d/dotproxy.conf
usr/sbin/dotproxy
usr/sbin/dotproxyctl
usr/share/bash-completion/completions/dotproxy
usr/share/bash-completion/completions/dotproxyctl
usr/share/doc/dotproxy/NEWS
usr/share/doc/dotproxy/README.Debian
usr/share/doc/dotproxy/README.md
usr/share/doc/dotproxy/changelog.Debian
usr/share/doc/dotproxy/copyright
usr/share/lintian/overrides/dotproxy
usr/share/man/man5/dotproxy.conf.5.gz
usr/share/man/man8/dotproxy.8.gz
usr/share/man/man8/dotproxyctl.8.gz
END
    )
}

# What is in /etc stays as the administrator has it: each file is known as a conffile, and no script
# of the package does more with one of them than to look for a line in it.
settings_survive() {
    diff -u <(cd "$content" && find etc -type f | sed 's,^,/,' | LC_ALL=C sort) \
        <(dpkg-deb -I "$deb" conffiles | LC_ALL=C sort) &&
        fails grep -nE '/etc/(dotproxy\.conf|ufw|logcheck)' <(
            dpkg-deb --ctrl-tarfile "$deb" | tar -xO --wildcards './p*' |
                sed -E '/^ *grep -qsE [^;&|>]* \/etc\/dotproxy\.conf$/d'
        )
}

check 'lintian has nothing to say' lintian_says_nothing
check 'blhc has nothing to say of how it was compiled' blhc build.log
for program in dotproxy dotproxyctl; do
    for line in 'Position Independent Executable' 'Stack protected' 'Fortify Source functions' \
        'Read-only relocations' 'Immediate binding'; do
        check "$program: $line" hardened $program "$line"
    done
done
for flag in -fstack-clash-protection -fcf-protection -D_GLIBCXX_ASSERTIONS; do
    if [ $flag = -fcf-protection ] && [ "$(dpkg --print-architecture)" != amd64 ]; then
        skip_check "everything is compiled with $flag" 'it is for amd64'
    else
        check "everything is compiled with $flag" compiled_with $flag
    fi
done
check 'no macro is defined twice' fails grep -i redefined build.log
check 'there is every file, and none beside' is_complete
check 'what the administrator changed is left alone' settings_survive
# E30, CVE-2025-6395; E41, CVE-2026-27135
check 'it takes a GnuTLS that clients do not crash' \
    takes_no_older 'libgnutls30[a-z0-9]*' 3.7.9-2+deb12u5~
check 'and such an nghttp2' takes_no_older libnghttp2-14 1.52.0-1+deb12u3~
check 'the init script is plain sh' checkbashisms "$content/etc/init.d/dotproxy"
finish
