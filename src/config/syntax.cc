// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// libconfig's grammar, as a walk with a stack of what is open, up to the first fault.

#include "config/syntax.hh"

#include "config/document.hh"
#include "config/keys.hh"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace dotproxy {

namespace {

using namespace std::string_view_literals;

constexpr auto blanks = " \t\r\n\f"sv;
constexpr auto digits = "0123456789"sv;
constexpr auto name_starts = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ*"sv;
constexpr auto name_letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-*"sv;
constexpr auto ends_of_words = " \t\r\n\f;,(){}[]\"="sv;

// What is longer than a path of this many steps was not meant to be one of ours.
constexpr std::size_t max_depth = 16;

struct Place {
    unsigned line{1};
    unsigned column{1};
};

struct Fault {
    Place at;
    std::string key; // empty: none
    std::string what;
};

enum class Kind : std::uint8_t { string, boolean, integer, floating, compound };

bool holds(std::string_view set, char c) noexcept {
    return set.find(c) != std::string_view::npos;
}

bool same_word(std::string_view a, std::string_view b) noexcept {
    return std::ranges::equal(a, b, [](char x, char y) {
        return (x >= 'A' && x <= 'Z' ? static_cast<char>(x - 'A' + 'a') : x) == y;
    });
}

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) noexcept {
    return std::ranges::any_of(words,
                               [word](std::string_view one) { return same_word(word, one); });
}

/// What a word without quotes stands for; nullopt: nothing.
std::optional<Kind> scalar(std::string_view word) noexcept {
    if (is_one_of(word, {"true", "false"})) {
        return Kind::boolean;
    }
    if (word.starts_with('-') || word.starts_with('+')) {
        word.remove_prefix(1);
    }
    if (word.starts_with("0x") || word.starts_with("0X")) {
        word.remove_prefix(2);
        const std::size_t end = word.find_first_not_of("0123456789abcdefABCDEF");
        const bool whole = word.substr(std::min(end, word.size())).find_first_not_of('L') ==
                           std::string_view::npos;
        return end != 0 && !word.empty() && whole ? std::optional{Kind::integer} : std::nullopt;
    }
    if (word.empty() || word.find_first_of(digits) == std::string_view::npos ||
        word.find_first_not_of("0123456789.eE+-L") != std::string_view::npos ||
        std::ranges::count(word, '.') > 1 || !holds("0123456789.", word.front())) {
        return std::nullopt;
    }
    return word.find_first_of(".eE") == std::string_view::npos ? Kind::integer : Kind::floating;
}

/// Characters that look like others: what word processors and web pages make of quotes and blanks.
std::string look_alike(std::string_view text) {
    if (text.starts_with("\xe2\x80\x9c") || text.starts_with("\xe2\x80\x9d") ||
        text.starts_with("\xe2\x80\x9e") || text.starts_with("\xc2\xab") ||
        text.starts_with("\xc2\xbb")) {
        return "a typographic quotation mark; give straight double quotes, \"";
    }
    if (text.starts_with('\'') || text.starts_with('`') || text.starts_with("\xe2\x80\x98") ||
        text.starts_with("\xe2\x80\x99")) {
        return "a single quotation mark; give double quotes, \"";
    }
    if (text.starts_with("\xc2\xa0")) {
        return "a no-break space; give a common blank";
    }
    return {};
}

/// What should stand in place of a value that is a word without quotes.
std::string for_bare_word(std::string_view word) {
    const std::string quoted = in_quotes(word);
    if (is_one_of(word, {"yes", "no"})) {
        return std::string{word} + " is no value; give " +
               (same_word(word, "yes") ? "true" : "false");
    }
    if (is_one_of(word, {"on", "off"})) {
        return std::string{word} + " is no value; give " + quoted + ", in quotes, or " +
               (same_word(word, "on") ? "true" : "false") + " where the key is a boolean";
    }
    if (std::string known = look_alike(word); !known.empty()) {
        return known;
    }
    return quoted + " has no quotes around it; give " + quoted + " in double quotes";
}

/// Something that is open: the file itself, a group, a list or an array.
struct Frame {
    char closer; // 0: the file
    Place opened;
    std::string path;
    std::map<std::string, unsigned, std::less<>> names{}; // of a group: in which line
    std::size_t count{0};                                 // of a list: the elements so far
    bool wants_element{true};                             // of a list: not after an element
    Place comma{};                                        // of a list: the last one
    std::optional<Kind> kind{};                           // of an array: of its elements

    [[nodiscard]] bool is_group() const noexcept { return closer == 0 || closer == '}'; }

    [[nodiscard]] std::string noun() const {
        return closer == '}' ? "group" : closer == ')' ? "list" : "array";
    }
};

/// Walks through a text up to the first fault.
class Walk {
  public:
    explicit Walk(const Source& source) : source_{source}, rest_{source.text()} {
        open_.push_back({.closer = 0, .opened = {}, .path = {}});
    }

