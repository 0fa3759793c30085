"""Export: the masks of an image on its stored grid, what is known of their making beside them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox

from boltzformer import BoltzFormerError, LabelMap, io
from boltzformer.desk.keeping.stories import MAPS, story_path, with_files, written_before
from napari_boltzformer.probability_maps import Maps
from napari_boltzformer.stored_masks import Snapshot, how_made, unique_names

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

KINDS = "Masks (*.nii.gz *.nii *.seg.nrrd *.nrrd *.mha *.dcm *.png)"


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
    made: dict[str, Any]

    @staticmethod
    def of(dock: BoltzFormerDock, path: Path) -> Export:
        """Of the chosen image, without the objects that are excluded."""
        layer, tracks = dock.chosen_image(), dock.tracks()
        if layer is None or not tracks:
            raise BoltzFormerError("There is no mask of this image yet: run a prompt first.")
        made: dict[str, Any] = {
            "masks": {name: how_made(track) for name, track in zip(unique_names(tracks), tracks, strict=True)}
        }
        masks = Snapshot.of(layer, tracks)
        maps = Maps.of(masks.volume, tracks, path) if dock.maps.isChecked() else None
        return Export(path, masks, maps, made if maps is None else {**made, MAPS: maps.facts})

    @cached_property
    def labels(self) -> LabelMap:
        """Takes long: not on the viewer's thread."""
        return self.masks.labels(whole=False)

    def write(self, allowed: Collection[Path]) -> Written | InTheWay:
        """Replaces what is allowed and what earlier exports of this name wrote, else nothing."""
        maps = [] if self.maps is None else list(self.maps.kept)
        replaceable = {*allowed, *written_before(self.path)}
        wanted = [*io.targets(self.labels, self.path), story_path(self.path), *maps]
        taken = [file for file in wanted if file.exists() and file not in replaceable]
        if taken:
            return InTheWay(taken)
        told = with_files(self.made, self.labels, self.path)
        remarks: list[str] = []
        if self.maps is not None:
            self.maps.write(replaceable)
        how: dict[str, Any] = {"source": self.masks.volume, "provenance": told}
        files = io.write(self.labels, self.path, **how, overwrite=replaceable, tell=remarks.append)
        return Written([*files, *maps], remarks)


def export_to(dock: BoltzFormerDock, path: Path) -> list[Path]:
    """At once, for whoever can't be asked: `path` itself is replaced, other files are not."""
    done = Export.of(dock, path).write({path})
    if isinstance(done, InTheWay):
        raise BoltzFormerError(f"{_names(done.files)} exists already: choose another name for the masks.")
    return done.files


def ask_and_export(dock: BoltzFormerDock) -> None:
    """Where to? In the format of the image, unless the user names another."""
    layer = dock.chosen_image()
    suggested = f"{layer.name if layer is not None else 'image'}-mask{_extension(dock)}"
    chosen, _ = QFileDialog.getSaveFileName(
        dock, "Export masks", suggested, KINDS, options=QFileDialog.Option.DontUseNativeDialog
    )
    if chosen:
        path = Path(chosen)
        try:
            export = Export.of(dock, path)
        except BoltzFormerError as error:
            dock.notice.fail(str(error))
            return
        _write(dock, export, {path} if path.exists() else set())  # the file dialog asked about the file itself


def _write(dock: BoltzFormerDock, export: Export, allowed: Collection[Path]) -> None:
    dock.notice.say(f"Writing {export.path}…")
    # Where work is kept, for that is waited for when the window closes.
    dock.keeper.background.do(partial(export.write, allowed), partial(_tell, dock, export, allowed))


def _tell(dock: BoltzFormerDock, export: Export, allowed: Collection[Path], done: Written | InTheWay) -> None:
    if isinstance(done, Written):
        wrote = "Wrote " + ", ".join(map(str, done.files))
        dock.notice.say(". ".join([wrote, " ".join(done.remarks)]) if done.remarks else wrote)
        return
    question = QMessageBox(
        QMessageBox.Icon.Question,
        "Replace files?",
        f"{_names(done.files)} {'is' if len(done.files) == 1 else 'are'} there already and would be replaced.",
        parent=dock,
    )
    question.setInformativeText(
        f"They lie in {export.path.parent}, and no export of these masks is known to have written them."
    )
    replace = question.addButton("Replace", QMessageBox.ButtonRole.AcceptRole)
    question.setDefaultButton(question.addButton(QMessageBox.StandardButton.Cancel))
    question.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)

    def answered(_: int) -> None:
        if question.clickedButton() is replace:
            _write(dock, export, {*allowed, *done.files})
        else:
            dock.notice.say("Nothing was written: Export… again under another name.")

    question.finished.connect(answered)
    question.open()


def _names(files: Collection[Path]) -> str:
    return ", ".join(file.name for file in files)


def _extension(dock: BoltzFormerDock) -> str:
    """The one that the image came with, where masks can be written so."""
    layer = dock.chosen_image()
    facts = {} if layer is None else layer.metadata.get("boltzformer", {})
    source = Path(facts.get("source", ""))
    extension = io.split_name(source)[1]
    if facts.get("stacking_axis") is not None:
        return ".dcm"
    return extension if extension in (".nii", ".nii.gz", ".nrrd", ".mha", ".png") else ".nii.gz"
