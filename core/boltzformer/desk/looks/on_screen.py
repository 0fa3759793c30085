"""What looks can be asked for: of the slice on screen and the mask in hand, as it was asked."""

from __future__ import annotations

from boltzformer.desk.looks.following import OnScreen
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.ports import Stage
from boltzformer.desk.words import named


def on_screen(stage: Stage, tracks: Tracks) -> OnScreen | str:
    """Or a sentence that says why none can."""
    image, track = stage.chosen(), tracks.active()
    if image is None or track is None:
        return "Run a prompt first, then see how the model looked."
    row = stage.row(image)
    if row not in track.kept.rows:
        name, earlier = named(row, track.count), row in track.kept.looked
        if earlier:
            return f"How it looked at {name} on an earlier day is not kept: run it again, and its looks are shown."
        return f"The model has not looked at {name} yet: run it first."
    how = dict(track.how[row])
    index, seed, mask = image.plan.canonical_index(row), how.pop("seed"), track.kept.at_present(row)
    return OnScreen(image, track.prompt.text, index, seed, mask, track.kept.thresholds, how)
