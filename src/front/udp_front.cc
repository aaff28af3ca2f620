// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/udp_front.hh"

#include "front/courtesy.hh"
#include "front/proxy_header.hh"
#include "relay/gate.hh"
#include "relay/relay.hh"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace dotproxy {

namespace {

constexpr int batches_at_leave = 64;

// So long after the last sign of it there is no time for what can wait.
constexpr std::chrono::milliseconds overload_lasts{100};

/// What is said of where proxies announce their clients; nullptr: these ask themselves there.
const ListenConfig* proxied_at(const Config& config, const Address& local) noexcept {
    const ListenConfig* const here = config.listener_at(Protocol::udp, local);
    return here != nullptr && here->proxy_protocol ? here : nullptr;
}

} // namespace

UdpFront::UdpFront(Turn& turn, Gate& gate, Relay& relay, Courtesy& courtesy,
                   const Listener& listener)
    : turn_{turn}, gate_{gate}, relay_{relay}, courtesy_{courtesy}, listener_{listener},
      access_{turn.config.access_at(Protocol::udp, listener.address)},
      proxied_{proxied_at(turn.config, listener.address)}, wildcard_{
                                                               listener.address.is_wildcard()} {
    for (std::size_t i = 0; i < batch_size; ++i) {
        in_->parts[i] = {.iov_base = nullptr, .iov_len = receive_size};
        in_->headers[i] = {};
        in_->headers[i].msg_hdr.msg_iov = &in_->parts[i];
        in_->headers[i].msg_hdr.msg_iovlen = 1;
        out_->headers[i] = {};
        out_->headers[i].msg_hdr.msg_iov = &out_->parts[i];
        out_->headers[i].msg_hdr.msg_iovlen = 1;
    }
}

bool UdpFront::open() noexcept {
    return courtesy_.open(listener_.socket.get(), *this);
}

void UdpFront::drain() noexcept {
    // What this worker may have been woken for: no other one was.
    for (int i = 0; i < batches_at_leave && read(); ++i) {
    }
    courtesy_.close(listener_.socket.get());
}

void UdpFront::on_ready(std::uint32_t /*events*/) noexcept {
    if (!courtesy_.step_back()) {
        static_cast<void>(read());
    }
}

/// Takes a batch of queries. true: there may be more.
bool UdpFront::read() noexcept {
    if (price_.is_old(turn_.now)) {
        look_at_queue();
    }
    for (std::size_t i = 0; i < batch_size; ++i) {
        msghdr& header = in_->headers[i].msg_hdr;
        in_->parts[i].iov_base = in_->octets[i].data();
        header.msg_name = in_->peers[i].data();
        header.msg_namelen = Address::capacity;
        header.msg_control = wildcard_ ? in_->controls[i].octets.data() : nullptr;
        header.msg_controllen = wildcard_ ? control_size : 0;
    }
    // Another worker may have been quicker, and a socket error of an earlier answer may be reported
    // here: both are no datagram.
    const int count =
        ::recvmmsg(listener_.socket.get(), in_->headers.data(), batch_size, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < count; ++i) {
        take(static_cast<std::size_t>(i));
    }
    const bool full = count == static_cast<int>(batch_size);
    turn_.udp_waits = turn_.udp_waits || full;
    if (price_.note_batch(full, turn_.now)) {
        look_at_queue();
    }
    if (price_.price().count() > 0) {
        turn_.overloaded_until = turn_.now + overload_lasts;
    }
    return full;
}

void UdpFront::look_at_queue() noexcept {
    price_.look(ReceiveQueue::of(listener_.socket.get()).value_or(ReceiveQueue{}), turn_.now);
}

/// Takes a question if its source can pay for it, while there are too many (limits 28). Another
/// forwarder on this host asks for everybody, and is not held up, unless limits.networks says so.
void UdpFront::ask(const Client& client, dns::Octets message) noexcept {
    const bool pays = client.standing.network != Standing::unlimited || !client.peer.is_loopback();
    if (pays && price_.price().count() > 0 &&
        !gate_.pay(client.peer, client.standing, price_.price())) {
        price_.note_dropped();
        turn_.counters.add(Counter::overload_dropped);
    } else if (relay_.ask(client, message) == Relay::Heard::nothing) {
        price_.note_dropped();
    } else {
        price_.note_taken(pays);
    }
}

void UdpFront::take(std::size_t index) noexcept {
    const mmsghdr& header = in_->headers[index];
    turn_.counters.add(Counter::udp_queries);
    const Address& peer = in_->peers[index];
    if (peer.port() == 0 || (header.msg_hdr.msg_flags & MSG_TRUNC) != 0) {
        turn_.counters.add(Counter::dropped);
        return;
    }
    if (gate_.blocks(peer)) {
        return;
    }
    Client client;
    client.front = this;
    client.peer = peer;
    client.asked_at = turn_.now;
    if (wildcard_) {
        read_local(header.msg_hdr, client);
    }
    dns::Octets message = std::span{in_->octets[index]}.first(header.msg_len);
    // What gets no answer has been counted.
    const Whose whose = proxied_ != nullptr ? find_asker(client, message) : Whose::clients;
    if (whose == Whose::nobodys) {
        return;
    }
    // A proxy may ask for itself, to see whether it is answered (E75).
    if (const auto standing = whose == Whose::proxys ? std::optional{Standing{}}
                                                     : gate_.admit(client.peer, access_)) {
        client.standing = *standing;
        ask(client, message);
        return;
    }
    gate_.charge_unanswered(client.peer, std::nullopt, false);
    if (gate_.tells(client.peer)) {
        relay_.decline(client, message);
    } else {
        turn_.counters.add(Counter::access_dropped);
    }
}

