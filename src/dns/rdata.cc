// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A type's form is a row of at most five fields. A table from types to rows is made at compile
// time; nearly all records are A or AAAA, whose row is one number.

#include "dns/rdata.hh"

#include "dns/name.hh"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace dotproxy::dns {

namespace {

/// A part of RDATA. Up to max_fixed: so many octets.
using Field = std::uint8_t;

namespace field {
constexpr Field end = 0; // nothing may be left
constexpr Field max_fixed = 31;
constexpr Field name = 32;
constexpr Field string = 33;     // a <character-string> (RFC 1035, section 3.3)
constexpr Field strings = 34;    // one or more, up to the end
constexpr Field some = 35;       // at least an octet, up to the end
constexpr Field rest = 36;       // whatever there is, up to the end
constexpr Field bitmap = 37;     // Type Bit Maps (RFC 4034, section 4.1.2), up to the end
constexpr Field parameters = 38; // SvcParams (RFC 9460, section 2.2), up to the end
constexpr Field prefixes = 39;   // of APL (RFC 3123, section 4), up to the end
constexpr Field location = 40;   // of LOC, up to the end: only version 0 is known (RFC 1876)
} // namespace field

constexpr std::size_t max_fields = 5;

/// The form of a type's RDATA. Fields that are not given are field::end.
struct Form {
    std::uint16_t type;
    bool internet; // defined for class IN alone
    std::array<Field, max_fields> fields;
};

constexpr bool any_class = false;
constexpr bool internet = true;

constexpr std::array forms{
    Form{1, internet, {4}},                                                            // A
    Form{2, any_class, {field::name}},                                                 // NS
    Form{3, any_class, {field::name}},                                                 // MD
    Form{4, any_class, {field::name}},                                                 // MF
    Form{5, any_class, {field::name}},                                                 // CNAME
    Form{6, any_class, {field::name, field::name, 20}},                                // SOA
    Form{7, any_class, {field::name}},                                                 // MB
    Form{8, any_class, {field::name}},                                                 // MG
    Form{9, any_class, {field::name}},                                                 // MR
    Form{11, internet, {5, field::rest}},                                              // WKS
    Form{12, any_class, {field::name}},                                                // PTR
    Form{13, any_class, {field::string, field::string}},                               // HINFO
    Form{14, any_class, {field::name, field::name}},                                   // MINFO
    Form{15, any_class, {2, field::name}},                                             // MX
    Form{16, any_class, {field::strings}},                                             // TXT
    Form{17, any_class, {field::name, field::name}},                                   // RP
    Form{18, any_class, {2, field::name}},                                             // AFSDB
    Form{19, any_class, {field::string}},                                              // X25
    Form{20, any_class, {field::strings}},                                             // ISDN
    Form{21, any_class, {2, field::name}},                                             // RT
    Form{23, internet, {field::name}},                                                 // NSAP-PTR
    Form{24, any_class, {18, field::name, field::some}},                               // SIG
    Form{25, any_class, {4, field::rest}},                                             // KEY
    Form{26, internet, {2, field::name, field::name}},                                 // PX
    Form{27, any_class, {field::string, field::string, field::string}},                // GPOS
    Form{28, internet, {16}},                                                          // AAAA
    Form{29, any_class, {field::location}},                                            // LOC
    Form{30, any_class, {field::name, field::some}},                                   // NXT
    Form{33, internet, {6, field::name}},                                              // SRV
    Form{35, internet, {4, field::string, field::string, field::string, field::name}}, // NAPTR
    Form{36, internet, {2, field::name}},                                              // KX
    Form{37, any_class, {5, field::rest}},                                             // CERT
    Form{39, any_class, {field::name}},                                                // DNAME
    Form{42, internet, {field::prefixes}},                                             // APL
    Form{43, any_class, {4, field::some}},                                             // DS
    Form{44, any_class, {2, field::some}},                                             // SSHFP
    Form{45, any_class, {3, field::rest}},                                             // IPSECKEY
    Form{46, any_class, {18, field::name, field::some}},                               // RRSIG
    Form{47, any_class, {field::name, field::bitmap}},                                 // NSEC
    Form{48, any_class, {4, field::some}},                                             // DNSKEY
    Form{49, internet, {3, field::rest}},                                              // DHCID
    Form{50, any_class, {4, field::string, field::string, field::bitmap}},             // NSEC3
    Form{51, any_class, {4, field::string}},                                           // NSEC3PARAM
    Form{52, any_class, {3, field::some}},                                             // TLSA
    Form{53, any_class, {3, field::some}},                                             // SMIMEA
    Form{59, any_class, {4, field::some}},                                             // CDS
    Form{60, any_class, {4, field::some}},                                             // CDNSKEY
    Form{61, any_class, {field::some}},                                                // OPENPGPKEY
    Form{62, any_class, {6, field::bitmap}},                                           // CSYNC
    Form{63, any_class, {6, field::some}},                                             // ZONEMD
    Form{64, internet, {2, field::name, field::parameters}},                           // SVCB
    Form{65, internet, {2, field::name, field::parameters}},                           // HTTPS
    Form{99, any_class, {field::strings}},                                             // SPF
    Form{104, any_class, {10}},                                                        // NID
    Form{105, any_class, {6}},                                                         // L32
    Form{106, any_class, {10}},                                                        // L64
    Form{107, any_class, {2, field::name}},                                            // LP
    Form{108, any_class, {6}},                                                         // EUI48
    Form{109, any_class, {8}},                                                         // EUI64
    Form{256, any_class, {4, field::some}},                                            // URI
    Form{257, any_class, {1, field::string, field::rest}},                             // CAA
};

static_assert(std::ranges::all_of(forms, [](const Form& form) {
    return std::ranges::count(form.fields, field::name) <= int{max_rdata_names};
}));

/// The place in `forms` of each type; none: its form is not known.
constexpr std::uint8_t none = 0xff;
constexpr auto places = [] {
    std::array<std::uint8_t, forms.back().type + 1U> table{};
    table.fill(none);
    for (std::size_t i = 0; i < forms.size(); ++i) {
        table[forms[i].type] = static_cast<std::uint8_t>(i);
    }
    return table;
}();

/// Takes RDATA apart from its front. Each member is false where there is not enough left.
class Rdata {
  public:
    Rdata(Octets message, const Record& record) noexcept
        : until_{message.first(record.end)}, at_{record.rdata} {}

