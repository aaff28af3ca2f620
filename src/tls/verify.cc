// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The check of a peer's certificate. Order: path, name, pins; the first that fails gives the
// reason.

#include "tls/verify.hh"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <ctime>
#include <gnutls/x509-ext.h>
#include <gnutls/x509.h>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace dotproxy::tls {

namespace {

// GNUTLS_PROFILE_TO_VFLAGS() without its C cast.
constexpr unsigned verify_flags = static_cast<unsigned>(GNUTLS_PROFILE_MEDIUM) << 24;
static_assert((verify_flags & GNUTLS_VFLAGS_PROFILE_MASK) == verify_flags);

// Of a certificate that is for others: enough to know them by.
constexpr unsigned shown_names_max = 3;
constexpr std::size_t shown_name_max = 64;

struct FreeCertificate {
    void operator()(gnutls_x509_crt_int* p) const noexcept { gnutls_x509_crt_deinit(p); }
};

using Certificate = std::unique_ptr<gnutls_x509_crt_int, FreeCertificate>;

struct FreeNames {
    void operator()(gnutls_subject_alt_names_st* p) const noexcept {
        gnutls_subject_alt_names_deinit(p);
    }
};

using Names = std::unique_ptr<gnutls_subject_alt_names_st, FreeNames>;

struct FreeText {
    void operator()(unsigned char* p) const noexcept { gnutls_free(p); }
};

using Text = std::unique_ptr<unsigned char, FreeText>;

Verdict refuse(std::string reason, Refusal refusal = Refusal::other) {
    return {false, std::move(reason), refusal};
}

// Of several the one that tells most: a certificate of nobody's may have any date.
Refusal refusal_of(unsigned status) noexcept {
    if ((status & (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNER_NOT_CA)) != 0) {
        return Refusal::untrusted_ca;
    }
    if ((status & GNUTLS_CERT_EXPIRED) != 0) {
        return Refusal::expired;
    }
    return (status & GNUTLS_CERT_NOT_ACTIVATED) != 0 ? Refusal::not_yet_valid : Refusal::other;
}

Certificate import(const gnutls_datum_t& der) noexcept {
    gnutls_x509_crt_t raw = nullptr;
    if (gnutls_x509_crt_init(&raw) < 0) {
        return nullptr;
    }
    Certificate certificate{raw};
    if (gnutls_x509_crt_import(raw, &der, GNUTLS_X509_FMT_DER) < 0) {
        return nullptr;
    }
    return certificate;
}

bool is_pinned(const Certificate& certificate, const std::vector<SpkiPin>& pins) noexcept {
    SpkiPin key{};
    std::size_t size = key.size();
    if (gnutls_x509_crt_get_key_id(certificate.get(), GNUTLS_KEYID_USE_SHA256, key.data(), &size) <
            0 ||
        size != key.size()) {
        return false;
    }
    return std::find(pins.begin(), pins.end(), key) != pins.end();
}

// "The certificate is NOT trusted. The certificate issuer is unknown. " without its frame.
std::string describe(unsigned status) {
    gnutls_datum_t raw{};
    if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &raw, 0) < 0) {
        return "certificate refused";
    }
    const Text owner{raw.data};
    std::string_view text{reinterpret_cast<const char*>(raw.data), raw.size};
    constexpr std::string_view frame = "The certificate is NOT trusted. ";
    if (text.starts_with(frame)) {
        text.remove_prefix(frame.size());
    }
    const std::size_t last = text.find_last_not_of(". ");
    return last == text.npos ? "certificate refused" : std::string{text.substr(0, last + 1)};
}

// The wanted use, in the form GnuTLS takes it.
class ServerUse {
  public:
    ServerUse() noexcept {
        data_.type = GNUTLS_DT_KEY_PURPOSE_OID;
        data_.data = reinterpret_cast<unsigned char*>(oid_.data());
    }

    ServerUse(const ServerUse&) = delete;
    ServerUse& operator=(const ServerUse&) = delete;

    [[nodiscard]] gnutls_typed_vdata_st* get() noexcept { return &data_; }

  private:
    std::array<char, sizeof GNUTLS_KP_TLS_WWW_SERVER> oid_{std::to_array(GNUTLS_KP_TLS_WWW_SERVER)};
    gnutls_typed_vdata_st data_{};
};

Verdict check_path(gnutls_session_t session) {
    ServerUse use;
    unsigned status = 0;
    const int result = gnutls_certificate_verify_peers(session, use.get(), 1, &status);
    if (result < 0) {
        return refuse(gnutls_strerror(result));
    }
    return status == 0 ? Verdict{true, {}} : refuse(describe(status), refusal_of(status));
}

