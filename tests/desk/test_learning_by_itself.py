"""'As I go', 'Forget' and 'Start afresh': nothing is learnt that nobody taught, and what is forgotten stays away."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Asked, Bench

from boltzformer import Grid
from boltzformer.dataset import learnt
from boltzformer.desk.keeping.bringing_back import about
from boltzformer.desk.masks.track import Track
from boltzformer.desk.settings import Settings
from boltzformer.masks.lessons import Adapted, Adapter

pytestmark = pytest.mark.without_engine
GRID = Grid.from_lps((6, 30, 40), np.eye(4))


class Engine:
    """It answers nothing."""

    model = "m"

    def __init__(self) -> None:
        self.learnings: list[Any] = []
        self.asked: dict[str, Any] = {}
        """With what it was asked to learn last."""

    def adapt(self, *_: Any, **how: Any) -> Any:
        self.asked = how
        self.learnings.append(Asked())
        return self.learnings[-1]

    def segment(self, *_: Any, **__: Any) -> Any:
        job = Asked()
        job.cancel()
        return job


def at_work(engine: Engine, folder: Path) -> Bench:
    one = Bench(engine, folder)  # type: ignore[arg-type]
    one.desk.settings.folder = str(folder)
    one.desk.settings.learn_as_i_go = True
    return one


def ticks(bench: Bench) -> None:
    for _ in range(6):
        bench.timers.tick()


def stroke(track: Track, row: int) -> None:
    mask = np.zeros(track.shape[1:], bool)
    mask[2:9, 2:9] = True
    track.surface.paint(row, mask)  # type: ignore[attr-defined]


def corrected(bench: Bench) -> Track:
    found = np.zeros((6, 30, 40), bool)
    found[:, 15:25, 15:25] = True
    track = bench.answered(bench.open(GRID), "x", found)
    for row in (1, 2):
        stroke(track, row)
    return track


def learnt_of(bench: Bench, engine: Engine, track: Track, parent: str = "p", *, of_its_own: bool = True) -> Adapter:
    if of_its_own:
        ticks(bench)
    else:
        bench.desk.learning.start()
    bench.until(lambda: bool(engine.learnings))
    made = Adapter(parent, "v", "x", 0, bench.desk.learning.lessons(track))
    engine.learnings[-1].events = [Adapted(made, 1.0)]
    bench.idle()
    return made


def test_what_was_forgotten_is_not_learnt_again_by_itself(tmp_path: Path) -> None:
    engine = Engine()
    bench = at_work(engine, tmp_path / "kept")
    learning, track = bench.desk.learning, corrected(bench)
    learnt_of(bench, engine, track)
    assert learning.learnt(track) is not None
    learning.forget()
    bench.idle()
    learning.heard(track)  # the run that follows changed the rest
    ticks(bench)
    assert (len(engine.learnings), learning.busy, learning.offered) == (1, False, True)
    stroke(track, 3)
    ticks(bench)
    assert (len(engine.learnings), learning.busy) == (2, True)
    learning.forget()  # before it has come to an end
    assert not learning.busy
    bench.idle()
    ticks(bench)
    assert len(engine.learnings) == 2
    bench.leave()


@pytest.mark.parametrize("taught", [False, True])
def test_work_of_another_day_is_no_news(tmp_path: Path, taught: bool) -> None:
    engine, folder = Engine(), tmp_path / "kept"
    Settings(folder=str(folder)).save()
    bench = at_work(engine, folder)
    bench.desk.settings.learn_as_i_go = taught
    track = corrected(bench)
    if taught:
        learnt_of(bench, engine, track)
    bench.desk.keeper.autosave()
    bench.idle()
    bench.leave()

    other = Engine()
    again = at_work(other, folder)
    learning, image = again.desk.learning, again.open(GRID)
    again.desk.keeper.look_for(image)
    again.until(lambda: bool(again.speaker.offers))
    again.idle()
    ticks(again)
    assert not other.learnings
    (back,) = again.desk.tracks.of(image)
    assert back.edited_rows() == [1, 2]
    if taught:
        again.until(lambda: learning.learnt(back) is not None)
        assert learning.before(back, 4) is None
        assert learning.no_before(back, 4).startswith("What was there before is not known of an earlier day")
        assert "the slice is yours" in learning.no_before(back, 1)
    stroke(back, 4)
    ticks(again)
    assert len(other.learnings) == 1
    learning.stop()
    if taught:
        dict(next(one for one in again.desk.notice.offers if one.topic == about(image)).answers)["Start afresh"]()
        again.idle()
        assert not again.desk.tracks.of(image)
        assert not learnt.kept(folder, image.volume, image.case or "")
    again.leave()
