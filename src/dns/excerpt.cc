// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A record cannot be cut out where it stands, since pointers behind it lead over it and into it. So
// all records are written anew. A name is spelled out where it is first met, and later pointers to
// the same place become pointers to there: what was compressed stays so, and what was not does too.

#include "dns/excerpt.hh"

#include "dns/chain.hh"
#include "dns/name.hh"
#include "dns/rdata.hh"
#include "dns/record.hh"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

namespace dotproxy::dns {

namespace {

/// Writes records of one message to where they follow header and question of another.
class RecordWriter {
  public:
    /// `question_end` is the same in both. `room` is for the records alone.
    RecordWriter(Octets message, std::size_t question_end, MutableOctets room) noexcept
        : message_{message}, base_{question_end}, room_{room} {}

    [[nodiscard]] Octets written() const noexcept { return room_.first(size_); }

    /// false: there is no room for it, or it cannot be moved.
    [[nodiscard]] bool put(const Record& record) noexcept {
        const std::optional<RdataNames> names = names_in(message_, record);
        const std::size_t fixed = record.rdata - record_fixed_size;
        if (!names || !put_name(record.owner) || !put_octets(fixed, record.rdata)) {
            return false;
        }
        const std::size_t start = size_;
        std::size_t at = record.rdata;
        for (const std::size_t name : std::span{names->at}.first(names->count)) {
            if (!put_octets(at, name) || !put_name(name)) {
                return false;
            }
            at = name + name_size(message_, name);
        }
        if (!put_octets(at, record.end)) {
            return false;
        }
        store16(room_, start - 2, static_cast<std::uint16_t>(size_ - start)); // RDLENGTH
        return true;
    }

  private:
    /// A name by where its first label stands, see name_start().
    struct Known {
        std::size_t from; // in the message
        std::size_t to;   // in the one that is written
    };

    static constexpr std::size_t max_known = 16;
    static constexpr std::size_t pointer_size = 2;
    static constexpr std::uint16_t pointer_mark = 0xc000;
    static constexpr std::size_t max_target = 0x3fff;

    bool put_octets(std::size_t from, std::size_t end) noexcept {
        if (end - from > room_.size() - size_) {
            return false;
        }
        std::ranges::copy(message_.subspan(from, end - from), room_.subspan(size_).begin());
        size_ += end - from;
        return true;
    }

    bool put_name(std::size_t at) noexcept {
        const std::size_t start = name_start(message_, at);
        const std::span known{known_.data(), known_count_};
        const auto same = std::ranges::find(known, start, &Known::from);
        if (same != known.end()) {
            return put_pointer(same->to);
        }
        const std::size_t size = copy_name(message_, start, room_.subspan(size_));
        if (size == 0) {
            return false;
        }
        if (known_count_ < known_.size() && base_ + size_ <= max_target) {
            known_[known_count_++] = {.from = start, .to = base_ + size_};
        }
        size_ += size;
        return true;
    }

    bool put_pointer(std::size_t target) noexcept {
        if (room_.size() - size_ < pointer_size) {
            return false;
        }
        store16(room_, size_, static_cast<std::uint16_t>(pointer_mark | target));
        size_ += pointer_size;
        return true;
    }

    Octets message_;
    std::size_t base_;
    MutableOctets room_;
    std::size_t size_{0};
    std::array<Known, max_known> known_{{{.from = header_size, .to = header_size}}}; // QNAME
    std::size_t known_count_{1};
};

} // namespace

std::optional<Answer> excerpt_of(Octets message, const Response& response, const Question& asked,
                                 MutableOctets room) noexcept {
    Answer answer = answer_of(message, response);
    const std::size_t count = std::size_t{answer.answers} + answer.authorities + answer.additionals;
    Lineage lineage{message, asked};
    if (!lineage.trace(response.question_end, answer.answers)) {
        return std::nullopt;
    }
    RecordWriter writer{message, response.question_end,
                        room.first(max_message_size - response.question_end)};
    std::size_t at = response.question_end;
    for (std::size_t i = 0; i < count; ++i) {
        const Record record = known_record_at(message, at, name_size(message, at));
        at = record.end;
        if (i < response.answers && !lineage.contains(record)) {
            --answer.answers;
        } else if (!writer.put(record)) {
            return std::nullopt;
        }
    }
    answer.records = writer.written();
    return answer;
}

} // namespace dotproxy::dns
