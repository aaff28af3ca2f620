# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Every command of README.Debian, and every file in examples/, on a machine in a network that has a
# resolver of its own: each way to make the machine use dotproxy leads all questions there, leads
# none past it when it is stopped, and is gone when undone.
# shellcheck shell=bash

set -uo pipefail

# shellcheck source=tests/system/tap.sh
. /mnt/tap.sh
# shellcheck source=tests/system/guest/upstream.sh
. /mnt/guest/upstream.sh
# shellcheck source=tests/system/guest/certificates.sh
. /mnt/guest/certificates.sh
# shellcheck source=tests/system/guest/network.sh
. /mnt/guest/network.sh
# shellcheck source=tests/system/guest/readme.sh
. /mnt/guest/readme.sh

cd /root || exit # my-ca.pem comes from there

# What an ordinary program gets to know; of a name that nobody has asked for before.
address_of() { getent --no-addrconfig ahostsv4 "$1" | sed -n '1s/ .*//p'; }
new_address() { address_of "new-$RANDOM$RANDOM.load.example"; }
queries() { dotproxyctl status | awk '/^(udp|tcp)_queries / { n += $2 } END { print n }'; }

uses_dotproxy() {
    local before address
    before=$(queries) && address=$(new_address) || return 1
    echo "address $address, $(queries) queries after $before"
    [ "$address" = 192.0.2.2 ] && [ "$(queries)" -gt "$before" ]
}
uses_the_network() { [ "$(new_address)" = $lan_answer ]; }
uses_nobody() { [ -z "$(RES_OPTIONS='timeout:2 attempts:1' new_address)" ]; }

# What the machine does without dotproxy, and what else there is to see while it uses it.
is_as_before=uses_the_network
in_use=:

# leads_to_dotproxy WHAT TEXT SERVICE...: does what README.Debian says after that text, sees the
# effect, also while the services are stopped, and undoes it.
leads_to_dotproxy() {
    local what=$1 text=$2
    shift 2
    check "$what: dotproxy is not asked before" within 20 $is_as_before
    check "$what: what README.Debian says can be done" follow "$text"
    check "$what: a program asks through dotproxy" within 20 uses_dotproxy
    systemctl stop "$@"
    check "$what: nobody else is asked" uses_nobody
    systemctl start "$@"
    check "$what: all is well again" within 20 uses_dotproxy
    $in_use
}
is_undone() {
    check "$1: what README.Debian says undoes it" undo "$2"
    check "$1: all is as before" within 20 $is_as_before
}

serves() { dig "@$1" -p "$2" +time=3 +tries=2 dotproxy.example A | grep -q '192\.0\.2\.1$'; }
listens() { ss -Htuln "sport = :$1" | grep -q .; }
edit_configuration() { sed -i "$@" /etc/dotproxy.conf; }

first_steps() {
    check "the package is installed" dpkg -i /mnt/dotproxy_*.deb
    [ $failures -eq 0 ] || exit 1
    check "it is at work" follow "try it:"
    add_signed_zone
    start_upstream && point_at_upstream && cp $upstream_ca my-ca.pem
    edit_configuration 's,^\(    ca_file = \).*,\1"/etc/ssl/certs/ca-certificates.crt";,'
    check "a change can be put to use" follow "After a change:"
    check "an upstream that is not trusted is not asked" fails answers
    check "which can be seen before" fails follow "to see that before it is in use:"
    check "an authority can be added to those of the machine" follow "let the machine trust yours"
    check "and is trusted" within 20 answers
    install -D -m 644 my-ca.pem /etc/dotproxy/my-ca.pem
    edit_configuration -e '/^tls: {/,/^};/d' -e "\$a $(readme | sed -n 's/^    \(tls: .*\)/\1/p')"
    check "or stand alone" follow "After a change:"
    check "and be trusted" answers_new
    check "which can be seen before, too" follow "to see that before it is in use:"
    install -D -m 644 <(echo '/srv/ca/** r,') /etc/apparmor.d/local/usr.sbin.dotproxy
    check "AppArmor understands what is added" \
        apparmor_parser --skip-kernel-load --skip-cache /etc/apparmor.d/usr.sbin.dotproxy
    counts_as_followed "AppArmor is in use"
}

