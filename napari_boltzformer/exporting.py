"""Export: the masks of an image on its stored grid, what is known of their making beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from boltzformer import BoltzFormerError, io
from napari_boltzformer.layers import volume_of
from napari_boltzformer.stored_masks import how_made, label_map, unique_names

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

KINDS = "Masks (*.nii.gz *.nii *.seg.nrrd *.nrrd *.mha *.dcm *.png)"


def export_to(dock: BoltzFormerDock, path: Path) -> list[Path]:
    """Writes the masks of the chosen image, without the objects that are excluded."""
    layer, tracks = dock.chosen_image(), dock.tracks()
    if layer is None or not tracks:
        raise BoltzFormerError("There is no mask of this image yet: run a prompt first.")
    made = {name: how_made(track) for name, track in zip(unique_names(tracks), tracks, strict=True)}
    # The file dialog asked about the file itself; nothing else is replaced without a question.
    labels, overwrite = label_map(layer, tracks, whole=False), path.exists()
    return io.write(labels, path, source=volume_of(layer), provenance={"masks": made}, overwrite=overwrite)


def ask_and_export(dock: BoltzFormerDock) -> None:
    """Where to? In the format of the image, unless the user names another."""
    layer = dock.chosen_image()
    suggested = f"{layer.name if layer is not None else 'image'}-mask{_extension(dock)}"
    path, _ = QFileDialog.getSaveFileName(
        dock, "Export masks", suggested, KINDS, options=QFileDialog.Option.DontUseNativeDialog
    )
    if path:
        try:
            dock.notice.say("Wrote " + ", ".join(str(written) for written in export_to(dock, Path(path))))
        except BoltzFormerError as error:
            dock.notice.fail(str(error))


def _extension(dock: BoltzFormerDock) -> str:
    """The one that the image came with, where masks can be written so."""
    layer = dock.chosen_image()
    facts = {} if layer is None else layer.metadata.get("boltzformer", {})
    source = Path(facts.get("source", ""))
    extension = io.split_name(source)[1]
    if facts.get("stacking_axis") is not None:
        return ".dcm"
    return extension if extension in (".nii", ".nii.gz", ".nrrd", ".mha", ".png") else ".nii.gz"
