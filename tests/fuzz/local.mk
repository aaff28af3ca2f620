# A target NAME is fuzz_NAME.cc with a corpus in corpus/NAME. `make check` runs the corpora with any
# compiler; configured with --enable-fuzzing, tests/fuzz/fuzz_NAME is a libFuzzer program as well.
# To add one: two programs here, nothing elsewhere.
fuzz_harness = tests/fuzz/fuzz.hh
fuzz_runner = $(fuzz_harness) tests/fuzz/run_corpus.cc
fuzz_corpora = \
	tests/fuzz/corpus_base64url \
	tests/fuzz/corpus_cache \
	tests/fuzz/corpus_config \
	tests/fuzz/corpus_frame \
	tests/fuzz/corpus_http1 \
	tests/fuzz/corpus_http2 \
	tests/fuzz/corpus_http2_client \
	tests/fuzz/corpus_kept \
	tests/fuzz/corpus_proxy_header \
	tests/fuzz/corpus_query \
	tests/fuzz/corpus_response
fuzz_targets = \
	tests/fuzz/fuzz_base64url \
	tests/fuzz/fuzz_cache \
	tests/fuzz/fuzz_config \
	tests/fuzz/fuzz_frame \
	tests/fuzz/fuzz_http1 \
	tests/fuzz/fuzz_http2 \
	tests/fuzz/fuzz_http2_client \
	tests/fuzz/fuzz_kept \
	tests/fuzz/fuzz_proxy_header \
	tests/fuzz/fuzz_query \
	tests/fuzz/fuzz_response

check_PROGRAMS += $(fuzz_corpora)
TESTS += tests/fuzz/check-corpora.sh
dist_check_SCRIPTS += tests/fuzz/check-corpora.sh
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/make_corpus.py

fuzz_config_libraries = libconfig.a libdns.a libbase.a $(CONFIG_LIBS)

fuzz_http_libraries = libhttp.a libbase.a $(NGHTTP2_LIBS)

tests_fuzz_corpus_base64url_SOURCES = tests/fuzz/fuzz_base64url.cc $(fuzz_runner)
tests_fuzz_corpus_base64url_LDADD = libhttp.a
tests_fuzz_corpus_cache_SOURCES = tests/fuzz/fuzz_cache.cc $(fuzz_runner)
tests_fuzz_corpus_cache_LDADD = libshared.a
tests_fuzz_corpus_config_SOURCES = tests/fuzz/fuzz_config.cc $(fuzz_runner)
tests_fuzz_corpus_config_LDADD = $(fuzz_config_libraries)
tests_fuzz_corpus_http1_SOURCES = tests/fuzz/fuzz_http1.cc $(fuzz_runner)
tests_fuzz_corpus_http1_LDADD = $(fuzz_http_libraries)
tests_fuzz_corpus_http2_SOURCES = tests/fuzz/fuzz_http2.cc $(fuzz_runner)
tests_fuzz_corpus_http2_LDADD = $(fuzz_http_libraries)
tests_fuzz_corpus_http2_client_SOURCES = tests/fuzz/fuzz_http2_client.cc $(fuzz_runner)
tests_fuzz_corpus_http2_client_LDADD = $(fuzz_http_libraries)
tests_fuzz_corpus_kept_SOURCES = tests/fuzz/fuzz_kept.cc tests/fuzz/asked.hh $(fuzz_runner)
tests_fuzz_corpus_kept_LDADD = libdns.a
tests_fuzz_corpus_proxy_header_SOURCES = tests/fuzz/fuzz_proxy_header.cc $(fuzz_runner)
tests_fuzz_corpus_proxy_header_LDADD = libfront.a libbase.a
tests_fuzz_corpus_query_SOURCES = tests/fuzz/fuzz_query.cc $(fuzz_runner)
tests_fuzz_corpus_query_LDADD = libdns.a
tests_fuzz_corpus_response_SOURCES = tests/fuzz/fuzz_response.cc tests/fuzz/asked.hh $(fuzz_runner)
tests_fuzz_corpus_response_LDADD = libdns.a
tests_fuzz_corpus_frame_SOURCES = tests/fuzz/fuzz_frame.cc $(fuzz_runner)
tests_fuzz_corpus_frame_LDADD = libdns.a

if FUZZING
noinst_PROGRAMS = $(fuzz_targets)
else
EXTRA_PROGRAMS = $(fuzz_targets)
endif
tests_fuzz_fuzz_base64url_SOURCES = tests/fuzz/fuzz_base64url.cc $(fuzz_harness)
tests_fuzz_fuzz_base64url_LDADD = libhttp.a $(LIB_FUZZING_ENGINE)
tests_fuzz_fuzz_cache_SOURCES = tests/fuzz/fuzz_cache.cc $(fuzz_harness)
tests_fuzz_fuzz_cache_LDADD = libshared.a $(LIB_FUZZING_ENGINE)
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz_config.cc
tests_fuzz_fuzz_config_LDADD = $(fuzz_config_libraries) $(LIB_FUZZING_ENGINE)
tests_fuzz_fuzz_http1_SOURCES = tests/fuzz/fuzz_http1.cc $(fuzz_harness)
tests_fuzz_fuzz_http1_LDADD = $(fuzz_http_libraries) $(LIB_FUZZING_ENGINE)
tests_fuzz_fuzz_http2_SOURCES = tests/fuzz/fuzz_http2.cc $(fuzz_harness)
tests_fuzz_fuzz_http2_LDADD = $(fuzz_http_libraries) $(LIB_FUZZING_ENGINE)
tests_fuzz_fuzz_http2_client_SOURCES = tests/fuzz/fuzz_http2_client.cc $(fuzz_harness)
tests_fuzz_fuzz_http2_client_LDADD = $(fuzz_http_libraries) $(LIB_FUZZING_ENGINE)
tests_fuzz_fuzz_kept_SOURCES = tests/fuzz/fuzz_kept.cc tests/fuzz/asked.hh $(fuzz_harness)
tests_fuzz_fuzz_kept_LDADD = libdns.a $(LIB_FUZZING_ENGINE)
tests_fuzz_fuzz_proxy_header_SOURCES = tests/fuzz/fuzz_proxy_header.cc $(fuzz_harness)
tests_fuzz_fuzz_proxy_header_LDADD = libfront.a libbase.a $(LIB_FUZZING_ENGINE)
tests_fuzz_fuzz_query_SOURCES = tests/fuzz/fuzz_query.cc $(fuzz_harness)
tests_fuzz_fuzz_query_LDADD = libdns.a $(LIB_FUZZING_ENGINE)
tests_fuzz_fuzz_response_SOURCES = tests/fuzz/fuzz_response.cc tests/fuzz/asked.hh $(fuzz_harness)
tests_fuzz_fuzz_response_LDADD = libdns.a $(LIB_FUZZING_ENGINE)
tests_fuzz_fuzz_frame_SOURCES = tests/fuzz/fuzz_frame.cc $(fuzz_harness)
tests_fuzz_fuzz_frame_LDADD = libdns.a $(LIB_FUZZING_ENGINE)
