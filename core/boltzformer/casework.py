"""One case from the image to its files: masks, provenance, and what else was asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer import io, lesions, objects, pictures, suggestions
from boltzformer.cases import Case, Place, checked_place, is_finished, place_of, slugs, written_whole
from boltzformer.checkpoint import Checkpoint
from boltzformer.engine import Engine
from boltzformer.errors import BoltzFormerError
from boltzformer.intensity import Window
from boltzformer.postprocess import sigmoid, smoothed
from boltzformer.request import Request
from boltzformer.show import Show
from boltzformer.types import LabelMap, Prediction, SliceResult, Started, Volume


@dataclass(frozen=True)
class Casework:
    """What all cases of a run share."""

    request: Request
    output: Path
    about: Checkpoint
    engine: Callable[[], Engine]
    """Loaded when the first case needs it."""
    show: Show
    overwrite: bool = False
    expected: Mapping[str, Any] | None = None
    """The provenance that this run shall reproduce."""

    def run(self, case: Case) -> dict[str, Any] | None:
        """Its provenance as written; None where it was finished before."""
        request, show = self.request, self.show
        volume = request.read(case.path)
        grid = io.straightened(volume.grid) if request.resample and volume.grid.sheared else volume.grid
        place = place_of(case, self.output, volume, request.asked, request.format)
        checked_place(place, case, lambda targets: io.check_targets(targets, grid, overwrite=True))
        facts = request.facts(volume, self.about)
        if self.expected is not None:
            _demand_same(self.expected, facts)
        if not self.overwrite and is_finished(place, facts):
            show.event("skipped", case=case.name, reason="finished before")
            show.say(f"{case.name}: finished before, skipped.")
            return None
        wanted = request.wanted(volume.grid.shape[volume.slice_axis])
        engine = self.engine()
        fits = _fits(engine)
        for sentence in suggestions.doubts([one.text for one in request.asked], volume.modality, fits):
            show.note(f"{case.name}: {sentence}")
        window = self._window(volume)
        prediction = self._watched(case, engine, volume, window, wanted)
        labels = self._masks(prediction)
        with written_whole(place, overwrite=self.overwrite) as part:
            masks = self._write_masks(part, place, io.resample(labels, grid), case.path)
            self._write_extras(part, place, case, engine, volume, window, prediction, labels)
            story = {
                **prediction.provenance,
                "request": facts,
                "masks": {name: _hash(labels.mask(label)) for label, name in labels.names.items()},
                "files": sorted(file.name for file in part.iterdir()),
            }
            io.write_json(part / place.story.name, story)
        written = [*masks, *(name for name in story["files"] if name not in masks), place.story.name]
        voxels = {name: int(labels.mask(label).sum()) for label, name in labels.names.items()}
        show.event("finished", case=case.name, voxels=voxels, written=[str(place.folder / name) for name in written])
        for name, count in voxels.items():
            what = f"{count} voxels" if count else "nothing was found; the mask is empty."
            show.say(f"{case.name}: {name}: {what}")
        for name in written:
            show.say(f"wrote {place.folder / name}")
        return story

    def _window(self, volume: Volume) -> Window:
        """As asked; a provenance from a viewer holds the very numbers instead."""
        if self.expected is not None:
            told = self.expected["window"]
            return Window(told["low"], told["high"], told["kind"], told.get("zero", False))
        return Window.choose(self.request.window, volume.array, volume.modality)

    def _watched(self, case: Case, engine: Engine, volume: Volume, window: Window, wanted: range | None) -> Prediction:
        """Runs to the end and shows each step."""
        for event in engine.segment(volume, self.request.asked, seed=self.request.seed, window=window, slices=wanted):
            match event:
                case Started():
                    self.show.started(case.name, event, window.kind)
                case SliceResult():
                    self.show.slice(case.name, event)
                case Prediction():
                    return event
        raise AssertionError("the engine ended without a prediction")

    def _masks(self, prediction: Prediction) -> LabelMap:
        """The masks as exported: gated, then cleaned as asked. What the engine found stays as it is."""
        request = self.request
        if request.smooth > 1:
            steady = smoothed(prediction.existence, request.smooth)
            slices = [replace(one, existence=steady[:, n]) for n, one in enumerate(prediction.slices)]
            prediction = replace(prediction, slices=tuple(slices))
        gate = 0.5 if request.existence is None else request.existence
        labels = prediction.labels(request.threshold, gate)
        if request.suppress:
            labels = objects.without_doubles(labels, prediction)
        if request.smallest_mm3 or request.largest is not None:
            labels = objects.kept(labels, smallest_mm3=request.smallest_mm3, largest=request.largest)
        return labels

    def _write_masks(self, part: Path, place: Place, labels: LabelMap, source: Path) -> list[str]:
        """One file for all, or one per prompt; an empty mask is a file too."""
        if not place.own_folder:
            return [path.name for path in io.write(labels, part / place.masks[0], source=source)]
        for layer, name, text in zip(labels.layers, place.masks, labels.names.values(), strict=True):
            single = LabelMap((layer[None] > 0).astype(np.uint8), labels.grid, {1: text})
            io.write(single, part / name, source=source)
        return list(place.masks)

    def _write_extras(
        self,
        part: Path,
        place: Place,
        case: Case,
        engine: Engine,
        volume: Volume,
        window: Window,
        prediction: Prediction,
        labels: LabelMap,
    ) -> None:
        request = self.request
        prefix = "" if place.own_folder else f"{place.stem}."
        if request.lesions:
            rows = lesions.table(labels, prediction)
            (part / f"{place.stem}.lesions.csv").write_text(lesions.to_csv(rows), "utf-8")
            (part / f"{place.stem}.lesions.json").write_text(json.dumps(lesions.to_facts(rows), indent=1), "utf-8")
        for number, (slug, prompt) in enumerate(zip(slugs(request.asked), request.asked, strict=True)):
            if request.probabilities:
                extension = io.split_name(Path(place.masks[0]))[1]
                extension = extension if extension in (".nrrd", ".mha") else ".nii.gz"
                shown = Volume(probabilities(prediction, number), volume.grid, source=volume.source)
                io.write_volume(shown, part / f"{prefix}{slug}.probability{extension}")
            for index in self._looked_at(prediction, labels, number) if request.sampling_maps else ():
                trace = engine.trace(volume, prompt, index, seed=request.seed, window=window)
                plan = prediction.plan
                mask = plan.view.apply(labels.mask(number + 1))[plan.canonical_index(index)]
                plain = pictures.slice_picture(volume, plan, window, index)
                sheet = pictures.looks_picture(plain, plan, trace, mask, title=f"{prompt.text}, slice {index}")
                pictures.save(sheet, part / f"{prefix}{slug}.looks-{index:04d}.png")

    def _looked_at(self, prediction: Prediction, labels: LabelMap, prompt: int) -> list[int]:
        """The slices that were asked for; else the one with the largest mask, or the surest if all are empty."""
        if self.request.slices is not None:
            return [one.index for one in prediction.slices]
        others = tuple(axis for axis in range(3) if axis != prediction.plan.axis)
        areas = labels.mask(prompt + 1).sum(axis=others)
        return [max(prediction.slices, key=lambda one: (int(areas[one.index]), float(one.existence[prompt]))).index]


def probabilities(prediction: Prediction, prompt: int) -> NDArray[np.float32]:
    """(z, y, x): each voxel's probability before threshold and existence gate; 0 in slices that were not looked at."""
    plan = prediction.plan
    stored = np.zeros(plan.grid.shape, np.float32)
    seen = plan.view.apply(stored)
    for one in prediction.slices:
        seen[plan.canonical_index(one.index)] = sigmoid(plan.expand(one.logits[prompt]))
    return stored


def differences(told: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Which recorded parts of two provenances are not the same; none where the masks are equal bit for bit."""
    if told.get("masks") == here["masks"]:
        return []
    parts = ("software", "device", "dtype", "threads", "model", "image", "plan", "window", "masks")
    return [part for part in parts if part in told and told[part] != here.get(part)]


def _demand_same(told: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Without the same image and model there is nothing to reproduce."""
    for part, here in (("image", facts["image"]["sha256"]), ("model", facts["model"])):
        there = told[part]["sha256"]
        if there != here:
            raise BoltzFormerError(
                f"The mask was made of another {part} (sha256 {there[:12]}…, here {here[:12]}…): "
                f"give the {part} '{told[part]['name']}' that it was made of."
            )


def _fits(engine: Engine) -> Callable[[str], bool]:
    """Whether the model reads a text to its end."""
    text = engine.model.text
    tokenizer = text.tokenizer
    return lambda prompt: tokenizer is None or len(tokenizer(prompt)) <= text.context


def _hash(mask: NDArray[np.bool_]) -> str:
    return hashlib.sha256(np.ascontiguousarray(mask).data).hexdigest()
