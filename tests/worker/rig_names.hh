// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The names that every test with a rig uses, for test programs alone.

#pragma once

#include "shared/counters.hh"
#include "worker/rig.hh"

using dotproxy::ClosedBy;
using dotproxy::ConnectFailure;
using dotproxy::Counter;
using dotproxy::FailureReason;
using dotproxy::Outcome;
using dotproxy::UpstreamCounter;
using dotproxy::test::Asked;
using dotproxy::test::free_rig;
using dotproxy::test::free_world;
using dotproxy::test::make_rig;
using dotproxy::test::make_world;
using dotproxy::test::Message;
using dotproxy::test::query;
using dotproxy::test::rcode;
using dotproxy::test::Resolver;
using dotproxy::test::Rig;
using dotproxy::test::right_answer;
using dotproxy::test::TcpClient;
using dotproxy::test::UdpClient;
