"""Prompts: completion says what the loaded model knows, from its own card; what it never saw is said in amber."""

import json
from pathlib import Path
from typing import Any

import pytest
from gui import DIST, click, done, ready, type_lines, until
from phantom_model import PHANTOM_MODEL
from qtpy.QtCore import QEvent, QObject, QPointF, Qt
from qtpy.QtGui import QKeyEvent, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget, QLabel, QMainWindow, QStyleOptionViewItem

from boltzformer import Session
from boltzformer.desk.models.knowledge import Knowledge, named_apart
from boltzformer.io.phantom import BRIGHT
from boltzformer.knowledge.card import Card, Target
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import History
from napari_boltzformer.dock.completed import fitted
from napari_boltzformer.dock.form import Form
from napari_boltzformer.dock.prompts import AMBER, EARLIER, EMPTY, PromptBox
from napari_boltzformer.widget import BoltzFormerDock

SEEN = {"n": 90, "groups": 48, "dice": 0.71, "dice_interval": [0.6, 0.8]}
NEVER = "This model never saw 'kidney'. Treat the result as a guess."


@pytest.fixture(scope="session")
def carded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantom model with a card that knows bright blobs and lung nodules."""
    targets = (
        Target(BRIGHT, (), (BRIGHT,), 100, 50, 60, True, {"n": 9, "groups": 1, "dice": 0.9}),
        Target("lung nodule", ("CT",), ("lung nodule in chest CT",), 300, 150, 198, True, SEEN),
    )
    card = Card((), targets, "A quarter was held back.")
    model, about = checkpoint.load(PHANTOM_MODEL)
    path = tmp_path_factory.mktemp("models") / "carded.safetensors"
    checkpoint.save(path, model, History(name="carded", data="phantoms", notes=card.notes()))
    assert about.path != path
    return path


@pytest.fixture
def knowing(viewer: Any, carded: Path) -> Any:
    widget = BoltzFormerDock(viewer, Session.local(carded))
    viewer.window.add_dock_widget(widget, name="Segment by text")
    yield widget
    widget.session.close()


def test_who_types_while_other_prompts_come_back_goes_on_in_the_same_word(qtbot: Any) -> None:
    box = PromptBox()
    qtbot.addWidget(box)
    QTest.keyClicks(box, "left kid")
    assert box.keep([BRIGHT, "left kid"]) == []
    QTest.keyClicks(box, "ney")
    assert box.texts() == [BRIGHT, "left kidney"]


@pytest.mark.slow
def test_who_runs_in_the_moment_of_the_last_letter_meets_no_list_over_the_answers(
    qtbot: Any, viewer: Any, knowing: BoltzFormerDock, small_file: Path
) -> None:
    ready(qtbot, knowing)
    viewer.open(str(small_file), plugin=DIST)
    until(qtbot, knowing.this_slice.isEnabled)
    knowing.prompt.setFocus()
    shown: list[QEvent] = []
    watch = Watch(shown)
    knowing.prompt.completer.popup().installEventFilter(watch)
    none, ctrl = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier
    for key, held, letter in ((Qt.Key.Key_L, none, "l"), (Qt.Key.Key_U, none, "u"), (Qt.Key.Key_Return, ctrl, "")):
        QApplication.sendEvent(knowing.prompt, QKeyEvent(QEvent.Type.KeyPress, key, held, letter))
    done(qtbot, knowing)
    assert knowing.prompt.texts() == ["lu"]
    assert not shown


class Watch(QObject):
    """Notes when a widget comes up."""

    def __init__(self, shown: list[QEvent]) -> None:
        super().__init__()
        self._shown = shown

    def eventFilter(self, widget: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        if event is not None and event.type() == QEvent.Type.Show:
            self._shown.append(event)
        return False


def test_completions_and_results_say_what_the_model_knows(
    qtbot: Any, viewer: Any, knowing: BoltzFormerDock, small_file: Path, tmp_path: Path
) -> None:
    ready(qtbot, knowing)
    viewer.open(str(small_file), plugin=DIST)
    knowing.prompt.setFocus()
    popup = knowing.prompt.completer.popup()
    qtbot.keyClicks(knowing.prompt, "lung nod")
    qtbot.waitUntil(lambda: popup.isVisible(), timeout=20_000)
    lines = [popup.model().index(n, 0) for n in range(popup.model().rowCount())]
    texts = [one.data() for one in lines]
    assert texts[0] == "● lung nodule — CT: Dice 0.71 on 48 unseen cases"
    QTest.keyClick(popup, Qt.Key.Key_Down)
    QTest.keyClick(popup, Qt.Key.Key_Return)
    assert knowing.prompt.texts() == ["lung nodule"]  # nobody says that these values are CT, nor do they look like it
    knowing.prompt.selectAll()
    qtbot.keyClicks(knowing.prompt, "lung nod")
    qtbot.waitUntil(lambda: popup.isVisible(), timeout=20_000)
    QTest.keyClick(popup, Qt.Key.Key_Down)
    QTest.keyClick(popup, Qt.Key.Key_Tab)
    assert knowing.prompt.texts() == ["lung nodule"]
    assert knowing.doubt.text() == ""
    knowing.prompt.setPlainText("kidney\nspleen\nlung nodule in chest CT")
    assert knowing.doubt.text() == "This model never saw 'kidney', 'spleen'. Treat the results as guesses."

    knowing.prompt.selectAll()
    type_lines(qtbot, knowing, "kidney")
    assert knowing.doubt.text() == NEVER
    assert AMBER in knowing.doubt.styleSheet()
    qtbot.waitUntil(lambda: popup.isVisible(), timeout=20_000)
    index = popup.model().index(0, 0)
    assert "this model never saw it" in index.data()
    assert index.data(Qt.ItemDataRole.ForegroundRole).color().name().upper() == AMBER
    popup.hide()
    click(qtbot, knowing.this_slice)
    done(qtbot, knowing)
    until(qtbot, lambda: knowing.results.count() == 1)  # shown between two events
    item = knowing.results.item(0)
    assert knowing.doubt.text() == NEVER
    assert NEVER not in item.text()  # it stands beside the prompt, and once is enough
    knowing.prompt.setPlainText(BRIGHT)
    until(qtbot, lambda: item.text().endswith(NEVER))
    assert knowing.doubt.text() == ""
    assert item.foreground().color().name().upper() == AMBER
    knowing.desk.exporting.to(tmp_path / "mask.nrrd")
    made = json.loads((tmp_path / "mask.provenance.json").read_text("utf-8"))["masks"]
    assert [one["warning"] for one in made.values()] == [NEVER]


def test_the_list_of_long_prompts_is_no_wider_than_the_dock_and_tells_them_in_full(qtbot: Any) -> None:
    window, dock, box = QMainWindow(), QDockWidget(), PromptBox()
    qtbot.addWidget(window)
    dock.setWidget(box)
    window.setCentralWidget(QLabel("the canvas"))
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
    window.resize(900, 400)
    long = ", ".join(f"nodule number {n}" for n in range(30))
    box.history = lambda: (long,)
    with qtbot.waitExposed(window):
        window.show()
    window.resizeDocks([dock], [300], Qt.Orientation.Horizontal)
    qtbot.waitUntil(lambda: dock.width() == 300)
    box.offer()
    popup = box.completer.popup()
    qtbot.waitUntil(popup.isVisible)
    assert popup.width() <= dock.width()
    assert popup.mapToGlobal(popup.rect().topRight()).x() <= dock.mapToGlobal(dock.rect().topRight()).x()
    assert long in popup.model().index(0, 0).data(Qt.ItemDataRole.ToolTipRole)
    popup.hide()


def test_of_a_line_that_is_too_long_the_prompt_gives_way_and_the_number_stays(qtbot: Any) -> None:
    box = PromptBox()
    qtbot.addWidget(box)
    box.history = lambda: ("lesion of multiple sclerosis in brain MRI of the left side",)
    box.knowledge = Knowledge(Card((), (Target(box.history()[0], (), (box.history()[0],), 9, 9, 9, True, SEEN),), ""))
    box.show()
    box.offer()
    popup = box.completer.popup()
    line = popup.model().index(0, 0)
    option = QStyleOptionViewItem()
    option.initFrom(popup)
    option.widget = popup
    letters = option.fontMetrics.horizontalAdvance
    for width, ends in ((2000, "left side: Dice 0.71 on 48 unseen cases"), (0, "e: Dice 0.71 on 48 unseen cases")):
        option.rect.setWidth(width or letters("● lesion of … side: Dice 0.71 on 48 unseen cases"))
        popup.itemDelegate().initStyleOption(option, line)
        assert option.text.startswith("● lesi")
        assert option.text.endswith(ends)
        assert letters(option.text) <= option.rect.width()
    room = letters("● l…e: Dice 0.71 on")
    assert ": Dice 0.71" in fitted(option.text, ": Dice 0.71 on 48 unseen cases", option.fontMetrics, room)
    popup.hide()


def test_the_card_travels_from_the_backend(carded: Path) -> None:
    with Session.local(carded) as session:
        session.load_model(carded)
        state = next(one for one in session.models() if one.name == str(carded))
        card = Card.of({"card": state.card})
        assert card is not None
        assert card.knows("lung nodule").dice == 0.71
        assert Knowledge(card).words(BRIGHT) == "Dice 0.90 on 1 unseen case"
        assert next(one for one in session.models() if one.name == "default").card is not None


def test_a_model_without_a_card_warns_of_nothing_and_claims_nothing(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock
) -> None:
    ready(qtbot, dock)
    type_lines(qtbot, dock, "kidney")
    assert dock.doubt.text() == ""
    assert dock.prompt.knowledge.words("kidney") == "this model does not say what it was taught"
    assert QApplication.instance() is not None


def test_masks_are_named_by_their_target_unless_two_mean_the_same() -> None:
    (one,) = named_apart(["MS lesion in brain MRI"])
    assert (one.text, one.name) == ("MS lesion in brain MRI", "MS lesion")
    two = named_apart(["kidney in abdominal CT", "kidneys"])
    assert [prompt.name for prompt in two] == ["kidney in abdominal CT", "kidneys"]
    assert [prompt.name for prompt in named_apart(["x", "x"])] == ["x"]


def test_an_empty_box_says_that_there_are_earlier_prompts_and_opens_them_at_a_press(qtbot: Any) -> None:
    box = PromptBox()
    qtbot.addWidget(box)
    box.resize(500, 80)
    with qtbot.waitExposed(box):
        box.show()
    popup, long = box.completer.popup(), "the beginning of " + "a very " * 40 + "long end"
    qtbot.mouseClick(box.viewport(), Qt.MouseButton.LeftButton)
    until(qtbot, lambda: not box._offering.isActive())
    assert (box.placeholderText(), popup.isVisible()) == (EMPTY, False)
    box.history = lambda: (long, "liver")
    box.viewport().update()
    until(qtbot, lambda: EARLIER in box.placeholderText())
    qtbot.mouseClick(box.viewport(), Qt.MouseButton.LeftButton)
    until(qtbot, popup.isVisible)
    first = popup.model().index(0, 0)
    assert long in first.data(Qt.ItemDataRole.ToolTipRole)
    option = QStyleOptionViewItem()
    option.initFrom(popup)
    option.widget, option.rect = popup, popup.visualRect(first)
    popup.itemDelegate().initStyleOption(option, first)
    assert "the beginning" in option.text
    assert "end" in option.text
    there = QPointF(box.viewport().mapToGlobal(box.viewport().rect().center()))
    left, held = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    place = QPointF(popup.mapFromGlobal(there.toPoint()))
    QApplication.sendEvent(popup, QMouseEvent(QEvent.Type.MouseButtonPress, place, there, left, left, held))
    assert (popup.isVisible(), box._offering.isActive()) == (False, False)  # that closed it
    qtbot.keyClick(box, Qt.Key.Key_Down)
    until(qtbot, popup.isVisible)
    QTest.keyClick(popup, Qt.Key.Key_Down)
    QTest.keyClick(popup, Qt.Key.Key_Down)
    QTest.keyClick(popup, Qt.Key.Key_Return)
    assert box.texts() == ["liver"]
    qtbot.mouseClick(box.viewport(), Qt.MouseButton.LeftButton)
    assert not box._offering.isActive()  # where something is typed a click only says where


def test_a_word_that_the_model_never_saw_is_no_news_before_it_is_whole(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = Form()
    qtbot.addWidget(form)
    monkeypatch.setattr(form.prompt, "hasFocus", lambda: True)  # without a window manager none is active
    form.prompt.knowledge = Knowledge(Card((), (), ""), asked=True)
    for letter in "mening":
        qtbot.keyClicks(form.prompt, letter)
        assert form.doubt.text() == ""
    with qtbot.waitSignal(form.prompt.left):
        qtbot.keyClicks(form.prompt, "ioma")
        assert form.doubt.text() == ""
    assert "'meningioma'" in form.doubt.text()
    qtbot.keyClicks(form.prompt, "s")
    assert form.doubt.text() == ""
    qtbot.keyClicks(form.prompt, " ")
    assert "'meningiomas'" in form.doubt.text()
