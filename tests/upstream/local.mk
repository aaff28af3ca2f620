upstream_tests = \
	tests/upstream/test_connect_failure \
	tests/upstream/test_closes \
	tests/upstream/test_connection \
	tests/upstream/test_connects \
	tests/upstream/test_endpoint \
	tests/upstream/test_failed_names \
	tests/upstream/test_failover \
	tests/upstream/test_floods \
	tests/upstream/test_frame_wire \
	tests/upstream/test_health_check \
	tests/upstream/test_http_probes \
	tests/upstream/test_http_wire \
	tests/upstream/test_inquiry \
	tests/upstream/test_lanes \
	tests/upstream/test_plain_upstreams \
	tests/upstream/test_silence \
	tests/upstream/test_upstreams
check_PROGRAMS += $(upstream_tests)
TESTS += $(upstream_tests)

tests_upstream_test_connect_failure_SOURCES = tests/upstream/test_connect_failure.cc tests/unit.hh
tests_upstream_test_connect_failure_LDADD = libupstream.a $(CMOCKA_LIBS)
tests_upstream_test_closes_SOURCES = tests/upstream/test_closes.cc tests/unit.hh
tests_upstream_test_closes_LDADD = $(rig)
tests_upstream_test_connection_SOURCES = tests/upstream/test_connection.cc tests/unit.hh
tests_upstream_test_connection_LDADD = $(rig)
tests_upstream_test_connects_SOURCES = tests/upstream/test_connects.cc tests/unit.hh
tests_upstream_test_connects_LDADD = $(rig)
tests_upstream_test_endpoint_SOURCES = tests/upstream/test_endpoint.cc tests/tls/shop.hh \
	tests/unit.hh
tests_upstream_test_endpoint_LDADD = libupstream.a tests/tls/libpeer.a libtls.a libhttp.a libdns.a libbase.a \
	$(NGHTTP2_LIBS) \
	$(GNUTLS_LIBS) $(CMOCKA_LIBS)
tests_upstream_test_failed_names_SOURCES = tests/upstream/test_failed_names.cc tests/unit.hh
tests_upstream_test_failed_names_LDADD = libupstream.a libbase.a $(CMOCKA_LIBS)
tests_upstream_test_failover_SOURCES = tests/upstream/test_failover.cc tests/relay/cache_rig.hh \
	tests/unit.hh
tests_upstream_test_failover_LDADD = $(rig)
tests_upstream_test_floods_SOURCES = tests/upstream/test_floods.cc tests/unit.hh
tests_upstream_test_floods_LDADD = $(rig)
tests_upstream_test_frame_wire_SOURCES = tests/upstream/test_frame_wire.cc tests/dns/messages.hh \
	tests/unit.hh
tests_upstream_test_frame_wire_LDADD = libupstream.a libdns.a libbase.a $(CMOCKA_LIBS)
tests_upstream_test_health_check_SOURCES = tests/upstream/test_health_check.cc tests/unit.hh
tests_upstream_test_health_check_LDADD = $(rig)
upstream_test_http_line = tests/dns/messages.hh tests/http/frames.hh tests/http/peer.hh \
	tests/http/upstream_peer.hh tests/upstream/http_line.hh tests/unit.hh
upstream_test_http_libs = libupstream.a libhttp.a libdns.a libbase.a $(NGHTTP2_LIBS) $(CMOCKA_LIBS)
tests_upstream_test_http_probes_SOURCES = tests/upstream/test_http_probes.cc \
	$(upstream_test_http_line)
tests_upstream_test_http_probes_LDADD = $(upstream_test_http_libs)
tests_upstream_test_http_wire_SOURCES = tests/upstream/test_http_wire.cc $(upstream_test_http_line)
tests_upstream_test_http_wire_LDADD = $(upstream_test_http_libs)
tests_upstream_test_inquiry_SOURCES = tests/upstream/test_inquiry.cc tests/unit.hh
tests_upstream_test_inquiry_LDADD = libupstream.a libdns.a libbase.a $(CMOCKA_LIBS)
tests_upstream_test_lanes_SOURCES = tests/upstream/test_lanes.cc tests/unit.hh
tests_upstream_test_lanes_LDADD = libupstream.a $(CMOCKA_LIBS)
tests_upstream_test_plain_upstreams_SOURCES = tests/upstream/test_plain_upstreams.cc \
	tests/dns/messages.hh tests/unit.hh
tests_upstream_test_plain_upstreams_LDADD = libupstream.a libshared.a libtls.a libconfig.a libdns.a \
	libbase.a $(GNUTLS_LIBS) $(CMOCKA_LIBS)
tests_upstream_test_silence_SOURCES = tests/upstream/test_silence.cc tests/unit.hh
tests_upstream_test_silence_LDADD = $(rig)
tests_upstream_test_upstreams_SOURCES = tests/upstream/test_upstreams.cc tests/unit.hh
tests_upstream_test_upstreams_LDADD = $(rig)
