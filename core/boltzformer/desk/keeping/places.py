"""`Places`: where Open… and Export… begin: in the folder that was chosen last, else where the image lies."""

from __future__ import annotations

from pathlib import Path

from boltzformer.desk.ports import Stage
from boltzformer.desk.settings import Settings
from boltzformer.errors import BoltzFormerError

PACKAGE = Path(__file__).absolute().parents[2]


class Places:
    """Remembered from one day to the next."""

    def __init__(self, stage: Stage, settings: Settings) -> None:
        self._stage, self._settings = stage, settings

    @property
    def to_open(self) -> str:
        """A folder; '' where there is none yet."""
        return self._begin(self._settings.opened_in)

    def to_write(self, name: str) -> str:
        """A file of this name."""
        return str(Path(self._begin(self._settings.exported_in)) / name)

    def opened(self, path: Path) -> None:
        self._settings.opened_in = str(path.absolute().parent)
        self._settings.save()

    def wrote(self, path: Path) -> None:
        self._settings.exported_in = str(path.absolute().parent)
        self._settings.save()

    def _begin(self, last: str) -> str:
        return last if last and Path(last).is_dir() else self._of_image()

    def _of_image(self) -> str:
        image = self._stage.chosen()
        try:
            source = "" if image is None else image.volume.source
        except BoltzFormerError:  # running says why
            return ""
        place = Path(source) if source else Path()
        folder = place if place.is_dir() else place.parent
        if source and folder.absolute().is_relative_to(PACKAGE):
            return str(Path.home())  # the example's: nobody looks for masks in there
        return str(folder.absolute()) if source and folder.is_dir() else ""
