"""The cases of a folder and how far each is: new, in progress, or accepted in so many slices; and the DICOM series in
it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.dataset import Case, Dataset, Revision
from boltzformer.dataset.identity import case_name, read_salt
from boltzformer.dataset.store import knows_images
from boltzformer.desk.keeping.foreign import named_a_mask
from boltzformer.desk.keeping.frames import first_of, frame_of
from boltzformer.desk.keeping.masks_among import lies_on, masks_among
from boltzformer.desk.keeping.remembering import ANSWERED
from boltzformer.desk.keeping.stories import is_export
from boltzformer.desk.no_command_line import in_viewer
from boltzformer.desk.words import counted
from boltzformer.errors import BoltzFormerError, SeveralFrames
from boltzformer.image.hashing import hash_of_voxels
from boltzformer.image.intensity import Window
from boltzformer.io.cases import is_dicom
from boltzformer.io.dicom import read_pixels
from boltzformer.io.dicom_headers import Series, series_in
from boltzformer.types import SliceState, Volume


@dataclass(frozen=True)
class Listed:
    """One case: an image file, a DICOM series, or a case of an annotation dataset."""

    name: str
    path: Path
    series: str = ""
    """Which one of a DICOM folder."""
    case: str = ""
    """Its id, in the dataset that `path` is."""

    def read(self, frame: int | None = None) -> Volume:
        """The image, with its true grid; of several time points or channels the one that was chosen."""
        if frame is not None:
            return frame_of(self.path, frame)
        if self.case:
            return Dataset(self.path).case(self.case).volume
        return io.read(self.path, series=self.series) if self.series else io.read(self.path)


@dataclass(frozen=True)
class Standing:
    """How far a case is."""

    case: str = ""
    """Its id in the dataset where work is kept."""
    slices: int = 0
    accepted: int = 0
    """In all masks of the case."""
    partly: int = 0
    """In some of them."""
    changed: int = 0
    """Accepted once, and changed since: not among them."""
    begun: bool = False
    """Something was saved that nobody has accepted."""
    error: str = ""
    """Why its image can't be read."""
    trouble: str = ""
    """Why nobody can tell how far it is: its image can be opened all the same."""
    store: Path | None = None
    """The dataset of which `case` is an id: another one has other ids."""
    voxels: str = ""
    """The hash of its image, which tells its ids in all of them without reading it once more."""

    @property
    def finished(self) -> bool:
        """Nothing is left to look at; what can't be read is nobody's work either."""
        return bool(self.error) or 0 < self.slices <= self.accepted

    @property
    def words(self) -> str:
        """For the list."""
        if self.error:
            return "can't be read"
        if self.trouble:
            return "unknown"
        if self.accepted:
            return "accepted" if self.slices == 1 else f"{self.accepted} of {self.slices} accepted"
        if self.changed and self.slices == 1:
            return "changed since"
        return "in progress" if self.begun else "new"

    @property
    def tip(self) -> str:
        """What these mean, or what is wrong."""
        whole = (
            f"{counted(self.accepted)} accepted in all masks, {self.partly} more in some of them."
            if self.partly
            else ""
        )
        what = "It was" if self.slices == 1 else f"{counted(self.changed)} {'was' if self.changed == 1 else 'were'}"
        later = f"{what} accepted, and changed since." if self.changed else ""
        return in_viewer(self.error or self.trouble) or f"{whole} {later}".strip()


def is_dataset(folder: Path) -> bool:
    """Whether a folder is an annotation dataset."""
    return (folder / "dataset.json").is_file()


def cases_in(folder: Path) -> list[Listed]:
    """Every case that can be opened, by name. Names and headers are read, and whole files only where they may be masks
    on others of them."""
    if is_dataset(folder):
        return [Listed(name, folder, case=name) for name in Dataset(folder).entries()]
    found = list(_below(folder, folder))
    beside: dict[Path, list[Path]] = {}
    for one in found:
        if not one.series:
            beside.setdefault(one.path.parent, []).append(one.path)
    marks = masks_among([path for paths in beside.values() for path in paths])
    return [one for one in found if one.series or not (one.path in marks or lies_on(one.path, beside[one.path.parent]))]


def tried(one: Listed, frame: int | None = None) -> Volume | Exception:
    """Its image, or why it can't be read."""
    try:
        return one.read(frame)
    except Exception as error:  # whatever its reader came upon
        return error


def standing(
    one: Listed, stores: Sequence[Path], known: Standing | None = None, frames: Sequence[int] = ()
) -> Standing:
    """`stores`: where work is kept, and where it was before: a case that was accepted there stays accepted. `frames`:
    those that were chosen of a file of several.

    The image is read for its id, unless what was `known` a moment ago tells it.
    """
    try:
        if one.case and is_dataset(one.path):
            return _listed(Dataset(one.path), one.case)
        kept = _opened(stores)
        if not kept:
            return Standing(error=known.error) if known is not None else Standing()
        if known is not None and known.voxels:
            return _told(kept, known.slices, known.voxels)
        try:
            volume = one.read()
        except SeveralFrames as several:
            each = (_told(kept, *_identity(volume)) for volume in first_of(one.path, several.frames, frames))
            return next((told for told in each if told.words != "new"), Standing())
        except Exception as error:  # whatever its reader came upon: it is not opened
            return Standing(error=str(error) or type(error).__name__)
        return _told(kept, *_identity(volume))
    except Exception as error:  # the list goes on with the next one, and says it of this one
        return Standing(trouble=str(error) or type(error).__name__)


