# The benchmark: `make bench` measures dotproxy beside the forwarders that are installed.
# BENCHFLAGS are options of tests/bench/run.py, for instance BENCHFLAGS='--quick'. `make check`
# compiles the tools, so that they keep up with src/, and runs none of them.

check_PROGRAMS += \
	tests/bench/flood tests/bench/load tests/bench/meter tests/bench/responder \
	tests/bench/zipf

tests_bench_flood_SOURCES = \
	tests/bench/flood.cc \
	tests/bench/names.cc tests/bench/names.hh
tests_bench_flood_LDADD = libbase.a

tests_bench_load_SOURCES = \
	tests/bench/client.cc tests/bench/client.hh \
	tests/bench/handler.hh \
	tests/bench/load.cc \
	tests/bench/names.cc tests/bench/names.hh \
	tests/bench/statistics.cc tests/bench/statistics.hh
tests_bench_load_LDADD = libtls.a libbase.a $(GNUTLS_LIBS)

tests_bench_responder_SOURCES = \
	tests/bench/answer.cc tests/bench/answer.hh \
	tests/bench/handler.hh \
	tests/bench/responder.cc \
	tests/bench/session.cc tests/bench/session.hh
tests_bench_responder_LDADD = libhttp.a libbase.a $(GNUTLS_LIBS) $(NGHTTP2_LIBS)

# The shared cache by itself, in a minute: `make bench-cache`.
tests_bench_zipf_SOURCES = tests/bench/zipf.cc
tests_bench_zipf_LDADD = libshared.a libbase.a

# What a limit costs a question, in seconds: `make bench-meter`.
tests_bench_meter_SOURCES = tests/bench/meter.cc
tests_bench_meter_LDADD = libshared.a libbase.a

EXTRA_DIST += \
	tests/bench/README.md \
	tests/bench/floods.py \
	tests/bench/measure.py \
	tests/bench/packages \
	tests/bench/peers.py \
	tests/bench/report.py \
	tests/bench/rows.py \
	tests/bench/run.py \
	tests/bench/secure.py

# The flush row asks dotproxyctl, which run.py looks for beside dotproxy.
bench: dotproxy$(EXEEXT) dotproxyctl$(EXEEXT) \
		tests/bench/flood$(EXEEXT) tests/bench/load$(EXEEXT) \
		tests/bench/responder$(EXEEXT)
	PYTHONDONTWRITEBYTECODE=1 python3 $(top_srcdir)/tests/bench/run.py \
	    --dotproxy=./dotproxy$(EXEEXT) --tools=tests/bench --out=bench-results $(BENCHFLAGS)

bench-cache: tests/bench/zipf$(EXEEXT)
	tests/bench/zipf$(EXEEXT)

bench-meter: tests/bench/meter$(EXEEXT)
	tests/bench/meter$(EXEEXT)

.PHONY: bench bench-cache bench-meter
