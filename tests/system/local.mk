# What is run on whole systems: it needs root, and packages of its own (tests/system/packages). Not
# part of `make check`; `make check-system` runs it, in this order: the two packages are built beside
# each other, and what takes longest begins early. What it builds lies in system/.
SYSTEM_TESTS = \
	tests/system/package.sh \
	tests/system/tests-13.sh \
	tests/system/machine.sh \
	tests/system/systemd-13.sh \
	tests/system/systemd-12.sh \
	tests/system/sysv.sh \
	tests/system/piuparts.sh \
	tests/system/reproducible.sh \
	tests/system/snippets.sh \
	tests/system/autopkgtest.sh

EXTRA_DIST += $(SYSTEM_TESTS) \
	tests/system/boot-machine.sh \
	tests/system/boot-systemd.sh \
	tests/system/boot-sysvinit.sh \
	tests/system/build-package.sh \
	tests/system/guest/all-tests.sh \
	tests/system/guest/certificates.sh \
	tests/system/guest/machine.sh \
	tests/system/guest/network.sh \
	tests/system/guest/package-installed.sh \
	tests/system/guest/package-read.sh \
	tests/system/guest/readme.sh \
	tests/system/guest/rebuild.sh \
	tests/system/guest/service.sh \
	tests/system/guest/snippets.sh \
	tests/system/guest/systemd-failures.sh \
	tests/system/guest/systemd-install.sh \
	tests/system/guest/systemd-port53.sh \
	tests/system/guest/systemd-reload.sh \
	tests/system/guest/systemd-restart.sh \
	tests/system/guest/systemd-upgrade.sh \
	tests/system/guest/systemd.sh \
	tests/system/guest/sysv.sh \
	tests/system/guest/upstream.sh \
	tests/system/host.sh \
	tests/system/in-root.sh \
	tests/system/machine-image.sh \
	tests/system/mirror.sh \
	tests/system/mounts.sh \
	tests/system/packages \
	tests/system/roots.sh \
	tests/system/signed_zone.py \
	tests/system/systemd.sh \
	tests/system/tap.sh

.PHONY: check-system
check-system: config.status
	$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(SYSTEM_TESTS)'
