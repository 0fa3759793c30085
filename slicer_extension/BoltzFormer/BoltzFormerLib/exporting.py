"""Export: what Slicer's Python can write itself; DICOM-SEG by the engine's, from the files that the image came from."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from boltzformer import io
from boltzformer.client.child import environment_of
from boltzformer.desk.desk import Desk
from boltzformer.desk.keeping.snapshot import Snapshot
from boltzformer.errors import BoltzFormerError
from BoltzFormerLib.translating import tr

PROGRAM = Path(__file__).with_name("dicom_program.py")
LONGEST_S = 600
KINDS = "Masks (*.nii.gz *.nii *.seg.nrrd *.nrrd *.mha *.dcm *.png)"
"""What Slicer's Python can write, and DICOM-SEG; TIFF needs a package that it lacks."""


class Exports:
    """Asks where to; beside the viewer from there."""

    def __init__(self, desk: Desk, python: Callable[[], str]) -> None:
        """`python`: the engine's."""
        self._desk, self._python = desk, python

    def ask(self) -> None:
        desk, image = self._desk, self._desk.stage.chosen()
        if image is None or not desk.tracks.chosen():
            desk.notice.fail(tr("There is no mask of this image yet: run a prompt first."))
            return
        try:
            dicom = bool(image.volume.source) and image.volume.stacking_axis is not None
        except BoltzFormerError as error:
            desk.notice.fail(str(error))
            return
        suggested = desk.places.to_write(f"{image.name}-mask{'.dcm' if dicom else '.seg.nrrd'}")
        path = desk.dialogs.save_as(tr("Export masks"), suggested, KINDS)
        if path is not None:
            desk.places.wrote(path)
        if path is not None and path.suffix == ".dcm":
            self._as_dicom(path)
        elif path is not None:
            desk.exporting.write_to(path)

    def _as_dicom(self, path: Path) -> None:
        desk, image = self._desk, self._desk.stage.chosen()
        if image is None:
            return
        source = image.volume.source
        if not source:
            desk.notice.fail(
                tr(
                    "DICOM-SEG refers to the image's own DICOM files, and this volume came from none that are there: "
                    "export as .seg.nrrd or NIfTI instead."
                )
            )
            return
        masks = Snapshot.of(image, desk.tracks.chosen())
        desk.notice.say(tr("Writing {file}…").format(file=path))
        write = partial(as_dicom, masks, source, path, self._python())
        desk.keeper.work.do(write, lambda _: desk.notice.say(tr("Wrote {file}").format(file=path)))


def as_dicom(masks: Snapshot, source: str, path: Path, python: str) -> None:
    """Waits for the other Python."""
    with tempfile.TemporaryDirectory(prefix="boltzformer-") as folder:
        between = Path(folder) / "masks.seg.nrrd"
        io.write(masks.kept(), between)
        command = [python, str(PROGRAM), source, str(between), str(path)]
        try:
            done = subprocess.run(
                command, env=environment_of(python), capture_output=True, text=True, encoding="utf-8", timeout=LONGEST_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            why = tr("The engine's Python could not be asked to write {file} ({why}).")
            raise BoltzFormerError(why.format(file=path.name, why=error)) from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [tr("it ended without a word")]
        raise BoltzFormerError(tr("{file} was not written: {why}").format(file=path.name, why=last[0]))
