// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/receive_errors.hh"

#include <fstream>
#include <sstream>
#include <string>

namespace dotproxy {

namespace {

std::string read_text(const char* path) {
    std::ostringstream text;
    text << std::ifstream{path}.rdbuf();
    return text.str();
}

/// Two lines begin with "Udp:", the first one with names and the second with their values.
std::uint64_t of_v4(std::string_view snmp) {
    std::istringstream text{std::string{snmp}};
    std::string names;
    for (std::string line; std::getline(text, line);) {
        if (!line.starts_with("Udp: ")) {
            continue;
        }
        if (names.empty()) {
            names = line;
            continue;
        }
        std::istringstream keys{names};
        std::istringstream values{line};
        std::string value;
        for (std::string key; keys >> key && values >> value;) {
            if (key == "RcvbufErrors") {
                return std::stoull(value);
            }
        }
    }
    return 0;
}

std::uint64_t of_v6(std::string_view snmp6) {
    std::istringstream text{std::string{snmp6}};
    std::string key;
    for (std::uint64_t value = 0; text >> key >> value;) {
        if (key == "Udp6RcvbufErrors") {
            return value;
        }
    }
    return 0;
}

} // namespace

std::uint64_t receive_buffer_errors(std::string_view snmp, std::string_view snmp6) {
    return of_v4(snmp) + of_v6(snmp6);
}

std::uint64_t receive_buffer_errors() {
    return receive_buffer_errors(read_text("/proc/self/net/snmp"),
                                 read_text("/proc/self/net/snmp6"));
}

} // namespace dotproxy
