// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// find_name() decides whether a name is ours and what there is at it; write_name() makes a message
// of that, which then goes to the client like any accepted response. Of the names that IANA lists
// as special, ipv4only.arpa is forwarded: whether there is a DNS64 is for the upstream to say (RFC
// 8880); so are example.com and the like, which are ordinary names to a forwarder (RFC 6761, 6.5).

#include "dns/local.hh"

#include "dns/record.hh"
#include "dns/reverse.hh"

#include <algorithm>
#include <array>
#include <string_view>

namespace dotproxy::dns {

namespace {

// RFC 6303, section 3, gives both.
constexpr std::uint32_t local_ttl = 10800;
constexpr std::array<std::uint8_t, 16> soa_rname{6,   'n', 'o', 'b', 'o', 'd', 'y', 7,
                                                 'i', 'n', 'v', 'a', 'l', 'i', 'd', 0};

constexpr std::array<std::uint8_t, 4> loopback4{127, 0, 0, 1};
constexpr std::array<std::uint8_t, 16> loopback6{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
constexpr std::array<std::uint8_t, 11> localhost_name{9,   'l', 'o', 'c', 'a', 'l',
                                                      'h', 'o', 's', 't', 0};

LocalAnswer reverse_name(const ReverseZone& zone) noexcept {
    return {.apex = zone.apex,
            .exists = zone.apex == 0 || zone.holds_loopback,
            .delegated = true,
            .pointer = zone.is_loopback};
}

std::optional<LocalAnswer> find_arpa(const Labels& labels, bool zones) noexcept {
    if (labels.count() < 2) {
        return std::nullopt;
    }
    const std::size_t apex = labels.start(1);
    if (labels.is(1, "resolver")) {
        return LocalAnswer{.apex = apex, .exists = true}; // RFC 9462, section 6.4; C100
    }
    if (!zones) {
        return std::nullopt;
    }
    if (labels.is(1, "home") || labels.is(1, "service")) {
        // RFC 8375, section 4; RFC 9665, section 10: served locally unless the network has servers
        // of its own for it, and then it is those that dotproxy stands beside, not behind.
        return LocalAnswer{.apex = apex, .exists = apex == 0, .delegated = true};
    }
    const std::optional<ReverseZone> zone = find_reverse_zone(labels);
    return zone ? std::optional{reverse_name(*zone)} : std::nullopt;
}

std::optional<LocalAnswer> find_name(Octets name, bool zones) noexcept {
    const Labels labels{name};
    if (labels.count() == 0) {
        return std::nullopt;
    }
    if (labels.is(0, "arpa")) {
        return find_arpa(labels, zones);
    }
    if (!zones) {
        return std::nullopt;
    }
    if (labels.is(0, "localhost")) {
        return LocalAnswer{.apex = labels.start(0), .exists = true, .addresses = true};
    }
    constexpr std::array<std::string_view, 4> nowhere{"invalid", "local", "onion", "test"};
    if (std::ranges::any_of(nowhere, [&](std::string_view top) { return labels.is(0, top); })) {
        // Not even the apex exists (RFC 6761, sections 6.2 and 6.4; RFC 6762, section 22.1; RFC
        // 7686, section 2). It owns the SOA all the same: one of the root would be more than we
        // may say.
        return LocalAnswer{.apex = labels.start(0)};
    }
    return std::nullopt;
}

// None of our zones lies within another, so an exception above `name` is never above its zone: the
// longest match is the exception.
bool is_excepted(Octets name, std::span<const Name> except) noexcept {
    return std::ranges::any_of(
        except, [name](const Name& exception) { return within(name, exception.view()); });
}

// Who is told NXDOMAIN need not ask for anything below (RFC 8020), so a name above an exception
// exists.
bool leads_to_exception(Octets name, std::span<const Name> except) noexcept {
    return std::ranges::any_of(
        except, [name](const Name& exception) { return within(exception.view(), name); });
}

/// A message of ours in the making. The longest has a question, two records and an SOA.
class LocalMessage {
  public:
    explicit LocalMessage(const Question& question) noexcept
        : end_{put_question(octets_, question.name.view(), question.type, question.klass)} {
        response_.question_end = end_;
    }

    /// Owned by the name that begins at `owner` in QNAME. `rdata` goes in as it is.
    void add(std::size_t owner, std::uint16_t type, Octets rdata) noexcept {
        begin(owner, type);
        append(rdata);
        finish();
    }

    void add_ns(std::size_t apex) noexcept {
        begin(apex, type::ns);
        append_pointer(apex);
        finish();
    }

    void add_soa(std::size_t apex) noexcept {
        constexpr std::array<std::uint32_t, 5> numbers{1, 3600, 1200, 604800, local_ttl};
        begin(apex, type::soa);
        append_pointer(apex);
        append(soa_rname);
        for (const std::uint32_t number : numbers) {
            store32(octets_, end_, number);
            end_ += 4;
        }
        finish();
    }

    void count_answers() noexcept { response_.answers = records_; }

    const Response& close(Rcode rcode) noexcept {
        response_.rcode = static_cast<std::uint16_t>(rcode);
        response_.authorities = static_cast<std::uint16_t>(records_ - response_.answers);
        response_.body_end = end_;
        return response_;
    }

    Octets octets() const noexcept { return Octets{octets_}.first(end_); }

    bool empty() const noexcept { return records_ == 0; }

  private:
    void begin(std::size_t owner, std::uint16_t type) noexcept {
        append_pointer(owner);
        store16(octets_, end_, type);
        store16(octets_, end_ + 2, klass::in);
        store32(octets_, end_ + 4, local_ttl);
        end_ += record_fixed_size;
        rdata_ = end_;
    }

    void finish() noexcept {
        store16(octets_, rdata_ - 2, static_cast<std::uint16_t>(end_ - rdata_));
        ++records_;
    }

    void append(Octets octets) noexcept {
        std::ranges::copy(octets, octets_.begin() + static_cast<std::ptrdiff_t>(end_));
        end_ += octets.size();
    }

    void append_pointer(std::size_t offset_in_qname) noexcept {
        store16(octets_, end_,
                static_cast<std::uint16_t>(0xc000U | (header_size + offset_in_qname)));
        end_ += 2;
    }

    std::array<std::uint8_t, 512> octets_{};
    std::size_t end_;
    std::size_t rdata_{0};
    std::uint16_t records_{0};
    Response response_;
};

std::size_t write_name(const LocalAnswer& found, const Question& question, const Asker& asker,
                       const Channel& channel, MutableOctets out) noexcept {
    const auto wants = [&question](std::uint16_t type) {
        return question.type == type || question.type == type::any;
    };
    const bool at_apex = found.exists && found.apex == 0;
    LocalMessage message{question};
    if (found.addresses && wants(type::a)) {
        message.add(0, type::a, loopback4);
    }
    if (found.addresses && wants(type::aaaa)) {
        message.add(0, type::aaaa, loopback6);
    }
    if (found.pointer && wants(type::ptr)) {
        message.add(0, type::ptr, localhost_name);
    }
    if (at_apex && wants(type::ns)) {
        message.add_ns(0);
    }
    if (at_apex && wants(type::soa)) {
        message.add_soa(0);
    }
    message.count_answers();
    if (message.empty()) {
        message.add_soa(found.apex); // what makes a negative answer one (RFC 2308, section 3)
    }
    const Response& response = message.close(found.exists ? Rcode::noerror : Rcode::nxdomain);
    Answer answer = answer_of(message.octets(), response);
    answer.say_first(ExtendedError::of(ExtendedError::synthesized, "answered by dotproxy itself"));
    return write_answer(answer, question, asker, channel, out);
}

// Names that ask a CHAOS server who it is (RFC 4892; C103).
bool is_identity(const Question& question) noexcept {
    const Labels labels{question.name.view()};
    if (labels.count() != 2 || (question.type != type::txt && question.type != type::any)) {
        return false;
    }
    const bool server = labels.is(0, "server") && (labels.is(1, "version") || labels.is(1, "id"));
    const bool bind = labels.is(0, "bind") && (labels.is(1, "version") ||
                                               labels.is(1, "hostname") || labels.is(1, "authors"));
    return server || bind;
}

} // namespace

bool may_be_excepted(Octets name) noexcept {
    return find_name(name, true) && !find_name(name, false);
}

std::optional<LocalAnswer> find_local(const Question& question, const LocalZones& zones) noexcept {
    if (question.type == type::axfr || question.type == type::ixfr) {
        return LocalAnswer{.refusal = Rcode::refused}; // C102
    }
    if (question.type == type::nxname) {
        // A mark in NSEC records, which nobody can ask for and no resolver forwards (RFC 9824,
        // section 3.5).
        return LocalAnswer{.refusal = Rcode::formerr};
    }
    if (question.klass == klass::ch) {
        return is_identity(question) ? std::optional{LocalAnswer{.refusal = Rcode::refused}}
                                     : std::nullopt;
    }
    if (question.klass != klass::in && question.klass != klass::any) {
        return std::nullopt;
    }
    const Octets name = question.name.view();
    std::optional<LocalAnswer> found = find_name(name, zones.served);
    if (!found || is_excepted(name, zones.except)) {
        return std::nullopt;
    }
    found->exists = found->exists || leads_to_exception(name, zones.except);
    if (found->delegated && found->apex == 0 && question.type == type::ds) {
        // A DS belongs to the parent (RFC 4035, section 3.1.4.1), and the proof that there is none
        // is what lets a validating client accept our unsigned answers.
        return std::nullopt;
    }
    return found;
}

std::size_t write_local(const LocalAnswer& found, const Question& question, const Asker& asker,
                        const Channel& channel, MutableOctets out) noexcept {
    if (found.refusal == Rcode::noerror) {
        return write_name(found, question, asker, channel, out);
    }
    const ExtendedError error{.code = found.refusal == Rcode::formerr
                                          ? ExtendedError::invalid_query_type
                                          : ExtendedError::not_supported,
                              .text = {}};
    return write_failure(found.refusal, error, &question, asker, channel, out);
}

} // namespace dotproxy::dns
