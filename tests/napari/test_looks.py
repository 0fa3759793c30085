"""How it looked: true numbers and honest sentences, the shared picture, and a panel that costs nothing while closed."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QPoint, QPointF, QRect, Qt, QTimer, qInstallMessageHandler
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QLineEdit

from boltzformer import Engine, Grid, LookTrace, Prediction, SamplingTrace, SlicePlan
from boltzformer.desk.looks.following import LooksFollower, OnScreen, looks_of
from boltzformer.desk.looks.looks import Looks, caption, headline, light_of_chances, percent, shares, veil
from boltzformer.desk.masks.kept import Thresholds
from boltzformer.io.phantom import BRIGHT, Phantom
from boltzformer.masks.pictures import DIM, brightness, look_tile, resized, slice_picture
from napari_boltzformer.bottom.looks_sheet import LooksSheet
from napari_boltzformer.bottom.looks_view import PAGE, SHARP, LooksView
from napari_boltzformer.canvas.screen import CanvasLight
from napari_boltzformer.host.dialogs import QtTimers
from napari_boltzformer.host.layers import empty_labels, image_layer
from napari_boltzformer.host.stage import LIGHT, image_on


def flat(visited: float, probability: float | None = None, side: int = 4) -> LookTrace:
    """A look that visited every place alike."""
    chance = visited if probability is None else probability
    return LookTrace(4, 1.0, *(np.full((side, side), x, np.float32) for x in (0.1, chance, visited)))


def made_up(first: np.ndarray, last: np.ndarray) -> Looks:
    """16 × 16 pixels, a mask of the first quarter, two looks that drew what they drew."""
    plan, mask = SlicePlan.of(Grid.pixels((2, 16, 16)), 16), np.zeros((16, 16), bool)
    mask[:8, :8] = True
    looks = tuple(LookTrace(4, 1.0, one * 0, one * 0 + 0.1, one) for one in map(np.float32, (first, last)))
    return Looks("thing", 0, 0, np.full((16, 16, 3), 100, np.uint8), plan, SamplingTrace(looks), mask)


def quarter(inside: float, elsewhere: float) -> np.ndarray:
    tokens = np.full((4, 4), elsewhere)
    tokens[:2, :2] = inside
    return tokens


@pytest.fixture(scope="module")
def real(engine: Engine, small: Phantom) -> Looks:
    index = small.lesions[0].centre[2]
    *_, prediction = engine.segment(small.volume, BRIGHT, slices=[index])
    assert isinstance(prediction, Prediction)
    plan, mask = prediction.plan, prediction.plan.mask(prediction.slices[0].plane(0))
    picture = slice_picture(small.volume, plan, small.volume.window(), index)
    trace = engine.trace(small.volume, BRIGHT, index)
    return Looks(BRIGHT, plan.canonical_index(index), 0, picture, plan, trace, mask)


# --- numbers and sentences --------------------------------------------------------------------------------------------


def test_the_headline_is_computed_for_the_slice(real: Looks) -> None:
    assert headline(made_up(quarter(0.18, 0.09), quarter(0.97, 0.03))) == (
        "Look 1 saw 18 % of the final mask and 9 % of the rest; look 9: 97 % and 3 %.".replace("look 9", "look 2")
    )
    for look in (real.trace.layers[0], real.trace.layers[-1]):
        rows, columns = real.plan.slice_shape
        side = max(rows, columns)
        top, left = (side - rows) // 2, (side - columns) // 2
        n = look.visited.shape[0]
        seen = [  # pixel by pixel: in which square of the padded slice does its middle lie?
            (look.visited[int((top + y + 0.5) * n / side), int((left + x + 0.5) * n / side)], real.mask[y, x])
            for y in range(rows)
            for x in range(columns)
        ]
        for found, wanted in (
            (shares(look, real.plan, real.mask).inside, True),
            (shares(look, real.plan, real.mask).elsewhere, False),
        ):
            assert found == pytest.approx(np.mean([share for share, inside in seen if inside == wanted]), abs=1e-5)
    assert headline(real).startswith("Look 1 saw ")
    assert "; look 9: " in headline(real)


def test_what_did_not_go_well_is_said() -> None:
    never = headline(made_up(quarter(0.1, 0.1), quarter(0.11, 0.1)))
    assert never == "It never settled: look 1 saw 10 % of the final mask and 10 % of the rest; look 2: 11 % and 10 %."
    assert headline(made_up(quarter(0.1, 0.1), quarter(0.9, 0.7))) == (
        "It looked everywhere: look 2 still visited 75 % of the slice."
    )
    nothing = replace(made_up(quarter(0.1, 0.1), quarter(0.2, 0.002)), mask=np.zeros((16, 16), bool))
    assert headline(nothing) == "No mask in this slice. Look 1 visited 10 % of it; look 2: 5 %."
    whole = replace(made_up(quarter(0.1, 0.1), quarter(0.2, 0.12)), mask=np.ones((16, 16), bool))
    assert headline(whole) == "The mask is the whole slice. Look 1 saw 10 %; look 2: 14 %."


def test_a_model_that_does_not_sample_is_known_by_its_looks(real: Looks) -> None:
    full = replace(real, trace=SamplingTrace((flat(1.0), flat(1.0))))
    assert headline(full) == "This model does not sample: each look visits the whole slice."
    guess = np.float32(quarter(0.7, 0.0))
    lifted = LookTrace(4, 1.0, guess, guess, guess + np.float32(0.25))  # a quarter of the queries had nothing to see
    masked = replace(real, trace=SamplingTrace((lifted,)))
    assert headline(masked) == "This model does not sample: each look visits every place that its own guess claims."
    times = replace(masked, trace=SamplingTrace((lifted,) * 3))
    assert caption(times).startswith("The model looks at the slice three times and draws none of its places.")
    assert caption(masked).startswith("The model looks at the slice once and ")


def test_percentages_are_not_rounded_to_nothing_or_all(real: Looks) -> None:
    assert [percent(share) for share in (0, 0.004, 0.18, 0.996, 1)] == [
        "0 %",
        "under 1 %",
        "18 %",
        "over 99 %",
        "100 %",
    ]
    assert "nine looks" in caption(real)
    assert f"Lit means *looked at*, not *{BRIGHT}*" in caption(real)


def test_chances_are_multiples_of_chance_on_one_scale() -> None:
    look = replace(flat(0.1), probability=np.float32([[0.1, 0.2], [0.1, 0.0]]))  # its mean is 0.1
    light = light_of_chances(look)
    middle = (1 + DIM) / 2
    assert np.allclose(light, [[middle, middle + (1 - DIM) / 6], [middle, DIM]])  # a doubling is a sixth of the scale


def test_the_looks_of_one_query_are_a_part_of_all(engine: Engine, small: Phantom) -> None:
    index = small.lesions[0].centre[2]
    together = engine.trace(small.volume, BRIGHT, index)
    alone = [engine.trace(small.volume, BRIGHT, index, query=query) for query in range(together.queries)]
    assert together.queries == 12
    for number, look in enumerate(together.layers):
        for name in ("visited", "guess", "probability"):
            mean = np.mean([getattr(one.layers[number], name) for one in alone], axis=0)
            assert np.allclose(mean, getattr(look, name), atol=1e-5)
    assert set(np.unique(alone[0].layers[2].visited)) <= {0.0, 1.0}  # its heads share one draw
    with pytest.raises(Exception, match="no query 12: this model has 12"):
        engine.trace(small.volume, BRIGHT, index, query=12)


# --- the panel --------------------------------------------------------------------------------------------------------


@pytest.fixture
def view(qtbot: Any, real: Looks) -> LooksView:
    panel = LooksView()
    qtbot.addWidget(panel)
    panel.resize(1300, 330)
    panel.show()
    panel.show_looks(real)
    return panel


def test_a_narrow_panel_gives_the_headline_no_more_than_two_lines(qtbot: Any, view: LooksView, real: Looks) -> None:
    view.resize(768, 330)
    view.show_looks(replace(real, query=1))
    line = view.headline.fontMetrics().lineSpacing()
    qtbot.waitUntil(lambda: view.width() == 768 and view.title.y() > view.headline.y())
    assert view.headline.heightForWidth(view.headline.width()) <= 2 * line + 4


def test_in_a_narrow_panel_all_looks_are_reached_by_a_bar_that_is_seen_and_by_the_wheel(
    qtbot: Any, view: LooksView, real: Looks
) -> None:
    room, bar = view._sheet_room, view._sheet_room.horizontalScrollBar()

    def apart() -> bool:
        under = QRect(bar.mapTo(view.page, QPoint(0, 0)), bar.size())
        inside = view.page.rect().contains(under) and view.page.rect().contains(view.caption.geometry())
        return bar.isVisible() and inside and not under.intersects(view.caption.geometry())

    for wide in (900, 700, 638):
        view.resize(wide, 300)  # it is as low as it can be
        qtbot.waitUntil(lambda wide=wide: view.width() == wide and apart())
        assert view.caption.isVisible()
    middle, none = QPointF(room.viewport().rect().center()), QPoint(0, 0)
    at = bar.value()
    for _ in range(20):
        turned = QWheelEvent(
            middle, QPointF(room.mapToGlobal(middle.toPoint())), none, QPoint(0, -120), Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(room.viewport(), turned)
        assert turned.isAccepted()
    assert bar.value() == bar.maximum() > at
    last = view.sheet.tile_at(8)
    assert room.viewport().rect().contains(QRect(view.sheet.mapTo(room.viewport(), last.topLeft()), last.size()))


def press(view: LooksView, number: int) -> None:
    QTest.mouseClick(view.sheet, Qt.MouseButton.LeftButton, pos=view.sheet.tile_at(number).center())


def test_nine_equal_tiles_show_the_picture_that_documents_show(view: LooksView, real: Looks) -> None:
    places = [view.sheet.tile_at(number) for number in range(9)]
    assert len({(place.width(), place.height(), place.top()) for place in places}) == 1
    assert all(view.sheet.rect().contains(place) for place in places)
    drawn = view.sheet.grab().toImage()
    for number in (0, 8):
        look, place = real.trace.layers[number], places[number]
        shared = look_tile(
            resized(real.picture, place.width()), real.plan, brightness(look.visited), look.guess,
            real.mask if number == 8 else None,
        )  # fmt: skip
        for y in range(2, min(shared.shape[0], place.height()) - 2, 5):
            for x in range(2, shared.shape[1] - 2, 5):
                colour = drawn.pixelColor(place.topLeft() + QPoint(x, y)).getRgb()[:3]
                assert np.abs(np.int32(colour) - shared[y, x]).max() <= 8  # a screen may have few colours
    assert view.headline.text() == headline(real)
    assert "slice" in view.title.text()


def test_hover_previews_click_pins_keys_step_play_goes_to_the_end(qtbot: Any, view: LooksView) -> None:
    seen: list[int | None] = []
    view.previewed.connect(seen.append)
    QTest.mouseMove(view.sheet, view.sheet.tile_at(3).center())
    qtbot.waitUntil(lambda: seen == [3])
    press(view, 4)
    QTest.mouseMove(view.sheet, QPoint(view.sheet.width() // 2, 2))
    qtbot.waitUntil(lambda: view.current == 4)  # off the tiles, the pinned one
    QTest.keyClick(view.sheet, ".")
    assert view.current == 5
    QTest.keyClick(view.chance, ",")  # wherever the focus is
    QTest.keyClick(view.sheet, ",")
    assert view.current == 3
    press(view, 3)
    QTest.mouseMove(view.sheet, QPoint(view.sheet.width() // 2, 2))
    qtbot.waitUntil(lambda: view.current is None)  # a second click lets go
    view.back.click()
    assert view.current == 8
    view.forth.click()
    assert view.current == 8  # the last one is the last
    view._playing.setInterval(10)
    seen.clear()
    view.play.click()
    assert view.play.text() == "Stop"
    qtbot.waitUntil(lambda: view.play.text() == "Play")
    assert [number for i, number in enumerate(seen) if number != seen[i - 1]] == list(range(9))


def test_the_other_light_the_queries_and_another_roll_are_asked_for(view: LooksView, real: Looks) -> None:
    asked: list[tuple[int, int | None]] = []
    view.asked.connect(lambda: asked.append((view.roll, view.query)))
    before = view.sheet.grab().toImage()
    view.chance.click()
    assert view.sheet.grab().toImage() != before
    assert asked == []  # the trace holds both
    view.seen.click()
    assert view.sheet.grab().toImage() == before
    chips = view.chips.buttons()
    assert [chip.text() for chip in chips] == ["All", "Query 1", *map(str, range(2, 13))]
    chips[3].click()
    view.show_looks(replace(real, query=2))
    assert view.title.text().endswith("seed 0, query 3 alone")
    assert view.chips.buttons()[3].isChecked()
    chips[0].click()
    view.again.click()
    assert view.sheet.waiting  # what is shown is not what was asked for
    view.show_looks(replace(real, seed=1))
    assert view.title.text().endswith("seed 1, rolled again once")
    assert asked == [(0, 2), (0, None), (1, None)]


def test_the_picture_is_written_with_headline_and_caption(view: LooksView, tmp_path: Path) -> None:
    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QFileDialog):
            QTimer.singleShot(50, answer)
            return
        name = dialog.findChild(QLineEdit, "fileNameEdit")
        name.setText(str(tmp_path / "looks"))
        QTest.keyClick(name, Qt.Key.Key_Return)

    QTimer.singleShot(50, answer)
    view.save.click()
    written = np.asarray(Image.open(tmp_path / "looks.png").convert("RGB"))
    assert written.shape == (SHARP * PAGE.height(), SHARP * PAGE.width(), 3)  # however small the window is
    label = view.caption.geometry()
    words = written[-2 * (label.height() + 4) : -8, 2 * label.left() : 2 * label.right()]
    assert (words.max(axis=2) > 200).sum() > 1000  # the caption is in it
    view.save_to(tmp_path / "nowhere" / "looks.png")
    assert view.headline.text().startswith("The picture could not be written to")


def test_a_look_on_the_canvas_dims_what_was_not_visited(real: Looks) -> None:
    look = real.trace.layers[0]
    picture = veil(real.plan, brightness(look.visited), look, None)
    assert picture.shape == (*real.plan.slice_shape, 4)
    plain = (picture[..., :3] == 0).all(axis=2)
    assert set(np.unique(picture[..., 3][plain])) <= set(np.rint(255 * (1 - brightness(look.visited))).ravel())
    last = veil(real.plan, brightness(look.visited), look, real.mask)
    white = (last[..., :3] == 255).all(axis=2)
    assert white.any()
    assert not (white & ~real.mask).any()


# --- in the viewer ----------------------------------------------------------------------------------------------------


class InProcess:
    """The engine where a session would be: no process to wait for."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.asked: list[tuple[int, int, int | None]] = []

    def trace(self, volume: Any, prompt: str, index: int, *, seed: int, query: int | None = None) -> SamplingTrace:
        self.asked.append((index, seed, query))
        return self.engine.trace(volume, prompt, index, seed=seed, query=query)

    def segment(self, volume: Any, prompt: str, *, seed: int, slices: list[int]) -> Any:
        *_, self.last = self.engine.segment(volume, prompt, seed=seed, slices=slices)
        return self

    def result(self) -> Prediction:
        return self.last


