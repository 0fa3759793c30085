"""The model card beside converted weights: what they are, whose, under which licence."""

from __future__ import annotations

import re
from pathlib import Path

from boltzformer.weights.checkpoint import Checkpoint

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


def write_card(model: Checkpoint, source: str, original: str, report: str) -> Path:
    """Our words first, then the origin's own card, untouched."""
    licence = model.history.licence or UNSTATED
    lines = [
        "---",
        f"license: {licence if re.fullmatch(r'[A-Za-z0-9.+-]+', licence) else 'other'}",
        "library_name: napari-boltzformer",
        "---",
        f"# {model.history.name}",
        "",
        f"Converted by napari-boltzformer from {source}. Research only, not for clinical use.",
        "",
        f"Licence: {licence}. The weights stay under the licence of their origin.",
        "",
        f"SHA-256 of the source: {model.history.notes.get('source sha256', '')}",
        "",
        "```",
        report,
        "```",
    ]
    if original.strip():
        lines += ["", "## The origin's own card", "", FRONT.sub("", original).strip()]
    place = card_of(model.path)
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place
