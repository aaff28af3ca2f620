relay_tests = \
	tests/relay/test_address_counts \
	tests/relay/test_answer_cache \
	tests/relay/test_answer_cache_recovery \
	tests/relay/test_answer_cache_refresh \
	tests/relay/test_answer_cache_stale \
	tests/relay/test_cookie_answers \
	tests/relay/test_cookies \
	tests/relay/test_counted_as \
	tests/relay/test_crowding \
	tests/relay/test_designations \
	tests/relay/test_gate \
	tests/relay/test_gate_charges \
	tests/relay/test_inquiries \
	tests/relay/test_limited \
	tests/relay/test_relay
check_PROGRAMS += $(relay_tests)
TESTS += $(relay_tests)

tests_relay_test_address_counts_SOURCES = tests/relay/test_address_counts.cc tests/unit.hh
tests_relay_test_address_counts_LDADD = librelay.a libbase.a $(CMOCKA_LIBS)
tests_relay_test_answer_cache_SOURCES = tests/relay/test_answer_cache.cc \
	tests/relay/allocations.cc tests/relay/allocations.hh tests/relay/cache_rig.hh tests/unit.hh
tests_relay_test_answer_cache_LDADD = $(rig)
tests_relay_test_answer_cache_recovery_SOURCES = tests/relay/test_answer_cache_recovery.cc \
	tests/relay/cache_rig.hh tests/unit.hh
tests_relay_test_answer_cache_recovery_LDADD = $(rig)
tests_relay_test_answer_cache_refresh_SOURCES = tests/relay/test_answer_cache_refresh.cc \
	tests/relay/cache_rig.hh tests/relay/mailbox.hh tests/unit.hh
tests_relay_test_answer_cache_refresh_LDADD = $(rig)
tests_relay_test_answer_cache_stale_SOURCES = tests/relay/test_answer_cache_stale.cc \
	tests/relay/cache_rig.hh tests/unit.hh
tests_relay_test_answer_cache_stale_LDADD = $(rig)
tests_relay_test_cookie_answers_SOURCES = tests/relay/test_cookie_answers.cc \
	tests/relay/allocations.cc tests/relay/allocations.hh tests/unit.hh
tests_relay_test_cookie_answers_LDADD = $(rig)
tests_relay_test_cookies_SOURCES = tests/relay/test_cookies.cc tests/unit.hh
tests_relay_test_cookies_LDADD = librelay.a libbase.a $(CMOCKA_LIBS)
tests_relay_test_counted_as_SOURCES = tests/relay/test_counted_as.cc tests/unit.hh
tests_relay_test_counted_as_LDADD = librelay.a $(CMOCKA_LIBS)
tests_relay_test_crowding_SOURCES = tests/relay/test_crowding.cc tests/relay/mailbox.hh tests/unit.hh
tests_relay_test_crowding_LDADD = $(rig)
tests_relay_test_designations_SOURCES = tests/relay/test_designations.cc tests/relay/mailbox.hh \
	tests/unit.hh
tests_relay_test_designations_LDADD = librelay.a libconfig.a libdns.a libbase.a $(CMOCKA_LIBS)
tests_relay_test_gate_SOURCES = tests/relay/test_gate.cc tests/relay/gate_door.hh tests/unit.hh
tests_relay_test_gate_LDADD = librelay.a libupstream.a libshared.a libconfig.a libbase.a $(CMOCKA_LIBS)
tests_relay_test_gate_charges_SOURCES = tests/relay/test_gate_charges.cc tests/relay/gate_door.hh \
	tests/unit.hh
tests_relay_test_gate_charges_LDADD = librelay.a libupstream.a libshared.a libconfig.a libbase.a \
	$(CMOCKA_LIBS)
tests_relay_test_inquiries_SOURCES = tests/relay/test_inquiries.cc tests/dns/messages.hh \
	tests/unit.hh
tests_relay_test_inquiries_LDADD = librelay.a libupstream.a libdns.a libbase.a $(CMOCKA_LIBS)
tests_relay_test_limited_SOURCES = tests/relay/test_limited.cc tests/relay/mailbox.hh tests/unit.hh
tests_relay_test_limited_LDADD = $(rig)
tests_relay_test_relay_SOURCES = tests/relay/test_relay.cc tests/unit.hh
tests_relay_test_relay_LDADD = $(rig)
