#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# ./build.sh in a tree of its own, where what it builds is there already, and where apt is a script
# of this test: what it asks for, what it says before it begins and while it builds, and what it
# leaves behind. In a network and with mounts of its own. Prints TAP.

set -uo pipefail

top=$(cd "${srcdir:-$(dirname "$0")/..}" && pwd)
# shellcheck source=tests/system/tap.sh
. "$top/tests/system/tap.sh"

if [ "${1:-}" != --inside ]; then
    [ -e "$top/build.sh" ] || skip_all "a release's tarball has no build.sh"
    as=()
    [ "$(id -u)" -eq 0 ] || as=(--map-root-user)
    unshare "${as[@]}" --mount --net mount -t tmpfs tmpfs /mnt 2>/dev/null ||
        skip_all "this machine does not let us make namespaces"
    exec unshare "${as[@]}" --mount --net "$0" --inside "$(id -u)"
fi
real_user=$2
scratch=$(mktemp -d)
trap 'jobs -p | xargs -r kill 2>/dev/null; rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
ip link set lo up

tree=$scratch/tree
tools=$scratch/tools # come before all others
mkdir -p "$tree/build" "$tools"
cp "$top/build.sh" "$tree/"

# tool NAME: the standard input is that program.
tool() {
    { echo '#!/bin/bash' && cat; } >"$tools/$1"
    chmod 755 "$tools/$1"
}

# begin [VARIABLE=VALUE]... COMMAND...: what it says goes to said. Sets $builder.
begin() {
    env PATH="$tools:$PATH" "$@" >"$scratch/said" 2>&1 </dev/null &
    builder=$!
}
refuses() { begin "$@" "$tree/build.sh" && gives 1 wait "$builder"; }
says() { grep -e "$1" "$scratch/said" || { cat "$scratch/said" && return 1; }; }
builds_nothing() { fails says 'Building'; }

# All that building and running takes is installed, and no more.
tool dpkg-query <<'END'
case ${!#} in
autoconf | autoconf-archive | automake | g++ | libconfig-dev | libgnutls28-dev | libnghttp2-dev) ;;
libseccomp-dev | make | pkgconf | bind9-dnsutils | ca-certificates | openssl | unbound) ;;
*) exit 1 ;;
esac
printf installed
END
tool apt-get <<END
echo "\$*" >>$scratch/apt-get.called
exit 1
END

# takes PROTOCOL ADDRESS PORT: a program that has it. Sets $holder.
takes() {
    python3 - "$@" "$scratch/taken" <<'END' &
import pathlib, signal, socket, sys
protocol, address, port, taken = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
with socket.socket(family, kind) as holder:
    holder.bind((address, int(port)))
    if protocol == "tcp":
        holder.listen()
    pathlib.Path(taken).touch()
    signal.pause()
END
    holder=$!
    within 120 test -e "$scratch/taken"
    rm "$scratch/taken"
}

needs_no_packaging_tools() {
    diff <(sed -n '/^build_packages=(/,/)/p' "$top/build.sh" | tr -d '()' | sed 's/.*=//' |
        tr -s ' \n' '\n' | grep . | sort) \
        <({
            echo autoconf automake make | tr ' ' '\n'
            sed -n '/^Build-Depends:/,/^[^ B]/s/^ \([^ ,]*\).*/\1/p' "$top/debian/control" |
                grep -v -e '^debhelper' -e '^dh-' -e '^libcmocka-dev$'
        } | sort)
}

check_port() {
    local case
    for case in "tcp 127.0.0.1" "udp 127.0.0.1" "tcp 0.0.0.0" "udp ::1" "tcp ::"; do
        # shellcheck disable=SC2086 # words
        takes $case 5353
        check "port 5353, taken at $case, is refused" refuses PORT=5353
        check "with the name of who has it" says "in use by python3 (process $holder)"
        check "and the way to another one" says 'PORT=5354 \./build\.sh'
        check "before anything is built" builds_nothing
        kill "$holder"
        wait "$holder"
    done
    for case in 0 65536 dns 05300; do
        check "there is no port $case" refuses PORT="$case"
    done
}

# The tools of this script's machine but sudo, for who is not root.
as_nobody() {
    local name
    mkdir "$scratch/without"
    for name in awk bash cat cp cut dirname env find grep mkdir mktemp nproc rm sed sort tail; do
        ln -s "$(command -v $name)" "$scratch/without/$name"
    done
    cp "$tools/apt-get" "$scratch/without/"
    printf '#!/bin/sh\necho 1000\n' >"$scratch/without/id"
    sed 's/ | make | / | /' "$tools/dpkg-query" >"$scratch/without/dpkg-query"
    chmod 755 "$scratch/without"/{id,dpkg-query}
    PATH=$scratch/without "$tree/build.sh" >"$scratch/said" 2>&1 </dev/null
}

