# A whole worker under the test's own clock, which the tests of the rooms that run in it share. The
# clock comes first: it stands before the C library's.
check_LIBRARIES += tests/worker/librig.a
tests_worker_librig_a_SOURCES = \
	tests/front/tcp_clients.hh \
	tests/relay/cache_rig.hh \
	tests/worker/clients.hh \
	tests/worker/clock.cc tests/worker/clock.hh \
	tests/worker/resolver.cc tests/worker/resolver.hh \
	tests/worker/rig.cc tests/worker/rig.hh tests/worker/rig_names.hh
rig = tests/worker/librig.a tests/tls/libpeer.a libfront.a librelay.a libupstream.a libshared.a \
	libtls.a libhttp.a libconfig.a libdns.a libbase.a $(GNUTLS_LIBS) $(NGHTTP2_LIBS) $(CMOCKA_LIBS)
