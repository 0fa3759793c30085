"""Four acts instead of a heap: what each holds, and that all of it fits, on small screens and in large letters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gui import canvas, click, done, middle_of_handle, new_track, ready, type_lines, until
from napari.settings import get_settings
from qtpy.QtCore import QPoint, QRect, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QDockWidget,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QScrollBar,
    QWidget,
)

from boltzformer.desk.settings import Settings
from boltzformer.io.phantom import BRIGHT, DARK, Phantom, phantom
from napari_boltzformer.bottom.place import SLICES
from napari_boltzformer.bottom.slice_bar import NOW
from napari_boltzformer.dock.form import ACTS, CORRECT, FIND, KEEP, MOST, TEACH
from napari_boltzformer.host.behind import Behind
from napari_boltzformer.host.fitting import Fitting
from napari_boltzformer.host.layers import camera_of, image_layer
from napari_boltzformer.host.narrow import LETTERS
from napari_boltzformer.host.notice import OfferLine
from napari_boltzformer.host.upright import Upright
from napari_boltzformer.teaching.form import FinetuneForm
from napari_boltzformer.teaching.panel import FinetunePanel
from napari_boltzformer.widget import BoltzFormerDock

SHOTS = Path(__file__).parents[2] / "screenshots"
SIZES = (1280, 720), (1366, 768), (1920, 1080)
LOW = 745
"""Lines of a window on a screen of 768, below its title."""


@pytest.fixture(params=[1.0, 1.5], ids=["usual letters", "large letters"])
def letters(request: pytest.FixtureRequest) -> Iterator[float]:
    look = get_settings().appearance
    before = look.font_size
    look.font_size = round(before * request.param)
    yield request.param
    look.font_size = before


def opened(viewer: Any, small: Phantom) -> Any:
    data, options, _ = image_layer(small.volume)
    return viewer.add_image(data, **options)


def place_of(one: QWidget) -> QRect:
    """In its window."""
    return QRect(one.mapTo(one.window(), QPoint(0, 0)), one.size())


def in_sight(page: QWidget) -> list[QWidget]:
    """What a person reads or presses there."""
    every = page.findChildren(QAbstractButton) + page.findChildren(QLabel)
    return [one for one in every if one.isVisible() and one.width() > 1]


def controls(dock: BoltzFormerDock, name: str) -> list[QWidget]:
    """What a person counts there: all that can be pressed, chosen or filled in. An arrow belongs to what lies before
    it; 'This slice' and 'All slices' are one choice, and so are the three planes side by side."""
    kinds = QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit, QPlainTextEdit, QAbstractSlider
    page = dock.pages[name]
    shown = [one for one in page.findChildren(QWidget) if isinstance(one, kinds) and one.isVisible()]
    arrows = [one.arrow for one in page.findChildren(Behind)]
    parts = [*arrows, dock.all_slices, *list(dock.planes.values())[1:]]

    def is_part(one: QWidget) -> bool:
        """Of another that is counted: a bar to scroll with, the field of a box; or an answer to what is offered."""
        above = one.parentWidget()
        while above is not None and above is not page:
            if isinstance(above, (*kinds, QAbstractScrollArea, OfferLine)) and not isinstance(above, Upright):
                return True
            above = above.parentWidget()
        return isinstance(one, QScrollBar) or one in parts

    return [one for one in shown if not is_part(one)]


@pytest.mark.slow
def test_every_act_fits_every_screen_without_scrolling_and_widens_no_window(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, letters: float
) -> None:
    opened(viewer, small)
    ready(qtbot, dock)
    type_lines(qtbot, dock, BRIGHT, DARK)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    window = dock.window()
    SHOTS.mkdir(exist_ok=True)
    click(qtbot, dock.looks)
    until(qtbot, lambda: dock.bottom.looks.headline.text().startswith("Look 1 saw "))
    click(qtbot, dock.table)
    sizes = dock.bottom.sizes
    for size in SIZES:
        window.resize(*size)
        until(qtbot, lambda size=size: (window.width(), window.height()) == size)
        dock.bottom.show(dock.bottom.review, SLICES)
        until(qtbot, lambda: sizes.isVisible() and dock.bottom.review.bar.isVisible())
        for words in (sizes.smallest_words, sizes.largest_words):
            until(qtbot, lambda words=words: words.width() >= words.sizeHint().width())
        gate = dock.bottom.review.gate_words
        until(qtbot, lambda gate=gate: place_of(gate).top() >= place_of(dock.bottom.review.bar).bottom())
        for name in ACTS:
            dock.show_act(name)
            page = dock.pages[name]
            until(qtbot, lambda page=page: page.isVisible() and dock.accept.isVisible())
            until(qtbot, lambda name=name: name != TEACH or dock.beside.teach.start.isVisible())
            viewer.screenshot(str(SHOTS / f"{name}-{size[0]}-{letters:g}.png"), canvas_only=False, flash=False)
            assert (window.width(), window.height()) == size
            assert len(controls(dock, name)) <= MOST
            around = dock.acts.currentWidget()
            until(qtbot, lambda around=around: not around.horizontalScrollBar().isVisible())
            for one in in_sight(page):
                assert place_of(page).contains(place_of(one)), f"{name} at {size}: {one.text()} is cut"
                if isinstance(one, QAbstractButton):
                    assert one.width() >= one.minimumSizeHint().width(), f"{name} at {size}: {one.text()} is cut"
        for outer in window.findChildren(QDockWidget):
            if not outer.visibleRegion().isEmpty() and not outer.isFloating():
                assert window.rect().contains(place_of(outer)), f"{outer.windowTitle()} leaves the window at {size}"


def test_everything_behind_an_arrow_can_be_reached_and_is_put_away_by_a_press(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small)
    for name in ACTS:
        dock.show_act(name)
        until(qtbot, dock.pages[name].isVisible)
        for behind in dock.pages[name].findChildren(Behind):
            if behind.isVisible():
                click(qtbot, behind.arrow)
                until(qtbot, behind.panel.isVisible)
                assert behind.panel.screen().availableGeometry().contains(behind.panel.geometry())
                qtbot.keyClick(behind.panel, Qt.Key.Key_Escape)
                until(qtbot, lambda behind=behind: not behind.panel.isVisible())
    dock.show_act(CORRECT)
    click(qtbot, dock.unpoint)
    assert "No point or box is in sight to remove" in dock.message.text()
    assert not dock.unpoint.isVisible()


def test_find_with_three_prompts_and_their_doubts_and_teach_at_its_fullest_need_no_scrolling(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small)
    ready(qtbot, dock)
    window, notice = dock.window(), dock.desk.notice
    window.resize(1366, LOW)
    type_lines(qtbot, dock, BRIGHT, "blood vessel in light-sheet microscopy", "astrocyte in microscopy")
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    notice.offer("a test", "Saved and put away: 'dsb2018b_06c779330d6d'.", ("Undo", print), ("Keep both", print))
    notice.say(
        "Looked in 1 slice, led by 1 point; found 'bright blob' in 1, 'blood vessel in light-sheet microscopy' in "
        "0, 'astrocyte in microscopy' in 0. 1 slice you edited stayed as painted."
    )
    until(qtbot, lambda: dock.results.count() == 3 and dock.message.isVisible())
    until(qtbot, lambda: dock.acts.currentWidget().verticalScrollBar().maximum() == 0)
    notice.offer(
        "another", "Restored from 30 Nov, 02:31: 1 painted slice.", ("Start afresh", print), ("Earlier…", print)
    )
    until(qtbot, lambda: not any(one.isActive() for one in dock.prompt.findChildren(QTimer)))  # nor says it by itself
    dock.doubt.setText("This model never saw 'astrocyte in microscopy'. Treat the result as a guess.")
    dock.doubt.show()
    until(qtbot, lambda: dock.notice.offers["another"].isVisible() and dock.doubt.isVisible())
    until(qtbot, lambda: dock.acts.currentWidget().verticalScrollBar().maximum() == 0)
    dock.show_act(TEACH)
    teach = dock.beside.teach
    assert teach is not None
    until(qtbot, lambda: bool(teach.holds.text()))
    for step in range(1, 11):
        teach.curve.shown.add(step, 10, {"total": 1 / step})
    notice.say("Looked at this picture, led by a box; found 'white blood cell'.")
    for running in (True, False):
        teach.holds.setText(
            "6 accepted slices of 5 patients: 10 slices and 3 patients are needed to tell which is better."
        )
        teach.stop.setVisible(running)
        teach.start.setVisible(not running)
        if not running:
            teach.verdict.setText("Not better for sure: objects of >10% of the image fell by 0.019 (-0.036 to -0.002).")
            for part in (teach.prompt, teach.compare, teach.toggle):
                part.show()
            teach.compared.setText(
                "Slice 66, 'MS lesion', seed 0: before 174 pixels, after 164, 164 the same. Dice with your mask: 0.85, "
                "0.86."
            )
            notice.offer("a third", "'MS lesion in brain MRI' was removed. Result kept.", ("Restore", print))
            dashed = "The answer for 'MS lesion' is only dashed here: Enter takes it, Escape drops it."
            notice.offer("a fourth", dashed, ("Take", print))
            teach.said.offer("a test", "'mine' stands for the model of this run now.", ("Use it now", print))
        teach.show_curve()
        until(qtbot, teach.curve.isVisible)
        if not running:
            until(qtbot, lambda: dock.notice.offers["a fourth"].isVisible())
        until(qtbot, lambda: dock.acts.currentWidget().verticalScrollBar().maximum() == 0)
        assert len(controls(dock, TEACH)) <= MOST


LEAST = 910
"""Pixels of a window in which napari's own docks, its slider and ours have their place."""


