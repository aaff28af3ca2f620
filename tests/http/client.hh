// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Client: a Peer and the ServerSession that it is connected to, by nothing but memory.

#pragma once

#include "http/peer.hh"
#include "http/server_context.hh"
#include "http/server_session.hh"

#include "unit.hh"

#include <string>
#include <utility>
#include <vector>

namespace dotproxy::http::test {

/// One that is connected to a Server by nothing but memory.
class Client : public Peer {
  public:
    explicit Client(Server& server) : server_{server} {}

    /// Takes what the server has to say.
    void hear() {
        server_.fill();
        const std::string said = text_of(server_.output().view());
        server_.output().clear();
        take(said);
    }

    /// Both say what they have to say, until they have said all.
    void talk() {
        for (std::string said = sent(); !said.empty() || server_.held() > 0; said = sent()) {
            server_.feed(octets_of(said));
            const std::size_t before = server_.held();
            hear();
            if (said.empty() && before == server_.held()) {
                return; // it waits for a window
            }
        }
        hear();
        if (!nghttp2_session_want_write(session())) {
            return;
        }
        server_.feed(octets_of(sent()));
        hear();
    }

  private:
    Server& server_;
};

/// A session with what it needs, and a client that has said hello.
struct Pair {
    explicit Pair(const Service& its_service = {},
                  std::uint32_t streams = ServerSession::most_streams,
                  std::vector<nghttp2_settings_entry> settings = {})
        : service{its_service}, server{context, service, streams}, client{server} {
        client.greet(std::move(settings));
        client.talk();
    }

    /// Takes the next request, which has to be there.
    Request take() {
        Request request;
        assert_true(server.next_request(request));
        return request;
    }

    static constexpr std::size_t memory = std::size_t{1} << 24U;

    ServerContext context{memory};
    Service service;
    ServerSession server;
    Client client;
};

} // namespace dotproxy::http::test
