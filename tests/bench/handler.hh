// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Handler: leads the events of a descriptor to a method of the object that owns it.

#pragma once

#include "base/loop.hh"

namespace dotproxy::bench {

template <typename Owner, void (Owner::*Method)() noexcept>
class Handler final : public Watch {
  public:
    explicit Handler(Owner& owner) noexcept : owner_{owner} {}

    void on_ready(std::uint32_t /*events*/) noexcept override { (owner_.*Method)(); }

  private:
    Owner& owner_;
};

} // namespace dotproxy::bench
