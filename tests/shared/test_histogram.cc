// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "shared/histogram.hh"

#include "unit.hh"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <vector>

using dotproxy::Histogram;
using dotproxy::HistogramTotal;
using std::chrono::nanoseconds;

namespace {

constexpr std::size_t last = Histogram::bucket_count - 1;

// A bucket is found without a search: each bound, and what is beside it.
static_assert(Histogram::index(nanoseconds{0}) == 0);
static_assert(Histogram::index(Histogram::end(last)) == last);

void test_index_then_every_bound_parts_two_buckets(void** /*state*/) {
    for (std::size_t bucket = 0; bucket < last; ++bucket) {
        const nanoseconds bound = Histogram::end(bucket);
        assert_int_equal(Histogram::index(bound - nanoseconds{1}), bucket);
        assert_int_equal(Histogram::index(bound), bucket + 1);
        assert_int_equal(Histogram::index(bound + nanoseconds{1}), bucket + 1);
    }
}

// Powers of two of a millisecond and their quarters, so that what is shown to people is neat.
void test_end_then_quarters_of_octaves(void** /*state*/) {
    assert_int_equal(Histogram::end(4 * 4 - 1).count(), 62'500);
    assert_int_equal(Histogram::end(4 * 8 - 1).count(), 1'000'000);
    assert_int_equal(Histogram::end(4 * 8).count(), 1'250'000);
    assert_int_equal(Histogram::end(4 * 8 + 3).count(), 2'000'000);
    assert_int_equal(Histogram::end(last).count(), 16'384'000'000);
}

void test_index_when_out_of_range_then_the_first_or_the_last(void** /*state*/) {
    assert_int_equal(Histogram::index(nanoseconds{-1}), 0);
    assert_int_equal(Histogram::index(nanoseconds::min()), 0);
    assert_int_equal(Histogram::index(std::chrono::hours{1}), last);
    assert_int_equal(Histogram::index(nanoseconds::max()), last); // 2^63 - 1
}

void test_add_then_in_its_bucket_and_in_the_sum(void** /*state*/) {
    Histogram histogram;
    histogram.add(nanoseconds{0});
    histogram.add(nanoseconds{1'100'000}, 3);
    histogram.add(nanoseconds{-5});
    assert_int_equal(histogram.bucket(0), 2);
    assert_int_equal(histogram.bucket(4 * 8), 3);
    assert_int_equal(histogram.sum(), 3'300'000);
    HistogramTotal total;
    total.add(histogram);
    total.add(histogram);
    assert_int_equal(total.count(), 10);
    assert_int_equal(total.sum, 6'600'000);
}

void test_add_when_the_longest_there_is_then_counted(void** /*state*/) {
    Histogram histogram;
    histogram.add(nanoseconds::max());
    assert_int_equal(histogram.bucket(last), 1);
    assert_int_equal(histogram.sum(), std::numeric_limits<std::int64_t>::max());
}

void test_move_to_then_the_other_has_it_all(void** /*state*/) {
    Histogram from;
    Histogram to;
    from.add(nanoseconds{5'000'000}, 2);
    to.add(nanoseconds{5'000'000});
    from.move_to(to);
    assert_int_equal(to.bucket(Histogram::index(nanoseconds{5'000'000})), 3);
    assert_int_equal(to.sum(), 15'000'000);
    assert_int_equal(from.bucket(Histogram::index(nanoseconds{5'000'000})), 0);
    assert_int_equal(from.sum(), 0);
}

/// The middle of the bucket that the `part` of all values reaches.
double quantile(const HistogramTotal& total, double part) {
    const double wanted = part * static_cast<double>(total.count());
    double seen = 0;
    std::size_t bucket = 0;
    while (bucket < last && (seen += static_cast<double>(total.buckets[bucket])) < wanted) {
        ++bucket;
    }
    const double low = bucket == 0 ? 0 : static_cast<double>(Histogram::end(bucket - 1).count());
    return (low + static_cast<double>(Histogram::end(bucket).count())) / 2;
}

// An eighth off at most, whatever is measured.
void test_add_when_random_then_quantiles_are_near_the_exact_ones(void** /*state*/) {
    std::mt19937_64 random{4711};
    std::lognormal_distribution<double> distribution{17, 2}; // about 24 ms, from 0.1 ms to 10 s
    const auto histogram = std::make_unique<Histogram>();
    std::vector<double> exact;
    for (int i = 0; i < 100'000; ++i) {
        const double value = std::min(std::max(distribution(random), 10'000.0), 16e9);
        histogram->add(nanoseconds{static_cast<std::int64_t>(value)});
        exact.push_back(value);
    }
    std::sort(exact.begin(), exact.end());
    HistogramTotal total;
    total.add(*histogram);
    for (const double part : {0.01, 0.1, 0.5, 0.9, 0.99, 0.999}) {
        const auto at = static_cast<std::size_t>(part * static_cast<double>(exact.size()));
        const double off = quantile(total, part) / exact[at];
        assert_true(off > 1 - 0.126 && off < 1 + 0.126);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_index_then_every_bound_parts_two_buckets),
        cmocka_unit_test(test_end_then_quarters_of_octaves),
        cmocka_unit_test(test_index_when_out_of_range_then_the_first_or_the_last),
        cmocka_unit_test(test_add_then_in_its_bucket_and_in_the_sum),
        cmocka_unit_test(test_add_when_the_longest_there_is_then_counted),
        cmocka_unit_test(test_move_to_then_the_other_has_it_all),
        cmocka_unit_test(test_add_when_random_then_quantiles_are_near_the_exact_ones),
    };
    return cmocka_run_group_tests_name("shared/histogram", tests, nullptr, nullptr);
}
