"""The form of the act Teach by itself, without a viewer: what it shows never asks for more room than it has."""

from pathlib import Path
from typing import Any

from PIL import Image
from qtpy.QtWidgets import QAbstractSlider, QVBoxLayout, QWidget

from boltzformer.desk.notice import Offer
from napari_boltzformer.host.upright import Upright
from napari_boltzformer.teaching.form import LOWEST, FinetuneForm

ROOM = 332
"""Pixels: as wide as the dock is on a screen of 1366."""

LINE = 10
"""Pixels: what is in sight has at least so many."""


def test_a_wide_picture_of_what_was_held_back_asks_for_no_more_room(qtbot: Any, tmp_path: Path) -> None:
    """Nor does the dock grow when a run ends, or when one that ended is found again."""
    form = FinetuneForm(inside=True)
    page = Upright(form)
    qtbot.addWidget(page)
    page.resize(ROOM, 500)
    page.show()
    before = page.minimumSizeHint().width()
    path = tmp_path / "seen.png"
    Image.new("RGB", (1200, 400)).save(path)
    form.curve.shown.add(1, 2, {"total": 1.0})
    form.show_curve()
    form.show_seen(str(path))
    qtbot.waitUntil(form.curve.isVisible)
    form.show_seen(str(path))  # as wide as what is on screen
    form.more.setChecked(True)
    qtbot.waitUntil(lambda: form.seen.isVisible() and form.seen.height() > 1)
    assert page.minimumSizeHint().width() == before
    assert not page.horizontalScrollBar().isVisible()
    assert form.seen.width() <= page.viewport().width()
    assert form.seen.height() == form.seen.width() // 3
    form.show_seen("")
    qtbot.waitUntil(lambda: not form.seen.isVisible())


def test_no_name_and_no_sentence_asks_for_more_room(qtbot: Any) -> None:
    form = FinetuneForm(inside=True)
    page = Upright(form)
    qtbot.addWidget(page)
    page.resize(ROOM, 500)
    page.show()
    before = page.minimumSizeHint().width()
    for one in (form.holds, form.verdict, form.compared, form.need):
        one.setText("a_name_of_a_target_that_is_one_word_and_as_long_as_two_lines_are_wide: 0.90.")
    form.name.setText("liver_of_our_hospital_with_the_new_scanner")
    assert form.promote.text() == "Promote as 'liver_of…scanner'"
    assert page.minimumSizeHint().width() == before


def test_what_is_asked_is_in_sight_however_full_the_page_is(qtbot: Any) -> None:
    """What can wait is folded away meanwhile, and comes back; a page that is lower still goes to what is asked by
    itself, until a person scrolls."""
    form, body, lines = FinetuneForm(inside=True), QWidget(), QVBoxLayout()
    body.setLayout(lines)
    lines.addWidget(form, 1)
    page = Upright(body)
    qtbot.addWidget(page)
    for step in range(1, 11):
        form.curve.shown.add(step, 10, {"total": 1 / step})
    form.verdict.setText("Not better for sure: objects of >10% of the image fell by 0.019 (-0.036 to -0.002). " * 2)
    form.compared.setText("Slice 3, 'liver', seed 0: before 1234 pixels, after 2345, 1000 of them the same. " * 2)
    form.show_curve()
    page.resize(ROOM, 900)
    page.show()
    qtbot.waitUntil(form.curve.isVisible)
    page.resize(ROOM, body.heightForWidth(page.viewport().width()) + 20)
    bar, every = page.verticalScrollBar(), (form.curve, form.verdict, form.compared)
    qtbot.waitUntil(lambda: form.curve.height() >= LOWEST and bar.maximum() == 0)

    def ask(topic: str, answer: str) -> Offer:
        sentence = "Not better for sure. If you have looked at it, it can be 'mine'. " * 4
        return Offer(topic, sentence, ((answer, lambda: None),), lambda: None)

    def in_sight(topic: str) -> bool:
        return all(not button.visibleRegion().isEmpty() for button in form.notice.offers[topic].answers.values())

    asked = [ask("first", "Use it now"), ask("second", "Roll back")]
    form.notice.offer(asked[:1])
    qtbot.waitUntil(lambda: in_sight("first") and bar.maximum() == 0)
    form.notice.offer(asked)
    qtbot.waitUntil(lambda: in_sight("second") and bar.maximum() == 0)
    assert not any(one.height() for one in every)
    form.notice.offer(asked[:1])  # answered
    qtbot.waitUntil(lambda: in_sight("first") and bar.maximum() == 0)
    form.notice.offer([])
    qtbot.waitUntil(lambda: all(one.height() >= LINE for one in every) and bar.maximum() == 0)

    page.resize(ROOM, 120)
    form.notice.offer(asked[1:])
    qtbot.waitUntil(lambda: bar.maximum() > 0 and in_sight("second"))
    bar.triggerAction(QAbstractSlider.SliderAction.SliderToMinimum)
    page.resize(ROOM, 125)
    qtbot.wait(1)
    assert bar.value() == 0
