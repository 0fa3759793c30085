"""Where all slices take long, a quicker way is offered: every fourth first, then only where something may be."""

import pytest
from bench import Bench, result, whole

from boltzformer.desk.runs.scouting import EVERY, SCOUT
from boltzformer.io.phantom import BRIGHT, DARK, Phantom, phantom
from boltzformer.types import Prediction


@pytest.fixture(scope="module")
def made() -> Phantom:
    return phantom(5, (48, 72, 72), (BRIGHT,))


def test_it_is_offered_once_the_time_is_known_and_says_what_was_not_looked_at(bench: Bench, made: Phantom) -> None:
    image = bench.open_volume(made.volume)
    running = bench.desk.running
    running.scouting.long_s = 0.0
    running.start([BRIGHT], only_this=False)
    bench.until(lambda: bool(bench.speaker.offers))
    ((offer),) = bench.speaker.offers
    assert offer.topic == SCOUT
    assert offer.sentence.startswith("All slices take about ")
    ((label, _),) = offer.answers
    bench.desk.notice.answer(SCOUT, label)
    bench.idle()
    assert not bench.speaker.offers
    (track,) = bench.desk.tracks.of(image)
    assert "not at the others" in bench.speaker.sentence
    assert len(track.scores) < image.count
    assert track.runs[-1]["scout"] == {"every": EVERY, "of slices": image.count}


def test_nobody_is_asked_where_it_is_quick(bench: Bench, made: Phantom) -> None:
    bench.open_volume(made.volume)
    bench.desk.running.start([BRIGHT], only_this=False)
    bench.idle()
    assert not bench.speaker.offers


@pytest.mark.without_engine
def test_it_stands_until_it_is_answered_or_its_own_run_is_over(bench: Bench, made: Phantom) -> None:
    image, running = bench.open_volume(made.volume), bench.desk.running
    running.scouting.long_s = 0.0
    plan, nothing = whole(image), image.volume.array[0] < 0

    def offered() -> list[str]:
        return [one.topic for one in bench.speaker.offers]

    every = bench.ask(BRIGHT, every=True)
    every.events = [result(plan, row, nothing, 0.1) for row in range(3)]
    bench.timers.tick()
    assert offered() == [SCOUT]
    click = bench.ask(BRIGHT, every=False)  # a point: this slice is asked
    click.events = [result(plan, 9, nothing, 0.1), Prediction((), (), plan)]
    bench.until(lambda: len(running.runs) == 1)
    assert offered() == [SCOUT]
    bench.desk.notice.answer(SCOUT, "")  # set aside: nobody is asked again
    every.events = [result(plan, 3, nothing, 0.1)]
    bench.timers.tick()
    assert offered() == []
    every.cancel()
    bench.idle()

    another = bench.ask(DARK, every=True)
    another.events = [result(plan, row, nothing, 0.1) for row in range(4)]
    bench.timers.tick()
    assert offered() == [SCOUT]
    another.cancel()
    bench.idle()
    assert offered() == []
