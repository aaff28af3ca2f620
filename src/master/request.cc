// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/request.hh"

#include "base/number.hh"

#include <algorithm>
#include <array>

namespace dotproxy {

namespace {

using namespace std::string_view_literals;
using Verb = Request::Verb;
using Words = std::span<const std::string_view>;

constexpr std::size_t max_name_size = 255;
constexpr std::uint8_t max_label_size = 63;
constexpr std::size_t max_words = 3;
constexpr std::size_t key_fixed_size = 6; // behind the name: type, class, group, flags

// In the order of the enumerators.
constexpr std::array verbs{"status"sv,      "reload"sv, "cache"sv, "flush"sv,
                           "flush-below"sv, "limits"sv, "block"sv, "unblock"sv};

/// How many words may follow each of them, at least and at most.
struct Arguments {
    std::size_t least;
    std::size_t most;
};

constexpr std::array<Arguments, verbs.size()> arguments{
    {{0, 0}, {0, 0}, {0, 0}, {0, 2}, {1, 1}, {0, 0}, {1, 2}, {1, 1}}};

/// The words of a line; one more than any request has stands for all that follow.
std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    while (words.size() <= max_words) {
        line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
        if (line.empty()) {
            break;
        }
        words.push_back(line.substr(0, line.find(' ')));
        line.remove_prefix(words.back().size());
    }
    return words;
}

/// Whether labels fill `name` up to its end, where the root label stands.
bool is_name(const std::vector<std::uint8_t>& name) noexcept {
    std::size_t at = 0;
    while (at < name.size() && name[at] != 0) {
        if (name[at] > max_label_size) {
            return false;
        }
        at += name[at] + 1U;
    }
    return at + 1 == name.size() && name.size() <= max_name_size;
}

/// A name in lower case; empty when it is none.
std::vector<std::uint8_t> read_name(std::string_view hex) {
    std::vector<std::uint8_t> name;
    for (; hex.size() >= 2; hex.remove_prefix(2)) {
        const auto octet = parse_number<unsigned>(hex.substr(0, 2), 16);
        if (!octet) {
            return {};
        }
        // A length octet is less than any letter.
        const bool upper = *octet >= 'A' && *octet <= 'Z';
        name.push_back(static_cast<std::uint8_t>(upper ? *octet | 0x20U : *octet));
    }
    return hex.empty() && is_name(name) ? name : std::vector<std::uint8_t>{};
}

/// What follows the verb of a flush; false: `problem` says what is wrong with it.
bool read_flush(Words words, Request& request, const char*& problem) {
    if (!words.empty()) {
        request.name = read_name(words[0]);
        if (request.name.empty()) {
            problem = "not a name on the wire in hexadecimal digits";
            return false;
        }
    }
    if (words.size() > 1) {
        const auto type = parse_number<unsigned>(words[1], 10);
        if (!type || *type == 0 || *type > UINT16_MAX) {
            problem = "not the number of a type, from 1 to 65535";
            return false;
        }
        request.type = static_cast<std::uint16_t>(*type);
    }
    return true;
}

/// The same for a block.
bool read_block(Words words, Request& request, const char*& problem) {
    const auto prefix = Prefix::parse(std::string{words[0]});
    if (!prefix) {
        problem = "not an address or a network";
        return false;
    }
    request.prefix = *prefix;
    if (words.size() > 1) {
        const auto time = parse_number<unsigned>(words[1], 10);
        if (!time || *time == 0 || std::chrono::seconds{*time} > Request::longest_block) {
            problem = "not a number of seconds, from 1 to 86400";
            return false;
        }
        request.time = std::chrono::seconds{*time};
    }
    return true;
}

} // namespace

std::optional<Request> parse_request(std::string_view line, const char*& problem) {
    const std::vector<std::string_view> words = words_of(line);
    const auto* const verb =
        words.empty() ? verbs.end() : std::find(verbs.begin(), verbs.end(), words.front());
    if (verb == verbs.end()) {
        problem = "unknown request; known are status, reload, cache, flush, flush-below, limits, "
                  "block and unblock";
        return std::nullopt;
    }
    const auto index = static_cast<std::size_t>(verb - verbs.begin());
    if (words.size() - 1 < arguments[index].least || words.size() - 1 > arguments[index].most) {
        problem = "too few or too many arguments";
        return std::nullopt;
    }
    Request request;
    request.verb = static_cast<Verb>(index);
    const Words rest = Words{words}.subspan(1);
    const bool good = request.verb == Verb::block || request.verb == Verb::unblock
                          ? read_block(rest, request, problem)
                          : read_flush(rest, request, problem);
    return good ? std::optional{request} : std::nullopt;
}

bool takes(const Request& request, std::span<const std::uint8_t> key) noexcept {
    const auto& wanted = request.name;
    if (wanted.empty()) {
        return true;
    }
    if (key.size() < wanted.size() + key_fixed_size) {
        return false;
    }
    const auto name = key.first(key.size() - key_fixed_size);
    const std::size_t start = name.size() - wanted.size();
    if (!std::equal(wanted.begin(), wanted.end(), name.subspan(start).begin())) {
        return false;
    }
    if (request.verb != Verb::flush_below) {
        const auto type = static_cast<std::uint16_t>(key[name.size()] << 8U | key[name.size() + 1]);
        return start == 0 && (request.type == 0 || request.type == type);
    }
    // The octets match; do they begin at a label?
    std::size_t at = 0;
    while (at < start) {
        at += name[at] + 1U;
    }
    return at == start;
}

bool takes_all(const Request& request) noexcept {
    // Every name is below that of no label.
    return request.name.empty() || (request.verb == Verb::flush_below && request.name.size() == 1);
}

std::string error_line(std::string_view problem) {
    std::string line = "error ";
    for (const char c : problem) {
        line += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? ' ' : c;
    }
    return line += '\n';
}

} // namespace dotproxy
