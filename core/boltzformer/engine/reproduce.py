"""Making a result again from its provenance, or saying which part differs here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from boltzformer.engine.devices import fast_half, name_of
from boltzformer.engine.engine import Engine, Happening
from boltzformer.engine.provenance import hash_of_voxels, software
from boltzformer.errors import BoltzFormerError
from boltzformer.image.guidance import Guidance
from boltzformer.image.intensity import Window
from boltzformer.image.region import Region
from boltzformer.types import Adjusted, Prediction, Prompt, Volume

AFTER = "dtype after the pixel decoder"
"""Told where it is another; provenances without it had one for all."""


def reproduce(provenance: Mapping[str, Any], volume: Volume, engine: Engine) -> Iterator[Happening]:
    """The events of the same run again. Load the engine with the provenance's `device` and `dtype`.

    Another image or another model is refused at once. What may change single bits (another version, processor or
    number of threads) comes as `Adjusted` before everything else, and so does, before the `Prediction`, whether the
    answers did become others.
    """
    try:
        asked = _Asked(provenance)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BoltzFormerError(
            f"This provenance lacks what is needed to make the result again ({type(error).__name__}: {error}): "
            "give the .provenance.json of a finished case, written by this version."
        ) from error
    found = hash_of_voxels(volume.array)
    if found != asked.image:
        raise BoltzFormerError(
            f"The image differs: its voxels have SHA-256 {found[:12]}…, those of the result {asked.image[:12]}…: "
            "give the image that the result was made from."
        )
    if engine.about.sha256 != asked.model:
        raise BoltzFormerError(
            f"The model differs: '{engine.about.history.name}' has SHA-256 {engine.about.sha256[:12]}…, the result was "
            f"made by '{asked.model_name}' ({asked.model[:12]}…): give that one's file."
        )
    own = "" if engine.adapter is None else engine.adapter.id
    if asked.adapter != own:
        raise BoltzFormerError(
            "The result was made with what was learnt from lessons: learn from the same again, with as many steps "
            "and the same seed, or give the adapter that was kept."
            if asked.adapter
            else "The result was made without lessons: make it again with the model alone."
        )
    plan = engine.plan(volume, asked.axis, asked.region, asked.size)
    if plan.plane != asked.plane or not asked.slices <= set(plan.indices):
        raise BoltzFormerError("The image's orientation differs from that of the result: give the image as it was.")
    return _again(asked, volume, engine)


class _Asked:
    """What a provenance says, typed."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        names = facts.get("names", facts["prompts"])
        self.prompts = [Prompt(text, name) for text, name in zip(facts["prompts"], names, strict=True)]
        self.image, self.model = str(facts["image"]["sha256"]), str(facts["model"]["sha256"])
        self.model_name = str(facts["model"]["name"])
        window = facts["window"]
        self.window = Window(window["low"], window["high"], window["kind"], window["zero"])
        self.axis, self.plane = int(facts["plan"]["axis"]), str(facts["plan"]["plane"])
        box = facts["region"]
        self.region = None if box is None else Region(**box)
        self.size = int(facts["plan"]["size"])
        self.guidance = [Guidance(**one) for one in facts.get("guidance", ())]
        self.slices = {int(index) for index in facts["slices"]}
        self.seed, self.samples, self.threads = int(facts["seed"]), int(facts["samples"]), int(facts["threads"])
        if not 1 <= self.threads <= 1024:
            raise ValueError(f"{self.threads} threads")
        self.tiles = "tiles" in facts
        """Older ones looked at large pictures as a whole, too."""
        self.answers = str(facts["logits sha256"])
        self.adapter = str(facts.get("adapter", {}).get("id", ""))
        self.circumstances = {name: str(facts[name]) for name in ("software", "device", "dtype")}
        self.circumstances[AFTER] = str(facts.get(AFTER, facts["dtype"]))


def _again(asked: _Asked, volume: Volume, engine: Engine) -> Iterator[Happening]:
    here = {"software": software(), "device": engine.device, "dtype": engine.precision}
    here[AFTER] = name_of(engine.place.drawing)
    then = asked.circumstances
    different = [f"{name}: {then[name]} then, {now} here" for name, now in here.items() if now != then[name]]
    if engine.precision == "bfloat16" == then["dtype"] and not fast_half(engine.place.device):
        different.append("This processor has no instructions for bfloat16 and makes it up from float32")
    for line in different:
        yield Adjusted(line, "Single voxels may change.")
    before = torch.get_num_threads()
    torch.set_num_threads(asked.threads)
    try:
        events = engine.segment(
            volume,
            asked.prompts,
            seed=asked.seed,
            slices=sorted(asked.slices),
            window=asked.window,
            axis=asked.axis,
            samples=asked.samples,
            region=asked.region,
            size=asked.size,
            guidance=asked.guidance,
            tiles=asked.tiles,
        )
        for event in events:
            if isinstance(event, Prediction) and event.provenance["logits sha256"] != asked.answers:
                why = "; ".join(different) or "The processor is another one, or its libraries are."
                yield Adjusted("The answers are not the same bit for bit", why)
            yield event
    finally:
        torch.set_num_threads(before)
