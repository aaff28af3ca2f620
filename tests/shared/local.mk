shared_tests = \
	tests/shared/test_cache \
	tests/shared/test_cache_memory \
	tests/shared/test_counter_region \
	tests/shared/test_counters \
	tests/shared/test_growing_index \
	tests/shared/test_histogram \
	tests/shared/test_killed_at_random \
	tests/shared/test_killed_meter \
	tests/shared/test_killed_writer \
	tests/shared/test_limits_memory \
	tests/shared/test_meter \
	tests/shared/test_offenders \
	tests/shared/test_prefix_list \
	tests/shared/test_region \
	tests/shared/test_shard \
	tests/shared/test_threads
check_PROGRAMS += $(shared_tests)
TESTS += $(shared_tests)

shared_test_libraries = libshared.a libbase.a $(CMOCKA_LIBS)

tests_shared_test_cache_SOURCES = tests/shared/test_cache.cc \
	tests/shared/self_describing.hh tests/unit.hh
tests_shared_test_cache_LDADD = $(shared_test_libraries)
tests_shared_test_cache_memory_SOURCES = tests/shared/test_cache_memory.cc \
	tests/shared/self_describing.hh tests/unit.hh
tests_shared_test_cache_memory_LDADD = $(shared_test_libraries)
tests_shared_test_counter_region_SOURCES = tests/shared/test_counter_region.cc tests/unit.hh
tests_shared_test_counter_region_LDADD = $(shared_test_libraries)
tests_shared_test_counters_SOURCES = tests/shared/test_counters.cc tests/unit.hh
tests_shared_test_counters_LDADD = $(shared_test_libraries)
tests_shared_test_growing_index_SOURCES = tests/shared/test_growing_index.cc \
	tests/shared/self_describing.hh tests/shared/shard_rig.hh tests/unit.hh
tests_shared_test_growing_index_LDADD = $(shared_test_libraries)
tests_shared_test_histogram_SOURCES = tests/shared/test_histogram.cc tests/unit.hh
tests_shared_test_histogram_LDADD = $(shared_test_libraries)
tests_shared_test_killed_at_random_SOURCES = tests/shared/test_killed_at_random.cc \
	tests/shared/self_describing.hh tests/shared/shard_rig.hh tests/unit.hh
tests_shared_test_killed_at_random_LDADD = $(shared_test_libraries)
tests_shared_test_killed_meter_SOURCES = tests/shared/test_killed_meter.cc \
	tests/shared/meter_rig.hh tests/shared/stepper.cc tests/shared/stepper.hh tests/unit.hh
tests_shared_test_killed_meter_LDADD = $(shared_test_libraries)
tests_shared_test_killed_writer_SOURCES = tests/shared/test_killed_writer.cc \
	tests/shared/self_describing.hh tests/shared/shard_rig.hh \
	tests/shared/stepper.cc tests/shared/stepper.hh tests/unit.hh
tests_shared_test_killed_writer_LDADD = $(shared_test_libraries)
tests_shared_test_limits_memory_SOURCES = tests/shared/test_limits_memory.cc \
	tests/shared/meter_rig.hh tests/shared/self_describing.hh tests/unit.hh
tests_shared_test_limits_memory_LDADD = $(shared_test_libraries)
tests_shared_test_meter_SOURCES = tests/shared/test_meter.cc \
	tests/shared/meter_rig.hh tests/shared/self_describing.hh tests/unit.hh
tests_shared_test_meter_LDADD = $(shared_test_libraries)
tests_shared_test_offenders_SOURCES = tests/shared/test_offenders.cc tests/unit.hh
tests_shared_test_offenders_LDADD = $(shared_test_libraries)
tests_shared_test_prefix_list_SOURCES = tests/shared/test_prefix_list.cc tests/unit.hh
tests_shared_test_prefix_list_LDADD = $(shared_test_libraries)
tests_shared_test_region_SOURCES = tests/shared/test_region.cc tests/unit.hh
tests_shared_test_region_LDADD = $(shared_test_libraries)
tests_shared_test_shard_SOURCES = tests/shared/test_shard.cc \
	tests/shared/self_describing.hh tests/shared/shard_rig.hh tests/unit.hh
tests_shared_test_shard_LDADD = $(shared_test_libraries)
# What ThreadSanitizer runs: `./build.sh check`.
tests_shared_test_threads_SOURCES = tests/shared/test_threads.cc \
	tests/shared/meter_rig.hh tests/shared/self_describing.hh tests/unit.hh
tests_shared_test_threads_LDADD = $(shared_test_libraries)
