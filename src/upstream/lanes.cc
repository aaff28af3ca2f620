// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/lanes.hh"

namespace dotproxy {

void Lane::insert(Inquiry& inquiry, Inquiry* previous, Inquiry* next) noexcept {
    inquiry.queued = true;
    ++queued;
    inquiry.queue_previous = previous;
    inquiry.queue_next = next;
    (previous != nullptr ? previous->queue_next : first) = &inquiry;
    (next != nullptr ? next->queue_previous : last) = &inquiry;
}

void Lane::remove(Inquiry& inquiry) noexcept {
    inquiry.queued = false;
    --queued;
    (inquiry.queue_previous != nullptr ? inquiry.queue_previous->queue_next : first) =
        inquiry.queue_next;
    (inquiry.queue_next != nullptr ? inquiry.queue_next->queue_previous : last) =
        inquiry.queue_previous;
}

} // namespace dotproxy
