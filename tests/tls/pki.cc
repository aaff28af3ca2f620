// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Makes certificates for tests with the GnuTLS API.

#include "tls/pki.hh"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509-ext.h>
#include <unistd.h>

#include <arpa/inet.h>

namespace dotproxy::tls::test {

namespace {

void set_key(gnutls_x509_privkey_t key, Key kind) {
    switch (kind) {
    case Key::p256:
        must(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                          GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
             "P-256 key");
        break;
    case Key::rsa_1024:
        must(gnutls_x509_privkey_generate(key, GNUTLS_PK_RSA, 1024, 0), "RSA-1024 key");
        break;
    case Key::rsa_2048:
        must(gnutls_x509_privkey_generate(key, GNUTLS_PK_RSA, 2048, 0), "RSA-2048 key");
        break;
    }
}

void add_name(gnutls_x509_crt_t crt, gnutls_x509_subject_alt_name_t type, const void* name,
              std::size_t size) {
    must(gnutls_x509_crt_set_subject_alt_name(crt, type, name, static_cast<unsigned>(size),
                                              GNUTLS_FSAN_APPEND),
         "alternative name");
}

void add_names(gnutls_x509_crt_t crt, const Request& request) {
    for (const std::string& name : request.dns) {
        add_name(crt, GNUTLS_SAN_DNSNAME, name.data(), name.size());
    }
    for (const std::string& ip : request.ips) {
        std::array<unsigned char, 16> octets{};
        const bool v6 = ip.find(':') != std::string::npos;
        must(::inet_pton(v6 ? AF_INET6 : AF_INET, ip.c_str(), octets.data()) - 1, "address");
        add_name(crt, GNUTLS_SAN_IPADDRESS, octets.data(), v6 ? 16 : 4);
    }
    if (!request.raw_dns.empty()) {
        std::string names{"\x30\0\x82\0", 4}; // a SEQUENCE of one dNSName (RFC 5280, 4.2.1.6)
        names[1] = static_cast<char>(request.raw_dns.size() + 2);
        names[3] = static_cast<char>(request.raw_dns.size());
        names += request.raw_dns;
        must(gnutls_x509_crt_set_extension_by_oid(crt, GNUTLS_X509EXT_OID_SAN, names.data(),
                                                  names.size(), 0),
             "names");
    }
    if (!request.email.empty()) {
        add_name(crt, GNUTLS_SAN_RFC822NAME, request.email.data(), request.email.size());
    }
}

void constrain(gnutls_x509_crt_t crt, std::string permitted) {
    gnutls_x509_name_constraints_t constraints = nullptr;
    must(gnutls_x509_name_constraints_init(&constraints), "name constraints");
    const gnutls_datum_t name{reinterpret_cast<unsigned char*>(permitted.data()),
                              static_cast<unsigned>(permitted.size())};
    must(gnutls_x509_name_constraints_add_permitted(constraints, GNUTLS_SAN_DNSNAME, &name),
         "permitted name");
    must(gnutls_x509_crt_set_name_constraints(crt, constraints, 1), "name constraints");
    gnutls_x509_name_constraints_deinit(constraints);
}

} // namespace

void must(int result, const char* what) {
    if (result < 0) {
        std::fprintf(stderr, "%s: %s\n", what, gnutls_strerror(result));
        std::abort();
    }
}

Certificate::Certificate() {
    gnutls_x509_crt_t crt = nullptr;
    must(gnutls_x509_crt_init(&crt), "certificate");
    crt_.reset(crt);
    gnutls_x509_privkey_t key = nullptr;
    must(gnutls_x509_privkey_init(&key), "key");
    key_.reset(key);
}

void Certificate::reload() {
    gnutls_datum_t der{};
    must(gnutls_x509_crt_export2(crt(), GNUTLS_X509_FMT_DER, &der), "export");
    gnutls_x509_crt_t crt = nullptr;
    must(gnutls_x509_crt_init(&crt), "certificate");
    crt_.reset(crt);
    must(gnutls_x509_crt_import(crt, &der, GNUTLS_X509_FMT_DER), "import");
    gnutls_free(der.data);
}

std::string Certificate::pem() const {
    gnutls_datum_t out{};
    must(gnutls_x509_crt_export2(crt(), GNUTLS_X509_FMT_PEM, &out), "export");
    std::string text{reinterpret_cast<const char*>(out.data), out.size};
    gnutls_free(out.data);
    return text;
}

std::string Certificate::key_pem() const {
    gnutls_datum_t out{};
    must(gnutls_x509_privkey_export2(key(), GNUTLS_X509_FMT_PEM, &out), "export");
    std::string text{reinterpret_cast<const char*>(out.data), out.size};
    gnutls_free(out.data);
    return text;
}

SpkiPin Certificate::pin() const {
    gnutls_pubkey_t key = nullptr;
    must(gnutls_pubkey_init(&key), "public key");
    must(gnutls_pubkey_import_x509(key, crt(), 0), "public key");
    gnutls_datum_t der{};
    must(gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &der), "export");
    SpkiPin pin{};
    must(gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, pin.data()), "digest");
    gnutls_free(der.data);
    gnutls_pubkey_deinit(key);
    return pin;
}

