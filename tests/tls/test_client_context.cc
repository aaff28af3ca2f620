// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What all sessions share: loading the trust anchors, and the protocol policy as peers see it.

#include "tls/client_context.hh"

#include "tls/peer.hh"
#include "unit.hh"

#include <algorithm>
#include <stdexcept>
#include <string>

using namespace dotproxy::tls;
using namespace dotproxy::tls::test;

namespace {

std::string failure_of(const std::string& path) {
    try {
        const ClientContext context{path};
        return "loaded";
    } catch (const std::runtime_error& error) {
        return error.what();
    }
}

void test_load_of_missing_file_names_file_and_cause(void** /*state*/) {
    assert_string_equal(failure_of("/nonexistent/ca.pem").c_str(),
                        "/nonexistent/ca.pem: No such file or directory");
    assert_string_equal(failure_of("/").c_str(), "/: Is a directory");
}

void test_load_without_certificate_says_so(void** /*state*/) {
    const TemporaryFile empty{""};
    assert_string_equal(failure_of(empty.path()).c_str(),
                        (empty.path() + ": no certificate in it").c_str());
    const TemporaryFile text{"not a certificate\n"};
    assert_string_equal(failure_of(text.path()).c_str(),
                        (text.path() + ": no certificate in it").c_str());
}

// It is named by its number and its line, among others, comments and keys.
void test_load_of_damaged_certificate_names_it(void** /*state*/) {
    const std::string good = issue({.common_name = "ca", .authority = true}).pem();
    std::string bad = good;
    bad.replace(bad.size() / 2, 8, "????????");
    const std::string front =
        "# an authority\n" + good + "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n";
    for (const auto& damaged : {bad, good.substr(0, good.size() / 2) + '\n'}) {
        const TemporaryFile file{front + damaged + good};
        const auto line = 1 + std::count(front.begin(), front.end(), '\n');
        const std::string expected = file.path() + ": certificate 2, which begins in line " +
                                     std::to_string(line) + ", is broken: ";
        const std::string failure = failure_of(file.path());
        if (!failure.starts_with(expected)) {
            fail_msg("%s", failure.c_str());
        }
    }
}

void test_load_of_binary_form_says_so(void** /*state*/) {
    const Certificate ca = issue({.common_name = "ca", .authority = true});
    gnutls_datum_t der{};
    assert_int_equal(gnutls_x509_crt_export2(ca.crt(), GNUTLS_X509_FMT_DER, &der), 0);
    const TemporaryFile file{{reinterpret_cast<const char*>(der.data), der.size}};
    gnutls_free(der.data);
    assert_string_equal(failure_of(file.path()).c_str(),
                        (file.path() + ": no certificate in it, or in DER, which openssl x509 "
                                       "makes PEM of")
                            .c_str());
}

void test_load_of_good_file_gives_trust_and_policy(void** /*state*/) {
    const TemporaryFile file{issue({.common_name = "ca", .authority = true}).pem()};
    const ClientContext context{file.path()};
    assert_non_null(context.credentials());
    assert_non_null(context.priority());
    assert_non_null(context.trust());
}

// C69: whatever the distribution's default is, this is not in it.
void test_policy_lists_nothing_that_is_out_of_date(void** /*state*/) {
    const TemporaryFile file{issue({.common_name = "ca", .authority = true}).pem()};
    const ClientContext context{file.path()};
    const unsigned* list = nullptr;
    int count = gnutls_priority_protocol_list(context.priority(), &list);
    assert_true(count > 0);
    assert_true(std::all_of(list, list + count, [](unsigned version) {
        return version == GNUTLS_TLS1_3 || version == GNUTLS_TLS1_2;
    }));
    count = gnutls_priority_kx_list(context.priority(), &list);
    assert_true(count > 0);
    assert_true(std::all_of(list, list + count, [](unsigned exchange) {
        return exchange == GNUTLS_KX_ECDHE_RSA || exchange == GNUTLS_KX_ECDHE_ECDSA;
    }));
    count = gnutls_priority_mac_list(context.priority(), &list);
    assert_true(count > 0);
    assert_true(
        std::all_of(list, list + count, [](unsigned mac) { return mac == GNUTLS_MAC_AEAD; }));
    count = gnutls_priority_group_list(context.priority(), &list);
    assert_int_equal(count, 3);
    assert_int_equal(list[0], GNUTLS_GROUP_X25519);
    count = gnutls_priority_sign_list(context.priority(), &list);
    assert_true(count > 0);
    assert_true(std::all_of(list, list + count, [](unsigned sign) {
        return gnutls_sign_is_secure(static_cast<gnutls_sign_algorithm_t>(sign)) != 0;
    }));
}

// A server that is good but for its priority.
class PolicyTest {
  public:
    // Why the stream refuses a server of this priority; "" when it does not.
    std::string refusal(const char* priority) {
        const auto identity = Identity::make("dns.good.example", {});
        Tickets tickets;
        Client client{context_, *identity, tickets};
        Server server{service_, priority};
        carry(client, server);
        if (!client.stream.ready()) {
            assert_false(server.shaken);
            assert_int_equal(client.stream.failure(), Failure::protocol);
        }
        return client.stream.reason();
    }

    [[nodiscard]] const Service& service() const noexcept { return service_; }

  private:
    Certificate ca_{issue({.common_name = "ca", .authority = true})};
    Certificate leaf_{issue({.dns = {"dns.good.example"}, .key = Key::rsa_2048}, &ca_)};
    TemporaryFile file_{ca_.pem()};
    ClientContext context_{file_.path()};
    Service service_{{&leaf_}, leaf_};
};

void test_server_of_tls_1_2_and_1_3_is_accepted(void** /*state*/) {
    PolicyTest test;
    for (const char* priority : {"NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2",
                                 "NORMAL:-GROUP-ALL:+GROUP-SECP384R1"}) {
        assert_string_equal(test.refusal(priority).c_str(), "");
    }
}

// C69, C64
void test_server_of_what_is_out_of_date_is_refused(void** /*state*/) {
    PolicyTest test;
    for (const char* priority : {
             "NORMAL:-VERS-ALL:+VERS-TLS1.1",
             "NORMAL:-VERS-ALL:+VERS-TLS1.0",
             "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-CBC",
             "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+3DES-CBC",
             "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA",
             "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-RSA",
             "NORMAL:-VERS-ALL:+VERS-TLS1.2:-SIGN-ALL:+SIGN-RSA-SHA1",
             "NORMAL:-GROUP-ALL:+GROUP-FFDHE2048",
         }) {
        if (!shakes_without_policy(test.service(), priority)) {
            fail_msg("%s is no server that would work", priority);
        }
        assert_string_not_equal(test.refusal(priority).c_str(), "");
    }
}

void test_library_version_is_a_number(void** /*state*/) {
    assert_true(library_version()[0] >= '3' && library_version()[0] <= '9');
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_load_of_missing_file_names_file_and_cause),
        cmocka_unit_test(test_load_without_certificate_says_so),
        cmocka_unit_test(test_load_of_damaged_certificate_names_it),
        cmocka_unit_test(test_load_of_binary_form_says_so),
        cmocka_unit_test(test_load_of_good_file_gives_trust_and_policy),
        cmocka_unit_test(test_policy_lists_nothing_that_is_out_of_date),
        cmocka_unit_test(test_server_of_tls_1_2_and_1_3_is_accepted),
        cmocka_unit_test(test_server_of_what_is_out_of_date_is_refused),
        cmocka_unit_test(test_library_version_is_a_number),
    };
    return cmocka_run_group_tests_name("tls/client_context", tests, nullptr, nullptr);
}
