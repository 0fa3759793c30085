"""`Engine`: a volume and prompts in, one event per finished slice out. All model work happens where it is iterated."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from boltzformer.engine import provenance
from boltzformer.engine.adapted import Combined, added, check_bound
from boltzformer.engine.answering import Question, answer, energies_of, look_trace, noise_for
from boltzformer.engine.devices import (
    CACHE_BYTES,
    Effort,
    Need,
    Place,
    answer_side,
    choose,
    core_to_spare,
    gave_up,
    is_out_of_memory,
    need,
    use_cores,
)
from boltzformer.engine.encoding import image_of
from boltzformer.engine.features import FeatureCache, Scope, TextCache
from boltzformer.engine.run import (
    Run,
    Slices,
    check_amounts,
    check_side,
    check_slices,
    followed,
    hints_of,
    one_after_another,
    outwards,
    shown,
)
from boltzformer.engine.scout import Scout
from boltzformer.engine.tiled import asked_in_tiles
from boltzformer.errors import BoltzFormerError, OutOfMemory, at_slice
from boltzformer.image.guidance import Guidance
from boltzformer.image.intensity import Window
from boltzformer.image.region import Region
from boltzformer.image.slicing import SlicePlan
from boltzformer.image.tiling import Tiling
from boltzformer.knowledge.suggestions import modality_named, of_microscopy
from boltzformer.masks.lessons import Adapter
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.types import (
    Adjusted,
    Prediction,
    Prompt,
    SamplingTrace,
    SliceResult,
    Started,
    TileDone,
    Volume,
    as_prompts,
)
from boltzformer.weights import checkpoint, registry
from boltzformer.weights.checkpoint import Checkpoint

Happening = Started | Adjusted | TileDone | SliceResult | Prediction


def load(
    model: str | Path = "default", *, device: str = "auto", dtype: str = "auto", features: FeatureCache | None = None
) -> Engine:
    """An engine with this model: 'default' or a .safetensors file.

    Pass another engine's `features`, and slices that one has seen need not be encoded again if the image encoders are
    the same, as after training only the decoder.
    """
    choose(device, dtype)  # what can't be is said before anything is read
    use_cores()
    loaded, about = registry.load(model)
    engine = Engine(loaded, about, choose(device, dtype, about.config), features)
    engine.works_ahead = True
    return engine


def segment(
    volume: Volume,
    prompts: str | Prompt | Sequence[str | Prompt],
    *,
    model: str | Path | Engine = "default",
    **how: Any,
) -> Prediction:
    """Runs to the end; `how` is what `Engine.segment` understands."""
    engine = model if isinstance(model, Engine) else load(model)
    *_, last = engine.segment(volume, prompts, **how)
    assert isinstance(last, Prediction)
    return last


class Engine:
    """A model, ready to segment; with an `adapter`, one that a case taught (`boltzformer.adapt`)."""

    def __init__(
        self,
        model: BoltzFormer,
        about: Checkpoint,
        place: Place | None = None,
        features: FeatureCache | None = None,
        adapter: Adapter | None = None,
    ) -> None:
        self.model, self.about, self.adapter = model, about, adapter
        self.features = FeatureCache(CACHE_BYTES) if features is None else features
        self.place = place or choose("cpu")
        self.works_ahead = False
        """Whether a run may take a core that is left over; who loads an engine by itself has plans for the others."""
        self._now = Place(torch.device("cpu"), torch.float32, "")
        self._encoder_hash = ""
        self._texts = TextCache()
        self._how: Combined | None = None

    @property
    def device(self) -> str:
        """Where it runs: 'cpu', 'cuda' or 'mps'."""
        return self.place.device.type

    @property
    def precision(self) -> str:
        """Of its numbers: 'float32', 'bfloat16' or 'float16'; on a CPU, what is drawn is float32 in any case."""
        return self.place.precision

    @property
    def why(self) -> str:
        """Why there, in a sentence."""
        return self.place.why

    def adapted(self, adapter: Adapter) -> Engine:
        """This engine as a case taught it; this one stays as it is. Both keep their features in one cache."""
        if self.adapter is not None:
            raise BoltzFormerError("This engine was taught already: give the adapter to the engine that it came from.")
        check_bound(adapter, self.about, "", adapter.axis, (Prompt(adapter.prompt),))
        self._move(Place(torch.device("cpu"), torch.float32, ""))
        return Engine(added(self.model, adapter.deltas), self.about, self.place, self.features, adapter)

    def weights(self) -> BoltzFormer:
        """The model where it runs, in float32: to be asked and copied, never changed."""
        if self.place.dtype == torch.float32:
            self._move(self.place)
            return self.model
        self._move(Place(torch.device("cpu"), torch.float32, ""))  # the engine goes on to round its own
        return copy.deepcopy(self.model).to(self.place.device)

    def plan(
        self, volume: Volume, axis: int | None = None, region: Region | None = None, size: int | None = None
    ) -> SlicePlan:
        """How this model would cut the volume: along an array axis (None: the acquisition axis), whole or in a box.

        `size`: side of what the network sees in pixels (None: the model's own), up to twice what it was trained with.
        """
        if axis not in (None, 0, 1, 2):
            raise BoltzFormerError(f"There is no array axis {axis}: give 0, 1 or 2 (z, y, x).")
        config = self.model.config
        along = volume.slice_axis if axis is None else axis
        box = None if region is None else region.box(volume.grid, along)
        side = config.image_size if size is None else int(size)
        check_side(side, config, whole=box is None)
        return SlicePlan.of(volume.grid, side, along, channels=config.channels, resampler=config.resampler, box=box)

    def need(self, volume: Volume, prompts: int = 1, cache_bytes: int = CACHE_BYTES, size: int | None = None) -> Need:
        """Memory that segmenting a whole volume takes."""
        plan, kept = self.plan(volume, size=size), volume.array.nbytes
        seen = replace(self.about.config, image_size=plan.size)
        how = {"volume": kept, "slices": plan.count, "prompts": prompts, "cache_bytes": cache_bytes}
        return need(seen, self.about.parameters, **how)

    def segment(
        self,
        volume: Volume,
        prompts: str | Prompt | Sequence[str | Prompt],
        *,
        seed: int = 0,
        start: int | None = None,
        slices: Slices | None = None,
        window: Window | None = None,
        axis: int | None = None,
        samples: int = 1,
        region: Region | None = None,
        size: int | None = None,
        guidance: Guidance | Sequence[Guidance] | None = None,
        tiles: bool | None = None,
        scout: int | None = None,
        batch_size: int | None = None,
        cache_bytes: int = CACHE_BYTES,
        voxels: str = "",
    ) -> Iterator[Happening]:
        """`Started`, a `SliceResult` per slice (from `start` outwards, or just `slices`), last a `Prediction`.

        `size` is the side of the network's input (`plan`); `guidance` leads its looks, for one prompt or for all. A
        picture of microscopy much larger than that is asked in overlapping tiles, each told by `TileDone`; `tiles` asks
        so for others, too, or never.
        `scout`: every so many slices first, then only where something may be; the others are not looked at.
        `Adjusted` comes where the device could not do it as asked. `batch_size` slices are encoded at once on a GPU; a
        CPU takes one at a time, so that each has the same bits whatever runs beside it; where the order is known and
        a core is left over, the next one is encoded meanwhile. `voxels` stands for the hash of the image while its
        slices still arrive; only those that are asked for, and their neighbours, are read.
        """
        asked = as_prompts(prompts)
        check_amounts(samples, batch_size, cache_bytes)
        plan, seen = self.plan(volume, axis, region, size), shown(volume, window)
        if self.adapter is not None:  # of an image that still arrives, whoever sends it has compared the hash
            known = "" if voxels else provenance.hash_of_voxels(volume.array)
            check_bound(self.adapter, self.about, known, plan.axis, asked)
        ahead = None
        if callable(slices):
            if scout is not None:
                raise BoltzFormerError("Scouting chooses among slices itself: give them as a list, or none.")
            ask, total, focus = slices, len(plan.indices), start
        else:
            order = outwards(plan.indices, start) if slices is None else check_slices(slices, plan)
            ahead = None if scout is None else Scout(order, scout)
            ask = one_after_another(order) if ahead is None else ahead.next_index
            total, focus = len(order), order[0] if start is None else start
        question = Question(asked, int(seed), int(samples), followed(guidance, plan, asked, self.about))
        gpu = self.place.device.type != "cpu"
        effort = Effort(self.place, (batch_size or 4) if gpu else 1, 8 if gpu else 1)
        chosen_late = callable(slices) or scout is not None
        if self.works_ahead and not (gpu or chosen_late or self.adapter):
            each = replace(self.about.config, image_size=plan.size)
            taken = need(each, 0, volume=0, slices=total, prompts=len(asked) * samples, cache_bytes=cache_bytes)
            effort = replace(effort, ahead=core_to_spare(taken))
        self.features.budget = cache_bytes
        run = Run(volume, plan, seen, region, question, ask, focus, effort, voxels)
        # what a case taught was learnt from whole slices
        pays = of_microscopy([one.text for one in asked], modality_named(volume.modality)) if tiles is None else tiles
        run.scout = ahead
        run.tiling = Tiling.of(plan) if pays and self.adapter is None else None
        return self._events(run, total)

    def trace(
        self,
        volume: Volume,
        prompt: str | Prompt,
        index: int,
        *,
        seed: int = 0,
        window: Window | None = None,
        axis: int | None = None,
        region: Region | None = None,
        size: int | None = None,
        guidance: Guidance | Sequence[Guidance] | None = None,
        voxels: str = "",
        query: int | None = None,
    ) -> SamplingTrace:
        """Where the model looked on one slice: exactly the looks that gave `segment` its answer (sample 0).

        `query`: only the looks of that one, from 0; None is all together.
        """
        queries = self.about.config.decoder.queries
        if query is not None and not 0 <= query < queries:
            raise BoltzFormerError(f"There is no query {query}: this model has {queries}, counted from 0.")
        (one,), seen, plan = as_prompts(prompt), shown(volume, window), self.plan(volume, axis, region, size)
        check_slices([index], plan)
        question = Question((one,), seed, 1, followed(guidance, plan, (one,), self.about))
        run = Run(volume, plan, seen, region, question, lambda: None, index, Effort(self.place, 1, 1))
        with torch.inference_mode():
            self._move(self.place)
            scope = self._scope(run, voxels or provenance.hash_of_voxels(volume.array))
            image = image_of(self.model, self._now, self.features, run, scope, index)
            noise = noise_for(self.model, image, [(one.text, 0)], plan.canonical_index(index), seed)
            energies = energies_of(self.model, image, hints_of(question, plan, index))
            looks = self.model.decode(image, self._texts.of(self.model, one.text), noise, True, energies=energies).trace
        return SamplingTrace(tuple(look_trace(look if query is None else look.of(query)) for look in looks), queries)

    # --- one run -------------------------------------------------------------------------------------------------

    def _events(self, run: Run, total: int) -> Iterator[Happening]:
        voxels = run.voxels or provenance.hash_of_voxels(run.volume.array)
        yield Started(run.plan, total, self._made(run, voxels, ()), 0 if run.tiling is None else len(run.tiling))
        with closing(run.ahead):
            yield from self._slices(run, voxels)
        slices = tuple(run.done[index] for index in sorted(run.done))
        yield Prediction(run.question.prompts, slices, run.plan, self._made(run, voxels, slices))

    def _slices(self, run: Run, voxels: str) -> Iterator[Happening]:
        while run.look_ahead(run.effort.asks if run.done else 1):  # the visible slice alone, so that it is quick
            index = run.waiting[0]
            try:
                for happening in self._about(run, index, voxels):
                    if isinstance(happening, SliceResult):
                        run.waiting.popleft()
                        run.done[index] = happening
                        if run.scout is not None:
                            run.scout.heard(happening)
                    elif isinstance(happening, Adjusted):
                        run.adjusted.append(happening)
                    yield happening
            except Exception as error:
                at_slice(error, index)
                raise

    def _made(self, run: Run, voxels: str, slices: Sequence[SliceResult]) -> Mapping[str, Any]:
        return provenance.describe(
            self.about,
            run.effort.place,
            run.volume,
            voxels,
            run.plan,
            run.window,
            run.region,
            run.question,
            slices,
            run.adjusted,
            self.adapter,
            run.tiling,
            None if run.scout is None else run.scout.facts,
        )

    def _about(self, run: Run, index: int, voxels: str) -> Iterator[Adjusted | TileDone | SliceResult]:
        """One slice, or what is done otherwise from now on."""
        attempt = partial(self._attempt, voxels=voxels)
        if run.tiling is None:
            yield attempt(run, index)
        else:
            yield from asked_in_tiles(run, run.tiling, index, provenance.own_gate(self.about), attempt)

    def _attempt(self, run: Run, index: int, voxels: str) -> SliceResult | Adjusted:
        """One slice's answer; or, if the device is full, what will be done otherwise from now on."""
        how = None if self.adapter is None else self._combined(self.adapter, run.plan)
        given = (
            None if how is None else how.given(index, answer_side(replace(self.about.config, image_size=run.plan.size)))
        )
        if given is not None:
            return given
        try:
            with torch.inference_mode():
                self._move(run.effort.place)
                image = image_of(self.model, self._now, self.features, run, self._scope(run, voxels), index)
                texts = [self._texts.of(self.model, prompt.text) for prompt in run.question.prompts]
                middle = run.plan.canonical_index(index)
                hints = hints_of(run.question, run.plan, index)
                return answer(self.model, image, texts, run.question, index, middle, run.effort.together, hints, how)
        except (MemoryError, RuntimeError) as error:
            if gave_up(error):
                with torch.backends.mkldnn.flags(enabled=False):
                    return self._attempt(run, index, voxels)
            if not is_out_of_memory(error):
                raise
            full = (str(error).splitlines() or [type(error).__name__])[0]
        # Only now, for the error held on to what the slice needed.
        if not run.ahead.close():  # to leave out what was never begun would free nothing
            run.effort = replace(run.effort, ahead=False)
        run.encoded.clear()
        easier = run.effort.easier()
        if easier is None:
            raise OutOfMemory(
                f"The computer has too little memory for the model '{self.about.history.name}' ({full}): "
                "close other programs, use a smaller model, or run it on a computer with more."
            )
        before, (run.effort, adjusted) = run.effort, easier
        if not run.effort.keep:
            self.features.budget = 0
        if run.effort.place != before.place:  # one run, one precision: what is done is done again
            run.waiting.extendleft(reversed([one for one in run.done if one != index]))
            run.done.clear()
        if before.place.device.type == "cuda":
            torch.cuda.empty_cache()
        return adjusted

    def _combined(self, adapter: Adapter, plan: SlicePlan) -> Combined:
        """Made once per plan: distances of many lessons take a while."""
        if self._how is None or self._how.plan != plan:
            self._how = Combined(adapter, plan, provenance.own_gate(self.about))
        return self._how

    def _scope(self, run: Run, voxels: str) -> Scope:
        array = run.volume.array
        content = f"{voxels} {array.dtype.str} {array.shape}"
        self._encoder_hash = self._encoder_hash or checkpoint.image_side(self.model, self.about.config)
        return Scope(content, run.plan, run.window, self._encoder_hash, self._now.device.type, self._now.precision)

    def _move(self, place: Place) -> None:
        """Puts the model where a run wants it; its weights are read again when they were rounded before."""
        if (place.device, place.dtype) == (self._now.device, self._now.dtype):
            return
        self._texts.clear()
        if self._now.dtype != place.dtype and self._now.dtype != torch.float32:
            self.model = checkpoint.load(self.about.path)[0]
            if self.adapter is not None:
                self.model = added(self.model, self.adapter.deltas)
        self.model.to(place.device, place.drawing)
        if place.drawing != place.dtype:
            self.model.round_first_pass()
        self._now = place