@pytest.fixture
def viewer(make_napari_viewer_proxy: Callable[..., Any]) -> Iterator[Any]:
    return make_napari_viewer_proxy(show=True)


def test_the_looks_follow_the_slice_on_screen_and_cost_nothing_out_of_sight(
    qtbot: Any, viewer: Any, engine: Engine, small: Phantom
) -> None:
    data, options, _ = image_layer(small.volume)
    image = viewer.add_image(data, **options)
    voxels, how = empty_labels(image, BRIGHT)
    mask = viewer.add_labels(voxels, **how)
    *_, prediction = engine.segment(small.volume, BRIGHT)
    mask.data[...] = prediction.plan.view.apply(prediction.labels().layers[0])
    session, waiting = InProcess(engine), []

    def on_screen() -> OnScreen | str:
        row = viewer.dims.current_step[0]
        if row == 15:
            return "The model has not looked here."
        index = prediction.plan.canonical_index(row)
        return OnScreen(image_on(image), BRIGHT, index, 0, mask.data[row] > 0, Thresholds(prediction.gate))

    def later(work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        waiting.append((work, then))

    def answer() -> None:
        qtbot.waitUntil(lambda: bool(waiting))
        work, then = waiting.pop(0)
        then(work())

    view = LooksView()
    canvas = CanvasLight(viewer)
    follower = LooksFollower(view, canvas, on_screen, lambda: session, later, QtTimers(view))
    view.asked.connect(follower.ask)
    view.previewed.connect(follower.preview)
    view.hidden.connect(canvas.clear)
    viewer.dims.events.current_step.connect(follower.moved)
    here = small.lesions[0].centre[2]
    viewer.dims.set_current_step(0, here)
    QTest.qWait(200)
    assert not waiting  # nobody sees it
    outer = viewer.window.add_dock_widget(view, name="How it looked", area="bottom")
    answer()
    assert view.headline.text().startswith("Look 1 saw ")
    assert session.asked == [(here, 0, None)]

    # Preview and pin on the canvas; selection, tool and image choice stay.
    mask.mode = "paint"
    viewer.layers.selection.active = mask
    press(view, 2)
    (light,) = [layer for layer in viewer.layers if LIGHT in layer.metadata]
    assert light.visible
    assert light.name == "look 3 of 9"
    assert viewer.layers.selection.active.unique_id == mask.unique_id
    assert mask.mode == "paint"
    assert np.allclose(light.extent.world[:, -2:], image.extent.world[:, -2:])
    press(view, 2)
    QTest.mouseMove(view.sheet, QPoint(view.sheet.width() // 2, 2))
    qtbot.waitUntil(lambda: not light.visible)
    press(view, 8)
    QTest.qWait(50)
    shots = Path(__file__).parents[2] / "screenshots"
    shots.mkdir(exist_ok=True)
    viewer.screenshot(path=str(shots / "looks.png"), canvas_only=False, flash=False)

    # Another seed: other looks, and the line is that seed's own answer.
    view.again.click()
    answer()
    assert session.asked[-1] == (here, 1, None)
    *_, second = engine.segment(small.volume, BRIGHT, seed=1, slices=[here])
    assert np.array_equal(view.sheet.looks.mask, second.labels().layers[0][here] > 0)
    view.chips.buttons()[1].click()
    answer()
    assert session.asked[-1] == (here, 1, 0)
    view.chips.buttons()[0].click()
    answer()

    # Scrolling asks once, at rest; what came too late is dropped; a new slice begins with the run's own seed.
    count = len(session.asked)
    for row in (here - 3, here - 2, here - 1):
        viewer.dims.set_current_step(0, row)
    assert view.sheet.waiting
    qtbot.waitUntil(lambda: len(waiting) == 1)
    viewer.dims.set_current_step(0, here - 4)
    QTest.qWait(200)
    assert len(waiting) == 1  # never two questions at a time
    answer()
    assert view.sheet.waiting
    answer()
    assert [asked for asked, *_ in session.asked[count:]] == [here - 1, here - 4]
    assert view.sheet.looks.row == here - 4
    assert view.roll == 0
    viewer.dims.set_current_step(0, 15)
    qtbot.waitUntil(lambda: view.headline.text() == "The model has not looked here.")
    assert not waiting

    # Out of sight: the light goes, nothing is asked.
    viewer.dims.set_current_step(0, here)
    answer()
    press(view, 1)
    outer.hide()
    assert not [layer for layer in viewer.layers if LIGHT in layer.metadata]
    viewer.dims.set_current_step(0, here + 1)
    QTest.qWait(200)
    assert not waiting
    viewer.dims.events.current_step.disconnect(follower.moved)


def test_what_the_engine_refuses_is_said_in_the_panel(engine: Engine, small: Phantom, viewer: Any) -> None:
    data, options, _ = image_layer(small.volume)
    image = image_on(viewer.add_image(data, **options))
    shown = OnScreen(image, BRIGHT, 99, 0, np.zeros((72, 80), bool), Thresholds())
    said = looks_of(InProcess(engine), shown, 0, None)  # type: ignore[arg-type]
    assert isinstance(said, str)
    assert "99" in said


def test_looks_that_cannot_be_drawn_leave_no_painter_behind(qtbot: Any) -> None:
    """The error is told with all that it holds: a painter among that outlives its turn, and Qt crashes."""
    looks = made_up(quarter(0.5, 0.1), quarter(0.9, 0.1))
    sheet = LooksSheet()
    qtbot.addWidget(sheet)
    sheet.show_looks(replace(looks, mask=np.zeros((3, 3), bool)))
    warned: list[str] = []
    before = qInstallMessageHandler(lambda _, __, text: warned.append(str(text)))
    try:
        with qtbot.captureExceptions() as told:
            sheet.show()
            qtbot.waitUntil(lambda: bool(told))
            sheet.repaint()
    finally:
        qInstallMessageHandler(before)
    assert not [text for text in warned if "painter" in text]