def test_no_letters_and_no_sentence_widen_the_window(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small)
    new_track(dock, dock.chosen_image(), BRIGHT)
    dock.desk.overview.show_tracks()
    window, look = dock.window(), get_settings().appearance
    window.resize(LEAST, 700)
    until(qtbot, lambda: window.width() == LEAST)
    window.resize(*SIZES[0])
    until(qtbot, lambda: (window.width(), window.height()) == SIZES[0])
    answers = [(f"An answer of some length, number {number}", lambda: None) for number in range(4)]
    before, usual, high = look.font_size, dock.width(), dock.accept.fontMetrics().height()
    dock.desk.notice.offer("a test", "Something can be done about it.", *answers)
    dock.desk.notice.say(f"Wrote /{'a_folder_with_a_long_name/' * 9}masks.nii.gz.", "Straighten", lambda: None)
    line = dock.notice.offers["a test"]
    until(qtbot, lambda: line.isVisible() and dock.message.isVisible())
    assert dock.width() == usual
    for button in line.answers.values():  # in as many lines as it takes
        until(qtbot, lambda button=button: place_of(line).contains(place_of(button)))
        assert button.width() >= button.minimumSizeHint().width()
    dock.desk.notice.withdraw("a test")
    try:
        look.font_size = 2 * before
        until(qtbot, lambda: dock.accept.fontMetrics().height() > 1.5 * high)
        until(qtbot, lambda: dock.prompt.font().pointSizeF() == dock.accept.font().pointSizeF())
        for name in ACTS:
            dock.show_act(name)
            until(qtbot, dock.pages[name].isVisible)
            assert window.width() == SIZES[0][0]
        click(qtbot, dock.more)
        until(qtbot, dock.settings_body.isVisible)
        assert window.width() == SIZES[0][0]
    finally:
        look.font_size = before


