# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced in guests: certificates for dotproxy's clients, from the upstream's authority, and such
# clients.
# shellcheck shell=bash disable=SC2034,SC2086,SC2154 # guest/upstream.sh has what is not assigned here

certificates=/etc/dotproxy/tls
deploy_hook=/usr/share/doc/dotproxy/examples/certbot-deploy-hook

# make_certificate DIRECTORY: another one for dns.example.net, in files with certbot's names.
make_certificate() {
    mkdir -p "$1" &&
        openssl req -x509 -CA $upstream_ca -CAkey $upstream_directory/ca.key -newkey ec \
            -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN=dns.example.net \
            -extensions usr_cert -addext extendedKeyUsage=serverAuth \
            -addext subjectAltName=DNS:dns.example.net -keyout "$1/privkey.pem" \
            -out "$1/cert.pem" 2>/dev/null &&
        cat "$1/cert.pem" $upstream_ca >"$1/fullchain.pem"
}

# serve_tls: has the shipped configuration show it to clients at 127.0.0.1.
serve_tls() {
    local pair="{ chain = \"$certificates/fullchain.pem\"; key = \"$certificates/privkey.pem\"; }"
    sed -i -e "s,certificates = ();,certificates = ( $pair );," \
        -e '/^listen = (/a { address = "127.0.0.1"; port = 853; protocols = ( "dot" ); },' \
        /etc/dotproxy.conf
}

answers_over_tls() {
    dig @127.0.0.1 -p 853 +tls "+tls-ca=$upstream_ca" +tls-hostname=dns.example.net +time=3 +tries=2 \
        dotproxy.example A | grep '192\.0\.2\.1$'
}

# shows FILE [ADDRESS]: whether clients are shown that certificate.
shows() {
    local shown
    shown=$(openssl s_client -connect "${2:-127.0.0.1}:853" </dev/null 2>/dev/null |
        openssl x509 -noout -serial)
    [ "$shown" = "$(openssl x509 -in "$1" -noout -serial)" ] || { echo "$shown" && return 1; }
}

# only_certificates_there [DIRECTORY]: what the hook has put there, and nothing else, for the service
# alone.
only_certificates_there() {
    diff - <(cd "${1:-$certificates}" && find . -printf '%m %u:%g %p\n' | sort) <<'END'
640 root:_dotproxy ./fullchain.pem
640 root:_dotproxy ./privkey.pem
750 root:_dotproxy .
END
}
