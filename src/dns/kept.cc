// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The kept form, which no other file knows:
//
//     2  RCODE in the lower 12 bits, then how many errors there are in 3, then AD
//     2  answers, 2 authorities, 2 additionals
//     2  where the TTL of a record stands, counted from the first record; for each record
//     4+ an error: code, size of its text, text; for each error
//     .. the records, up to the end
//
// Integers are in network order, for no other reason than that wire.hh reads them so. An address
// record takes 26 octets in all.

#include "dns/kept.hh"

#include "dns/record.hh"

#include <algorithm>
#include <limits>

namespace dotproxy::dns {

namespace {

constexpr std::size_t head_size = 8;
constexpr std::uint16_t head_rcode_mask = 0x0fff;
constexpr unsigned head_errors_shift = 12;
constexpr unsigned head_errors_mask = 7;
constexpr std::uint16_t head_authentic = 0x8000;

constexpr std::size_t offset_size = 2;
constexpr std::size_t error_head_size = 4;

/// Octets between a record's owner and its TTL: TYPE and CLASS.
constexpr std::size_t before_ttl = 4;
/// Octets of TTL and RDLENGTH.
constexpr std::size_t from_ttl = record_fixed_size - before_ttl;

/// RFC 6895, section 3.1: QTYPEs and Meta-TYPEs.
constexpr std::uint16_t first_meta_type = 128;
constexpr std::uint16_t last_meta_type = 255;

bool is_data(std::uint16_t qtype) noexcept {
    return qtype != type::opt && (qtype < first_meta_type || qtype > last_meta_type);
}

std::size_t record_count(const Answer& answer) noexcept {
    return std::size_t{answer.answers} + answer.authorities + answer.additionals;
}

// The record at `at` among records that stand apart from their message. Where its owner ends can be
// told without following a pointer.
std::optional<Record> record_among(Octets records, std::size_t at) noexcept {
    std::size_t end = at;
    while (end < records.size() && records[end] != 0 && !is_pointer(records[end])) {
        end += records[end] + 1U;
    }
    if (end >= records.size()) {
        return std::nullopt;
    }
    return record_at(records, at, end - at + (records[end] == 0 ? 1 : 2));
}

/// Calls visit(index, record) for each record. Whether they filled the octets.
template <typename Visit>
[[nodiscard]] bool for_each_record(const Answer& answer, Visit visit) noexcept {
    const std::size_t count = record_count(answer);
    std::size_t at = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const std::optional<Record> record = record_among(answer.records, at);
        if (!record) {
            return false;
        }
        visit(i, *record);
        at = record->end;
    }
    return at == answer.records.size();
}

// Whether record `i` says for how long something does not exist. An SOA outside the authority
// section does not (RFC 2308, section 3).
bool is_denial(const Answer& answer, std::size_t i, const Record& record) noexcept {
    return i >= answer.answers && i - answer.answers < answer.authorities && is_soa(record);
}

// Whether a record of the answer section, which belongs to the answer in some way, is what was
// asked for. A DNAME above the name led away from it, and one at another name may have.
bool is_asked(Octets records, const Record& record, const Question& question) noexcept {
    if (record.type != question.type || record.type != type::dname) {
        return record.type == question.type;
    }
    constexpr std::uint16_t to_question = 0xc000 | header_size;
    const Octets name = question.name.view();
    return load16(records, record.owner) == to_question ||
           (records.size() - record.owner >= name.size() &&
            same_name(records.subspan(record.owner, name.size()), name));
}

/// What the records say together.
struct Summary {
    std::uint32_t ttl{std::numeric_limits<std::uint32_t>::max()};
    std::uint32_t negative_ttl{std::numeric_limits<std::uint32_t>::max()};
    bool asked{false}; // holds what was asked for
    bool soa{false};   // in the authority section
    bool sound{false};
};

Summary summary_of(const Answer& answer, const Question& question) noexcept {
    Summary sum;
    sum.sound = for_each_record(answer, [&](std::size_t i, const Record& record) {
        sum.ttl = std::min(sum.ttl, unsigned_ttl(record.ttl));
        if (i < answer.answers) {
            sum.asked = sum.asked || is_asked(answer.records, record, question);
        } else if (is_denial(answer, i, record)) {
            sum.soa = true;
            sum.negative_ttl = std::min(sum.negative_ttl, negative_ttl(answer.records, record));
        }
    });
    return sum;
}

/// What a TTL is brought within.
class Bounds {
  public:
    Bounds(const TtlPolicy& policy, const Keeping& keeping) noexcept {
        using std::chrono::seconds;
        const seconds max = keeping.negative ? policy.max_negative_ttl : policy.max_ttl;
        // How long a name stays unknown is for its zone to say; nor is a failure made to last
        // (C82).
        const bool positive = keeping.keep == Keep::answer && !keeping.negative;
        const seconds min = positive ? policy.min_ttl : seconds{0};
        max_ = static_cast<std::uint32_t>(std::clamp(max, seconds{0}, max_kept_ttl).count());
        min_ = static_cast<std::uint32_t>(std::clamp(min, seconds{0}, seconds{max_}).count());
    }

