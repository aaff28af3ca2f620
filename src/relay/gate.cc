// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/gate.hh"

#include "dns/wire.hh"

#include <algorithm>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// What can be had at once: a page of a browser, a host that boots, an office at nine.
constexpr Debt burst_of_questions = 2s;
constexpr Debt burst_of_misses = 4s;
constexpr Debt burst_of_connections = 2s;

// What the network around a source has, as a multiple (limits 9).
constexpr double around_v4_times = 32;
constexpr double around_v6_times = 4;

// What a source can ask at once while there is too much to do: at the price that a single flooder
// makes, what a page of a browser does.
constexpr Debt burst_of_work = 20ms;

// One of so many that are over their limit is told the way over TCP. To tell takes three times as
// long as to drop.
constexpr unsigned truncated_of = 2;
constexpr unsigned truncated_of_many = 16; // while there is too much to do

constexpr std::size_t octets_paid = 512;

// What is dear is paid for afterwards, by who has used up his burst as well, who would have it for
// nothing else. But who slows down shall be under its limit soon: more than this he never owes.
constexpr Debt most_beyond = 1s;

// Over TLS a connection with a new session costs as much as so many that go on with an old one
// (limits 38).
constexpr std::uint32_t full_handshake = 4;

/// Where an address is remembered: spread, not hidden; who has another's place pays a search.
std::size_t place_of(const AddressBits& bits) noexcept {
    constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;
    return ((bits.high ^ bits.low) * odd) >> 48U;
}

Rate rate_of(std::uint32_t per_second, double factor, Debt burst) noexcept {
    return per_second == 0 ? Rate{} : Rate::of(per_second * factor, burst);
}

} // namespace

Gate::Gate(Turn& turn, const OnLink& on_link, const LimitsMemory& limits,
           const CookieSecrets& secrets)
    : turn_{turn}, on_link_{on_link}, meter_{limits}, offenders_{limits.offenders()},
      blocked_{limits.blocked()}, blocked_unverified_{limits.blocked_unverified()},
      counts_only_{turn.config.limits.mode == LimitsConfig::Mode::count}, cookies_{secrets} {
    rates_.push_back(rates_of(turn.config.limits, 1));
    for (const auto& [prefix, factor] : turn.config.limits.networks) {
        networks_.set(prefix,
                      factor == 0 ? Standing::unlimited : static_cast<std::uint8_t>(rates_.size()));
        if (factor != 0) {
            rates_.push_back(rates_of(turn.config.limits, factor));
        }
    }
    if (turn.config.limits.mode == LimitsConfig::Mode::off) {
        networks_ = {};
        rates_.clear();
    }
}

std::array<Gate::Rates, Gate::limited_kinds> Gate::rates_of(const LimitsConfig& limits,
                                                            double factor) noexcept {
    const auto rates = [factor](std::uint32_t per_second, Debt burst) {
        return Rates{.alone = rate_of(per_second, factor, burst),
                     .around_v4 = rate_of(per_second, factor * around_v4_times, burst),
                     .around_v6 = rate_of(per_second, factor * around_v6_times, burst)};
    };
    return {rates(limits.client_rate, burst_of_questions),
            rates(limits.client_rate, burst_of_questions),
            rates(limits.client_misses, burst_of_misses),
            rates(limits.client_misses, burst_of_misses),
            rates(limits.client_connects, burst_of_connections)};
}

std::optional<Standing> Gate::admit(const std::optional<Address>& peer,
                                    const Access& access) noexcept {
    if (!peer) {
        return std::nullopt;
    }
    const AddressBits bits = AddressBits::of(*peer);
    const auto on_link = on_link_.prefixes();
    Known& known = known_[place_of(bits) % known_.size()];
    if (known.bits != bits || known.access != &access || known.on_link != on_link_.version()) {
        known = {.bits = bits,
                 .access = &access,
                 .on_link = on_link_.version(),
                 .standing = access.allows(bits, on_link) ? std::optional{find(*peer, on_link)}
                                                          : std::nullopt};
    }
    return known.standing;
}

