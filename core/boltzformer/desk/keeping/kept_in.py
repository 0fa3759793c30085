"""`KeptIn`: the folder where work is kept: a usual one, of which is told once, or another that a person chose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from boltzformer.desk.image import OpenImage
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Dialogs
from boltzformer.desk.settings import REMEMBERED, Settings
from boltzformer.desk.words import ViewerWords
from boltzformer.home import home


class KeptIn:
    """What is accepted, and, once anything is, also what is not."""

    def __init__(self, settings: Settings, dialogs: Dialogs, notice: Notice, words: ViewerWords) -> None:
        self.moved: list[Callable[[], None]] = []
        """It is another folder than before."""
        self._settings, self._dialogs, self._notice, self._words = settings, dialogs, notice, words
        self._new = False
        """Whether nobody was told yet that there is a usual folder."""

    def folder(self, image: OpenImage | None = None) -> Path:
        """Of this image: work goes on where it was begun."""
        place = ("" if image is None else image.store) or self._settings.folder
        return Path(place) if place else autosaves()

    def settle(self) -> None:
        """Something is accepted for the first time: nobody is asked where to keep it."""
        if not self._settings.folder:
            self._settings.folder = str(accepted_folder())
            self._settings.save()
            self._new = True
            self._tell()

    def told(self) -> str:
        """Behind the sentence that names the folder, once."""
        new, self._new = self._new, False
        return f" {self._words.another_folder}" if new else ""

    def choose(self, images: list[OpenImage], opened: Sequence[OpenImage]) -> None:
        """`images`: those of the opened ones that may move, as nothing of them is accepted elsewhere."""
        title = "Where to keep what you accept: a new or empty folder, or one that keeps it already"
        chosen = self._dialogs.folder(title)
        if chosen is not None:
            for image in images:
                image.store = str(chosen)
            self.use(chosen, opened)

    def use(self, folder: Path, opened: Sequence[OpenImage] = ()) -> None:
        """From now on; of the opened images some stay where they were begun."""
        before = self._settings.folder
        if before and before != str(folder):
            self._settings.folders = list(dict.fromkeys([before, *self._settings.folders]))[:REMEMBERED]
        self._settings.folder, self._new = str(folder), False
        self._settings.save()
        self._tell()
        if before != str(folder):
            stay = [one for one in opened if one.store not in ("", str(folder))]
            self._notice.say(f"What you accept from now on is kept in {folder}{_but(stay)}.")

    def _tell(self) -> None:
        for heard in self.moved:
            heard()


def _but(stay: Sequence[OpenImage]) -> str:
    """Of which images that is not so."""
    names = "', '".join(one.name for one in stay)
    if len(stay) == 1:
        return f"; '{names}' goes on in {Path(stay[0].store).name}, where it was begun"
    return f"; '{names}' go on where they were begun" if stay else ""


def accepted_folder() -> Path:
    """Where what is accepted is kept, as long as nobody chose another folder."""
    return home() / "accepted"


def autosaves() -> Path:
    """Where work is kept as long as nothing is accepted."""
    return home() / "autosave"
