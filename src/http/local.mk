noinst_LIBRARIES += libhttp.a
libhttp_a_SOURCES = \
	src/http/ascii.hh \
	src/http/base64url.cc src/http/base64url.hh \
	src/http/blocks.cc src/http/blocks.hh \
	src/http/client_callbacks.cc \
	src/http/client_context.cc src/http/client_context.hh \
	src/http/client_session.cc src/http/client_session.hh \
	src/http/date.cc src/http/date.hh \
	src/http/http1.cc src/http/http1.hh \
	src/http/http1_head.cc src/http/http1_head.hh \
	src/http/memory.cc src/http/memory.hh \
	src/http/nghttp2.hh \
	src/http/question.cc src/http/question.hh \
	src/http/response.cc src/http/response.hh \
	src/http/server.cc src/http/server.hh \
	src/http/server_callbacks.cc \
	src/http/server_context.cc src/http/server_context.hh \
	src/http/server_session.cc src/http/server_session.hh \
	src/http/status.cc src/http/status.hh
