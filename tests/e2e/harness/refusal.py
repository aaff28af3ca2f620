# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# A kernel that lacks something: a launcher that has a system call refused for the program and all its
# children.

import os
import sys

_MACHINE = os.uname().machine
_NUMBERS = {"socket": {"x86_64": 41, "aarch64": 198},
            "prctl": {"x86_64": 157, "aarch64": 167},
            "epoll_create1": {"x86_64": 291, "aarch64": 20},
            "seccomp": {"x86_64": 317, "aarch64": 277},
            "landlock_create_ruleset": {"x86_64": 444, "aarch64": 444},
            "landlock_restrict_self": {"x86_64": 446, "aarch64": 446}}

is_possible = all(_MACHINE in numbers for numbers in _NUMBERS.values())

# Executed in a process that shall become the program: call, argument (or -1 for any) and error.
_REFUSE = """
import ctypes, os, struct, sys
call, argument, error = map(int, sys.argv[1:4])
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
code = [(LOAD, 0, 0, 0), (EQUAL, 0, 1 if argument < 0 else 3, call)]
if argument >= 0:
    code += [(LOAD, 0, 0, 16), (EQUAL, 0, 1, argument)]
code += [(RETURN, 0, 0, FAIL | error), (RETURN, 0, 0, ALLOW)]
octets = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in code))
program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(octets))
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program) == 0, ctypes.get_errno()
os.execv(sys.argv[4], sys.argv[4:])
"""


def refusing(call, error, argument=-1):
    """The launcher for which `call`, with that first argument or with any, fails with `error`."""
    return (sys.executable, "-c", _REFUSE, str(_NUMBERS[call][_MACHINE]), str(argument), str(error))
