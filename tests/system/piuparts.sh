#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# piuparts: the package is installed, removed and purged in a root that has nothing but apt, with
# what it depends on; then it is installed over the version before it. Whatever either leaves there
# that was not there before is a failure.

# shellcheck source=tests/system/host.sh
. "$(dirname "$0")/host.sh"

# run_piuparts LOG ARGUMENT...: in namespaces of its own, so that nothing it has mounted or started
# stays, and in memory. It comes with systemd, which leaves directories behind that are its own.
run_piuparts() {
    local log=$1
    shift
    # shellcheck disable=SC2016 # the inner shell's
    unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
        sh -c 'mount -t tmpfs tmpfs /mnt && exec "$@"' sh \
        piuparts --mirror "$mirror main" --distribution bookworm --basetgz "$root/root.tar.gz" \
        --no-eatmydata --ignore-regex "$systemds" --tmpdir /mnt "$@" "$package"/dotproxy_*.deb \
        >"$scratch/$log" 2>&1 || {
        grep -v DEBUG "$scratch/$log"
        return 1
    }
}

systemds='^/?(root/\.ssh|var/(cache|lib|log)/private|var/lib/systemd)(/|$)'
needs dpkg-deb apt-ftparchive mmdebstrap piuparts unshare
mirror_answers || skip_all "the mirror of this machine's apt cannot be reached"
mirror=$("$system_tests/mirror.sh")
package_for 12
root_for minimal-12

check "installed, removed, purged: nothing is left" run_piuparts install --no-upgrade-test

archive=$scratch/archive
mkdir "$archive"
older_package "$package"/dotproxy_*.deb "$archive/dotproxy_0.0.1-1_all.deb"
(cd "$archive" && apt-ftparchive packages . >Packages && apt-ftparchive release . >Release)
check "installed over the version before, purged: nothing is left" run_piuparts upgrade \
    --no-install-purge-test --bindmount "$archive" \
    --extra-repo "deb [trusted=yes] file://$archive ./"
check "which was there" grep 'Unpacking dotproxy .* over (0\.0\.1-1)' "$scratch/upgrade"
finish
