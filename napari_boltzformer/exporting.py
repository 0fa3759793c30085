"""Export: the masks of an image on its stored grid, what is known of their making beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog

from boltzformer import BoltzFormerError, io
from napari_boltzformer.probability_maps import FACTS, Maps, written_before
from napari_boltzformer.stored_masks import Snapshot, how_made, unique_names

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

KINDS = "Masks (*.nii.gz *.nii *.seg.nrrd *.nrrd *.mha *.dcm *.png)"


def export_to(dock: BoltzFormerDock, path: Path) -> list[Path]:
    """Writes the masks of the chosen image, without the objects that are excluded."""
    return ready_to_write(dock, path)()


def ready_to_write(dock: BoltzFormerDock, path: Path) -> Callable[[], list[Path]]:
    """The masks as they are now, and what writes them; with their probabilities, where those are wanted."""
    layer, tracks = dock.chosen_image(), dock.tracks()
    if layer is None or not tracks:
        raise BoltzFormerError("There is no mask of this image yet: run a prompt first.")
    made: dict[str, Any] = {
        "masks": {name: how_made(track) for name, track in zip(unique_names(tracks), tracks, strict=True)}
    }
    # The file dialog asked about the file itself; nothing else is replaced without a question.
    masks, overwrite = Snapshot.of(layer, tracks), path.exists()
    maps = Maps.of(masks.volume, tracks, path) if dock.maps.isChecked() else None
    ours = written_before(path) if overwrite else ()
    if maps is not None:
        made[FACTS] = maps.facts

    def write() -> list[Path]:
        files = [] if maps is None else maps.write(ours)
        labels = masks.labels(whole=False)
        return [*io.write(labels, path, source=masks.volume, provenance=made, overwrite=overwrite), *files]

    return write


def ask_and_export(dock: BoltzFormerDock) -> None:
    """Where to? In the format of the image, unless the user names another."""
    layer = dock.chosen_image()
    suggested = f"{layer.name if layer is not None else 'image'}-mask{_extension(dock)}"
    path, _ = QFileDialog.getSaveFileName(
        dock, "Export masks", suggested, KINDS, options=QFileDialog.Option.DontUseNativeDialog
    )
    if path:
        try:
            write = ready_to_write(dock, Path(path))
        except BoltzFormerError as error:
            dock.notice.fail(str(error))
            return
        dock.notice.say(f"Writing {path}…")
        # Where work is kept, for that is waited for when the window closes.
        dock.keeper.background.do(write, lambda files: dock.notice.say("Wrote " + ", ".join(map(str, files))))


def _extension(dock: BoltzFormerDock) -> str:
    """The one that the image came with, where masks can be written so."""
    layer = dock.chosen_image()
    facts = {} if layer is None else layer.metadata.get("boltzformer", {})
    source = Path(facts.get("source", ""))
    extension = io.split_name(source)[1]
    if facts.get("stacking_axis") is not None:
        return ".dcm"
    return extension if extension in (".nii", ".nii.gz", ".nrrd", ".mha", ".png") else ".nii.gz"
