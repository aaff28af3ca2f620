// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Source: the text of a configuration, every @include put in its place, and where each line of it
// came from. libconfig only ever sees this text and opens no file itself: the scanner of version
// 1.5 ends the process when it is given a directory to include, which must not happen to a running
// server (L64); paths and messages are the same with every version; and sizes are bounded.

#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy {

/// A configuration's text, as libconfig shall see it.
class Source {
  public:
    /// Both throw ConfigError. Included files are sought beside the file that names them.
    [[nodiscard]] static Source from_file(const std::string& path);
    [[nodiscard]] static Source from_text(std::string_view text, const std::string& name);

    [[nodiscard]] const std::string& text() const noexcept { return text_; }

    /// The name of the outermost file.
    [[nodiscard]] const std::string& name() const noexcept { return pieces_.front().file; }

    /// "FILE:LINE" of a line of text(), counted from 1.
    [[nodiscard]] std::string where(unsigned line) const;

  private:
    friend class SourceReader;

    /// Lines [first, first of the next piece) of text() are lines [line, ...) of `file`.
    struct Piece {
        unsigned first;
        std::string file;
        unsigned line;
    };

    std::string text_;
    std::vector<Piece> pieces_; // by `first`; never empty
};

} // namespace dotproxy
