"""The README's table: per feature whether tests prove it on real MRML or on imitated widgets; the rest was never run.

The first two columns come from the tests' own markers. As a program it writes the table into the README.
"""

from __future__ import annotations

import ast
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parents[1] / "slicer_extension" / "README.md"
BEGIN, END = "<!-- made by tests/in_slicer/feature_table.py -->\n", "<!-- until here -->"
WHERE = ("real MRML", "imitation")
NEVER = (
    "PythonQt itself: conversions, overloads, threads while Qt idles",
    "Slicer's own widgets: node selectors, the embedded Segment Editor with its effects and its Undo button",
    "Module discovery, the extension built by CMake, translations",
    "Slice views as they are drawn: live updates, the look in the foreground, place mode of markups",
    "DICOM loaded and exported through Slicer's database",
    "The engine's environment made from inside of Slicer; packages installed into Slicer's Python",
    "Windows and macOS",
)
"""What only the application has."""


def proven() -> dict[str, set[str]]:
    """Feature → where, of every test's marker `slicer(feature, where)`."""
    found: dict[str, set[str]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "slicer":
                feature, where = (ast.literal_eval(one) for one in node.args)
                assert where in WHERE, (path, where)
                found.setdefault(feature, set()).add(where)
    return found


def table() -> str:
    """Markdown."""
    lines = ["| feature | real MRML | imitation | never run |", "|---|:-:|:-:|:-:|"]
    for feature, where in sorted(proven().items()):
        lines.append(f"| {feature} | {' | '.join('✓' if one in where else '' for one in WHERE)} | |")
    lines += [f"| {feature} | | | ✓ |" for feature in NEVER]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    told = README.read_text("utf-8")
    README.write_text(told[: told.index(BEGIN)] + BEGIN + table() + told[told.index(END) :], encoding="utf-8")
