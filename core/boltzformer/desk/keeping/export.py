"""`Exporting`: the masks of an image on its stored grid, how they were made beside them, and the model's own
probabilities."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.desk.image import OpenImage, plan_of
from boltzformer.desk.keeping.numbers import Numbers
from boltzformer.desk.keeping.places import Places
from boltzformer.desk.keeping.snapshot import Snapshot, unique_names
from boltzformer.desk.keeping.stories import story_path, with_files, written_before
from boltzformer.desk.masks.kept import Kept
from boltzformer.desk.masks.track import Track
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Dialogs, Stage
from boltzformer.desk.words import ViewerWords
from boltzformer.desk.work import Work
from boltzformer.errors import BoltzFormerError
from boltzformer.io.cases import slugs
from boltzformer.io.results import MAPS, NUMBERS
from boltzformer.masks.postprocess import sigmoid
from boltzformer.types import LabelMap, Prompt, Volume

KINDS = "Masks (*.nii.gz *.nii *.seg.nrrd *.nrrd *.mha *.dcm *.png *.tif *.tiff)"

OF_PICTURES = ".png"
"""What masks are written as of a picture that came in a format without masks, unless another one is named."""


@dataclass(frozen=True)
class Written:
    """An export that is done."""

    files: list[Path]
    remarks: list[str]
    """What the user should know of it."""


@dataclass(frozen=True)
class InTheWay:
    """Nothing was written: it would replace files that nobody has spoken of."""

    files: list[Path]


@dataclass(frozen=True)
class Export:
    """The masks as they were when it was asked for, and where they go; with their probabilities, where wanted."""

    path: Path
    masks: Snapshot
    maps: Maps | None
    straight: bool = False
    """Whether masks of a tilted series are straightened, as somebody allowed."""

    @cached_property
    def labels(self) -> LabelMap:
        """Without the objects that are excluded. Takes long: not on the viewer's thread."""
        labels = self.masks.kept()
        return io.resample(labels, io.straightened(labels.grid)) if self.straight else labels

    @property
    def may_be_straightened(self) -> bool:
        """Whether the file keeps a tilt that others may not read."""
        return not self.straight and bool(io.tilt_said(self.path, self.masks.volume.grid))

    @cached_property
    def numbers(self) -> Numbers:
        """One label per object, where that was asked for."""
        return Numbers.of(self.masks, self.path)

    @property
    def made(self) -> dict[str, Any]:
        """How, for the file beside it."""
        told: dict[str, Any] = {"masks": {one.name: one.how_made() for one in self.masks.masks}}
        if self.numbers.files:
            told[NUMBERS] = self.numbers.facts
        return told if self.maps is None else {**told, MAPS: self.maps.facts}

    def write(self, allowed: Collection[Path]) -> Written | InTheWay:
        """Replaces what is allowed and what earlier exports of this name wrote, else nothing."""
        maps = [*self.numbers.files, *([] if self.maps is None else self.maps.kept)]
        replaceable = {*allowed, *written_before(self.path)}
        wanted = [*io.targets(self.labels, self.path), story_path(self.path), *maps]
        taken = [file for file in wanted if file.exists() and file not in replaceable]
        if taken:
            return InTheWay(taken)
        told = with_files(self.made, self.labels, self.path)
        remarks: list[str] = []
        if self.maps is not None:
            self.maps.write(replaceable)
        self.numbers.write(replaceable)
        how: dict[str, Any] = {"source": self.masks.volume, "provenance": told}
        files = io.write(self.labels, self.path, **how, overwrite=replaceable, tell=remarks.append)
        return Written([*files, *maps], remarks)