/// Has `client` be who is behind the proxy that it is, and takes what says so off `message` (E74).
UdpFront::Whose UdpFront::find_asker(Client& client, dns::Octets& message) noexcept {
    if (!proxied_->trusts(client.peer)) {
        turn_.counters.add(Counter::access_dropped);
        return Whose::nobodys;
    }
    const ProxyHeader header = parse_proxy_datagram(message);
    if (header.state != ProxyHeader::State::complete) {
        turn_.counters.add(Counter::proxy_dropped);
        return Whose::nobodys;
    }
    message = message.subspan(header.size);
    client.proxy = client.peer;
    client.peer = header.client.value_or(client.peer);
    if (gate_.blocks(client.peer)) {
        return Whose::nobodys;
    }
    return header.local ? Whose::proxys : Whose::clients;
}

void UdpFront::read_local(const msghdr& header, Client& client) const noexcept {
    const cmsghdr* control = CMSG_FIRSTHDR(&header);
    if (control == nullptr) {
        return;
    }
    if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
        in6_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(control), sizeof info);
        // Nothing leaves from the address of a group: of what was asked there the kernel chooses.
        client.local = IN6_IS_ADDR_MULTICAST(&info.ipi6_addr) ? in6addr_any : info.ipi6_addr;
        client.interface = info.ipi6_ifindex;
    } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
        in_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(control), sizeof info);
        // Not ipi_addr, which is what was asked be it a broadcast address, and nothing leaves from
        // that: this one is the same, or else the interface's own.
        std::memcpy(&client.local, &info.ipi_spec_dst, sizeof info.ipi_spec_dst);
        client.interface = static_cast<unsigned>(info.ipi_ifindex);
    }
}

void UdpFront::write_local(const Client& client, std::size_t index) noexcept {
    msghdr& header = out_->headers[index].msg_hdr;
    header.msg_control = out_->controls[index].octets.data();
    header.msg_controllen = control_size;
    cmsghdr* control = CMSG_FIRSTHDR(&header);
    if (listener_.address.is_v6()) {
        in6_pktinfo info{};
        info.ipi6_addr = client.local;
        // The interface only where the address is not enough to tell: elsewhere routing decides.
        info.ipi6_ifindex = IN6_IS_ADDR_LINKLOCAL(&client.local) ? client.interface : 0;
        control->cmsg_level = IPPROTO_IPV6;
        control->cmsg_type = IPV6_PKTINFO;
        control->cmsg_len = CMSG_LEN(sizeof info);
        std::memcpy(CMSG_DATA(control), &info, sizeof info);
        header.msg_controllen = CMSG_SPACE(sizeof info);
    } else {
        in_pktinfo info{};
        std::memcpy(&info.ipi_spec_dst, &client.local, sizeof info.ipi_spec_dst);
        control->cmsg_level = IPPROTO_IP;
        control->cmsg_type = IP_PKTINFO;
        control->cmsg_len = CMSG_LEN(sizeof info);
        std::memcpy(CMSG_DATA(control), &info, sizeof info);
        header.msg_controllen = CMSG_SPACE(sizeof info);
    }
}

dns::Channel UdpFront::channel(const Client& /*client*/, const dns::Asker& asker) const noexcept {
    return {.limit = dns::udp_limit(asker), .keepalive = std::nullopt};
}

std::optional<Address> UdpFront::asked_address(const Client& client) noexcept {
    if (proxied_ != nullptr) {
        return std::nullopt;
    }
    if (!wildcard_) {
        return listener_.address;
    }
    if (listener_.address.is_v6()) {
        sockaddr_in6 name{};
        name.sin6_family = AF_INET6;
        name.sin6_addr = client.local;
        return Address{name};
    }
    sockaddr_in name{};
    name.sin_family = AF_INET;
    std::memcpy(&name.sin_addr, &client.local, sizeof name.sin_addr);
    return Address{name};
}

dns::MutableOctets UdpFront::begin_answer(const Client& /*client*/, std::size_t size) noexcept {
    if (queued_ == batch_size) {
        flush();
    }
    auto& octets = out_->octets[queued_];
    return std::span{octets}.first(std::min(size, octets.size()));
}

void UdpFront::end_answer(const Client& client, std::size_t size) noexcept {
    const std::size_t index = queued_++;
    out_->peers[index] = proxied_ != nullptr ? client.proxy : client.peer;
    out_->parts[index] = {.iov_base = out_->octets[index].data(), .iov_len = size};
    msghdr& header = out_->headers[index].msg_hdr;
    header.msg_name = out_->peers[index].data();
    header.msg_namelen = out_->peers[index].size();
    header.msg_control = nullptr;
    header.msg_controllen = 0;
    if (wildcard_) {
        write_local(client, index);
    }
}

void UdpFront::flush() noexcept {
    std::size_t done = 0;
    while (done < queued_) {
        const int count = ::sendmmsg(listener_.socket.get(), &out_->headers[done],
                                     static_cast<unsigned>(queued_ - done), MSG_DONTWAIT);
        if (count > 0) {
            done += static_cast<std::size_t>(count);
            turn_.counters.add(Counter::udp_answers, static_cast<std::size_t>(count));
        } else if (errno != EINTR) {
            // The first of them cannot be sent: no route back, or the socket's buffer is full. It
            // is a datagram; its client asks again.
            turn_.counters.add(Counter::send_failed);
            ++done;
        }
    }
    queued_ = 0;
}

} // namespace dotproxy
