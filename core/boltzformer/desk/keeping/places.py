"""`Places`: where Open… and Export… begin. Open… in the folder that was chosen last, else where the image lies; what is
written of an image where that lies, unless another folder was chosen for it; masks of a series beside its folder."""

from __future__ import annotations

import os
from pathlib import Path
from weakref import WeakKeyDictionary

from boltzformer.desk.image import OpenImage
from boltzformer.desk.ports import Stage
from boltzformer.desk.settings import Settings
from boltzformer.errors import BoltzFormerError

PACKAGE = Path(__file__).absolute().parents[2]


class Places:
    """Remembered from one day to the next."""

    def __init__(self, stage: Stage, settings: Settings) -> None:
        self._stage, self._settings = stage, settings
        self._of_each: WeakKeyDictionary[OpenImage, str] = WeakKeyDictionary()
        """Where something was written last, by the image that it was of."""

    @property
    def to_open(self) -> str:
        """A folder; '' where there is none yet."""
        return self._last(self._settings.opened_in) or self._of_image()

    def to_write(self, name: str) -> str:
        """A file of this name: beside the image in hand, for nobody looks for it in the folder of another one."""
        image, beside = self._stage.chosen(), self._of_image(beside=True)
        own = self._last("" if image is None else self._of_each.get(image, ""))
        usual = beside if beside and not _is_example(self._source()) and os.access(beside, os.W_OK) else ""
        return str(Path(own or usual or self._last(self._settings.exported_in) or beside) / name)

    def opened(self, path: Path) -> None:
        self._settings.opened_in = str(path.absolute().parent)
        self._settings.save()

    def wrote(self, path: Path) -> None:
        self._settings.exported_in = str(path.absolute().parent)
        if (image := self._stage.chosen()) is not None:
            self._of_each[image] = self._settings.exported_in
        self._settings.save()

    def _last(self, folder: str) -> str:
        return folder if folder and Path(folder).is_dir() else ""

    def _source(self) -> str:
        image = self._stage.chosen()
        try:
            return "" if image is None else image.volume.source
        except BoltzFormerError:  # running says why
            return ""

    def _of_image(self, *, beside: bool = False) -> str:
        """`beside`: not among the slices of a series, with which it would be copied, sent and read."""
        image, source = self._stage.chosen(), self._source()
        place = Path(source) if source else Path()
        folder = place if place.is_dir() else place.parent
        if _is_example(source):
            return str(Path.home())  # the example's: nobody looks for masks in there
        if not source or not folder.is_dir():
            return ""
        among = beside and image is not None and image.volume.stacking_axis is not None and _has_others(place)
        return str(folder.absolute().parent if among else folder.absolute())


def _is_example(source: str) -> bool:
    return bool(source) and Path(source).absolute().is_relative_to(PACKAGE)


def _has_others(slice_of_many: Path) -> bool:
    """Files of its kind beside it."""
    beside = (one for one in slice_of_many.parent.iterdir() if one.suffix == slice_of_many.suffix)
    return any(one != slice_of_many and one.is_file() for one in beside)
