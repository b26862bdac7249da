"""Files that may come from anyone, opened so that none hangs the reader or fills its memory."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from oracle_node.errors import ModelError


def open_regular(path: Path) -> tuple[BinaryIO, int]:
    """An open file and its size in bytes; ModelError for pipes and devices, OSError for what cannot be opened.

    Opening a pipe would wait for its writer, a device has no end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path}: is no regular file")
        return os.fdopen(descriptor, "rb"), status.st_size
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, most: int) -> bytes:
    """All of a file; errors as `open_regular`, and ModelError where it has more than `most` bytes."""
    file, size = open_regular(path)
    with file:
        if size > most:
            raise ModelError(f"{path}: has {size} bytes, at most {most} are read")
        return file.read(size)
