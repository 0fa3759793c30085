"""`Places`: where Open… and Export… begin: in the folder that was chosen last, else where the image lies; masks of a
series beside its folder."""

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
        return self._last(self._settings.opened_in) or self._of_image()

    def to_write(self, name: str) -> str:
        """A file of this name."""
        return str(Path(self._last(self._settings.exported_in) or self._of_image(beside=True)) / name)

    def opened(self, path: Path) -> None:
        self._settings.opened_in = str(path.absolute().parent)
        self._settings.save()

    def wrote(self, path: Path) -> None:
        self._settings.exported_in = str(path.absolute().parent)
        self._settings.save()

    def _last(self, folder: str) -> str:
        return folder if folder and Path(folder).is_dir() else ""

    def _of_image(self, *, beside: bool = False) -> str:
        """`beside`: not among the slices of a series, with which it would be copied, sent and read."""
        image = self._stage.chosen()
        try:
            source = "" if image is None else image.volume.source
        except BoltzFormerError:  # running says why
            return ""
        place = Path(source) if source else Path()
        folder = place if place.is_dir() else place.parent
        if source and folder.absolute().is_relative_to(PACKAGE):
            return str(Path.home())  # the example's: nobody looks for masks in there
        if not source or not folder.is_dir():
            return ""
        among = beside and image is not None and image.volume.stacking_axis is not None and _has_others(place)
        return str(folder.absolute().parent if among else folder.absolute())


def _has_others(slice_of_many: Path) -> bool:
    """Files of its kind beside it."""
    beside = (one for one in slice_of_many.parent.iterdir() if one.suffix == slice_of_many.suffix)
    return any(one != slice_of_many and one.is_file() for one in beside)
