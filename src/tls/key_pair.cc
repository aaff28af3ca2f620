// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "tls/key_pair.hh"

#include "base/fd.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <gnutls/x509-ext.h>
#include <netinet/in.h>
#include <optional>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace dotproxy::tls {

namespace {

using File = KeyPairError::File;

constexpr std::size_t most_octets = std::size_t{1} << 18U; // of a file
constexpr std::size_t most_alternative_names = 1000;
constexpr unsigned least_rsa_bits = 2048;
constexpr unsigned status_request = 5; // RFC 7633: what a certificate with must-staple asks for
constexpr std::time_t day = std::time_t{24} * 3600;

constexpr auto right_mode = "; give it mode 0640 and the group of the service";
constexpr auto right_chain = "; give the chain in PEM, the server's own certificate first";

/// Octets of which nothing is left.
class Secret {
  public:
    Secret() : octets_(most_octets + 1, '\0') {}

    Secret(const Secret&) = delete;
    Secret& operator=(const Secret&) = delete;

    ~Secret() { gnutls_memset(octets_.data(), 0, octets_.size()); }

    [[nodiscard]] char* data() noexcept { return octets_.data(); }

    [[nodiscard]] std::size_t room() const noexcept { return octets_.size(); }

    void set_size(std::size_t size) noexcept { size_ = size; }

    [[nodiscard]] std::string_view view() const noexcept {
        return std::string_view{octets_}.substr(0, size_);
    }

  private:
    std::string octets_;
    std::size_t size_{0};
};

[[noreturn]] void refuse_errno(File file, const std::string& path) {
    const int error = errno;
    throw KeyPairError{file, path + ": " + std::generic_category().message(error),
                       error == EACCES || error == EPERM};
}

void read_file(File file, const std::string& path, Secret& text) {
    const Fd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};

    struct stat status {};

    if (!fd || ::fstat(fd.get(), &status) != 0) {
        refuse_errno(file, path);
    }
    if (!S_ISREG(status.st_mode)) {
        throw KeyPairError{file, path + ": is not a regular file; give one in PEM"};
    }
    if (file == File::key && (status.st_mode & (S_IROTH | S_IWOTH)) != 0) {
        throw KeyPairError{file, path + ": may be read by everybody" + right_mode};
    }
    std::size_t size = 0;
    ssize_t count = 0;
    do {
        count = ::read(fd.get(), text.data() + size, text.room() - size);
        size += count > 0 ? static_cast<std::size_t>(count) : 0;
    } while ((count > 0 && size < text.room()) || (count < 0 && errno == EINTR));
    if (count < 0) {
        refuse_errno(file, path);
    }
    if (size > most_octets) {
        throw KeyPairError{file, path + ": is too large; give one in PEM"};
    }
    text.set_size(size);
}

gnutls_datum_t datum_of(std::string_view text) noexcept {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): GnuTLS only reads it
    auto* const octets = reinterpret_cast<unsigned char*>(const_cast<char*>(text.data()));
    return {octets, static_cast<unsigned>(text.size())};
}

void require(int result, const std::string& what) {
    if (result < 0) {
        throw KeyPairError{File::chain, what + ": " + gnutls_strerror(result)};
    }
}

std::string in_lower_case(std::string_view name) {
    std::string lower{name};
    std::ranges::transform(lower, lower.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return lower;
}

std::optional<Address> address_of(const gnutls_datum_t& octets) {
    if (octets.size == sizeof(in_addr)) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        std::memcpy(&v4.sin_addr, octets.data, sizeof v4.sin_addr);
        return Address{v4};
    }
    if (octets.size == sizeof(in6_addr)) {
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        std::memcpy(&v6.sin6_addr, octets.data, sizeof v6.sin6_addr);
        return Address{v6};
    }
    return std::nullopt;
}

std::string days_text(std::time_t days) {
    return days == 1 ? "a day" : std::to_string(days) + " days";
}

std::string time_text(std::time_t time) {
    std::tm parts{};
    ::gmtime_r(&time, &parts);
    std::array<char, 32> text{};
    const std::size_t size =
        std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
    return {text.data(), size};
}

} // namespace

std::string CertificateFacts::key_type() const {
    const std::string size = " " + std::to_string(bits);
    switch (algorithm) {
    case GNUTLS_PK_ECDSA:
        return "ECDSA" + size;
    case GNUTLS_PK_RSA:
        return "RSA" + size;
    default:
        return gnutls_pk_get_name(algorithm);
    }
}

std::string CertificateFacts::text() const {
    std::string line;
    for (const auto* list : {&names, &literals}) {
        for (const std::string& name : *list) {
            line += (line.empty() ? "" : ", ") + name;
        }
    }
    return line + " (" + key_type() + ")" + ", until " + time_text(until);
}

