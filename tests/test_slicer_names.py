"""What the pages about 3D Slicer's module set in italics or bold is written on its panel, in the code behind it or in
Slicer itself; and whatever of it can be pressed is pressed in a test."""

import ast
import re
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path

import pytest
from documents import ROOT

MODULE = ROOT / "slicer_extension/BoltzFormer"
PAGES = ("docs/start/slicer.md", "slicer_extension/README.md", "slicer_extension/CHECKLIST.md")
SLICERS = {
    "Additional module paths",
    "Application Settings",
    "Edit",
    "Modules",
    "Overwrite: none",
    "Sample Data",
    "Show 3D",
    "Undo",
}
"""Slicer's own menus and widgets, which the application alone could show."""
HEADINGS = {"Find.", "Correct.", "Keep.", "Teach.", "Licences.", "Your data.", "Research only, not for clinical use."}


def named(page: str) -> list[str]:
    """In italics or bold, outside of code; of a way through menus the whole."""
    text = re.sub(r"^```.*?^```|`[^`]*`", "", (ROOT / page).read_text("utf-8"), flags=re.M | re.S)
    found = [" ".join(one.split()) for one in re.findall(r"(?<![\w*])\*{1,2}([^*]+)\*{1,2}(?![\w*])", text)]
    return [one for one in found if one not in HEADINGS]


@cache
def on_the_panel() -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    """Text → each widget that says it, by name, with the texts of the parts that it lies in."""
    found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}

    def look(element: ElementTree.Element, within: tuple[str, ...]) -> None:
        for part in element:
            text = next((one.findtext("string") for one in part.findall("property[@name='text']")), None)
            if part.tag == "widget" and text:
                found.setdefault(text, []).append((part.get("name", ""), within))
            look(part, (*within, text) if part.tag == "widget" and text else within)

    look(ElementTree.parse(MODULE / "Resources/UI/BoltzFormer.ui").getroot(), ())
    return found


@cache
def in_code() -> frozenset[str]:
    """All words of the module and of what every viewer shares; the sentences of the latter are buttons, too."""
    files = [MODULE / "BoltzFormer.py", *(MODULE / "BoltzFormerLib").glob("*.py")]
    files += (ROOT / "core/boltzformer/desk").rglob("*.py")
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8"))))
    return frozenset(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def is_there(name: str) -> bool:
    *way, last = name.split(" › ")
    if any(set(way) <= set(within) for _, within in on_the_panel().get(last, ())):
        return True
    words = in_code() | SLICERS
    return all(word in words for word in (*way, last)) and (not way or way[0] in SLICERS)


@pytest.mark.parametrize("page", PAGES)
def test_every_name_on_the_page_is_on_the_panel_or_slicers_own(page: str) -> None:
    names = named(page)
    assert len(names) > 10
    assert [name for name in names if not is_there(name)] == []


def test_a_name_that_is_nowhere_or_elsewhere_would_be_found() -> None:
    assert is_there("Teach › Start")
    assert not is_there("Find › Start")
    assert not is_there("Start it")
    assert is_there("Find › Model and engine › Engine's Python…")


def test_every_button_that_the_pages_name_is_pressed_in_a_test() -> None:
    tests = "\n".join(file.read_text("utf-8") for file in (ROOT / "tests/in_slicer").glob("*.py"))
    lasts = {name.split(" › ")[-1] for page in PAGES for name in named(page)}
    buttons = {name: [one for one, _ in on_the_panel()[name]] for name in lasts if name in on_the_panel()}
    assert len(buttons) > 20
    assert [name for name, widgets in sorted(buttons.items()) if not any(f".{one}" in tests for one in widgets)] == []


def test_the_folder_that_the_page_names_is_the_module() -> None:
    for page in PAGES[:2]:
        (folder,) = set(re.findall(r"`(slicer_extension/\w+)`", (ROOT / page).read_text("utf-8")))
        assert (ROOT / folder / f"{Path(folder).name}.py").is_file()
