noinst_LIBRARIES += libupstream.a
libupstream_a_SOURCES = \
	src/upstream/connect_failure.cc src/upstream/connect_failure.hh \
	src/upstream/connection.cc src/upstream/connection.hh \
	src/upstream/connection_exchange.cc \
	src/upstream/connections.cc src/upstream/connections.hh \
	src/upstream/endpoint.cc src/upstream/endpoint.hh \
	src/upstream/endpoints.cc src/upstream/endpoints.hh \
	src/upstream/failed_names.cc src/upstream/failed_names.hh \
	src/upstream/failover.cc src/upstream/failover.hh \
	src/upstream/frame_wire.cc src/upstream/frame_wire.hh \
	src/upstream/group.hh \
	src/upstream/groups.cc src/upstream/groups.hh \
	src/upstream/health_check.cc src/upstream/health_check.hh \
	src/upstream/http_wire.cc src/upstream/http_wire.hh \
	src/upstream/inquiry.cc src/upstream/inquiry.hh \
	src/upstream/lanes.cc src/upstream/lanes.hh \
	src/upstream/plain_endpoint.hh \
	src/upstream/plain_query.cc src/upstream/plain_query.hh \
	src/upstream/plain_upstreams.cc src/upstream/plain_upstreams.hh \
	src/upstream/query_wire.cc src/upstream/query_wire.hh \
	src/upstream/slots.cc src/upstream/slots.hh \
	src/upstream/tcp_options.cc src/upstream/tcp_options.hh \
	src/upstream/turn.cc src/upstream/turn.hh \
	src/upstream/upstreams.cc src/upstream/upstreams.hh \
	src/upstream/upstreams_failure.cc \
	src/upstream/way_out.cc src/upstream/way_out.hh
