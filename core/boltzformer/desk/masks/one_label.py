"""`OneLabel`: whether objects that touch are parted in the next picture of cells, as they were in the last one."""

from __future__ import annotations

from boltzformer.desk.masks.thresholds import Reapplying
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.ports import Stage
from boltzformer.desk.settings import Settings
from boltzformer.knowledge.suggestions import may_be_cells


class OneLabel:
    """The vessels of an eye have no say in it, nor are they parted because cells were."""

    def __init__(self, stage: Stage, tracks: Tracks, settings: Settings) -> None:
        self._stage, self._tracks, self._settings = stage, tracks, settings

    def usual(self) -> bool:
        """Of the chosen image, where nobody has chosen anything for it: as it was shown first. What is chosen for
        another one later is for those that are still to come."""
        image = self._stage.chosen()
        if image is None:
            return False
        if image.apart is None and self._may_be_cells():
            image.apart = self._settings.apart
        return bool(image.apart)  # also when something is asked for later that is none: those that are there stay so

    def remember(self, chosen: Reapplying) -> None:
        """From picture to picture; a volume has no say in it."""
        picture = chosen.scale.flat and chosen.bar.lanes and self._may_be_cells()
        if picture and chosen.thresholds.apart != self._settings.apart:
            self._settings.apart = chosen.thresholds.apart
            self._settings.save()

    def _may_be_cells(self) -> bool:
        image, tracks = self._stage.chosen(), self._tracks.chosen()
        kind = "" if image is None else image.kind
        return may_be_cells([track.prompt.text for track in tracks], kind)
