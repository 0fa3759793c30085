"""All cases of a call, one after the other, from the image to its files: a bad one is told at the end and stops no
other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.cli.archive import Ledger, Shard, cases_of
from boltzformer.cli.case_files import Answered, CaseFiles, Opened
from boltzformer.cli.request import FOUND, Request
from boltzformer.cli.show import Show
from boltzformer.engine.devices import Place, choose
from boltzformer.engine.engine import Engine, Happening, load
from boltzformer.engine.reproduce import reproduce
from boltzformer.errors import BoltzFormerError
from boltzformer.image.geometry import Grid
from boltzformer.image.hashing import sha256_of
from boltzformer.image.intensity import Window
from boltzformer.image.region import Region
from boltzformer.io.cases import Case, Target, is_dicom, is_finished, place_of
from boltzformer.io.placing import alone, checked_place, install
from boltzformer.knowledge import suggestions
from boltzformer.knowledge.card import Card
from boltzformer.learn.adapt import SECONDS, adapt
from boltzformer.masks import cells, objects
from boltzformer.masks.lessons import Adapted, Learning
from boltzformer.masks.postprocess import smoothed
from boltzformer.model.config import ModelConfig
from boltzformer.speaking import sentence_about
from boltzformer.types import Adjusted, LabelMap, Prediction, SliceResult, Started, TileDone, Volume, with_given
from boltzformer.weights.checkpoint import Checkpoint


@dataclass(frozen=True)
class Casework:
    """What all cases of a run share."""

    request: Request
    output: Path
    about: Checkpoint
    place: Place
    engine: Callable[[], Engine]
    """Loaded when the first case needs it."""
    show: Show
    overwrite: bool = False
    batch_size: int | None = None
    expected: Mapping[str, Any] | None = None
    """The provenance that this run shall reproduce."""

    def run(self, case: Case) -> dict[str, Any] | None:
        """Its provenance as written; None where it was finished before."""
        opened = self.opened(case)
        return None if opened is None else self.kept(opened, self.answered(opened))

    def opened(self, case: Case) -> Opened | None:
        """The image, once it is clear that its masks can be written; None where there is nothing left to do."""
        request, show = self.request, self.show
        volume = request.read(case.path)
        request.check(volume)
        place = place_of(case, self.output, volume, request.asked, request.format)
        grid = self._grid(place, volume)
        fits_on = partial(io.check_targets, grid=grid, image=volume)
        checked_place(place, case, self.output, request.asked, fits_on, overwrite=self.overwrite)
        if is_dicom(case.path) and request.format is None and place.masks[0].endswith(".nii.gz"):
            show.note(f"{case.name}: the image does not say where in its patient it lies: masks become .nii.gz.")
        opened = Opened(case, volume, place, grid, request.facts(volume, self.about, self.place))
        if self._skips(opened):
            return None
        if said := io.tilt_said(place.folder / place.masks[0], grid):
            show.note(f"{case.name}: {said}")
        return opened

    def answered(self, opened: Opened) -> Answered:
        """What the model says."""
        request, case, volume = self.request, opened.case, opened.volume
        wanted, region = request.wanted(volume.grid.shape[volume.slice_axis]), request.enlarged(volume.grid)
        engine = self._taught(case, self.engine(), volume)
        fits = _fits(engine)
        asked = [one.text for one in request.asked]
        for sentence in (*suggestions.doubts(asked, volume.modality, fits), *_untaught(engine, asked)):
            self.show.note(f"{case.name}: {sentence}")
        prediction, region = self._answered(case, engine, volume, wanted, region)
        return Answered(prediction, region, engine)

    def kept(self, opened: Opened, answered: Answered) -> dict[str, Any] | None:
        """The files of a case, all or none; its provenance, or None where another run was quicker."""
        show, case, place, prediction = self.show, opened.case, opened.place, answered.prediction
        labels = self._masks(prediction)
        with alone(place, show.note) as part:
            if self._skips(opened):
                return None
            files = CaseFiles(self.request, part, place, show.note)
            masks = files.masks(io.resample(labels, opened.grid), case.path)
            files.extras(opened.volume, answered, labels)
            story = {
                **prediction.provenance,
                **files.numbers(labels),
                "request": opened.facts,
                "masks": {name: _hash(labels.mask(label)) for label, name in labels.names.items()},
                "files": sorted(file.name for file in part.iterdir()),
                "sha256": {file.name: sha256_of(file) for file in part.iterdir()},
            }
            io.write_json(part / place.story.name, story)
            for name in install(part, place, overwrite=self.overwrite):
                show.note(f"{case.name}: {place.folder / name} was changed since it was written, so it stays.")
        written = [*masks, *(name for name in story["files"] if name not in masks), place.story.name]
        voxels = {name: int(labels.mask(label).sum()) for label, name in labels.names.items()}
        show.event("finished", case=case.name, voxels=voxels, written=[str(place.folder / name) for name in written])
        for name, count in voxels.items():
            what = f"{count} voxels" if count else "nothing was found; the mask is empty."
            show.say(f"{case.name}: {name}: {what}")
        if "scout" in prediction.provenance:
            asked_slices, count = len(prediction.slices), prediction.plan.count
            show.say(f"{case.name}: looked in {asked_slices} of {count} slices; the others were not looked at.")
        if prediction.doubt:
            show.say(f"{case.name}: the seeds disagree most in slices {', '.join(map(str, prediction.doubt[:5]))}.")
        for name in written:
            show.say(f"wrote {place.folder / name}")
        return story

    def _grid(self, place: Target, volume: Volume) -> Grid:
        """Where the masks will lie: on the image's voxels, or on straight ones if that is asked for."""
        if not self.request.resample or not volume.grid.sheared:
            return volume.grid
        if place.masks[0].endswith(".rtstruct.dcm"):
            raise BoltzFormerError(
                f"{place.folder / place.masks[0]}: contours lie on the tilted slices themselves, where nothing has to "
                "be straightened: leave --resample out."
            )
        return io.straightened(volume.grid)

    def _skips(self, opened: Opened) -> bool:
        """Whether there is nothing left to do."""
        if self.overwrite or not is_finished(opened.place, opened.facts):
            return False
        self.show.event("skipped", case=opened.case.name, reason="finished before")
        self.show.say(f"{opened.case.name}: finished before, skipped.")
        return True

    def _taught(self, case: Case, engine: Engine, volume: Volume) -> Engine:
        """The engine, after it learnt from the lessons if there are any; if that made it worse, as it was."""
        request = self.request
        if request.lessons is None:
            return engine
        events = adapt(
            engine,
            volume,
            request.asked[0],
            request.taught(engine.plan(volume)),
            seconds=request.seconds or SECONDS,
            steps=request.lesson_steps,
            seed=request.seed,
            window=Window.choose(request.window, volume.array, volume.modality),
        )
        for event in events:
            match event:
                case Learning():
                    self.show.learning(case.name, event)
                case Adapted():
                    facts = {**event.adapter.facts(), "seconds": event.seconds, "better": event.better}
                    self.show.event("adapted", case=case.name, **facts)
                    self.show.say(f"{case.name}: {event.sentence}")
                    return engine.adapted(event.adapter if event.better else event.adapter.as_parent())
        raise AssertionError("the learning ended without an adapter")

    def _answered(
        self, case: Case, engine: Engine, volume: Volume, wanted: range | None, region: Region | None
    ) -> tuple[Prediction, Region | None]:
        """What the model says, and the region it looked at enlarged."""
        request = self.request
        if self.expected is not None:
            prediction = self._watched(case, reproduce(self.expected, volume, engine))
            box = self.expected["region"]
            return prediction, None if box is None else Region(**box)
        how: dict[str, Any] = {
            "seed": request.seed,
            "samples": request.samples,
            "window": Window.choose(request.window, volume.array, volume.modality),
            "slices": wanted,
            "size": request.size,
            "guidance": request.guidance(volume.grid),
            "tiles": request.tiles,
            "scout": request.scout,
            "batch_size": self.batch_size,
        }
        if request.region == FOUND:
            first = self._watched(case, engine.segment(volume, request.asked, **{**how, "size": None}))
            region = Region.around(volume.grid, first.labels().layers.max(axis=0))
            box = engine.plan(volume, region=region).indices
            how["slices"] = None if wanted is None else [index for index in wanted if index in box]
        return self._watched(case, engine.segment(volume, request.asked, region=region, **how)), region

    def _watched(self, case: Case, events: Iterator[Happening]) -> Prediction:
        """Runs to the end and shows each step."""
        for event in events:
            match event:
                case Started():
                    self.show.started(case.name, event)
                case Adjusted(what, why):
                    self.show.adjusted(case.name, what, why)
                case TileDone():
                    self.show.tile(case.name, event)
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
        labels = prediction.labels(request.threshold, request.existence)
        if request.suppress:
            labels = objects.without_doubles(labels, prediction)
        if request.objects:
            labels = cells.each_apart(labels, prediction)
        if request.smallest_mm3 or request.largest is not None:
            labels = objects.kept(labels, smallest_mm3=request.smallest_mm3, largest=request.largest)
        return with_given(labels, prediction)


