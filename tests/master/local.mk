master_tests = \
	tests/master/test_control \
	tests/master/test_control_socket \
	tests/master/test_daemon \
	tests/master/test_generation \
	tests/master/test_inheritance \
	tests/master/test_memory \
	tests/master/test_listeners \
	tests/master/test_notify \
	tests/master/test_packet_filter \
	tests/master/test_penalties \
	tests/master/test_port_holder \
	tests/master/test_preflight \
	tests/master/test_privileges \
	tests/master/test_privileges_as_root \
	tests/master/test_receive_drops \
	tests/master/test_receive_errors \
	tests/master/test_request \
	tests/master/test_worker_slot
check_PROGRAMS += $(master_tests)
TESTS += $(master_tests)

# Each against as little as it needs: the room, base, and what a Config is made of.
master_test_libraries = libmaster.a libsandbox.a libconfig.a libbase.a $(SECCOMP_LIBS) $(CMOCKA_LIBS)

tests_master_test_control_SOURCES = tests/master/test_control.cc tests/master/control_rig.hh \
	tests/master/child.hh tests/unit.hh
tests_master_test_control_LDADD = $(master_test_libraries)
tests_master_test_control_socket_SOURCES = tests/master/test_control_socket.cc \
	tests/master/control_rig.hh tests/master/child.hh tests/unit.hh
tests_master_test_control_socket_LDADD = $(master_test_libraries)
tests_master_test_daemon_SOURCES = tests/master/test_daemon.cc tests/master/child.hh tests/unit.hh
tests_master_test_daemon_LDADD = $(master_test_libraries)
tests_master_test_generation_SOURCES = tests/master/test_generation.cc tests/master/child.hh \
	tests/unit.hh
tests_master_test_generation_LDADD = tests/tls/libpeer.a libmaster.a libsandbox.a libshared.a libtls.a libconfig.a \
	libbase.a $(SECCOMP_LIBS) $(GNUTLS_LIBS) $(CMOCKA_LIBS)
tests_master_test_inheritance_SOURCES = tests/master/test_inheritance.cc tests/unit.hh
tests_master_test_inheritance_LDADD = $(master_test_libraries)
tests_master_test_memory_SOURCES = tests/master/test_memory.cc tests/unit.hh
tests_master_test_memory_LDADD = libmaster.a libshared.a libconfig.a libdns.a libbase.a $(CMOCKA_LIBS)
tests_master_test_listeners_SOURCES = tests/master/test_listeners.cc tests/base/sockets.hh \
	tests/unit.hh
tests_master_test_listeners_LDADD = $(master_test_libraries)
tests_master_test_notify_SOURCES = tests/master/test_notify.cc tests/master/child.hh tests/unit.hh
tests_master_test_notify_LDADD = $(master_test_libraries)
tests_master_test_packet_filter_SOURCES = tests/master/test_packet_filter.cc tests/unit.hh
tests_master_test_packet_filter_LDADD = $(master_test_libraries)
tests_master_test_penalties_SOURCES = tests/master/test_penalties.cc tests/unit.hh
tests_master_test_penalties_LDADD = $(master_test_libraries)
tests_master_test_port_holder_SOURCES = tests/master/test_port_holder.cc tests/unit.hh
tests_master_test_port_holder_LDADD = $(master_test_libraries)
tests_master_test_preflight_SOURCES = tests/master/test_preflight.cc tests/config/scratch.hh \
	tests/unit.hh
tests_master_test_preflight_LDADD = libmaster.a libconfig.a libdns.a libsandbox.a libshared.a libtls.a \
	libbase.a $(SECCOMP_LIBS) $(CONFIG_LIBS) $(GNUTLS_LIBS) $(CMOCKA_LIBS)
tests_master_test_privileges_SOURCES = tests/master/test_privileges.cc tests/master/child.hh \
	tests/master/status.hh tests/unit.hh
tests_master_test_privileges_LDADD = $(master_test_libraries)
tests_master_test_privileges_as_root_SOURCES = tests/master/test_privileges_as_root.cc \
	tests/master/child.hh tests/master/status.hh tests/unit.hh
tests_master_test_privileges_as_root_LDADD = $(master_test_libraries)
tests_master_test_receive_drops_SOURCES = tests/master/test_receive_drops.cc tests/unit.hh
tests_master_test_receive_drops_LDADD = $(master_test_libraries)
tests_master_test_receive_errors_SOURCES = tests/master/test_receive_errors.cc tests/unit.hh
tests_master_test_receive_errors_LDADD = $(master_test_libraries)
tests_master_test_request_SOURCES = tests/master/test_request.cc tests/unit.hh
tests_master_test_request_LDADD = $(master_test_libraries)
tests_master_test_worker_slot_SOURCES = tests/master/test_worker_slot.cc tests/unit.hh
tests_master_test_worker_slot_LDADD = $(master_test_libraries)
