// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Raw: a ServerSession that is fed by hand, and what it says, frame by frame.

#pragma once

#include "http/client.hh"
#include "http/frames.hh"

#include <string>
#include <string_view>
#include <vector>

namespace dotproxy::http::test {

struct Raw {
    explicit Raw(const Service& its_service = {}) : service{its_service} {
        assert_int_equal(feed(preface + settings()), Server::State::open);
        static_cast<void>(said());
    }

    Server::State feed(std::string_view octets) { return server.feed(octets_of(octets)); }

    std::vector<Seen> said() {
        std::string all;
        server.fill();
        while (server.output().size() > 0) {
            all += text_of(server.output().view());
            server.output().clear();
            server.fill();
        }
        return frames_of(all);
    }

    // Of this type, among all that the server has to say.
    std::vector<Seen> said(std::uint8_t type) {
        std::vector<Seen> found = said();
        std::erase_if(found, [=](const Seen& one) { return one.type != type; });
        return found;
    }

    ServerContext context{Pair::memory};
    Service service;
    ServerSession server{context, service};
};

} // namespace dotproxy::http::test
