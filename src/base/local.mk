noinst_LIBRARIES += libbase.a
libbase_a_SOURCES = \
	src/base/address.cc src/base/address.hh \
	src/base/buffer.hh \
	src/base/cgroup.cc src/base/cgroup.hh \
	src/base/chains.hh \
	src/base/clock.hh \
	src/base/deadline.hh \
	src/base/fd.hh \
	src/base/listener.cc src/base/listener.hh \
	src/base/receive_queue.cc src/base/receive_queue.hh \
	src/base/log.cc src/base/log.hh \
	src/base/loop.cc src/base/loop.hh \
	src/base/siphash.cc src/base/siphash.hh \
	src/base/number.hh \
	src/base/poison.hh \
	src/base/prefix.cc src/base/prefix.hh \
	src/base/slab.hh \
	src/base/undumped.cc src/base/undumped.hh
