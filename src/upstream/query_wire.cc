// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/query_wire.hh"

#include "dns/query.hh"

namespace dotproxy {

dns::Octets write_query(Inquiry& inquiry, std::uint16_t id, bool keepalive,
                        dns::MutableOctets out) noexcept {
    if (!inquiry.sealed.empty()) {
        dns::set_id(inquiry.sealed, id);
        return inquiry.sealed;
    }
    const std::size_t size = dns::write_query(inquiry.question, id, keepalive, out);
    if (inquiry.checking) {
        dns::set_flags(out,
                       static_cast<std::uint16_t>(dns::flags(out) | dns::flag::checking_disabled));
    }
    return out.first(size);
}

std::size_t write_probe(std::uint16_t id, dns::MutableOctets out) noexcept {
    dns::Question question{};
    question.name.size = 1;
    question.name.octets[0] = 0;
    question.type = dns::type::ns;
    question.klass = dns::klass::in;
    question.recursion_desired = true;
    return dns::write_query(question, id, false, out);
}

} // namespace dotproxy
