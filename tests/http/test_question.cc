// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What is a question and what is not (E53 to E58). How it is put in HTTP/1.1 and HTTP/2 is shown by
// the tests of those.

#include "http/question.hh"

#include "unit.hh"

#include <array>
#include <string>
#include <utility>
#include <vector>

using namespace dotproxy::http;

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

// What becomes of a request: its message, or the number of a status.
std::string outcome(std::string_view method, std::string_view path, const Fields& fields = {},
                    std::string_view body = {}, const Service& service = {}) {
    Question question;
    question.begin();
    question.set_path(path, service);
    question.set_method(method);
    for (const auto& [name, value] : fields) {
        question.add_field(name, value, service);
    }
    auto status = question.judge_head(service);
    if (!status &&
        !question.add_body({reinterpret_cast<const std::uint8_t*>(body.data()), body.size()})) {
        status = Status::content_too_large;
    }
    if (!status) {
        status = question.judge();
    }
    return status ? std::string{number(*status)}
                  : std::string{question.message().begin(), question.message().end()};
}

const Fields dns_message{{"content-type", "application/dns-message"}};

// E54
void test_get_has_its_question_in_the_path(void** /*state*/) {
    assert_true(outcome("GET", "/dns-query?dns=Zm9vYmFy") == "foobar");
    assert_true(outcome("GET", "/dns-query?a=b&dns=Zm9vYmE&c") == "fooba");
    assert_true(outcome("GET", "/dns-query?&&dns=Zm8&") == "fo");
    assert_true(outcome("GET", "/dns-query?dnsx=1&xdns=2&dns=Zm8") == "fo");
    assert_true(outcome("GET", "/dns-query?dns=Zm8", {{"content-type", "text/html"}}) == "fo");
    const Service elsewhere{.path = "/", .cors = false, .forwarded = false};
    assert_true(outcome("GET", "/?dns=Zm8", {}, {}, elsewhere) == "fo");
    assert_true(outcome("GET", "/dns-query?dns=Zm8", {}, {}, elsewhere) == "404");
}

// E54
void test_get_without_one_question_is_bad(void** /*state*/) {
    for (const char* path : {
             "/dns-query",
             "/dns-query?",
             "/dns-query?dns",
             "/dns-query?dns=",
             "/dns-query?DNS=Zm8",
             "/dns-query?d%6es=Zm8",
             "/dns-query?dns=Zm8=",
             "/dns-query?dns=Zm8%3D",
             "/dns-query?dns=Zm+v",
             "/dns-query?dns=Zm/v",
             "/dns-query?dns=Zm8&dns=Zm8",
             "/dns-query?dns=!&dns=Zm8",
             "/dns-query?dns=Zm8;dns=Zm8",
             "/dns-query?dns=A",
         }) {
        assert_string_equal(outcome("GET", path).c_str(), "400");
    }
}

// E54, E58
void test_only_one_path_is_served(void** /*state*/) {
    for (const char* path : {"/", "", "*", "/dns-query/", "//dns-query", "/dns-quer", "/dns-query2",
                             "/DNS-query", "/dns%2dquery", "dns-query", "/resolve"}) {
        assert_string_equal(outcome("GET", std::string{path} + "?dns=Zm8").c_str(), "404");
        assert_string_equal(outcome("POST", path, dns_message, "foobar").c_str(), "404");
    }
}

// E55
void test_post_has_its_question_in_the_body(void** /*state*/) {
    assert_true(outcome("POST", "/dns-query", dns_message, "foobar") == "foobar");
    assert_true(outcome("POST", "/dns-query?dns=Zm8&dns=&x", dns_message, "foobar") == "foobar");
    const std::string longest(Server::body_limit, 'x');
    assert_true(outcome("POST", "/dns-query", dns_message, longest) == longest);
    assert_true(outcome("POST", "/dns-query", dns_message, longest + "x") == "413");
    assert_true(outcome("POST", "/dns-query", dns_message, "") == "400");
    assert_true(outcome("POST", "/dns-query?dns=Zm8", dns_message, "") == "400");
}

// E55
void test_post_is_of_one_type(void** /*state*/) {
    const auto with_type = [](const char* type) {
        return outcome("POST", "/dns-query", {{"content-type", type}}, "foobar");
    };
    for (const char* type : {"application/dns-message", "Application/DNS-Message",
                             "application/dns-message; charset=utf-8", "application/dns-message;",
                             "application/dns-message ;x=y"}) {
        assert_string_equal(with_type(type).c_str(), "foobar");
    }
    for (const char* type : {"", "application/dns", "application/dns-messages", "text/plain",
                             "text/plain; application/dns-message", "application/dns-udpwireformat",
                             "application/dns-message, text/plain"}) {
        assert_string_equal(with_type(type).c_str(), "415");
    }
    assert_string_equal(outcome("POST", "/dns-query", {}, "foobar").c_str(), "415");
    assert_string_equal(
        outcome("POST", "/dns-query",
                {{"content-type", "application/dns-message"}, {"content-type", "text/plain"}},
                "foobar")
            .c_str(),
        "415");
}

// E48, E58: what says that it will be too long is not waited for.
void test_length_that_no_message_has_is_refused(void** /*state*/) {
    const auto with_length = [](const char* length) {
        return outcome("POST", "/dns-query",
                       {{"content-type", "application/dns-message"}, {"content-length", length}},
                       "foobar");
    };
    assert_string_equal(with_length("65535").c_str(), "foobar");
    assert_string_equal(with_length("65536").c_str(), "413");
    assert_string_equal(with_length("99999999999999999999999999").c_str(), "413");
}

