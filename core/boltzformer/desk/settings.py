"""What the dock remembers from one day to the next: a small JSON file in the program's folder. Never a secret."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from boltzformer.atomic import write_text
from boltzformer.home import home

logger = logging.getLogger(__name__)
FILE = "napari.json"
REMEMBERED = 20
FILES = 500
"""Of so many it is remembered what was chosen in them."""


@dataclass
class Settings:
    """Every field has the value that a new user begins with."""

    model: str = "default"
    folder: str = ""
    """Where accepted slices are kept; asked for once."""
    folders: list[str] = field(default_factory=list[str])
    """Where they were kept before, the last first: work that lies there is found, too."""
    opened_in: str = ""
    exported_in: str = ""
    """Where a person opened and exported last."""
    listed_in: str = ""
    """The folder whose cases were listed last."""
    frames: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """Of files of several time points or channels, by a hash of their places: what was chosen, the last first."""
    prompts: list[str] = field(default_factory=list[str])
    """Asked lately, the last first."""
    rings: bool = True
    samples: int = 1
    apart: bool = False
    """One label per object of a picture, as it was ticked last."""
    more_open: bool = False
    length: int = 10
    """Of a fine-tuning, as it was chosen last."""
    unit: str = "minutes"
    device: str = "auto"
    threads: int = 0
    """0: all cores but one."""
    cache_gb: float = 2.0
    learning_seconds: float = 20.0
    """Of learning from a case."""
    learn_as_i_go: bool = False
    carry: bool = False
    """Whether what one image taught is where the next one begins."""
    python: str = ""
    """One that has the engine, named by a person; '': the viewer's own, or that of the environment made for it."""

    def __post_init__(self) -> None:
        self._known: dict[str, Any] = {}
        """As they were read or written last; nothing where they were made anew."""

    @staticmethod
    def load() -> Settings:
        """A file that can't be read is as good as none."""
        found = Settings._read()
        found._known = asdict(found)
        return found

    @staticmethod
    def _read() -> Settings:
        try:
            told: dict[str, Any] = json.loads((home() / FILE).read_text("utf-8"))
            known = {one.name: type(getattr(Settings(), one.name)) for one in fields(Settings)}
            kept: dict[str, Any] = {key: value for key, value in told.items() if isinstance(value, known.get(key, ()))}
            return Settings(**kept)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            if not isinstance(error, FileNotFoundError):
                logger.warning("the settings could not be read: %s", error)
            return Settings()

    def save(self) -> None:
        """The file whole or not at all; a full disk costs nobody their work. What was not changed here since it was
        read is left as it stands in the file: another part or another window may have."""
        mine = asdict(self)
        told = mine if not self._known else asdict(Settings._read())
        told |= {name: value for name, value in mine.items() if value != self._known.get(name)}
        try:
            home().mkdir(parents=True, exist_ok=True)
            write_text(home() / FILE, json.dumps(told, indent=1, ensure_ascii=False))
            self._known = mine
        except OSError as error:
            logger.warning("the settings could not be saved: %s", error)

    def chose_frame(self, file: str, number: int) -> None:
        """Remembers it."""
        before = {key: numbers for key, numbers in self.frames.items() if key != file}
        numbers = list(dict.fromkeys([number, *self.frames.get(file, ())]))[:REMEMBERED]
        self.frames = dict([*before.items(), (file, numbers)][-FILES:])
        self.save()

    def asked(self, texts: list[str]) -> None:
        """Remembers prompts."""
        if not texts:
            return
        self.prompts = list(dict.fromkeys([*texts, *self.prompts]))[:REMEMBERED]
        self.save()
