// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/lanes.hh"

namespace dotproxy {

void Lane::push_back(Inquiry& inquiry) noexcept {
    inquiry.queued = true;
    ++queued;
    inquiry.queue_previous = last;
    inquiry.queue_next = nullptr;
    (last != nullptr ? last->queue_next : first) = &inquiry;
    last = &inquiry;
}

void Lane::push_front(Inquiry& inquiry) noexcept {
    inquiry.queued = true;
    ++queued;
    inquiry.queue_previous = nullptr;
    inquiry.queue_next = first;
    (first != nullptr ? first->queue_previous : last) = &inquiry;
    first = &inquiry;
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
