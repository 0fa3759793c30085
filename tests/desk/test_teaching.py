"""Fine-tuning as any viewer offers it: what there is to learn from, a run that is watched, what comes of it."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finetune_runs import annotated
from serving import serving

from boltzformer import BoltzFormerError, Prompt, Session, Window
from boltzformer.dataset import Dataset
from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.memory import MemoryStage
from boltzformer.desk.teaching.outcome import (
    ANYWAY,
    NOT_PASSED,
    WAY_BACK,
    Compared,
    Outcome,
    ask_both,
    mine_of,
    question_of,
    to_compare,
)
from boltzformer.desk.teaching.runs import Losses, sentence, verdict
from boltzformer.desk.teaching.watching import Watching
from boltzformer.io.phantom import BRIGHT, Phantom
from boltzformer.protocol import ErrandState, Holding, Lineage, Means


@pytest.fixture(autouse=True)
def no_run_is_left(own_home: Path) -> Iterator[None]:
    """Runs outlive everything, so nobody else would end them."""
    yield
    for pid in own_home.glob("runs/*/errand/pid"):
        if not (pid.parent / "ended.json").is_file():
            os.kill(int(pid.read_text("utf-8")), signal.SIGKILL)


@pytest.fixture
def session() -> Iterator[Session]:
    with serving() as served:
        one: Session = served.session()
        one.means = Means(threads=1)
        yield one


class Heard:
    """What a panel would show."""

    def __init__(self, watching: Watching) -> None:
        self.looked, self.sentences, self.steps, self.states, self.lost, self.followed = 0, [], [], [], 0, 0
        watching.looked.append(lambda: setattr(self, "looked", self.looked + 1))
        watching.held.append(lambda holding: self.sentences.append(holding.sentence))
        watching.stepped.append(lambda step: self.steps.append(step.step))
        watching.told.append(lambda state: self.states.append(state.state))
        watching.lost.append(lambda: setattr(self, "lost", self.lost + 1))
        watching.followed.append(lambda: setattr(self, "followed", self.followed + 1))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    store = Dataset.at(tmp_path / "kept")
    annotated(store, 1)
    return store.path


def test_what_there_is_to_learn_from_is_counted_again_when_more_was_accepted(
    tools: Any, session: Session, kept: Path
) -> None:
    folder = [""]
    watching = Watching(lambda: session, tools.work, tools.notice, tools.timers, lambda: folder[0])
    heard = Heard(watching)
    watching.look()
    assert (heard.looked, heard.sentences) == (1, [])  # nobody has said yet where it is kept
    folder[0] = str(kept)
    watching.look()
    tools.idle()
    watching.look()
    tools.idle()
    (first,) = heard.sentences
    assert first.startswith("3 accepted slices of 1 patient")
    assert watching.can_teach
    store = Dataset.at(kept)
    annotated(store, 2)
    os.utime(kept / "index.json", (1, 1))  # a coarse clock would not tell
    watching.look()
    tools.idle()
    assert heard.sentences[1].startswith("6 accepted slices of 2 patients")


def test_what_is_learnt_from_goes_with_the_folder_where_slices_are_kept(
    tools: Any, session: Session, kept: Path, tmp_path: Path
) -> None:
    """As long as nobody chose one in Teach."""
    folder = [str(tmp_path / "accepted")]
    watching = Watching(lambda: session, tools.work, tools.notice, tools.timers, lambda: folder[0])
    watching.look()
    tools.idle()
    assert (watching.dataset, watching.waiting, watching.can_teach) == (folder[0], True, False)
    folder[0] = str(kept)
    watching.look()
    tools.idle()
    assert (watching.dataset, watching.waiting, watching.can_teach) == (str(kept), False, True)
    folder[0] = str(tmp_path / "new")
    watching.look()
    tools.idle()
    assert (watching.dataset, watching.waiting, watching.can_teach) == (folder[0], True, False)
    watching.dataset = str(kept)
    watching.look()
    tools.idle()
    folder[0] = str(tmp_path / "accepted")
    watching.look()
    assert (watching.dataset, watching.can_teach) == (str(kept), True)


def test_a_chosen_folder_that_is_no_dataset_is_said_once(tools: Any, session: Session, tmp_path: Path) -> None:
    """Where slices will be accepted, none may have been yet: of that nothing is said."""
    watching = Watching(lambda: session, tools.work, tools.notice, tools.timers, lambda: str(tmp_path / "usual"))
    (tmp_path / "usual").mkdir()
    watching.look()
    tools.idle()
    assert tools.speaker.sentence == ""
    watching.dataset = str(tmp_path)
    watching.look()
    tools.idle()
    assert "is no annotation dataset" in tools.speaker.sentence
    tools.notice.say("")
    watching.look()
    tools.idle()
    assert tools.speaker.sentence == ""


def test_a_run_that_is_refused_is_lost_with_a_sentence_and_another_can_begin(
    tools: Any, session: Session, kept: Path
) -> None:
    watching = Watching(lambda: session, tools.work, tools.notice, tools.timers, lambda: str(kept))
    heard = Heard(watching)
    watching.look()
    watching.begin(watching.request(mode="some", steps=2))
    assert watching.running
    tools.until(lambda: heard.lost == 1)
    assert "There is no mode 'some'" in tools.speaker.sentence
    assert not watching.running
    watching.follow(str(kept / "nowhere"))
    tools.until(lambda: heard.states == ["absent"])
    assert heard.followed == 2
    assert not watching.can_go_on


def test_while_nobody_looks_nothing_is_asked(tools: Any, session: Session, kept: Path) -> None:
    watching = Watching(lambda: session, tools.work, tools.notice, tools.timers, lambda: str(kept))
    heard = Heard(watching)
    watching.rest()
    tools.timers.tick()
    assert heard.looked == 0
    watching.wake()
    tools.timers.tick()
    assert heard.looked == 1
    tools.idle()


@pytest.mark.slow
def test_a_run_is_watched_to_its_end_and_its_model_promoted_and_given_back(
    tools: Any, session: Session, kept: Path
) -> None:
    watching = Watching(lambda: session, tools.work, tools.notice, tools.timers, lambda: str(kept))
    outcome, heard, promoted = Outcome(lambda: session, tools.work, tools.notice), Heard(watching), list[str]()
    outcome.promoted.append(promoted.append)
    watching.look()
    tools.idle()
    request = watching.request(mode="decoder", steps=2, seed=3)
    watching.begin(request)
    tools.until(lambda: heard.states[-1:] == ["finished"])
    assert heard.steps == [1, 2]
    assert tools.speaker.sentence == "Finished after 2 steps."
    assert watching.state is not None
    outcome.take_over(watching.state, "mine", watching.holding)
    tools.notice.answer(NOT_PASSED, ANYWAY)
    wanted: list[str] = []
    outcome.wanted.append(wanted.append)
    tools.until(lambda: promoted == ["mine"])
    assert "mine" in {one.name for one in session.models()}  # at once
    (offer,) = tools.speaker.offers
    assert offer.sentence == "'mine' stands for the model of this run now."
    tools.notice.answer(offer.topic, "Use it now")
    assert wanted == ["mine"]
    session.model = "mine"
    outcome.give_back("mine")
    tools.idle()
    (offer,) = (one for one in tools.speaker.offers if one.topic == WAY_BACK)
    said = "Before 'mine' there is only 'default': that one would be in use again. 'mine' stays listed."
    assert offer.sentence == said
    tools.notice.answer(WAY_BACK, "Keep")
    assert wanted == ["mine"]
    outcome.give_back("mine")
    tools.idle()
    tools.notice.answer(WAY_BACK, "Roll back")
    assert tools.speaker.sentence == "'default' is in use again, and not 'mine'."
    assert wanted == ["mine", "default"]

    outcome.take_over(watching.state, "mine", watching.holding)
    tools.notice.answer(NOT_PASSED, ANYWAY)
    tools.until(lambda: len(promoted) == 2)
    outcome.give_back("mine")
    tools.idle()
    assert len(session.lineage("mine").models) == 2  # nothing was done before it was agreed to
    tools.notice.answer(WAY_BACK, "Roll back")
    tools.until(lambda: len(promoted) == 3)
    assert len(session.lineage("mine").models) == 1


class Promoting:
    """An engine that gives names."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bool]] = []
        self.model = "default"

    def promote(self, run: str, name: str, *, anyway: bool) -> Lineage:
        self.asked.append((run, name, anyway))
        return Lineage(name, [{"note": ""}])


