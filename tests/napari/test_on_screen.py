"""The window stays on its screen: the first one ever that napari opens, and when something comes below the canvas."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gui import click, done, type_lines, until
from napari.settings import get_settings
from phantom_model import PHANTOM_MODEL
from qtpy.QtCore import QRect, QSize
from qtpy.QtWidgets import QLabel, QWidget
from test_acts import LOW, opened, place_of

from boltzformer import Session
from boltzformer.io.phantom import BRIGHT, DARK, Phantom, phantom
from napari_boltzformer.bottom.place import PICTURE
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.host.on_screen import within
from napari_boltzformer.widget import BoltzFormerDock


class Wide(QLabel):
    """Somebody else's dock, which would like to have more than there is."""

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(1500, 100)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(50, 50)


@pytest.fixture
def first_time() -> Iterator[None]:
    """No window was ever opened: napari makes it as large as all docks would like it to be."""
    application = get_settings().application
    before, application.first_time = application.first_time, True
    yield
    application.first_time = before


def test_the_first_window_ever_is_no_larger_than_the_screen(
    qtbot: Any, make_napari_viewer_proxy: Callable[..., Any], small: Phantom, first_time: None
) -> None:
    viewer = make_napari_viewer_proxy(show=False)
    with Session.local(PHANTOM_MODEL) as session:
        dock = BoltzFormerDock(viewer, session)
        viewer.window.add_dock_widget(Wide("wide"), name="wide", area="left")
        viewer.window.add_dock_widget(dock, name="Segment by text")
        viewer.window.show()
        window = dock.window()
        room = window.screen().availableGeometry()
        assert window.width() > room.width()
        until(qtbot, lambda: room.contains(window.frameGeometry()))
        data, options, _ = image_layer(small.volume)
        viewer.add_image(data, **options)
        click(qtbot, dock.looks)
        until(qtbot, dock.bottom.looks.isVisible)
        until(qtbot, lambda: room.contains(window.frameGeometry()))
        assert dock.accept.isVisible()


def test_a_window_is_moved_and_shrunk_into_its_screen_no_further() -> None:
    room = QRect(0, 30, 1280, 690)
    inside = QRect(100, 100, 800, 600)
    assert within(inside, room) == inside
    assert within(QRect(900, 200, 800, 600), room) == QRect(480, 120, 800, 600)
    assert within(QRect(-50, 0, 1441, 900), room) == room


@pytest.mark.slow
def test_nothing_below_the_canvas_is_cut_on_a_low_screen_and_a_picture_gets_no_height_of_a_volume(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    opened(viewer, small)
    dock.window().resize(1366, LOW)
    type_lines(qtbot, dock, BRIGHT, DARK, "astrocyte in microscopy")
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    review, looks = dock.bottom.review, dock.bottom.looks
    until(qtbot, lambda: review.isVisible() and whole(review, review.totals))
    of_volume = review.height()
    click(qtbot, dock.looks)
    until(qtbot, lambda: looks.headline.text().startswith("Look 1 saw ") and looks.save.isVisible())
    for button in (looks.play, looks.seen, looks.save):
        until(qtbot, lambda button=button: whole(looks, button))
    click(qtbot, dock.table)
    until(qtbot, lambda: dock.beside.lesions.isVisible() and bool(dock.beside.lesions.lesions))
    until(qtbot, lambda: whole(dock.beside.lesions, dock.beside.lesions.total))
    flat = phantom(3, (1, 64, 64)).volume
    data, options, _ = image_layer(flat)
    viewer.add_image(data[0], **{**options, "scale": options["scale"][1:], "translate": (0, 0), "metadata": {}})
    until(qtbot, lambda: dock.this_slice.text() == "Run")
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    dock.bottom.show(review, PICTURE)
    until(qtbot, lambda: whole(review, review.totals) and review.height() <= review.sizeHint().height() + 4)
    assert review.height() < of_volume


def whole(widget: QWidget, part: QWidget) -> bool:
    """All of a part is in sight, in what lies below the canvas."""
    seen = part.visibleRegion().boundingRect() == part.rect() and place_of(widget.parentWidget()).contains(
        place_of(part)
    )
    return part.isVisible() and seen and part.height() >= part.minimumSizeHint().height()
