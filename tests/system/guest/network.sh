# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced in guests: a network as one finds it, on lan0, with DHCP and with a resolver that has an
# answer of its own to everything, in the clear.
# shellcheck shell=bash

lan_resolver=198.51.100.1
lan_answer=192.0.2.99

make_network() {
    ip netns add lan &&
        ip link add lan0 type veth peer name lan1 netns lan &&
        ip -n lan link set lo up &&
        ip -n lan link set lan1 up &&
        ip -n lan address add $lan_resolver/24 dev lan1 &&
        ip link set lan0 up &&
        ip netns exec lan dnsmasq --conf-file=/dev/null --no-resolv --no-hosts \
            --interface=lan1 --bind-interfaces --address=/#/$lan_answer --pid-file=/run/lan.pid \
            --dhcp-leasefile=/run/lan.leases --dhcp-range=198.51.100.10,198.51.100.20 \
            --dhcp-option=option:domain-name,lan.example
}
