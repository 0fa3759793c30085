"""What the documents' pictures of the viewer depend on, as one hash: a picture must not be older than what it shows."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

ROOT = Path(__file__).parents[1]
WINDOW = ("dock", "bottom", "canvas", "teaching", "widget")
"""Rooms of the plugin that are seen in them."""


def code_shown() -> str:
    """Of their code; docstrings and white space may change without a new picture."""
    found = hashlib.sha256()
    for room in WINDOW:
        for file in sorted((ROOT / "napari_boltzformer" / room).glob("*.py")):
            found.update(f"{room}/{file.name} {code_of(file.read_text('utf-8'))}\n".encode())
    return found.hexdigest()


def code_of(text: str) -> str:
    """In one line, without texts that stand by themselves."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    return " ".join(" ".join(lines).split())