/// Whoever it is, and whether it may ask or not.
Standing Gate::find(const Address& peer, std::span<const Prefix> on_link) const noexcept {
    const AddressBits bits = AddressBits::of(peer);
    const auto contains = [&bits](const Prefix& prefix) { return prefix.contains(bits); };
    Standing standing{.near = is_always_local(bits) || std::ranges::any_of(on_link, contains)};
    const auto* const named = networks_.find(bits);
    if (!rates_.empty() && (named != nullptr || !peer.is_loopback())) {
        standing.network = named != nullptr ? named->second : std::uint8_t{0};
    }
    return standing;
}

bool Gate::blocks(const Address& peer) noexcept {
    if (blocked_.prefixes().empty() || !blocked_.contain(AddressBits::of(peer))) {
        return false;
    }
    turn_.counters.add(Counter::blocked_refused);
    return true;
}

std::uint32_t Gate::blocked_version() noexcept {
    static_cast<void>(blocked_.prefixes());
    return blocked_.version();
}

bool Gate::tells(const Address& peer) noexcept {
    const std::array budget{
        Budget{.prefix = Prefix::of(AddressBits::of(peer), around_v4, around_v6),
               .kind = static_cast<std::uint8_t>(Kind::refusal),
               .rate = Rate::of(1, 1s)}};
    return meter_.charge(budget, turn_.now).passed();
}

bool Gate::pay(const Address& peer, Standing standing, std::chrono::nanoseconds price) noexcept {
    const auto rate = [price](double times) {
        return Rate{.cost = std::chrono::duration_cast<Debt>(price / times),
                    .burst = burst_of_work};
    };
    const Rates rates{
        .alone = rate(1), .around_v4 = rate(around_v4_times), .around_v6 = rate(around_v6_times)};
    Budgets room; // NOLINT(*-member-init): what is used is written
    const auto budgets = budgets_at(rates, Kind::work, peer, standing, room);
    if (meter_.charge(budgets, turn_.now).passed()) {
        return true;
    }
    // It has asked all the same: who goes on so has to be known.
    static_cast<void>(charge(Kind::question, peer, standing, false));
    return false;
}

Cookies::Checked Gate::recognize(const Address& peer, dns::Octets cookie) noexcept {
    const Cookies::Checked checked =
        cookies_.check(cookie, AddressBits::of(peer), Cookies::wall_time());
    if (checked.valid()) {
        turn_.counters.add(Counter::cookies_valid);
    }
    if (checked.verdict == Cookies::Verdict::to_renew) {
        turn_.counters.add(Counter::cookies_renewed);
    } else if (checked.verdict == Cookies::Verdict::bad) {
        turn_.counters.add(Counter::cookies_bad);
    }
    return checked;
}

Gate::Admission Gate::ask(const Client& client, std::uint16_t type, bool gets_cookie) noexcept {
    // The largest answers there are, and nobody but who attacks others needs them over UDP.
    const bool amplifies = !client.verified && ((type == dns::type::any && !client.standing.near) ||
                                                is_blocked_unverified(client.peer));
    const Kind kind = client.verified ? Kind::verified_question : Kind::question;
    if (client.standing.network == Standing::unlimited ||
        (charge(kind, client.peer, client.standing, client.verified) && !amplifies)) {
        return Admission::answer;
    }
    // What is always truncated leaves the others their turns.
    const bool truncates =
        amplifies || ++refused_ % (turn_.overloaded() ? truncated_of_many : truncated_of) == 0;
    turn_.counters.add(!truncates    ? Counter::limited_dropped
                       : gets_cookie ? Counter::limited_cookies
                                     : Counter::limited_truncated);
    if (counts_only_) {
        return Admission::answer;
    }
    return truncates ? Admission::truncate : Admission::drop;
}

void Gate::charge_unanswered(const Address& peer, std::optional<Standing> standing,
                             bool stream) noexcept {
    static_cast<void>(charge(stream ? Kind::connection : Kind::question, peer,
                             standing ? *standing : find(peer, on_link_.prefixes()), stream));
}

void Gate::charge_answer(const Client& client, std::size_t octets) noexcept {
    if (octets > octets_paid) {
        debit(Kind::question, client, static_cast<std::uint32_t>((octets - 1) / octets_paid));
    }
}

bool Gate::forward(const Client& client) noexcept {
    const Kind kind = client.verified ? Kind::verified_miss : Kind::miss;
    if (charge(kind, client.peer, client.standing, client.verified)) {
        return true;
    }
    turn_.counters.add(Counter::limited_misses);
    return counts_only_;
}

