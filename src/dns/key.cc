// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Layout: name, type, class, group, flags. The name says where it ends, so nothing needs a length.

#include "dns/key.hh"

#include <algorithm>

namespace dotproxy::dns {

namespace {

constexpr std::size_t max_label_size = 63;

// What else the answer depends on (C80), a bit each.
namespace bit {
constexpr unsigned recursion_desired = 1;
constexpr unsigned checking_disabled = 2;
constexpr unsigned authentic_data = 4;
constexpr unsigned dnssec_ok = 8;
constexpr unsigned subnet_opt_out = 16;
constexpr unsigned all = 31;
} // namespace bit

std::uint8_t flags_of(const Question& question) noexcept {
    const auto chosen = [](bool on, unsigned flag) { return on ? flag : 0; };
    return static_cast<std::uint8_t>(chosen(question.recursion_desired, bit::recursion_desired) |
                                     chosen(question.checking_disabled, bit::checking_disabled) |
                                     chosen(question.authentic_data, bit::authentic_data) |
                                     chosen(question.dnssec_ok, bit::dnssec_ok) |
                                     chosen(question.subnet_opt_out, bit::subnet_opt_out));
}

// Whether these octets are one name, without pointers.
bool is_name(Octets octets) noexcept {
    if (octets.empty() || octets.size() > max_name_size) {
        return false;
    }
    std::size_t at = 0;
    while (at < octets.size() && octets[at] != 0) {
        if (octets[at] > max_label_size) {
            return false;
        }
        at += octets[at] + 1U;
    }
    return at + 1 == octets.size();
}

} // namespace

std::size_t put_key(const Question& question, MutableOctets out) noexcept {
    const Octets name = question.name.view();
    std::ranges::copy(name, out.begin());
    store16(out, name.size(), question.type);
    store16(out, name.size() + 2, question.klass);
    out[name.size() + 4] = question.group;
    out[name.size() + 5] = flags_of(question);
    return name.size() + key_fixed_size;
}

std::optional<Question> read_key(Octets key) noexcept {
    if (key.size() <= key_fixed_size) {
        return std::nullopt;
    }
    const Octets name = key.first(key.size() - key_fixed_size);
    const unsigned flags = key.back();
    if (!is_name(name) || (flags & ~bit::all) != 0) {
        return std::nullopt;
    }
    Question question;
    question.name.size = static_cast<std::uint8_t>(name.size());
    fold(name, question.name.octets);
    if (!std::ranges::equal(question.name.view(), name)) {
        return std::nullopt;
    }
    question.type = load16(key, name.size());
    question.klass = load16(key, name.size() + 2);
    question.group = key[name.size() + 4];
    question.recursion_desired = (flags & bit::recursion_desired) != 0;
    question.checking_disabled = (flags & bit::checking_disabled) != 0;
    question.authentic_data = (flags & bit::authentic_data) != 0;
    question.dnssec_ok = (flags & bit::dnssec_ok) != 0;
    question.subnet_opt_out = (flags & bit::subnet_opt_out) != 0;
    return question;
}

} // namespace dotproxy::dns
