noinst_LIBRARIES += libshared.a
libshared_a_SOURCES = src/shared/counters.cc src/shared/counters.hh
