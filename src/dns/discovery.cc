// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "dns/discovery.hh"

#include "dns/record.hh"

#include <algorithm>
#include <array>

namespace dotproxy::dns {

namespace {

constexpr std::uint32_t ttl = 300; // a certificate or a listener may go at any reload
constexpr std::array<std::uint8_t, 20> well_known{4,   '_', 'd', 'n', 's', 8,   'r', 'e', 's', 'o',
                                                  'l', 'v', 'e', 'r', 4,   'a', 'r', 'p', 'a', 0};

/// Keys of a service binding, which stand in ascending order (RFC 9460, section 14.3.2; RFC 9461).
enum class Key : std::uint16_t { alpn = 1, port = 3, ipv4hint = 4, ipv6hint = 6, dohpath = 7 };

class Records {
  public:
    void begin(Octets owner, std::uint16_t type) {
        append(owner);
        append16(type);
        append16(klass::in);
        append16(ttl >> 16U);
        append16(ttl & 0xffffU);
        append16(0);
        rdata_ = octets_.size();
    }

    void finish() {
        store16(octets_, rdata_ - 2, static_cast<std::uint16_t>(octets_.size() - rdata_));
    }

    void append(Octets octets) { octets_.insert(octets_.end(), octets.begin(), octets.end()); }

    void append(std::string_view text) { octets_.insert(octets_.end(), text.begin(), text.end()); }

    void append16(std::uint32_t value) {
        octets_.push_back(static_cast<std::uint8_t>(value >> 8U));
        octets_.push_back(static_cast<std::uint8_t>(value & 0xffU));
    }

    /// What comes before the value of a parameter.
    void begin_parameter(Key key, std::size_t size) {
        append16(static_cast<std::uint16_t>(key));
        append16(static_cast<std::uint32_t>(size));
    }

    [[nodiscard]] std::vector<std::uint8_t> take() { return std::move(octets_); }

  private:
    std::vector<std::uint8_t> octets_;
    std::size_t rdata_{0};
};

void add_parameters(Records& records, Octets address, const Service& service) {
    const std::string_view alpn = service.alpn;
    records.begin_parameter(Key::alpn, alpn.size() + 1);
    const std::array length{static_cast<std::uint8_t>(alpn.size())};
    records.append(length);
    records.append(alpn);
    if (service.port != service.usual_port) {
        records.begin_parameter(Key::port, 2);
        records.append16(service.port);
    }
    records.begin_parameter(address.size() == 4 ? Key::ipv4hint : Key::ipv6hint, address.size());
    records.append(address);
    if (!service.path.empty()) {
        constexpr std::string_view variable = "{?dns}"; // of the template, with its braces (E102)
        records.begin_parameter(Key::dohpath, service.path.size() + variable.size());
        records.append(service.path);
        records.append(variable);
    }
}

} // namespace

bool asks_for_designated(const Question& question) noexcept {
    return question.type == type::svcb && question.klass == klass::in &&
           std::ranges::equal(question.name.view(), well_known);
}

std::vector<std::uint8_t> designation(const Name& target, Octets address,
                                      std::span<const Service> services) {
    constexpr std::array<std::uint8_t, 2> qname{0xc0, header_size};
    Records records;
    std::uint16_t rank = 0;
    for (const Service& service : services) {
        records.begin(qname, type::svcb);
        records.append16(++rank);
        records.append(target.view());
        add_parameters(records, address, service);
        records.finish();
    }
    records.begin(target.view(), address.size() == 4 ? type::a : type::aaaa);
    records.append(address);
    records.finish();
    return records.take();
}

} // namespace dotproxy::dns
