"""A process whose kernel answers renameat2(2) as NFS does: EINVAL (seccomp(2))."""

import ctypes
import errno
import struct


def forbid_exchange() -> None:
    """From here on, in this process and its children; x86-64."""
    load, equal, answer = 0x20, 0x15, 0x06
    code = [
        (load, 0, 0, 0),
        (equal, 0, 1, 316),  # renameat2, <asm/unistd_64.h>
        (answer, 0, 0, 0x00050000 | errno.EINVAL),  # SECCOMP_RET_ERRNO
        (answer, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
    ]
    lines = b"".join(struct.pack("HBBI", *line) for line in code)
    held = ctypes.create_string_buffer(lines, len(lines))
    packed = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(held))
    program = ctypes.create_string_buffer(packed, len(packed))
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    assert library.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert library.prctl(22, 2, ctypes.addressof(program), 0, 0) == 0  # PR_SET_SECCOMP
