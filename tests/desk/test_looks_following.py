"""The looks follow a slice without any window: asked once it rests, one question at a time, nothing out of sight."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from boltzformer import Engine, LookTrace, Prediction, SamplingTrace
from boltzformer.desk.image import OpenImage
from boltzformer.desk.looks.following import LooksFollower, OnScreen
from boltzformer.desk.looks.looks import Looks, light_of_visits
from boltzformer.desk.masks.kept import Thresholds
from boltzformer.desk.memory import MemoryStage, MemoryTimers
from boltzformer.io.phantom import BRIGHT, Phantom


class Panel:
    """Shows by remembering."""

    def __init__(self) -> None:
        self.visible, self.roll, self.query = True, 0, None
        self.looks: Looks | None = None
        self.sentence = ""

    def light(self, look: LookTrace) -> NDArray[np.float32]:
        return light_of_visits(look)

    def show_looks(self, looks: Looks) -> None:
        self.looks, self.sentence = looks, ""

    def say(self, sentence: str) -> None:
        self.looks, self.sentence = None, sentence

    def wait(self) -> None:
        self.looks = None


class Canvas:
    def __init__(self) -> None:
        self.shown: tuple[OpenImage, NDArray[np.uint8], str] | None = None

    def show(self, image: OpenImage, picture: NDArray[np.uint8], name: str) -> None:
        self.shown = image, picture, name

    def hide(self) -> None:
        self.shown = None


class Asked:
    """The engine where a session would be: no process to wait for."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seeds: list[int] = []

    def trace(self, volume: Any, prompt: str, index: int, *, seed: int, query: int | None = None) -> SamplingTrace:
        self.seeds.append(seed)
        return self.engine.trace(volume, prompt, index, seed=seed, query=query)

    def segment(self, volume: Any, prompt: str, *, seed: int, slices: list[int]) -> Any:
        *_, self.last = self.engine.segment(volume, prompt, seed=seed, slices=slices)
        return self

    def result(self) -> Prediction:
        return self.last


class Scene:
    """An image of which one slice is on screen, and what waits to be done beside the viewer."""

    def __init__(self, engine: Engine, small: Phantom) -> None:
        self.panel, self.canvas, self.timers, self.session = Panel(), Canvas(), MemoryTimers(), Asked(engine)
        self.stage = MemoryStage()
        self.image = self.stage.open(small.volume)
        self.stage.go(self.image, small.lesions[0].centre[2])
        self.waiting: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []
        self.follower = LooksFollower(
            self.panel, self.canvas, self.on_screen, lambda: self.session, self.later, self.timers
        )  # type: ignore[arg-type]

    def later(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self.waiting.append((work, then))

    def on_screen(self) -> OnScreen | str:
        row = self.stage.row(self.image)
        if row == 15:
            return "The model has not looked here."
        index = self.image.plan.canonical_index(row)
        return OnScreen(self.image, BRIGHT, index, 0, np.zeros((72, 80), bool), Thresholds())

    def scroll(self, row: int) -> None:
        self.stage.go(self.image, row)
        self.follower.moved()

    def answer(self) -> None:
        work, then = self.waiting.pop(0)
        then(work())


@pytest.fixture
def scene(engine: Engine, small: Phantom) -> Scene:
    return Scene(engine, small)


def test_a_slice_that_rests_is_asked_about_once_and_only_the_last_of_many(scene: Scene) -> None:
    here = scene.stage.row(scene.image)
    for row in (here - 2, here - 1, here):
        scene.scroll(row)
    assert scene.waiting == []
    scene.timers.tick()
    assert len(scene.waiting) == 1
    for row in (here - 1, here - 2):
        scene.scroll(row)
        scene.timers.tick()
    assert len(scene.waiting) == 1  # never two questions at a time
    scene.answer()
    assert scene.panel.looks is None  # of a slice that is no longer on screen
    scene.answer()
    assert scene.panel.looks is not None
    assert scene.panel.looks.row == here - 2
    assert scene.waiting == []


def test_out_of_sight_nothing_is_asked_and_without_an_answer_the_panel_says_why(scene: Scene) -> None:
    scene.panel.visible = False
    scene.scroll(15)
    scene.follower.ask()
    scene.timers.tick()
    assert scene.waiting == []
    assert scene.panel.sentence == ""
    scene.panel.visible = True
    scene.follower.ask()
    assert scene.panel.sentence == "The model has not looked here."


def test_another_slice_begins_with_the_runs_own_seed(scene: Scene) -> None:
    scene.follower.ask()
    scene.answer()
    scene.panel.roll = 2
    scene.follower.ask()
    scene.answer()
    scene.scroll(scene.stage.row(scene.image) - 1)
    scene.timers.tick()
    scene.answer()
    assert scene.session.seeds == [0, 2, 0]
    assert scene.panel.roll == 0


def test_a_look_that_is_pointed_at_is_laid_over_the_canvas(scene: Scene) -> None:
    scene.follower.ask()
    scene.follower.preview(2)
    assert scene.canvas.shown is None  # no looks yet
    scene.answer()
    scene.follower.preview(2)
    assert scene.canvas.shown is not None
    image, picture, name = scene.canvas.shown
    assert image is scene.image
    assert picture.shape == (*scene.image.plan.slice_shape, 4)
    assert name == "look 3 of 9"
    scene.follower.preview(None)
    assert scene.canvas.shown is None
