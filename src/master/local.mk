noinst_LIBRARIES += libmaster.a
libmaster_a_SOURCES = \
	src/master/certificates.cc src/master/certificates.hh \
	src/master/confinement.cc src/master/confinement.hh \
	src/master/connect_test.cc src/master/connect_test.hh \
	src/master/control.cc src/master/control.hh \
	src/master/control_socket.cc src/master/control_socket.hh \
	src/master/count_report.cc src/master/count_report.hh \
	src/master/daemon.cc src/master/daemon.hh \
	src/master/generation.cc src/master/generation.hh \
	src/master/inheritance.cc src/master/inheritance.hh \
	src/master/interfaces.cc src/master/interfaces.hh \
	src/master/listeners.cc src/master/listeners.hh \
	src/master/master.cc src/master/master.hh \
	src/master/master_control.cc \
	src/master/master_penalties.cc \
	src/master/master_tls.cc \
	src/master/master_workers.cc \
	src/master/memory.cc src/master/memory.hh \
	src/master/notify.cc src/master/notify.hh \
	src/master/packet_filter.cc src/master/packet_filter.hh \
	src/master/penalties.cc src/master/penalties.hh \
	src/master/port_holder.cc src/master/port_holder.hh \
	src/master/preflight.cc src/master/preflight.hh \
	src/master/privileges.cc src/master/privileges.hh \
	src/master/receive_drops.cc src/master/receive_drops.hh \
	src/master/receive_errors.cc src/master/receive_errors.hh \
	src/master/request.cc src/master/request.hh \
	src/master/version.cc src/master/version.hh \
	src/master/worker_slot.cc src/master/worker_slot.hh