systemd_resolved() {
    local text="systemd-resolved, if"
    ip address add 198.51.100.2/24 dev lan0
    ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
    install -D -m 644 <(printf '[Resolve]\nDNS=%s\n' $lan_resolver) /etc/systemd/resolved.conf
    systemctl unmask systemd-resolved && systemctl start systemd-resolved
    resolvectl dns lan0 $lan_resolver
    leads_to_dotproxy systemd-resolved "$text" dotproxy
    check "systemd-resolved: it says so itself" resolvectl query new.load.example
    check "systemd-resolved: a network keeps its own domains" keeps_domains
    resolvectl domain lan0 ''
    is_undone systemd-resolved "$text"
    # From here on this is a machine without it.
    (cd /root && dpkg-repack systemd-resolved) >/dev/null 2>&1
    dpkg --remove systemd-resolved >/dev/null 2>&1
    ip address flush dev lan0
    rm -f /etc/resolv.conf
}
keeps_domains() {
    resolvectl domain lan0 lan.example &&
        [ "$(address_of "host-$RANDOM.lan.example")" = $lan_answer ]
}

port_53() {
    check "port 53 by systemd: it can be done" follow "systemd holds the port"
    check "port 53 by systemd: IPv4" serves 127.0.0.1 53
    check "port 53 by systemd: IPv6" serves ::1 53
    check "port 53 by systemd: and what the configuration says" serves 127.0.0.1 5300
}
port_5300_again() {
    check "port 53 by systemd: it can be undone" undo "systemd holds the port"
    check "port 53 by systemd: then 5300 is served" answers
    check "port 53 by systemd: and 53 is free" fails listens 53
}

network_manager() {
    local text="NetworkManager, without"
    systemctl unmask NetworkManager && systemctl start NetworkManager
    check "NetworkManager: it takes what the network brings" \
        within 30 grep -q "^nameserver $lan_resolver" /etc/resolv.conf
    leads_to_dotproxy NetworkManager "$text" dotproxy.socket dotproxy
    check "NetworkManager: one resolver is named" \
        [ "$(grep -c ^nameserver /etc/resolv.conf)" -eq 1 ]
    nmcli device reapply lan0 >/dev/null
    check "NetworkManager: also when the network is joined again" within 20 uses_dotproxy
    is_undone NetworkManager "$text"
    systemctl stop NetworkManager
}

resolv_conf() {
    local text="/etc/resolv.conf, where"
    printf 'nameserver %s\n' $lan_resolver >/etc/resolv.conf
    leads_to_dotproxy resolv.conf "$text" dotproxy.socket dotproxy
    dhcp_client dhclient /etc/dhcp/dhclient.conf "supersede domain-name-servers 127.0.0.1;"
    cp /usr/share/doc/dotproxy/examples/resolv.conf /etc/resolv.conf
    dhcp_client dhcpcd /etc/dhcpcd.conf "nohook resolv.conf"
    is_undone resolv.conf "$text"
}

# dhcp_client COMMAND FILE LINE: one that writes /etc/resolv.conf until its configuration says
# otherwise.
dhcp_client() {
    cp /etc/resolv.conf before
    ip address flush dev lan0
    check "$1: it writes resolv.conf" timeout 60 "$1" -1 lan0
    check "$1: with another resolver" within 20 uses_the_network
    cp before /etc/resolv.conf
    ip address flush dev lan0
    check "$1: README.Debian knows a line against that" tell "$2" "$3"
    check "$1: it does what it is for" timeout 60 "$1" -1 lan0
    check "$1: and leaves dotproxy in use" within 20 uses_dotproxy
    pkill -x "$1"
}

privileged_port() {
    local text="Or dotproxy binds it"
    edit_configuration 's/port = 5300;/port = 53;/'
    check "port 53 by dotproxy: it can be done" follow "$text"
    check "port 53 by dotproxy: IPv4" serves 127.0.0.1 53
    check "port 53 by dotproxy: IPv6" serves ::1 53
    edit_configuration 's/port = 53;/port = 5300;/'
    check "port 53 by dotproxy: it can be undone" undo "$text"
    check "port 53 by dotproxy: then 5300 is served" answers
}

# at_port_53 SERVICE TEXT: for other resolvers that this machine has.
at_port_53() {
    echo "nameserver 127.0.0.1" >/etc/resolv.conf
    systemctl unmask "$1" && systemctl start "$1"
    leads_to_dotproxy "$1" "$2" dotproxy
    is_undone "$1" "$2"
    systemctl stop "$1"
}

with_dnsmasq() {
    echo "nameserver $lan_resolver" >/etc/lan-resolv.conf
    echo "resolv-file=/etc/lan-resolv.conf" >/etc/dnsmasq.d/lan.conf
    at_port_53 dnsmasq "dnsmasq, if"
}

