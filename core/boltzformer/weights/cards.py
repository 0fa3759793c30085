"""The card beside a model file: where it lies, and which licence a card on the hub declares."""

from __future__ import annotations

import re
from pathlib import Path

FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
LICENCE = re.compile(r"^licen[cs]e(?:_name|_link)?\s*:\s*(.+?)\s*$", re.MULTILINE)
UNSTATED = "not stated here: ask where the weights were published"


def card_of(model: Path) -> Path:
    """Where the card of a model file lies."""
    return model.with_suffix(".md")


def licence_in(card: str) -> str:
    """What a card on the hub declares; empty if it declares nothing."""
    front = FRONT.match(card)
    found = [] if front is None else [value.strip("'\"") for value in LICENCE.findall(front[1])]
    return ", ".join(value for value in found if value)
