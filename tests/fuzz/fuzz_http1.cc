// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// An HTTP/1.1 connection. The first octet says what is served; the rest is what the client says.
// The same is asked whether that comes at once or octet by octet, and what is held is bounded.

#include "http/http1.hh"
#include "http/server_context.hh"

#include "fuzz/fuzz.hh"

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace dotproxy::http;
using dotproxy::fuzz::require;

using Octets = std::span<const std::uint8_t>;

constexpr std::string_view answer = "answer";

struct Outcome {
    std::vector<std::string> asked;
    Server::State state{Server::State::open};

    friend bool operator==(const Outcome&, const Outcome&) = default;
};

void take(Server& server, Outcome& outcome) {
    Request request;
    while (server.next_request(request)) {
        require(!request.message.empty() && request.message.size() <= Server::body_limit,
                "a message has a size that messages have");
        require(request.forwarded_for.size() <= Question::forwarded_limit, "addresses are bounded");
        require(server.asked() == 1 && !server.has_request(), "one is asked at a time");
        outcome.asked.emplace_back(request.message.begin(), request.message.end());
        require(server.respond(
                    request.stream,
                    Octets{reinterpret_cast<const std::uint8_t*>(answer.data()), answer.size()},
                    60) == Server::Answered::queued,
                "what was asked can be answered");
    }
}

Outcome run(Octets said, std::size_t step, const Service& service) {
    static ServerContext context{1U << 20U};
    Http1 server{context, service};
    Outcome outcome;
    while (!said.empty() && server.state() == Server::State::open) {
        const Octets part = said.first(std::min(step, said.size()));
        said = said.subspan(part.size());
        server.feed(part);
        do {
            take(server, outcome);
            require(server.output().size() < Server::output_limit + 1024, "output is capped");
            server.output().clear();
            server.fill();
        } while (server.has_request() || !server.output().empty());
    }
    outcome.state = server.state();
    return outcome;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const Service service{
        .path = "/q", .cors = (data[0] & 1U) != 0, .forwarded = (data[0] & 2U) != 0};
    const Octets said{data + 1, size - 1};
    const Outcome whole = run(said, said.size(), service);
    require(whole == run(said, 1, service), "it does not matter how it is cut");
    require(whole == run(said, 7, service), "it does not matter how it is cut");
    return 0;
}