with_unbound() {
    # It would ask the servers of the Internet, of which there are none here.
    is_as_before=uses_nobody
    # Stands for that of dns-root-data; what the tests ask for is not below it.
    echo ". DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D" \
        >/var/lib/unbound/root.key
    chown unbound: /var/lib/unbound/root.key
    cp /mnt/signed.anchor /etc/unbound/
    cat >/etc/unbound/unbound.conf.d/test.conf <<'END'
server:
    trust-anchor-file: /etc/unbound/signed.anchor
    domain-insecure: load.example
END
    in_use=validates
    at_port_53 unbound "unbound, if"
}
validates() {
    check "unbound: a signature is found to be right" \
        within 20 eval 'dig @127.0.0.1 +adflag secure.signed.example | grep "^;; flags:.* ad"'
    check "unbound: and another one to be wrong" \
        eval 'dig @127.0.0.1 bogus.signed.example | grep "status: SERVFAIL"'
    check "unbound: which is not for dotproxy to say" \
        eval 'dig @127.0.0.1 -p 5300 bogus.signed.example | grep "status: NOERROR"'
}

# The upstream knows this one, too.
add_signed_zone() {
    mkdir -p $upstream_directory
    cat >$upstream_directory/more.conf <<END
server:
    local-zone: signed.example. transparent
auth-zone:
    name: signed.example.
    zonefile: /mnt/signed.zone
    for-downstream: yes
    for-upstream: no
END
}

# The machines of the network ask at the address that the text has for this one.
network() {
    local text="Let the service have that port"
    cp /etc/dotproxy.conf /etc/dotproxy.conf.before
    ip address add 198.51.100.2/24 dev lan0
    ip address add 192.0.2.2/24 dev lan0 && ip -n lan address add 192.0.2.7/24 dev lan1
    edit_configuration -e '/^listen = (/,/);$/d' \
        -e "\$a $(readme | sed -n '/^    listen = /,/^$/p' | tr -d '\n')"
    check "network: it can be served" follow "$text"
    check "network: others are answered" from_network 192.0.2.2
    check "network: nobody at another address" fails from_network 198.51.100.2
    check "network: this machine is, as before" answers
    check "network: ufw, and its profile, know what is said of them" \
        bash -c "$(commands "let in only the network" | sed 's/^ufw /ufw --dry-run /')"
    counts_as_followed "let in only the network"
    cp /etc/dotproxy.conf.before /etc/dotproxy.conf
    ip address flush dev lan0
    check "network: it can be undone" undo "Or dotproxy binds it"
}
from_network() { ip netns exec lan dig "@$1" +time=2 +tries=2 dotproxy.example A | grep '192\.0\.2\.1$'; }

allow_list() {
    local text="The kernel can hold"
    check "allow list: there is one" follow "$text"
    check "allow list: it can be used" follow "Write your addresses"
    check "allow list: who is on it is asked" within 20 answers_new
    ip address add 198.51.100.2/24 dev lan0
    start_upstream 198.51.100.2 && point_at_upstream 198.51.100.2 && dotproxyctl reload
    check "allow list: nobody else is" fails answers_new
    check "allow list: it can be undone" undo "$text"
    check "allow list: then anybody is asked" within 20 answers_new
}

# tls_client CA NAME: whether a client that trusts that authority, "" for those of the machine, has
# the answer from who proves to be NAME, at the address that the text has.
tls_client() {
    kdig @192.0.2.2 "+tls-ca${1:+=$1}" "+tls-hostname=$2" +time=3 +retry=1 dotproxy.example A \
        >/tmp/said 2>&1
    grep '192\.0\.2\.1$' /tmp/said || { cat /tmp/said && return 1; }
}
on_another_machine() { ip netns exec lan bash -c "$(declare -f "$1"); $(printf '%q ' "$@")"; }

live=/etc/letsencrypt/live/dns.example.net
own_ca=/root/dns-ca/ca.pem

# has_certbot: one that has its certificates from an authority that this machine trusts, and keeps
# them where only root can read them.
has_certbot() {
    cat >/usr/bin/certbot <<'END'
#!/bin/bash
set -euo pipefail
. /mnt/guest/upstream.sh
. /mnt/guest/certificates.sh
[ "${*:1:5}" = "certonly --standalone -d dns.example.net --deploy-hook" ]
live=/etc/letsencrypt/live/dns.example.net archive=/etc/letsencrypt/archive/dns.example.net
umask 077
mkdir -p $live
make_certificate $archive
for file in fullchain privkey; do
    ln -sf ../../archive/dns.example.net/$file.pem $live/$file.pem
done
RENEWED_LINEAGE=$live RENEWED_DOMAINS=dns.example.net sh -c "$6"
END
    chmod 755 /usr/bin/certbot
}

