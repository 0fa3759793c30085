"""Prompts that are asked at once, one of them with what was learnt: one progress, one summary, though the engine makes
one run after the other."""

from typing import Any, cast

import numpy as np
import pytest
from bench import Asked, Bench, result, whole

from boltzformer import Grid, Session
from boltzformer.masks.lessons import Adapter
from boltzformer.types import Prediction, Started

GRID = Grid.pixels((6, 20, 20))
TAUGHT, PLAIN = "cell", "nucleus"
EMPTY, FULL = np.zeros((20, 20), bool), np.ones((20, 20), bool)


class Engine:
    """Answers nobody by itself."""

    def __init__(self) -> None:
        self.model, self.jobs = "m", list[Asked]()

    def segment(self, *asked: Any, **how: Any) -> Asked:
        self.jobs.append(Asked())
        return self.jobs[-1]


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def asked(engine: Engine, tmp_path: Any) -> Any:
    """Both prompts in all slices of an image; nothing is answered yet."""
    bench = Bench(cast(Session, engine), tmp_path)
    bench.open(GRID)
    learnt = cast(Adapter, object())
    bench.desk.running.adapter_for = lambda image, text, model: learnt if text == TAUGHT else None
    bench.desk.running.start([PLAIN, TAUGHT], only_this=False)
    yield bench
    bench.leave()


def begins(bench: Bench, job: Asked, *found: Any) -> None:
    """With answers for the first slices."""
    (image,) = bench.stage.images()
    answers = [result(whole(image), row, mask, 0.9) for row, mask in enumerate(found)]
    job.events = [Started(image.plan, image.count, {"thresholds": {"existence": 0.5}}), *answers]
    bench.timers.tick()


def ends(bench: Bench, job: Asked) -> None:
    (image,) = bench.stage.images()
    job.events += [Prediction((), (), image.plan)]
    bench.timers.tick()


def test_one_progress_and_one_summary_over_both(asked: Bench, engine: Engine) -> None:
    running, (first, second) = asked.desk.running, engine.jobs
    begins(asked, first, *[FULL] * 4)
    assert running.progress == (2, 6)
    assert asked.speaker.sentence.startswith("2 of 6 slices")
    first.events = [result(whole(asked.stage.images()[0]), row, EMPTY, 0.1) for row in (4, 5)]
    ends(asked, first)
    assert running.progress == (3, 6)
    assert asked.speaker.sentence.startswith("3 of 6 slices")  # and not how the first half went
    begins(asked, second, FULL, FULL)
    assert running.progress == (4, 6)
    assert asked.speaker.sentence.startswith("4 of 6 slices")
    second.events = [result(whole(asked.stage.images()[0]), row, EMPTY, 0.1) for row in (2, 3, 4, 5)]
    ends(asked, second)
    assert running.progress is None
    assert asked.speaker.sentence == f"Looked in 6 slices; found '{PLAIN}' in 4, '{TAUGHT}' in 2."
    asked.desk.overview.reapplying.choose(existence=0.95)
    asked.idle()
    assert asked.speaker.sentence == f"Looked in 6 slices; found '{PLAIN}' in 0, '{TAUGHT}' in 0."


def test_the_time_left_is_that_of_both(asked: Bench, engine: Engine) -> None:
    begins(asked, engine.jobs[0], *[FULL] * 3)
    one, other = asked.desk.running.runs
    one._began -= 60.0  # a minute ago
    both = one.seconds_left
    one.together = [one]
    assert both == pytest.approx(3 * (one.seconds_left or 0), rel=0.1)  # 3 slices are left, and 6 of the other
    assert other.seconds_left is None


def test_cancelled_in_the_second_half_tells_of_both(asked: Bench, engine: Engine) -> None:
    first, second = engine.jobs
    begins(asked, first, *[FULL] * 6)
    ends(asked, first)
    begins(asked, second, FULL)
    asked.desk.running.cancel()
    asked.timers.tick()
    assert asked.speaker.sentence == (
        f"Cancelled; what was finished is kept. Looked in 6 slices; found '{PLAIN}' in 6. "
        f"Looked in 1 slice; found '{TAUGHT}' in 1."
    )


def test_cancelled_before_the_second_half_tells_of_the_first(asked: Bench, engine: Engine) -> None:
    begins(asked, engine.jobs[0], FULL, FULL)
    asked.desk.running.cancel()
    asked.timers.tick()
    assert asked.speaker.sentence == (
        f"Cancelled; what was finished is kept. Looked in 2 slices; found '{PLAIN}' in 2."
    )
