// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// HttpLine: an HttpWire whose other end is the test.

#pragma once

#include "dns/messages.hh"
#include "http/upstream_peer.hh"
#include "unit.hh"
#include "upstream/http_wire.hh"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy::test {

using namespace dotproxy::http::test;
using dns::test::Message;
using dns::test::Section;
using Kind = QueryWire::Arrival::Kind;
using Loss = QueryWire::Loss;

/// An inquiry with a question.
struct Asked : Inquiry {
    explicit Asked(std::string_view name = "www.example") {
        const auto wire = dns::test::wire_name(name);
        question.name.size = static_cast<std::uint8_t>(wire.size());
        std::ranges::copy(wire.octets(), question.name.octets.begin());
        question.type = dns::type::a;
        question.klass = dns::klass::in;
        question.recursion_desired = true;
    }
};

/// A wire, and the other end of it.
struct HttpLine {
    explicit HttpLine(const std::string& greeting = settings()) {
        static_cast<void>(written());
        feed(greeting);
        static_cast<void>(written());
    }

    void feed(std::string_view octets) { wire.feed(octets_of(octets)); }

    std::vector<Seen> written() {
        std::string all = text_of(wire.queued());
        sent = wire.on_sent();
        if (all.starts_with(preface)) {
            all.erase(0, preface.size());
        }
        return frames_of(all);
    }

    /// The message of the only request that is written.
    std::string query() {
        std::vector<Seen> frames = written();
        std::erase_if(frames, [](const Seen& one) { return one.type != NGHTTP2_DATA; });
        assert_int_equal(frames.size(), 1);
        return frames[0].payload;
    }

    http::ClientContext context;
    http::Target target{"dns.example", "/dns-query"};
    HttpWire wire{context, target};
    std::size_t sent{0}; // queries, the last time
};

inline std::string answer_to(std::string_view name = "www.example") {
    Message message{0, dns::test::response_flags};
    message.question(name, dns::type::a);
    message.name(name);
    message.rest(Section::answer, dns::type::a, dns::test::address);
    return text_of(message.octets());
}

/// The only arrival.
inline QueryWire::Arrival only(HttpLine& line) {
    const QueryWire::Arrival arrival = line.wire.next();
    assert_true(line.wire.next().kind == Kind::nothing);
    return arrival;
}

} // namespace dotproxy::test
