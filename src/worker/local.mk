noinst_LIBRARIES += libworker.a
libworker_a_SOURCES = \
	src/worker/upstream_check.cc src/worker/upstream_check.hh \
	src/worker/worker.cc src/worker/worker.hh
