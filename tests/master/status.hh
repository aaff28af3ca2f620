// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What the kernel says of this process in /proc/self/status.

#pragma once

#include "master/child.hh"

#include <string>
#include <vector>

namespace dotproxy::test {

/// The words behind "KEY:" in /proc/self/status.
inline std::vector<std::string> status(const std::string& key) {
    const std::string text = "\n" + read_file("/proc/self/status");
    const std::string front = "\n" + key + ":";
    const std::size_t line = text.find(front);
    std::vector<std::string> words;
    std::size_t at = line + front.size();
    while (line != std::string::npos && at < text.find('\n', line + 1)) {
        const std::size_t begin = text.find_first_not_of("\t ", at);
        at = text.find_first_of("\t \n", begin);
        if (at > begin) {
            words.push_back(text.substr(begin, at - begin));
        }
    }
    return words;
}

/// Whether a set of capabilities ("CapEff") is empty.
inline bool no_capability(const std::string& set) {
    return status(set) == std::vector<std::string>{"0000000000000000"};
}

} // namespace dotproxy::test
