# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The end-to-end tests: dotproxy as a whole against real programs and a scripted upstream. They wait
# more than they work, so that make -j runs several files at a time.

dist_check_SCRIPTS += tests/e2e/run.sh
TESTS += $(e2e_tests)
if !ASAN
TESTS += $(unsanitized_e2e_tests)
endif
PY_LOG_COMPILER = $(top_srcdir)/tests/e2e/run.sh

EXTRA_DIST += $(e2e_tests) $(unsanitized_e2e_tests) \
	tests/e2e/conftest.py \
	tests/e2e/harness/__init__.py \
	tests/e2e/harness/blackhole.py \
	tests/e2e/harness/certificates.py \
	tests/e2e/harness/cgroup.py \
	tests/e2e/harness/client.py \
	tests/e2e/harness/client_hello.py \
	tests/e2e/harness/configuration.py \
	tests/e2e/harness/http.py \
	tests/e2e/harness/https_server.py \
	tests/e2e/harness/inject.py \
	tests/e2e/harness/ipv6.py \
	tests/e2e/harness/load.py \
	tests/e2e/harness/network.py \
	tests/e2e/harness/plain.py \
	tests/e2e/harness/process.py \
	tests/e2e/harness/program.py \
	tests/e2e/harness/refusal.py \
	tests/e2e/harness/upstream.py \
	tests/e2e/harness/waiting.py \
	tests/e2e/harness/wire.py \
	tests/e2e/tap.py

# All cases of these are marked as what a sanitizer's build cannot do.
unsanitized_e2e_tests = \
	tests/e2e/test_clock.py \
	tests/e2e/test_sandbox.py

# The longest come first, so that make -j has none left for the end.
e2e_tests = \
	tests/e2e/test_failover.py \
	tests/e2e/test_failover_on_error.py \
	tests/e2e/test_processes.py \
	tests/e2e/test_cache_faults.py \
	tests/e2e/test_upstream_faults.py \
	tests/e2e/test_routes.py \
	tests/e2e/test_plain.py \
	tests/e2e/test_service.py \
	tests/e2e/test_cache.py \
	tests/e2e/test_clients.py \
	tests/e2e/test_command_line.py \
	tests/e2e/test_config_errors.py \
	tests/e2e/test_control.py \
	tests/e2e/test_counters.py \
	tests/e2e/test_edns.py \
	tests/e2e/test_fairness.py \
	tests/e2e/test_access.py \
	tests/e2e/test_certificates.py \
	tests/e2e/test_discovery.py \
	tests/e2e/test_doh.py \
	tests/e2e/test_dot.py \
	tests/e2e/test_blocks.py \
	tests/e2e/test_limits.py \
	tests/e2e/test_cookies.py \
	tests/e2e/test_framing.py \
	tests/e2e/test_handover.py \
	tests/e2e/test_https_upstream.py \
	tests/e2e/test_https_upstream_answers.py \
	tests/e2e/test_https_upstream_faults.py \
	tests/e2e/test_https_upstream_silence.py \
	tests/e2e/test_https_upstream_trust.py \
	tests/e2e/test_health_check.py \
	tests/e2e/test_listen.py \
	tests/e2e/test_logging.py \
	tests/e2e/test_memory.py \
	tests/e2e/test_messages.py \
	tests/e2e/test_proxies.py \
	tests/e2e/test_proxy_protocol.py \
	tests/e2e/test_real_programs.py \
	tests/e2e/test_browsers.py \
	tests/e2e/test_reload.py \
	tests/e2e/test_resolvers.py \
	tests/e2e/test_restart.py \
	tests/e2e/test_rfc8906.py \
	tests/e2e/test_surroundings.py \
	tests/e2e/test_trust.py \
	tests/e2e/test_udp_sizes.py \
	tests/e2e/test_way_out.py \
	tests/e2e/test_upstream.py
