"""What went wrong, as one file to pass on: the sentence, what was logged, versions, settings; nothing of an image."""

from __future__ import annotations

import json
import logging
import zipfile
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from boltzformer import BoltzFormerError
from boltzformer.io.atomic import new_files
from napari_boltzformer.discreet import OURS, line_of
from napari_boltzformer.settings import Settings

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

LINES = 500
PRIVATE = "folder", "prompts"
"""Settings that could name a patient or a place."""


class Log(logging.Handler):
    """The last lines that our packages logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=LINES)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        for name in OURS:
            logging.getLogger(name).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        discreet = logging.LogRecord(
            record.name, record.levelno, record.pathname, record.lineno, line_of(record), None, None
        )
        discreet.created = record.created
        self.lines.append(self.format(discreet))

    def leave(self) -> None:
        """Nobody reads it any more."""
        for name in OURS:
            logging.getLogger(name).removeHandler(self)


def ask_and_report(dock: BoltzFormerDock) -> None:
    """Where to, then there."""
    path, _ = QFileDialog.getSaveFileName(
        dock, "Save report", "what-went-wrong.zip", "Report (*.zip)", options=QFileDialog.Option.DontUseNativeDialog
    )
    if path:
        try:
            report_to(Path(path), dock.notice.details, dock.log, dock.settings)
            dock.notice.say(f"Wrote {path}")
        except BoltzFormerError as error:
            dock.notice.fail(str(error))


def report_to(path: Path, details: str, log: Log, settings: Settings) -> None:
    """A zip of three texts, whole or not at all."""
    kept = {name: value for name, value in asdict(settings).items() if name not in PRIVATE}
    with new_files([path], overwrite=True) as (file,), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("what went wrong.txt", details)
        archive.writestr("log.txt", "\n".join(log.lines))
        archive.writestr("settings.json", json.dumps(kept, indent=1))
