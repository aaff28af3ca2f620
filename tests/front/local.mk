front_tests = \
	tests/front/test_courtesy \
	tests/front/test_forwarded \
	tests/front/test_handover \
	tests/front/test_http_front \
	tests/front/test_overload \
	tests/front/test_proxied \
	tests/front/test_proxy_header \
	tests/front/test_queue_price \
	tests/front/test_streams \
	tests/front/test_tcp_front \
	tests/front/test_tcp_front_limits \
	tests/front/test_tcp_intake \
	tests/front/test_tcp_readers \
	tests/front/test_tls_front \
	tests/front/test_tls_turns \
	tests/front/test_turns \
	tests/front/test_udp_front \
	tests/front/test_udp_front_ipv6
check_PROGRAMS += $(front_tests)
TESTS += $(front_tests)

tests_front_test_courtesy_SOURCES = tests/front/test_courtesy.cc tests/worker/clock.cc \
	tests/worker/clock.hh tests/unit.hh
tests_front_test_courtesy_LDADD = libfront.a libshared.a libconfig.a libbase.a $(CMOCKA_LIBS)
tests_front_test_forwarded_SOURCES = tests/front/test_forwarded.cc tests/unit.hh
tests_front_test_forwarded_LDADD = libfront.a libhttp.a libconfig.a libdns.a libbase.a $(CMOCKA_LIBS)
tests_front_test_http_front_SOURCES = tests/front/test_http_front.cc tests/front/http_clients.hh \
	tests/front/tls_clients.hh tests/http/peer.hh tests/unit.hh
tests_front_test_http_front_LDADD = $(rig)
tests_front_test_handover_SOURCES = tests/front/test_handover.cc tests/unit.hh
tests_front_test_handover_LDADD = libfront.a libbase.a $(CMOCKA_LIBS)
tests_front_test_overload_SOURCES = tests/front/test_overload.cc tests/unit.hh
tests_front_test_overload_LDADD = libfront.a librelay.a libupstream.a libshared.a libconfig.a \
	libbase.a $(CMOCKA_LIBS)
tests_front_test_proxied_SOURCES = tests/front/test_proxied.cc tests/front/tcp_clients.hh tests/unit.hh
tests_front_test_proxied_LDADD = $(rig)
tests_front_test_proxy_header_SOURCES = tests/front/test_proxy_header.cc tests/unit.hh
tests_front_test_proxy_header_LDADD = libfront.a libbase.a $(CMOCKA_LIBS)
tests_front_test_queue_price_SOURCES = tests/front/test_queue_price.cc tests/unit.hh
tests_front_test_queue_price_LDADD = libfront.a $(CMOCKA_LIBS)
tests_front_test_streams_SOURCES = tests/front/test_streams.cc tests/front/tcp_clients.hh \
	tests/unit.hh
tests_front_test_streams_LDADD = $(rig)
tests_front_test_tcp_front_SOURCES = tests/front/test_tcp_front.cc tests/front/tcp_clients.hh \
	tests/unit.hh
tests_front_test_tcp_front_LDADD = $(rig)
tests_front_test_tcp_front_limits_SOURCES = tests/front/test_tcp_front_limits.cc \
	tests/front/tcp_clients.hh tests/unit.hh
tests_front_test_tcp_front_limits_LDADD = $(rig)
tests_front_test_tcp_intake_SOURCES = tests/front/test_tcp_intake.cc tests/unit.hh
tests_front_test_tcp_intake_LDADD = $(rig)
tests_front_test_tcp_readers_SOURCES = tests/front/test_tcp_readers.cc tests/unit.hh
tests_front_test_tcp_readers_LDADD = $(rig)
tests_front_test_tls_front_SOURCES = tests/front/test_tls_front.cc tests/front/tls_clients.hh \
	tests/unit.hh
tests_front_test_tls_front_LDADD = $(rig)
tests_front_test_tls_turns_SOURCES = tests/front/test_tls_turns.cc tests/front/tls_clients.hh \
	tests/unit.hh
tests_front_test_tls_turns_LDADD = $(rig)
tests_front_test_turns_SOURCES = tests/front/test_turns.cc tests/front/tcp_clients.hh tests/unit.hh
tests_front_test_turns_LDADD = $(rig)
tests_front_test_udp_front_SOURCES = tests/front/test_udp_front.cc tests/front/wildcard.hh \
	tests/unit.hh
tests_front_test_udp_front_LDADD = $(rig)
tests_front_test_udp_front_ipv6_SOURCES = tests/front/test_udp_front_ipv6.cc tests/ipv6.hh \
	tests/front/wildcard.hh tests/unit.hh
tests_front_test_udp_front_ipv6_LDADD = $(rig)
