"""`Dataset`: the annotation folder. Adding, drafts, removing under one lock; reading needs none."""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from boltzformer.atomic import private_folder, write_text
from boltzformer.dataset import drafts, index
from boltzformer.dataset.accepted import TakenBack, encoded
from boltzformer.dataset.case import Case, Lesson, read_case
from boltzformer.dataset.disk import UNFINISHED, erase, read_json, sweep, unwritten, write_json, writing
from boltzformer.dataset.identity import (
    PRIVATE,
    Sides,
    Split,
    case_name,
    demand_name,
    make_salt,
    read_salt,
    read_split,
    write_split,
)
from boltzformer.dataset.keeping import forget_place, keep
from boltzformer.dataset.revision import Revision
from boltzformer.errors import DatasetError
from boltzformer.image.hashing import hash_of_voxels
from boltzformer.types import Annotation, LabelMap, Volume

logger = logging.getLogger(__name__)

FORMAT, VERSION = "boltzformer annotations", 1
README = """Annotated images for text-prompted segmentation. Research only, not for clinical use.

cases/ID/case.json            where the image lies in space, which patient (as a salted hash), which split
cases/ID/image.nii.gz         the image as it was given
cases/ID/revisions/NUMBER/    one accepted correction each, never changed: revision.json (who, when, which slices),
                              labels.seg.nrrd (opens in 3D Slicer), change.seg.nrrd (where a person changed the model);
                              "taken back" names slices of which the last word was undone, as often as a slice is
                              named: the one before it holds
drafts/                       autosaves that nobody has accepted
learnt/                       what a model learnt from a case's corrected slices; may be deleted
split.json                    which patients train and which validate; assigned once
index.json                    made from the above; may be deleted
cache/                        features kept to save time; may be deleted
private/                      the secret behind the hashes: leave it out when you pass this folder on
"""


