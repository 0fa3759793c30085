"""Small objects are hidden while a run answers still, and not only at its end."""

from bench import Bench

from boltzformer.desk.masks.answers import Thresholds
from boltzformer.io.phantom import BRIGHT, Phantom


def test_small_objects_are_hidden_while_a_run_answers_still(bench: Bench, small: Phantom) -> None:
    image = bench.open_volume(small.volume)
    bench.stage.go(image, small.lesions[0].centre[2])
    image.thresholds = Thresholds(smallest_mm3=1e6)
    run = bench.desk.running.start([BRIGHT], only_this=False)
    assert run is not None
    bench.until(lambda: bench.desk.sizes.count > 0 or run not in bench.desk.running.runs)
    assert run in bench.desk.running.runs  # 16 slices take longer than a look at the first few
    bench.idle()
    (track,) = bench.desk.tracks.chosen()
    assert len(track.scores) == small.volume.grid.shape[0]
    assert not track.surface.copy().any()
