noinst_LIBRARIES += libconfig.a
libconfig_a_SOURCES = \
	src/config/access.cc src/config/access.hh \
	src/config/checks.cc src/config/checks.hh \
	src/config/config.hh \
	src/config/cookie_secrets.cc src/config/cookie_secrets.hh \
	src/config/document.cc src/config/document.hh \
	src/config/identity_text.cc src/config/identity_text.hh \
	src/config/keys.cc src/config/keys.hh \
	src/config/listen.cc src/config/listen.hh \
	src/config/load.cc \
	src/config/routes.cc src/config/routes.hh \
	src/config/source.cc src/config/source.hh \
	src/config/syntax.cc src/config/syntax.hh \
	src/config/units.cc src/config/units.hh \
	src/config/upstreams.cc src/config/upstreams.hh \
	src/config/url.cc src/config/url.hh
