"""JSON that others wrote: whatever is wrong with it is a ValueError, also where it is nested beyond all reason."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

MOST = 256 * 2**20
"""Bytes of a text that we read: beyond all manifests and provenances there are."""


def loads(text: str | bytes) -> Any:
    """What it holds."""
    try:
        return json.loads(text)
    except RecursionError:  # the parser's own; who reads a file expects a ValueError of a bad one
        raise ValueError("it is nested too deeply") from None


def text_of(path: Path) -> str:
    """What a file holds; an OSError also where it is a device or a pipe, which might never end."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        code = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL
        raise OSError(code, os.strerror(code) if code == errno.EISDIR else "it is no file", str(path))
    if found.st_size > MOST:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return path.read_text("utf-8")
