// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// OnLink: the prefixes of this machine's interfaces, in memory that all processes share (limits
// 41). The master writes what the kernel says; workers look whether it has changed.

#pragma once

#include "shared/prefix_list.hh"

namespace dotproxy {

using OnLink = PrefixList;

} // namespace dotproxy
