check_PROGRAMS += tests/shared/test_counters
TESTS += tests/shared/test_counters

tests_shared_test_counters_SOURCES = tests/shared/test_counters.cc tests/unit.hh
tests_shared_test_counters_LDADD = libshared.a libbase.a $(CMOCKA_LIBS)
