// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The sockets of a generation. They are shared with the generations before it where they are equal,
// and bound beside them where both cannot have a port, so that those are there until it serves.
// What reaches a closer address before that waits for the new workers, and is lost if they fail.

#pragma once

#include "base/clock.hh"
#include "base/listener.hh"
#include "config/config.hh"
#include "master/privileges.hh"

#include <memory>
#include <vector>

namespace dotproxy {

using Listeners = std::vector<std::shared_ptr<const Listener>>;

/// Whether one and the same socket is among `listeners`.
[[nodiscard]] bool contains(const Listeners& listeners,
                            const std::shared_ptr<const Listener>& listener) noexcept;

/// A socket for each address and protocol of `wanted`. Those of `passed` are always among them, and
/// serve what they cover; those of `existing` are used where they are equal, and left alone
/// otherwise. Throws std::runtime_error with a text for the administrator, which says who has a
/// port that is taken.
[[nodiscard]] Listeners open_listeners(const std::vector<ListenConfig>& wanted,
                                       const Listeners& passed, const Listeners& existing);

/// Takes those of `listeners` out that `wanted` does not name, and returns them.
[[nodiscard]] Listeners take_unwanted(Listeners& listeners,
                                      const std::vector<ListenConfig>& wanted);

/// Closes `listeners` and waits until their ports are free: others who hold the same sockets are
/// closing theirs. For `patience` at most; who comes to bind them will see.
void close_and_wait(Listeners listeners, Clock::duration patience);

/// Makes `account` the owner of the sockets, so that it can bind others beside them one day. For
/// root.
void give_to(const Account& account, const Listeners& listeners) noexcept;

} // namespace dotproxy
