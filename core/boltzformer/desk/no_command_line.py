"""What the readers advise on a command line, as it is said in a viewer, where nobody can give an option."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from boltzformer.errors import BoltzFormerError

ALONE = "save the one that you want by itself"
ADVICE = {
    r", or read it with --allow-gaps": "",
    r"choose one with --series N(?: \(in Python series=N\))?": ALONE,
    r".* has changed since .* began: choose a new --output to learn from it": (
        "What is accepted has changed since this run began: begin a new run to learn from it"
    ),
    r"choose it with --frame 1 to --frame \d+ \(in Python frame=1\)": ALONE,
}
"""Of a sentence; what is said instead."""


def in_viewer(sentence: str) -> str:
    """Without the options."""
    for said, instead in ADVICE.items():
        sentence = re.sub(said, instead, sentence)
    return sentence


@contextmanager
def for_viewers() -> Iterator[None]:
    """Where a viewer itself shows what went wrong."""
    try:
        yield
    except BoltzFormerError as error:
        if in_viewer(str(error)) == str(error):
            raise
        raise type(error)(in_viewer(str(error))) from error