def test_looks_table_and_slices_are_tabs_of_one_place(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    click(qtbot, dock.looks)
    click(qtbot, dock.table)
    main = dock.window()
    slices, looks, table = (one.parent() for one in (dock.bottom.review, dock.bottom.looks, dock.beside.lesions))
    until(qtbot, lambda: not dock.beside.lesions.visibleRegion().isEmpty())
    assert {slices, looks} <= {*main.tabifiedDockWidgets(table)}
    main.resize(1600, 1000)
    click(qtbot, dock.looks)
    until(qtbot, lambda: not dock.bottom.looks.visibleRegion().isEmpty())
    assert dock.beside.lesions.visibleRegion().isEmpty()


def test_the_bar_of_slices_lies_below_the_slider_and_is_absent_for_a_picture(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    flat = phantom(3, (1, 64, 64)).volume
    data, options, _ = image_layer(flat)
    viewer.add_image(data[0], **{**options, "scale": options["scale"][1:], "translate": (0, 0), "metadata": {}})
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    assert not dock.bottom.review.bar.isVisible()
    until(qtbot, lambda: dock.bottom.sizes.isVisible())  # its sliders are there all the same
    viewer.layers.clear()
    opened(viewer, phantom(3, (12, 40, 120)))  # of a slice's number and of a column's, one is longer
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    bar, find = dock.bottom.review.bar, Fitting(dock, viewer)

    def lined_up() -> bool:
        ends = find.slider(bar)
        return ends is not None and (bar._left, bar._right) == ends

    until(qtbot, lined_up)
    dock.window().resize(1366, 768)
    until(qtbot, lined_up)
    assert bar._left < 120
    for row in (0, bar.model.count - 1):
        dock.jump(row)
        until(qtbot, lambda row=row: bar.model.row == row)
        assert abs(middle_of_handle(bar) - bar.place(0, row).x()) <= 2
    click(qtbot, dock.planes["sagittal"])
    until(qtbot, lambda: bar.alone == "axial slices: click one to go there")
    marked = bar.grab().toImage()
    assert not any(marked.pixelColor(round(bar.place(0, row).x()), 1) == NOW for row in range(bar.model.count))
    qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.place(0, row).toPoint())  # the row that it was at
    until(qtbot, lambda: bar.alone == "" and lined_up())
    assert abs(middle_of_handle(bar) - bar.place(0, row).x()) <= 2


def test_the_picture_is_fitted_when_a_dock_comes_unless_somebody_zoomed_in(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small)
    until(qtbot, lambda: canvas(viewer).height() > 0)

    def whole() -> bool:
        rows = float(viewer.layers[0].extent.world[1, -2] - viewer.layers[0].extent.world[0, -2])
        return rows * float(camera_of(viewer).zoom) <= canvas(viewer).height()

    until(qtbot, whole)
    before = canvas(viewer).height()
    click(qtbot, dock.looks)
    until(qtbot, lambda: canvas(viewer).height() < before and whole())
    camera_of(viewer).zoom = zoom = 4 * float(camera_of(viewer).zoom)
    lower = canvas(viewer).height()
    dock.bottom.looks.parent().close()
    until(qtbot, lambda: canvas(viewer).height() > lower)
    qtbot.wait(1)  # let what waits for the canvas have its turn
    assert float(camera_of(viewer).zoom) >= zoom / 2  # still close by


def test_a_picture_that_arrived_while_the_canvas_had_another_size_is_fitted_whoever_zoomed_before(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    layer = opened(viewer, small)
    find, camera = dock.bottom.fitting, camera_of(viewer)
    until(
        qtbot, lambda: canvas(viewer).height() > 0 and find._size == (canvas(viewer).width(), canvas(viewer).height())
    )
    camera.zoom = 4 * float(camera.zoom)  # into the image before
    canvas(viewer).resize(canvas(viewer).width(), canvas(viewer).height() - 40)  # a line of the dock came
    dock.stage.arrive(dock.desk.stage.chosen())

    def whole() -> bool:
        rows = float(layer.extent.world[1, -2] - layer.extent.world[0, -2])
        return rows * float(camera.zoom) <= canvas(viewer).height()

    assert whole()
    before = canvas(viewer).height()
    click(qtbot, dock.looks)
    until(qtbot, lambda: canvas(viewer).height() < before - 40)
    until(qtbot, whole)


def test_a_long_prompt_to_compare_shows_both_its_ends_and_the_rest_in_its_tool_tip(qtbot: Any) -> None:
    form, long = FinetuneForm(), "cardiac ventricle of the left side, seen in an abdominal CT"
    qtbot.addWidget(form)
    form.resize(300, 400)
    form.show()
    form.prompt.addItems([long, "another"])
    line = form.prompt.lineEdit()
    assert line.cursorPosition() == 0
    shown = form.prompt.shown()
    assert shown.startswith("card")
    assert shown.endswith("CT")
    assert "…" in shown
    assert form.prompt.toolTip() == long
    form.prompt.setEditText(long + " with contrast")
    assert line.cursorPosition() == 0
    line.setFocus()
    line.clear()
    qtbot.keyClicks(line, "liver")
    assert (line.text(), line.cursorPosition(), form.prompt.toolTip()) == ("liver", 5, "liver")


def test_names_show_their_beginning_and_their_end(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    layer = opened(viewer, small)
    layer.name = "series 0042 of a patient with a long name, follow-up 7"
    until(qtbot, lambda: dock.image.currentText() == layer.name)
    dock.window().resize(1280, 720)
    shown = dock.image.shown()
    assert shown.startswith("ser")
    assert shown.endswith("7")
    assert "…" in shown
    dock.window().resize(LEAST, 700)
    until(qtbot, lambda: dock.window().width() == LEAST)
    assert len(dock.image.shown()) >= LETTERS
    layer.name = "dark16"
    until(qtbot, lambda: dock.image.shown() == "dark16")


def test_what_belongs_to_an_act_is_in_it(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    homes = {
        FIND: (dock.image, dock.prompt, dock.this_slice, dock.all_slices, dock.results, dock.seeing.choice),
        CORRECT: (dock.point, dock.box, dock.closer, dock.between, dock.objects, dock.next, dock.revert),
        TEACH: (dock.models.choice,),
        KEEP: (dock.accept_all, dock.table, dock.case_list),
    }
    for name, widgets in homes.items():
        for one in widgets:
            assert dock.pages[name].isAncestorOf(one)
    for one in (dock.means, dock.unsure, dock.ring):
        assert dock.more_area.isAncestorOf(one)
    dock.show_act(TEACH)
    assert dock.beside.teach is not None
    assert dock.pages[TEACH].isAncestorOf(dock.beside.teach.start)
    click(qtbot, dock.more)
    assert dock.means.device.isVisible()
    assert not dock.beside.teach.start.isVisible()
    for one in (dock.accept, dock.export, dock.message, dock.engine):
        assert one.isVisible()  # whichever act it is


def test_the_last_length_of_a_fine_tuning_is_remembered(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    Settings(length=25, unit="steps").save()
    dock.show_act(TEACH)
    assert dock.beside.teach is not None
    assert (dock.beside.teach.length.value(), dock.beside.teach.unit.currentText()) == (25, "steps")
    dock.beside.teach.length.setValue(7)
    click(qtbot, dock.beside.teach.more)
    dock.beside.teach.begin()
    assert Settings.load().length == 7
    until(qtbot, lambda: bool(dock.beside.teach.notice.label.text()))


def test_fine_tuning_from_the_menu_is_a_tab_beside_the_dock(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    window = dock.window()
    window.resize(1366, 768)
    panel = FinetunePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Fine-tune")
    until(qtbot, lambda: dock.parent() in window.tabifiedDockWidgets(panel.parent()))
    assert window.width() == 1366
