// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The certificate matrix (L39, C61 to C66): each kind of certificate x {by name, by pin, by both} x
// {full handshake, resumed with a ticket that was got without any check}. To a server that must be
// refused not one octet of application data gets.

#include "tls/verify.hh"

#include "tls/peer.hh"
#include "unit.hh"

#include <cstring>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

using namespace dotproxy::tls;
using namespace dotproxy::tls::test;

namespace {

constexpr std::chrono::hours day{24};
const char* const host = "dns.good.example";

// The ways an identity can be given, and in which of them a certificate has to be accepted.
enum Way : unsigned { by_name = 1, by_pin = 2, by_both = 4 };

constexpr unsigned never = 0;
constexpr unsigned always = by_name | by_pin | by_both;

// What all cases need. Made once: nothing in it is ever changed.
struct World {
    Certificate root{issue({.common_name = "root", .authority = true})};
    Certificate middle{issue({.common_name = "middle", .authority = true}, &root)};
    Certificate no_authority{issue({.common_name = "no authority"}, &root)};
    Certificate constrained{issue(
        {.common_name = "constrained", .authority = true, .permitted = "other.example"}, &root)};
    Certificate stranger{issue({.common_name = "stranger", .authority = true})};
    Certificate victim{issue({.dns = {host}}, &root)};
    TemporaryFile trust{root.pem()};
    ClientContext context{trust.path()};
};

const World& world() {
    static const World made;
    return made;
}

struct Trial {
    const Service& service;
    const ClientContext& context;
    const Identity& identity;
};

// Connects and tries to get a query through. `resumed`: with a ticket that was got unchecked.
void try_query(const char* what, const Trial& trial, bool resumed, bool accepted) {
    Tickets tickets;
    if (resumed) {
        tickets.put(ticket_without_check(trial.service));
        tickets.put(ticket_without_check(trial.service));
    }
    Client client{trial.context, trial.identity, tickets};
    Server server{trial.service};
    carry(client, server);
    const Io sent = client.stream.send(octets("query"));
    carry(client, server);

    if (client.stream.resumed() != resumed) {
        fail_msg("%s: resumed is %d", what, client.stream.resumed());
    }
    if (client.stream.ready() != accepted || (sent == Io::done) != accepted) {
        fail_msg("%s: %s", what, accepted ? client.stream.reason().c_str() : "was accepted");
    }
    if (accepted) {
        assert_string_equal(server.received.c_str(), "query");
        return;
    }
    if (!server.received.empty()) {
        fail_msg("%s: the server got %zu octets", what, server.received.size());
    }
    assert_int_equal(client.stream.failure(), Failure::untrusted);
    assert_false(client.stream.reason().empty());
    assert_int_equal(server.error, GNUTLS_E_FATAL_ALERT_RECEIVED);
    assert_int_equal(gnutls_alert_get(server.session()), GNUTLS_A_BAD_CERTIFICATE);
    assert_int_equal(tickets.size(), 0); // what is left would fail as well
    print_message("# %s: %s\n", what, client.stream.reason().c_str());
}

void try_ways(const char* what, const Service& service, const char* name, const SpkiPin& pin,
              unsigned accepted) {
    for (const auto& [way, text] :
         {std::pair{by_name, "name"}, std::pair{by_pin, "pin"}, std::pair{by_both, "both"}}) {
        const auto identity =
            Identity::make(way == by_pin ? "" : name,
                           way == by_name ? std::vector<SpkiPin>{} : std::vector<SpkiPin>{{}, pin});
        for (const bool resumed : {false, true}) {
            const std::string title =
                std::string{what} + " by " + text + (resumed ? ", resumed" : ", full");
            try_query(title.c_str(), {service, world().context, *identity}, resumed,
                      (accepted & way) != 0);
        }
    }
}

// A leaf signed by `issuer`; its own key is the pinned one.
void try_leaf(const char* what, const Request& request, const Certificate* issuer, const char* name,
              unsigned accepted) {
    const Certificate leaf = issue(request, issuer);
    std::vector<const Certificate*> chain{&leaf};
    if (issuer != nullptr && issuer != &world().root) {
        chain.push_back(issuer);
    }
    const Service service{chain, leaf};
    try_ways(what, service, name, leaf.pin(), accepted);
}

void test_matrix_of_good_certificates_is_accepted(void** /*state*/) {
    const World& w = world();
    try_leaf("good", {.dns = {"x.example", host}}, &w.root, host, always);
    try_leaf("good, intermediate", {.dns = {host}}, &w.middle, host, always);
    try_leaf("good, RSA", {.dns = {host}, .key = Key::rsa_2048}, &w.root, host, always);
    try_leaf("good, upper case", {.dns = {"DNS.good.EXAMPLE"}}, &w.root, host, always);
    try_leaf("good, wildcard", {.dns = {"*.good.example"}}, &w.root, host, always);
    try_leaf("good, IPv4", {.ips = {"192.0.2.7"}}, &w.root, "192.0.2.7", always);
    try_leaf("good, IPv6", {.ips = {"2001:db8::1"}}, &w.root, "2001:db8:0::1", always);
    try_leaf("good, any use", {.dns = {host}, .purpose = nullptr}, &w.root, host, always);
    try_leaf("good, constrained", {.dns = {"dns.other.example"}}, &w.constrained,
             "dns.other.example", always);
}

// Bad however the identity is given.
void test_matrix_of_unsound_certificates_is_refused(void** /*state*/) {
    const World& w = world();
    try_leaf("expired", {.dns = {host}, .from = -3 * day, .until = -1 * day}, &w.root, host, never);
    try_leaf("not yet valid", {.dns = {host}, .from = day, .until = 3 * day}, &w.root, host, never);
    try_leaf("client use only", {.dns = {host}, .purpose = GNUTLS_KP_TLS_WWW_CLIENT}, &w.root, host,
             never);
    try_leaf("RSA-1024", {.dns = {host}, .key = Key::rsa_1024}, &w.root, host, never);
    try_leaf("expired, self-signed", {.dns = {host}, .from = -3 * day, .until = -1 * day}, nullptr,
             host, never);
}

// Not for the name, or nobody known answers for them; a pin on their own key asks for neither.
void test_matrix_of_untrusted_certificates_is_accepted_by_leaf_pin_only(void** /*state*/) {
    const World& w = world();
    try_leaf("wrong name", {.dns = {"dns.evil.example"}}, &w.root, host, by_pin);
    try_leaf("unknown CA", {.dns = {host}}, &w.stranger, host, by_pin);
    try_leaf("self-signed", {.dns = {host}}, nullptr, host, by_pin);
    try_leaf("CN only", {.common_name = host}, &w.root, host, by_pin);
    try_leaf("CN with e-mail", {.common_name = host, .email = "a@b.example"}, &w.root, host,
             by_pin);
    try_leaf("CN with IP", {.common_name = host, .ips = {"192.0.2.7"}}, &w.root, host, by_pin);
    try_leaf("SHA-1", {.dns = {host}, .digest = GNUTLS_DIG_SHA1}, &w.root, host, by_pin);
    try_leaf("wrong IP", {.ips = {"192.0.2.8"}}, &w.root, "192.0.2.7", by_pin);
    try_leaf("wrong IPv6", {.ips = {"2001:db8::2"}}, &w.root, "2001:db8::1", by_pin);
    try_leaf("IP as dNSName", {.dns = {"192.0.2.7"}}, &w.root, "192.0.2.7", by_pin);
    try_leaf("IP as CN", {.common_name = "192.0.2.7"}, &w.root, "192.0.2.7", by_pin);
    try_leaf("wide wildcard", {.dns = {"*.example"}}, &w.root, "dns.example", by_pin);
    try_leaf("wildcard for two labels", {.dns = {"*.example.org"}}, &w.root, "a.b.example.org",
             by_pin);
    try_leaf("name constraint", {.dns = {host}}, &w.constrained, host, by_pin);
    try_leaf("issuer is no CA", {.dns = {host}}, &w.no_authority, host, by_pin);
}

// G11: the pinned certificate is presented, but the attacker holds another key.
void test_matrix_of_forged_chains_is_refused(void** /*state*/) {
    const World& w = world();
    const SpkiPin pin = w.victim.pin();
    const Certificate alone = issue({.dns = {host}});
    try_ways("forged, self-signed", Service{{&alone, &w.victim}, alone}, host, pin, never);
    const Certificate certified = issue({.dns = {"dns.evil.example"}}, &w.root);
    try_ways("forged, trusted CA", Service{{&certified, &w.victim}, certified}, host, pin, never);
    // Issued by the victim's key, which is no CA's: the name of a pinned issuer alone is nothing.
    const Certificate namesake = issue({.common_name = "test", .authority = true}, &w.root);
    const Certificate below = issue({.dns = {host}}, &namesake);
    try_ways("forged, namesake of the issuer", Service{{&below, &w.victim}, below}, host, pin,
             never);
    // The right name from a trusted CA, but not the pinned key: only the name is satisfied.
    const Certificate other = issue({.dns = {host}}, &w.root);
    try_ways("other key", Service{{&other}, other}, host, pin, by_name);
    try_ways("other key, pinned one appended", Service{{&other, &w.victim}, other}, host, pin,
             by_name);
}

// A key above the leaf counts on a validated path only (C65).
void test_matrix_of_pinned_authorities_needs_a_valid_path(void** /*state*/) {
    const World& w = world();
    const Certificate leaf = issue({.dns = {host}}, &w.middle);
    const Service good{{&leaf, &w.middle}, leaf};
    try_ways("pinned intermediate", good, host, w.middle.pin(), always);
    try_ways("pinned root", good, host, w.root.pin(), always);
    try_ways("pinned intermediate, root sent", Service{{&leaf, &w.middle, &w.root}, leaf}, host,
             w.middle.pin(), always);
    try_ways("pinned stranger", good, host, w.stranger.pin(), by_name);

    const Certificate direct = issue({.dns = {host}}, &w.root);
    try_ways("pinned intermediate not on the path", Service{{&direct, &w.middle}, direct}, host,
             w.middle.pin(), by_name);
    const Certificate foreign = issue({.dns = {host}}, &w.stranger);
    try_ways("pinned unknown CA", Service{{&foreign, &w.stranger}, foreign}, host, w.stranger.pin(),
             never);
    const Certificate under_leaf = issue({.dns = {host}}, &w.no_authority);
    try_ways("pinned issuer is no CA", Service{{&under_leaf, &w.no_authority}, under_leaf}, host,
             w.no_authority.pin(), never);
    const Certificate elsewhere = issue({.dns = {"dns.evil.example"}}, &w.middle);
    try_ways("pinned intermediate, wrong name", Service{{&elsewhere, &w.middle}, elsewhere}, host,
             w.middle.pin(), by_pin);
    const Certificate expired =
        issue({.dns = {host}, .from = -3 * day, .until = -1 * day}, &w.middle);
    try_ways("pinned intermediate, expired", Service{{&expired, &w.middle}, expired}, host,
             w.middle.pin(), never);
}

/// Why a server with this leaf is refused, for who counts.
Refusal refusal_of(const Request& request, const Certificate* issuer, const char* name,
                   bool pinned) {
    const Certificate leaf = issue(request, issuer);
    const Service service{{&leaf}, leaf};
    const auto identity = Identity::make(name, pinned ? std::vector<SpkiPin>{leaf.pin()}
                                                      : std::vector<SpkiPin>{SpkiPin{}});
    Tickets tickets;
    Client client{world().context, *identity, tickets};
    Server server{service};
    carry(client, server);
    assert_int_equal(client.stream.failure(), Failure::untrusted);
    return client.stream.refusal();
}

void test_refusal_then_the_reason_that_is_counted(void** /*state*/) {
    const World& w = world();
    const Request old{.dns = {host}, .from = -3 * day, .until = -1 * day};
    const Request early{.dns = {host}, .from = day, .until = 3 * day};
    const Request good{.dns = {host}};
    for (const char* name : {host, ""}) { // a pinned leaf is looked at in another place
        assert_true(refusal_of(old, &w.root, name, true) == Refusal::expired);
        assert_true(refusal_of(early, &w.root, name, true) == Refusal::not_yet_valid);
    }
    assert_true(refusal_of(good, &w.stranger, host, true) == Refusal::untrusted_ca);
    assert_true(refusal_of(good, nullptr, host, true) == Refusal::untrusted_ca);
    assert_true(refusal_of(old, &w.stranger, host, true) == Refusal::untrusted_ca); // tells more
    assert_true(refusal_of({.dns = {"dns.evil.example"}}, &w.root, host, true) == Refusal::name);
    assert_true(refusal_of(good, &w.root, host, false) == Refusal::pin);
    assert_true(refusal_of({.dns = {host}, .purpose = GNUTLS_KP_TLS_WWW_CLIENT}, &w.root, host,
                           true) == Refusal::other);
}

void test_chain_longer_than_the_limit_is_refused(void** /*state*/) {
    const Certificate leaf = issue({.dns = {host}}, &world().root);
    std::vector<const Certificate*> chain{&leaf};
    chain.resize(chain_length_max + 1, &world().middle);
    try_ways("long chain", Service{chain, leaf}, host, leaf.pin(), never);
}

// C71: a ticket does not outlive its certificate. The library's clock is moved; all else is real.
void test_resume_after_expiry_is_refused(void** /*state*/) {
    const World& w = world();
    const Certificate leaf = issue({.dns = {host}, .until = std::chrono::hours{1}}, &w.root);
    const Service service{{&leaf}, leaf};
    const auto identity = Identity::make(host, {});
    Tickets tickets;
    {
        Client client{w.context, *identity, tickets};
        Server server{service};
        carry(client, server);
        assert_true(client.stream.ready());
        assert_true(tickets.size() > 0);
    }
    gnutls_global_set_time_function([](std::time_t* out) {
        const std::time_t later = std::time(nullptr) + 2 * 3600;
        if (out != nullptr) {
            *out = later;
        }
        return later;
    });
    Client client{w.context, *identity, tickets};
    Server server{service};
    carry(client, server);
    gnutls_global_set_time_function(std::time);
    assert_true(client.stream.resumed());
    assert_false(client.stream.ready());
    assert_int_equal(client.stream.failure(), Failure::untrusted);
    assert_non_null(std::strstr(client.stream.reason().c_str(), "expired"));
}

// C63
void test_covers_takes_wildcards_as_whole_first_label_only(void** /*state*/) {
    assert_true(covers("dns.example", "dns.example"));
    assert_true(covers("DNS.Example", "dns.example"));
    assert_true(covers("*.dns.example", "a.dns.example"));
    assert_false(covers("*.dns.example", "dns.example"));
    assert_false(covers("*.dns.example", "a.b.dns.example"));
    assert_false(covers("*.dns.example", ".dns.example"));
    assert_false(covers("*.example", "dns.example"));
    assert_false(covers("*", "example"));
    assert_false(covers("*.", "example."));
    assert_false(covers("a*.dns.example", "ab.dns.example"));
    assert_false(covers("*b.dns.example", "ab.dns.example"));
    assert_false(covers("a.*.example", "a.dns.example"));
    assert_false(covers("*.*.example", "a.dns.example"));
    assert_false(covers("dns.example", "dns.example2"));
    assert_false(covers("dns.example.", "dns.example"));
    assert_false(covers("dns.exampl", "dns.example"));
    assert_false(covers("", "dns.example"));
    assert_false(covers({"dns.example\0.evil", 17}, "dns.example"));
}

std::string refusal_of(const Request& request) {
    const World& w = world();
    const Certificate leaf = issue(request, &w.root);
    const Service service{{&leaf}, leaf};
    const auto identity = Identity::make(host, {});
    Tickets tickets;
    Client client{w.context, *identity, tickets};
    Server server{service};
    carry(client, server);
    return client.stream.reason();
}

// What the peer wrote is bounded, and nothing in it can be mistaken for a line of the log (L11).
void test_refusal_of_name_says_for_whom_the_certificate_is(void** /*state*/) {
    const std::string front = "The certificate is not for dns.good.example but for ";
    assert_string_equal(refusal_of({.dns = {"a.example"}}).c_str(), (front + "a.example").c_str());
    assert_string_equal(
        refusal_of({.dns = {"a.example", "*.b.example"}, .ips = {"192.0.2.7"}}).c_str(),
        (front + "a.example, *.b.example, 192.0.2.7").c_str());
    assert_string_equal(refusal_of({.ips = {"2001:db8::1"}}).c_str(),
                        (front + "2001:db8::1").c_str());
    assert_string_equal(
        refusal_of({.dns = {"a.example", "b.example", "c.example", "d.example", "e.example"}})
            .c_str(),
        (front + "a.example, b.example, c.example, ... (5 names in all)").c_str());
    assert_string_equal(refusal_of({.common_name = host}).c_str(),
                        (front + "nobody: it has no subjectAltName for a server").c_str());
    assert_string_equal(refusal_of({.raw_dns = "a\n\\b\x1b[2J"}).c_str(),
                        (front + "a\\010\\092b\\027[2J").c_str());
    assert_string_equal(refusal_of({.dns = {std::string(200, 'x')}}).c_str(),
                        (front + std::string(64, 'x') + "...").c_str());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_matrix_of_good_certificates_is_accepted),
        cmocka_unit_test(test_matrix_of_unsound_certificates_is_refused),
        cmocka_unit_test(test_matrix_of_untrusted_certificates_is_accepted_by_leaf_pin_only),
        cmocka_unit_test(test_matrix_of_forged_chains_is_refused),
        cmocka_unit_test(test_matrix_of_pinned_authorities_needs_a_valid_path),
        cmocka_unit_test(test_refusal_then_the_reason_that_is_counted),
        cmocka_unit_test(test_chain_longer_than_the_limit_is_refused),
        cmocka_unit_test(test_resume_after_expiry_is_refused),
        cmocka_unit_test(test_covers_takes_wildcards_as_whole_first_label_only),
        cmocka_unit_test(test_refusal_of_name_says_for_whom_the_certificate_is),
    };
    return cmocka_run_group_tests_name("tls/verify", tests, nullptr, nullptr);
}
