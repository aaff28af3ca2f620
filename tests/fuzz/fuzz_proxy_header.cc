// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A header is the same in whatever pieces it comes, and what follows it changes nothing.

#include "front/proxy_header.hh"

#include "fuzz/fuzz.hh"

namespace {

using namespace dotproxy;
using dotproxy::fuzz::require;
using State = ProxyHeader::State;

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const dns::Octets octets{data, size};
    const ProxyHeader whole = parse_proxy_header(octets);
    const ProxyHeader datagram = parse_proxy_datagram(octets);
    require(datagram.state != State::partial, "nothing comes behind a datagram");
    require(whole.state != State::complete || (whole.size > 0 && whole.size <= size),
            "a header is as long as it says");
    require(whole.state != State::partial || size < most_proxy_header,
            "no more is waited for than a header may be");
    // Each beginning leaves open what becomes of it, or says the same as all of it.
    for (std::size_t first = 0; first < size && first < 256; ++first) {
        const ProxyHeader part = parse_proxy_header(octets.first(first));
        require(part.state == State::partial || part.state == whole.state,
                "more octets make nothing of what was settled");
        require(part.state != State::complete ||
                    (part.size == whole.size && part.client == whole.client),
                "what follows changes nothing");
    }
    return 0;
}
