check_LIBRARIES += tests/tls/libpeer.a
tests_tls_libpeer_a_SOURCES = \
	tests/tls/peer.cc tests/tls/peer.hh \
	tests/tls/pki.cc tests/tls/pki.hh

tls_tests = \
	tests/tls/test_client_context \
	tests/tls/test_identity \
	tests/tls/test_key_pair \
	tests/tls/test_server_context \
	tests/tls/test_server_stream \
	tests/tls/test_client_stream \
	tests/tls/test_client_stream_end \
	tests/tls/test_client_stream_spoken \
	tests/tls/test_tickets \
	tests/tls/test_verify
check_PROGRAMS += $(tls_tests)
TESTS += $(tls_tests)

tests_tls_test_client_context_SOURCES = tests/tls/test_client_context.cc tests/unit.hh
tests_tls_test_client_context_LDADD = $(tls_test_peer_libs)
tests_tls_test_identity_SOURCES = tests/tls/test_identity.cc tests/unit.hh
tests_tls_test_identity_LDADD = $(tls_test_libs)
tests_tls_test_client_stream_SOURCES = tests/tls/test_client_stream.cc tests/tls/pair.hh tests/unit.hh
tests_tls_test_client_stream_LDADD = $(tls_test_peer_libs)
tests_tls_test_client_stream_end_SOURCES = tests/tls/test_client_stream_end.cc tests/tls/pair.hh tests/unit.hh
tests_tls_test_client_stream_end_LDADD = $(tls_test_peer_libs)
tests_tls_test_client_stream_spoken_SOURCES = tests/tls/test_client_stream_spoken.cc \
	tests/tls/pair.hh tests/unit.hh
tests_tls_test_client_stream_spoken_LDADD = $(tls_test_peer_libs)
tests_tls_test_key_pair_SOURCES = tests/tls/test_key_pair.cc tests/unit.hh
tests_tls_test_key_pair_LDADD = $(tls_test_peer_libs)
tests_tls_test_server_context_SOURCES = tests/tls/test_server_context.cc tests/tls/shop.hh \
	tests/unit.hh
tests_tls_test_server_context_LDADD = $(tls_test_peer_libs)
tests_tls_test_server_stream_SOURCES = tests/tls/test_server_stream.cc tests/tls/shop.hh \
	tests/unit.hh
tests_tls_test_server_stream_LDADD = $(tls_test_peer_libs)
tests_tls_test_tickets_SOURCES = tests/tls/test_tickets.cc tests/unit.hh
tests_tls_test_tickets_LDADD = $(tls_test_libs)
tests_tls_test_verify_SOURCES = tests/tls/test_verify.cc tests/unit.hh
tests_tls_test_verify_LDADD = $(tls_test_peer_libs)
tls_test_libs = libtls.a libbase.a $(GNUTLS_LIBS) $(CMOCKA_LIBS)
tls_test_peer_libs = tests/tls/libpeer.a $(tls_test_libs)

# Measures, and judges nothing: run it by hand.
check_PROGRAMS += tests/tls/measure_stream
tests_tls_measure_stream_SOURCES = tests/tls/measure_stream.cc
tests_tls_measure_stream_LDADD = tests/tls/libpeer.a libtls.a libbase.a $(GNUTLS_LIBS)
