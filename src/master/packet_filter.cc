// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The rules become edges: addresses in ascending order, from each of which on all have one fate. An
// address is up to four words. The edges whose first words are equal are one step of that word's
// binary search; where they differ behind it, that step is a search of the next word.

#include "master/packet_filter.hh"

#include <algorithm>
#include <array>
#include <cstddef>
#include <linux/if_ether.h>
#include <sys/socket.h>

namespace dotproxy {

namespace {

constexpr std::size_t words = 4;
constexpr std::size_t last_word = words - 1; // all of an IPv4 address
constexpr std::uint32_t source_v4 = 12;      // in its packet's header
constexpr std::uint32_t source_v6 = 8;
constexpr std::uint32_t one_in_mask = 63;
// A conditional jump reaches 255 instructions. Two may come between its two ways and itself.
constexpr std::size_t reach = 250;

using Words = std::array<std::uint32_t, words>;

struct Edge {
    Words at;
    Fate fate;
};

using Edges = std::span<const Edge>;

constexpr auto low_half = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };

Words words_of(const AddressBits& bits) noexcept {
    return {low_half(bits.high >> 32U), low_half(bits.high), low_half(bits.low >> 32U),
            low_half(bits.low)};
}

/// The first address behind a prefix; false: there is none.
bool end_of(const Prefix& prefix, Words& at) noexcept {
    at = words_of(prefix.bits());
    if (prefix.length() == (prefix.is_v4() ? Prefix::v4_offset : 0)) {
        return false;
    }
    std::size_t word = (prefix.length() - 1) / 32;
    std::uint32_t more = std::uint32_t{1} << (31 - (prefix.length() - 1) % 32);
    const std::size_t first = prefix.is_v4() ? last_word : 0;
    for (;; --word, more = 1) {
        at[word] += more;
        if (at[word] >= more) {
            return true;
        }
        if (word == first) {
            return false;
        }
    }
}

/// Whether an address of the same family is in it.
bool has(const Prefix& prefix, const Words& at) noexcept {
    const AddressBits bits{.high = std::uint64_t{at[0]} << 32U | at[1],
                           .low = std::uint64_t{at[2]} << 32U | at[3]};
    return Prefix{bits, prefix.length()}.bits() == prefix.bits();
}

std::vector<Edge> edges_of(std::span<const FilterRule> rules, bool v4) {
    std::vector<Words> places;
    for (const FilterRule& rule : rules) {
        Words end{};
        if (rule.prefix.is_v4() == v4) {
            places.push_back(words_of(rule.prefix.bits()));
            if (end_of(rule.prefix, end)) {
                places.push_back(end);
            }
        }
    }
    std::ranges::sort(places);
    std::vector<Edge> edges;
    for (const Words& at : places) {
        Fate fate = Fate::pass;
        for (const FilterRule& rule : rules) {
            if (rule.prefix.is_v4() == v4 && has(rule.prefix, at)) {
                fate = std::max(fate, rule.fate);
            }
        }
        if (fate != (edges.empty() ? Fate::pass : edges.back().fate)) {
            edges.push_back({.at = at, .fate = fate});
        }
    }
    return edges;
}

/// Where a jump goes to: a fate, or an instruction that has been emitted.
struct Target {
    Fate fate{Fate::pass};
    std::size_t place{none};

    static constexpr std::size_t none = SIZE_MAX;

    [[nodiscard]] bool is_fate() const noexcept { return place == none; }

    friend bool operator==(const Target&, const Target&) noexcept = default;
};

/// Makes the program from its end to its beginning, since jumps go forward only: what they go to is
/// there when they are made.
class Compiler {
  public:
    Compiler(Edges v4, Edges v6) {
        const Target to_v4 = search_v4(v4);
        const Target to_v6 = search_v6(v6);
        static_cast<void>(branch(BPF_JEQ, ETH_P_IP, to_v4,
                                 branch(BPF_JEQ, ETH_P_IPV6, to_v6, {.fate = Fate::pass})));
        emit(BPF_LD | BPF_W | BPF_ABS, low_half(std::uint64_t(SKF_AD_OFF + SKF_AD_PROTOCOL)));
    }

    [[nodiscard]] std::vector<sock_filter> take() {
        std::ranges::reverse(program_);
        return std::move(program_);
    }

  private:
    /// From `from` on it goes there.
    struct Step {
        std::uint32_t from;
        Target target;
    };

    using Steps = std::span<const Step>;

    Target emit(unsigned code, std::uint32_t k, std::size_t jt = 0, std::size_t jf = 0) {
        program_.push_back({.code = static_cast<std::uint16_t>(code),
                            .jt = static_cast<std::uint8_t>(jt),
                            .jf = static_cast<std::uint8_t>(jf),
                            .k = k});
        return {.place = program_.size() - 1};
    }

    [[nodiscard]] std::size_t distance(std::size_t place) const noexcept {
        return program_.size() - place - 1;
    }

    Target emit_fate(Fate fate) {
        if (fate != Fate::drop_most) {
            return emit(BPF_RET | BPF_K, fate == Fate::pass ? UINT32_MAX : 0);
        }
        emit(BPF_RET | BPF_K, 0);
        emit(BPF_RET | BPF_K, UINT32_MAX);
        emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
        emit(BPF_ALU | BPF_AND | BPF_K, one_in_mask);
        return emit(BPF_LD | BPF_W | BPF_ABS, low_half(std::uint64_t(SKF_AD_OFF + SKF_AD_RANDOM)));
    }

