"""Condition → exact sentence: the table of docs/sentences.md, made in a real viewer and read from the dock."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from gui import DIST, click, done, layer_of, type_lines, until
from phantom_model import PHANTOM_MODEL
from qtpy.QtCore import QTimer

from boltzformer import Session
from boltzformer.desk.keeping.bringing_back import removed_from
from boltzformer.io.phantom import BRIGHT, Phantom, phantom
from napari_boltzformer.host.layers import image_layer, volume_of
from napari_boltzformer.widget import BoltzFormerDock

LINE = re.compile(r"^\| (?!condition \|)(.+?) \| (.+) \|$", re.MULTILINE)
TABLE = dict(LINE.findall((Path(__file__).parents[2] / "docs" / "sentences.md").read_text("utf-8")))


def says(dock: BoltzFormerDock, condition: str) -> bool:
    """Whether the dock says exactly the sentence of the table."""
    pattern = re.escape(TABLE[condition]).replace(r"\{n\}", r"\d+").replace(r"\{time\}", r"\d{1,2} \w{3}, \d\d:\d\d")
    said = [dock.message.text(), *(line.label.text() for line in dock.notice.offers.values())]
    return any(re.fullmatch(pattern, one) for one in said)


def demand(dock: BoltzFormerDock, condition: str) -> None:
    assert says(dock, condition), f"{condition}: {dock.message.text()!r} instead of {TABLE[condition]!r}"


def turned() -> np.ndarray:
    c, s = np.cos(0.3), np.sin(0.3)
    return np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]])


TAKEN: dict[str, Callable[[Any], Any]] = {
    "an image of another plugin, straight in space": lambda viewer: viewer.add_image(
        np.zeros((3, 24, 32), np.int16), name="theirs", scale=(2, 0.5, 0.5), translate=(1, -3, 8)
    ),
    "2-D": lambda viewer: viewer.add_image(np.zeros((24, 32), np.uint8), name="flat", scale=(0.5, 0.25)),
    "RGB": lambda viewer: viewer.add_image(np.zeros((24, 32, 3), np.uint8), name="colours", rgb=True),
    "dask": lambda viewer: viewer.add_image(dask.array.zeros((3, 24, 32), chunks=(1, 24, 32)), name="lazy"),
    "units of length": lambda viewer: viewer.add_image(
        np.zeros((24, 32), np.uint8), name="small", scale=(50, 50), units=("um", "um")
    ),
}
REFUSED: dict[str, Callable[[Any], Any]] = {
    "4-D": lambda viewer: viewer.add_image(np.zeros((2, 3, 24, 32), np.uint8), name="four"),
    "multiscale": lambda viewer: viewer.add_image(
        [np.zeros((3, 64, 64), np.uint8), np.zeros((3, 32, 32), np.uint8)], name="pyramid", multiscale=True
    ),
    "units that are no length": lambda viewer: viewer.add_image(
        np.zeros((3, 24, 32), np.uint8), name="timed", units=("s", "mm", "mm")
    ),
    "oblique": lambda viewer: viewer.add_image(np.zeros((3, 24, 32), np.uint8), name="oblique", affine=turned()),
}


@pytest.mark.parametrize("condition", TAKEN)
def test_a_layer_of_any_origin_is_looked_at_where_that_can_be_right(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, condition: str
) -> None:
    layer = TAKEN[condition](viewer)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    demand(dock, condition)
    (track,) = dock.tracks()
    assert layer_of(track).data.shape == (layer.data.shape[:-1] if layer.rgb else layer.data.shape)
    assert tuple(layer_of(track).scale) == tuple(layer.scale)
    if condition == "units of length":
        assert volume_of(layer).grid.spacing_mm == pytest.approx((0.05, 0.05, 1.0))


def test_what_can_not_be_looked_at_is_refused_in_a_sentence(qtbot: Any, viewer: Any, dock: BoltzFormerDock) -> None:
    click(qtbot, dock.this_slice)
    demand(dock, "no image")
    theirs = viewer.add_labels(np.zeros((3, 8, 8), np.uint8), name="theirs")
    click(qtbot, dock.this_slice)
    demand(dock, "only layers of others")
    viewer.layers.remove(theirs)
    layer = viewer.add_image(np.zeros((3, 8, 8), np.uint8), name="grey")
    click(qtbot, dock.this_slice)
    demand(dock, "no prompt")
    type_lines(qtbot, dock, BRIGHT)
    for condition, add in REFUSED.items():
        viewer.layers.remove(layer)
        layer = add(viewer)
        assert dock.image.currentText() == layer.name
        click(qtbot, dock.this_slice)
        demand(dock, condition)
        assert dock.notice.copy.isVisible()
        assert not dock.running.runs


def big(viewer: Any) -> Any:
    """So long that no run on it can end before something happens to it."""
    data, options, _ = image_layer(phantom(1, (400, 96, 96)).volume)
    return viewer.add_image(data, **options)


def at_two(dock: BoltzFormerDock, do: Callable[[], Any]) -> Callable[[], None]:
    """Between two events of the viewer, as a user would, once two slices are done → how to stop listening."""

    def heard(value: int) -> None:
        if value == 2:
            QTimer.singleShot(0, do)

    dock.progress.valueChanged.connect(heard)
    return lambda: dock.progress.valueChanged.disconnect(heard)


@pytest.mark.slow
def test_what_dies_or_is_deleted_during_a_run_ends_it_in_a_sentence(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    type_lines(qtbot, dock, BRIGHT)
    data, options, _ = image_layer(small.volume)
    viewer.add_image(data, **options)
    leave = at_two(dock, lambda: viewer.layers.remove(layer_of(dock.tracks()[0])))
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    leave()
    demand(dock, "mask layer deleted during a run")
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    viewer.layers.remove(layer_of(dock.tracks()[0]))
    demand(dock, "mask layer deleted")
    assert "Restore" in dock.notice.offers[removed_from(dock.stage.chosen())].answers
    viewer.layers.clear()

    image = big(viewer)
    leave = at_two(dock, lambda: viewer.layers.remove(image))
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    leave()
    demand(dock, "image layer deleted during a run")
    assert dock.image.count() == 0
    viewer.layers.clear()

    big(viewer)
    leave = at_two(dock, lambda: dock.session.backend().process.kill())
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    leave()
    demand(dock, "backend killed")
    assert dock.notice.copy.isVisible()
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    assert dock.message.text().startswith("Looked in 1 slice")


@pytest.fixture
def another(make_napari_viewer_proxy: Callable[..., Any]) -> Iterator[Callable[[bool], tuple[Any, BoltzFormerDock]]]:
    """Viewers with docks of their own. Two that paint at once are more than software OpenGL can always do."""
    docks: list[BoltzFormerDock] = []

    def make(shown: bool) -> tuple[Any, BoltzFormerDock]:
        viewer = make_napari_viewer_proxy(show=shown)
        docks.append(BoltzFormerDock(viewer, Session.local(PHANTOM_MODEL)))
        viewer.window.add_dock_widget(docks[-1], name="Segment by text")
        return viewer, docks[-1]

    yield make
    for dock in docks:
        dock.session.close()


@pytest.mark.slow
def test_two_viewers_work_side_by_side_and_one_that_is_closed_during_a_run_leaves_its_work(
    qtbot: Any, another: Callable[[bool], tuple[Any, BoltzFormerDock]], small_file: Path
) -> None:
    (viewer, dock), (other, second) = another(False), another(True)
    for one, its in ((viewer, dock), (other, second)):
        one.open(str(small_file), plugin=DIST)
        type_lines(qtbot, its, BRIGHT)
    click(qtbot, dock.this_slice)
    click(qtbot, second.this_slice)
    for its in (dock, second):
        done(qtbot, its)
        demand(its, "two viewers")
        assert len(its.tracks()) == 1

    big(other)
    click(qtbot, second.all_slices)
    until(qtbot, lambda: bool(second.tracks()) and len(second.tracks()[0].scores) >= 2)
    assert second.running.runs
    process = second.session.backend().process
    other.close()
    until(qtbot, lambda: process.poll() is not None)

    data, options, _ = image_layer(phantom(1, (400, 96, 96)).volume)
    viewer.add_image(data, **options)
    until(qtbot, lambda: says(dock, "viewer closed during a run, then opened again"))
    (track,) = dock.tracks()
    assert len(track.scores) >= 2


def test_the_table_holds_nothing_that_is_not_made_here() -> None:
    """Told by their names in this file, so that it holds for a single test as well."""
    text = Path(__file__).read_text("utf-8")
    assert [condition for condition in TABLE if f'"{condition}"' not in text] == []
