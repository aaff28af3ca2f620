# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Sourced in guests: README.Debian as a script. Its commands are the lines that begin with "    # ".
# shellcheck shell=bash

readme() { zcat -f /usr/share/doc/dotproxy/README.Debian*; }
all_commands() { readme | sed -n 's/^    # //p' | sort -u; }

# commands TEXT [undo]: the block of commands that comes next after a text, or after the words
# "undo it" there.
commands() {
    readme | awk -v text="$1" -v undo="${2:-}" '
        index($0, text) { found = 1 }
        found && (undo == "" || /undo it/) { due = 1 }
        due && /^    # / { print substr($0, 7); begun = 1; next }
        begun { exit }'
}

# follow TEXT [undo]: runs such a block. Fails when there is none, or at its first command that
# fails.
followed=/tmp/followed
follow() {
    local block
    block=$(commands "$@")
    [ -n "$block" ] || { echo "nothing to do after: $*" && return 1; }
    echo "$block" >>$followed
    bash -euo pipefail -c "$block"
}
undo() { follow "$1" undo; }

# tell FILE LINE: adds to a file what README.Debian says, which is: "LINE" in FILE.
tell() {
    readme | tr -s ' \n' ' ' | grep -qF "\"$2\" in $1" && echo "$2" >>"$1"
}

# In place of follow, for a command that is shown in another way.
counts_as_followed() { commands "$@" >>$followed; }

everything_was_followed() { diff <(all_commands) <(sort -u $followed); }
