sandbox_tests = \
	tests/sandbox/test_call \
	tests/sandbox/test_landlock
# A sanitizer makes calls of its own, of which a process that is shut in dies.
if !ASAN
sandbox_tests += \
	tests/sandbox/test_filter \
	tests/sandbox/test_sandbox
endif
check_PROGRAMS += $(sandbox_tests)
TESTS += $(sandbox_tests)

sandbox_test_libraries = libsandbox.a libbase.a $(SECCOMP_LIBS) $(CMOCKA_LIBS)

tests_sandbox_test_call_SOURCES = tests/sandbox/test_call.cc tests/unit.hh
tests_sandbox_test_call_LDADD = $(sandbox_test_libraries)
tests_sandbox_test_filter_SOURCES = tests/sandbox/test_filter.cc tests/sandbox/shut_in.hh \
	tests/unit.hh
tests_sandbox_test_filter_LDADD = $(sandbox_test_libraries)
tests_sandbox_test_landlock_SOURCES = tests/sandbox/test_landlock.cc tests/master/child.hh \
	tests/unit.hh
tests_sandbox_test_landlock_LDADD = $(sandbox_test_libraries)
tests_sandbox_test_sandbox_SOURCES = tests/sandbox/test_sandbox.cc tests/sandbox/shut_in.hh \
	tests/master/child.hh tests/unit.hh
tests_sandbox_test_sandbox_LDADD = $(sandbox_test_libraries)
