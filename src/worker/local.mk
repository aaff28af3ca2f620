noinst_LIBRARIES += libworker.a
libworker_a_SOURCES = \
	src/worker/worker.cc src/worker/worker.hh