    [[nodiscard]] std::size_t at() const noexcept { return at_; }

    [[nodiscard]] std::size_t left() const noexcept { return until_.size() - at_; }

    [[nodiscard]] bool take(std::size_t size) noexcept {
        if (left() < size) {
            return false;
        }
        at_ += size;
        return true;
    }

    [[nodiscard]] bool take_name() noexcept {
        const std::optional<std::size_t> size = name_extent(until_, at_);
        return size && take(*size);
    }

    [[nodiscard]] bool take_string() noexcept { return left() > 0 && take(until_[at_] + 1U); }

    [[nodiscard]] bool take_strings() noexcept {
        bool sound = take_string();
        while (sound && left() > 0) {
            sound = take_string();
        }
        return sound;
    }

    // Windows in rising order, each with 1 to 32 octets.
    [[nodiscard]] bool take_bitmap() noexcept {
        constexpr std::size_t most = 32;
        int last = -1;
        while (left() >= 2) {
            const int window = until_[at_];
            const std::size_t size = until_[at_ + 1];
            if (window <= last || size == 0 || size > most || !take(2 + size)) {
                return false;
            }
            last = window;
        }
        return left() == 0;
    }

    // Keys in rising order.
    [[nodiscard]] bool take_parameters() noexcept {
        constexpr std::size_t head = 4;
        int last = -1;
        while (left() >= head) {
            const int key = load16(until_, at_);
            if (key <= last || !take(head + load16(until_, at_ + 2))) {
                return false;
            }
            last = key;
        }
        return left() == 0;
    }

    // The length shares its octet with a flag.
    [[nodiscard]] bool take_prefixes() noexcept {
        constexpr std::size_t head = 4;
        while (left() >= head) {
            if (!take(head + (until_[at_ + 3] & 0x7fU))) {
                return false;
            }
        }
        return left() == 0;
    }

    [[nodiscard]] bool take_location() noexcept {
        constexpr std::size_t version_0_size = 16;
        return left() > 0 && (until_[at_] != 0 ? take(left()) : take(version_0_size));
    }

    [[nodiscard]] bool take_field(Field what) noexcept {
        switch (what) {
        case field::name:
            return take_name();
        case field::string:
            return take_string();
        case field::strings:
            return take_strings();
        case field::some:
            return left() > 0 && take(left());
        case field::rest:
            return take(left());
        case field::bitmap:
            return take_bitmap();
        case field::parameters:
            return take_parameters();
        case field::prefixes:
            return take_prefixes();
        case field::location:
            return take_location();
        default:
            return take(std::size_t{what});
        }
    }

  private:
    Octets until_; // the message up to the end of the RDATA
    std::size_t at_;
};

// nullptr: the type has none that we know.
const Form* form_of(std::uint16_t type) noexcept {
    const std::uint8_t place = type < places.size() ? places[type] : none;
    return place == none ? nullptr : &forms[place];
}

bool is_for_class_of(const Form& form, const Record& record) noexcept {
    return !form.internet || record.klass == klass::in;
}

} // namespace

bool is_rdata_sound(Octets message, const Record& record) noexcept {
    const Form* form = form_of(record.type);
    if (form == nullptr || !is_for_class_of(*form, record)) {
        return true;
    }
    const Field first = form->fields[0];
    if (first <= field::max_fixed && form->fields[1] == field::end) {
        return record.end - record.rdata == first;
    }
    Rdata rdata{message, record};
    for (const Field what : form->fields) {
        if (what == field::end) {
            break;
        }
        if (!rdata.take_field(what)) {
            return false;
        }
    }
    return rdata.left() == 0;
}

std::optional<RdataNames> names_in(Octets message, const Record& record) noexcept {
    RdataNames names;
    const Form* form = form_of(record.type);
    if (form == nullptr) {
        return names;
    }
    if (!is_for_class_of(*form, record)) {
        return std::nullopt;
    }
    Rdata rdata{message, record};
    for (const Field what : form->fields) {
        if (what == field::name) {
            names.at[names.count++] = rdata.at();
        }
        if (what == field::end || !rdata.take_field(what)) {
            break;
        }
    }
    return names;
}

} // namespace dotproxy::dns
