noinst_LIBRARIES += libfront.a
libfront_a_SOURCES = \
	src/front/courtesy.cc src/front/courtesy.hh \
	src/front/door.hh \
	src/front/ends.hh \
	src/front/forwarded.cc src/front/forwarded.hh \
	src/front/handover.cc src/front/handover.hh \
	src/front/handshakes.cc src/front/handshakes.hh \
	src/front/proxy_header.cc src/front/proxy_header.hh \
	src/front/queue_price.cc src/front/queue_price.hh \
	src/front/tcp_client.hh \
	src/front/tcp_deadlines.cc src/front/tcp_deadlines.hh \
	src/front/tcp_front.cc src/front/tcp_front.hh \
	src/front/tcp_front_exchange.cc \
	src/front/tcp_front_http.cc \
	src/front/tcp_front_proxy.cc \
	src/front/tcp_front_tls.cc \
	src/front/tcp_intake.cc src/front/tcp_intake.hh \
	src/front/tcp_places.cc src/front/tcp_places.hh \
	src/front/tls_channel.hh \
	src/front/udp_front.cc src/front/udp_front.hh