def _fits(engine: Engine) -> Callable[[str], bool]:
    """Whether the model reads a text to its end."""
    text = engine.model.text
    tokenizer = text.tokenizer
    return lambda prompt: tokenizer is None or len(tokenizer(prompt)) <= text.context


def _untaught(engine: Engine, prompts: Sequence[str]) -> list[str]:
    """What the model's card says against asking it this."""
    card = Card.of(engine.about.history.notes)
    return [said for prompt in prompts if (said := card.knows(prompt).warning())] if card else []


def _hash(mask: NDArray[np.bool_]) -> str:
    return hashlib.sha256(np.ascontiguousarray(mask).data).hexdigest()


NOT_THE_SAME, SOME_FAILED = 1, 3


def engine_of(about: Checkpoint, place: Place, show: Show) -> Callable[[], Engine]:
    """The engine, loaded when first asked for."""

    @cache
    def engine() -> Engine:
        say_model(about, place, show)
        return load(about.path, device=str(place.device), dtype=place.precision)

    return engine


def say_model(about: Checkpoint, place: Place, show: Show) -> None:
    """Which, and where it runs."""
    show.say(f"Model '{about.history.name}': {about.history.data}.")
    show.say(f"Device {place.device}, {place.in_words}. {place.why}")


def place_like(told: Mapping[str, Any], config: ModelConfig) -> Place:
    """The device and precision of a provenance, where this machine has them; else what it has."""
    try:
        place = choose(str(told.get("device", "auto")), str(told.get("dtype", "auto")), config)
    except BoltzFormerError:
        return choose(config=config)
    return replace(place, why="So was the result made that is repeated.")


