# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# What the end-to-end tests stand on: certificates, a scripted DNS-over-TLS server, the programs
# under test and around it, and clients. No test in here.
