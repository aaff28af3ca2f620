noinst_LIBRARIES += librelay.a
librelay_a_SOURCES = \
	src/relay/address_counts.cc src/relay/address_counts.hh \
	src/relay/answer_cache.cc src/relay/answer_cache.hh \
	src/relay/answers.cc src/relay/answers.hh \
	src/relay/client.hh \
	src/relay/cookies.cc src/relay/cookies.hh \
	src/relay/counted_as.hh \
	src/relay/designations.cc src/relay/designations.hh \
	src/relay/gate.cc src/relay/gate.hh \
	src/relay/inquiries.cc src/relay/inquiries.hh \
	src/relay/relay.cc src/relay/relay.hh src/relay/relay_waiting.cc \
	src/relay/standing.hh
