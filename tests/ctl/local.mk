check_PROGRAMS += tests/ctl/test_name_text
TESTS += tests/ctl/test_name_text

tests_ctl_test_name_text_SOURCES = tests/ctl/test_name_text.cc tests/unit.hh
tests_ctl_test_name_text_LDADD = libctl.a $(CMOCKA_LIBS)
