// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/source.hh"

#include "config/config.hh"
#include "config/scratch.hh"
#include "unit.hh"

#include <string>
#include <sys/stat.h>

using dotproxy::ConfigError;
using dotproxy::Source;

namespace {

Scratch scratch; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): see scratch.hh

int set_up(void** /*state*/) {
    return scratch.make() ? 0 : -1;
}

int tear_down(void** /*state*/) {
    scratch.remove();
    return 0;
}

std::string text_of(const std::string& text) {
    return Source::from_text(text, "file").text();
}

/// What is wrong with a file, without the path of the scratch directory.
std::string error_of(const std::string& path) {
    try {
        const Source source = Source::from_file(path);
        return "nothing";
    } catch (const ConfigError& error) {
        std::string what = error.what();
        const std::string directory = scratch.path("");
        for (std::size_t at = 0; (at = what.find(directory)) != std::string::npos;) {
            what.erase(at, directory.size());
        }
        return what;
    }
}

void test_from_text_then_lines_keep_their_numbers(void** /*state*/) {
    const Source source = Source::from_text("a = 1;\nb = \"x\n#y\";\n/* c\n*/ d = 2; # e", "file");
    assert_string_equal(source.text().c_str(), "a = 1;\nb = \"x\n#y\";\n/*\n*/ d = 2; \n");
    assert_string_equal(source.where(1).c_str(), "file:1");
    assert_string_equal(source.where(5).c_str(), "file:5");
    assert_string_equal(source.name().c_str(), "file");
}

void test_include_then_its_lines_and_ours_are_named(void** /*state*/) {
    scratch.write("sub/inner", "i1\ni2\n");
    scratch.write("sub/middle", "m1\n@include \"inner\"\nm3"); // no newline at its end
    const Source source = Source::from_file(
        scratch.write("outer", "o1\n \t@include\t\"sub/middle\" # comment\r\no3"));
    assert_string_equal(source.text().c_str(), "o1\nm1\ni1\ni2\nm3\no3\n");
    const char* const expected[] = {"outer:1",     "sub/middle:1", "sub/inner:1",
                                    "sub/inner:2", "sub/middle:3", "outer:3"};
    for (unsigned line = 1; line <= 6; ++line) {
        assert_string_equal(source.where(line).c_str(), scratch.path(expected[line - 1]).c_str());
    }
}

void test_include_when_absolute_then_as_it_is(void** /*state*/) {
    const std::string path = scratch.write("inner", "i1\n");
    assert_string_equal(text_of("@include \"" + path + "\"\n").c_str(), "i1\n");
}

void test_include_when_in_string_or_comment_then_text(void** /*state*/) {
    assert_string_equal(text_of("a = \"\n@include \\\"\n\";").c_str(),
                        "a = \"\n@include \\\"\n\";\n");
    assert_string_equal(text_of("/*\n@include \"x\"\n*/").c_str(), "/*\n\n*/\n");
    assert_string_equal(text_of("# /*\n// \"\n1").c_str(), "\n\n1\n");
}

// L64: libconfig 1.5 would end the process, or wait for a writer for ever.
void test_include_when_not_a_regular_file_then_error(void** /*state*/) {
    assert_int_equal(::mkfifo(scratch.path("fifo").c_str(), 0600), 0);
    assert_string_equal(error_of(scratch.write("a", "\n@include \"../\"")).c_str(),
                        "a:2: @include: ../: cannot be read: not a regular file");
    assert_string_equal(error_of(scratch.write("a", "@include \"fifo\"")).c_str(),
                        "a:1: @include: fifo: cannot be read: not a regular file");
    assert_string_equal(error_of(scratch.path("fifo")).c_str(),
                        "fifo: cannot be read: not a regular file");
}

void test_from_file_when_missing_then_error(void** /*state*/) {
    assert_string_equal(error_of(scratch.path("none")).c_str(),
                        "none: cannot be read: No such file or directory");
    assert_string_equal(error_of(scratch.write("a", "@include \"none\"")).c_str(),
                        "a:1: @include: none: cannot be read: No such file or directory");
}

