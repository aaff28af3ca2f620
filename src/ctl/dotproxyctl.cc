// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// dotproxyctl(8): the command line, and what it becomes on the control socket.

#include "base/prefix.hh"
#include "config/config.hh"
#include "config/units.hh"
#include "ctl/name_text.hh"
#include "ctl/service.hh"
#include "dns/name_text.hh"

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <getopt.h>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace dotproxy;
using namespace std::chrono_literals;
using Words = std::vector<std::string_view>;

constexpr int exit_refused = 1; // the service said no
constexpr int exit_trouble = 2; // usage, or no service

constexpr const char* usage = "usage: dotproxyctl [-c FILE | -s SOCKET] COMMAND\n"
                              "  status                what runs, and its counters\n"
                              "  reload                read the configuration again\n"
                              "  cache                 what is remembered\n"
                              "  flush                 forget all of it\n"
                              "  flush NAME [TYPE]     forget a name, or one type of it\n"
                              "  flush --below NAME    forget a name and those below it\n"
                              "  limits                who is blocked, or over a limit\n"
                              "  block PREFIX [TIME]   drop what comes from there\n"
                              "  unblock PREFIX        and do so no longer\n"
                              "  help                  print this and exit\n"
                              "  -c FILE    read FILE instead of " SYSCONFDIR "/dotproxy.conf\n"
                              "  -s SOCKET  connect to SOCKET instead of control_socket\n"
                              "  -V         print the version and exit\n"
                              "  -h         print this and exit\n";

/// The command line makes no sense; what() says why.
class UsageError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

struct Options {
    std::optional<std::string> config_path;
    std::optional<std::string> socket;
    Words words;
};

/// nullopt: `status` says how to end.
std::optional<Options> read_options(int argc, char** argv, int& status) {
    Options options;
    status = EXIT_SUCCESS;
    constexpr std::array<option, 3> long_options{{{"version", no_argument, nullptr, 'V'},
                                                  {"help", no_argument, nullptr, 'h'},
                                                  {nullptr, 0, nullptr, 0}}};
    int letter = 0;
    // The plus sign: what follows the command is the command's.
    while ((letter = ::getopt_long(argc, argv, "+c:s:Vh", long_options.data(), nullptr)) != -1) {
        switch (letter) {
        case 'c':
            options.config_path = optarg;
            break;
        case 's':
            options.socket = optarg;
            break;
        case 'V':
            std::puts("dotproxyctl " PACKAGE_VERSION);
            return std::nullopt;
        case 'h':
            std::fputs(usage, stdout);
            return std::nullopt;
        default:
            std::fputs(usage, stderr);
            status = exit_trouble;
            return std::nullopt;
        }
    }
    options.words.assign(argv + optind, argv + argc);
    if (!options.words.empty() && options.words.front() == "help") {
        std::fputs(usage, stdout);
        return std::nullopt;
    }
    return options;
}

std::string wire_name(std::string_view text) {
    const auto name = dns::parse_name(text);
    if (!name) {
        throw UsageError{'"' + std::string{text} + "\" is not a domain name"};
    }
    return ctl::hex(name->view());
}

std::string flush_request(const Words& words) {
    if (words.size() == 1) {
        return "flush";
    }
    if (words[1] == "--below") {
        if (words.size() != 3) {
            throw UsageError{"flush --below takes one name"};
        }
        return "flush-below " + wire_name(words[2]);
    }
    if (words.size() > 3) {
        throw UsageError{"flush takes a name and a type at most"};
    }
    std::string request = "flush " + wire_name(words[1]);
    if (words.size() == 3) {
        const auto type = ctl::parse_type(words[2]);
        if (!type) {
            throw UsageError{'"' + std::string{words[2]} +
                             "\" is not a record type; give one such as AAAA or TYPE28"};
        }
        request += ' ' + std::to_string(*type);
    }
    return request;
}

std::string block_request(const Words& words) {
    const std::string verb{words.front()};
    const bool takes_time = verb == "block";
    if (words.size() < 2 || words.size() > (takes_time ? 3 : 2)) {
        throw UsageError{
            verb + (takes_time ? " takes a prefix, and perhaps a time" : " takes one prefix")};
    }
    const auto prefix = Prefix::parse(std::string{words[1]});
    if (!prefix) {
        throw UsageError{'"' + std::string{words[1]} +
                         "\" is no prefix; give one such as 192.0.2.7 or 2001:db8::/64"};
    }
    std::string request = verb + ' ' + prefix->text();
    if (words.size() == 3) {
        const auto time = units::parse_duration(words[2]);
        if (!time || *time < 1s || *time > 24h || *time % 1s != 0s) {
            throw UsageError{'"' + std::string{words[2]} +
                             "\" is no time to block for; give 1s to 1d"};
        }
        request += ' ' + std::to_string(*time / 1s);
    }
    return request;
}

/// The words of a command as the service takes them.
std::string request_of(const Words& words) {
    if (words.empty()) {
        throw UsageError{"a command is needed"};
    }
    std::string verb{words.front()};
    if (verb == "flush") {
        return flush_request(words);
    }
    if (verb == "block" || verb == "unblock") {
        return block_request(words);
    }
    if (verb != "status" && verb != "reload" && verb != "cache" && verb != "limits") {
        throw UsageError{"what is \"" + verb + "\"?"};
    }
    if (words.size() > 1) {
        throw UsageError{verb + " takes no argument"};
    }
    return verb;
}

std::string socket_path(const Options& options) {
    if (options.socket) {
        return *options.socket;
    }
    std::string path;
    try {
        path = load_control_socket(options.config_path.value_or(SYSCONFDIR "/dotproxy.conf"));
    } catch (const ConfigError& problem) {
        if (options.config_path) {
            throw ctl::NoService{std::string{problem.what()} + " (-s names the socket without it)"};
        }
        // Nobody but the service need be able to read the file, and what is wrong with it is what
        // a reload is to tell.
        return std::string{default_control_socket};
    }
    if (path.empty()) {
        throw ctl::NoService{"control_socket is \"\" in the configuration: there is none"};
    }
    return path;
}

int run(const Options& options) {
    const std::string request = request_of(options.words);
    const std::string refusal = ctl::Service{socket_path(options)}.ask(request);
    if (!refusal.empty()) {
        std::fprintf(stderr, "dotproxyctl: %s\n", refusal.c_str());
        return exit_refused;
    }
    return EXIT_SUCCESS;
}

} // namespace

int main(int argc, char** argv) {
    try {
        int status = EXIT_SUCCESS;
        const auto options = read_options(argc, argv, status);
        return options ? run(*options) : status;
    } catch (const UsageError& problem) {
        std::fprintf(stderr, "dotproxyctl: %s\n%s", problem.what(), usage);
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "dotproxyctl: %s\n", problem.what());
    }
    return exit_trouble;
}
