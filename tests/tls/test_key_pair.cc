// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Which certificates and keys are taken, what is said of those that are not (E3), and what the
// administrator is told of those that are (E4).

#include "tls/key_pair.hh"

#include "tls/pki.hh"
#include "unit.hh"

#include <ctime>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

using namespace dotproxy::tls;
using namespace dotproxy::tls::test;

namespace {

using std::chrono::hours;
constexpr hours day{24};

struct Authority {
    Certificate root{issue({.common_name = "root", .authority = true})};
    Certificate below{issue({.common_name = "below", .authority = true}, &root)};
};

const Authority& authority() {
    static const Authority made;
    return made;
}

/// What is wrong with the two; "good".
std::string judge(const std::string& chain, const std::string& key) {
    const TemporaryFile chain_file{chain};
    const TemporaryFile key_file{key};
    try {
        static_cast<void>(KeyPair::load(chain_file.path(), key_file.path()));
        return "good";
    } catch (const KeyPairError& error) {
        const bool of_key = error.file() == KeyPairError::File::key;
        const std::string front = (of_key ? key_file : chain_file).path() + ": ";
        const std::string what = error.what();
        if (!what.starts_with(front)) {
            fail_msg("%s", what.c_str());
        }
        return (of_key ? "key: " : "chain: ") + what.substr(front.size());
    }
}

std::string judge(const Certificate& certificate) {
    return judge(certificate.pem() + authority().below.pem(), certificate.key_pem());
}

CertificateFacts facts_of(const Request& request, bool whole = true) {
    const Certificate leaf = issue(request, &authority().below);
    const TemporaryFile chain{leaf.pem() + (whole ? authority().below.pem() : "")};
    const TemporaryFile key{leaf.key_pem()};
    CertificateFacts facts = KeyPair::load(chain.path(), key.path()).facts();
    facts.path = "chain.pem";
    return facts;
}

void assert_begins(const std::string& text, const char* begin) {
    if (!text.starts_with(begin)) {
        fail_msg("%s is not %s", text.c_str(), begin);
    }
}

void test_good_pairs_are_taken(void** /*state*/) {
    for (const Key key : {Key::p256, Key::rsa_2048}) {
        const Certificate leaf = issue({.dns = {"dot.example"}, .key = key}, &authority().below);
        assert_string_equal(judge(leaf).c_str(), "good");
        // In any order, with the root, alone.
        assert_string_equal(
            judge(leaf.pem() + authority().root.pem() + authority().below.pem(), leaf.key_pem())
                .c_str(),
            "good");
        assert_string_equal(judge(leaf.pem(), leaf.key_pem()).c_str(), "good");
        // Both in one file, as some tools write them.
        const std::string both = leaf.key_pem() + leaf.pem();
        assert_string_equal(judge(both, both).c_str(), "good");
    }
    const Certificate own = issue({.ips = {"192.0.2.1"}});
    assert_string_equal(judge(own.pem(), own.key_pem()).c_str(), "good");
    const Certificate any = issue({.dns = {"dot.example"}, .purpose = nullptr}, &authority().below);
    assert_string_equal(judge(any).c_str(), "good");
}

// E3
void test_chain_that_clients_refuse_is_refused(void** /*state*/) {
    const auto with = [](Request request) {
        if (request.dns.empty() && request.common_name == "test") {
            request.dns = {"dot.example"};
        }
        return judge(issue(request, &authority().below));
    };
    assert_begins(with({.common_name = "dot.example"}),
                  "chain: the certificate has no subject alternative name");
    assert_begins(with({.purpose = GNUTLS_KP_TLS_WWW_CLIENT}),
                  "chain: the certificate is not one for servers");
    assert_begins(with({.key = Key::rsa_1024}), "chain: the key is RSA of 1024 bits");
    assert_begins(with({.digest = GNUTLS_DIG_SHA1}),
                  "chain: certificate 1 is signed with ECDSA-SHA1");
}

// E3
void test_chain_that_is_none_is_refused(void** /*state*/) {
    const Certificate leaf = issue({.dns = {"dot.example"}}, &authority().below);
    const Certificate other = issue({.dns = {"other.example"}}, &authority().root);
    assert_begins(judge("", leaf.key_pem()), "chain: no certificate in it");
    assert_begins(judge("text\n", leaf.key_pem()), "chain: no certificate in it");
    assert_begins(judge(leaf.key_pem(), leaf.key_pem()), "chain: no certificate in it");
    assert_begins(judge(leaf.pem() + other.pem(), leaf.key_pem()),
                  "chain: its certificates are no chain");
}

// E3
void test_key_that_is_of_no_use_is_refused(void** /*state*/) {
    const Certificate leaf = issue({.dns = {"dot.example"}}, &authority().below);
    const Certificate renewed = issue({.dns = {"dot.example"}}, &authority().below);
    assert_begins(judge(leaf.pem(), ""), "key: no private key in it");
    assert_begins(judge(leaf.pem(), leaf.pem()), "key: no private key in it");
    assert_begins(judge(leaf.pem(), renewed.key_pem()), "key: is the key of another certificate");
    gnutls_datum_t sealed{};
    must(gnutls_x509_privkey_export2_pkcs8(leaf.key(), GNUTLS_X509_FMT_PEM, "secret",
                                           GNUTLS_PKCS_PBES2_AES_256, &sealed),
         "encrypted key");
    const std::string text{reinterpret_cast<const char*>(sealed.data), sealed.size};
    gnutls_free(sealed.data);
    assert_begins(judge(leaf.pem(), text), "key: the key is encrypted");
}

// E3
void test_files_that_cannot_be_used_are_refused(void** /*state*/) {
    const Certificate leaf = issue({.dns = {"dot.example"}}, &authority().below);
    const TemporaryFile chain{leaf.pem()};
    const TemporaryFile key{leaf.key_pem()};
    const auto failure_of = [](const std::string& chain_path, const std::string& key_path) {
        try {
            static_cast<void>(KeyPair::load(chain_path, key_path));
            return std::string{"good"};
        } catch (const KeyPairError& error) {
            assert_false(error.denied());
            return std::string{error.what()};
        }
    };
    assert_string_equal(failure_of("/nonexistent.pem", key.path()).c_str(),
                        "/nonexistent.pem: No such file or directory");
    assert_string_equal(failure_of("/", key.path()).c_str(),
                        "/: is not a regular file; give one in PEM");
    assert_int_equal(::chmod(key.path().c_str(), 0644), 0);
    assert_string_equal(failure_of(chain.path(), key.path()).c_str(),
                        (key.path() + ": may be read by everybody; give it mode 0640 and the group "
                                      "of the service")
                            .c_str());
    assert_int_equal(::chmod(key.path().c_str(), 0640), 0);
    assert_string_equal(failure_of(chain.path(), key.path()).c_str(), "good");
    const TemporaryFile large{std::string(1U << 19U, 'x')};
    assert_string_equal(failure_of(large.path(), key.path()).c_str(),
                        (large.path() + ": is too large; give one in PEM").c_str());
}

void test_facts_are_what_the_certificate_says(void** /*state*/) {
    const CertificateFacts facts =
        facts_of({.dns = {"DOT.example", "*.dot.example"}, .ips = {"192.0.2.1", "2001:db8::1"}});
    assert_string_equal(facts.names.at(0).c_str(), "dot.example");
    assert_string_equal(facts.names.at(1).c_str(), "*.dot.example");
    assert_true(facts.addresses.at(0) ==
                dotproxy::AddressBits::of(*dotproxy::Address::parse("192.0.2.1", 0)));
    assert_true(facts.addresses.at(1) ==
                dotproxy::AddressBits::of(*dotproxy::Address::parse("2001:db8::1", 853)));
    assert_begins(facts.text(),
                  "dot.example, *.dot.example, 192.0.2.1, 2001:db8::1 (ECDSA 256), until 20");
    assert_string_equal(facts_of({.dns = {"dot.example"}, .key = Key::rsa_2048}).key_type().c_str(),
                        "RSA 2048");
    assert_true(facts.until > std::time(nullptr) && facts.from < std::time(nullptr));
}

// E4
void test_time_that_is_left_is_warned_of(void** /*state*/) {
    const std::time_t now = std::time(nullptr);
    const auto warning = [now](std::chrono::seconds from, std::chrono::seconds until) {
        const auto lines =
            facts_of({.dns = {"dot.example"}, .from = from, .until = until}).warnings(now);
        return lines.empty() ? std::string{} : lines.front();
    };
    assert_string_equal(warning(-day, day).c_str(), "");
    assert_string_equal(warning(-60 * day, 31 * day).c_str(), "");
    assert_begins(warning(-62 * day, 28 * day + hours{1}), "chain.pem: ends within 29 days, at 20");
    assert_begins(warning(-2 * day, -day), "chain.pem: has expired at 20");
    assert_begins(warning(day, 2 * day), "chain.pem: is not valid before 20");
}

// E4
void test_what_some_clients_refuse_is_warned_of(void** /*state*/) {
    const std::time_t now = std::time(nullptr);
    const Request plain{.dns = {"dot.example"}};
    assert_int_equal(facts_of(plain).warnings(now).size(), 0);
    const auto alone = facts_of(plain, false).warnings(now);
    assert_int_equal(alone.size(), 1);
    assert_begins(alone.front(), "chain.pem: has no certificate of who issued it");
    const auto staple = facts_of({.dns = {"dot.example"}, .must_staple = true}).warnings(now);
    assert_int_equal(staple.size(), 1);
    assert_begins(staple.front(), "chain.pem: asks for a stapled OCSP response");
    const Certificate own = issue(plain);
    const TemporaryFile chain{own.pem()};
    const TemporaryFile key{own.key_pem()};
    assert_int_equal(KeyPair::load(chain.path(), key.path()).facts().warnings(now).size(), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_good_pairs_are_taken),
        cmocka_unit_test(test_chain_that_clients_refuse_is_refused),
        cmocka_unit_test(test_chain_that_is_none_is_refused),
        cmocka_unit_test(test_key_that_is_of_no_use_is_refused),
        cmocka_unit_test(test_files_that_cannot_be_used_are_refused),
        cmocka_unit_test(test_facts_are_what_the_certificate_says),
        cmocka_unit_test(test_time_that_is_left_is_warned_of),
        cmocka_unit_test(test_what_some_clients_refuse_is_warned_of),
    };
    return cmocka_run_group_tests_name("tls/key_pair", tests, nullptr, nullptr);
}
