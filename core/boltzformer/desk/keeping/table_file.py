"""The table of objects as a file, called after its image: measured anew, so that it holds what is on screen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from boltzformer.desk.keeping.lesions import Lesion, csv_of, lesions_of, standing, to_measure
from boltzformer.desk.keeping.places import Places
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.notice import Notice
from boltzformer.desk.ports import Dialogs, Stage
from boltzformer.desk.work import Work
from boltzformer.errors import BoltzFormerError
from boltzformer.io.writing import new_files


def ask_and_save(
    stage: Stage,
    tracks: Tracks,
    work: Work,
    dialogs: Dialogs,
    places: Places,
    notice: Notice,
    show: Callable[[list[Lesion], dict[str, int]], None],
) -> None:
    """Where to? Objects that are left out are not in it. `show` gets all that was measured, and how the masks stood."""
    image, chosen = stage.chosen(), tracks.chosen()
    if image is None or not chosen:
        notice.say("There is no mask of this image yet: run a prompt first.")
        return
    path = dialogs.save_as("Save the table", places.to_write(f"{image.name}-objects.csv"), "Table (*.csv)")
    if path is None:
        return
    places.wrote(path)
    stood = standing(chosen)

    def measured(lesions: list[Lesion]) -> None:
        if stage.chosen() is image:
            show(lesions, stood)
        try:
            with new_files([path], overwrite=True) as (file,):
                file.write(csv_of(lesions, {track.key: track for track in chosen}).encode())
        except BoltzFormerError as error:
            notice.fail(str(error))
        else:
            notice.say(f"Wrote {path}")

    notice.say(f"Writing {path}…")
    work.do(partial(lesions_of, *to_measure(image, chosen)), measured)