# What build/ has is made by quiet rules such as automake's.
make_tree() {
    touch "$tree/configure" "$tree/build/config.status"
    cat >"$tree/build/Makefile" <<'END'
objects = 1.o 2.o 3.o 4.o 5.o 6.o 7.o 8.o 9.o 10.o 11.o 12.o 13.o 14.o 15.o 16.o 17.o 18.o 19.o 20.o
all: $(objects)
$(objects):
	@echo "  CXX     " $@;touch $@
END
}

is_visible() {
    diff <(printf '    %d of 20\n' 2 4 6 8 10 12 14 16 18 20) <(grep ' of 20' "$scratch/said")
}

answers() { dig @127.0.0.1 -p 5399 +time=2 +tries=1 +short dotproxy.example A | grep -qx 192.0.2.1; }

check_run() {
    local status=0
    make_tree
    cp dotproxy dotproxyctl "$tree/build/"
    begin PORT=5399 "$tree/build.sh"
    check "dotproxy runs, at the port that was chosen" within 60 answers
    check "each tenth of the building was said" is_visible
    check "nothing had to be installed" fails test -e "$scratch/apt-get.called"
    kill "$builder"
    wait "$builder" || status=$?
    check "it ends when it is told to" [ $status -eq 143 ]
    check "and dotproxy with it" fails answers
}

## invoke-rc.d's policy

policy=/usr/sbin/policy-rc.d
allows() { [ ! -e $policy ] || $policy unbound start; }
forbids() { gives 101 $policy unbound start; }

# An apt-get that takes until it is told to end.
slow_apt_get() {
    rm -f "$scratch"/apt-get.*
    tool apt-get <<END
echo \$PPID >$scratch/apt-get.parent
echo \$\$ >$scratch/apt-get.pid
until [ -e $scratch/apt-get.go ]; do sleep 0.05; done
exit 1
END
    begin "$tree/build.sh" deb
    disown # who is killed is killed without a word
    within 20 test -s "$scratch/apt-get.pid"
    parent=$(<"$scratch/apt-get.parent")
    installer=$(<"$scratch/apt-get.pid")
}
ends() { ! kill -0 "$1" 2>/dev/null; }

# apt_get_ends: and then, since it failed, the second one.
apt_get_ends() {
    touch "$scratch/apt-get.go"
    within 20 ends "$installer" && within 20 ends "$builder"
}

check_policy() {
    tool dpkg-checkbuilddeps <<<'exit 1'
    mount -t tmpfs tmpfs /usr/sbin
    slow_apt_get
    check "while packages are installed no service may start" forbids
    check "build.sh comes to its end" apt_get_ends
    check "after that they may" fails test -e $policy

    slow_apt_get
    kill -KILL "$builder"
    check "build.sh is killed: as long as packages are installed none may start" forbids
    touch "$scratch/apt-get.go"
    within 20 ends "$parent"
    check "after that they may" fails test -e $policy

    slow_apt_get
    kill -KILL "$builder" "$parent"
    check "so is all that could clean up: none may start yet" forbids
    touch "$scratch/apt-get.go"
    within 20 ends "$installer"
    check "after that they may" within 20 allows
    check "and what forbade it has gone" fails test -e $policy

    slow_apt_get
    kill -KILL "$builder" "$parent" "$installer"
    within 20 ends "$installer"
    slow_apt_get
    check "the next run forbids it again" forbids
    apt_get_ends
    check "and leaves nothing" fails test -e $policy

    printf '#!/bin/sh\nexit 104\n' >$policy
    chmod 755 $policy
    slow_apt_get
    check "the administrator's own is used" gives 104 $policy unbound start
    apt_get_ends
    check "and stays" gives 104 $policy unbound start
}

check "what it installs to build is the package's, without what packages take" \
    needs_no_packaging_tools
check_port
check "who is not root, and has no sudo, is told" gives 1 as_nobody
check "which packages are missing" says 'packages are missing: make$'
check "and how root installs them" says 'apt-get install --no-install-recommends make$'
check "before anything is built" builds_nothing
if [ "$real_user" -eq 0 ]; then
    check_run
else
    skip_check "dotproxy runs" "this needs root, who may become nobody"
fi
check_policy
finish
