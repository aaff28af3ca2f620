#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# From a fresh clone on Debian to a running dotproxy, to its tests, to a package. It installs what
# is missing through apt, builds under build/ and leaves the rest of the system alone.

set -euo pipefail

# Sent to for a first try. Who they are is verified by name.
public_name=cloudflare-dns.com
public_addresses=(1.1.1.1 1.0.0.1 2606:4700:4700::1111 2606:4700:4700::1001)
port=${PORT:-5300}

# What it takes to build the program, of debian/control; without what makes a package of it.
build_packages=(autoconf autoconf-archive automake g++ libconfig-dev libgnutls28-dev libnghttp2-dev
    libseccomp-dev make pkgconf)

top=$(cd "$(dirname "$0")" && pwd)
jobs=$(nproc)
work=           # temporary directory of this run
children=()     # programs to end with this run; each in a session of its own, which keeps the
                # terminal's Ctrl-C from them: we end them, once, and in order

usage() {
    cat <<END
usage: ./build.sh          build dotproxy and run it in the foreground on port $port
       ./build.sh check    build it and run all tests
       ./build.sh bench    build it and measure it beside other forwarders
       ./build.sh deb      build the Debian package, in build/deb/
       ./build.sh help     say this

PORT=5301 ./build.sh runs it on another port. Packages that are missing are installed through apt, as
root or with sudo. Everything that is built is below build/; remove it to start afresh.
END
}

say() { printf '==> %s\n' "$*"; }

die() {
    printf 'build.sh: %s\n' "$*" >&2
    exit 1
}

