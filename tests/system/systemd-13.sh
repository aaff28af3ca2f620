#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors

exec "$(dirname "$0")/systemd.sh" 13
