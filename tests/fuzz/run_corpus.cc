// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Runs every file of the directories on its command line through a fuzz target, so that a corpus is
// a regression test for any compiler. Prints TAP. A broken invariant ends the program.

#include "fuzz/fuzz.hh"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_below(const fs::path& directory) {
    std::vector<fs::path> files;
    for (const fs::directory_entry& entry : fs::directory_iterator{directory}) {
        if (entry.is_regular_file()) {
            files.push_back(entry.path());
        }
    }
    if (files.empty()) {
        throw std::runtime_error{directory.string() + " holds no files"};
    }
    std::ranges::sort(files);
    return files;
}

void run(const fs::path& file) {
    std::ifstream in{file, std::ios::binary};
    if (!in) {
        throw std::runtime_error{"cannot read " + file.string()};
    }
    // The exact size, in memory of its own: a sanitizer sees the first octet read too far.
    const std::vector<char> text{std::istreambuf_iterator<char>{in}, {}};
    const std::vector<std::uint8_t> octets(text.begin(), text.end());
    LLVMFuzzerTestOneInput(octets.data(), octets.size());
}

} // namespace

int main(int argc, char** argv) {
    try {
        int number = 0;
        for (int i = 1; i < argc; ++i) {
            for (const fs::path& file : files_below(argv[i])) {
                std::cout << "# " << file.string() << std::endl; // said before it can crash
                run(file);
                std::cout << "ok " << ++number << " - " << file.filename().string() << '\n';
            }
        }
        std::cout << "1.." << number << std::endl;
        return number > 0 ? 0 : 1;
    } catch (const std::exception& error) {
        std::cout << "Bail out! " << error.what() << std::endl;
        return 1;
    }
}