std::vector<std::string> CertificateFacts::warnings(std::time_t now) const {
    std::vector<std::string> lines;
    if (now >= until) {
        lines.push_back(path + ": has expired at " + time_text(until) + "; renew it");
    } else if (now < from) {
        lines.push_back(path + ": is not valid before " + time_text(from) +
                        "; if that is past, set this machine's clock");
    } else if (until - now < (until - from) / 3) {
        lines.push_back(path + ": ends within " + days_text((until - now + day - 1) / day) +
                        ", at " + time_text(until) + "; see whether it is being renewed");
    }
    for (const std::string& peculiarity : peculiarities) {
        lines.push_back(path + ": " + peculiarity);
    }
    return lines;
}

KeyPair KeyPair::load(const std::string& chain_path, const std::string& key_path) {
    KeyPair pair;
    pair.facts_.path = chain_path;
    Secret text;
    read_file(File::chain, chain_path, text);
    pair.import_chain(text.view());
    pair.read_names();
    pair.read_facts();
    pair.check_leaf();
    pair.check_signatures();
    read_file(File::key, key_path, text);
    pair.import_key(key_path, text.view());
    pair.check_match(key_path);
    return pair;
}

void KeyPair::refuse_chain(const std::string& what) const {
    throw KeyPairError{File::chain, facts_.path + ": " + what};
}

void KeyPair::import_chain(std::string_view text) {
    const std::size_t count = import_list(text, 0).size();
    owned_ = import_list(text, GNUTLS_X509_CRT_LIST_SORT);
    // What does not belong to the first one has been left out.
    if (owned_.empty() || owned_.size() != count) {
        refuse_chain("its certificates are no chain; give the server's own first, then that of who "
                     "signed it, and so on");
    }
    for (const auto& one : owned_) {
        raw_.push_back(one.get());
    }
}

/// The certificates in a text; none where they cannot be sorted.
std::vector<KeyPair::OwnedCertificate> KeyPair::import_list(std::string_view text,
                                                            unsigned flags) const {
    const gnutls_datum_t pem = datum_of(text);
    gnutls_x509_crt_t* list = nullptr;
    unsigned count = 0;
    const int result =
        gnutls_x509_crt_list_import2(&list, &count, &pem, GNUTLS_X509_FMT_PEM, flags);
    if (result == GNUTLS_E_CERTIFICATE_LIST_UNSORTED) {
        return {};
    }
    if (result == GNUTLS_E_NO_CERTIFICATE_FOUND || (result >= 0 && count == 0)) {
        refuse_chain(std::string{"no certificate in it"} + right_chain);
    }
    if (result < 0) {
        refuse_chain(std::string{gnutls_strerror(result)} + right_chain);
    }
    std::vector<OwnedCertificate> owned(list, list + count);
    gnutls_free(list);
    return owned;
}

void KeyPair::read_names() {
    for (unsigned i = 0; i < most_alternative_names; ++i) {
        std::array<char, 512> name{};
        std::size_t size = name.size();
        const int type =
            gnutls_x509_crt_get_subject_alt_name(raw_.front(), i, name.data(), &size, nullptr);
        if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) {
            return;
        }
        if (type == GNUTLS_SAN_DNSNAME) {
            facts_.names.push_back(in_lower_case({name.data(), size}));
        } else if (type == GNUTLS_SAN_IPADDRESS) {
            const auto address = address_of(datum_of({name.data(), size}));
            if (address) {
                facts_.addresses.push_back(AddressBits::of(*address));
                facts_.literals.push_back(address->host());
            }
        } // names of other kinds, or too long to be one, are no client's business
    }
}

void KeyPair::read_facts() {
    gnutls_x509_crt_t leaf = raw_.front();
    const int algorithm = gnutls_x509_crt_get_pk_algorithm(leaf, &facts_.bits);
    require(algorithm, facts_.path);
    facts_.algorithm = static_cast<gnutls_pk_algorithm_t>(algorithm);
    facts_.from = gnutls_x509_crt_get_activation_time(leaf);
    facts_.until = gnutls_x509_crt_get_expiration_time(leaf);
    if (raw_.size() == 1 && !is_self_signed()) {
        facts_.peculiarities.emplace_back(
            "has no certificate of who issued it, without which some clients (Android) refuse it "
            "where that is no root; give the whole chain");
    }
    if (must_staple()) {
        facts_.peculiarities.emplace_back(
            "asks for a stapled OCSP response (must-staple), which dotproxy does not send, so that "
            "some clients refuse it; have it issued without");
    }
}

bool KeyPair::is_self_signed() const noexcept {
    return gnutls_x509_crt_check_issuer(raw_.front(), raw_.front()) != 0;
}

