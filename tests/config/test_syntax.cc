// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What an administrator gets to read who has made the usual mistakes in a configuration's syntax:
// where it is, to the column, and what would be right.

#include "config/syntax.hh"

#include "config/libconfig_leak.hh"
#include "config/parsing.hh"
#include "unit.hh"

#include <span>
#include <string>

using dotproxy::explain_syntax;
using dotproxy::LibraryError;
using dotproxy::Source;
using dotproxy::test::assert_error;
using dotproxy::test::error_of;
using dotproxy::test::scratch;
using dotproxy::test::set_up;
using dotproxy::test::tear_down;
using dotproxy::test::tls;

namespace {

struct Mistake {
    const char* text;
    const char* message; // behind "file:"
};

/// What is said of a text that the library refuses, as some version of it may.
std::string explained(const char* text) {
    return explain_syntax(Source::from_text(text, "file"), {.line = 2, .text = "it says"});
}

void assert_all(std::span<const Mistake> mistakes) {
    for (const Mistake& mistake : mistakes) {
        assert_error(mistake.text, mistake.message);
    }
}

void test_syntax_when_key_is_given_twice_then_the_first_is_named(void** /*state*/) {
    static constexpr Mistake mistakes[] = {
        {"user = \"a\";\nuser = \"b\";",
         "2:1: user: is given twice, first at file:1; give each key once"},
        {"cache = {\n prefetch = true;\n\n prefetch = true; };",
         "4:2: cache.prefetch: is given twice, first at file:2; give each key once"},
        {"listen = ( { port = 1; },\n{ port = 1; port = 2; } );",
         "2:13: listen[1].port: is given twice, first at file:2; give each key once"},
    };
    assert_all(mistakes);
}

void test_syntax_when_the_first_stands_in_an_included_file_then_that_is_named(void** /*state*/) {
    const std::string inner = scratch.write("inner", "\nworkers = 1;\n");
    const std::string outer = scratch.write("outer", "@include \"inner\"\nworkers = 2;\n" + tls);
    try {
        (void)dotproxy::load_config(outer);
        fail_msg("it was taken");
    } catch (const dotproxy::ConfigError& error) {
        assert_string_equal(error.what(), (outer + ":2:1: workers: is given twice, first at " +
                                           inner + ":2; give each key once")
                                              .c_str());
    }
}

void test_syntax_when_key_is_malformed_then_guess(void** /*state*/) {
    static constexpr Mistake mistakes[] = {
        {"workers = 1;\ncache.size = \"1M\";",
         "2:11: cache: no dot leads into a group; give cache: { size = ...; };"},
        {"workers 4", "1:9: workers: has no = behind it; give workers = VALUE;"},
        {"\"workers\": 1", "1:1: syntax error: a key has no quotes; give KEY = VALUE;"},
        {"{ workers = 1; }",
         "1:1: syntax error: no braces stand around the whole; give KEY = VALUE;"},
        {"workers = 1;;", "1:13: syntax error: nothing stands before this \";\"; leave it out"},
        {"workers = 1;\n}", "2:1: syntax error: nothing is open that this \"}\" could close; "
                            "leave it out"},
        {"2 = 1;", "1:1: syntax error: \"2\" is no key, which begins with a letter; give KEY = "
                   "VALUE;"},
    };
    assert_all(mistakes);
}

void test_syntax_when_value_is_malformed_then_guess(void** /*state*/) {
    static constexpr Mistake mistakes[] = {
        {"local_zones = yes;", "1:15: local_zones: yes is no value; give true"},
        {"local_zones = No;", "1:15: local_zones: No is no value; give false"},
        {"sandbox = on;", "1:11: sandbox: on is no value; give \"on\", in quotes, or true where "
                          "the key is a boolean"},
        {"user = root;", "1:8: user: \"root\" has no quotes around it; give \"root\" in double "
                         "quotes"},
        {"user = 'root';", "1:8: user: a single quotation mark; give double quotes, \""},
        {"user = \xe2\x80\x9croot\xe2\x80\x9d;",
         "1:8: user: a typographic quotation mark; give straight double quotes, \""},
        {"user =\xc2\xa0\"root\";", "1:7: user: a no-break space; give a common blank"},
        {"timeouts: { query = 5s; };", "1:21: timeouts.query: \"5s\" has no quotes around it; "
                                       "give \"5s\" in double quotes"},
        {"listen = ( { address = 127.0.0.1; } );",
         "1:24: listen[0].address: \"127.0.0.1\" has no quotes around it; give \"127.0.0.1\" in "
         "double quotes"},
        {"workers = ;", "1:11: workers: has no value; give one behind the ="},
        {"workers == 4;", "1:10: workers: a second sign follows; give one ="},
        {"/* one */ workers = ;", "1:21: workers: has no value; give one behind the ="},
    };
    assert_all(mistakes);
}

void test_syntax_when_list_or_group_is_malformed_then_guess(void** /*state*/) {
    static constexpr Mistake mistakes[] = {
        {"x = (\n{ a = 1; } { a = 2; } );",
         "2:12: x: a comma is missing before this; give ( A, B )"},
        {"x = (\n1;", "2:2: x: the list that begins at file:1 is still open; close it with ) "
                      "before this ;"},
        {"x = { a = 1; );", "1:14: x: the group that begins at file:1 is still open; close it "
                            "with } before this )"},
        {"x = [ { a = 1; } ];", "1:7: x: no { stands within [ ]; give ( ... )"},
        {"x = [ \"a\", 1 ];",
         "1:13: x: its elements are of several types; give all of one, or ( )"},
        {"\nx = (\n\"a\"\nworkers = 1;", "4:1: x: a comma is missing before this; give ( A, B )"},
        {"\nx = (\nworkers = 1;", "2:5: x: the list that begins here has no end; close it with )"},
        {"\nx = {", "2:5: x: the group that begins here has no end; close it with }"},
    };
    assert_all(mistakes);
    // libconfig 1.8 takes it.
    assert_string_equal(explained("x = ( \"a\" \"b\", , \"c\" );").c_str(),
                        "file:1:16: x: nothing stands before this comma; leave it out");
}

// libconfig 1.7 takes it; there is nothing to explain then.
void test_syntax_when_comma_trails_then_it_is_named_or_taken(void** /*state*/) {
    const std::string error = error_of("listen = ( { address = \"::1\"; }, );");
    assert_true(error == "nothing" ||
                error == "file:1:32: listen: nothing follows this comma; leave it out");
}

void test_syntax_when_it_is_another_programs_then_that_is_named(void** /*state*/) {
    const auto from = [](const char* place, const char* word, const char* program) {
        return std::string{place} + ": syntax error: \"" + word + "\" is from " + program +
               "; give what dotproxy.conf(5) describes";
    };
    assert_error("nameserver 192.0.2.1\n", from("1:12", "nameserver", "resolv.conf(5)"));
    assert_error("nameserver ::1\n", from("1:13", "nameserver", "resolv.conf(5)"));
    assert_error("server:\n  verbosity: 1\n",
                 from("2:3", "server", "unbound.conf or dnsmasq.conf"));
    assert_error("no-resolv\nserver=192.0.2.1\n", from("2:1", "no-resolv", "dnsmasq.conf"));
    assert_error("resolution_type: GETDNS_RESOLUTION_STUB\n",
                 from("1:18", "resolution_type", "stubby.yml"));
    assert_error("DNS=192.0.2.1\n", from("1:5", "DNS", "resolved.conf(5)"));
    assert_error("[Resolve]\nDNS=192.0.2.1\n",
                 "1:1: syntax error: [ begins no section as in other programs' files; give a "
                 "group, KEY: { ... };");
    assert_error("- address_data: 192.0.2.1\n",
                 "1:1: syntax error: - begins no element as in YAML; give a list, KEY = ( A, B );");
}

void test_syntax_when_text_is_in_another_encoding_then_that_is_said(void** /*state*/) {
    assert_error("\xef\xbb\xbfworkers = 1;",
                 "1:1: begins with a byte order mark; save it as UTF-8 without one");
    assert_error("\xff\xfew", "1:1: is in UTF-16; save it as UTF-8, without a byte order mark");
}

void test_syntax_when_no_fault_is_found_then_the_librarys_word(void** /*state*/) {
    assert_string_equal(
        explained("a = 1;\nb = ( 0x1fL, -1.5e3, [ ], \"x\" \"y\", { c: TRUE } )").c_str(),
        "file:2: it says; give KEY = VALUE; as dotproxy.conf(5) shows");
}

// Work and memory stay in proportion to the text.
void test_syntax_when_nested_deeply_then_refused_early(void** /*state*/) {
    const std::string error = error_of("x = " + std::string(500000, '('));
    assert_true(error.starts_with("file:1:21: x[0][0]"));
    assert_true(error.ends_with(": groups and lists are nested too deep; no key needs it"));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_syntax_when_key_is_given_twice_then_the_first_is_named),
        cmocka_unit_test(test_syntax_when_the_first_stands_in_an_included_file_then_that_is_named),
        cmocka_unit_test(test_syntax_when_key_is_malformed_then_guess),
        cmocka_unit_test(test_syntax_when_value_is_malformed_then_guess),
        cmocka_unit_test(test_syntax_when_list_or_group_is_malformed_then_guess),
        cmocka_unit_test(test_syntax_when_comma_trails_then_it_is_named_or_taken),
        cmocka_unit_test(test_syntax_when_it_is_another_programs_then_that_is_named),
        cmocka_unit_test(test_syntax_when_text_is_in_another_encoding_then_that_is_said),
        cmocka_unit_test(test_syntax_when_no_fault_is_found_then_the_librarys_word),
        cmocka_unit_test(test_syntax_when_nested_deeply_then_refused_early),
    };
    return cmocka_run_group_tests_name("config/syntax", tests, set_up, tear_down);
}
