#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# mirror.sh: prints the mirror of Debian that this machine's own apt uses; fails if it has none.

set -euo pipefail

# apt knows whose mirror it is once it has the list of packages.
mirror() {
    # shellcheck disable=SC2016 # apt's
    apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian Debian \(.*[^/]\)\/*$/\1/p' | head -n 1 | grep .
}

! mirror || exit 0
exec 9<"$0" # two at once would be refused
flock 9
mirror || { apt-get -qq update >&2 && mirror; }
