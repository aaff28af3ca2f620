http_tests = \
	tests/http/test_base64url \
	tests/http/test_client_ends \
	tests/http/test_client_faults \
	tests/http/test_client_session \
	tests/http/test_date \
	tests/http/test_http1 \
	tests/http/test_memory \
	tests/http/test_question \
	tests/http/test_server_faults \
	tests/http/test_server_floods \
	tests/http/test_server_session \
	tests/http/test_server_states
check_PROGRAMS += $(http_tests)
TESTS += $(http_tests)
http_test_libs = libhttp.a libbase.a $(NGHTTP2_LIBS) $(CMOCKA_LIBS)

tests_http_test_base64url_SOURCES = tests/http/test_base64url.cc tests/unit.hh
tests_http_test_base64url_LDADD = $(http_test_libs)
tests_http_test_date_SOURCES = tests/http/test_date.cc tests/unit.hh
tests_http_test_date_LDADD = $(http_test_libs)
tests_http_test_memory_SOURCES = tests/http/test_memory.cc tests/unit.hh
tests_http_test_memory_LDADD = $(http_test_libs)
tests_http_test_question_SOURCES = tests/http/test_question.cc tests/unit.hh
tests_http_test_question_LDADD = $(http_test_libs)
http_test_peer = tests/http/client.hh tests/http/frames.hh tests/http/peer.hh \
	tests/http/raw.hh tests/unit.hh
tests_http_test_server_faults_SOURCES = tests/http/test_server_faults.cc $(http_test_peer)
tests_http_test_server_faults_LDADD = $(http_test_libs)
tests_http_test_server_floods_SOURCES = tests/http/test_server_floods.cc $(http_test_peer)
tests_http_test_server_floods_LDADD = $(http_test_libs)
tests_http_test_server_session_SOURCES = tests/http/test_server_session.cc $(http_test_peer)
tests_http_test_server_session_LDADD = $(http_test_libs)
tests_http_test_server_states_SOURCES = tests/http/test_server_states.cc $(http_test_peer)
tests_http_test_server_states_LDADD = $(http_test_libs)
tests_http_test_http1_SOURCES = tests/http/test_http1.cc tests/unit.hh
tests_http_test_http1_LDADD = $(http_test_libs)
http_test_upstream_peer = tests/http/frames.hh tests/http/peer.hh tests/http/upstream_peer.hh \
	tests/unit.hh
tests_http_test_client_ends_SOURCES = tests/http/test_client_ends.cc $(http_test_upstream_peer)
tests_http_test_client_ends_LDADD = $(http_test_libs)
tests_http_test_client_faults_SOURCES = tests/http/test_client_faults.cc $(http_test_upstream_peer)
tests_http_test_client_faults_LDADD = $(http_test_libs)
tests_http_test_client_session_SOURCES = tests/http/test_client_session.cc \
	$(http_test_upstream_peer)
tests_http_test_client_session_LDADD = $(http_test_libs)