def run_all(work: Casework, inputs: Sequence[Path], shard: Shard | None = None) -> int:
    """The exit code. What is wrong with the only case is raised, unless it is one of a share."""
    demand_folder(work.output, shard is not None)
    cases = cases_of(inputs, work.output, shard)
    if len(cases) > 1 and (io.split_name(work.output)[1] or work.expected is not None):
        what = "--reproduce repeats one image" if work.expected is not None else f"{work.output} is one file"
        raise BoltzFormerError(f"{what}, but {len(cases)} images are given: give one image, or a folder as output.")
    ledger = None if shard is None else Ledger(work.output, len(cases), shard.ending)
    failed: dict[str, str] = {}
    same = True
    work.show.cases(len(cases))
    for case in cases:
        try:
            story = work.run(case)
            if story is not None and work.expected is not None:
                same = _same(work, story)
            if ledger is not None:
                ledger.write(case, "skipped" if story is None else "finished")
        except Exception as error:  # whatever it was, the others go on
            if len(cases) == 1 and ledger is None:
                raise
            failed[case.name] = sentence_about(error)
            work.show.event("failed", case=case.name, error=failed[case.name])
            if ledger is not None:
                ledger.write(case, "quarantined", error=failed[case.name])
        finally:
            work.show.case_done()
    say_failed(work.show, failed, len(cases))
    if ledger is not None:
        say_totals(work.show, ledger)
    return SOME_FAILED if failed else 0 if same else NOT_THE_SAME


def demand_folder(output: Path, needed: bool) -> None:
    """An archive's results have no room in one file."""
    if needed and io.split_name(output)[1] and not output.is_dir():
        raise BoltzFormerError(f"{output} is one file, and an archive needs a folder: give one as --output.")


def say_failed(show: Show, failed: Mapping[str, str], total: int) -> None:
    """At the end, where nobody overlooks it."""
    if failed:
        show.say(f"{len(failed)} of {total} images failed:")
        for name, sentence in failed.items():
            show.say(f"  {name}: {sentence}")


def say_totals(show: Show, ledger: Ledger) -> None:
    """Of an archive, and where each case's line is."""
    show.event("totals", total=ledger.total, **ledger.counts, seconds=round(ledger.seconds, 2))
    if ledger.done:
        volumes = "1 volume" if ledger.total == 1 else f"{ledger.total} volumes"
        show.say(f"{volumes}: {ledger.in_words}; each one's line is in {ledger.status}.")
    else:
        show.say("This share of the archive is empty: there are more shares than volumes.")


def _same(work: Casework, story: Mapping[str, Any]) -> bool:
    """Says whether the answers are those of the provenance; what is different here was said before."""
    same = bool(work.expected and work.expected["logits sha256"] == story["logits sha256"])
    work.show.event("reproduced", same=same)
    work.show.say("reproduced: the same answers, bit for bit." if same else "NOT reproduced bit for bit, see above.")
    return same
