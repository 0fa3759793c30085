"""What is kept of masks: as they were at that moment, and without holding the viewer up for a copy."""

import tracemalloc

import numpy as np
from storage_orders import grid_of

from boltzformer import Prompt, Volume
from boltzformer.desk.keeping.remembering import annotation_of
from boltzformer.desk.keeping.snapshot import Snapshot
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.memory import MemoryStage


def test_what_is_kept_of_large_masks_is_not_copied_on_the_viewers_thread() -> None:
    shape = (40, 512, 512)
    stage, disc = MemoryStage(), np.hypot(*np.ogrid[-256:256, -256:256]) < 90
    image = stage.open(Volume(np.zeros(shape, np.uint8), grid_of(shape, (1.0, 1.0, 1.0))))
    every = Tracks(stage)
    tracks = [every.new(image, Prompt(name)) for name in "abc"]
    for track in tracks:
        track.begin_run(image.plan, 0.5)
        for row in range(track.count):
            track.put(row, disc)
    spot = np.zeros(shape[1:], bool)
    spot[4:12, 4:12] = True
    stage.surfaces(image)[1].paint(7, spot, 2)
    stage.surfaces(image)[2].paint(8, disc, 0)
    tracemalloc.start()
    masks = Snapshot.of(image, tracks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(tracks) * np.prod(shape) / 20
    then = [track.surface.copy() > 0 for track in tracks]
    tracks[0].change(3, ~disc)  # what happens meanwhile is not kept
    annotation, answer = annotation_of(masks), masks.answers()
    for value, was in enumerate(then, 1):
        assert np.array_equal(annotation.labels.mask(value), image.plan.view.undo(was))
        assert np.array_equal(answer.mask(value), image.plan.view.undo(np.broadcast_to(disc, shape)))
    assert annotation.provenance["slices edited"] == {"a": [], "b": [7], "c": [8]}