// What of check_path() does not depend on who signed.
Verdict check_pinned_leaf(const Certificate& leaf) {
    const std::time_t now = std::time(nullptr);
    if (gnutls_x509_crt_get_activation_time(leaf.get()) > now) {
        return refuse("The pinned certificate is not yet valid", Refusal::not_yet_valid);
    }
    if (gnutls_x509_crt_get_expiration_time(leaf.get()) < now) {
        return refuse("The pinned certificate has expired", Refusal::expired);
    }
    if (gnutls_x509_crt_check_key_purpose(leaf.get(), GNUTLS_KP_TLS_WWW_SERVER, 0) == 0) {
        return refuse("The pinned certificate is not for servers");
    }
    unsigned bits = 0;
    const int algorithm = gnutls_x509_crt_get_pk_algorithm(leaf.get(), &bits);
    if (algorithm < 0 ||
        bits < gnutls_sec_param_to_pk_bits(static_cast<gnutls_pk_algorithm_t>(algorithm),
                                           GNUTLS_SEC_PARAM_MEDIUM)) {
        return refuse("The pinned certificate has a weak key");
    }
    return {true, {}};
}

Names alternative_names(const Certificate& leaf) noexcept {
    gnutls_datum_t extension{};
    if (gnutls_x509_crt_get_extension_by_oid2(leaf.get(), GNUTLS_X509EXT_OID_SAN, 0, &extension,
                                              nullptr) < 0) {
        return nullptr;
    }
    const Text owner{extension.data};
    gnutls_subject_alt_names_t raw = nullptr;
    if (gnutls_subject_alt_names_init(&raw) < 0) {
        return nullptr;
    }
    Names names{raw};
    if (gnutls_x509_ext_import_subject_alt_names(&extension, raw, 0) < 0) {
        return nullptr;
    }
    return names;
}

// GnuTLS's own name check falls back to the common name when a certificate has no name of the
// wanted type (G9), so it is not used.
bool is_named(const Certificate& leaf, const Identity& identity) noexcept {
    const Names names = alternative_names(leaf);
    if (names == nullptr) {
        return false;
    }
    for (unsigned i = 0;; ++i) {
        unsigned type = 0;
        gnutls_datum_t name{};
        if (gnutls_subject_alt_names_get(names.get(), i, &type, &name, nullptr) < 0) {
            return false;
        }
        if (identity.is_ip()) {
            if (type == GNUTLS_SAN_IPADDRESS &&
                std::equal(identity.ip().begin(), identity.ip().end(), name.data,
                           name.data + name.size)) {
                return true;
            }
        } else if (type == GNUTLS_SAN_DNSNAME &&
                   covers({reinterpret_cast<const char*>(name.data), name.size}, identity.name())) {
            return true;
        }
    }
}

/// A name as a certificate has it, fit for a log and for a client's eyes: it is whatever the peer
/// wrote, so it is cut short, and what is not printable becomes \DDD (L11).
std::string in_print(std::string_view name) {
    std::string text;
    for (const char c : name.substr(0, shown_name_max)) {
        const auto octet = static_cast<unsigned char>(c);
        if (octet > 0x20 && octet < 0x7f && c != '\\') {
            text += c;
        } else {
            text += '\\';
            for (const unsigned digit : {octet / 100U, octet / 10U % 10U, octet % 10U}) {
                text += static_cast<char>('0' + digit);
            }
        }
    }
    return name.size() > shown_name_max ? text + "..." : text;
}

std::string address_in_print(const gnutls_datum_t& octets) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const int family = octets.size == 4 ? AF_INET : AF_INET6;
    if ((octets.size != 4 && octets.size != 16) ||
        ::inet_ntop(family, octets.data, text.data(), text.size()) == nullptr) {
        return "an address that is none";
    }
    return text.data();
}

/// Whom a certificate names, as the end of a sentence: the first few of its names.
std::string whom_it_names(const Certificate& leaf) {
    const Names names = alternative_names(leaf);
    std::string text;
    unsigned count = 0;
    unsigned type = 0;
    gnutls_datum_t name{};
    for (unsigned i = 0; names != nullptr &&
                         gnutls_subject_alt_names_get(names.get(), i, &type, &name, nullptr) >= 0;
         ++i) {
        if ((type != GNUTLS_SAN_DNSNAME && type != GNUTLS_SAN_IPADDRESS) ||
            ++count > shown_names_max) {
            continue;
        }
        text += count == 1 ? "" : ", ";
        text += type == GNUTLS_SAN_IPADDRESS
                    ? address_in_print(name)
                    : in_print({reinterpret_cast<const char*>(name.data), name.size});
    }
    if (count == 0) {
        return "nobody: it has no subjectAltName for a server";
    }
    return count > shown_names_max ? text + ", ... (" + std::to_string(count) + " names in all)"
                                   : text;
}

