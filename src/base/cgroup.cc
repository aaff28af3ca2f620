// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/cgroup.hh"

#include "base/number.hh"

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <string_view>
#include <vector>

namespace dotproxy::cgroup {

namespace {

constexpr std::string_view unified = ""; // the controllers of version 2, as /proc/self/cgroup says

/// Whether `word` is one of those that commas separate.
bool has_word(std::string_view words, std::string_view word) {
    for (;;) {
        const std::size_t comma = words.find(',');
        if (words.substr(0, comma) == word) {
            return true;
        }
        if (comma == std::string_view::npos) {
            return false;
        }
        words.remove_prefix(comma + 1);
    }
}

/// The path of the own group in the hierarchy of a controller: a line of NUMBER:CONTROLLERS:PATH.
std::optional<std::string> own_path(const std::string& root, std::string_view controller) {
    std::ifstream file{root + "/proc/self/cgroup"};
    for (std::string line; std::getline(file, line);) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) {
            continue;
        }
        const std::string_view text = line;
        if (has_word(text.substr(first + 1, second - first - 1), controller)) {
            return line.substr(second + 1);
        }
    }
    return std::nullopt;
}

/// Where a hierarchy can be seen, and from which of its groups on.
struct Mount {
    std::string top;
    std::string point;
};

std::optional<Mount> mount_of(const std::string& root, std::string_view controller) {
    std::ifstream file{root + "/proc/self/mountinfo"};
    for (std::string line; std::getline(file, line);) {
        std::istringstream words{line};
        std::string word;
        Mount mount;
        words >> word >> word >> word >> mount.top >> mount.point;
        while (words >> word && word != "-") {
        }
        std::string type;
        std::string options;
        words >> type >> word >> options;
        if (controller == unified ? type == "cgroup2"
                                  : type == "cgroup" && has_word(options, controller)) {
            return mount;
        }
    }
    return std::nullopt;
}

/// The directories of the own group and of all above it that can be seen, in this order. A path
/// that does not begin with what is mounted is told by another namespace's view: what is mounted
/// is then the own group, or the nearest to it.
std::vector<std::string> directories(const std::string& root, std::string_view controller) {
    const auto path = own_path(root, controller);
    const auto mount = mount_of(root, controller);
    if (!path || !mount) {
        return {};
    }
    const std::string top = mount->top == "/" ? "" : mount->top;
    std::string below;
    if (path->starts_with(top + '/') && path->find("/..") == std::string::npos) {
        below = path->substr(top.size());
    }
    const std::string seen = root + mount->point;
    std::vector<std::string> all;
    for (; below.size() > 1; below.resize(below.rfind('/'))) {
        all.push_back(seen + below);
    }
    all.push_back(seen);
    return all;
}

/// The first two words of a file; empty where there is none.
struct Words {
    std::string first;
    std::string second;
};

Words read_words(const std::string& path) {
    Words words;
    std::ifstream{path} >> words.first >> words.second;
    return words;
}

/// Where a file says "max" or "-1", which are no numbers here, there is no limit.
void lower(std::optional<MemoryLimit>& least, const std::string& file) {
    const auto octets = parse_number<std::uint64_t>(read_words(file).first);
    if (octets && (!least || *octets < least->octets)) {
        least = {.octets = *octets, .file = file};
    }
}

void lower(std::optional<unsigned>& least, const std::string& quota, const std::string& period) {
    const auto had = parse_number<std::uint64_t>(quota);
    const auto of = parse_number<std::uint64_t>(period);
    if (!had || !of || *of == 0) {
        return;
    }
    constexpr std::uint64_t most = std::numeric_limits<unsigned>::max();
    const std::uint64_t whole = *had / *of + (*had % *of != 0 ? 1 : 0);
    const auto cpus = static_cast<unsigned>(std::clamp<std::uint64_t>(whole, 1, most));
    least = std::min(least.value_or(cpus), cpus);
}

/// The number after the key "oom_kill".
std::optional<std::uint64_t> kills_in(const std::string& path) {
    std::ifstream file{path};
    for (std::string key, value; file >> key >> value;) {
        if (key == "oom_kill") {
            return parse_number<std::uint64_t>(value);
        }
    }
    return std::nullopt;
}

} // namespace

std::optional<MemoryLimit> memory_limit(const std::string& root) {
    std::optional<MemoryLimit> least;
    for (const std::string& directory : directories(root, unified)) {
        lower(least, directory + "/memory.max");
        lower(least, directory + "/memory.high");
    }
    for (const std::string& directory : directories(root, "memory")) {
        lower(least, directory + "/memory.limit_in_bytes");
    }
    return least;
}

std::optional<unsigned> cpu_limit(const std::string& root) {
    std::optional<unsigned> least;
    for (const std::string& directory : directories(root, unified)) {
        const Words words = read_words(directory + "/cpu.max");
        lower(least, words.first, words.second);
    }
    for (const std::string& directory : directories(root, "cpu")) {
        lower(least, read_words(directory + "/cpu.cfs_quota_us").first,
              read_words(directory + "/cpu.cfs_period_us").first);
    }
    return least;
}

std::optional<std::uint64_t> oom_kills(const std::string& root) {
    if (const auto own = directories(root, unified); !own.empty()) {
        if (const auto kills = kills_in(own.front() + "/memory.events")) {
            return kills;
        }
    }
    const auto own = directories(root, "memory");
    return own.empty() ? std::nullopt : kills_in(own.front() + "/memory.oom_control");
}

} // namespace dotproxy::cgroup
