"""What of a sentence or an error may be passed on: words of our own source, kinds and places; never what was filled in.

A file's name, a layer's or a prompt may say who the patient is, and nobody can tell such a name from another word.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from traceback import extract_tb

OURS = "boltzformer", "napari_boltzformer"
LEFT_OUT = "…"
FEWEST = 8
"""Letters of a sentence: a single word may be a name, and a few fit anything."""
DEPTH = 4
"""So many sentences may lie one in another."""


def words_of(sentence: str, depth: int = DEPTH) -> str:
    """The sentence as our source has it, with '…' for all that was filled in."""
    fits = [(literal, found) for pattern, literal in _templates() if (found := pattern.fullmatch(sentence))]
    if not fits or not depth:
        return LEFT_OUT
    _, found = max(fits, key=lambda one: one[0])  # most of it is ours
    told, end = "", 0
    for number in range(1, found.re.groups + 1):
        start, stop = found.span(number)
        told += sentence[end:start] + (words_of(sentence[start:stop], depth - 1) if stop > start else "")
        end = stop
    return told + sentence[end:]


def trace_of(error: BaseException) -> str:
    """Kinds of errors and where they arose, the last one first; no message."""
    told, seen = [], set[int]()
    now: BaseException | None = error
    while now is not None and id(now) not in seen:
        seen.add(id(now))
        told.append(type(now).__name__)
        told += [f"  {_place(one.filename)}:{one.lineno} {one.name}" for one in extract_tb(now.__traceback__)]
        now = now.__cause__ or now.__context__
    return "\n".join(told)


def line_of(record: logging.LogRecord) -> str:
    """A line of the log without what was filled in, numbers aside."""
    given = record.args if isinstance(record.args, tuple) else ()
    try:
        told = str(record.msg) % tuple(_discreet(one) for one in given)
    except (TypeError, ValueError):
        told = str(record.msg)
    error = record.exc_info[1] if record.exc_info else None
    return told if error is None else f"{told}\n{trace_of(error)}"


def _discreet(value: object) -> object:
    if isinstance(value, int | float):
        return value
    return type(value).__name__ if isinstance(value, BaseException) else LEFT_OUT


def _place(file: str) -> str:
    """From its package on: what lies above may be named after a person."""
    parts = Path(file).parts
    ours = [at for at, part in enumerate(parts) if part in (*OURS, "site-packages")]
    return "/".join(parts[ours[-1] :] if ours else parts[-1:])


@cache
def _templates() -> list[tuple[re.Pattern[str], int]]:
    """Every sentence in our source, and how many of its characters are written there."""
    found: dict[str, int] = {}
    for package in OURS:
        for file in _sources(package):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                parts = node.values if isinstance(node, ast.JoinedStr) else [node]
                texts = [str(one.value) if isinstance(one, ast.Constant) else None for one in parts]
                told = "".join(text or "" for text in texts)
                literal = sum(map(str.isalpha, told))
                if " " in told and literal >= FEWEST:
                    found["".join("(.*)" if text is None else re.escape(text) for text in texts)] = literal
    return [(re.compile(pattern, re.DOTALL), literal) for pattern, literal in found.items()]


def _sources(package: str) -> Iterator[Traversable]:
    """Of a package that is installed here: not every viewer has the others'."""
    if find_spec(package) is not None:
        yield from _files_in(files(package))


def _files_in(folder: Traversable) -> Iterator[Traversable]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _files_in(one)
        elif one.name.endswith(".py"):
            yield one