// E56
void test_head_is_a_get(void** /*state*/) {
    assert_true(outcome("HEAD", "/dns-query?dns=Zm9vYmFy") == "foobar");
    assert_true(outcome("HEAD", "/dns-query") == "400");
    assert_true(outcome("HEAD", "/") == "404");
}

// E56
void test_options_is_answered_where_web_pages_may_ask(void** /*state*/) {
    const Service open{.path = "/dns-query", .cors = true, .forwarded = false};
    assert_true(outcome("OPTIONS", "/dns-query") == "405");
    assert_true(outcome("OPTIONS", "/dns-query", {}, {}, open) == "204");
    assert_true(outcome("OPTIONS", "/", {}, {}, open) == "404");
    assert_true(outcome("OPTIONS", "*", {}, {}, open) == "404");
}

// E58
void test_other_methods_are_known_or_not(void** /*state*/) {
    for (const char* method : {"PUT", "DELETE", "CONNECT", "TRACE", "PATCH"}) {
        assert_string_equal(outcome(method, "/dns-query?dns=Zm8").c_str(), "405");
    }
    assert_string_equal(outcome("CONNECT", "").c_str(), "405");
    for (const char* method : {"", "get", "Get", "QUERY", "PROPFIND", "GET "}) {
        assert_string_equal(outcome(method, "/dns-query?dns=Zm8").c_str(), "501");
    }
}

// E58
void test_long_path_is_refused(void** /*state*/) {
    std::string path = "/dns-query?dns=";
    path.append((Question::path_limit - path.size()) / 4 * 4, 'A');
    assert_in_range(outcome("GET", path).size(), 4590, 4600);
    assert_true(outcome("GET", path + "AAAA") == "414");
}

// E57: it does not matter by which name and scheme somebody came, or what he likes best.
void test_other_fields_do_not_matter(void** /*state*/) {
    assert_true(outcome("GET", "/dns-query?dns=Zm8",
                        {{":authority", "192.0.2.1:1"},
                         {":scheme", "http"},
                         {"host", "other.example"},
                         {"accept", "image/png"},
                         {"x-forwarded-for", "nonsense"}}) == "fo");
}

// E73: the lines in their order, since whoever is nearest comes last.
void test_forwarded_for_is_kept_where_the_peer_is_trusted(void** /*state*/) {
    const Service trusted{.path = "/dns-query", .cors = false, .forwarded = true};
    Question question;
    question.begin();
    question.add_field("x-forwarded-for", "192.0.2.1, 2001:db8::1", trusted);
    question.add_field("x-forwarded-for", "198.51.100.7", trusted);
    assert_true(question.forwarded_for() == "192.0.2.1, 2001:db8::1, 198.51.100.7");
    assert_false(question.forwarded_too_long());
    question.begin();
    assert_true(question.forwarded_for().empty());
    question.add_field("x-forwarded-for", "192.0.2.1", Service{});
    assert_true(question.forwarded_for().empty());
}

// E73
void test_forwarded_for_is_bounded(void** /*state*/) {
    const Service trusted{.path = "/dns-query", .cors = false, .forwarded = true};
    Question question;
    question.begin();
    for (int i = 0; i < 1000; ++i) {
        question.add_field("x-forwarded-for", "192.0.2.1", trusted);
        assert_true(question.forwarded_for().size() <= Question::forwarded_limit);
    }
    assert_true(question.forwarded_too_long());
    question.begin();
    assert_false(question.forwarded_too_long());
}

// E48: as much is kept as has come, whatever was announced.
void test_body_is_counted_as_it_comes(void** /*state*/) {
    const std::array<std::uint8_t, 10> part{};
    Question question;
    question.begin();
    question.set_method("POST");
    question.set_path("/dns-query?dns=Zm8", {});
    question.add_field("content-type", "application/dns-message", {});
    question.add_field("content-length", "65535", {});
    assert_false(question.judge_head({}).has_value());
    assert_int_equal(question.body_size(), 0);
    assert_true(question.add_body(part));
    assert_int_equal(question.body_size(), 10);
    question.drop_message();
    assert_int_equal(question.body_size(), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_get_has_its_question_in_the_path),
        cmocka_unit_test(test_get_without_one_question_is_bad),
        cmocka_unit_test(test_only_one_path_is_served),
        cmocka_unit_test(test_post_has_its_question_in_the_body),
        cmocka_unit_test(test_post_is_of_one_type),
        cmocka_unit_test(test_length_that_no_message_has_is_refused),
        cmocka_unit_test(test_head_is_a_get),
        cmocka_unit_test(test_options_is_answered_where_web_pages_may_ask),
        cmocka_unit_test(test_other_methods_are_known_or_not),
        cmocka_unit_test(test_long_path_is_refused),
        cmocka_unit_test(test_other_fields_do_not_matter),
        cmocka_unit_test(test_forwarded_for_is_kept_where_the_peer_is_trusted),
        cmocka_unit_test(test_forwarded_for_is_bounded),
        cmocka_unit_test(test_body_is_counted_as_it_comes),
    };
    return cmocka_run_group_tests_name("http/question", tests, nullptr, nullptr);
}
