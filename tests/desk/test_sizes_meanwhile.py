"""While a run answers still: small objects are hidden, and no count stands there that is not true any more."""

import pytest
from bench import Bench

from boltzformer.desk.masks.kept import Thresholds
from boltzformer.io.phantom import BRIGHT, Phantom


@pytest.mark.slow
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


def test_a_run_takes_the_count_away_that_it_makes_untrue(bench: Bench, small: Phantom) -> None:
    image, objects = bench.open_volume(small.volume), bench.desk.counting.objects
    bench.stage.go(image, small.lesions[0].centre[2])
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    (track,) = bench.desk.tracks.chosen()
    assert objects[track.key].objects
    told: list[bool] = []
    bench.desk.running.answered.append(lambda run, row: told.append(track.key in objects))
    bench.desk.running.start([BRIGHT], only_this=False)
    bench.idle()
    assert told
    assert not any(told)
    assert objects[track.key].objects
