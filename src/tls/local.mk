noinst_LIBRARIES += libtls.a
libtls_a_SOURCES = \
	src/tls/client_context.cc src/tls/client_context.hh \
	src/tls/client_stream.cc src/tls/client_stream.hh \
	src/tls/identity.cc src/tls/identity.hh \
	src/tls/key_pair.cc src/tls/key_pair.hh \
	src/tls/policy.hh \
	src/tls/server_context.cc src/tls/server_context.hh \
	src/tls/server_stream.cc src/tls/server_stream.hh \
	src/tls/session.cc src/tls/session.hh \
	src/tls/ticket_key.cc src/tls/ticket_key.hh \
	src/tls/tickets.cc src/tls/tickets.hh \
	src/tls/verify.cc src/tls/verify.hh
