noinst_LIBRARIES += libsandbox.a
libsandbox_a_SOURCES = \
	src/sandbox/call.cc src/sandbox/call.hh \
	src/sandbox/filter.cc src/sandbox/filter.hh \
	src/sandbox/landlock.cc src/sandbox/landlock.hh \
	src/sandbox/needs.hh \
	src/sandbox/sandbox.cc src/sandbox/sandbox.hh
