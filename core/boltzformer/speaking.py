"""What goes to the terminal: foreign text as text, never as commands to the terminal, and no crash if nobody hears."""

from __future__ import annotations

import os
import sys
import unicodedata
from contextlib import suppress

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


def lost(error: OSError) -> str:
    """The sentence for an output that takes no more. From now on nothing is tried there."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the end of the program would fail again
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
