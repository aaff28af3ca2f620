check_PROGRAMS += \
	tests/config/test_access \
	tests/config/test_cookie_secrets \
	tests/config/test_identity_text \
	tests/config/test_load \
	tests/config/test_load_servers \
	tests/config/test_routes \
	tests/config/test_source \
	tests/config/test_syntax \
	tests/config/test_units \
	tests/config/test_url
TESTS += \
	tests/check-example.sh \
	tests/config/test_access \
	tests/config/test_cookie_secrets \
	tests/config/test_identity_text \
	tests/config/test_load \
	tests/config/test_load_servers \
	tests/config/test_routes \
	tests/config/test_source \
	tests/config/test_syntax \
	tests/config/test_units \
	tests/config/test_url
dist_check_SCRIPTS += tests/check-example.sh

config_test_libraries = libconfig.a libdns.a libbase.a $(CONFIG_LIBS) $(CMOCKA_LIBS)

tests_config_test_access_SOURCES = tests/config/test_access.cc tests/config/parsing.hh \
	tests/config/scratch.hh tests/unit.hh
tests_config_test_access_LDADD = $(config_test_libraries)
tests_config_test_cookie_secrets_SOURCES = tests/config/test_cookie_secrets.cc \
	tests/config/scratch.hh tests/unit.hh
tests_config_test_cookie_secrets_LDADD = $(config_test_libraries)
tests_config_test_identity_text_SOURCES = tests/config/test_identity_text.cc tests/unit.hh
tests_config_test_identity_text_LDADD = $(config_test_libraries)
tests_config_test_load_SOURCES = tests/config/test_load.cc tests/config/parsing.hh \
	tests/config/scratch.hh tests/unit.hh
tests_config_test_load_LDADD = $(config_test_libraries)
tests_config_test_load_servers_SOURCES = tests/config/test_load_servers.cc \
	tests/config/parsing.hh tests/config/scratch.hh tests/unit.hh
tests_config_test_load_servers_LDADD = $(config_test_libraries)
tests_config_test_routes_SOURCES = tests/config/test_routes.cc tests/config/parsing.hh \
	tests/config/scratch.hh tests/unit.hh
tests_config_test_routes_LDADD = $(config_test_libraries)
tests_config_test_source_SOURCES = tests/config/test_source.cc tests/config/scratch.hh tests/unit.hh
tests_config_test_source_LDADD = $(config_test_libraries)
tests_config_test_syntax_SOURCES = tests/config/test_syntax.cc tests/config/libconfig_leak.hh \
	tests/config/parsing.hh tests/config/scratch.hh tests/unit.hh
tests_config_test_syntax_LDADD = $(config_test_libraries)
tests_config_test_units_SOURCES = tests/config/test_units.cc tests/unit.hh
tests_config_test_units_LDADD = $(config_test_libraries)
tests_config_test_url_SOURCES = tests/config/test_url.cc tests/unit.hh
tests_config_test_url_LDADD = $(config_test_libraries)