    [[nodiscard]] std::optional<Fault> first_fault();

  private:
    void setting();
    void element();
    void value(const std::string& path);
    void word(const std::string& path);
    void open(char closer, const std::string& path);
    void close();
    void after_value(Kind kind);
    void after_name(const std::string& path, std::string_view name);
    void no_setting();
    void no_end();

    void skip();
    void skip_comment();
    void skip_string();
    std::string_view take(std::size_t size);

    [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }

    [[nodiscard]] bool at(char c) const noexcept { return rest_.starts_with(c); }

    [[nodiscard]] bool begins_setting(std::string_view text) const noexcept;
    void blame_value(const std::string& path, std::string what);
    void blame(Place where, std::string key, std::string what);

    const Source& source_;
    std::string_view rest_;
    Place here_;
    std::vector<Frame> open_; // never empty while there is no fault
    std::optional<Fault> fault_;
    bool ended_{false};
};

std::optional<Fault> Walk::first_fault() {
    while (!fault_ && !ended_) {
        skip();
        if (at_end()) {
            no_end();
        } else if (open_.back().is_group()) {
            setting();
        } else {
            element();
        }
    }
    return std::move(fault_);
}

void Walk::no_end() {
    const Frame& frame = open_.back();
    if (frame.closer == 0) {
        ended_ = true;
        return;
    }
    blame(frame.opened, frame.path,
          "the " + frame.noun() + " that begins here has no end; close it with " + frame.closer);
}

void Walk::setting() {
    Frame& frame = open_.back();
    if (frame.closer != 0 && at(frame.closer)) {
        close();
        return;
    }
    if (!holds(name_starts, rest_.front())) {
        no_setting();
        return;
    }
    const Place begin = here_;
    const std::string_view name =
        take(std::min(rest_.find_first_not_of(name_letters), rest_.size()));
    const std::string path =
        frame.path.empty() ? std::string{name} : frame.path + '.' + std::string{name};
    skip();
    if (!at('=') && !at(':')) {
        after_name(path, name);
        return;
    }
    const auto [known, fresh] = frame.names.try_emplace(std::string{name}, begin.line);
    if (!fresh) {
        blame(begin, path,
              "is given twice, first at " + source_.where(known->second) + "; give each key once");
        return;
    }
    take(1);
    skip();
    value(path);
}

/// A name stands here, and neither = nor : behind it.
void Walk::after_name(const std::string& path, std::string_view name) {
    const std::string program{program_of(name)};
    const std::string key{name};
    if (at('.')) {
        take(1);
        const std::string member{
            take(std::min(rest_.find_first_not_of(name_letters), rest_.size()))};
        blame(here_, path,
              "no dot leads into a group; give " + key + ": { " +
                  (member.empty() ? "KEY" : member) + " = ...; };");
    } else if (!program.empty()) {
        blame(here_, {},
              in_quotes(name) + " is from " + program + "; give what dotproxy.conf(5) describes");
    } else {
        blame(here_, path, "has no = behind it; give " + key + " = VALUE;");
    }
}

/// Something stands where only a key can.
void Walk::no_setting() {
    const char c = rest_.front();
    const bool outermost = open_.back().closer == 0;
    const std::string key = open_.back().path;
    if (c == ';' || c == ',') {
        blame(here_, key, "nothing stands before this " + in_quotes({&c, 1}) + "; leave it out");
    } else if (c == '"') {
        blame(here_, key, "a key has no quotes; give KEY = VALUE;");
    } else if (c == '{' && outermost) {
        blame(here_, key, "no braces stand around the whole; give KEY = VALUE;");
    } else if (c == '[') {
        blame(here_, key,
              "[ begins no section as in other programs' files; give a group, KEY: "
              "{ ... };");
    } else if (c == '-') {
        blame(here_, key, "- begins no element as in YAML; give a list, KEY = ( A, B );");
    } else if (holds(")]}", c)) {
        blame(here_, key,
              outermost
                  ? "nothing is open that this " + in_quotes({&c, 1}) + " could close; leave it out"
                  : "the group that begins at " + source_.where(open_.back().opened.line) +
                        " is still open; close it with } before this " + c);
    } else if (const std::string known = look_alike(rest_); !known.empty()) {
        blame(here_, key, known);
    } else {
        const std::size_t end = std::min(rest_.find_first_of(ends_of_words), rest_.size());
        blame(here_, key,
              in_quotes(rest_.substr(0, std::max<std::size_t>(end, 1))) +
                  " is no key, which begins with a letter; give KEY = VALUE;");
    }
}

