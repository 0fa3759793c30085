"""The table of objects as a file, called after its image."""

from __future__ import annotations

from collections.abc import Sequence

from boltzformer.desk.keeping.lesions import Lesion, csv_of
from boltzformer.desk.keeping.places import Places
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Dialogs, Stage
from boltzformer.errors import BoltzFormerError
from boltzformer.io.writing import new_files


def ask_and_save(
    lesions: Sequence[Lesion], stage: Stage, tracks: Tracks, dialogs: Dialogs, places: Places, notice: Notice
) -> None:
    """Where to? Objects that are left out of exports are left out of it."""
    image = stage.chosen()
    suggested = f"{image.name if image is not None else 'image'}-objects.csv"
    path = dialogs.save_as("Save the table", places.to_write(suggested), "Table (*.csv)")
    if path is None:
        return
    places.wrote(path)
    try:
        with new_files([path], overwrite=True) as (file,):
            file.write(csv_of(lesions, {track.key: track for track in tracks.chosen()}).encode())
    except BoltzFormerError as error:
        notice.fail(str(error))
    else:
        notice.say(f"Wrote {path}")
