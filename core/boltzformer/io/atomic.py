"""New files that are complete or not there at all: written beside their place, renamed when all is on the disk."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from boltzformer.errors import ImageError


@contextmanager
def new_files(paths: Sequence[Path], *, overwrite: bool | Collection[Path] = False) -> Iterator[list[BinaryIO]]:
    """Open files to write into; they get their names together at the end, and only if nothing went wrong.

    `overwrite`: what lies there may be replaced, or only these files.
    """
    # A short name of its own, so that neither a crash nor a long target name can touch a file of the user.
    parts = [path.with_name(f".{secrets.token_hex(8)}.part") for path in paths]
    try:
        for path in paths:
            if path.is_dir():
                raise ImageError(f"{path} is a folder: choose a file name for the mask.")
            if path.exists() and not may_replace(path, overwrite):
                raise ImageError(f"{path} exists already: choose another name, or allow to overwrite it.")
        with ExitStack() as stack:
            files: list[BinaryIO] = [stack.enter_context(part.open("xb")) for part in parts]
            modes = [stat.S_IMODE(part.stat().st_mode) for part in parts]
            for part in parts:
                part.chmod(0o600)  # what is not finished is nobody else's
            yield files
            for file, part, mode in zip(files, parts, modes, strict=True):
                file.flush()
                part.chmod(mode)
                os.fsync(file.fileno())
        for path, part in zip(paths, parts, strict=True):
            os.replace(part, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(
            f"{paths[0]} could not be written ({reason}): "
            "choose a folder that you may write to and that has space left."
        ) from error
    finally:
        for part in parts:
            with suppress(OSError):  # renamed already, or never made
                part.unlink()


def may_replace(path: Path, overwrite: bool | Collection[Path]) -> bool:
    """Whether `overwrite` allows it for this file."""
    return overwrite if isinstance(overwrite, bool) else path in overwrite