clean_up() {
    local i
    # The last one first: dotproxy has no reason to report that its upstream went away.
    for ((i = ${#children[@]} - 1; i >= 0; i--)); do
        if kill "${children[i]}" 2>/dev/null; then
            wait "${children[i]}" || true
        fi
    done
    [ -z "$work" ] || rm -rf "$work"
}

# show_end FILE: the end of what a command wrote, without the tests that passed.
show_end() { grep -vE '^(ok [0-9]|PASS: )' "$1" | tail -n 100; }

# step TEXT COMMAND...: runs a command quietly; says how long it took when that was long, and shows
# the end of what it wrote when it failed.
step() {
    local text=$1 log status=0 begin=$SECONDS
    shift
    log=$(mktemp "$work/step.XXXXXX")
    say "$text"
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [ $((SECONDS - begin)) -lt 10 ] || say "$text: $((SECONDS - begin)) s"
    if [ $status -ne 0 ]; then
        show_end "$log"
        mkdir -p build
        cp "$log" build/failed.log
        say "FAILED: $text (status $status); all it wrote is in build/failed.log"
    fi
    return $status
}

## Packages

may_install() { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# without_services COMMAND...: as root, runs it while nothing that it installs may start. invoke-rc.d
# is told so by a file that holds as long as somebody has it locked: this process, or the command when
# this process was killed. After that it says nothing any more, and goes when it is asked.
without_services() {
    local policy=/usr/sbin/policy-rc.d mark="made by dotproxy's build.sh" new
    while grep -qs "$mark" $policy; do
        flock $policy rm -f $policy # when it is free: another run of this may be at work
    done
    if [ ! -e $policy ]; then # or it is the administrator's
        new=$(mktemp $policy.XXXXXX)
        # shellcheck disable=SC2064 # that one
        trap "rm -f $new $policy" EXIT
        trap 'exit 129' HUP
        trap 'exit 130' INT
        trap 'exit 143' TERM
        # shellcheck disable=SC2016 # the file's own name
        printf '%s\n' '#!/bin/sh' "# $mark" 'flock -n "$0" rm -f "$0" || exit 101' >"$new"
        chmod 755 "$new"
        exec 9<"$new"
        flock 9
        mv "$new" $policy
    fi
    "$@"
}

# apt_get ARGUMENT...: brings the package lists up to date if it cannot do without.
apt_get() {
    local apt=(bash -euc "$(declare -f without_services); without_services \"\$@\"" bash
        env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=600)
    as_root "${apt[@]}" --no-install-recommends "$@" || {
        as_root "${apt[@]}" update && as_root "${apt[@]}" --no-install-recommends "$@"
    }
}

# For the package, and for the tests.
install_build_dependencies() {
    local missing
    ! missing=$(dpkg-checkbuilddeps debian/control 2>&1) || return 0
    { may_install && step "Installing the build dependencies" apt_get build-dep ./; } ||
        die "build dependencies are missing: ${missing##*: }
Have root install them: apt-get build-dep $top"
}

# These packages start a service when installed and at boot, which would take a port from whoever has
# it. Who had one of them before keeps it as it is.
servers=' dnsdist haproxy knot-resolver nginx-common smartdns stubby unbound '

# disable_services PACKAGE: keeps what came with it from starting at boot.
disable_services() {
    local name
    for name in $(dpkg -L "$1" | sed -nE 's,^/etc/init\.d/,,p'); do
        as_root update-rc.d "$name" disable
    done
    command -v systemctl >/dev/null || return 0
    for name in $(dpkg -L "$1" | sed -nE 's,^(/usr)?/lib/systemd/system/(.*[^@]\.service)$,\2,p'); do
        as_root systemctl disable "$name"
    done
}

# install_packages PACKAGE...: those that are missing.
install_packages() {
    local package missing=()
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    { may_install && step "Installing ${missing[*]}" apt_get install "${missing[@]}"; } ||
        die "packages are missing: ${missing[*]}
Have root install them: apt-get install --no-install-recommends ${missing[*]}"
    for package in "${missing[@]}"; do
        [[ $servers != *" $package "* ]] ||
            step "Disabling the service of $package" disable_services "$package"
    done
}

## Building

# configure_in DIRECTORY CONFIGURE-ARGUMENT...
configure_in() {
    local directory=$1
    shift
    if [ ! -e configure ]; then
        step "Generating configure" autoreconf -i || return
    fi
    mkdir -p "$directory"
    if [ ! -e "$directory/config.status" ]; then
        step "Configuring $directory" env -C "$directory" "$top/configure" "$@" || return
    fi
}

# make_visibly ARGUMENT...: make, in a step, which says to the outside each time that another tenth is
# done: of the lines by which its quiet rules tell what they make, such as "  CXX      src/main.o".
make_visibly() {
    local line total made=0 tenths=0
    total=$(make -n "$@" | grep -cE 'echo "  [A-Z]+ ') || true
    make "$@" 2>&1 | while IFS= read -r line; do
        printf '%s\n' "$line"
        [[ $line =~ ^\ \ [A-Z]+\  ]] || continue
        made=$((made + 1))
        if [ $((made * 10)) -ge $(((tenths + 1) * total)) ]; then
            tenths=$((made * 10 / total))
            echo "    $made of $total" >&3
        fi
    done
}

# build DIRECTORY CONFIGURE-ARGUMENT...: configures and makes it, tests included when it is not
# build/ itself.
build() {
    local directory=$1 what=all
    configure_in "$@" || return
    [ "$directory" = build ] || what=check
    step "Building $directory" make_visibly -C "$directory" -j "$jobs" $what TESTS=
}

## Running

# sockets_at PORT: the inodes of the sockets that take questions there, at the addresses that dotproxy
# is to have or at all. Of the states in /proc/net, 0A is a TCP socket that listens, and 07 a UDP
# socket without a peer.
sockets_at() {
    cat /proc/net/{tcp,tcp6,udp,udp6} 2>/dev/null | awk -v port="$(printf '%04X' "$1")" '
        $4 == "0A" || $4 == "07" {
            split($2, at, ":")
            if (at[2] == port && (at[1] ~ /^0+$/ || at[1] == "0100007F" ||
                at[1] == "00000000000000000000000001000000"))
                print $10
        }'
}

# holder_of INODE: which process has that socket. None where only root may see that.
holder_of() {
    local found pid
    found=$(find /proc/[0-9]*/fd -lname "socket:\[$1\]" -print -quit 2>/dev/null) || true
    pid=$(cut -d / -f 3 <<<"$found")
    [ -z "$pid" ] || echo " by $(cat "/proc/$pid/comm") (process $pid)"
}

# Before it has taken minutes to build what could not run.
require_port() {
    local inodes
    [[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535 ]] ||
        die "PORT is \"$port\"; give a number from 1 to 65535"
    [ "$(id -u)" -eq 0 ] || [ "$port" -ge "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" ] ||
        die "port $port is for root alone; choose another one: PORT=5300 ./build.sh"
    inodes=$(sockets_at "$port")
    [ -z "$inodes" ] || die "port $port is in use$(holder_of "${inodes%%$'\n'*}");" \
        "choose another one: PORT=$((port < 65535 ? port + 1 : 5300)) ./build.sh"
}

# listens ADDRESS PORT: whether a TCP connection can be made.
listens() { timeout 3 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null; }

# A connection alone proves nothing: captive portals and transparent proxies accept them all.
public_resolver_proves_itself() {
    local address
    for address in "${public_addresses[@]}"; do
        timeout 3 openssl s_client -connect "[$address]:853" -servername $public_name \
            -verify_hostname $public_name -verify_return_error </dev/null >/dev/null 2>&1 &&
            echo yes &
    done | grep -q yes
}

# wait_for_port ADDRESS PORT PID: until the process listens there; fails when it ends, or in 10 s.
wait_for_port() {
    local end=$((SECONDS + 10))
    until listens "$1" "$2"; do
        [ $SECONDS -lt $end ] && kill -0 "$3" 2>/dev/null || return 1
        sleep 0.05
    done
}

make_certificates() {
    cat >certificates.cnf <<END
[req]
distinguished_name = none
[none]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:$1
END
    local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config certificates.cnf)
    openssl req -x509 "${key[@]}" -extensions ca -days 30 -subj "/CN=throw-away CA" \
        -keyout ca.key -out ca.pem
    openssl req -new "${key[@]}" -subj "/CN=$1" -keyout server.key -out server.csr
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
        -extfile certificates.cnf -extensions server -out server.pem
}

# Starts unbound as an upstream on this machine that knows a few names. Sets upstream_port.
start_local_upstream() {
    local attempt pid
    install_packages unbound
    step "Making a throw-away CA" env -C "$work" bash -euc "$(declare -f make_certificates)
        make_certificates $1"
    # Debian's AppArmor profile lets /usr/sbin/unbound read its own directories only; a copy is not
    # under it.
    cp "$(PATH=$PATH:/usr/sbin command -v unbound)" "$work/unbound"
    for ((attempt = 0; attempt < 5; attempt++)); do
        upstream_port=$((20000 + RANDOM % 10000))
        cat >"$work/unbound.conf" <<END
server:
    interface: 127.0.0.1@$upstream_port
    tls-port: $upstream_port
    tls-service-key: $work/server.key
    tls-service-pem: $work/server.pem
    directory: ""
    chroot: ""
    username: ""
    pidfile: ""
    logfile: ""
    use-syslog: no
    do-daemonize: no
    do-udp: no
    module-config: iterator
    local-zone: . static
    local-data: "dotproxy.example. A 192.0.2.1"
    local-data: "dotproxy.example. AAAA 2001:db8::1"
    local-data: 'dotproxy.example. TXT "answered over verified TLS"'
    local-data: "www.dotproxy.example. A 192.0.2.80"
    local-data: "www.dotproxy.example. AAAA 2001:db8::80"
remote-control:
    control-enable: no
END
        setsid "$work/unbound" -d -c "$work/unbound.conf" >"$work/unbound.log" 2>&1 3>&- </dev/null &
        pid=$!
        children+=("$pid")
        ! wait_for_port 127.0.0.1 "$upstream_port" "$pid" || return 0
    done
    cat "$work/unbound.log"
    die "unbound does not start"
}

# write_configuration NAME PORT CA-FILE ADDRESS...: where dotproxy listens and whom it asks.
write_configuration() {
    local name=$1 upstream_port=$2 ca_file=$3 user group listen
    shift 3
    user=$(id -un)
    group=$(id -gn)
    if [ "$(id -u)" -eq 0 ]; then
        user=_dotproxy
        group=_dotproxy
        if ! getent passwd $user >/dev/null || ! getent group $group >/dev/null; then
            user=nobody
            group=nogroup
        fi
    fi
    listen="{ address = \"127.0.0.1\"; port = $port; }"
    if grep -qs '^0\{31\}1 ' /proc/net/if_inet6; then
        listen+=", { address = \"::1\"; port = $port; }"
    else
        say "This machine has no ::1: listening on 127.0.0.1 alone"
    fi
    cat <<END >"$work/dotproxy.conf"
user = "$user";
group = "$group";
control_socket = "$work/run/control";
listen = ( $listen );
upstreams = ( { name = "$name"; port = $upstream_port;
                addresses = ( $(printf '"%s", ' "$@" | sed 's/, $//') ); } );
tls: { ca_file = "$ca_file"; };
END
}

run() {
    local name=www.debian.org upstream_port=853 pid
    require_port
    install_packages "${build_packages[@]}" bind9-dnsutils ca-certificates openssl
    build build
    chmod 755 "$work" # dotproxy gives up root, and reads files again on SIGHUP
    say "Looking for a public resolver"
    if public_resolver_proves_itself; then
        write_configuration $public_name 853 /etc/ssl/certs/ca-certificates.crt \
            "${public_addresses[@]}"
    else
        cat <<END

    ****************************************************************************
    * NO PUBLIC RESOLVER CAN BE REACHED: nobody who can prove to be
    * $public_name answers on port 853.
    *
    * An unbound on this machine takes its place. It knows dotproxy.example and
    * www.dotproxy.example and nothing else. The way there, verified TLS
    * included, is the real one.
    ****************************************************************************

END
        name=dotproxy.example
        start_local_upstream upstream.dotproxy.example
        write_configuration upstream.dotproxy.example "$upstream_port" "$work/ca.pem" 127.0.0.1
    fi

    [ "$(id -u)" -eq 0 ] || mkdir "$work/run" # root has the program make it for its user
    setsid build/dotproxy -f -c "$work/dotproxy.conf" 3>&- </dev/null &
    pid=$!
    children+=("$pid")
    wait_for_port 127.0.0.1 "$port" "$pid" || die "dotproxy does not start"
    cat <<END

dotproxy runs. Try, in another terminal:

    dig @127.0.0.1 -p $port $name
    build/dotproxyctl -c $work/dotproxy.conf status

Ctrl-C ends it. Its configuration is $work/dotproxy.conf

END
    wait "$pid"
}

## Other commands

check() {
    # shellcheck source=tests/check.sh
    . tests/check.sh
    run_checks
}

bench() {
    local package packages=()
    install_packages "${build_packages[@]}" # by then there are package lists to look into
    while read -r package; do
        if apt-cache show "$package" >/dev/null 2>&1; then
            packages+=("$package")
        else
            say "This Debian does not offer $package: left out"
        fi
    done < <(grep -v '^#' tests/bench/packages)
    install_packages "${packages[@]}"
    build build
    make -C build bench
}

deb() {
    local version source
    install_build_dependencies
    configure_in build
    version=$(sed -n 's/^AC_INIT(\[dotproxy\], \[\(.*\)\])$/\1/p' configure.ac)
    source=build/deb/dotproxy-$version
    rm -rf build/deb
    mkdir -p build/deb
    step "Making the tarball" make -C build dist-gzip
    mv "build/dotproxy-$version.tar.gz" "build/deb/dotproxy_$version.orig.tar.gz"
    tar -C build/deb -xf "build/deb/dotproxy_$version.orig.tar.gz"
    cp -R debian "$source/"
    # The tests are for ./build.sh check.
    step "Building the package" env -C "$source" \
        DEB_BUILD_OPTIONS="nocheck parallel=$jobs ${DEB_BUILD_OPTIONS:-}" dpkg-buildpackage -us -uc
    ls build/deb/*.deb
}

case $# in
0) command=run ;;
1) command=$1 ;;
*) command= ;;
esac
case $command in
run | check | bench | deb) ;;
help | -h | --help)
    usage
    exit
    ;;
*)
    usage >&2
    exit 2
    ;;
esac

cd "$top"
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d)
exec 3>&1 # what a step says while it runs
command -v apt-get >/dev/null || die "this needs Debian's apt-get; see README.md for other systems"
$command