class Exporting:
    """Asks where to, writes beside the viewer, and asks again before it replaces what is not its own."""

    def __init__(
        self,
        stage: Stage,
        tracks: Tracks,
        notice: Notice,
        work: Work,
        dialogs: Dialogs,
        words: ViewerWords,
        maps: Callable[[], bool],
        places: Places,
    ) -> None:
        """`work`: where work is kept, for that is waited for when the viewer closes. `maps`: probabilities, too?"""
        self._stage, self._tracks, self._notice, self._work = stage, tracks, notice, work
        self._dialogs, self._words, self._maps, self._places = dialogs, words, maps, places

    def ask(self) -> None:
        """Where to? In the format of the image, unless the user names another."""
        image = self._stage.chosen()
        suggested = f"{image.name if image is not None else 'image'}-mask{extension_for(image)}"
        path = self._dialogs.save_as("Export masks", self._places.to_write(suggested), KINDS)
        if path is not None:
            self._places.wrote(path)
            self.write_to(path)

    def write_to(self, path: Path) -> None:
        """Where a dialog was told to, which has asked about the file itself."""
        try:
            export = self.of(path)
        except BoltzFormerError as error:
            self._notice.fail(str(error))
            return
        self._write(export, {path} if path.exists() else set())

    def of(self, path: Path) -> Export:
        """The masks of the chosen image as they are now."""
        image, tracks = self._stage.chosen(), self._tracks.chosen()
        if image is None or not tracks:
            raise BoltzFormerError("There is no mask of this image yet: run a prompt first.")
        maps = Maps.of(image.volume, tracks, path, self._words) if self._maps() else None
        return Export(path, Snapshot.of(image, tracks), maps)

    def to(self, path: Path) -> list[Path]:
        """At once, for whoever can't be asked: `path` itself is replaced, other files are not."""
        done = self.of(path).write({path})
        if isinstance(done, InTheWay):
            raise BoltzFormerError(f"{_names(done.files)} exists already: choose another name for the masks.")
        return done.files

    def _write(self, export: Export, allowed: Collection[Path]) -> None:
        self._notice.say(f"Writing {export.path}…")
        self._work.do(partial(export.write, allowed), partial(self._tell, export, allowed))

    def _tell(self, export: Export, allowed: Collection[Path], done: Written | InTheWay) -> None:
        if isinstance(done, Written):
            wrote = "Wrote " + ", ".join(map(str, done.files))
            said = ". ".join([wrote, " ".join(done.remarks)]) if done.remarks else wrote
            straight = partial(self._write, replace(export, straight=True), {*allowed, *done.files})
            self._notice.say(said, *(("Straighten", straight) if export.may_be_straightened else ()))
            return

        def answered(yes: bool) -> None:
            if yes:
                self._write(export, {*allowed, *done.files})
            else:
                self._notice.say(f"Nothing was written: {self._words.another_name}")

        self._dialogs.ask(
            f"{_names(done.files)} {'is' if len(done.files) == 1 else 'are'} there already and would be replaced.",
            f"They lie in {export.path.parent}, and no export of these masks is known to have written them.",
            "Replace",
            answered,
        )


def extension_for(image: OpenImage | None) -> str:
    """The one that the image came with, where masks can be written so; a picture of another kind gets a PNG."""
    if image is None:
        return ".nii.gz"
    try:
        volume = image.volume
    except BoltzFormerError:
        return ".nii.gz"
    if volume.stacking_axis is not None:
        return ".dcm"
    extension = io.split_name(Path(volume.source))[1]
    if extension in (".nii", ".nii.gz", ".nrrd", ".mha", ".png", ".tif", ".tiff"):
        return extension
    picture = image.is_picture and (extension in (".jpg", ".jpeg") or not volume.source)
    return OF_PICTURES if picture else ".nii.gz"


def _names(files: Collection[Path]) -> str:
    return ", ".join(file.name for file in files)


MEANING = "the model's probability of each voxel, before thresholds and edits; 0 where it has not looked"
_FOR_MAPS = (".nii", ".nii.gz", ".nrrd", ".mha")


@dataclass(frozen=True)
class Maps:
    """One per mask that the model has answered; its answers are held, so that it can be written while they change."""

    volume: Volume
    kept: Mapping[Path, Mapping[int, Kept]]
    """By file, then by row."""
    facts: Mapping[str, Any]
    """For the provenance of the masks."""

    @staticmethod
    def of(volume: Volume, tracks: Sequence[Track], masks: Path, words: ViewerWords) -> Maps:
        """Beside the file of the masks, named like it."""
        stem, extension = io.split_name(masks)
        extension = extension if extension in _FOR_MAPS else ".nii.gz"
        names, plan = unique_names(tracks), plan_of(volume)
        kept: dict[Path, Mapping[int, Kept]] = {}
        facts: dict[str, Any] = {}
        for slug, name, track in zip(slugs([Prompt(name) for name in names]), names, tracks, strict=True):
            file = masks.with_name(f"{stem}.{slug}.probability{extension}")
            rows = {row: answer for row in track.kept.rows if (answer := track.kept.of(row)) is not None}
            if rows:
                kept[file] = rows
                looked = sorted(plan.canonical_index(row) for row in rows)
                facts[file.name] = {"mask": name, "prompt": track.prompt.text, "meaning": MEANING, "slices": looked}
        if not kept:
            raise BoltzFormerError(
                "There are no probabilities to write: the model has not looked at this image since it was opened. "
                f"Run the prompt, or {words.without_maps}"
            )
        return Maps(volume, kept, facts)

    def write(self, replaceable: Collection[Path]) -> None:
        """All of them, also over these files; not on the viewer's thread."""
        for file, rows in self.kept.items():
            io.write_volume(replace(self.volume, array=self._stored(rows)), file, overwrite=file in replaceable)

    def _stored(self, rows: Mapping[int, Kept]) -> NDArray[np.float32]:
        """(z, y, x)."""
        stored = np.zeros(self.volume.grid.shape, np.float32)
        seen = plan_of(self.volume).view.apply(stored)
        for row, kept in rows.items():
            seen[row] = sigmoid(kept.logits())
        return stored