    [[nodiscard]] std::uint32_t apply(std::uint32_t ttl) const noexcept {
        return std::clamp(ttl, min_, max_);
    }

  private:
    std::uint32_t min_;
    std::uint32_t max_;
};

// As with an upstream's: what is too long to be passed on is left out.
Octets text_of(const ExtendedError& error) noexcept {
    return error.text.size() <= max_error_text ? error.text : Octets{};
}

std::size_t errors_size(const Answer& answer) noexcept {
    std::size_t size = 0;
    for (const ExtendedError& error : answer.said()) {
        size += error_head_size + text_of(error).size();
    }
    return size;
}

void put_head(const Answer& answer, MutableOctets out) noexcept {
    store16(out, 0,
            static_cast<std::uint16_t>((answer.rcode & head_rcode_mask) |
                                       answer.error_count << head_errors_shift |
                                       (answer.authentic ? head_authentic : 0U)));
    store16(out, 2, answer.answers);
    store16(out, 4, answer.authorities);
    store16(out, 6, answer.additionals);
}

void put_errors(const Answer& answer, MutableOctets out) noexcept {
    for (const ExtendedError& error : answer.said()) {
        const Octets text = text_of(error);
        store16(out, 0, error.code);
        store16(out, 2, static_cast<std::uint16_t>(text.size()));
        std::ranges::copy(text, out.subspan(error_head_size).begin());
        out = out.subspan(error_head_size + text.size());
    }
}

// Takes the errors off the front of `left`.
bool read_errors(MutableOctets& left, Answer& answer) noexcept {
    for (ExtendedError& error : std::span{answer.errors}.first(answer.error_count)) {
        if (left.size() < error_head_size) {
            return false;
        }
        const std::size_t size = load16(left, 2);
        if (size > max_error_text || size > left.size() - error_head_size) {
            return false;
        }
        error = {.code = load16(left, 0), .text = left.subspan(error_head_size, size)};
        left = left.subspan(error_head_size + size);
    }
    return true;
}

/// How a kept TTL becomes one that is answered.
struct Ageing {
    std::uint32_t age;
    std::uint32_t most;

