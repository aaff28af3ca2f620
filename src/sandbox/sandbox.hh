// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The sandbox of a worker: a process that reads what strangers write keeps what it has open, and
// can get nothing else. There is no way out, and nothing in the process is asked for its consent.

#pragma once

#include "sandbox/call.hh"
#include "sandbox/needs.hh"

namespace dotproxy::sandbox {

/// Keeps other processes of the same account from reading this one's memory, and the kernel from
/// writing it into a file.
void hide_memory() noexcept;

/// Undoes that, whoever did it: the kernel hides a process that gave up root from its account, and
/// a child is as hidden as its parent.
void show_memory() noexcept;

/// Shuts the calling process in, which has one thread. A system call that is not allowed is left in
/// `trace`, which outlives the process, and kills it (SIGSYS). Throws std::system_error when the
/// kernel cannot do that; the process is not to go on then. Without Landlock it goes without.
void enter(const Needs& needs, Trace& trace);

} // namespace dotproxy::sandbox
