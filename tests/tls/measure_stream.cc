// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Prints what a session costs: CPU time for each message, alone in its record or with others, and
// memory for each session. It judges nothing, so it is no test.

#include "tls/peer.hh"

#include <array>
#include <cstdio>
#include <ctime>
#include <deque>
#include <malloc.h>
#include <string>

using namespace dotproxy::tls;
using namespace dotproxy::tls::test;

namespace {

constexpr std::size_t message_size = 128;

struct World {
    Certificate root{issue({.common_name = "root", .authority = true})};
    Certificate leaf{issue({.dns = {"dns.good.example"}}, &root)};
    TemporaryFile trust{root.pem()};
    ClientContext context{trust.path()};
    Service service{{&leaf}, leaf};
    Identity identity{*Identity::make("dns.good.example", {})};
};

double cpu_nanoseconds() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

void measure_messages(const World& world, std::size_t per_record) {
    Tickets tickets;
    Client client{world.context, world.identity, tickets};
    Server server{world.service};
    carry(client, server);
    const std::string text(message_size * per_record, 'x');
    constexpr int rounds = 20000;
    double start = cpu_nanoseconds();
    for (int i = 0; i < rounds; ++i) {
        if (client.stream.send(octets(text)) != Io::done) {
            return;
        }
        client.stream.output().clear();
    }
    const double sending = cpu_nanoseconds() - start;

    for (int i = 0; i < rounds; ++i) {
        server.say(text);
    }
    std::array<std::uint8_t, 16384> plain{};
    std::size_t size = 0;
    start = cpu_nanoseconds();
    client.stream.feed(server.output);
    while (client.stream.receive(plain, size) == Io::done) {
    }
    const double receiving = cpu_nanoseconds() - start;
    const double messages = static_cast<double>(rounds) * static_cast<double>(per_record);
    std::printf("%2zu messages of %zu octets a record: send %4.0f ns, receive %4.0f ns a message\n",
                per_record, message_size, sending / messages, receiving / messages);
}

void measure_handshakes(const World& world) {
    constexpr int rounds = 200;
    for (const bool resumed : {false, true}) {
        double client_time = 0;
        for (int i = 0; i < rounds; ++i) {
            Tickets tickets;
            if (resumed) {
                tickets.put(ticket_without_check(world.service));
            }
            Server server{world.service};
            double start = cpu_nanoseconds();
            Client client{world.context, world.identity, tickets};
            client_time += cpu_nanoseconds() - start;
            server.take(client.stream.output().view());
            start = cpu_nanoseconds();
            client.take(server.output);
            client_time += cpu_nanoseconds() - start;
        }
        std::printf("%s handshake: %.0f us for the client\n", resumed ? "resumed" : "full",
                    client_time / rounds / 1000);
    }
}

void measure_memory(const World& world) {
    constexpr std::size_t sessions = 500;
    Tickets tickets;
    std::deque<Client> clients;
    const std::size_t before = mallinfo2().uordblks;
    for (std::size_t i = 0; i < sessions; ++i) {
        tickets.clear();
        Server server{world.service};
        carry(clients.emplace_back(world.context, world.identity, tickets), server);
        clients.back().stream.output().release();
    }
    std::printf("%.1f KiB of heap a session\n",
                static_cast<double>(mallinfo2().uordblks - before) / sessions / 1024);
}

} // namespace

int main() {
    const World world;
    measure_messages(world, 1);
    measure_messages(world, 16);
    measure_handshakes(world);
    measure_memory(world);
    return 0;
}
