"""What is said to a person: foreign text as text and no command to the terminal, and a sentence for what nobody
foresaw, whose traceback goes into the log."""

from __future__ import annotations

import os
import sys
import traceback
import unicodedata
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from boltzformer.errors import BoltzFormerError
from boltzformer.home import folder

_JOINERS = "\u200c\u200d"
"""Invisible, but part of how some languages are written."""


def shown(text: str, *, lines: bool = False) -> str:
    """With everything spelled out that could move the cursor, colour the screen, turn the text around or break the
    line (unless it may have several `lines`): a file's name or a header's words may hold such."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spelled(one) if one != "\n" or not lines else one for one in text)


def say(text: str, *, err: bool = False) -> None:
    """A line, or several, for the person in front of it."""
    (sys.stderr if err else sys.stdout).write(shown(text, lines=True) + "\n")


def lost(error: OSError, stream: TextIO | None = None) -> str:
    """The sentence for an output that takes no more. From now on nothing is tried there."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno()
        )  # or the end of the program would fail again
    return (
        f"Standard output can't be written ({error.strerror or error}), so not all could be said: "
        "make room where it goes, or close no pipe before the end."
    )


def _spelled(one: str) -> str:
    if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") and one not in _JOINERS:
        byte = ord(one) - 0xDC00
        # A file's name that is no UTF-8 keeps its bytes in such halves of characters.
        return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else one.encode("unicode_escape").decode("ascii")
    return one


MOST = 1_000_000
"""Bytes of the log; then it begins anew, and the one before is kept."""


def sentence_about(error: BaseException) -> str:
    """One sentence, whatever it was."""
    if isinstance(error, BoltzFormerError):
        return str(error)
    place = _logged(error)
    if isinstance(error, MemoryError):
        return "The computer has too little memory for this: close other programs, or use less of the image."
    kept = f"the traceback is in {place}" if place else "the log can't be written"
    if isinstance(error, OSError):
        where = f"{error.filename} " if isinstance(error.filename, str) else ""
        return f"{where or 'A file '}can't be used ({error.strerror or error}): check the path and your rights; {kept}."
    words = " ".join(str(error).split())[:200]
    return f"It failed in a way that was not foreseen ({type(error).__name__}: {words}); {kept}: please report it."


def _logged(error: BaseException) -> Path | None:
    """Where, if anywhere. The kinds of the errors and where they were raised: their words may tell of a patient."""
    told: list[str] = []
    one: BaseException | None = error
    while one is not None and len(told) < 10:
        told.append("".join(traceback.format_tb(one.__traceback__, limit=-30)) + type(one).__name__ + "\n")
        one = one.__cause__ or one.__context__
    text = f"{datetime.now(UTC).isoformat(timespec='seconds')}\n" + "caused by\n".join(told) + "\n"
    with suppress(OSError, BoltzFormerError):
        log = folder("logs") / "errors.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.is_file() and log.stat().st_size > MOST:
            os.replace(log, log.with_suffix(".old"))
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
            file.write(text.encode("utf-8", "backslashreplace").decode())
        return log
    return None
