// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A directory for the files of one test program. It removes what is in it; a test that fails jumps
// over destructors, so it is made and removed by the group, not by the tests.

#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

class Scratch {
  public:
    /// Makes the directory; false when that fails.
    [[nodiscard]] bool make() {
        std::string name = std::filesystem::temp_directory_path() / "dotproxy-test-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) {
            return false;
        }
        path_ = name;
        return true;
    }

    void remove() { std::filesystem::remove_all(path_); }

    [[nodiscard]] std::string path(const std::string& name) const { return path_ + '/' + name; }

    /// Writes a file and returns its path.
    std::string write(const std::string& name, const std::string& text) const {
        std::filesystem::create_directories(std::filesystem::path{path(name)}.parent_path());
        std::ofstream{path(name), std::ios::binary} << text;
        return path(name);
    }

  private:
    std::string path_;
};
