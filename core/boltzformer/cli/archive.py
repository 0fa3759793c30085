"""An archive: the images that a list names, one share of them for each of several machines, and what became of each."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from boltzformer.errors import BoltzFormerError
from boltzformer.io.cases import Case, find_cases, is_folder
from boltzformer.json_text import loads, text_of

LISTS = (".txt", ".jsonl")
"""Ends of files that name images: a path a line, or a manifest whose lines have an `image`."""

Outcome = Literal["finished", "skipped", "quarantined"]


@dataclass(frozen=True)
class Shard:
    """A share of an archive's cases: every so many, so that none holds all of the large ones."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Of '3/8': the third of eight."""
        found = re.fullmatch(r"\s*([0-9]{1,7})\s*/\s*([0-9]{1,7})\s*", text)
        number, of = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= of:
            raise BoltzFormerError(
                f"--shard {text} is no share: give NUMBER/OF with numbers from 1, such as 3/8 for the third of eight."
            )
        return cls(number, of)

    def part(self, cases: Sequence[Case]) -> list[Case]:
        """Its own; all shares together are all cases, each once."""
        return list(cases[self.number - 1 :: self.of])

    @property
    def ending(self) -> str:
        """Tells its files from those of the others, which may lie beside them."""
        return f"-{self.number}-of-{self.of}"


def cases_of(inputs: Sequence[Path], output: Path, shard: Shard | None = None) -> list[Case]:
    """Names are given before the cases are shared out, so a case is called the same whoever works on it."""
    cases = find_cases(list(_listed(inputs)), output)
    return cases if shard is None else shard.part(cases)


def _listed(inputs: Sequence[Path]) -> Iterator[Path]:
    """Lists are replaced by what they name, relative to where they lie."""
    for given in inputs:
        if given.suffix.lower() not in LISTS or is_folder(given):
            yield given
            continue
        try:
            lines = text_of(given).splitlines()
        except OSError as error:
            raise BoltzFormerError(
                f"The list {given} can't be read ({error.strerror or error}): check the path."
            ) from error
        except UnicodeDecodeError as error:
            raise BoltzFormerError(f"The list {given} is no text: give one path a line, in UTF-8.") from error
        read = _image if given.suffix.lower() == ".jsonl" else str.strip
        named = [read(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]
        if not all(named):
            raise BoltzFormerError(f'{given} has a line that names no image: give {{"image": "PATH"}} in each.')
        if not named:
            raise BoltzFormerError(f"The list {given} names no image: give one path a line.")
        yield from (given.parent / name for name in named)


def _image(line: str) -> str:
    """Of a line of a manifest; empty if it names none."""
    try:
        told = loads(line)
    except ValueError:
        return ""
    image = told.get("image") if isinstance(told, dict) else None
    return image.strip() if isinstance(image, str) else ""


@dataclass
class Ledger:
    """What became of each case, in the folder of results: a line as soon as it is known, and who is quarantined.

    Nothing in it is needed to go on: a case is finished by its own files.
    """

    folder: Path
    total: int
    ending: str = ""
    counts: Counter[str] = field(default_factory=Counter[str])
    _began: float = field(default_factory=time.monotonic)
    _first: float = 0.0
    """When the first one was finished: before that, models were loaded."""
    _last: float = 0.0

    @property
    def status(self) -> Path:
        """A line per case."""
        return self.folder / f"status{self.ending}.jsonl"

    @property
    def quarantine(self) -> Path:
        """Lines of those that could not be done; it may be given as a manifest once they are mended."""
        return self.folder / f"quarantine{self.ending}.jsonl"

    @property
    def done(self) -> int:
        """However they ended."""
        return self.counts.total()

    @property
    def seconds(self) -> float:
        """Since it was begun."""
        return time.monotonic() - self._began

    @property
    def in_words(self) -> str:
        """Totals so far, and how quickly they grow."""
        told = [f"{self.counts[name]} {name}" for name in ("finished", "skipped", "quarantined") if self.counts[name]]
        if (more := self.counts["finished"] - 1) > 0 and self._last > self._first:
            told.append(f"{3600 * more / (self._last - self._first):.0f} an hour")
        return ", ".join(told) or "nothing done yet"

    def write(
        self,
        case: Case,
        outcome: Outcome,
        tries: int = 1,
        error: str = "",
        worker: str = "",
        spent: Mapping[str, float] | None = None,
    ) -> None:
        """A case came to its end; `spent` are seconds of its steps."""
        if not self.done:
            self.folder.mkdir(parents=True, exist_ok=True)
            for earlier in (self.status, self.quarantine):  # of an earlier run, which told of its own
                earlier.unlink(missing_ok=True)
        self.counts[outcome] += 1
        if outcome == "finished":
            self._last = self.seconds
            self._first = self._first or self._last
        line: dict[str, Any] = {
            "case": case.name,
            "image": str(case.path.absolute()),
            "status": outcome,
            "tries": tries,
        }
        line |= {"seconds": round(self.seconds, 2)} | ({"worker": worker} if worker else {})
        line |= ({"spent": dict(spent)} if spent else {}) | ({"error": error} if error else {})
        _append(self.status, line)
        if outcome == "quarantined":
            _append(self.quarantine, {"image": line["image"], "case": case.name, "tries": tries, "error": error})


def _append(file: Path, line: Mapping[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as open_file:
        open_file.write(json.dumps(line) + "\n")