    /// An instruction that leads to `target`, near enough for a conditional jump.
    std::size_t near(const Target& target) {
        if (!target.is_fate()) {
            const std::size_t far = distance(target.place);
            return far <= reach ? target.place : emit(BPF_JMP | BPF_JA, low_half(far)).place;
        }
        std::size_t& last = fates_[static_cast<std::size_t>(target.fate)];
        if (last == Target::none || distance(last) > reach) {
            last = emit_fate(target.fate).place;
        }
        return last;
    }

    Target branch(unsigned condition, std::uint32_t k, const Target& met, const Target& not_met) {
        const std::size_t yes = near(met);
        const std::size_t no = near(not_met);
        return emit(BPF_JMP | condition | BPF_K, k, distance(yes), distance(no));
    }

    /// A binary search, of the word that is loaded, for the last step that is not above it.
    Target tree(Steps steps, const Target& before) {
        if (steps.empty()) {
            return before;
        }
        if (steps.size() == 2 && steps[1].from == steps[0].from + 1 && steps[1].target == before) {
            return branch(BPF_JEQ, steps[0].from, steps[0].target, before);
        }
        const std::size_t middle = steps.size() / 2;
        const Target above = tree(steps.subspan(middle + 1), steps[middle].target);
        const Target below = tree(steps.first(middle), before);
        return branch(BPF_JGE, steps[middle].from, above, below);
    }

    static void add(std::vector<Step>& steps, const Target& before, Step step) {
        if (step.target != (steps.empty() ? before : steps.back().target)) {
            steps.push_back(step);
        }
    }

    /// Loads a word of the address and searches it: `edges` are equal before it, and `before` is
    /// the fate of what is below the first of them.
    template <class Load>
    Target search(Edges edges, std::size_t word, Fate before, Load load) {
        std::vector<Step> steps;
        Fate fate = before;
        while (!edges.empty()) {
            const std::uint32_t value = edges.front().at[word];
            const auto other = std::ranges::find_if(
                edges, [&](const Edge& edge) { return edge.at[word] != value; });
            Edges same = edges.first(static_cast<std::size_t>(other - edges.begin()));
            edges = edges.subspan(same.size());
            const Fate after = same.back().fate;
            if (is_zero_behind(same.front().at, word)) {
                fate = same.front().fate;
                same = same.subspan(1);
            }
            add(steps, {.fate = before},
                {.from = value,
                 .target =
                     same.empty() ? Target{.fate = fate} : search(same, word + 1, fate, load)});
            fate = after;
            if (value < UINT32_MAX && (edges.empty() || edges.front().at[word] != value + 1)) {
                add(steps, {.fate = before}, {.from = value + 1, .target = {.fate = fate}});
            }
        }
        const Target root = tree(steps, {.fate = before});
        return root.is_fate() ? root : load(word);
    }

    [[nodiscard]] static bool is_zero_behind(const Words& at, std::size_t word) noexcept {
        return std::all_of(at.begin() + static_cast<std::ptrdiff_t>(word) + 1, at.end(),
                           [](std::uint32_t one) { return one == 0; });
    }

    [[nodiscard]] static constexpr std::uint32_t in_header(std::uint32_t offset) noexcept {
        return low_half(std::uint64_t(SKF_NET_OFF)) + offset;
    }

    Target search_v4(Edges edges) {
        return search(edges, last_word, Fate::pass, [this](std::size_t /*word*/) {
            return emit(BPF_LD | BPF_W | BPF_ABS, in_header(source_v4));
        });
    }

    /// All words are loaded once: from a packet that takes the kernel several instructions each.
    Target search_v6(Edges edges) {
        const Target root = search(edges, 0, Fate::pass, [this](std::size_t word) {
            return emit(BPF_LD | BPF_MEM, static_cast<std::uint32_t>(word));
        });
        if (root.is_fate()) {
            return root;
        }
        Target begin;
        for (std::uint32_t word = words; word-- > 0;) {
            emit(BPF_ST, word);
            begin = emit(BPF_LD | BPF_W | BPF_ABS, in_header(source_v6 + word * 4));
        }
        return begin;
    }

    std::vector<sock_filter> program_; // the last instruction first
    std::array<std::size_t, 3> fates_{Target::none, Target::none, Target::none};
};

} // namespace

std::vector<sock_filter> make_packet_filter(std::span<const FilterRule> rules) {
    const std::vector<Edge> v4 = edges_of(rules, true);
    const std::vector<Edge> v6 = edges_of(rules, false);
    return Compiler{v4, v6}.take();
}

bool attach_packet_filter(int socket, std::span<const sock_filter> program) noexcept {
    auto* const instructions =
        const_cast<sock_filter*>(program.data()); // NOLINT(*-const-cast): the kernel only reads
    const sock_fprog filter{.len = static_cast<unsigned short>(program.size()),
                            .filter = instructions};
    const auto attach = [&] {
        return ::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0;
    };
    if (attach()) {
        return true;
    }
    detach_packet_filter(socket); // the room that the old one takes may be what the new one lacks
    return attach();
}

void detach_packet_filter(int socket) noexcept {
    const int unused = 0;
    static_cast<void>(::setsockopt(socket, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused));
}

} // namespace dotproxy
