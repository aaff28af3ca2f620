// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What many files include of the C++ library. With --enable-pch it is precompiled and comes before
// every file; no file includes it.

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>
