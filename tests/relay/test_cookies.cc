// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Server cookies, with a clock that each test sets: limits 44, 45 and 62.

#include "relay/cookies.hh"

#include "unit.hh"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

using dotproxy::Address;
using dotproxy::AddressBits;
using dotproxy::Cookies;
using dotproxy::CookieSecret;
using dotproxy::CookieSecrets;
using dotproxy::dns::Cookie;
using dotproxy::dns::Octets;
using Verdict = dotproxy::Cookies::Verdict;

namespace {

template <std::size_t size>
std::array<std::uint8_t, size> hex(std::string_view digits) {
    std::array<std::uint8_t, size> octets{};
    for (std::size_t i = 0; i < size; ++i) {
        octets.at(i) =
            static_cast<std::uint8_t>(std::stoi(std::string{digits.substr(2 * i, 2)}, nullptr, 16));
    }
    return octets;
}

AddressBits at(const std::string& literal) {
    return AddressBits::of(Address::parse(literal, 4711).value());
}

CookieSecrets only(std::string_view secret) {
    return {.first = hex<16>(secret)};
}

constexpr std::string_view secret = "e5e973e5a6b2a43f48e7dc849e37bfcf";
constexpr std::string_view other_secret = "445536bcd2513298075a5d379663c962";
constexpr Cookies::Time some_time = 1559731985;

// RFC 9018, appendix A.1.
void test_check_when_there_is_no_server_cookie_then_one_as_in_the_rfc(void** /*state*/) {
    const auto option = hex<8>("2464c4abcf10c957");
    const auto checked = Cookies{only(secret)}.check(option, at("198.51.100.100"), 1559731985);
    assert_true(checked.verdict == Verdict::none);
    assert_true(checked.answer == hex<24>("2464c4abcf10c957010000005cf79f111f8130c3eee29480"));
}

// RFC 9018, appendix A.2: 40 minutes later.
void test_check_when_over_half_an_hour_old_then_renewed_as_in_the_rfc(void** /*state*/) {
    const auto option = hex<24>("2464c4abcf10c957010000005cf79f111f8130c3eee29480");
    const auto checked = Cookies{only(secret)}.check(option, at("198.51.100.100"), 1559734385);
    assert_true(checked.verdict == Verdict::to_renew);
    assert_true(checked.answer == hex<24>("2464c4abcf10c957010000005cf7a871d4a564a1442aca77"));
}

// RFC 9018, appendix A.3: reserved octets count as they came, and are 0 in what is given. In its
// story the cookie is 6715 s old, which section 4.3 does not let it be.
void test_check_when_reserved_octets_are_set_then_as_in_the_rfc(void** /*state*/) {
    const auto option = hex<24>("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
    const Cookies cookies{only(secret)};
    assert_true(cookies.check(option, at("203.0.113.203"), 1559727985 + 1801).verdict ==
                Verdict::to_renew);
    const auto checked = cookies.check(option, at("203.0.113.203"), 1559734700);
    assert_true(checked.verdict == Verdict::bad);
    assert_true(checked.answer == hex<24>("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e"));
    for (std::size_t i = 9; i < 12; ++i) {
        auto changed = option;
        changed.at(i) = 0;
        assert_true(cookies.check(changed, at("203.0.113.203"), 1559727985).verdict ==
                    Verdict::bad);
    }
}

// RFC 9018, appendix A.4: IPv6, and of the secret before.
void test_check_when_the_secret_was_rolled_over_then_as_in_the_rfc(void** /*state*/) {
    const auto option = hex<24>("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
    const AddressBits client = at("2001:db8:220:1:59de:d0f4:8769:82b8");
    CookieSecrets secrets = only(other_secret);
    secrets.second = hex<16>("dd3bdf9344b678b185a6f5cb60fca715");
    const auto checked = Cookies{secrets}.check(option, client, 1559741961);
    assert_true(checked.verdict == Verdict::to_renew);
    assert_true(checked.answer == hex<24>("22681ab97d52c298010000005cf7c609a6bb79d16625507a"));
    secrets.second = std::nullopt;
    assert_true(Cookies{secrets}.check(option, client, 1559741961).verdict == Verdict::bad);
}

// limits 44: by the second, and where the clock wraps (2106).
void test_check_when_time_passes_then_good_then_renewed_then_bad(void** /*state*/) {
    struct Age {
        std::int64_t seconds;
        Verdict verdict;
    };

    constexpr std::array ages{Age{-2147483648, Verdict::bad}, Age{-86400, Verdict::bad},
                              Age{-301, Verdict::bad},        Age{-300, Verdict::good},
                              Age{0, Verdict::good},          Age{1800, Verdict::good},
                              Age{1801, Verdict::to_renew},   Age{3600, Verdict::to_renew},
                              Age{3601, Verdict::bad},        Age{2147483647, Verdict::bad}};
    const Cookies cookies{only(secret)};
    const AddressBits client = at("192.0.2.7");
    const auto own = hex<8>("0102030405060708");
    for (const Cookies::Time made : {some_time, Cookies::Time{0}, Cookies::Time{0xffffff00}}) {
        const Cookie cookie = cookies.make(own, client, made);
        for (const Age& age : ages) {
            const auto now = static_cast<Cookies::Time>(made + age.seconds);
            const auto checked = cookies.check(cookie, client, now);
            assert_true(checked.verdict == age.verdict);
            assert_true(checked.answer ==
                        (age.verdict == Verdict::good ? cookie : cookies.make(own, client, now)));
        }
    }
}

void test_check_when_any_bit_or_the_address_differs_then_bad(void** /*state*/) {
    const Cookies cookies{only(secret)};
    for (const std::string client : {"192.0.2.7", "2001:db8::7"}) {
        const Cookie cookie = cookies.make(hex<8>("0102030405060708"), at(client), some_time);
        assert_true(cookies.check(cookie, at(client), some_time).verdict == Verdict::good);
        for (std::size_t bit = 0; bit < 8 * cookie.size(); ++bit) {
            Cookie changed = cookie;
            changed.at(bit / 8) ^= static_cast<std::uint8_t>(1U << bit % 8);
            const auto checked = cookies.check(changed, at(client), some_time);
            assert_true(checked.verdict == Verdict::bad);
            assert_true(std::equal(changed.begin(), changed.begin() + 8, checked.answer.begin()));
        }
        for (const std::string stranger : {"192.0.2.8", "2001:db8::8", "2001:db8:0:1::7"}) {
            assert_true(cookies.check(cookie, at(stranger), some_time).verdict == Verdict::bad);
        }
    }
}

// limits 62: what RFC 7873 lets others have, and this form has not.
void test_check_when_of_another_size_or_version_then_bad(void** /*state*/) {
    const Cookies cookies{only(secret)};
    const AddressBits client = at("192.0.2.7");
    std::array<std::uint8_t, 40> option{};
    const Cookie cookie = cookies.make(hex<8>("0102030405060708"), client, some_time);
    std::ranges::copy(cookie, option.begin());
    for (std::size_t size = 16; size <= option.size(); ++size) {
        const auto checked = cookies.check(Octets{option}.first(size), client, some_time);
        assert_true(checked.verdict == (size == cookie.size() ? Verdict::good : Verdict::bad));
        assert_true(checked.answer == cookie);
    }
    for (const unsigned version : {0U, 2U, 255U}) {
        Cookie changed = cookie;
        changed[8] = static_cast<std::uint8_t>(version);
        assert_true(cookies.check(changed, client, some_time).verdict == Verdict::bad);
    }
}

// An IPv4 client is the same one at an IPv6 socket.
void test_make_when_the_address_is_mapped_then_as_that_of_ipv4(void** /*state*/) {
    const Cookies cookies{only(secret)};
    const auto own = hex<8>("2464c4abcf10c957");
    assert_true(cookies.make(own, at("::ffff:198.51.100.100"), some_time) ==
                cookies.make(own, at("198.51.100.100"), some_time));
}

// limits 45 and 62 (RFC 9018, section 5): every server of a fleet is a step ahead or behind.
void test_check_when_a_fleet_rolls_over_then_never_bad(void** /*state*/) {
    const CookieSecret old_one = hex<16>(secret);
    const CookieSecret new_one = hex<16>(other_secret);
    const std::array steps{
        CookieSecrets{.first = old_one}, CookieSecrets{.first = old_one, .second = new_one},
        CookieSecrets{.first = new_one, .second = old_one}, CookieSecrets{.first = new_one}};
    const AddressBits client = at("192.0.2.7");
    Cookies::Time now = some_time;
    Cookie cookie = Cookies{steps[0]}.make(hex<8>("0102030405060708"), client, now);
    for (std::size_t step = 0; step + 1 < steps.size(); ++step) {
        const Cookies behind{steps.at(step)};
        const Cookies ahead{steps.at(step + 1)};
        for (int i = 0; i < 100; ++i) {
            now += 60;
            const auto checked = (i % 3 == 0 ? behind : ahead).check(cookie, client, now);
            assert_true(checked.verdict != Verdict::bad);
            cookie = checked.answer;
        }
        cookie = ahead.check(cookie, client, now).answer;
    }
}

void test_draw_then_no_two_are_the_same(void** /*state*/) {
    const CookieSecrets one = CookieSecrets::draw();
    const CookieSecrets other = CookieSecrets::draw();
    assert_true(one.first != other.first);
    assert_false(one.second.has_value());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_check_when_there_is_no_server_cookie_then_one_as_in_the_rfc),
        cmocka_unit_test(test_check_when_over_half_an_hour_old_then_renewed_as_in_the_rfc),
        cmocka_unit_test(test_check_when_reserved_octets_are_set_then_as_in_the_rfc),
        cmocka_unit_test(test_check_when_the_secret_was_rolled_over_then_as_in_the_rfc),
        cmocka_unit_test(test_check_when_time_passes_then_good_then_renewed_then_bad),
        cmocka_unit_test(test_check_when_any_bit_or_the_address_differs_then_bad),
        cmocka_unit_test(test_check_when_of_another_size_or_version_then_bad),
        cmocka_unit_test(test_make_when_the_address_is_mapped_then_as_that_of_ipv4),
        cmocka_unit_test(test_check_when_a_fleet_rolls_over_then_never_bad),
        cmocka_unit_test(test_draw_then_no_two_are_the_same),
    };
    return cmocka_run_group_tests_name("relay/cookies", tests, nullptr, nullptr);
}
