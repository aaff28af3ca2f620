// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/request.hh"

#include "unit.hh"

#include <string>

using dotproxy::error_line;
using dotproxy::parse_request;
using dotproxy::Request;
using dotproxy::takes;
using Verb = dotproxy::Request::Verb;

namespace {

std::string problem_of(const std::string& line) {
    const char* problem = "none";
    return parse_request(line, problem) ? "none" : problem;
}

Request parsed(const std::string& line) {
    const char* problem = "";
    const auto request = parse_request(line, problem);
    if (!request) {
        fail_msg("\"%s\": %s", line.c_str(), problem);
    }
    return *request;
}

void test_parse_when_it_takes_no_argument_then_the_verb(void** /*state*/) {
    assert_true(parsed("status").verb == Verb::status);
    assert_true(parsed("reload").verb == Verb::reload);
    assert_true(parsed("cache").verb == Verb::cache);
    assert_true(parsed(" status  ").verb == Verb::status);
    for (const char* const line :
         {"limits x", "block", "block ::1 1 1", "unblock", "unblock ::1 1", "status x", "reload 1",
          "cache 00", "flush 00 1 1", "flush-below", "flush-below 00 1"}) {
        assert_string_equal(problem_of(line).c_str(), "too few or too many arguments");
    }
}

void test_parse_when_flush_then_what_of(void** /*state*/) {
    const Request all = parsed("flush");
    assert_true(all.verb == Verb::flush && all.name.empty() && all.type == 0);
    const Request name = parsed("flush 014102426300");
    const std::vector<std::uint8_t> wire{1, 'a', 2, 'b', 'c', 0};
    assert_true(name.verb == Verb::flush && name.name == wire && name.type == 0);
    const Request type = parsed("flush 016102624300 28");
    assert_true(type.name == wire && type.type == 28);
    const Request root = parsed("flush 00 65535");
    assert_true(root.name == std::vector<std::uint8_t>{0} && root.type == 65535);
    const Request below = parsed("flush-below 016102626300");
    assert_true(below.verb == Verb::flush_below && below.name == wire);
}

// Whoever may connect may send anything.
void test_parse_when_no_name_then_refused(void** /*state*/) {
    const std::string label = "3f" + std::string(126, '6');
    const std::string longest = label + label + label + "3d" + std::string(122, '6') + "00";
    assert_string_equal(problem_of("flush " + longest).c_str(), "none");
    const std::string longer = label + label + label + "3e" + std::string(124, '6') + "00";
    for (const std::string& name :
         {std::string{"0"}, std::string{"01"}, std::string{"0161"}, std::string{"016"},
          std::string{"0000"}, std::string{"01610"}, std::string{"c00c"}, std::string{"0161c000"},
          std::string{"4061"}, std::string{"zz"}, std::string{"+1"}, std::string{"0x"},
          "40" + std::string(128, '6') + "00", longer}) {
        assert_string_equal(problem_of("flush " + name).c_str(),
                            "not a name on the wire in hexadecimal digits");
        assert_string_equal(problem_of("flush-below " + name).c_str(),
                            "not a name on the wire in hexadecimal digits");
    }
}

// limits 24
void test_parse_when_block_then_whom_and_how_long(void** /*state*/) {
    assert_true(parsed("limits").verb == Verb::limits);
    const Request one = parsed("block 192.0.2.7/24 90");
    assert_true(one.verb == Verb::block && one.time == std::chrono::seconds{90});
    assert_string_equal(one.prefix.text().c_str(), "192.0.2.0/24");
    const Request usual = parsed("block 2001:db8::1");
    assert_true(usual.time == std::chrono::seconds{0});
    assert_string_equal(usual.prefix.text().c_str(), "2001:db8::1");
    assert_true(parsed("unblock 192.0.2.7").verb == Verb::unblock);
    assert_true(parsed("block ::1 86400").time == Request::longest_block);
    for (const char* const time : {"0", "86401", "-1", "1s", "4294967297"}) {
        assert_string_equal(problem_of(std::string{"block 192.0.2.7 "} + time).c_str(),
                            "not a number of seconds, from 1 to 86400");
    }
    for (const char* const prefix : {"x", "192.0.2.7/33", "fe80::1%lo", "/"}) {
        assert_string_equal(problem_of(std::string{"unblock "} + prefix).c_str(),
                            "not an address or a network");
    }
}

void test_parse_when_no_type_then_refused(void** /*state*/) {
    for (const char* const type : {"0", "65536", "-1", "A", "1x", "4294967297"}) {
        assert_string_equal(problem_of(std::string{"flush 00 "} + type).c_str(),
                            "not the number of a type, from 1 to 65535");
    }
}

void test_parse_when_unknown_then_the_known_are_told(void** /*state*/) {
    for (const std::string& line :
         {std::string{}, std::string{" "}, std::string{"Status"}, std::string{"stat"},
          std::string{"status\r"}, std::string{"\0\1\2", 3}, std::string(1023, 'x'),
          std::string(1023, ' '), std::string{"flush-"}}) {
        assert_string_equal(problem_of(line).c_str(),
                            "unknown request; known are status, reload, cache, flush, flush-below, "
                            "limits, block and unblock");
    }
}

/// The key of a question for `name`, which is on the wire.
std::vector<std::uint8_t> key(const std::string& name, std::uint8_t type) {
    std::vector<std::uint8_t> key(name.begin(), name.end());
    key.insert(key.end(), {0, 0, type, 0, 1, 2, 9});
    return key;
}

void test_takes_when_a_name_then_it_alone_or_one_type_of_it(void** /*state*/) {
    const Request name = parsed("flush 016202637300");
    assert_true(takes(name, key("\1b\2cs", 1)));
    assert_true(takes(name, key("\1b\2cs", 28)));
    assert_false(takes(name, key("\2cs", 1)));
    assert_false(takes(name, key("\1a\1b\2cs", 1)));
    assert_false(takes(name, key("\1x\2cs", 1)));
    const Request type = parsed("flush 016202637300 28");
    assert_true(takes(type, key("\1b\2cs", 28)));
    assert_false(takes(type, key("\1b\2cs", 1)));
    const Request root = parsed("flush 00");
    assert_true(takes(root, key("", 1)));
    assert_false(takes(root, key("\2cs", 1)));
}

void test_takes_when_below_then_whole_labels_count(void** /*state*/) {
    const Request below = parsed("flush-below 02637300");
    assert_true(takes(below, key("\2cs", 1)));
    assert_true(takes(below, key("\1b\2cs", 1)));
    assert_true(takes(below, key("\3aaa\1b\2cs", 255)));
    assert_false(takes(below, key("\3xcs", 1)));
    assert_false(takes(below, key("\4x\2cs", 1))); // a label that ends like the name
    assert_false(takes(below, key("", 1)));
    assert_true(takes(parsed("flush-below 00"), key("\2cs", 1)));
    assert_true(takes(parsed("flush-below 00"), key("", 1)));
}

void test_takes_when_everything_then_whatever_it_is(void** /*state*/) {
    assert_true(takes(parsed("flush"), key("\2cs", 1)));
    assert_true(takes(parsed("flush"), {}));
}

void test_takes_all_when_every_name_and_type_then_and_only_then(void** /*state*/) {
    assert_true(takes_all(parsed("flush")));
    assert_true(takes_all(parsed("flush-below 00")));
    assert_false(takes_all(parsed("flush 00")));
    assert_false(takes_all(parsed("flush 00 1")));
    assert_false(takes_all(parsed("flush-below 02637300")));
}

// L66: what stands in shared memory is not believed.
void test_takes_when_the_key_is_none_then_not(void** /*state*/) {
    const std::vector<std::uint8_t> octets(600, 0xff);
    for (std::size_t size = 0; size < octets.size(); ++size) {
        assert_false(takes(parsed("flush-below 00"), std::span{octets}.first(size)));
        assert_false(takes(parsed("flush 00 1"), std::span{octets}.first(size)));
    }
    const std::vector<std::uint8_t> beyond{200, 0, 0, 1, 0, 1, 0};
    assert_false(takes(parsed("flush-below 00"), beyond));
}

// A configuration's text stands in some of them.
void test_error_line_then_one_line(void** /*state*/) {
    assert_string_equal(error_line("no cache").c_str(), "error no cache\n");
    assert_string_equal(error_line("a\nok\n\x1b[m\x7f\xc3\xbc").c_str(),
                        "error a ok  [m \xc3\xbc\n");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_when_it_takes_no_argument_then_the_verb),
        cmocka_unit_test(test_parse_when_flush_then_what_of),
        cmocka_unit_test(test_parse_when_no_name_then_refused),
        cmocka_unit_test(test_parse_when_block_then_whom_and_how_long),
        cmocka_unit_test(test_parse_when_no_type_then_refused),
        cmocka_unit_test(test_parse_when_unknown_then_the_known_are_told),
        cmocka_unit_test(test_takes_when_a_name_then_it_alone_or_one_type_of_it),
        cmocka_unit_test(test_takes_when_below_then_whole_labels_count),
        cmocka_unit_test(test_takes_when_everything_then_whatever_it_is),
        cmocka_unit_test(test_takes_all_when_every_name_and_type_then_and_only_then),
        cmocka_unit_test(test_takes_when_the_key_is_none_then_not),
        cmocka_unit_test(test_error_line_then_one_line),
    };
    return cmocka_run_group_tests_name("master/request", tests, nullptr, nullptr);
}