bool KeyPair::must_staple() const {
    gnutls_x509_tlsfeatures_t features = nullptr;
    require(gnutls_x509_tlsfeatures_init(&features), facts_.path);
    bool found = false;
    if (gnutls_x509_crt_get_tlsfeatures(raw_.front(), features, 0, nullptr) >= 0) {
        unsigned feature = 0;
        for (unsigned i = 0; gnutls_x509_tlsfeatures_get(features, i, &feature) >= 0; ++i) {
            found = found || feature == status_request;
        }
    }
    gnutls_x509_tlsfeatures_deinit(features);
    return found;
}

void KeyPair::check_leaf() const {
    if (facts_.names.empty() && facts_.addresses.empty()) {
        refuse_chain("the certificate has no subject alternative name that is a DNS name or an IP "
                     "address, and clients look at nothing else; have it issued with one");
    }
    if (gnutls_x509_crt_check_key_purpose(raw_.front(), GNUTLS_KP_TLS_WWW_SERVER, 0) == 0) {
        refuse_chain("the certificate is not one for servers (its extended key usage lacks "
                     "serverAuth), and clients refuse it; have one issued that is");
    }
    unsigned usage = 0;
    if (gnutls_x509_crt_get_key_usage(raw_.front(), &usage, nullptr) >= 0 &&
        (usage & GNUTLS_KEY_DIGITAL_SIGNATURE) == 0) {
        refuse_chain("the certificate's key is not one to sign with (its key usage lacks "
                     "digitalSignature), which each handshake takes; have one issued that is");
    }
    if (facts_.algorithm == GNUTLS_PK_RSA && facts_.bits < least_rsa_bits) {
        refuse_chain("the key is RSA of " + std::to_string(facts_.bits) +
                     " bits, which clients refuse; give one of 2048 at least, or of ECDSA");
    }
}

/// A root's own signature means nothing: whoever trusts it does so without.
void KeyPair::check_signatures() const {
    for (std::size_t i = 0; i < raw_.size(); ++i) {
        const bool root = i > 0 && gnutls_x509_crt_check_issuer(raw_[i], raw_[i]) != 0;
        const int algorithm = gnutls_x509_crt_get_signature_algorithm(raw_[i]);
        if (!root && (algorithm < 0 ||
                      gnutls_sign_is_secure2(static_cast<gnutls_sign_algorithm_t>(algorithm),
                                             GNUTLS_SIGN_FLAG_SECURE_FOR_CERTS) == 0)) {
            const char* const name =
                algorithm < 0
                    ? nullptr
                    : gnutls_sign_get_name(static_cast<gnutls_sign_algorithm_t>(algorithm));
            refuse_chain("certificate " + std::to_string(i + 1) + " is signed with " +
                         (name != nullptr ? name : "something unknown") +
                         ", which clients refuse; have it issued with SHA-256");
        }
    }
}

void KeyPair::import_key(const std::string& path, std::string_view text) {
    gnutls_x509_privkey_t key = nullptr;
    require(gnutls_x509_privkey_init(&key), path);
    key_.reset(key);
    const gnutls_datum_t pem = datum_of(text);
    const int result =
        gnutls_x509_privkey_import2(key, &pem, GNUTLS_X509_FMT_PEM, nullptr, GNUTLS_PKCS_PLAIN);
    if (result >= 0) {
        return;
    }
    if (text.find("ENCRYPTED") != std::string_view::npos) {
        throw KeyPairError{File::key, path + ": the key is encrypted, and nobody is there to be "
                                             "asked; take the passphrase off, as \"openssl pkey "
                                             "-in OLD -out NEW\" does"};
    }
    if (text.find("PRIVATE KEY") == std::string_view::npos) {
        throw KeyPairError{File::key, path + ": no private key in it; give one in PEM"};
    }
    throw KeyPairError{File::key, path + ": " + gnutls_strerror(result) + "; give a key in PEM"};
}

void KeyPair::check_match(const std::string& key_path) const {
    std::array<std::array<unsigned char, 64>, 2> ids{};
    std::size_t size = ids[0].size();
    require(gnutls_x509_crt_get_key_id(raw_.front(), GNUTLS_KEYID_USE_SHA256, ids[0].data(), &size),
            facts_.path);
    size = ids[1].size();
    require(
        gnutls_x509_privkey_get_key_id(key_.get(), GNUTLS_KEYID_USE_SHA256, ids[1].data(), &size),
        key_path);
    if (ids[0] != ids[1]) {
        throw KeyPairError{File::key, key_path + ": is the key of another certificate than " +
                                          facts_.path +
                                          " has first; give the two that were made together"};
    }
}

} // namespace dotproxy::tls
