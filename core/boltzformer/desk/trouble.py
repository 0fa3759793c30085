"""What went wrong, as one file to pass on: the sentence, what was logged, versions, settings; nothing of an image."""

from __future__ import annotations

import json
import logging
import zipfile
from collections import deque
from dataclasses import asdict
from pathlib import Path

from boltzformer.desk.discreet import OURS, line_of
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Dialogs
from boltzformer.desk.settings import Settings
from boltzformer.errors import BoltzFormerError
from boltzformer.io.writing import new_files

LINES = 500
PRIVATE = "folder", "folders", "opened_in", "exported_in", "listed_in", "prompts", "frames", "python"
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


def ask_and_report(dialogs: Dialogs, notice: Notice, log: Log, settings: Settings) -> None:
    """Where to, then there."""
    path = dialogs.save_as("Save report", "what-went-wrong.zip", "Report (*.zip)")
    if path is not None:
        try:
            report_to(path, notice.details, log, settings)
            notice.say(f"Wrote {path}")
        except BoltzFormerError as error:
            notice.fail(str(error))


def report_to(path: Path, details: str, log: Log, settings: Settings) -> None:
    """A zip of three texts, whole or not at all."""
    kept = {name: value for name, value in asdict(settings).items() if name not in PRIVATE}
    if Path(settings.model).is_absolute():
        kept["model"] = "a file"
    with new_files([path], overwrite=True) as (file,), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("what went wrong.txt", details)
        archive.writestr("log.txt", "\n".join(log.lines))
        archive.writestr("settings.json", json.dumps(kept, indent=1))