bool signs(const Certificate& issuer, const Certificate& subject) noexcept {
    if (gnutls_x509_crt_check_issuer(subject.get(), issuer.get()) == 0) {
        return false;
    }
    gnutls_x509_crt_t anchor = issuer.get();
    unsigned status = GNUTLS_CERT_INVALID;
    return gnutls_x509_crt_verify(subject.get(), &anchor, 1, verify_flags, &status) == 0 &&
           status == 0;
}

Certificate find_anchor(gnutls_x509_trust_list_t trust, const Certificate& subject) noexcept {
    gnutls_x509_crt_t raw = nullptr;
    if (gnutls_x509_trust_list_get_issuer(trust, subject.get(), &raw, GNUTLS_TL_GET_COPY) < 0) {
        return nullptr;
    }
    Certificate anchor{raw};
    return signs(anchor, subject) ? std::move(anchor) : nullptr;
}

bool is_valid_path(gnutls_x509_trust_list_t trust, std::vector<Certificate>& path) {
    std::vector<gnutls_x509_crt_t> raw;
    raw.reserve(path.size());
    for (const Certificate& certificate : path) {
        raw.push_back(certificate.get());
    }
    ServerUse use;
    unsigned status = GNUTLS_CERT_INVALID;
    return gnutls_x509_trust_list_verify_crt2(trust, raw.data(), static_cast<unsigned>(raw.size()),
                                              use.get(), 1, verify_flags, &status, nullptr) == 0 &&
           status == 0;
}

// Builds the path from the leaf to an anchor link by link, each signature checked, and has it
// verified as a whole: nothing gets into it only because it was presented (G11, G21).
bool is_pinned_path(gnutls_x509_trust_list_t trust, std::span<const gnutls_datum_t> presented,
                    const std::vector<SpkiPin>& pins) {
    std::vector<Certificate> pool;
    for (const gnutls_datum_t& der : presented) {
        if (Certificate certificate = import(der)) {
            pool.push_back(std::move(certificate));
        }
    }
    if (pool.size() != presented.size()) {
        return false;
    }
    std::vector<Certificate> path;
    path.push_back(std::move(pool.front()));
    pool.erase(pool.begin());
    for (;;) {
        if (const Certificate anchor = find_anchor(trust, path.back())) {
            const bool pinned = is_pinned(anchor, pins) ||
                                std::any_of(path.begin(), path.end(), [&](const Certificate& c) {
                                    return is_pinned(c, pins);
                                });
            return pinned && is_valid_path(trust, path);
        }
        const auto issuer = std::find_if(
            pool.begin(), pool.end(), [&](const Certificate& c) { return signs(c, path.back()); });
        if (issuer == pool.end()) {
            return false;
        }
        path.push_back(std::move(*issuer));
        pool.erase(issuer);
    }
}

Verdict check(gnutls_session_t session, const ClientContext& context, const Identity& identity) {
    unsigned count = 0;
    const gnutls_datum_t* peers = gnutls_certificate_get_peers(session, &count);
    if (gnutls_certificate_type_get2(session, GNUTLS_CTYPE_SERVER) != GNUTLS_CRT_X509 ||
        peers == nullptr || count == 0) {
        return refuse("The peer has no certificate");
    }
    if (count > chain_length_max) {
        return refuse("The certificate chain is too long");
    }
    const std::span presented{peers, count};
    const Certificate leaf = import(presented.front());
    if (leaf == nullptr) {
        return refuse("The certificate cannot be read");
    }
    const bool leaf_pinned = is_pinned(leaf, identity.pins());
    if (identity.name().empty() && leaf_pinned) {
        return check_pinned_leaf(leaf);
    }
    Verdict verdict = check_path(session);
    if (!verdict.trusted) {
        return verdict;
    }
    if (!identity.name().empty() && !is_named(leaf, identity)) {
        return refuse("The certificate is not for " + identity.name() + " but for " +
                          whom_it_names(leaf),
                      Refusal::name);
    }
    if (!identity.pins().empty() && !leaf_pinned &&
        !is_pinned_path(context.trust(), presented, identity.pins())) {
        return refuse("No key of the certificate chain is pinned", Refusal::pin);
    }
    return {true, {}};
}

} // namespace

Verdict verify_peer(gnutls_session_t session, const ClientContext& context,
                    const Identity& identity) noexcept {
    try {
        return check(session, context, identity);
    } catch (const std::bad_alloc&) {
        return {false, "out of memory"}; // short enough to need none
    }
}

bool covers(std::string_view pattern, std::string_view name) noexcept {
    if (pattern.starts_with("*.")) {
        const std::size_t dot = name.find('.');
        if (dot == 0 || dot == name.npos || pattern.find('.', 2) == pattern.npos) {
            return false;
        }
        pattern.remove_prefix(1);
        name.remove_prefix(dot);
    }
    return std::equal(pattern.begin(), pattern.end(), name.begin(), name.end(), [](char a, char b) {
        return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
    });
}

} // namespace dotproxy::tls
