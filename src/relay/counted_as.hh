// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What questions and answers are counted as: for each question and each answer, so by a table.

#pragma once

#include "dns/wire.hh"
#include "shared/counted.hh"

#include <array>
#include <cstdint>

namespace dotproxy {

namespace counted_as {

constexpr std::array<QueryType, 256> make_types() noexcept {
    std::array<QueryType, 256> types{};
    types.fill(QueryType::other);
    types[dns::type::a] = QueryType::a;
    types[dns::type::aaaa] = QueryType::aaaa;
    types[dns::type::https] = QueryType::https;
    types[dns::type::svcb] = QueryType::svcb;
    types[dns::type::ptr] = QueryType::ptr;
    types[dns::type::txt] = QueryType::txt;
    types[dns::type::srv] = QueryType::srv;
    types[dns::type::mx] = QueryType::mx;
    types[dns::type::ns] = QueryType::ns;
    types[dns::type::soa] = QueryType::soa;
    types[dns::type::cname] = QueryType::cname;
    types[dns::type::ds] = QueryType::ds;
    types[dns::type::dnskey] = QueryType::dnskey;
    types[dns::type::any] = QueryType::any;
    return types;
}

constexpr std::array<ResponseCode, 32> make_codes() noexcept {
    std::array<ResponseCode, 32> codes{};
    codes.fill(ResponseCode::other);
    codes[static_cast<std::size_t>(dns::Rcode::noerror)] = ResponseCode::noerror;
    codes[static_cast<std::size_t>(dns::Rcode::nxdomain)] = ResponseCode::nxdomain;
    codes[static_cast<std::size_t>(dns::Rcode::servfail)] = ResponseCode::servfail;
    codes[static_cast<std::size_t>(dns::Rcode::refused)] = ResponseCode::refused;
    codes[static_cast<std::size_t>(dns::Rcode::formerr)] = ResponseCode::formerr;
    codes[static_cast<std::size_t>(dns::Rcode::notimp)] = ResponseCode::notimp;
    codes[static_cast<std::size_t>(dns::Rcode::badvers)] = ResponseCode::badvers;
    return codes;
}

inline constexpr auto types = make_types();
inline constexpr auto codes = make_codes();

} // namespace counted_as

/// For the type in a question.
[[nodiscard]] inline QueryType query_type(std::uint16_t type) noexcept {
    return type < counted_as::types.size() ? counted_as::types[type] : QueryType::other;
}

/// For the RCODE of an answer, with the upper bits where it has them.
[[nodiscard]] inline ResponseCode response_code(std::uint16_t rcode) noexcept {
    return rcode < counted_as::codes.size() ? counted_as::codes[rcode] : ResponseCode::other;
}

} // namespace dotproxy