void Walk::element() {
    Frame& frame = open_.back();
    const char c = rest_.front();
    if (c == frame.closer) {
        if (frame.wants_element && frame.count > 0) {
            blame(frame.comma, frame.path, "nothing follows this comma; leave it out");
        } else {
            close();
        }
    } else if (c == ',' && !frame.wants_element) {
        frame.comma = here_;
        frame.wants_element = true;
        take(1);
    } else if (c == ',') {
        blame(here_, frame.path, "nothing stands before this comma; leave it out");
    } else if (holds(";)]}", c)) {
        blame(here_, frame.path,
              "the " + frame.noun() + " that begins at " + source_.where(frame.opened.line) +
                  " is still open; close it with " + frame.closer + " before this " + c);
    } else if (!frame.wants_element) {
        blame(here_, frame.path,
              "a comma is missing before this; give " +
                  std::string{frame.closer == ')' ? "( A, B )" : "[ A, B ]"});
    } else if (frame.closer == ']' && holds("([{", c)) {
        blame(here_, frame.path, std::string{"no "} + c + " stands within [ ]; give ( ... )");
    } else {
        value(frame.path + '[' + std::to_string(frame.count) + ']');
    }
}

void Walk::value(const std::string& path) {
    if (at_end() || holds(";,)]}", rest_.front())) {
        blame(here_, path, "has no value; give one behind the =");
    } else if (at('"')) {
        while (at('"')) { // strings side by side are one
            skip_string();
            skip();
        }
        after_value(Kind::string);
    } else if (at('(')) {
        open(')', path);
    } else if (at('[')) {
        open(']', path);
    } else if (at('{')) {
        open('}', path);
    } else if (at('=') || at(':')) {
        blame_value(path, "a second sign follows; give one =");
    } else {
        word(path);
    }
}

void Walk::word(const std::string& path) {
    const std::size_t comment = rest_.find("/*");
    const std::string_view text =
        rest_.substr(0, std::min({rest_.find_first_of(ends_of_words), comment, rest_.size()}));
    if (const auto kind = scalar(text)) {
        take(text.size());
        after_value(*kind);
        return;
    }
    if (!open_.back().is_group() && begins_setting(text)) {
        no_end();
        return;
    }
    blame_value(path, for_bare_word(text));
}

/// Whether a word where an element should stand is the next key: something before it is open.
bool Walk::begins_setting(std::string_view text) const noexcept {
    const std::size_t next = rest_.find_first_not_of(blanks, text.size());
    return text.ends_with(':') || (next != std::string_view::npos && rest_[next] == '=');
}

/// The value is none; where its key is another program's, that is the reason.
void Walk::blame_value(const std::string& path, std::string what) {
    const std::string_view key = std::string_view{path}.substr(0, path.find_first_of(".["));
    if (const std::string_view program = program_of(key); !program.empty()) {
        blame(here_, {},
              in_quotes(key) + " is from " + std::string{program} +
                  "; give what dotproxy.conf(5) describes");
    } else {
        blame(here_, path, std::move(what));
    }
}

void Walk::open(char closer, const std::string& path) {
    if (open_.size() > max_depth) {
        blame(here_, path, "groups and lists are nested too deep; no key needs it");
        return;
    }
    open_.push_back({.closer = closer, .opened = here_, .path = path});
    take(1);
}

void Walk::close() {
    take(1);
    open_.pop_back();
    after_value(Kind::compound);
}

void Walk::after_value(Kind kind) {
    Frame& frame = open_.back();
    if (!frame.is_group()) {
        if (frame.closer == ']' && frame.kind.value_or(kind) != kind) {
            blame(here_, frame.path, "its elements are of several types; give all of one, or ( )");
        }
        frame.kind = kind;
        frame.wants_element = false;
        ++frame.count;
        return;
    }
    skip();
    if (at(';') || at(',')) {
        take(1);
    }
}

void Walk::skip() {
    for (;;) {
        take(std::min(rest_.find_first_not_of(blanks), rest_.size()));
        if (!rest_.starts_with("/*")) {
            return;
        }
        skip_comment();
    }
}

void Walk::skip_comment() {
    const std::size_t end = rest_.find("*/", 2);
    take(end == std::string_view::npos ? rest_.size() : end + 2);
}

void Walk::skip_string() {
    std::size_t end = 1;
    while (end < rest_.size() && rest_[end] != '"') {
        end += rest_[end] == '\\' ? 2U : 1U;
    }
    take(std::min(end + 1, rest_.size()));
}

std::string_view Walk::take(std::size_t size) {
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    for (const char c : taken) {
        here_ = c == '\n' ? Place{here_.line + 1, 1} : Place{here_.line, here_.column + 1};
    }
    return taken;
}

void Walk::blame(Place where, std::string key, std::string what) {
    fault_ = Fault{.at = where, .key = std::move(key), .what = std::move(what)};
}

} // namespace

std::string explain_syntax(const Source& source, const LibraryError& otherwise) {
    const auto fault = Walk{source}.first_fault();
    if (!fault) {
        return source.where(otherwise.line) + ": " + otherwise.text +
               "; give KEY = VALUE; as dotproxy.conf(5) shows";
    }
    return source.where(fault->at.line) + ':' + std::to_string(fault->at.column) + ": " +
           (fault->key.empty() ? "syntax error" : fault->key) + ": " + fault->what;
}

} // namespace dotproxy
