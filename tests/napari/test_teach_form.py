"""The form of the act Teach by itself, without a viewer: what it shows never asks for more room than it has."""

from pathlib import Path
from typing import Any

from PIL import Image

from napari_boltzformer.host.narrow import Upright
from napari_boltzformer.teaching.form import FinetuneForm

ROOM = 332
"""Pixels: as wide as the dock is on a screen of 1366."""


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