Certificate issue(const Request& request, const Certificate* issuer) {
    Certificate made;
    gnutls_x509_crt_t crt = made.crt();
    set_key(made.key(), request.key);
    must(gnutls_x509_crt_set_version(crt, 3), "version");
    std::array<unsigned char, 8> serial{};
    must(gnutls_rnd(GNUTLS_RND_NONCE, serial.data(), serial.size()), "serial");
    serial[0] = 1; // positive, without a leading zero
    must(gnutls_x509_crt_set_serial(crt, serial.data(), serial.size()), "serial");
    must(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0,
                                       request.common_name.data(),
                                       static_cast<unsigned>(request.common_name.size())),
         "common name");
    const std::time_t now = std::time(nullptr);
    must(gnutls_x509_crt_set_activation_time(crt, now + request.from.count()), "date");
    must(gnutls_x509_crt_set_expiration_time(crt, now + request.until.count()), "date");
    must(gnutls_x509_crt_set_key(crt, made.key()), "key");
    must(gnutls_x509_crt_set_basic_constraints(crt, request.authority ? 1 : 0, -1), "constraints");
    must(gnutls_x509_crt_set_key_usage(crt, request.authority ? GNUTLS_KEY_KEY_CERT_SIGN
                                                              : GNUTLS_KEY_DIGITAL_SIGNATURE |
                                                                    GNUTLS_KEY_KEY_ENCIPHERMENT),
         "key usage");
    if (!request.authority && request.purpose != nullptr) {
        must(gnutls_x509_crt_set_key_purpose_oid(crt, request.purpose, 0), "key purpose");
    }
    add_names(crt, request);
    if (!request.permitted.empty()) {
        constrain(crt, request.permitted);
    }
    if (request.must_staple) {
        gnutls_x509_tlsfeatures_t features = nullptr;
        must(gnutls_x509_tlsfeatures_init(&features), "features");
        must(gnutls_x509_tlsfeatures_add(features, 5), "status_request");
        must(gnutls_x509_crt_set_tlsfeatures(crt, features), "features");
        gnutls_x509_tlsfeatures_deinit(features);
    }
    const Certificate& signer = issuer != nullptr ? *issuer : made;
    must(gnutls_x509_crt_sign2(crt, signer.crt(), signer.key(), request.digest, 0), "signature");
    made.reload();
    return made;
}

TemporaryFile::TemporaryFile(const std::string& content) {
    const char* directory = std::getenv("TMPDIR");
    path_ = std::string{directory != nullptr ? directory : "/tmp"} + "/dotproxy-test-XXXXXX";
    const int fd = ::mkstemp(path_.data());
    must(fd < 0 ? GNUTLS_E_FILE_ERROR : 0, "temporary file");
    must(::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size())
             ? 0
             : GNUTLS_E_FILE_ERROR,
         "temporary file");
    ::close(fd);
}

TemporaryFile::~TemporaryFile() {
    ::unlink(path_.c_str());
}

} // namespace dotproxy::tls::test
