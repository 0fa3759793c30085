"""What was learnt belongs to one model and to one image: with another model nothing breaks, and another day it is back,
wherever the work went meanwhile."""

from dataclasses import replace
from pathlib import Path

import pytest
from test_learning_by_itself import GRID, Engine, at_work, corrected, learnt_of

from boltzformer.desk.models.knowledge import Knowledge
from boltzformer.desk.settings import Settings

pytestmark = pytest.mark.without_engine


def test_with_another_model_what_was_learnt_is_not_asked_with_and_is_told_of(tmp_path: Path) -> None:
    engine = Engine()
    bench = at_work(engine, tmp_path / "kept")
    desk, learning = bench.desk, bench.desk.learning
    desk.knowledge = Knowledge(name="m", sha256="p")
    desk.settings.carry = True
    track = corrected(bench)
    made = learnt_of(bench, engine, track)
    desk.settings.learn_as_i_go = False
    assert learning.adapter_for(track.image, "x", "m") is made
    assert not learning.offered

    bench.speaker.sentence = ""
    desk.knowledge = Knowledge(name="m", sha256="another")  # promoted again under this name, or an update
    assert bench.speaker.sentence.endswith("What 'x' was taught belongs to the model before: learn again.")
    assert learning.adapter_for(track.image, "x", "m") is None
    assert learning.learnt(track) is None
    assert (learning.offered, learning.can_forget(track)) == (True, True)
    assert learning.before(track, 4) is None
    assert learning.standing == "What 'x' was taught belongs to the model that was 'm' before: learn again."
    learning.start()
    assert engine.asked["start"] is None
    learning.stop()

    engine.model = "mine"
    desk.knowledge = Knowledge(name="mine", sha256="q")
    assert learning.standing == "'x' was taught with 'm': learn again with 'mine'."
    bench.how["model"] = "mine"
    again = learnt_of(bench, engine, track, "q", of_its_own=False)
    assert learning.adapter_for(track.image, "x", "mine") is again

    # Of the next image it holds as well.
    other = bench.stage.close(track.image)
    desk.image_left(track.image)
    image = bench.open(replace(GRID))
    assert learning.adapter_for(image, "x", "mine") is not None
    desk.knowledge = Knowledge(name="mine", sha256="r")
    assert learning.adapter_for(image, "x", "mine") is None
    del other
    bench.leave()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_was_learnt_comes_back_though_its_image_was_accepted_or_went_elsewhere(
    tmp_path: Path, elsewhere: bool
) -> None:
    engine = Engine()
    bench = at_work(engine, tmp_path / "kept")
    bench.desk.settings.folder = ""
    track = corrected(bench)
    image, desk = track.image, bench.desk
    desk.keeper.look_for(image)
    bench.idle()
    learnt_of(bench, engine, track)
    if elsewhere:
        bench.dialogs.chosen_folder = tmp_path / "elsewhere"
        desk.keeper.choose_folder()
    desk.keeper.accept()
    bench.idle()
    desk.keeper.autosave()
    bench.idle()
    bench.leave()

    again = at_work(Engine(), Path(Settings.load().folder))
    again.desk.settings.learn_as_i_go = False
    image = again.open(GRID)
    again.desk.keeper.look_for(image)
    again.until(lambda: bool(again.desk.tracks.of(image)))
    (back,) = again.desk.tracks.of(image)
    again.until(lambda: again.desk.learning.learnt(back) is not None)
    again.desk.learning.forget()
    again.idle()
    again.leave()
    third = at_work(Engine(), Path(Settings.load().folder))
    image = third.open(GRID)
    third.desk.keeper.look_for(image)
    third.until(lambda: bool(third.desk.tracks.of(image)))
    third.idle()
    assert third.desk.learning.learnt(third.desk.tracks.of(image)[0]) is None
    third.leave()
