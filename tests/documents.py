"""What a document claims, taken out of its text: commands with their options, files, and numbers that were measured.

A number in `code` is a value to type; a number in prose with a unit or decimals was measured, and stands in
`benchmarks/RESULTS.md` or in the card of the model that ships.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCES = (ROOT / "benchmarks/RESULTS.md", ROOT / "core/boltzformer/assets/default.md")
GENERATED = ("docs/formats.md", "docs/sentences.md")
"""Written by tests of their own, which hold them."""


def documents() -> list[Path]:
    """All that a reader finds; the changelog tells of other times."""
    flat = [ROOT / f"{name}.md" for name in ("README", "ARCHITECTURE", "CONTRIBUTING", "AGENTS", "SECURITY")]
    deep = sorted(file for file in (ROOT / "docs").rglob("*.md") if file.relative_to(ROOT).as_posix() not in GENERATED)
    return [*flat, *deep]


# --- commands ---------------------------------------------------------------------------------------------------------


@cache
def tree() -> Any:
    """The program's own commands."""
    from typer.main import get_command

    from boltzformer.cli.cli import app

    return get_command(app)


@cache
def all_options() -> frozenset[str]:
    """Of all commands."""
    found: set[str] = set()
    todo = [tree()]
    while todo:
        command = todo.pop()
        found |= {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        todo += getattr(command, "commands", {}).values()
    return frozenset(found | {"--help"})


def shell_lines(text: str) -> Iterator[str]:
    """Lines of code blocks that a shell would get, and code within sentences that begins like a command."""
    for kind, block in re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.M | re.S):
        if kind in ("", "bash", "text", "sh"):
            yield from block.replace("\\\n", " ").splitlines()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    yield from (one for one in inline(prose) if re.match(r"(boltzformer|make|python\S*|torchrun) ", one))


def inline(text: str) -> list[str]:
    """Code within sentences, line breaks as spaces."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [" ".join(one.split()) for one in re.findall(r"`([^`]+)`", prose)]


def wrong_in_line(line: str) -> list[str]:
    """What a command line names that isn't there; nothing where it is no command of ours."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        words = line.split()
    if not words:
        return []
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
        return [f"make {word}" for word in words[1:] if re.fullmatch(r"[a-z-]+", word) and word not in targets]
    for place, word in enumerate(words):
        if word.rpartition("/")[2] in ("boltzformer", "boltzformer-finetune") and (
            place == 0 or words[place - 1] == "-m"
        ):
            own = ["finetune", *words[place + 1 :]] if word.endswith("finetune") else words[place + 1 :]
            return wrong_in_call(own)
        if re.fullmatch(r"(benchmarks|examples|tools|tests)/\S+\.py", word) and not (ROOT / word).is_file():
            return [word]
    return []


def wrong_in_call(words: list[str]) -> list[str]:
    """Of `boltzformer WORDS…`."""
    command, path = tree(), ["boltzformer"]
    while words and hasattr(command, "commands"):
        # `models promote | rollback` names several.
        if words[0] in ("…", "|", "--help", "--version") or words[0].isupper():
            break
        if words[0] not in command.commands:
            return [f"{' '.join(path)} {words[0]}"]
        path.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
    known = all_options() if hasattr(command, "commands") else known
    asked = [part.partition("=")[0] for word in words for part in re.split(r"[\[\]|]", word) if part.startswith("-")]
    return [f"{' '.join(path)} {word}" for word in asked if re.match(r"--?[a-z]", word) and word not in known]


FOREIGN = {"--no-index", "--require-hashes", "--nproc-per-node", "--nnodes", "--rdzv-id", "--max-restarts", "--since"}
"""Options of other programs, which our documents name by themselves."""


def wrong_options(text: str) -> list[str]:
    """Options that sentences name, and no command has."""
    told = [one.split("[")[0].split()[0] for one in inline(text) if re.match(r"--?[a-z]", one)]
    return sorted({one for one in told if one not in all_options() | FOREIGN})


# --- files ------------------------------------------------------------------------------------------------------------

FOLDERS = (ROOT, ROOT / "core/boltzformer", ROOT / "napari_boltzformer")
THEIRS = {"dist", "scans", "masks", "results", "data", "truth", "answers", "models", "wheels", "looks", "my-cases"}
"""Folders of whoever reads."""


def wrong_files(document: Path, text: str) -> list[str]:
    """Places in the repository that links and code name, and that aren't there."""
    wrong = []
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text):
        there = (document.parent / target).exists()
        if not there and not is_generated(document.parent / target):
            wrong.append(target)
    for one in inline(text):
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", one) or "/" not in one:
            continue
        first = one.split("/")[0]
        rooms = [folder for folder in FOLDERS if (folder / first).exists()]
        if first in THEIRS or not rooms or "." in first or "NAME" in one:
            continue
        if not any(is_there(folder, one) for folder in rooms):
            wrong.append(one)
    return wrong


def is_there(folder: Path, name: str) -> bool:
    """`rooms/file`, `rooms/file.py`, or `rooms/file.Name.method`."""
    head, _, last = name.rstrip("/").rpartition("/")
    options = [name, f"{name}.py", f"{head}/{last.split('.')[0]}.py" if last else name]
    return any((folder / option).exists() for option in options)


def is_generated(page: Path) -> bool:
    """Whether a link leads to a page that is made when the site is built."""
    text = (ROOT / "tools/docs_pages.py").read_text("utf-8")
    name = page.resolve().relative_to(ROOT / "docs").as_posix() if page.resolve().is_relative_to(ROOT / "docs") else ""
    return bool(name) and f'"{name}"' in text


# --- numbers ----------------------------------------------------------------------------------------------------------

UNIT = r"(?:%|s|ms|seconds?|minutes?|hours?|MB|GB|times|×|masks|patients|groups|targets|objects|voxels|images|million)"
MEASURED = re.compile(rf"(?<![\w.,/-])[−+-]?(\d[\d \u202f]*\d|\d)(\.\d+)?(?:\s?({UNIT})(?![\w-]))?(?![\w.]*\w)")


@dataclass(frozen=True)
class Number:
    """As a document says it."""

    text: str
    unit: str

    @property
    def decimals(self) -> int:
        """After the point."""
        return len(self.text.partition(".")[2])


def numbers(text: str) -> list[Number]:
    """Those that look measured: with decimals or a unit, in prose and tables, outside of code and of links."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)|<!--.*?-->", " ", prose, flags=re.S)
    prose = re.sub(
        r"(?i)\b(python|napari|version|npe2|slicer|CC BY(-[A-Z]+)*|v|GPL-|SAM|CVPR|Apache-)\s?\d[\d.]*", " ", prose
    )
    found = []
    for whole, decimals, unit in MEASURED.findall(prose):
        if decimals or unit:
            found.append(Number(re.sub(r"[ \u202f]", "", whole) + decimals, unit))
    return found


@cache
def source_numbers() -> tuple[Number, ...]:
    """All numbers of the sources, with the unit that follows."""
    text = "\n".join(file.read_text("utf-8") for file in SOURCES).replace("½", "")
    return tuple(
        Number(re.sub(r"[ \u202f]", "", whole) + decimals, unit) for whole, decimals, unit in MEASURED.findall(text)
    )


def is_measured(number: Number) -> bool:
    """Whether a source says the same, or the same with more decimals."""
    value = float(number.text)
    for one in source_numbers():
        same_kind = not number.unit or number.unit.rstrip("s") == one.unit.rstrip("s")
        if same_kind and one.decimals >= number.decimals and round(float(one.text), number.decimals) == value:
            return True
    return False