def test_a_model_that_did_not_pass_is_promoted_by_an_answer_and_not_by_a_flag(tools: Any) -> None:
    engine: Any = Promoting()
    outcome, run = Outcome(lambda: engine, tools.work, tools.notice), "/home/somebody/runs/run-001"
    because = ["there is no validation mask of what was taught, so nobody can tell whether it is better"]
    state = ErrandState(run, "finished", result={"promoted": False, "because": because}, model="a model")
    outcome.take_over(state, "mine", Holding(3, 1, 0, "", False, {BRIGHT: 3}, lacks="slices of 2 more patients"))
    tools.idle()
    (offer,) = tools.speaker.offers
    assert offer.sentence == (
        "Cannot be judged: accept slices of 2 more patients. If you have looked at what it finds, it can be 'mine' all "
        "the same."
    )
    assert (tools.speaker.sentence, engine.asked) == ("", [])
    outcome.another_run()
    assert not tools.speaker.offers
    outcome.take_over(state, "mine")
    tools.notice.answer(NOT_PASSED, ANYWAY)
    tools.idle()
    outcome.take_over(replace(state, result={"promoted": True}), "better")
    tools.idle()
    assert engine.asked == [(run, "mine", True), (run, "better", False)]


# --- before and after -------------------------------------------------------------------------------------------------