class Dataset:
    """A folder of annotated images that a person can read without this program."""

    def __init__(self, path: str | Path) -> None:
        """Open one that is there; `Dataset.at` makes one where there is none."""
        self.path = Path(path)
        if not (self.path / "dataset.json").is_file():
            raise DatasetError(
                f"{self.path} is no annotation dataset (it has no dataset.json): "
                "`boltzformer dataset add` makes one in an empty or new folder."
            )
        about = read_json(self.path / "dataset.json")
        if about.get("format") != FORMAT or not isinstance(about.get("version"), int) or about["version"] > VERSION:
            raise DatasetError(
                f"{self.path} was made by a newer version or another program: update napari-boltzformer."
            )

    @staticmethod
    def at(path: str | Path) -> Dataset:
        """The dataset in this folder, made if the folder is new or empty."""
        root = Path(path)
        try:
            private_folder(root)
        except OSError as error:
            raise DatasetError(f"{root} can't be made ({error.strerror}): choose another folder.") from error
        if not (root / "dataset.json").is_file():
            _demand_free(root)  # before anything, the lock included, is written into it
            with writing(root):
                _demand_free(root)
                if not (root / "dataset.json").is_file():  # nobody was faster
                    _begin(root)
        return Dataset(root)

    # Reading: no lock, nothing written.

    def entries(self) -> Mapping[str, index.Entry]:
        """Case id → what is in it, in few words. Damaged cases are left out and `check` names them."""
        return index.up_to_date(self.path)[0]

    def case(self, case: str) -> Case:
        """One of them."""
        return read_case(self.path, demand_name(case))

    def cases(self, split: Split | None = None) -> Iterator[Case]:
        """All, or those on one side of the split. A damaged one raises: nothing is left out of a training silently."""
        entries, broken = index.up_to_date(self.path)
        for error in broken.values():
            raise error
        return (self.case(name) for name, entry in entries.items() if split in (None, entry.split))

    def lessons(self, split: Split | None = None) -> tuple[Lesson, ...]:
        """Every slice that somebody has judged, by case and index; found without reading a mask or an image."""
        return tuple(lesson for case in self.cases(split) for lesson in case.lessons)

    def case_of(self, volume: Volume) -> str:
        """The id that this image has or would get by default."""
        return case_name(read_salt(self.path), hash_of_voxels(volume.array))

    def groups(self) -> Mapping[str, Split]:
        """All patients that ever were here, and their side."""
        return read_split(self.path).groups

    def fingerprint(self) -> str:
        """Changes with every revision and every split: what a training run records about its data."""
        told = hashlib.sha256()
        for case in self.cases():
            told.update(f"{case.id} {case.group} {case.split} {case.image_sha256}\n".encode())
            for revision in case.revisions:
                said = sorted((label, encoded(states)) for label, states in revision.slices.items())
                back = f" {sorted(revision.taken_back.items())}" if revision.taken_back else ""
                told.update(f"{sorted(revision.files.items())} {said}{back}\n".encode())
        return told.hexdigest()

    def cache_folder(self, case: str) -> Path:
        """Where features of a case may be kept to save time; goes when the case is removed. Not made here."""
        return self.path / "cache" / demand_name(case)

    # Writing: alone, and complete or not at all.

    def add(
        self,
        annotation: Annotation,
        *,
        case: str = "",
        patient: str = "",
        author: str = "",
        answer: LabelMap | None = None,
        based_on: int | None = None,
        seconds: float | None = None,
        split: Split | None = None,
        copy: bool = True,
        origin: Mapping[str, Any] | None = None,
        taken_back: TakenBack = MappingProxyType({}),
    ) -> Revision:
        """Keep what is reviewed as a new revision of its case; on the disk when this returns.

        `case` is the case's id, by default a salted hash of the image. `patient` says who belongs together (only its
        salted hash is kept); by default the DICOM header, else every image is its own patient. `answer` is what the
        model had said. `based_on` is the revision that the work began from: what is as it was then, is not said
        again, so that two people can correct one case at once. `split` counts only for a new patient. Without `copy`
        the image stays where it is and is found again by its hash. `taken_back`: slices by label of which the last word
        is undone, so that they are as they were before it.
        """
        revision = keep(
            self.path,
            annotation,
            case=case,
            patient=patient,
            author=author or whoever(),
            answer=answer,
            based_on=based_on,
            seconds=seconds,
            split=split,
            copy=copy,
            origin=origin or {},
            taken_back=taken_back,
        )
        self.refresh()
        return revision

    def refresh(self) -> None:
        """Bring the index up to date. That it fails loses nothing: readers notice and look at the cases."""
        try:
            with writing(self.path):
                if not index.is_current(self.path):
                    index.write_index(self.path, index.up_to_date(self.path)[0])
        except DatasetError as error:
            logger.warning("the index could not be written: %s", error)

    def save_draft(
        self,
        annotation: Annotation,
        *,
        case: str = "",
        author: str = "",
        answer: LabelMap | None = None,
        aside: bool = False,
    ) -> str:
        """Autosave everything as it is, accepted or not, with the model's `answer`; tells the case's id. `aside`: the
        autosave before it is set aside first."""
        name = demand_name(case) if case else self.case_of(annotation.volume)
        with writing(self.path):
            sweep(self.path)
            if aside:
                drafts.set_aside(self.path, name, author or whoever())
            drafts.save(self.path, name, annotation, author or whoever(), answer)
        return name

    def begin_afresh(self, case: str, *, author: str = "") -> None:
        """What is kept stays, and is not what work goes on from, until something is saved or accepted."""
        with writing(self.path):
            drafts.begin_afresh(self.path, demand_name(case), author or whoever(), self._last_of(case))

    def afresh(self, case: str, *, author: str = "") -> str | None:
        """Since when this person begins afresh; None where work goes on."""
        told = drafts.afresh(self.path, demand_name(case), author or whoever())
        return None if told is None or told["revision"] < self._last_of(case) else told["afresh"]

    def _last_of(self, case: str) -> int:
        return self.case(case).revisions[-1].number if case in self.entries() else 0

    def earlier(self, case: str, *, author: str = "") -> list[Revision]:
        """Autosaves that were set aside, the newest first."""
        return drafts.earlier(self.path, demand_name(case), author or whoever())

    def draft(self, case: str, *, author: str = "") -> Revision | None:
        """The last autosave; `draft.annotation(volume)` brings it back."""
        return drafts.newest(self.path, demand_name(case), author or whoever())

    def discard_draft(self, case: str, *, author: str = "") -> None:
        """The autosaves of this case by this person."""
        with writing(self.path):
            drafts.discard(self.path, demand_name(case), author or whoever())

    def remove(self, case: str) -> None:
        """All that is known of a case: cached features, drafts, revisions, image, index entry.

        The patient's hash keeps its side of the split: who comes back must not change over to the other.
        """
        folders = [self.path / kind / demand_name(case) for kind in ("cache", "learnt", "drafts", "damaged", "cases")]
        with writing(self.path):
            sweep(self.path)
            if not any(folder.exists() for folder in folders):
                raise DatasetError(f"{self.path} has no case '{case}': `boltzformer dataset list` shows what is there.")
            forget_place(self.path, case)
            for folder in folders:  # the case itself last: interrupted, it is still listed and can be removed again
                erase(self.path, folder)
            index.write_index(self.path, index.up_to_date(self.path)[0])
        logger.info("removed %s", case)


def whoever() -> str:
    """The person at this computer, as it knows them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def _demand_free(root: Path) -> None:
    """Empty, but for what a beginning that was interrupted, or another who begins, may have left."""
    known = {".lock", UNFINISHED, PRIVATE, "split.json", "README.txt"}
    foreign = set(os.listdir(root)) - known
    if foreign and not (root / "dataset.json").is_file():
        raise DatasetError(f"{root} holds other files ({min(foreign)}): choose a new or empty folder.")


def _begin(root: Path) -> None:
    """`dataset.json` last: without it the folder is none yet, and the next one begins again."""
    with suppress(OSError):  # a folder that somebody else made, for us
        root.chmod(0o700)
    make_salt(root)
    write_split(root, Sides({}, {}))
    try:
        write_text(root / "README.txt", README, mode=0o600)
    except OSError as error:
        raise unwritten(root, error) from error
    made = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(root, root / "dataset.json", {"format": FORMAT, "version": VERSION, "made": made})


def knows_images(root: Path) -> bool:
    """Whether what lies there can be found by an image: not in a dataset that is damaged, or came without its salt."""
    try:
        if (root / "dataset.json").is_file():
            Dataset(root)
            read_salt(root)
    except DatasetError:
        return False
    return True
