noinst_LIBRARIES += libshared.a
libshared_a_SOURCES = \
	src/shared/anonymous.cc src/shared/anonymous.hh \
	src/shared/on_link.hh \
	src/shared/offenders.cc src/shared/offenders.hh \
	src/shared/prefix_list.cc src/shared/prefix_list.hh \
	src/shared/cache.cc src/shared/cache.hh \
	src/shared/cache_memory.cc src/shared/cache_memory.hh \
	src/shared/counted.hh src/shared/counters.hh src/shared/histogram.hh src/shared/tally.hh \
	src/shared/counter_region.cc src/shared/counter_region.hh \
	src/shared/entry.cc src/shared/entry.hh \
	src/shared/limits_memory.cc src/shared/limits_memory.hh \
	src/shared/meter.cc src/shared/meter.hh \
	src/shared/region.cc src/shared/region.hh \
	src/shared/shard.cc src/shared/shard.hh
