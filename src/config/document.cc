// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The only file that knows libconfig. It uses what versions 1.5 and 1.7 have in common.

#include "config/document.hh"

#include "config/config.hh"
#include "config/syntax.hh"
#include "config/units.hh"

#include <algorithm>
#include <libconfig.h>

namespace dotproxy {

namespace {

std::string describe(int type) {
    switch (type) {
    case CONFIG_TYPE_GROUP:
        return "a group";
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        return "an integer";
    case CONFIG_TYPE_FLOAT:
        return "a floating-point number";
    case CONFIG_TYPE_STRING:
        return "a string";
    case CONFIG_TYPE_BOOL:
        return "a boolean";
    case CONFIG_TYPE_ARRAY:
    case CONFIG_TYPE_LIST:
        return "a list";
    default:
        return "nothing";
    }
}

/// What to write in place of a key that is not `known` where it stands.
std::string instead_of(const std::string& path, const std::string& name, Words known) {
    if (const std::string elsewhere = path_of(name); !elsewhere.empty()) {
        const std::string group = elsewhere.substr(0, elsewhere.rfind('.'));
        if (group == elsewhere) {
            return "give it outside of all groups";
        }
        return group.ends_with("[]")
                   ? "give it in an element of " + group.substr(0, group.size() - 2)
                   : "give " + group + ": { " + name + " = VALUE; };";
    }
    if (const std::string_view meant = nearest(name, known); !meant.empty()) {
        return "did you mean " + std::string{meant} + '?';
    }
    if (const std::string_view program = program_of(path); !program.empty()) {
        return "it is from " + std::string{program} + "; give what dotproxy.conf(5) describes";
    }
    return (known.size() == 1 ? "give " : "give one of ") + alternatives(known);
}

bool is_integer(int type) noexcept {
    return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

} // namespace

std::string in_quotes(std::string_view text) {
    constexpr std::size_t most = 64;
    return '"' + std::string{text.substr(0, most)} + (text.size() > most ? "...\"" : "\"");
}

std::string Value::place() const {
    return source_->where(config_setting_source_line(setting_)) + ": " + key_;
}

void Value::refuse(const std::string& what) const {
    throw ConfigError{place() + ": " + what};
}

int Value::type() const noexcept {
    return config_setting_type(setting_);
}

void Value::refuse_type(const std::string& wanted) const {
    refuse("is " + describe(type()) + "; give " + wanted);
}

std::string Value::string(std::string_view example) const {
    std::string text = string_or_empty(example);
    if (text.empty()) {
        refuse("is empty; give a string such as " + in_quotes(example));
    }
    return text;
}

std::string Value::string_or_empty(std::string_view example) const {
    if (type() != CONFIG_TYPE_STRING) {
        refuse_type("a string such as " + in_quotes(example));
    }
    return config_setting_get_string(setting_);
}

std::size_t Value::word(Words words) const {
    const std::string text = string(words.front());
    const auto found = std::ranges::find(words, text);
    if (found == words.end()) {
        refuse(in_quotes(text) + " is not known here; give " + alternatives(words));
    }
    return static_cast<std::size_t>(found - words.begin());
}

long long Value::integer(long long least, long long most) const {
    const std::string range = std::to_string(least) + " to " + std::to_string(most);
    if (!is_integer(type())) {
        refuse_type("an integer from " + range);
    }
    const long long number = config_setting_get_int64(setting_);
    if (number < least || number > most) {
        refuse("is out of range; give " + range);
    }
    return number;
}

double Value::number(double least, double most) const {
    std::array<char, 64> range{};
    std::snprintf(range.data(), range.size(), "%g to %g", least, most);
    if (!is_integer(type()) && type() != CONFIG_TYPE_FLOAT) {
        refuse_type("a number from " + std::string{range.data()});
    }
    const double number = is_integer(type())
                              ? static_cast<double>(config_setting_get_int64(setting_))
                              : config_setting_get_float(setting_);
    if (!(number >= least && number <= most)) {
        refuse("is out of range; give " + std::string{range.data()});
    }
    return number;
}

bool Value::boolean() const {
    if (type() != CONFIG_TYPE_BOOL) {
        refuse_type("true or false, without quotes");
    }
    return config_setting_get_bool(setting_) == CONFIG_TRUE;
}

Milliseconds Value::duration(Milliseconds least, Milliseconds most) const {
    const std::string range =
        '"' + units::duration_text(least) + "\" to \"" + units::duration_text(most) + '"';
    if (is_integer(type())) {
        const std::string number = std::to_string(config_setting_get_int64(setting_));
        refuse(number + " has no unit; for seconds write \"" + number + "s\", in quotes");
    }
    if (type() != CONFIG_TYPE_STRING) {
        refuse_type("a duration from " + range);
    }
    const std::string_view text = config_setting_get_string(setting_);
    const auto duration = units::parse_duration(text);
    if (!duration) {
        refuse(in_quotes(text) +
               " is not a duration; give a number and its unit, ms, s, m, h or d, " +
               "such as \"5s\"");
    }
    if (*duration < least || *duration > most) {
        refuse(in_quotes(text) + " is out of range; give " + range);
    }
    return *duration;
}

std::chrono::seconds Value::seconds(std::chrono::seconds least, std::chrono::seconds most) const {
    const Milliseconds duration = this->duration(least, most);
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
    if (seconds != duration) {
        refuse(in_quotes(units::duration_text(duration)) +
               " is not a whole number of seconds; give " +
               in_quotes(units::duration_text(seconds)) + " or " +
               in_quotes(units::duration_text(seconds + std::chrono::seconds{1})));
    }
    return seconds;
}

std::uint64_t Value::size_or_zero(std::uint64_t least, std::uint64_t most) const {
    const std::string range = in_quotes(units::size_text(least)) + " to " +
                              in_quotes(units::size_text(most)) + ", or \"0\"";
    if (type() != CONFIG_TYPE_STRING) {
        refuse_type("a size in quotes, from " + range);
    }
    const std::string_view text = config_setting_get_string(setting_);
    const auto size = units::parse_size(text);
    if (!size) {
        refuse(in_quotes(text) +
               " is not a size; give a whole number, alone or with k, M or G, such "
               "as \"64M\"");
    }
    if (*size != 0 && (*size < least || *size > most)) {
        refuse(in_quotes(text) + " is out of range; give " + range);
    }
    return *size;
}

std::vector<Value> Value::elements(std::string_view example) const {
    if (type() != CONFIG_TYPE_LIST && type() != CONFIG_TYPE_ARRAY) {
        refuse_type("a list such as ( " + std::string{example} + " )");
    }
    std::vector<Value> values;
    const auto count = static_cast<unsigned>(config_setting_length(setting_));
    for (unsigned i = 0; i < count; ++i) {
        values.push_back(Value{*source_, config_setting_get_elem(setting_, i),
                               key_ + '[' + std::to_string(i) + ']'});
    }
    return values;
}

void Value::check_group(Words known) const {
    if (type() != CONFIG_TYPE_GROUP) {
        refuse_type("a group { ... } of " + alternatives(known));
    }
    const auto count = static_cast<unsigned>(config_setting_length(setting_));
    for (unsigned i = 0; i < count; ++i) {
        const config_setting_t* const member = config_setting_get_elem(setting_, i);
        const std::string name = config_setting_name(member);
        if (std::ranges::find(known, name) != known.end()) {
            continue;
        }
        const Value value{*source_, member, key_.empty() ? name : key_ + '.' + name};
        value.refuse("unknown key; " + instead_of(value.key(), name, known));
    }
}

std::optional<Value> Value::find(std::string_view name) const {
    const std::string member{name};
    const config_setting_t* const found = config_setting_get_member(setting_, member.c_str());
    if (found == nullptr) {
        return std::nullopt;
    }
    return Value{*source_, found, key_.empty() ? member : key_ + '.' + member};
}

/// What libconfig made of the text.
struct Document::Tree {
    config_t config{};

