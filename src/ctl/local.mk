noinst_LIBRARIES += libctl.a
libctl_a_SOURCES = \
	src/ctl/name_text.cc src/ctl/name_text.hh \
	src/ctl/service.cc src/ctl/service.hh

sbin_PROGRAMS += dotproxyctl
dotproxyctl_SOURCES = src/ctl/dotproxyctl.cc
dotproxyctl_LDADD = libctl.a libconfig.a libdns.a libbase.a $(CONFIG_LIBS)