# configure_tls: has what README.Debian says be written into the groups `tls` and `listen`.
configure_tls() {
    local pair listener
    pair=$(readme | sed -n 's/^    \(certificates = .*\)/\1/p')
    listener=$(readme | sed -n 's/^    \({ address = .*"dot".*}\)$/\1/p')
    edit_configuration -e "s,^tls: {,& $pair," -e "/^listen = (/a $listener," &&
        grep -q '^tls: { certificates' /etc/dotproxy.conf && grep -q '853.*dot' /etc/dotproxy.conf
}
lists() { dotproxy -t 2>&1 | grep -F "$certificates/fullchain.pem: $1 (ECDSA 256), until "; }
warns_of_port() { dotproxy -t 2>&1 | grep 'port 853 takes a privilege'; }
warns_of_certificate() { dotproxy -t 2>&1 | grep "tls.certificates: .*; "; }
master() { systemctl show -P MainPID dotproxy; }

# E2, and E1 where it matters most.
over_tls() {
    ip address add 192.0.2.2/24 dev lan0 && ip -n lan address replace 192.0.2.7/24 dev lan1
    cp /etc/dotproxy.conf /etc/dotproxy.conf.before
    check "TLS: there is a place for certificates" \
        [ "$(stat -c '%a %U:%G' $certificates)" = "750 root:_dotproxy" ]
    has_certbot
    check "TLS: certbot can put one there" follow "From Let's Encrypt"
    check "TLS: for the service alone" only_certificates_there
    check "TLS: it can be configured" configure_tls
    check "TLS: that a privilege is missing is said" warns_of_port
    check "TLS: it can be given" follow "Either dotproxy binds it"
    check "TLS: the certificate is listed" lists dns.example.net
    check "TLS: nothing is missing any more" fails warns_of_port
    check "TLS: a client is answered" follow "shows whether they do"
    check "TLS: with what the upstream knows" tls_client "" dns.example.net
    check "TLS: on another machine, too" on_another_machine tls_client "" dns.example.net
    check "TLS: who asks for another name believes nobody" fails tls_client "" other.example.net
    check "TLS: a key that only root can read is refused" refuses_roots_key
    renewal
    own_authority
    by_systemd
    check "TLS: there is a profile for Apple's devices" is_a_profile
    ip address flush dev lan0
    check "TLS: without it all is as before" answers
}

refuses_roots_key() {
    local said
    chmod 600 $certificates/privkey.pem
    said=$(dotproxy -t 2>&1 || true)
    ! systemctl reload dotproxy && chmod 640 $certificates/privkey.pem && echo "$said" &&
        grep "privkey.pem: Permission denied (read as user _dotproxy); see CERTIFICATES" <<<"$said" &&
        systemctl reload dotproxy
}

renewal() {
    local before
    before=$(master)
    certbot certonly --standalone -d dns.example.net --deploy-hook true 2>/dev/null
    check "TLS: a renewed one is not shown by itself" fails shows $live/fullchain.pem 192.0.2.2
    check "TLS: the hook has run" follow "have it copied this once"
    check "TLS: then it is" within 20 shows $live/fullchain.pem 192.0.2.2
    check "TLS: and nothing else is left there" only_certificates_there
    check "TLS: by the master that was there" [ "$(master)" = "$before" ]
    cp $live/privkey.pem /root/right.pem
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out $live/privkey.pem
    check "TLS: of a key that does not match the hook tells" refuses_key
    check "TLS: the old one is shown on" tls_client "" dns.example.net
    check "TLS: by the same master" [ "$(master)" = "$before" ]
    cp /root/right.pem $live/privkey.pem
    systemctl stop dotproxy
    check "TLS: while the service is stopped the hook runs" \
        env RENEWED_LINEAGE=$live /usr/local/sbin/dotproxy-deploy-hook
    check "TLS: and does not start it" fails systemctl -q is-active dotproxy
    systemctl start dotproxy
    check "TLS: what starts then serves" tls_client "" dns.example.net
    check "TLS: the hook takes another directory" \
        env RENEWED_LINEAGE=$live /usr/local/sbin/dotproxy-deploy-hook $certificates/2
    check "TLS: and makes it like the first one" \
        only_certificates_there $certificates/2
    rm -r $certificates/2
}
refuses_key() {
    local said
    said=$(RENEWED_LINEAGE=$live /usr/local/sbin/dotproxy-deploy-hook 2>&1) && return 1
    grep "$certificates/privkey.pem: is the key of another" <<<"$said" || { echo "$said" && return 1; }
}