    [[nodiscard]] std::uint32_t apply(std::uint32_t ttl) const noexcept {
        return std::min(ttl > age ? ttl - age : 0, most);
    }
};

// The records must follow one another by their lengths, with room for an owner before each. So no
// two TTLs overlap, and there are no more than there are octets for.
bool age_records(Octets offsets, MutableOctets records, const Ageing& ageing) noexcept {
    std::size_t end = 0;
    for (std::size_t i = 0; i < offsets.size(); i += offset_size) {
        const std::size_t at = load16(offsets, i);
        if (at < end + 1 + before_ttl || at + from_ttl > records.size()) {
            return false;
        }
        end = at + from_ttl + load16(records, at + from_ttl - 2);
        store32(records, at, ageing.apply(load32(records, at)));
    }
    return end == records.size();
}

std::optional<Answer> read_aged(MutableOctets kept, const Ageing& ageing) noexcept {
    if (kept.size() < head_size || kept.size() > max_kept_size) {
        return std::nullopt;
    }
    Answer answer;
    const std::uint16_t head = load16(kept, 0);
    answer.rcode = head & head_rcode_mask;
    answer.authentic = (head & head_authentic) != 0;
    answer.answers = load16(kept, 2);
    answer.authorities = load16(kept, 4);
    answer.additionals = load16(kept, 6);
    answer.error_count = static_cast<unsigned>(head) >> head_errors_shift & head_errors_mask;
    MutableOctets left = kept.subspan(head_size);
    const std::size_t offsets_size = record_count(answer) * offset_size;
    if (answer.error_count > max_errors || offsets_size > left.size()) {
        return std::nullopt;
    }
    const Octets offsets = left.first(offsets_size);
    left = left.subspan(offsets_size);
    if (!read_errors(left, answer) || left.size() > max_message_size ||
        !age_records(offsets, left, ageing)) {
        return std::nullopt;
    }
    answer.records = left;
    return answer;
}

} // namespace

Keeping keeping_of(const Answer& answer, const Question& question,
                   const TtlPolicy& policy) noexcept {
    if (question.klass != klass::in || !is_data(question.type)) {
        return {};
    }
    const bool nxdomain = answer.rcode == static_cast<std::uint16_t>(Rcode::nxdomain);
    if (!nxdomain && answer.rcode != static_cast<std::uint16_t>(Rcode::noerror)) {
        return {.keep = Keep::failure};
    }
    const Summary sum = summary_of(answer, question);
    const bool negative = nxdomain || !sum.asked;
    const std::uint32_t ttl = negative ? std::min(sum.ttl, sum.negative_ttl) : sum.ttl;
    if (!sum.sound || ttl == 0 || (negative && !sum.soa)) {
        return {};
    }
    Keeping keeping{.keep = Keep::answer, .negative = negative};
    keeping.ttl = std::chrono::seconds{Bounds{policy, keeping}.apply(ttl)};
    return keeping.ttl.count() > 0 ? keeping : Keeping{};
}

std::size_t write_kept(const Answer& answer, const Keeping& keeping, const TtlPolicy& policy,
                       MutableOctets out) noexcept {
    const std::size_t errors = head_size + record_count(answer) * offset_size;
    const std::size_t records = errors + errors_size(answer);
    const std::size_t size = records + answer.records.size();
    if (answer.records.size() > max_message_size || size > out.size()) {
        return 0;
    }
    const Bounds bounds{policy, keeping};
    put_head(answer, out);
    put_errors(answer, out.subspan(errors));
    std::ranges::copy(answer.records, out.subspan(records).begin());
    const bool sound = for_each_record(answer, [&](std::size_t i, const Record& record) {
        const std::size_t at = record.rdata - from_ttl;
        store16(out, head_size + i * offset_size, static_cast<std::uint16_t>(at));
        const bool denies = keeping.negative && is_denial(answer, i, record);
        store32(
            out, records + at,
            bounds.apply(denies ? negative_ttl(answer.records, record) : unsigned_ttl(record.ttl)));
    });
    return sound ? size : 0;
}

std::optional<Answer> read_kept(MutableOctets kept, std::chrono::seconds age) noexcept {
    using std::chrono::seconds;
    const auto whole = [](seconds time) {
        return static_cast<std::uint32_t>(std::clamp(time, seconds{0}, max_kept_ttl).count());
    };
    return read_aged(kept, {.age = whole(age), .most = whole(max_kept_ttl)});
}

std::optional<Answer> read_stale(MutableOctets kept) noexcept {
    return read_aged(kept, {.age = 0, .most = std::uint32_t{stale_ttl.count()}});
}

bool dnssec_bogus(const Answer& answer) noexcept {
    // Not DNSSEC Indeterminate (5), which says that keys or signatures could not be had: that is
    // what an outage looks like.
    return std::ranges::any_of(answer.said(), &ExtendedError::is_bogus);
}

} // namespace dotproxy::dns
