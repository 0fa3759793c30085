"""Where all slices take long, a quicker way is offered: every fourth first, then only where something may be."""

import pytest
from bench import Bench

from boltzformer.desk.runs.running import EVERY, SCOUT
from boltzformer.io.phantom import BRIGHT, Phantom, phantom


@pytest.fixture(scope="module")
def made() -> Phantom:
    return phantom(5, (48, 72, 72), (BRIGHT,))


def test_it_is_offered_once_the_time_is_known_and_says_what_was_not_looked_at(bench: Bench, made: Phantom) -> None:
    image = bench.open_volume(made.volume)
    running = bench.desk.running
    running.long_s = 0.0
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
