// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "bench/names.hh"

#include <algorithm>
#include <array>
#include <string_view>

namespace dotproxy::bench {

namespace {

constexpr std::size_t digits_at = dns::header_size + 2; // behind the label's length and 'q'

} // namespace

Names::Names(const std::string& tag, std::uint32_t distinct) : distinct_{distinct} {
    query_.assign(dns::header_size, 0);
    dns::set_flags(query_, dns::flag::recursion_desired);
    dns::set_counts(query_, 1, 0, 0, 0);
    for (const std::string& label : {std::string{"q00000000"}, tag, std::string{"bench"},
                                     std::string{"example"}, std::string{"com"}}) {
        query_.push_back(static_cast<std::uint8_t>(label.size()));
        query_.insert(query_.end(), label.begin(), label.end());
    }
    const std::array<std::uint8_t, 5> rest{0, 0, dns::type::a, 0, dns::klass::in};
    query_.insert(query_.end(), rest.begin(), rest.end());
}

void Names::write(std::uint32_t number) noexcept {
    constexpr std::string_view digits = "0123456789abcdef";
    for (std::size_t i = 8; i-- > 0; number >>= 4U) {
        query_[digits_at + i] = static_cast<std::uint8_t>(digits[number & 0xfU]);
    }
}

dns::Octets Names::next(std::uint16_t id) noexcept {
    dns::set_id(query_, id);
    write(next_);
    last_ = next_++;
    if (next_ == distinct_) {
        next_ = 0;
    }
    return query_;
}

bool Names::is_about(dns::Octets message, std::uint32_t number) noexcept {
    write(number);
    return message.size() >= query_.size() &&
           std::equal(query_.begin() + dns::header_size, query_.end(),
                      message.begin() + dns::header_size);
}

} // namespace dotproxy::bench
