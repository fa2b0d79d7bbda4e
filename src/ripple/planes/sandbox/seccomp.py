"""A seccomp filter for sandboxed commands: what no build or test needs, and escapes are made of.

The sandbox already has no capabilities; this closes the kernel surface that needs none (keyrings, bpf, io_uring,
nested namespaces, typing into a terminal). Programs fall back on ENOSYS where they have another way.
"""

from __future__ import annotations

import errno
import platform
import struct

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NAMESPACE_FLAGS = 0x7E020000
_TERMINAL_REQUESTS = (0x5412, 0x541C)
_SHARED = (425, 426, 427, 428, 429, 430, 431, 432, 433, 435, 438, 442)
_NO_SUCH_CALL = frozenset({425, 426, 427, 435})
"""io_uring_setup/enter/register and clone3: their callers fall back when they do not exist."""

# asm/unistd_64.h and asm-generic/unistd.h: ptrace mount umount2 pivot_root swapon swapoff reboot init_module
# delete_module quotactl acct add_key request_key keyctl unshare perf_event_open fanotify_init open_by_handle_at
# setns process_vm_readv process_vm_writev kcmp finit_module kexec_load kexec_file_load bpf userfaultfd syslog
# settimeofday clock_settime adjtimex
_MACHINES = {
    "x86_64": (0xC000003E, 56, 16, (
        101, 165, 166, 155, 167, 168, 169, 175, 176, 179, 163, 248, 249, 250, 272, 298, 300, 304,
        308, 310, 311, 312, 313, 246, 320, 321, 323, 103, 164, 227, 159,
    )),
    "aarch64": (0xC00000B7, 220, 29, (
        117, 40, 39, 41, 224, 225, 142, 105, 106, 60, 89, 217, 218, 219, 97, 241, 262, 265,
        268, 270, 271, 272, 273, 104, 294, 280, 282, 116, 170, 112, 171,
    )),
}  # fmt: skip


def filter_program(machine: str | None = None) -> bytes:
    """The compiled filter for ``machine`` (default: this one), as bwrap reads it; empty where none is known."""
    known = _MACHINES.get(machine or platform.machine())
    if known is None:
        return b""
    architecture, clone, ioctl, denied = known
    program = [_step(_LOAD, 4), _step(_EQUAL, architecture, 1, 0), _step(_RETURN, _KILL), _step(_LOAD, 0)]
    # The x32 calls share the architecture's number and would slip past every comparison below.
    program += [_step(_AT_LEAST, 0x40000000, 0, 1), _refuse(errno.EPERM)]
    for number in (*denied, *_SHARED):
        program += [_step(_EQUAL, number, 0, 1), _refuse(errno.ENOSYS if number in _NO_SUCH_CALL else errno.EPERM)]
    program += [_step(_EQUAL, clone, 0, 4), _step(_LOAD, 16), _step(_ANY_BIT, _NAMESPACE_FLAGS, 0, 1)]
    program += [_refuse(errno.EPERM), _step(_RETURN, _ALLOW)]
    program += [_step(_EQUAL, ioctl, 0, 5), _step(_LOAD, 24)]
    for request in _TERMINAL_REQUESTS:
        program += [_step(_EQUAL, request, 0, 1), _refuse(errno.EPERM)]
    return b"".join([*program, _step(_RETURN, _ALLOW)])


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _refuse(number: int) -> bytes:
    return _step(_RETURN, _ERRNO | number)
