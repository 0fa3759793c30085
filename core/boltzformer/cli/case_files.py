"""What of an answered case is written, into the folder where its files wait until all are there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from boltzformer import io
from boltzformer.cli.request import Request
from boltzformer.engine.engine import Engine
from boltzformer.image.geometry import Grid
from boltzformer.image.guidance import Guidance
from boltzformer.image.intensity import Window
from boltzformer.image.region import Region
from boltzformer.image.tiling import Tiling
from boltzformer.io import object_numbers
from boltzformer.io.cases import Case, Target, slugs
from boltzformer.masks import cells, lesions, pictures
from boltzformer.masks.postprocess import probabilities, spread
from boltzformer.types import LabelMap, Prediction, Volume


@dataclass(frozen=True)
class Opened:
    """A case that was read, and whose masks have a place."""

    case: Case
    volume: Volume
    place: Target
    grid: Grid
    """Where the masks will lie."""
    facts: dict[str, Any]
    """What they depend on."""


@dataclass(frozen=True)
class Answered:
    """What the model said of it."""

    prediction: Prediction
    region: Region | None
    """Looked at enlarged."""
    engine: Engine | None
    """Which said so; None once it travelled to another process, where pictures of its looks can't be made."""

    def alone(self) -> Answered:
        """Ready to travel."""
        return replace(self, engine=None)


@dataclass(frozen=True)
class CaseFiles:
    """Writes them."""

    request: Request
    part: Path
    place: Target
    note: Callable[[str], None]

    def masks(self, labels: LabelMap, source: Path) -> list[str]:
        """One file for all, or one per prompt; an empty mask is a file too."""
        part, place = self.part, self.place

        def tell(said: str) -> None:
            if said not in {io.tilt_said(part / name, labels.grid) for name in place.masks}:  # said before the work
                self.note(said)

        if not place.own_folder:
            return [path.name for path in io.write(labels, part / place.masks[0], source=source, tell=tell)]
        for layer, name, text in zip(labels.layers, place.masks, labels.names.values(), strict=True):
            single = LabelMap((layer[None] > 0).astype(np.uint8), labels.grid, {1: text})
            io.write(single, part / name, source=source, tell=tell)
        return list(place.masks)

    def numbers(self, labels: LabelMap) -> dict[str, Any]:
        """Beside each mask of a picture one in which every object has its own number → what is told of them."""
        if not self.request.objects:
            return {}
        told: dict[str, Any] = {}
        ending = object_numbers.ending(Path(self.place.masks[0]))
        for slug, (label, name) in zip(slugs(self.request.asked), labels.names.items(), strict=True):
            path = self.part / f"{self._prefix}{slug}{ending}"
            with path.open("wb") as file:
                object_numbers.write(file, path, cells.numbered(labels.mask(label), labels.grid), labels.grid)
            told[path.name] = {"mask": name, "meaning": cells.MEANING}
        return {"object numbers": told}

    def extras(self, volume: Volume, answered: Answered, labels: LabelMap) -> None:
        """Tables, probabilities and looks, where they are asked for."""
        request, part, place, prediction = self.request, self.part, self.place, answered.prediction
        if request.lesions:
            rows = lesions.table(labels, prediction, lesions.edges_of(prediction))
            (part / f"{place.stem}.lesions.csv").write_text(lesions.to_csv(rows), "utf-8")
            (part / f"{place.stem}.lesions.json").write_text(json.dumps(lesions.to_facts(rows), indent=1), "utf-8")
        for number, slug in enumerate(slugs(request.asked)):
            if request.probabilities:
                extension = io.split_name(Path(place.masks[0]))[1]
                extension = extension if extension in (".nrrd", ".mha") else ".nii.gz"
                maps = {"probability": probabilities(prediction, number), "spread": spread(prediction, number)}
                for name, values in maps.items():
                    if values is not None:
                        shown = Volume(values, volume.grid, source=volume.source, placed=volume.placed)
                        io.write_volume(shown, part / f"{self._prefix}{slug}.{name}{extension}")
            if request.sampling_maps and answered.engine is not None:
                self._looks(number, slug, volume, answered, answered.engine, labels)

    def _looks(
        self, number: int, slug: str, volume: Volume, answered: Answered, engine: Engine, labels: LabelMap
    ) -> None:
        request, prediction, region = self.request, answered.prediction, answered.region
        told, prompt = prediction.provenance["window"], request.asked[number]
        window = Window(told["low"], told["high"], told["kind"], told["zero"])
        led = [Guidance(**one) for one in prediction.provenance["guidance"]]
        for index in self._looked_at(prediction, labels, number):
            plan, seen = prediction.plan, prediction.plan.view.apply(labels.mask(number + 1))
            mask = seen[plan.canonical_index(index)]
            if "tiles" in prediction.provenance:  # there are no looks at the whole: those of one tile are shown
                tiling = Tiling(plan)
                plan = tiling.fullest(mask)
                region = tiling.region(plan)
            how: dict[str, Any] = {"window": window, "region": region, "size": plan.size, "guidance": led}
            trace = engine.trace(volume, prompt, index, seed=request.seed, **how)
            plain = pictures.slice_picture(volume, plan, window, index)
            sheet = pictures.looks_picture(plain, plan, trace, mask, title=f"{prompt.text}, slice {index}")
            pictures.save(sheet, self.part / f"{self._prefix}{slug}.looks-{index:04d}.png")

    def _looked_at(self, prediction: Prediction, labels: LabelMap, prompt: int) -> list[int]:
        """The slices that were asked for; else the one with the largest mask, or the surest if all are empty."""
        if self.request.slices is not None:
            return [one.index for one in prediction.slices]
        others = tuple(axis for axis in range(3) if axis != prediction.plan.axis)
        areas = labels.mask(prompt + 1).sum(axis=others)
        return [max(prediction.slices, key=lambda one: (int(areas[one.index]), float(one.existence[prompt]))).index]

    @property
    def _prefix(self) -> str:
        """Of a file that shares its folder with others."""
        return "" if self.place.own_folder else f"{self.place.stem}."
