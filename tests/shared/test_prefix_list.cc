// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/prefix_list.hh"

#include "unit.hh"

#include <array>
#include <cstdint>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using dotproxy::AddressBits;
using dotproxy::Prefix;
using dotproxy::PrefixList;

namespace {

std::string text_of(PrefixList::View& view) {
    std::string text;
    for (const Prefix& prefix : view.prefixes()) {
        text += prefix.text() + ' ';
    }
    return text;
}

// limits 41
void test_write_when_written_then_read(void** /*state*/) {
    PrefixList memory;
    PrefixList::View view{memory};
    assert_int_equal(view.prefixes().size(), 0);
    memory.write(std::array{*Prefix::parse("192.0.2.0/24"), *Prefix::parse("2001:db8::/64")});
    assert_string_equal(text_of(view).c_str(), "192.0.2.0/24 2001:db8::/64 ");
    memory.write(std::array{*Prefix::parse("198.51.100.1")});
    assert_string_equal(text_of(view).c_str(), "198.51.100.1 ");
    PrefixList::View later{memory};
    assert_string_equal(text_of(later).c_str(), "198.51.100.1 ");
    assert_true(view.contain(Prefix::parse("198.51.100.1")->bits()));
    assert_false(view.contain(Prefix::parse("198.51.100.2")->bits()));
    const std::uint32_t version = view.version();
    memory.write({});
    assert_string_equal(text_of(view).c_str(), "");
    assert_true(view.version() != version);
}

void test_write_when_too_many_then_the_first(void** /*state*/) {
    PrefixList memory;
    PrefixList::View view{memory};
    std::vector<Prefix> many;
    for (std::uint64_t i = 0; i <= PrefixList::capacity; ++i) {
        many.emplace_back(AddressBits{.high = i << 16U, .low = 0}, 64);
    }
    memory.write(many);
    assert_int_equal(view.prefixes().size(), PrefixList::capacity);
    assert_true(view.prefixes().back() == many[PrefixList::capacity - 1]);
}

/// So many times, all of the same number: what is read must be of one time.
std::vector<Prefix> alike(std::uint64_t number) {
    return std::vector<Prefix>(1 + number % PrefixList::capacity,
                               Prefix{AddressBits{.high = number, .low = number}, 128});
}

void test_read_while_another_process_writes_then_whole(void** /*state*/) {
    PrefixList memory;
    PrefixList::View view{memory};
    const pid_t writer = ::fork();
    assert_true(writer >= 0);
    if (writer == 0) {
        for (std::uint64_t number = 1; number <= 20'000; ++number) {
            memory.write(alike(number));
        }
        ::_exit(0);
    }
    std::size_t changes = 0;
    std::uint64_t last = 0;
    do {
        const auto seen = view.prefixes();
        const std::uint64_t number = seen.empty() ? 0 : seen.front().bits().high;
        assert_true(number >= last);
        changes += number != last ? 1 : 0;
        last = number;
        if (number != 0) {
            const std::vector<Prefix> whole = alike(number);
            assert_true(std::equal(seen.begin(), seen.end(), whole.begin(), whole.end()));
        }
    } while (last < 20'000);
    assert_true(changes > 0);
    int status = 0;
    assert_int_equal(::waitpid(writer, &status, 0), writer);
    assert_int_equal(status, 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_write_when_written_then_read),
        cmocka_unit_test(test_write_when_too_many_then_the_first),
        cmocka_unit_test(test_read_while_another_process_writes_then_whole),
    };
    return cmocka_run_group_tests_name("shared/prefix_list", tests, nullptr, nullptr);
}