    Tree() noexcept { config_init(&config); }

    Tree(const Tree&) = delete;
    Tree& operator=(const Tree&) = delete;

    ~Tree() { config_destroy(&config); }
};

Document::Document(Source source) : source_{std::move(source)}, tree_{std::make_unique<Tree>()} {
    config_t* const config = &tree_->config;
    if (config_read_string(config, source_.text().c_str()) != CONFIG_TRUE) {
        throw ConfigError{
            explain_syntax(source_, {.line = static_cast<unsigned>(config_error_line(config)),
                                     .text = config_error_text(config)})};
    }
}

Document::~Document() = default;

Value Document::root() const noexcept {
    return Value{source_, config_root_setting(&tree_->config), {}};
}

const char* config_library_version() noexcept {
    static const std::string version = std::to_string(LIBCONFIG_VER_MAJOR) + "." +
                                       std::to_string(LIBCONFIG_VER_MINOR) + "." +
                                       std::to_string(LIBCONFIG_VER_REVISION);
    return version.c_str();
}

std::vector<Value> some(const Value& list, std::string_view example) {
    std::vector<Value> values = list.elements(example);
    if (values.empty()) {
        list.refuse("is empty; give at least one, such as ( " + std::string{example} + " )");
    }
    return values;
}

Value required(const Value& group, std::string_view name, const std::string& example) {
    auto value = group.find(name);
    if (!value) {
        group.refuse("has no " + std::string{name} + "; give " + example);
    }
    return *value;
}

std::uint16_t read_port(const Value& group, std::uint16_t otherwise) {
    const auto port = group.find("port");
    return port ? static_cast<std::uint16_t>(port->integer(1, 65535)) : otherwise;
}

} // namespace dotproxy
