// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "dns/kept.hh"
