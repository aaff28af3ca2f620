// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Stepper: runs a job in a child process and kills it after exactly so many instructions.
//
// The job is traced once from beginning to end, instruction by instruction. A step costs two
// switches of the process, and an insertion is a thousand instructions long; so a child that is to
// die far inside runs freely to the last address before that place where the trace had not been
// earlier, and is stepped from there. That needs a break point, which is known for x86-64 here;
// elsewhere every step is made.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <sys/types.h>
#include <vector>

namespace dotproxy::test {

class Stepper {
  public:
    using Job = std::function<void()>;

    /// Whether this process may trace a child at all.
    static bool allowed();

    /// Traces `job`, which must do the same each time it is run from the same memory.
    explicit Stepper(Job job);

    /// How many instructions the job takes. The child is alive after this many.
    [[nodiscard]] std::size_t size() const noexcept { return places_.size(); }

    /// Runs the job in a new child for `count` instructions, then kills it, and returns when it is
    /// dead. Returns whether all went like that.
    [[nodiscard]] bool kill_after(std::size_t count) const;

    /// Runs the job in a new child and does `meanwhile` here after `count` instructions, while the
    /// child stands still. Returns whether all went like that, and the child to its end.
    [[nodiscard]] bool interrupt_after(std::size_t count, const Job& meanwhile) const;

    /// The same, but the child goes on for `more` instructions at most, with a call of `look` after
    /// each: what is there then stays if the child is killed. Then it is.
    [[nodiscard]] bool watch_after(std::size_t count, const Job& meanwhile, std::size_t more,
                                   const Job& look) const;

  private:
    [[nodiscard]] bool run_to(pid_t child, std::size_t count) const;
    [[nodiscard]] pid_t start() const;
    [[nodiscard]] static bool step(pid_t child, int& status);
    [[nodiscard]] bool jump(pid_t child, std::size_t place) const;

    Job job_;
    std::vector<std::uint64_t> places_;  // the address of each instruction, 0 where unknown
    std::vector<std::size_t> run_until_; // for each: the last one before it with a new address
};

} // namespace dotproxy::test
