// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/preflight.hh"

#include "base/fd.hh"
#include "master/generation.hh"
#include "master/interfaces.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fstream>
#include <linux/capability.h>
#include <set>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace dotproxy {

namespace {

namespace fs = std::filesystem;

constexpr std::uint16_t passed_port = 53; // by dotproxy.socket, at 127.0.0.1 and ::1

/// A directory that the unit hides, and by what.
struct Hidden {
    std::string_view directory;
    std::string_view setting;
};

constexpr std::array hidden{
    Hidden{"/home", "ProtectHome"},     Hidden{"/root", "ProtectHome"},
    Hidden{"/run/user", "ProtectHome"}, Hidden{"/tmp", "PrivateTmp"},
    Hidden{"/var/tmp", "PrivateTmp"},
};

bool may_bind_low_ports() noexcept {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
    return ::syscall(SYS_capget, &header, sets.data()) == 0 &&
           (sets[0].effective & (1U << CAP_NET_BIND_SERVICE)) != 0;
}

/// 0 where it cannot be read, as within the unit: then nothing is judged by it.
std::uint16_t first_free_port() {
    std::uint16_t port = 0;
    std::ifstream{"/proc/sys/net/ipv4/ip_unprivileged_port_start"} >> port;
    return port;
}

bool lies_in(const fs::path& path, std::string_view directory) {
    const std::string text = path.string();
    return text.starts_with(directory) && text.size() > directory.size() &&
           text[directory.size()] == '/';
}

const Hidden* hider(const fs::path& path) {
    std::error_code none;
    const fs::path named = path.lexically_normal();
    const fs::path real = fs::weakly_canonical(path, none); // where links lead
    const auto found = std::ranges::find_if(hidden, [&](const Hidden& one) {
        return lies_in(named, one.directory) || lies_in(real, one.directory);
    });
    return found == hidden.end() ? nullptr : &*found;
}

/// Whether the administrator wrote `text` into a drop-in of the unit of that name.
bool drop_in_has(const std::string& text, const fs::path& units, const char* unit) {
    std::error_code none;
    fs::directory_iterator drop_ins{units / (std::string{unit} + ".d"), none};
    return std::any_of(fs::begin(drop_ins), fs::end(drop_ins), [&](const fs::directory_entry& one) {
        std::ifstream file{one.path()};
        for (std::string line; std::getline(file, line);) {
            if (line.find(text) != std::string::npos) {
                return true;
            }
        }
        return false;
    });
}

/// Whether the socket unit is enabled, and passes this address.
bool is_passed(const Address& address, const fs::path& units) {
    std::error_code none;
    return fs::exists(fs::symlink_status(units / "sockets.target.wants/dotproxy.socket", none)) &&
           ((address.port() == passed_port &&
             (address.host() == "127.0.0.1" || address.host() == "::1")) ||
            drop_in_has("=" + address.text(), units, "dotproxy.socket"));
}

/// Whether the service has the capability to bind low ports.
bool has_capability(const fs::path& units) {
    return drop_in_has("CAP_NET_BIND_SERVICE", units, "dotproxy.service");
}

void warn_of_hidden(const std::string& place, const std::string& file, const char* elsewhere,
                    std::vector<std::string>& lines) {
    if (const Hidden* const one = hider(file)) {
        lines.push_back(place + ": the service does not see \"" + file + "\" (" +
                        std::string{one->setting} +
                        " in its unit); give a file elsewhere, such as in " + elsewhere);
    }
}

/// What the child finds; empty when all is good.
std::string problem_for(const std::string& config_path) {
    try {
        const Config config = load_config(config_path);
        static_cast<void>(load_trust(config));
        static_cast<void>(load_cookie_secrets(config));
        static_cast<void>(try_certificates(config));
        return {};
    } catch (const std::exception& problem) {
        return problem.what();
    }
}

bool becomes(const Account& account) noexcept {
    try {
        drop_privileges(account);
        return true;
    } catch (const std::exception&) {
        return false;
    }
}

} // namespace

Surroundings look_around() {
    std::error_code none; // what cannot be looked at is not there
    return {.root = ::geteuid() == 0,
            .systemd = fs::exists("/run/systemd/system", none),
            .binds_low_ports = may_bind_low_ports(),
            .first_free_port = first_free_port()};
}

