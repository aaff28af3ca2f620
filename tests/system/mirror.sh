#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# mirror.sh: prints the mirror of Debian that this machine's own apt uses.

set -euo pipefail

# shellcheck disable=SC2016 # apt's
apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
    sed -n 's/^Debian Debian \(.*[^/]\)\/*$/\1/p' | head -n 1
