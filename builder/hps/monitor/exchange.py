"""Two directories change places in one step, so that nobody ever finds one of them missing.

rename(2) cannot put a directory over one that has files; renameat2(2) with RENAME_EXCHANGE can,
and is atomic. Linux 3.15 or newer; ext4, XFS, Btrfs, tmpfs, overlayfs and others, not NFS.
"""

import ctypes
import errno
import os
import tempfile
from pathlib import Path

from hps.monitor.disk import DiskError, explained
from hps.store.filesystem import sync_folder

_HERE = -100  # AT_FDCWD, <fcntl.h>
_EXCHANGE = 2  # RENAME_EXCHANGE, <linux/fs.h>
_UNABLE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


class ExchangeError(DiskError):
    """This file system or kernel cannot exchange two directories atomically."""

    reference = "exchange-impossible"


def exchange(one: Path, other: Path) -> None:
    """Let two paths of one file system change places, and make it last.

    Raises:
        ExchangeError: the file system or the kernel cannot do it. There is no second way that
            never shows a missing or mixed directory, so none is tried.
        DiskError: anything else, for instance one of them is not there.
    """
    try:
        _renameat2(one, other)
    except OSError as error:
        if error.errno in _UNABLE:
            raise _unable(one, error) from error
        if error.errno == errno.EXDEV:
            raise ExchangeError(
                f"{one} and {other} are on two file systems",
                hint="keep the folder of the monitor beside the one that the server reads",
            ) from error
        with explained("exchange", one):
            raise
    with explained("write", one.parent):
        for folder in sorted({one.parent, other.parent}):
            sync_folder(folder)


def check_exchange(folder: Path) -> None:
    """Try in a folder whether its file system can do it, before anything depends on it.

    Raises:
        ExchangeError: it cannot.
        DiskError: nothing can be written there.
    """
    with (
        explained("write", folder),
        tempfile.TemporaryDirectory(prefix=".hps-exchange-", dir=folder) as name,
    ):
        one, other = Path(name, "one"), Path(name, "other")
        (one / "1").mkdir(parents=True)
        other.mkdir()
        exchange(one, other)
        if not (other / "1").is_dir():
            raise _unable(folder, OSError(errno.EINVAL, "it said yes and did nothing"))


def _renameat2(one: Path, other: Path) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    try:
        call = library.renameat2
    except AttributeError:  # a C library older than the call
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    if call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _unable(folder: Path, error: OSError) -> ExchangeError:
    return ExchangeError(
        f"{folder} is on a file system that cannot exchange two directories atomically: "
        f"{error.strerror}",
        hint="put the models on ext4, XFS, Btrfs or tmpfs; NFS cannot do it",
    )
