noinst_LIBRARIES += libproxy.a
libproxy_a_SOURCES = \
	src/proxy/address_counts.cc src/proxy/address_counts.hh \
	src/proxy/answer_cache.cc src/proxy/answer_cache.hh \
	src/proxy/client.hh \
	src/proxy/connection.cc src/proxy/connection.hh \
	src/proxy/courtesy.cc src/proxy/courtesy.hh \
	src/proxy/endpoint.cc src/proxy/endpoint.hh \
	src/proxy/handover.cc src/proxy/handover.hh \
	src/proxy/inquiry.cc src/proxy/inquiry.hh \
	src/proxy/relay.cc src/proxy/relay.hh \
	src/proxy/slots.cc src/proxy/slots.hh \
	src/proxy/tcp_client.hh \
	src/proxy/tcp_front.cc src/proxy/tcp_front.hh \
	src/proxy/tcp_intake.cc src/proxy/tcp_intake.hh \
	src/proxy/turn.hh \
	src/proxy/udp_front.cc src/proxy/udp_front.hh \
	src/proxy/upstreams.cc src/proxy/upstreams.hh \
	src/proxy/worker.cc src/proxy/worker.hh
