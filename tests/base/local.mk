check_PROGRAMS += \
	tests/base/test_address \
	tests/base/test_buffer \
	tests/base/test_cgroup \
	tests/base/test_chains \
	tests/base/test_deadline \
	tests/base/test_listener \
	tests/base/test_listener_ipv6 \
	tests/base/test_log \
	tests/base/test_loop \
	tests/base/test_prefix \
	tests/base/test_siphash \
	tests/base/test_slab \
	tests/base/test_undumped
TESTS += \
	tests/base/test_address \
	tests/base/test_buffer \
	tests/base/test_cgroup \
	tests/base/test_chains \
	tests/base/test_deadline \
	tests/base/test_listener \
	tests/base/test_listener_ipv6 \
	tests/base/test_log \
	tests/base/test_loop \
	tests/base/test_prefix \
	tests/base/test_siphash \
	tests/base/test_slab \
	tests/base/test_undumped

tests_base_test_address_SOURCES = tests/base/test_address.cc tests/unit.hh
tests_base_test_address_LDADD = libbase.a $(CMOCKA_LIBS)
tests_base_test_buffer_SOURCES = tests/base/test_buffer.cc tests/unit.hh
tests_base_test_buffer_LDADD = $(CMOCKA_LIBS)
tests_base_test_cgroup_SOURCES = tests/base/test_cgroup.cc tests/config/scratch.hh tests/unit.hh
tests_base_test_cgroup_LDADD = libbase.a $(CMOCKA_LIBS)
tests_base_test_chains_SOURCES = tests/base/test_chains.cc tests/unit.hh
tests_base_test_chains_LDADD = $(CMOCKA_LIBS)
tests_base_test_deadline_SOURCES = tests/base/test_deadline.cc tests/unit.hh
tests_base_test_deadline_LDADD = $(CMOCKA_LIBS)
tests_base_test_listener_SOURCES = tests/base/test_listener.cc tests/base/sockets.hh \
	tests/unit.hh
tests_base_test_listener_LDADD = libbase.a $(CMOCKA_LIBS)
tests_base_test_listener_ipv6_SOURCES = tests/base/test_listener_ipv6.cc tests/base/sockets.hh \
	tests/ipv6.hh tests/unit.hh
tests_base_test_listener_ipv6_LDADD = libbase.a $(CMOCKA_LIBS)
tests_base_test_log_SOURCES = tests/base/test_log.cc tests/unit.hh
tests_base_test_log_LDADD = libbase.a $(CMOCKA_LIBS)
tests_base_test_loop_SOURCES = tests/base/test_loop.cc tests/unit.hh
tests_base_test_loop_LDADD = libbase.a $(CMOCKA_LIBS)
tests_base_test_prefix_SOURCES = tests/base/test_prefix.cc tests/unit.hh
tests_base_test_prefix_LDADD = libbase.a $(CMOCKA_LIBS)
tests_base_test_siphash_SOURCES = tests/base/test_siphash.cc tests/unit.hh
tests_base_test_siphash_LDADD = $(CMOCKA_LIBS)
tests_base_test_slab_SOURCES = tests/base/test_slab.cc tests/unit.hh
tests_base_test_slab_LDADD = libbase.a $(CMOCKA_LIBS)
tests_base_test_undumped_SOURCES = tests/base/test_undumped.cc tests/unit.hh
tests_base_test_undumped_LDADD = libbase.a $(CMOCKA_LIBS)