void test_include_when_malformed_then_error(void** /*state*/) {
    for (const char* const line : {"@include", "@include x", "@include \"", "@include \"\"",
                                   "@include \"a", "@include <a>"}) {
        assert_string_equal(error_of(scratch.write("a", line)).c_str(),
                            "a:1: @include: no file is named; give its path in double quotes");
    }
    assert_string_equal(error_of(scratch.write("a", "@include \"a\" b = 1;")).c_str(),
                        "a:1: @include: more follows on the line; begin a new line after it");
}

void test_include_when_without_end_then_bounded(void** /*state*/) {
    assert_string_equal(error_of(scratch.write("self", "@include \"self\"")).c_str(),
                        "self:1: @include: nested too deep; at most 10 files can include one "
                        "another");
    scratch.write("empty", "");
    std::string many;
    for (int i = 0; i < 100; ++i) {
        many += "@include \"empty\"\n";
    }
    assert_string_equal(error_of(scratch.write("many", many)).c_str(),
                        "empty: too many included files; at most 100 can be taken in");
}

void test_from_file_when_huge_then_error(void** /*state*/) {
    const std::string path = scratch.write("huge", std::string((1 << 20) + 1, ' '));
    assert_string_equal(error_of(path).c_str(),
                        "huge: too large; at most 1 MiB of configuration is read");
}

void test_from_file_when_octet_0_then_error(void** /*state*/) {
    assert_string_equal(error_of(scratch.write("a", std::string{"x\ny\0z", 5})).c_str(),
                        "a:2: holds an octet 0; a configuration is plain text");
}

void test_from_file_when_string_or_comment_has_no_end_then_error_where_it_begins(void** /*state*/) {
    assert_string_equal(error_of(scratch.write("a", "\n/* x\n\n")).c_str(),
                        "a:2: the comment has no end; close it with */");
    assert_string_equal(error_of(scratch.write("a", "\n\nx = \"\\\"\n")).c_str(),
                        "a:3: the string has no end; close it with \"");
}

// libconfig 1.5 takes 4294967297 for 1, but not 4294967297L.
void test_text_when_integer_is_long_then_it_is_marked(void** /*state*/) {
    assert_string_equal(text_of("x=999999999;").c_str(), "x=999999999;\n");
    assert_string_equal(text_of("x=4294967297;").c_str(), "x=4294967297L;\n");
    assert_string_equal(text_of("x=-4294967297L;").c_str(), "x=-4294967297L;\n");
    assert_string_equal(text_of("x=0x1000000a1;").c_str(), "x=0x1000000a1L;\n");
    assert_string_equal(text_of("x=36893488147419103233;").c_str(), "x=368934881474191032L;\n");
    assert_string_equal(text_of("x=0000000000001;").c_str(), "x=0000000000001;\n");
    assert_string_equal(text_of("x=12345678901.5;").c_str(), "x=12345678901.5;\n");
    assert_string_equal(text_of("x4294967297 = \"4294967297\";").c_str(),
                        "x4294967297 = \"4294967297\";\n");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_from_text_then_lines_keep_their_numbers),
        cmocka_unit_test(test_include_then_its_lines_and_ours_are_named),
        cmocka_unit_test(test_include_when_absolute_then_as_it_is),
        cmocka_unit_test(test_include_when_in_string_or_comment_then_text),
        cmocka_unit_test(test_include_when_not_a_regular_file_then_error),
        cmocka_unit_test(test_from_file_when_missing_then_error),
        cmocka_unit_test(test_include_when_malformed_then_error),
        cmocka_unit_test(test_include_when_without_end_then_bounded),
        cmocka_unit_test(test_from_file_when_huge_then_error),
        cmocka_unit_test(test_from_file_when_octet_0_then_error),
        cmocka_unit_test(
            test_from_file_when_string_or_comment_has_no_end_then_error_where_it_begins),
        cmocka_unit_test(test_text_when_integer_is_long_then_it_is_marked),
    };
    return cmocka_run_group_tests_name("config/source", tests, set_up, tear_down);
}
