# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Makes a process perform a system call, as somebody would who has taken it over: by ptrace(2), at
# the very instruction with which it waits for events.

import contextlib
import ctypes
import os
import platform
import re
import signal
import struct

from .waiting import wait_for

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

_ATTACH, _DETACH, _SYSCALL, _GETREGSET, _SETREGSET = 16, 17, 24, 0x4204, 0x4205
_GENERAL_REGISTERS = 1  # NT_PRSTATUS
_WALL = 0x40000000


class _X86_64:
    """user_regs_struct, by place."""

    count, size, wait = 27, 2, ("epoll_wait", "epoll_pwait")
    instruction, result, stack, original = 16, 10, 19, 15
    number, arguments = 10, (14, 13, 12, 7, 9, 8)
    calls = {"open": 2, "close": 3, "socket": 41, "connect": 42, "clone": 56, "fork": 57, "vfork": 58,
             "execve": 59, "kill": 62, "getpid": 39, "ptrace": 101, "epoll_wait": 232,
             "openat": 257, "epoll_pwait": 281, "prctl": 157, "bpf": 321,
             "rt_sigaction": 13, "io_uring_setup": 425}


class _Aarch64:
    """user_pt_regs: x0 to x30, sp, pc, pstate."""

    count, size, wait = 34, 4, ("epoll_pwait",)
    instruction, result, stack, original = 32, 0, 31, None
    number, arguments = 8, (0, 1, 2, 3, 4, 5)
    calls = {"close": 57, "socket": 198, "connect": 203, "clone": 220, "execve": 221, "kill": 129, "getpid": 172,
             "ptrace": 117, "openat": 56, "epoll_pwait": 22, "prctl": 167, "bpf": 280,
             "rt_sigaction": 134, "io_uring_setup": 425}


_MACHINE = {"x86_64": _X86_64, "aarch64": _Aarch64}.get(platform.machine())


def why_not():
    """Why this machine cannot do it, or cannot make this test's calls; None: it can."""
    if os.geteuid() != 0:
        return "only root may trace what is not dumpable"
    if _MACHINE is None:
        return f"the registers of {platform.machine()} are not written down here"
    return None


def landlock_version():
    """The kernel's; 0 or less: it has none."""
    return _libc.syscall(444, None, ctypes.c_size_t(0), 1)


def has_call(name):
    return name in _MACHINE.calls


def _ptrace(request, pid, address=None, data=None):
    if _libc.ptrace(request, pid, address, data) == -1:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


def _registers(request, pid, values):
    buffer = ctypes.create_string_buffer(struct.pack(f"{_MACHINE.count}Q", *values))
    vector = struct.pack("PN", ctypes.addressof(buffer), len(buffer) - 1)
    _ptrace(request, pid, _GENERAL_REGISTERS, ctypes.c_char_p(vector))
    return list(struct.unpack(f"{_MACHINE.count}Q", buffer.raw[:-1]))


def _waits(pid):
    """Whether it waits for events."""
    try:
        with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
            number = re.match(r"-?\d+", file.read())
    except (FileNotFoundError, ProcessLookupError):
        raise AssertionError(f"process {pid} has gone") from None
    return number and int(number[0]) in [_MACHINE.calls[name] for name in _MACHINE.wait]


def _is_pending(pid, number):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        pending = re.search(r"^SigPnd:\t([0-9a-f]+)$", file.read(), re.MULTILINE)
    return bool(int(pending[1], 16) >> number - 1 & 1)


@contextlib.contextmanager
def _stopped(pid):
    """Stops it while it waits for events."""
    wait_for(lambda: _waits(pid), what="the process to wait for events")
    _ptrace(_ATTACH, pid)
    try:
        _, status = os.waitpid(pid, _WALL)
        assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGSTOP
        yield
    finally:
        _ptrace(_DETACH, pid)


def inject(pid, name, *arguments):
    """Has the process make this call; `bytes` are put into its memory. Returns what the call did,
    and lets the process go on as if nothing had been; None where the call raised SIGSYS, which the
    process then gets."""
    with _stopped(pid):
        before = _registers(_GETREGSET, pid, [0] * _MACHINE.count)
        now, room = list(before), before[_MACHINE.stack] - 65536
        with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
            for place, argument in zip(_MACHINE.arguments, arguments):
                if isinstance(argument, bytes):
                    memory.seek(room)
                    memory.write(argument + b"\0")
                    argument, room = room, room + 4096
                now[place] = argument & 0xffffffffffffffff
        now[_MACHINE.instruction] -= _MACHINE.size
        now[_MACHINE.number] = _MACHINE.calls[name]
        if _MACHINE.original is not None:
            # It is in no call that is to be started anew.
            now[_MACHINE.original] = before[_MACHINE.original] = 0xffffffffffffffff
        _registers(_SETREGSET, pid, now)
        for _ in ("before the call", "behind it"):
            _ptrace(_SYSCALL, pid)
            _, status = os.waitpid(pid, _WALL)
            assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGTRAP, status
        if _is_pending(pid, signal.SIGSYS):
            return None
        after = _registers(_GETREGSET, pid, [0] * _MACHINE.count)
        _registers(_SETREGSET, pid, before)
    result = after[_MACHINE.result]
    return result - (1 << 64) if result >> 63 else result