def _opened(stores: Sequence[Path]) -> list[Dataset]:
    """Those that there are. Of one of another day that is damaged, or came without its salt, nothing is known."""
    there = [one for one in dict.fromkeys(stores) if is_dataset(one)]
    return [Dataset(one) for one in there if one in stores[:1] or knows_images(one)]


def _identity(volume: Volume) -> tuple[int, str]:
    """How many slices, and the hash of the voxels."""
    return volume.grid.shape[volume.slice_axis], hash_of_voxels(volume.array)


def _told(kept: Sequence[Dataset], slices: int, voxels: str) -> Standing:
    """Of the store in which most of it is accepted; where nothing is, of the one where its work is kept now."""
    each = [_standing(one, case_name(read_salt(one.path), voxels), slices) for one in kept]
    most = max(each, key=lambda told: told.accepted)  # the first among equals
    return replace(most, begun=any(told.begun for told in each), voxels=voxels)


def _listed(dataset: Dataset, case: str) -> Standing:
    """What is damaged in the dataset itself can't be opened either."""
    try:
        return _standing(dataset, case, 0)
    except BoltzFormerError as error:
        return Standing(error=str(error))


def _standing(dataset: Dataset, case: str, slices: int, *, begun: bool = False) -> Standing:
    draft = dataset.draft(case)
    begun = begun or draft is not None
    if not (dataset.path / "cases" / case).is_dir():
        return Standing(case, slices, begun=begun, store=dataset.path)
    kept = dataset.case(case)
    changed = _changed_since(kept, draft)
    words = [
        [state is not SliceState.UNSEEN and index not in changed.get(name, ()) for index, state in enumerate(states)]
        for name, states in kept.states.items()
    ]
    said = list(zip(*words, strict=True))
    accepted, partly = sum(map(all, said)), sum(any(one) and not all(one) for one in said)
    count, later = kept.grid.shape[kept.axis], len(set[int]().union(*changed.values()))
    return Standing(case, count, accepted, partly, later, begun=begun, store=dataset.path)


def _changed_since(kept: Case, draft: Revision | None) -> dict[str, set[int]]:
    """Label → slices that were accepted, of which the last autosave says that a person went on there and has not
    accepted that."""
    if draft is None or not kept.revisions or draft.time <= kept.revisions[-1].time:
        return {}
    told = draft.provenance.get(ANSWERED)
    edited = {name: set(one.get("edited", ())) for name, one in told.items()} if isinstance(told, dict) else {}
    unseen = {
        name: {n for n, state in enumerate(draft.slices.get(name, ())) if state is SliceState.UNSEEN} for name in edited
    }
    spoken = {
        name: {n for n, state in enumerate(states) if state is not SliceState.UNSEEN}
        for name, states in kept.states.items()
    }
    return {name: edited[name] & unseen[name] & spoken[name] for name in edited if name in spoken}


def in_turn(cases: Sequence[Listed], current: Listed | None) -> list[Listed]:
    """From the one behind the current case on, and round; the current one last."""
    start = cases.index(current) + 1 if current in cases else 0
    return [*cases[start:], *cases[:start]]


def _below(folder: Path, top: Path) -> Iterator[Listed]:
    """A folder of DICOM files holds its series; else each image file is a case, but for what was exported beside it."""
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if is_dicom(folder):
        found = series_below(folder)
        name = folder.name if folder == top else str(folder.relative_to(top))
        for one in found:
            if len(found) == 1 or not is_scout(one, found):
                words = name if len(found) == 1 else f"{name} · {one.description or one.modality}"
                yield Listed(words, folder, series=one.uid)
    else:
        for path in inside:
            stem, kind = io.split_name(path)
            if path.is_file() and kind and not _is_mask(path):
                yield Listed(str((path.parent / stem).relative_to(top)), path)
    for path in inside:
        if path.is_dir() and not is_dataset(path):
            yield from _below(path, top)


def _is_mask(path: Path) -> bool:
    """Segmentations by their name, and what this program wrote: how it was made lies beside it."""
    stem = io.split_name(path)[0].lower()
    if named_a_mask(path):
        return True
    return path.name.lower().endswith(".seg.nrrd") or stem.endswith(".probability") or is_export(path)


SCOUT = 5
"""So few slices are a scout or a report, where a longer series lies beside them."""


@dataclass(frozen=True)
class Offer:
    """One series, as a table shows it."""

    series: Series
    thumbnail: NDArray[np.uint8] | None
    """(rows, columns); None where its pixels can't be read."""


def series_below(folder: Path) -> list[Series]:
    """The image series of a folder."""
    return series_in(folder)


def largest(found: Sequence[Series]) -> Series:
    """The one that is opened unless the user says otherwise: most voxels, the first among equals."""
    return max(found, key=_voxels)


def is_scout(series: Series, found: Sequence[Series]) -> bool:
    """Whether it is a scout or a report beside a real series."""
    return len(series.slices) < SCOUT <= len(largest(found).slices)


def offers(found: Sequence[Series]) -> list[Offer]:
    """With a picture of each one's middle slice."""
    return [Offer(one, _thumbnail(one)) for one in found]


def _voxels(series: Series) -> int:
    rows, columns = series.slices[0].size
    return len(series.slices) * rows * columns


def _thumbnail(series: Series) -> NDArray[np.uint8] | None:
    ordered = sorted(series.slices, key=lambda one: one.number)
    try:
        plane = read_pixels([ordered[len(ordered) // 2]])[0]
        plane = plane if plane.ndim == 2 else plane.mean(axis=-1)
        return np.ascontiguousarray(Window.guess(plane, series.modality).apply(plane))
    except BoltzFormerError:
        return None  # opening says why
