# The end-to-end tests: dotproxy as a whole against real programs and a scripted upstream.

dist_check_SCRIPTS += tests/e2e/run.sh
TESTS += tests/e2e/run.sh

EXTRA_DIST += \
	tests/e2e/conftest.py \
	tests/e2e/harness/__init__.py \
	tests/e2e/harness/certificates.py \
	tests/e2e/harness/client.py \
	tests/e2e/harness/configuration.py \
	tests/e2e/harness/process.py \
	tests/e2e/harness/upstream.py \
	tests/e2e/harness/waiting.py \
	tests/e2e/harness/wire.py \
	tests/e2e/tap.py
