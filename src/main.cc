// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// dotproxy(8): the command line, and the last catch.

#include "base/log.hh"
#include "config/config.hh"
#include "master/certificates.hh"
#include "master/connect_test.hh"
#include "master/daemon.hh"
#include "master/generation.hh"
#include "master/master.hh"
#include "master/notify.hh"
#include "master/preflight.hh"
#include "master/privileges.hh"
#include "master/version.hh"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <getopt.h>
#include <optional>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

using namespace dotproxy;

constexpr int exit_misconfigured = 2; // configuration or usage
constexpr int exit_upstream = 3;      // with --connect: one does not work

struct Options {
    std::string config_path = SYSCONFDIR "/dotproxy.conf";
    std::optional<std::string> pid_file; // in place of the configuration's
    bool foreground{false};
    bool test{false};
    bool connect{false}; // when testing
};

constexpr int connect_option = 256; // which has no letter

constexpr const char* usage =
    "usage: dotproxy [-f] [-c FILE] [-p FILE] [-t [--connect]] [-V] [-h]\n"
    "  -f         stay in the foreground\n"
    "  -c FILE    read FILE instead of " SYSCONFDIR "/dotproxy.conf\n"
    "  -p FILE    write the process ID to FILE, whatever pid_file says\n"
    "  -t         test the configuration and exit\n"
    "  --connect  with -t: test every upstream as well\n"
    "  -V         print the version and exit\n"
    "  -h         print this and exit\n";

/// nullopt: `status` says how to end.
std::optional<Options> read_options(int argc, char** argv, int& status) {
    Options options;
    status = EXIT_SUCCESS;
    constexpr std::array<option, 4> long_options{{{"connect", no_argument, nullptr, connect_option},
                                                  {"version", no_argument, nullptr, 'V'},
                                                  {"help", no_argument, nullptr, 'h'},
                                                  {nullptr, 0, nullptr, 0}}};
    int letter = 0;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    while ((letter = ::getopt_long(argc, argv, "fc:p:tVh", long_options.data(), nullptr)) != -1) {
        switch (letter) {
        case 'f':
            options.foreground = true;
            break;
        case 'c':
            options.config_path = optarg;
            break;
        case 'p':
            options.pid_file = optarg;
            break;
        case 't':
            options.test = true;
            break;
        case connect_option:
            options.connect = true;
            break;
        case 'V':
            std::fputs(version_text().c_str(), stdout);
            return std::nullopt;
        case 'h':
            std::fputs(usage, stdout);
            return std::nullopt;
        default:
            std::fputs(usage, stderr);
            status = exit_misconfigured;
            return std::nullopt;
        }
    }
    if (optind != argc) {
        std::fprintf(stderr, "dotproxy: what is \"%s\"?\n%s", argv[optind], usage);
        status = exit_misconfigured;
        return std::nullopt;
    }
    if (options.connect && !options.test) {
        std::fprintf(stderr, "dotproxy: --connect goes with -t\n%s", usage);
        status = exit_misconfigured;
        return std::nullopt;
    }
    return options;
}

/// What reading the configuration does not show. It is the administrator's to see, at the terminal.
/// Throws ConfigError. Returns whom to become, where that is needed.
std::optional<Account> look_ahead(const Config& config) {
    static_cast<void>(load_trust(config));
    static_cast<void>(load_cookie_secrets(config));
    check_doors(config);
    auto account = account_in_place_of_root(config);
    if (!account) {
        static_cast<void>(try_certificates(config)); // else not for root's eyes
    }
    return account;
}

int test(const Options& options, const Config& config) {
    const auto account = look_ahead(config);
    if (account) {
        read_as(*account, config.user, options.config_path);
    }
    const ServerTls certificates = try_certificates(config);
    for (const auto& lines : {warnings(config, look_around()), warnings_of(config, certificates)}) {
        for (const std::string& line : lines) {
            log::write(log::Level::warning, "%s", line.c_str());
        }
    }
    for (const auto& lines : {describe(certificates), config.group_texts()}) {
        for (const std::string& line : lines) {
            std::printf("%s\n", line.c_str());
        }
    }
    std::printf("%s: good\n", options.config_path.c_str());
    if (!options.connect) {
        return EXIT_SUCCESS;
    }
    const int status = try_upstreams(config, account) ? EXIT_SUCCESS : exit_upstream;
    // Shut in as it is, the process is not to run what libraries do at its end.
    std::fflush(stdout);
    ::_exit(status);
}

int serve(const Options& options, Config config, std::vector<PassedDescriptor> passed) {
    static_cast<void>(look_ahead(config));
    log::set_role("master");
    Background background;
    if (!options.foreground) {
        background = Background::enter();
    }
    // Until the workers are ready, whoever started us in the background still listens on stderr.
    log::open(options.foreground ? config.log.target : log::Target::standard_error,
              config.log.level, true);
    try {
        Master master{options.config_path, std::move(config), std::move(background),
                      std::move(passed)};
        return master.run();
    } catch (const std::exception& problem) {
        log::write(log::Level::error, "%s", problem.what());
        return EXIT_FAILURE;
    }
}

} // namespace

int main(int argc, char** argv) {
    fill_standard_streams();
    int status = EXIT_SUCCESS;
    auto options = read_options(argc, argv, status);
    if (!options) {
        return status;
    }
    try {
        // First, while nothing is open that could be taken for one of them.
        std::vector<PassedDescriptor> passed = passed_descriptors();
        // Absolute: they are looked for again from another directory.
        options->config_path = std::filesystem::absolute(options->config_path);
        if (options->pid_file && !options->pid_file->empty()) {
            options->pid_file = std::filesystem::absolute(*options->pid_file);
        }
        Config config = load_config(options->config_path);
        if (options->pid_file) {
            config.pid_file = *options->pid_file;
            config.places.pid_file = "-p";
        }
        return options->test ? test(*options, config)
                             : serve(*options, std::move(config), std::move(passed));
    } catch (const ConfigError& problem) {
        log::complain(problem.what());
        return exit_misconfigured;
    } catch (const std::exception& problem) {
        log::complain(problem.what());
        return EXIT_FAILURE;
    }
}