def opened(small: Phantom) -> OpenImage:
    return MemoryStage().open(small.volume)


def test_both_models_see_the_image_through_the_window_that_was_chosen(session: Session, small: Phantom) -> None:
    image, here = opened(small), small.lesions[0].centre[2]
    row, window = image.plan.canonical_index(here), Window(0, 2000, "dark")
    usual = ask_both(session, question_of(image, row, BRIGHT, 0, None), session.model, session.model)
    dark = ask_both(session, question_of(image, row, BRIGHT, 0, window), session.model, session.model)
    same = int(usual.before.sum())
    assert usual.sentence.endswith(f"before {same} pixels, after {same}, {same} the same.")
    asked = session.segment(small.volume, BRIGHT, slices=[here], window=window).result().labels().layers[0]
    view = small.volume.grid.canonical(small.volume.slice_axis)
    assert np.array_equal(dark.before, view.apply(asked)[row])
    assert not np.array_equal(dark.before, usual.before)


def test_a_comparison_that_can_not_be_had_is_told_so_that_it_can_be_asked_again(
    tools: Any, session: Session, small: Phantom
) -> None:
    outcome, told = Outcome(lambda: session, tools.work, tools.notice), list[Compared | None]()
    outcome.compared.append(told.append)
    outcome.ask_both(question_of(opened(small), 3, BRIGHT, 0, None), "nobody", "nobody")
    tools.until(lambda: told == [None])
    assert "nobody" in tools.speaker.sentence


def test_what_was_compared_in_one_patient_is_not_read_beside_another_one(
    tools: Any, session: Session, small: Phantom
) -> None:
    outcome, told = Outcome(lambda: session, tools.work, tools.notice), list[Compared | None]()
    outcome.compared.append(told.append)
    outcome.another_image()
    assert told == []
    outcome.ask_both(question_of(opened(small), 3, BRIGHT, 0, None), session.model, session.model)
    outcome.another_image()  # while both are asked
    assert told == [None]
    tools.idle()
    assert told == [None]
    outcome.ask_both(question_of(opened(small), 3, BRIGHT, 0, None), session.model, session.model)
    tools.until(lambda: len(told) == 2)
    assert told[1] is not None
    outcome.another_image()
    assert told[2:] == [None]


def test_what_is_missing_for_a_comparison_is_said(small: Phantom) -> None:
    with pytest.raises(BoltzFormerError, match="There is no image to compare on"):
        question_of(None, 0, BRIGHT, 0, None)
    with pytest.raises(BoltzFormerError, match="There is no prompt"):
        question_of(opened(small), 0, "  ", 0, None)


