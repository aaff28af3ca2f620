// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "worker/resolver.hh"

#include "base/listener.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/socket.h>
#include <utility>

namespace dotproxy::test {

namespace {

std::string dotted(std::span<const std::uint8_t> name) {
    std::string text;
    for (std::size_t at = 0; at < name.size() && name[at] != 0; at += name[at] + 1U) {
        text += text.empty() ? "" : ".";
        text.append(reinterpret_cast<const char*>(&name[at + 1]), name[at]);
    }
    return text;
}

} // namespace

dns::test::Message right_answer(const Asked& asked) {
    dns::test::Message message{asked.id, dns::test::response_flags};
    message.question(asked.name, asked.type);
    if (asked.type == dns::type::a) {
        message.at(dns::header_size, dns::test::Section::answer, dns::type::a, dns::test::address);
    }
    return message;
}

Resolver::Resolver(const tls::test::Service& service)
    : service_{service}, address_{*Address::parse("127.0.0.1", 0)} {
    start();
}

void Resolver::start() {
    listening_ = open_listener(Protocol::tcp, address_).socket;
    socklen_t size = Address::capacity;
    ::getsockname(listening_.get(), address_.data(), &size);
}

void Resolver::stop() {
    listening_.reset();
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
        close(i, false);
    }
}

void Resolver::step() {
    accept();
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
        Session& session = *sessions_[i];
        if (session.open && shakes_hands) {
            read(session);
            parse(i);
            write(session);
        }
    }
}

void Resolver::accept() {
    for (;;) {
        Fd socket{::accept4(listening_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (!socket) {
            return;
        }
        sessions_.push_back(std::make_unique<Session>(service_, std::move(socket)));
    }
}

void Resolver::read(Session& session) {
    std::array<std::uint8_t, 65536> octets{};
    for (;;) {
        const ssize_t count = ::recv(session.socket.get(), octets.data(), octets.size(), 0);
        if (count > 0) {
            session.tls.take(std::span{octets}.first(static_cast<std::size_t>(count)));
            continue;
        }
        if (count == 0 || errno != EAGAIN) {
            session.open = false;
            session.socket.reset();
        }
        return;
    }
}

void Resolver::parse(std::size_t index) {
    Session& session = *sessions_[index];
    const auto stream = tls::test::octets(session.tls.received);
    while (session.parsed + 2 <= stream.size()) {
        const std::size_t size = dns::load16(stream, session.parsed);
        if (session.parsed + 2 + size > stream.size()) {
            return;
        }
        const auto message = stream.subspan(session.parsed + 2, size);
        session.parsed += 2 + size;
        ++asked_in_all;
        const std::size_t name_size = dns::name_size(message, dns::header_size);
        Asked one{.session = index,
                  .id = dns::id(message),
                  .name = dotted(message.subspan(dns::header_size, name_size)),
                  .type = dns::load16(message, dns::header_size + name_size),
                  .message = {message.begin(), message.end()}};
        if (answers) {
            answer(one);
        } else {
            asked.push_back(std::move(one));
        }
    }
}

void Resolver::write(Session& session) {
    auto& output = session.tls.output;
    while (session.socket && !output.empty()) {
        const ssize_t count =
            ::send(session.socket.get(), output.data(), output.size(), MSG_NOSIGNAL);
        if (count <= 0) {
            return;
        }
        output.erase(output.begin(), output.begin() + count);
    }
}

Asked Resolver::take() {
    Asked one;
    if (!asked.empty()) {
        one = std::move(asked.front());
        asked.pop_front();
    }
    return one;
}

void Resolver::answer(const Asked& one) {
    send(one.session, right_answer(one).octets());
}

void Resolver::answer_with_keepalive(const Asked& one, std::uint16_t tenths) {
    constexpr std::uint16_t keepalive = 11;
    dns::test::Bytes value;
    value.u16(tenths);
    dns::test::Bytes option;
    option.option(keepalive, value.octets());
    dns::test::Message message = right_answer(one);
    message.opt(option.octets());
    send(one.session, message.octets());
}

void Resolver::send(std::size_t session, std::span<const std::uint8_t> message) {
    std::vector<std::uint8_t> frame{static_cast<std::uint8_t>(message.size() >> 8U),
                                    static_cast<std::uint8_t>(message.size() & 0xffU)};
    frame.insert(frame.end(), message.begin(), message.end());
    send_raw(session, frame);
}

void Resolver::send_raw(std::size_t session, std::span<const std::uint8_t> octets) {
    Session& one = *sessions_.at(session);
    if (one.open) {
        one.tls.say({reinterpret_cast<const char*>(octets.data()), octets.size()});
        write(one);
    }
}

void Resolver::close(std::size_t session, bool in_order) {
    Session& one = *sessions_.at(session);
    if (one.open && in_order && one.tls.shaken) {
        gnutls_bye(one.tls.session(), GNUTLS_SHUT_WR);
        write(one);
    }
    one.open = false;
    one.socket.reset();
}

} // namespace dotproxy::test
