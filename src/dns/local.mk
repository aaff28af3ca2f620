noinst_LIBRARIES += libdns.a
libdns_a_SOURCES = \
	src/dns/age.cc src/dns/age.hh \
	src/dns/answer.cc src/dns/answer.hh \
	src/dns/chain.cc src/dns/chain.hh \
	src/dns/cookie.hh \
	src/dns/discovery.cc src/dns/discovery.hh \
	src/dns/edns.cc src/dns/edns.hh \
	src/dns/excerpt.cc src/dns/excerpt.hh \
	src/dns/frame.hh \
	src/dns/kept.cc src/dns/kept.hh \
	src/dns/key.cc src/dns/key.hh \
	src/dns/lifetime.cc src/dns/lifetime.hh \
	src/dns/local.cc src/dns/local.hh \
	src/dns/name.cc src/dns/name.hh \
	src/dns/name_text.cc src/dns/name_text.hh \
	src/dns/query.cc src/dns/query.hh \
	src/dns/rdata.cc src/dns/rdata.hh \
	src/dns/record.hh \
	src/dns/response.cc src/dns/response.hh \
	src/dns/reverse.cc src/dns/reverse.hh \
	src/dns/wire.hh