void read_as(const Account& account, const std::string& user, const std::string& config_path) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        throw std::system_error{errno, std::generic_category(), "pipe"};
    }
    const Fd heard{ends[0]};
    Fd told{ends[1]};
    const pid_t child = ::fork();
    if (child < 0) {
        throw std::system_error{errno, std::generic_category(), "fork"};
    }
    if (child == 0) {
        const std::string problem = becomes(account) ? problem_for(config_path) : std::string{};
        // Longer than a line of the log it need not be, and so it fits the pipe.
        static_cast<void>(
            !::write(told.get(), problem.data(), std::min<std::size_t>(problem.size(), 1024)));
        ::_exit(0);
    }
    told.reset();
    std::array<char, 1024> text{};
    ssize_t size = 0;
    do {
        size = ::read(heard.get(), text.data(), text.size());
    } while (size < 0 && errno == EINTR);
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (size > 0) {
        std::string problem{text.data(), static_cast<std::size_t>(size)};
        if (problem.find("(read as ") == std::string::npos) {
            problem += " (read as user \"" + user + "\", who serves)";
        }
        throw ConfigError{problem};
    }
}

std::vector<std::string> open_doors(const Config& config) {
    std::vector<std::string> lines;
    for (const ListenConfig& listen : config.listen) {
        if (!listen.is_for_proxies() && !listen.address.is_loopback() &&
            listen.allow.value_or(config.allow).allows_any()) {
            lines.push_back(
                config.places.listen + ": everybody may ask at " + listen.address.text() +
                ", which makes it a means to attack others if the Internet can reach it; "
                "name in \"allow\" who may ask");
        }
    }
    return lines;
}

void check_doors(const Config& config) {
    if (config.limits.mode != LimitsConfig::Mode::off) {
        return;
    }
    const std::vector<AddressBits> own = own_addresses();
    for (const ListenConfig& listen : config.listen) {
        const AddressBits bits = AddressBits::of(listen.address);
        const bool may_be_known =
            listen.address.is_wildcard()
                ? std::ranges::any_of(own,
                                      [&listen](const AddressBits& one) {
                                          return one.is_v4() != listen.address.is_v6() &&
                                                 is_public(one);
                                      })
                : is_public(bits);
        if (may_be_known && !listen.is_for_proxies() &&
            listen.allow.value_or(config.allow).allows_any()) {
            throw ConfigError{config.places.listen + ": everybody may ask at " +
                              listen.address.text() +
                              ", which the Internet can reach, and limits.mode is \"off\"; name in "
                              "\"allow\" who may ask, or set limits"};
        }
    }
}

std::vector<std::string> warnings(const Config& config, const Surroundings& surroundings) {
    std::vector<std::string> lines = open_doors(config);
    for (unsigned group = 1; group < config.groups.size(); ++group) {
        if (config.routes.domains_of(group).empty()) {
            lines.push_back(config.places.upstreams + ": nothing is asked of the group \"" +
                            config.groups[group] + "\"; give it domains in \"routes\"");
        }
    }
    if (surroundings.root && surroundings.systemd) {
        std::set<std::string, std::less<>> places; // of a file that several upstreams share
        for (const UpstreamConfig& upstream : config.upstreams) {
            if (places.insert(upstream.ca_place).second) {
                warn_of_hidden(upstream.ca_place, upstream.ca_file, "/etc/ssl/certs", lines);
            }
        }
        for (const CertificateConfig& one : config.certificates) {
            warn_of_hidden(one.chain_place, one.chain, "/etc/dotproxy/tls", lines);
            warn_of_hidden(one.key_place, one.key, "/etc/dotproxy/tls", lines);
        }
        warn_of_hidden(config.places.cookie_secret_file, config.limits.cookie_secret_file,
                       "/etc/dotproxy", lines);
    }
    // Under systemd the service is never root, whoever asks here.
    if (surroundings.binds_low_ports && !(surroundings.root && surroundings.systemd)) {
        return lines;
    }
    const auto low = std::ranges::find_if(config.listen, [&](const ListenConfig& listen) {
        return listen.address.port() < surroundings.first_free_port &&
               !is_passed(listen.address, surroundings.units);
    });
    if (low != config.listen.end() && !has_capability(surroundings.units)) {
        lines.push_back(config.places.listen + ": port " + std::to_string(low->address.port()) +
                        " takes a privilege that the service does not have; enable "
                        "dotproxy.socket, which passes port 53 of 127.0.0.1 and ::1, or give the "
                        "service CAP_NET_BIND_SERVICE, or a port from " +
                        std::to_string(surroundings.first_free_port));
    }
    return lines;
}

} // namespace dotproxy
