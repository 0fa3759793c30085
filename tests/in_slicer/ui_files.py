"""What a .ui file says, without loading it: names, classes, stand-ins, connections."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Form:
    """One .ui file."""

    names: dict[str, str]
    """Name → class, of widgets and layouts."""
    custom: frozenset[str]
    """Classes that it declares as the application's own."""
    connections: tuple[tuple[str, str, str, str], ...]
    """Sender, signal, receiver, slot."""


def read(path: Path) -> Form:
    root = ElementTree.fromstring(path.read_text("utf-8"))
    named = [one for kind in ("widget", "layout") for one in root.iter(kind)]
    names = [(one.get("name", ""), one.get("class", "")) for one in named]
    assert len({name for name, _ in names}) == len(names), "two have one name"
    parts = ("sender", "signal", "receiver", "slot")
    wired = tuple(tuple(one.findtext(part, "") for part in parts) for one in root.iter("connection"))
    return Form(dict(names), frozenset(one.findtext("class", "") for one in root.iter("customwidget")), wired)  # type: ignore[arg-type]


def uses(path: Path) -> Iterator[tuple[str, str, int]]:
    """(widget, signal or '', line) wherever a source file says `ui.widget`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and _is_ui(node.value):
            yield node.attr, "", node.lineno
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "connect"
            and isinstance(node.func.value, ast.Attribute)
            and _is_ui(node.func.value.value)
        ):
            assert isinstance(node.args[0], ast.Constant)
            yield node.func.value.attr, str(node.args[0].value), node.lineno


def _is_ui(node: ast.expr) -> bool:
    """`ui`, `self.ui`, `self._ui`, `panel.ui`."""
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name in ("ui", "_ui")
