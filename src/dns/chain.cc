// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Nearly every answer has its aliases in order and its owner names compressed, and then comparing
// offsets is enough: skip_ordered(). From the first record on that is different, names are
// compared: Lineage. No record is compared in both ways, and what is done for one is bounded by
// max_links, so the work is in proportion to the message (L5).

#include "dns/chain.hh"

#include <algorithm>
#include <array>
#include <span>

namespace dotproxy::dns {

namespace {

constexpr std::uint16_t type_mailb = 253;
constexpr std::uint16_t type_maila = 254;

bool is_alias(std::uint16_t type) noexcept {
    return type == type::cname || type == type::dname;
}

// QTYPEs that stand for several types (RFC 1035, section 3.2.3). Transfers are not forwarded.
bool is_wildcard(std::uint16_t qtype) noexcept {
    return qtype == type::any || qtype == type_mailb || qtype == type_maila;
}

bool is_expected(const Record& record, const Question& asked) noexcept {
    const bool type = record.type == asked.type || is_alias(record.type) ||
                      record.type == type::rrsig || is_wildcard(asked.type);
    return type && (record.klass == asked.klass || asked.klass == klass::any);
}

/// The records of a section that has been walked before.
class Records {
  public:
    Records(Octets message, std::size_t at, std::size_t count) noexcept
        : message_{message}, at_{at}, left_{count} {}

    [[nodiscard]] bool empty() const noexcept { return left_ == 0; }

    [[nodiscard]] std::size_t left() const noexcept { return left_; }

    [[nodiscard]] Record front() const noexcept {
        return known_record_at(message_, at_, name_size(message_, at_));
    }

    void pop(const Record& front) noexcept {
        at_ = front.end;
        --left_;
    }

  private:
    Octets message_;
    std::size_t at_;
    std::size_t left_;
};

// Takes off the records that are seen to answer without expanding a name.
void skip_ordered(Octets message, const Question& asked, Records& records) noexcept {
    std::array<std::size_t, max_links + 1> starts{header_size};
    std::size_t count = 1;
    while (!records.empty()) {
        const Record record = records.front();
        const std::span known{starts.data(), count};
        const std::size_t owner = name_start(message, record.owner);
        if (!is_expected(record, asked) || (std::ranges::find(known, owner) == known.end() &&
                                            !name_equals(message, owner, asked.name.view()))) {
            return;
        }
        if (is_alias(record.type)) {
            if (record.type == type::dname || count == starts.size()) {
                return;
            }
            starts[count++] = name_start(message, record.rdata);
        }
        records.pop(record);
    }
}

// Whether the record, which belongs to the answer, says more than that something else is signed.
bool is_substance(const Record& record, const Question& asked) noexcept {
    return record.type != type::rrsig || asked.type == type::rrsig || is_wildcard(asked.type);
}

// Holds the records against the names, but for those in front of the last `left`, which are known
// to belong to the answer.
Answering sift(Records records, std::size_t left, const Question& asked,
               const Lineage& lineage) noexcept {
    bool beside = false;
    bool substance = false;
    while (!records.empty()) {
        const Record record = records.front();
        const bool belongs = records.left() > left || lineage.contains(record);
        beside = beside || !belongs;
        substance = substance || (belongs && is_substance(record, asked));
        records.pop(record);
    }
    if (!beside) {
        return Answering::all;
    }
    return substance ? Answering::some : Answering::none;
}

} // namespace

// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): only what is counted is read
Lineage::Lineage(Octets message, const Question& asked) noexcept
    : message_{message}, asked_{asked} {
    names_[0] = asked.name;
}

bool Lineage::trace(std::size_t at, std::size_t count) noexcept {
    Records records{message_, at, count};
    while (!records.empty()) {
        const Record record = records.front();
        records.pop(record);
        if (!is_alias(record.type) || !is_expected(record, asked_)) {
            continue;
        }
        if (alias_count_ == aliases_.size()) {
            return false;
        }
        aliases_[alias_count_++] = record;
    }
    for (std::size_t i = 0; i < name_count_; ++i) {
        for (std::size_t alias = 0; alias < alias_count_; ++alias) {
            if (!follow(names_[i], alias)) {
                return false;
            }
        }
    }
    return true;
}

bool Lineage::contains(const Record& record) const noexcept {
    if (!is_expected(record, asked_)) {
        return false;
    }
    Name owner;
    read_name(message_, record.owner, owner);
    return find(owner) || is_redirection(record, owner);
}

bool Lineage::follow(const Name& name, std::size_t index) noexcept {
    const Record& alias = aliases_[index];
    if (alias.type == type::cname) {
        if (!name_equals(message_, alias.owner, name.view())) {
            return true;
        }
        Name target;
        read_name(message_, alias.rdata, target);
        return add(target);
    }
    Name owner;
    read_name(message_, alias.owner, owner);
    if (owner.size >= name.size || !within(name.view(), owner.view())) {
        return true;
    }
    redirects_[index] = true;
    return substitute(name, name.size - owner.size, alias);
}

// RFC 6672, section 2.2. Where the result would be too long there is none.
bool Lineage::substitute(const Name& name, std::size_t prefix, const Record& dname) noexcept {
    Name target;
    read_name(message_, dname.rdata, target);
    if (prefix + target.size > max_name_size) {
        return true;
    }
    Name result;
    std::copy_n(name.octets.begin(), prefix, result.octets.begin());
    std::copy_n(target.octets.begin(), target.size, &result.octets[prefix]);
    result.size = static_cast<std::uint8_t>(prefix + target.size);
    return add(result);
}

bool Lineage::add(const Name& name) noexcept {
    if (find(name)) {
        return true;
    }
    if (name_count_ == names_.size()) {
        return false;
    }
    names_[name_count_++] = name;
    return true;
}

bool Lineage::find(const Name& name) const noexcept {
    const std::span known{names_.data(), name_count_};
    return std::ranges::any_of(known, [&name](const Name& other) {
        return std::ranges::equal(other.view(), name.view());
    });
}

// The owner of a DNAME lies above the names that it redirects. It stands there with its signature.
bool Lineage::is_redirection(const Record& record, const Name& owner) const noexcept {
    if (record.type != type::dname && record.type != type::rrsig) {
        return false;
    }
    for (std::size_t i = 0; i < alias_count_; ++i) {
        if (redirects_[i] && name_equals(message_, aliases_[i].owner, owner.view())) {
            return true;
        }
    }
    return false;
}

Answering answers(Octets message, const Question& asked, std::size_t at,
                  std::size_t count) noexcept {
    const Records all{message, at, count};
    Records rest = all;
    skip_ordered(message, asked, rest);
    if (rest.empty()) {
        return Answering::all;
    }
    Lineage lineage{message, asked};
    if (!lineage.trace(at, count)) {
        return Answering::none;
    }
    return sift(all, rest.left(), asked, lineage);
}

} // namespace dotproxy::dns
