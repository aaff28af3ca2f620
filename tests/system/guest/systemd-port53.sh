# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced by guest/systemd.sh: the ways to port 53.
# shellcheck shell=bash

check_port_53() {
    check_socket_unit
    check_drop_in
}

# As the unit's own comment says.
enable_socket_unit() { systemctl stop dotproxy && systemctl enable -q --now dotproxy.socket; }

check_socket_unit() {
    local turn old_master
    systemctl stop dotproxy
    check "dotproxy.socket is enabled and started" systemctl enable -q --now dotproxy.socket
    check "the service does not run" fails is_active
    check "the first question at port 53 is answered" answers -p 53 +notcp
    # Its workers answer before systemd has read that they do.
    check "by the service that it started" within 10 is_active
    check "over TCP as well" answers -p 53 +tcp
    check "at ::1 as well" answers @::1 -p 53
    check "and at port 5300" answers
    check "with no capability" has_no_capability
    load_begins udp 53
    for turn in 1 2 3; do
        old_master=$(master)
        check "restart $turn under load at port 53" systemctl restart dotproxy
        check "the master is new" differ "$(master)" "$old_master"
    done
    load_ends
    check "no question was lost" lost_at_most 0
    check "what was cached is remembered" remembers -p 53
    check "dotproxy.socket is disabled and stopped" systemctl disable -q --now dotproxy.socket
    systemctl restart dotproxy
    check "nobody listens at port 53" fails answers -p 53 +tries=1 +time=1
}

check_drop_in() {
    cp -p /etc/dotproxy.conf /tmp/good.conf
    sed -i 's/port = 5300/port = 53/' /etc/dotproxy.conf
    mark_journal
    check "port 53 without a privilege: the start fails" fails systemctl restart dotproxy
    check "the journal says what it takes" within 10 said err ':53: Permission denied.*CAP_NET_BIND'
    mkdir -p /etc/systemd/system/dotproxy.service.d
    cp /usr/share/doc/dotproxy/examples/privileged-port.conf /etc/systemd/system/dotproxy.service.d/
    systemctl daemon-reload
    check "with the drop-in of the examples it succeeds" systemctl restart dotproxy
    check "port 53 answers over UDP" answers -p 53 +notcp
    check "and TCP" answers -p 53 +tcp
    check "the privilege was given up" status_has '^CapEff:[[:space:]]0{16}$'
    check "a reload" systemctl reload dotproxy
    check "and a restart keep the port" systemctl restart dotproxy
    check "which answers" answers -p 53
    cp -p /tmp/good.conf /etc/dotproxy.conf
    no_drop_in
    check "back at port 5300" systemctl restart dotproxy
    check "it answers there" answers
}