bool Gate::refresh(const Client& client) noexcept {
    const Kind kind = client.verified ? Kind::verified_miss : Kind::miss;
    Budgets room; // NOLINT(*-member-init): what is used is written
    const auto budgets = budgets_of(kind, client.peer, client.standing, room);
    return budgets.empty() || meter_.charge(budgets, turn_.now).passed() || counts_only_;
}

void Gate::charge_forwarded(const Client& client, std::uint32_t more) noexcept {
    debit(client.verified ? Kind::verified_miss : Kind::miss, client, more);
}

bool Gate::connect(const Address& peer, Standing standing) noexcept {
    if (charge(Kind::connection, peer, standing, true)) {
        return true;
    }
    turn_.counters.add(Counter::limited_connects);
    return counts_only_;
}

void Gate::charge_handshake(const Address& peer, Standing standing) noexcept {
    debit(Kind::connection, {.peer = peer, .standing = standing}, full_handshake - 1);
}

/// The budgets that a source has of something; none where it has no limit.
std::span<const Budget> Gate::budgets_of(Kind kind, const Address& peer, Standing standing,
                                         Budgets& room) const noexcept {
    if (standing.network == Standing::unlimited) {
        return {};
    }
    const Rates& rates = rates_[standing.network][static_cast<std::size_t>(kind)];
    if (rates.alone.cost == Debt{0}) {
        return {};
    }
    return budgets_at(rates, kind, peer, standing, room);
}

/// The budgets of that kind at those rates: one for who is near, else one more for the network
/// around it (limits 9).
std::span<const Budget> Gate::budgets_at(const Rates& rates, Kind kind, const Address& peer,
                                         Standing standing, Budgets& room) noexcept {
    const AddressBits bits = AddressBits::of(peer);
    const auto octet = static_cast<std::uint8_t>(kind);
    if (standing.near) {
        room[0] = {.prefix = Prefix{bits, Prefix::host_length}, .kind = octet, .rate = rates.alone};
        return std::span{room}.first(1);
    }
    room = {
        Budget{.prefix = Prefix::of(bits, alone_v4, alone_v6), .kind = octet, .rate = rates.alone},
        Budget{.prefix = Prefix::of(bits, around_v4, around_v6),
               .kind = octet,
               .rate = bits.is_v4() ? rates.around_v4 : rates.around_v6}};
    return room;
}

/// Whether UDP questions from there are blocked, which may be in another's name: the few that the
/// kernel lets through show who is really there the way over TCP (limits 22).
bool Gate::is_blocked_unverified(const Address& peer) noexcept {
    return !blocked_unverified_.prefixes().empty() &&
           blocked_unverified_.contain(AddressBits::of(peer));
}

bool Gate::charge(Kind kind, const Address& peer, Standing standing, bool verified) noexcept {
    Budgets room; // NOLINT(*-member-init): what is used is written
    const auto budgets = budgets_of(kind, peer, standing, room);
    const Verdict verdict = budgets.empty() ? Verdict{} : meter_.charge(budgets, turn_.now);
    if (!verdict.passed()) {
        note(*verdict.over, kind, verified);
    }
    return verdict.passed();
}

/// Somebody is over a limit: the master looks at who goes on so (limits 20).
void Gate::note(const Budget& over, Kind kind, bool verified) noexcept {
    // In the order of the kinds.
    constexpr std::array offences{Offence::question, Offence::question, Offence::miss,
                                  Offence::miss, Offence::connection};
    const bool first = offenders_.note({.prefix = over.prefix,
                                        .offence = offences[static_cast<std::size_t>(kind)],
                                        .verified = verified,
                                        .limit = static_cast<double>(Debt{1s}.count()) /
                                                 static_cast<double>(over.rate.cost.count())},
                                       turn_.now);
    alarm_ = alarm_ || first;
}

void Gate::debit(Kind kind, const Client& client, std::uint32_t units) noexcept {
    Budgets room; // NOLINT(*-member-init): what is used is written
    for (const Budget& budget : budgets_of(kind, client.peer, client.standing, room)) {
        const Debt left = budget.rate.burst + most_beyond - meter_.debt(budget, turn_.now);
        const auto most = std::max<std::int64_t>(left / budget.rate.cost, 0);
        meter_.debit({&budget, 1}, turn_.now,
                     static_cast<std::uint32_t>(std::min<std::int64_t>(units, most)));
    }
}

} // namespace dotproxy
