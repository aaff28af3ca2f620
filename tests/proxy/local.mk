check_LIBRARIES += tests/proxy/librig.a
tests_proxy_librig_a_SOURCES = \
	tests/proxy/cache_rig.hh tests/proxy/clients.hh \
	tests/proxy/clock.cc tests/proxy/clock.hh \
	tests/proxy/resolver.cc tests/proxy/resolver.hh \
	tests/proxy/rig.cc tests/proxy/rig.hh tests/proxy/rig_names.hh \
	tests/proxy/tcp_clients.hh

proxy_tests = \
	tests/proxy/test_address_counts \
	tests/proxy/test_answer_cache \
	tests/proxy/test_answer_cache_refresh \
	tests/proxy/test_answer_cache_stale \
	tests/proxy/test_connection \
	tests/proxy/test_courtesy \
	tests/proxy/test_connects \
	tests/proxy/test_endpoint \
	tests/proxy/test_floods \
	tests/proxy/test_handover \
	tests/proxy/test_inquiry \
	tests/proxy/test_relay \
	tests/proxy/test_tcp_front \
	tests/proxy/test_tcp_front_limits \
	tests/proxy/test_tcp_intake \
	tests/proxy/test_tcp_readers \
	tests/proxy/test_udp_front \
	tests/proxy/test_udp_front_ipv6 \
	tests/proxy/test_upstreams
check_PROGRAMS += $(proxy_tests)
TESTS += $(proxy_tests)

# A whole worker under the test's own clock. The clock comes first: it stands before the C library's.
proxy_test_rig = tests/proxy/librig.a tests/tls/libpeer.a libproxy.a libshared.a libtls.a libdns.a \
	libbase.a $(GNUTLS_LIBS) $(CMOCKA_LIBS)

tests_proxy_test_address_counts_SOURCES = tests/proxy/test_address_counts.cc tests/unit.hh
tests_proxy_test_address_counts_LDADD = libproxy.a libbase.a $(CMOCKA_LIBS)
tests_proxy_test_answer_cache_SOURCES = tests/proxy/test_answer_cache.cc \
	tests/proxy/allocations.cc tests/proxy/allocations.hh tests/dns/messages.hh tests/unit.hh
tests_proxy_test_answer_cache_LDADD = $(proxy_test_rig)
tests_proxy_test_answer_cache_refresh_SOURCES = tests/proxy/test_answer_cache_refresh.cc tests/dns/messages.hh tests/unit.hh
tests_proxy_test_answer_cache_refresh_LDADD = $(proxy_test_rig)
tests_proxy_test_answer_cache_stale_SOURCES = tests/proxy/test_answer_cache_stale.cc tests/dns/messages.hh tests/unit.hh
tests_proxy_test_answer_cache_stale_LDADD = $(proxy_test_rig)
tests_proxy_test_connection_SOURCES = tests/proxy/test_connection.cc tests/dns/messages.hh tests/unit.hh
tests_proxy_test_connection_LDADD = $(proxy_test_rig)
tests_proxy_test_connects_SOURCES = tests/proxy/test_connects.cc tests/dns/messages.hh tests/unit.hh
tests_proxy_test_connects_LDADD = $(proxy_test_rig)
tests_proxy_test_courtesy_SOURCES = tests/proxy/test_courtesy.cc \
	tests/proxy/clock.cc tests/proxy/clock.hh tests/unit.hh
tests_proxy_test_courtesy_LDADD = libproxy.a libshared.a libbase.a $(CMOCKA_LIBS)
tests_proxy_test_endpoint_SOURCES = tests/proxy/test_endpoint.cc tests/unit.hh
tests_proxy_test_endpoint_LDADD = libproxy.a libtls.a libbase.a $(GNUTLS_LIBS) $(CMOCKA_LIBS)
tests_proxy_test_floods_SOURCES = tests/proxy/test_floods.cc tests/dns/messages.hh tests/unit.hh
tests_proxy_test_floods_LDADD = $(proxy_test_rig)
tests_proxy_test_handover_SOURCES = tests/proxy/test_handover.cc tests/unit.hh
tests_proxy_test_handover_LDADD = libproxy.a $(CMOCKA_LIBS)
tests_proxy_test_inquiry_SOURCES = tests/proxy/test_inquiry.cc tests/dns/messages.hh tests/unit.hh
tests_proxy_test_inquiry_LDADD = libproxy.a libdns.a libbase.a $(CMOCKA_LIBS)
tests_proxy_test_relay_SOURCES = tests/proxy/test_relay.cc tests/dns/messages.hh tests/unit.hh
tests_proxy_test_relay_LDADD = $(proxy_test_rig)
tests_proxy_test_tcp_front_SOURCES = tests/proxy/test_tcp_front.cc tests/dns/messages.hh tests/unit.hh
tests_proxy_test_tcp_front_LDADD = $(proxy_test_rig)
tests_proxy_test_tcp_front_limits_SOURCES = tests/proxy/test_tcp_front_limits.cc \
	tests/dns/messages.hh tests/unit.hh
tests_proxy_test_tcp_front_limits_LDADD = $(proxy_test_rig)
tests_proxy_test_tcp_intake_SOURCES = tests/proxy/test_tcp_intake.cc tests/dns/messages.hh tests/unit.hh
tests_proxy_test_tcp_intake_LDADD = $(proxy_test_rig)
tests_proxy_test_tcp_readers_SOURCES = tests/proxy/test_tcp_readers.cc tests/dns/messages.hh tests/unit.hh
tests_proxy_test_tcp_readers_LDADD = $(proxy_test_rig)
tests_proxy_test_udp_front_SOURCES = tests/proxy/test_udp_front.cc tests/proxy/wildcard.hh \
	tests/dns/messages.hh tests/unit.hh
tests_proxy_test_udp_front_LDADD = $(proxy_test_rig)
tests_proxy_test_udp_front_ipv6_SOURCES = tests/proxy/test_udp_front_ipv6.cc \
	tests/proxy/wildcard.hh tests/ipv6.hh tests/unit.hh
tests_proxy_test_udp_front_ipv6_LDADD = $(proxy_test_rig)
tests_proxy_test_upstreams_SOURCES = tests/proxy/test_upstreams.cc tests/dns/messages.hh tests/unit.hh
tests_proxy_test_upstreams_LDADD = $(proxy_test_rig)
