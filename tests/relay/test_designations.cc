// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Of which encrypted ways who is told (RFC 9462; E100 to E103).

#include "relay/designations.hh"

#include "dns/messages.hh"
#include "dns/name_text.hh"
#include "relay/mailbox.hh"
#include "unit.hh"

#include <string>
#include <vector>

using dotproxy::Address;
using dotproxy::Client;
using dotproxy::Designations;
using dotproxy::ListenConfig;
using dotproxy::dns::Question;
using dotproxy::test::Mailbox;
using dotproxy::tls::CertificateFacts;
namespace type = dotproxy::dns::type;
namespace klass = dotproxy::dns::klass;

namespace {

const std::vector<CertificateFacts> certificate{
    {.path = "", .names = {"*.example", "dot.example"}, .literals = {"192.0.2.2", "2001:db8::2"}}};

Question question(std::string_view name = "_dns.resolver.arpa", std::uint16_t rtype = type::svcb,
                  std::uint16_t rclass = klass::in) {
    Question asked;
    asked.name = *dotproxy::dns::parse_name(name);
    asked.type = rtype;
    asked.klass = rclass;
    return asked;
}

ListenConfig listener(const std::string& host, std::uint16_t port, bool dot, bool doh) {
    ListenConfig listen;
    listen.address = *Address::parse(host, port);
    listen.udp = listen.tcp = false;
    listen.dot = dot;
    listen.doh = doh;
    return listen;
}

std::string octet(std::size_t value) {
    constexpr std::string_view digits = "0123456789abcdef";
    return {digits[value >> 4U & 15U], digits[value & 15U]};
}

std::string hex(dotproxy::dns::Octets octets) {
    std::string text;
    for (const std::uint8_t one : octets) {
        text += octet(one);
    }
    return text;
}

/// The records of what is said to who asks there, in hexadecimal with a mark behind how many there
/// are; empty: nothing.
std::string said(const Designations& designations, const std::string& host = "192.0.2.2",
                 const Question& asked = question(), bool encrypted = false) {
    Mailbox front;
    front.asked = Address::parse(host, 53);
    Client client;
    client.front = &front;
    client.encrypted = encrypted;
    const auto answer = designations.find(client, asked);
    return answer ? std::to_string(answer->answers) + "+" + std::to_string(answer->additionals) +
                        ":" + hex(answer->records)
                  : "";
}

const std::string target = "03646f74076578616d706c6500"; // dot.example
const std::string address = "c0000202";

std::string dot_record(const std::string& rank, const std::string& port = "") {
    const std::string rdata = rank + target +
                              "0001"
                              "0004"
                              "03646f74" +
                              port + "00040004" + address;
    return "c00c"
           "0040"
           "0001"
           "0000012c"
           "00" +
           octet(rdata.size() / 2) + rdata;
}

// The octets of RFC 9460, section 2.2: a rank, the target, keys that ascend; and the target's
// address beside them.
void test_dot_then_a_binding_and_the_address(void** /*state*/) {
    const Designations found{{listener("192.0.2.2", 853, true, false)}, certificate};
    assert_string_equal(said(found).c_str(), ("1+1:" + dot_record("0001") + target +
                                              "0001"
                                              "0001"
                                              "0000012c"
                                              "0004" +
                                              address)
                                                 .c_str());
}

void test_https_then_first_and_with_its_template(void** /*state*/) {
    ListenConfig https = listener("192.0.2.2", 443, false, true);
    https.path = "/q";
    const Designations found{{listener("192.0.2.2", 853, true, false), https}, certificate};
    const std::string rdata = "0001" + target +
                              "0001"
                              "0003"
                              "026832"
                              "00040004" +
                              address +
                              "0007"
                              "0008"
                              "2f717b3f646e737d"; // "/q{?dns}"
    assert_string_equal(said(found).c_str(),
                        ("2+1:c00c"
                         "0040"
                         "0001"
                         "0000012c"
                         "00" +
                         octet(rdata.size() / 2) + rdata + dot_record("0002") + target +
                         "0001"
                         "0001"
                         "0000012c"
                         "0004" +
                         address)
                            .c_str());
}

void test_unusual_port_then_said(void** /*state*/) {
    const Designations found{{listener("192.0.2.2", 8853, true, false)}, certificate};
    assert_true(said(found).find("00030002"
                                 "2295") != std::string::npos);
}

void test_wildcard_address_then_each_address_of_the_certificate(void** /*state*/) {
    const Designations found{
        {listener("0.0.0.0", 853, true, false), listener("::", 853, true, false)}, certificate};
    assert_false(said(found).empty());
    assert_true(said(found, "2001:db8::2").find("0006001020010db8") != std::string::npos);
    assert_true(said(found, "192.0.2.3").empty());
}

// E101: without the address in the certificate a client that follows loses its resolver.
void test_when_no_certificate_has_the_address_then_nothing(void** /*state*/) {
    const Designations found{{listener("192.0.2.3", 853, true, false)}, certificate};
    assert_true(said(found, "192.0.2.3").empty());
}

// E7: of two certificates for the name GnuTLS picks by what the client can verify.
void test_when_another_certificate_of_the_name_lacks_the_address_then_another_name(
    void** /*state*/) {
    std::vector<CertificateFacts> two = certificate;
    two.push_back({.path = "", .names = {"dot.example"}});
    const std::vector<ListenConfig> listen{listener("192.0.2.2", 853, true, false)};
    assert_true(said(Designations{listen, two}).empty());
    two[0].names.emplace_back("ns.example");
    assert_true(said(Designations{listen, two}).find("026e73076578616d706c6500") !=
                std::string::npos);
}

void test_when_there_is_no_name_then_nothing(void** /*state*/) {
    const std::vector<CertificateFacts> nameless{
        {.path = "", .names = {"*.example"}, .literals = {"192.0.2.2"}}};
    assert_true(said(Designations{{listener("192.0.2.2", 853, true, false)}, nameless}).empty());
}

void test_when_only_proxies_may_come_then_nothing(void** /*state*/) {
    ListenConfig proxied = listener("192.0.2.2", 853, true, false);
    proxied.proxy_protocol = true;
    ListenConfig http = listener("192.0.2.2", 80, false, false);
    http.http = true;
    assert_true(said(Designations{{proxied, http}, certificate}).empty());
}

void test_when_something_else_is_asked_then_nothing(void** /*state*/) {
    const Designations found{{listener("192.0.2.2", 853, true, false)}, certificate};
    assert_true(said(found, "192.0.2.2", question("_dns.resolver.arpa", type::a)).empty());
    assert_true(said(found, "192.0.2.2", question("resolver.arpa")).empty());
    assert_true(said(found, "192.0.2.2", question("_dns.dot.example")).empty());
    assert_true(
        said(found, "192.0.2.2", question("_dns.resolver.arpa", type::svcb, klass::ch)).empty());
    assert_true(said(found, "192.0.2.2", question(), true).empty()); // E100: over TLS already
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_dot_then_a_binding_and_the_address),
        cmocka_unit_test(test_https_then_first_and_with_its_template),
        cmocka_unit_test(test_unusual_port_then_said),
        cmocka_unit_test(test_wildcard_address_then_each_address_of_the_certificate),
        cmocka_unit_test(test_when_no_certificate_has_the_address_then_nothing),
        cmocka_unit_test(
            test_when_another_certificate_of_the_name_lacks_the_address_then_another_name),
        cmocka_unit_test(test_when_there_is_no_name_then_nothing),
        cmocka_unit_test(test_when_only_proxies_may_come_then_nothing),
        cmocka_unit_test(test_when_something_else_is_asked_then_nothing),
    };
    return cmocka_run_group_tests_name("relay/designations", tests, nullptr, nullptr);
}