own_authority() {
    check "own authority: it can be made" follow "From an authority of your own"
    check "own authority: and a certificate" follow "makes a certificate, and puts it in place"
    check "own authority: which is shown" within 20 shows /root/dns-ca/server.pem 192.0.2.2
    check "own authority: and listed" lists "dns.example.net, 192.0.2.2"
    check "own authority: with nothing to say against it" fails warns_of_certificate
    check "own authority: who knows it is answered" follow "with an authority of your own,"
    check "own authority: with what the upstream knows" tls_client $own_ca dns.example.net
    check "own authority: by address, too" tls_client $own_ca 192.0.2.2
    check "own authority: who does not know it believes nobody" \
        fails tls_client "" dns.example.net
    resolved_over_tls
}

# resolved_asks: by what it says there, and without what it knows.
resolved_asks() {
    systemctl restart systemd-resolved && resolvectl query dotproxy.example | grep '192\.0\.2\.1 '
}
tls_queries() { dotproxyctl status | sed -n 's,^tls_queries[^0-9]*,,p'; }

# A client that is no program of these tests, on a machine that has it for a moment.
resolved_over_tls() {
    local conf=/etc/systemd/resolved.conf.d/tls.conf before
    if [ "$(. /etc/os-release && echo "$VERSION_ID")" = 12 ]; then
        skip_check "systemd-resolved over TLS" "dpkg-repack of Debian 12 cannot bring it back"
        return
    fi
    mv /etc/resolv.conf /etc/resolv.conf.before
    check "systemd-resolved over TLS: it is back" \
        dpkg --force-confold -i /root/systemd-resolved_*.deb
    install -D -m 644 <(printf '[Resolve]\n' && readme |
        sed -n 's/.*with systemd-resolved: "\(DNS=.*\)" and "\(DNSOverTLS=yes\)".*/\1\n\2/p') $conf
    check "systemd-resolved over TLS: it believes no authority that it does not know" \
        fails resolved_asks
    cp $own_ca /usr/local/share/ca-certificates/dns-ca.crt && update-ca-certificates 2>/dev/null
    before=$(tls_queries)
    check "systemd-resolved over TLS: it is answered by who proves the name" resolved_asks
    check "systemd-resolved over TLS: who was asked over TLS" [ "$(tls_queries)" -gt "$before" ]
    sed -i 's/#dns\./#other./' $conf
    check "systemd-resolved over TLS: it believes nobody of another name" fails resolved_asks
    dpkg --purge systemd-resolved >/dev/null 2>&1
    rm -f $conf /usr/local/share/ca-certificates/dns-ca.crt
    update-ca-certificates >/dev/null 2>&1
    mv /etc/resolv.conf.before /etc/resolv.conf
}

by_systemd() {
    cp /etc/dotproxy.conf.before /etc/dotproxy.conf
    check "TLS by systemd: dotproxy does not bind" undo "Or dotproxy binds it"
    check "TLS by systemd: port 53 is held" follow "systemd holds the port"
    check "TLS by systemd: it can be configured" configure_tls
    check "TLS by systemd: that port 853 is not passed is said" warns_of_port
    check "TLS by systemd: it can be" follow "Or systemd holds it"
    check "TLS by systemd: and is" follow "Write your address into that copy"
    check "TLS by systemd: nothing is missing any more" fails warns_of_port
    check "TLS by systemd: a client is answered" tls_client $own_ca dns.example.net
    check "TLS by systemd: without a privilege" \
        grep '^CapBnd:[[:space:]]*0*$' "/proc/$(master)/status"
    cp /etc/dotproxy.conf.before /etc/dotproxy.conf
    check "TLS by systemd: it can be undone" undo "Or systemd holds it"
    check "TLS by systemd: port 853 is free" fails listens 853
    check "TLS by systemd: and so can the rest" undo "systemd holds the port"
}

is_a_profile() {
    python3 -c 'import plistlib, sys
with open(sys.argv[1], "rb") as file:
    (payload,) = plistlib.load(file)["PayloadContent"]
assert payload["DNSSettings"] == {
    "DNSProtocol": "TLS", "ServerName": "dns.example.net", "ServerAddresses": ["192.0.2.2"]}
' /usr/share/doc/dotproxy/examples/apple.mobileconfig
}

make_network
first_steps
systemd_resolved
port_53
network_manager
resolv_conf
port_5300_again
privileged_port
with_dnsmasq
with_unbound
network
over_tls
allow_list
check "every command of README.Debian was followed" everything_was_followed
finish