def test_both_answers_are_held_against_my_own_mask_where_there_is_one(small: Phantom) -> None:
    stage = MemoryStage()
    image = stage.open(small.volume)
    track = Tracks(stage).new(image, Prompt(BRIGHT))
    assert mine_of([track], BRIGHT, 3) is None
    stroke = np.zeros(track.shape[1:], bool)
    stroke[10:20, 10:20] = True
    track.surface.paint(3, stroke)  # type: ignore[attr-defined]
    mine = mine_of([track], BRIGHT, 3)
    assert np.array_equal(mine, stroke)
    half = stroke.copy()
    half[10:15] = False
    question = question_of(image, 3, BRIGHT, 0, None, mine)
    told = Compared(question, half.astype(np.uint8), stroke.astype(np.uint8)).sentence
    assert told.endswith("before 50 pixels, after 100, 50 the same. Dice with your mask: 0.67, 1.00.")
    apart = np.roll(half, 30, axis=0).astype(np.uint8)
    assert "none the same" in Compared(question, half.astype(np.uint8), apart).sentence


def test_what_is_compared_first_is_asked_of_the_open_image_and_has_a_mask_of_mine(small: Phantom) -> None:
    stage = MemoryStage()
    image = stage.open(small.volume)
    tracks = Tracks(stage)
    assert to_compare(None, (), 0) == to_compare(image, (), 0) == ""
    image.typed = ["typed alone"]
    assert to_compare(image, (), 0) == "typed alone"
    asked, mine = tracks.new(image, Prompt("asked")), tracks.new(image, Prompt(BRIGHT))
    assert to_compare(image, [asked, mine], 3) == "asked"
    stroke = np.zeros(mine.shape[1:], bool)
    stroke[10:20, 10:20] = True
    mine.surface.paint(3, stroke)  # type: ignore[attr-defined]
    assert to_compare(image, [asked, mine], 3) == BRIGHT
    assert to_compare(image, [asked, mine], 5) == BRIGHT


def test_what_cannot_be_judged_says_whose_slices_are_missing() -> None:
    because = ("there is no validation mask of what was taught, so nobody can tell whether it is better",)
    state = ErrandState("run", "finished", result={"promoted": False, "because": because})
    one = Holding(3, 1, 0, "", False, {BRIGHT: 3}, lacks="slices of 2 more patients")
    assert verdict(state, one) == "Cannot be judged: accept slices of 2 more patients."
    assert verdict(state, replace(one, lacks="")).endswith("Now one does: fine-tune again.")
    assert verdict(replace(state, result={"promoted": True})).startswith("Passed")


def test_where_asking_takes_longer_than_the_minutes_chosen_it_is_said_at_once() -> None:
    plan = {"planned_steps": None, "predicted_seconds": 180.0}
    state = ErrandState("run", "running", plan=plan, asked=12, pictures=112, eta=500.0)
    assert sentence(state) == (
        "Asking the model what it can do already: 12 of 112 pictures, about 8 min left. With judging at the end that "
        "is more than the 3 min chosen: few steps are made"
    )
    long, steps = (replace(state, plan=other) for other in (plan | {"predicted_seconds": 3600.0}, {"planned_steps": 5}))
    for one in (long, steps, replace(state, eta=None), replace(state, plan={})):
        assert "chosen" not in sentence(one)


# --- the loss ---------------------------------------------------------------------------------------------------------


def test_the_losses_say_where_they_came_from_and_went() -> None:
    losses = Losses()
    assert losses.title() == "Error: nothing to show yet"
    for step, value in ((1, 2.0), (2, 9.0), (2, 1.0)):  # told twice, the last word counts
        losses.add(step, 10, {"total": value})
    losses.add(3, 10, {"mask": 5.0})
    assert losses.by_step == {1: 2.0, 2: 1.0}
    assert losses.mean() == [2.0, pytest.approx(1.9)]
    losses.measured({2: 0.5})
    assert losses.title() == "Error 2 → 1.9   held-back Dice 0.50"
    losses.clear()
    assert losses.title() == "Error: nothing to show yet"
