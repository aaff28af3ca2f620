dns_tests = \
	tests/dns/test_age \
	tests/dns/test_answer \
	tests/dns/test_answer_cookie \
	tests/dns/test_chain \
	tests/dns/test_excerpt \
	tests/dns/test_frame \
	tests/dns/test_keeping \
	tests/dns/test_kept \
	tests/dns/test_key \
	tests/dns/test_lifetime \
	tests/dns/test_local \
	tests/dns/test_name \
	tests/dns/test_name_text \
	tests/dns/test_query \
	tests/dns/test_rdata \
	tests/dns/test_response
check_PROGRAMS += $(dns_tests)
TESTS += $(dns_tests)

# The room stands alone: a reference to any other is a link error here.
dns_test_libraries = libdns.a $(CMOCKA_LIBS)
tests_dns_test_age_SOURCES = tests/dns/test_age.cc tests/dns/messages.hh tests/unit.hh
tests_dns_test_age_LDADD = $(dns_test_libraries)
tests_dns_test_answer_SOURCES = tests/dns/test_answer.cc tests/dns/answers.hh tests/dns/messages.hh
tests_dns_test_answer_LDADD = $(dns_test_libraries)
tests_dns_test_answer_cookie_SOURCES = tests/dns/test_answer_cookie.cc tests/dns/answers.hh \
	tests/dns/messages.hh
tests_dns_test_answer_cookie_LDADD = $(dns_test_libraries)
tests_dns_test_chain_SOURCES = tests/dns/test_chain.cc tests/dns/messages.hh
tests_dns_test_chain_LDADD = $(dns_test_libraries)
tests_dns_test_excerpt_SOURCES = tests/dns/test_excerpt.cc tests/dns/messages.hh
tests_dns_test_excerpt_LDADD = $(dns_test_libraries)
tests_dns_test_frame_SOURCES = tests/dns/test_frame.cc tests/dns/messages.hh
tests_dns_test_frame_LDADD = $(dns_test_libraries)
tests_dns_test_keeping_SOURCES = tests/dns/test_keeping.cc tests/dns/keeping.hh \
	tests/dns/messages.hh
tests_dns_test_keeping_LDADD = $(dns_test_libraries)
tests_dns_test_kept_SOURCES = tests/dns/test_kept.cc tests/dns/keeping.hh tests/dns/messages.hh
tests_dns_test_kept_LDADD = $(dns_test_libraries)
tests_dns_test_key_SOURCES = tests/dns/test_key.cc tests/dns/messages.hh
tests_dns_test_key_LDADD = $(dns_test_libraries)
tests_dns_test_lifetime_SOURCES = tests/dns/test_lifetime.cc tests/dns/messages.hh tests/unit.hh
tests_dns_test_lifetime_LDADD = $(dns_test_libraries)
tests_dns_test_local_SOURCES = tests/dns/test_local.cc tests/dns/messages.hh
tests_dns_test_local_LDADD = $(dns_test_libraries)
tests_dns_test_name_SOURCES = tests/dns/test_name.cc tests/dns/messages.hh
tests_dns_test_name_LDADD = $(dns_test_libraries)
tests_dns_test_name_text_SOURCES = tests/dns/test_name_text.cc tests/unit.hh
tests_dns_test_name_text_LDADD = $(dns_test_libraries)
tests_dns_test_query_SOURCES = tests/dns/test_query.cc tests/dns/messages.hh
tests_dns_test_query_LDADD = $(dns_test_libraries)
tests_dns_test_rdata_SOURCES = tests/dns/test_rdata.cc tests/dns/messages.hh
tests_dns_test_rdata_LDADD = $(dns_test_libraries)
tests_dns_test_response_SOURCES = tests/dns/test_response.cc tests/dns/messages.hh
tests_dns_test_response_LDADD = $(dns_test_libraries)
