// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/url.hh"

#include "unit.hh"

#include <array>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

using dotproxy::parse_url;
using dotproxy::Url;

namespace {

struct Good {
    std::string_view text;
    std::string_view name;
    std::uint16_t port;
    std::string_view authority;
    std::string_view path;
};

void test_url_when_good_then_taken_apart(void** /*state*/) {
    constexpr std::array urls{
        Good{"https://dns.example/dns-query", "dns.example", 443, "dns.example", "/dns-query"},
        Good{"https://dns.example/", "dns.example", 443, "dns.example", "/"},
        Good{"https://dns.example:443/q", "dns.example", 443, "dns.example", "/q"},
        Good{"https://dns.example:8443/q", "dns.example", 8443, "dns.example:8443", "/q"},
        Good{"https://dns.example:1/q", "dns.example", 1, "dns.example:1", "/q"},
        Good{"https://dns.example:65535/q", "dns.example", 65535, "dns.example:65535", "/q"},
        Good{"https://DNS.Example/DNS-Query", "dns.example", 443, "dns.example", "/DNS-Query"},
        Good{"https://dns.example./q", "dns.example", 443, "dns.example", "/q"},
        Good{"https://localhost/q", "localhost", 443, "localhost", "/q"},
        Good{"https://192.0.2.1/q", "192.0.2.1", 443, "192.0.2.1", "/q"},
        Good{"https://192.0.2.1:853/q", "192.0.2.1", 853, "192.0.2.1:853", "/q"},
        Good{"https://[2001:DB8:0::1]/q", "2001:db8::1", 443, "[2001:db8::1]", "/q"},
        Good{"https://[2001:db8::1]:443/q", "2001:db8::1", 443, "[2001:db8::1]", "/q"},
        Good{"https://[2001:db8::1]:8443/q", "2001:db8::1", 8443, "[2001:db8::1]:8443", "/q"},
        Good{"https://[::1]/q", "::1", 443, "[::1]", "/q"},
        // RFC 8484, section 4.1.1: nothing is asked by GET.
        Good{"https://dns.example/dns-query{?dns}", "dns.example", 443, "dns.example",
             "/dns-query"},
        Good{"https://dns.example/{?dns}", "dns.example", 443, "dns.example", "/"},
        Good{"https://dns.example/q?id=1&x=%20", "dns.example", 443, "dns.example",
             "/q?id=1&x=%20"},
        Good{"https://dns.example/a/b:c@d/-._~!$&'()*+,;=", "dns.example", 443, "dns.example",
             "/a/b:c@d/-._~!$&'()*+,;="},
        Good{"https://dns.example//", "dns.example", 443, "dns.example", "//"},
    };
    for (const Good& one : urls) {
        const auto result = parse_url(one.text);
        const Url* const url = std::get_if<Url>(&result);
        if (url == nullptr || url->name != one.name || url->port != one.port ||
            url->authority != one.authority || url->path != one.path) {
            fail_msg("%s was not taken apart", std::string{one.text}.c_str());
        }
    }
}

/// Each is refused, and for the same reason, which is told.
void assert_refused(const std::vector<std::string>& urls, std::string_view reason) {
    for (const std::string& text : urls) {
        const auto result = parse_url(text);
        const auto* const why = std::get_if<std::string_view>(&result);
        if (why == nullptr || why->find(reason) == std::string_view::npos) {
            fail_msg("%s: %s", text.c_str(),
                     why != nullptr ? std::string{*why}.c_str() : "was taken for a URL");
        }
    }
}

void test_url_when_the_scheme_is_another_then_refused(void** /*state*/) {
    assert_refused({"", "https:", "https:/", "https:/dns.example/q", "http://dns.example/q",
                    "h3://dns.example/q", "//dns.example/q", "dns.example/q", "dns.example",
                    " https://dns.example/q", "tls://dns.example"},
                   "does not begin with https://");
}

void test_url_when_without_a_path_then_refused(void** /*state*/) {
    assert_refused({"https://", "https://dns.example", "https://dns.example:443",
                    "https://dns.example{?dns}", "https://dns.example?dns=x",
                    "https://dns.example#x", "https://dns.example?a/b", "https://dns.example#/q"},
                   "has no path");
}

void test_url_when_with_a_user_then_refused(void** /*state*/) {
    assert_refused({"https://user@dns.example/q", "https://user:secret@dns.example/q",
                    "https://@dns.example/q", "https://dns.example@/q", "https://user@dns.example"},
                   "has a user");
}

void test_url_when_the_path_cannot_be_asked_for_then_refused(void** /*state*/) {
    const std::string place = "https://dns.example";
    std::vector<std::string> urls{place + "/q#fragment",
                                  place + "/q#",
                                  place + "/q q",
                                  place + "/q{?dns",
                                  place + "/q{?dns}x",
                                  place + "/q{?dns,x}",
                                  place + "/q{&dns}",
                                  place + "/\"q\"",
                                  place + "/q\\",
                                  place + "/b\xc3\xbc"
                                          "cher",
                                  place + "/q\r\nx: y",
                                  place + "/q<x>",
                                  place + "/[q]",
                                  place + "/q|",
                                  place + "/q^",
                                  place + "/q`",
                                  place + "/" + std::string(1024, 'q'),
                                  place + "/" + std::string(1U << 20U, 'q')};
    for (unsigned c = 0; c < 256; ++c) {
        if (c <= 0x20 || c >= 0x7f) {
            urls.push_back(place + "/q" + static_cast<char>(c));
        }
    }
    assert_refused(urls, "has a path that no request can have");
    assert_true(std::holds_alternative<Url>(parse_url(place + "/" + std::string(1023, 'q'))));
}

void test_url_when_the_host_is_none_then_refused(void** /*state*/) {
    assert_refused({"https:///q",
                    "https://:443/q",
                    "https://[]/q",
                    "https://dns_x.example/q",
                    "https://*.example/q",
                    "https://dns example/q",
                    "https://-dns.example/q",
                    "https://dns..example/q",
                    "https://192.0.2.256/q",
                    "https://1.2.3/q",
                    "https://2001:db8::1/q",
                    "https://::1/q",
                    "https://[dns.example]/q",
                    "https://[192.0.2.1]/q",
                    "https://[2001:db8::1%25lo]/q",
                    "https://[fe80::1%lo]/q",
                    "https://[2001:db8::g]/q",
                    "https://[[::1]]/q",
                    "https://" + std::string(300, 'a') + "/q",
                    "https://dns.exam\nple/q",
                    "https://dns.exam%70le/q",
                    "https://b\xc3\xbc"
                    "cher.example/q",
                    std::string{"https://dns.example\0/q", 22}},
                   "has neither a DNS name nor an IP address");
    assert_refused({"https://[/q", "https://[::1/q", "https://[2001:db8::1:443/q"},
                   "has a [ without a ]");
}

void test_url_when_the_port_is_none_then_refused(void** /*state*/) {
    std::vector<std::string> urls;
    for (const char* const port :
         {":", ":0", ":00", ":65536", ":99999999999999999999", ":+80", ":-1", ": 80", ":80 ",
          ":0x50", ":80a", ":https", "::80", ":80:80"}) {
        urls.push_back("https://dns.example" + std::string{port} + "/q");
        urls.push_back("https://[2001:db8::1]" + std::string{port} + "/q");
    }
    urls.emplace_back("https://[2001:db8::1]443/q");
    urls.emplace_back("https://[2001:db8::1]x/q");
    assert_refused(urls, "has a port that is none");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_url_when_good_then_taken_apart),
        cmocka_unit_test(test_url_when_the_scheme_is_another_then_refused),
        cmocka_unit_test(test_url_when_without_a_path_then_refused),
        cmocka_unit_test(test_url_when_with_a_user_then_refused),
        cmocka_unit_test(test_url_when_the_path_cannot_be_asked_for_then_refused),
        cmocka_unit_test(test_url_when_the_host_is_none_then_refused),
        cmocka_unit_test(test_url_when_the_port_is_none_then_refused),
    };
    return cmocka_run_group_tests_name("config/url", tests, nullptr, nullptr);
}
