# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced in guests: a resolver that speaks DNS over TLS, with a certificate authority of its own,
# and the questions it knows the answers to.
# shellcheck shell=bash

upstream_ca=/etc/ssl/certs/dotproxy-test.pem
upstream_port=8853
upstream_directory=/etc/unbound/dotproxy-test # its AppArmor profile lets it read there

# make_upstream_certificate: once in a guest.
make_upstream_certificate() {
    local d=$upstream_directory
    mkdir -p $d
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
        -subj '/CN=throw-away CA' -addext 'keyUsage=critical,keyCertSign' \
        -keyout $d/ca.key -out $upstream_ca 2>/dev/null &&
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
            -subj '/CN=upstream.example' -keyout $d/server.key -out $d/server.csr 2>/dev/null &&
        openssl x509 -req -in $d/server.csr -CA $upstream_ca -CAkey $d/ca.key -CAcreateserial \
            -days 30 -extfile <(echo 'subjectAltName=DNS:upstream.example') -out $d/server.pem 2>/dev/null &&
        chmod 644 $upstream_ca && chmod 755 $d && chmod 644 $d/server.key
}

# start_upstream [ADDRESS]: unbound on that address (127.0.0.1) and $upstream_port. It knows
# dotproxy.example, and gives 192.0.2.2 for everything below load.example. Ends with the guest.
start_upstream() {
    local address=${1:-127.0.0.1} d=$upstream_directory
    [ -e $d/server.pem ] || make_upstream_certificate
    cat >$d/unbound.conf <<END
server:
    interface: $address@$upstream_port
    tls-port: $upstream_port
    tls-service-key: $d/server.key
    tls-service-pem: $d/server.pem
    access-control: 0.0.0.0/0 allow
    directory: "$d"
    chroot: ""
    username: ""
    pidfile: ""
    logfile: ""
    use-syslog: no
    do-daemonize: yes
    do-udp: no
    do-not-query-localhost: no
    incoming-num-tcp: 200
    module-config: iterator
    local-zone: . static
    local-data: "dotproxy.example. 300 A 192.0.2.1"
    local-zone: load.example. redirect
    local-data: "load.example. 300 A 192.0.2.2"
remote-control:
    control-enable: no
include: "$d/more*.conf"
END
    unbound -c $d/unbound.conf &&
        within 20 timeout 2 bash -c "exec 3<>/dev/tcp/$address/$upstream_port"
}

stop_upstream() {
    pkill -x unbound
    within 20 fails pgrep -x unbound
}

# point_at_upstream [ADDRESS]: has the shipped configuration ask it; everything else stays as it is.
point_at_upstream() {
    local text
    text="upstreams = ( { name = \"upstream.example\"; addresses = ( \"${1:-127.0.0.1}\" );"
    text+=" port = $upstream_port; } );"
    sed -i -e '/^upstreams = (/,/^);/d' -e "s,^\(    ca_file = \).*,\1\"$upstream_ca\";," \
        /etc/dotproxy.conf && echo "$text" >>/etc/dotproxy.conf
}

# answers [DIG-ARGUMENT...]: whether dotproxy answers what only the upstream knows.
answers() {
    dig @127.0.0.1 -p 5300 +time=3 +tries=2 dotproxy.example A "$@" | grep -q '192\.0\.2\.1$'
}

# answers_new: the same for a name that no cache knows.
asked=0
answers_new() {
    asked=$((asked + 1))
    dig @127.0.0.1 -p 5300 +time=3 +tries=2 "new-$asked-$RANDOM.load.example" A "$@" |
        grep -q '192\.0\.2\.2$'
}
