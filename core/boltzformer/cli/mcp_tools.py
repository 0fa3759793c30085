"""What a program may ask for through `boltzformer mcp`: plain functions over folders that a person named. Nothing here
runs code, opens a network or chooses a model."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from boltzformer import io
from boltzformer.cli import manage
from boltzformer.cli.allowed import Allowed, checked_name
from boltzformer.cli.casework import Casework
from boltzformer.cli.request import Request, series_number
from boltzformer.cli.show import Show
from boltzformer.engine.devices import Place
from boltzformer.engine.engine import Engine, load
from boltzformer.errors import BoltzFormerError
from boltzformer.image.hashing import sha256_of
from boltzformer.image.intensity import Window
from boltzformer.io.cases import Case
from boltzformer.io.results import STORY
from boltzformer.json_text import loads, text_of
from boltzformer.knowledge import suggestions
from boltzformer.masks import pictures
from boltzformer.types import Prediction, SliceResult, Started
from boltzformer.version import VERSION
from boltzformer.weights.checkpoint import Checkpoint

NOTICE = "Research only, not for clinical use."
MOST_PROMPTS = 200
"""Phrasings in one answer."""
Tell = Callable[[int, int, str], None]
"""How far a task is: done, of, and a word. It may raise, which ends the task."""


class Listening(Show):
    """Hands on what a run says, instead of showing it."""

    def __init__(self, tell: Tell) -> None:
        super().__init__(as_json=True)
        self.notes: list[str] = []
        self.facts: dict[str, dict[str, Any]] = {}
        self._tell, self._done, self._total = tell, 0, 0

    def event(self, kind: str, **facts: object) -> None:
        """Slices become progress, notes are kept for the answer."""
        self.facts[kind] = facts
        if kind == "started":
            self._done, self._total = 0, int(str(facts["slices"]))
        elif kind == "slice":
            self._done += 1
        elif kind in ("note", "adjusted"):
            self.notes.append(str(facts.get("text") or f"{facts['what']}. {facts['why']}"))
        if kind in ("started", "slice"):
            self._tell(self._done, self._total, f"{self._done} of {self._total} slices")


@dataclass
class Tools:
    """One model, some folders; one task at a time."""

    allowed: Allowed
    about: Checkpoint
    place: Place
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def _engine(self) -> Engine:
        """Loaded when first asked for: a client that only lists the tools need not wait."""
        return load(self.about.path, device=str(self.place.device), dtype=self.place.precision)

    def info(self, image: str | None, series: str | None) -> dict[str, Any]:
        """Of an image: where it lies and how it will be sliced. Without one: version, model, folders."""
        if image is not None:
            return io.describe(self.allowed.image(image), series=series_number(series))
        return {
            "boltzformer": VERSION,
            "notice": NOTICE,
            "device": f"{self.place.device}, {self.place.in_words}",
            **{name: value for name, value in manage.card(self.about).items() if name != "model file"},
            "folders to read": [str(folder) for folder in self.allowed.readable],
            "folder of results": str(self.allowed.results),
        }

    def prompts(self, words: str, modality: str) -> dict[str, Any]:
        """Phrasings that segmentation data use, the best ones first."""
        if modality and not suggestions.modality_named(modality):
            known = ", ".join(suggestions.MODALITIES)
            raise BoltzFormerError(f"There is no modality '{modality}': choose one of {known}.")
        found = suggestions.search(words, modality)
        return {"found": len(found), "prompts": [asdict(one) for one in found[:MOST_PROMPTS]]}

    def segment(self, image: str, request: Request, name: str, tell: Tell, *, overwrite: bool) -> dict[str, Any]:
        """Masks, lesion table and provenance of one image, in a folder of its own below the folder of results."""
        path = self.allowed.image(image)
        case = Case(checked_name(name or io.split_name(path)[0]), path)
        with self._turn:
            show = Listening(tell)
            work = Casework(
                request, self.allowed.results, self.about, self.place, lambda: self._engine, show, overwrite
            )
            story = work.run(case)
        done = show.facts.get("finished", {})
        return {
            "name": case.name,
            "folder": str(self.allowed.results / case.name),
            "finished before": story is None,
            "voxels": done.get("voxels", {}),
            "files": done.get("written", [str(file) for file in sorted(self.allowed.case(case.name).iterdir())]),
            "notes": show.notes,
            "notice": NOTICE,
        }

    def lesions(self, name: str) -> dict[str, Any]:
        """The table of all objects that a segmentation found."""
        folder = self.allowed.case(name)
        rows = _json_in(folder, ".lesions.json", name)
        return {"name": name, "objects": len(rows), "lesions": rows, "notice": NOTICE}

    def look(
        self, image: str, prompt: str, index: int, tell: Tell, *, seed: int, window: str, series: str | None
    ) -> tuple[Path, dict[str, Any]]:
        """A picture of the model's looks at one slice, kept with the results, and what it found there."""
        path = self.allowed.image(image)
        request = Request((prompt,), seed=seed, window=window, series=series)
        volume = request.read(path)
        shown = Window.choose(window, volume.array, volume.modality)
        with self._turn:
            found: Prediction | None = None
            for event in self._engine.segment(volume, prompt, seed=seed, slices=[index], window=shown):
                match event:
                    case Started() | SliceResult():
                        tell(int(isinstance(event, SliceResult)), 2, "the answer, then the looks")
                    case Prediction():
                        found = event
            if found is None:
                raise AssertionError("the engine ended without a prediction")
            trace = self._engine.trace(volume, prompt, index, seed=seed, window=shown)
        tell(2, 2, "drawn")
        plan, labels = found.plan, found.labels()
        mask = plan.view.apply(labels.mask(1))[plan.canonical_index(index)]
        plain = pictures.slice_picture(volume, plan, shown, index)
        sheet = pictures.looks_picture(plain, plan, trace, mask, title=f"{prompt}, slice {index}")
        target = self.allowed.results / f"look-{checked_name(io.split_name(path)[0])}-{index:04d}.png"
        target.unlink(missing_ok=True)  # a link of this name is not followed
        pictures.save(sheet, target)
        facts = {
            "slice": index,
            "plane": plan.plane,
            "existence": round(float(found.existence[0, 0]), 4),
            "voxels": int(labels.mask(1).sum()),
            "looks": len(trace.layers),
            "picture": str(target),
            "notice": NOTICE,
        }
        return target, facts

    def provenance(self, name: str) -> dict[str, Any]:
        """How a result was made, and whether its files are still what was written."""
        folder = self.allowed.case(name)
        story = _json_in(folder, STORY, name)
        told = story.get("sha256") if isinstance(story, dict) else None
        hashes = {file: text for file, text in told.items() if Path(file).name == file} if told else {}
        changed = sorted(
            file for file, text in hashes.items() if not (folder / file).is_file() or sha256_of(folder / file) != text
        )
        return {"name": name, "unchanged": not changed, "changed or missing": changed, "provenance": story}


def _json_in(folder: Path, ending: str, name: str) -> Any:
    """The one file of its kind in a result."""
    files = sorted(folder.glob(f"*{ending}"))
    if len(files) != 1:
        raise BoltzFormerError(f"{name} holds no {ending[1:]}: segment it again.")
    try:
        return loads(text_of(files[0]))
    except (OSError, ValueError) as error:
        raise BoltzFormerError(f"{files[0].name} of {name} can't be read: segment it again with overwrite.") from error


def as_text(facts: object) -> str:
    """JSON for a reader that has no other."""
    return json.dumps(facts, ensure_ascii=False)
