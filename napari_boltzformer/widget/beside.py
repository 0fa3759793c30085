"""What stands beside the dock or inside one act, and is made when it is first asked for: object table, case list,
fine-tuning; and the looks, which follow the slice on screen from the beginning."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from boltzformer import Session
from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.lesions import table_name
from boltzformer.desk.looks.following import LooksFollower, on_screen
from boltzformer.desk.masks.by_hand import Voxel, middle_of
from boltzformer.desk.masks.track import Track
from boltzformer.desk.teaching.outcome import mine_of, to_compare
from napari_boltzformer.bottom.lesion_table import LesionTable
from napari_boltzformer.bottom.place import Bottom, rename
from napari_boltzformer.canvas.screen import CanvasLight
from napari_boltzformer.cases.case_list import CasePanel
from napari_boltzformer.host.stage import NapariStage
from napari_boltzformer.teaching.panel import FinetunePanel

if TYPE_CHECKING:
    import napari
    from qtpy.QtWidgets import QBoxLayout, QWidget


class Beside:
    """One per dock."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        desk: Desk,
        stage: NapariStage,
        bottom: Bottom,
        session: Callable[[], Session],
        mark: Callable[[Track, Voxel], None],
    ) -> None:
        """`mark` shows for a moment where a voxel of a mask lies."""
        self._viewer, self._desk, self._stage, self._bottom = viewer, desk, stage, bottom
        self._mark = mark
        self.lesions: LesionTable | None = None
        self.cases: CasePanel | None = None
        self.teach: FinetunePanel | None = None
        looks, light = bottom.looks, CanvasLight(viewer)
        self._light = light
        self.follower = LooksFollower(
            *(looks, light, lambda: on_screen(stage, desk.tracks), session),
            *(desk.work.do, desk.timers),
        )
        desk.overview.moved.append(self.follower.moved)
        desk.changed.append(self._name_table)
        looks.asked.connect(self.follower.ask)
        looks.previewed.connect(self.follower.preview)
        looks.hidden.connect(light.clear)
        bottom.fitting.escaped.extend((looks.escape, self._end_comparison))

    def open_table(self) -> None:
        """Below the canvas, where the dock and what it says stay in sight; measured anew."""
        if self.lesions is None:
            self.lesions = LesionTable(self._desk, self._show_object)
        self._bottom.show(self.lesions, table_name(self._stage.chosen()))
        self.lesions.measure()

    def _show_object(self, track: Track, voxel: Voxel) -> None:
        """On the screen, and ringed: there may be others beside it."""
        self._desk.past_click()
        voxel = middle_of(track, voxel)
        self._desk.tracks.bring_to_sight(track)
        self._stage.show_voxel(track, voxel)
        self._mark(track, voxel)

    def _name_table(self) -> None:
        """A picture has objects, a volume lesions."""
        if self.lesions is not None:
            rename(self.lesions, table_name(self._stage.chosen()))

    def open_cases(self) -> None:
        """On the other side, where the dock and what it says stay in sight."""
        if self.cases is None:
            self.cases = CasePanel(self._desk)
            self._viewer.window.add_dock_widget(self.cases, name="Cases", area="left", tabify=True)
        else:
            _show_outer(self.cases)

    def show_teaching(self, lines: QBoxLayout, on: bool) -> None:
        """Fine-tuning, as the last part of its act; what is compared there goes from the canvas with it."""
        if not on:
            self._end_comparison()
            if self.teach is not None:  # nor comes what is asked just now
                self.teach.outcome.another_image()
        elif self.teach is None:
            self.teach = FinetunePanel(self._viewer, inside=True)
            self.teach.mine = lambda image, row, prompt: mine_of(self._desk.tracks.of(image), prompt, row)
            self.teach.usual, self.teach.in_hand = self._to_compare, self._in_hand
            lines.addWidget(self.teach, 1)

    def _end_comparison(self) -> bool:
        return self.teach is not None and self.teach.escape()

    def _in_hand(self) -> tuple[OpenImage, int] | None:
        image = self._stage.chosen()
        return None if image is None else (image, self._stage.row(image))

    def _to_compare(self) -> str:
        image, row = self._in_hand() or (None, 0)
        return to_compare(image, self._desk.tracks.chosen(), row)

    def another_image(self) -> None:
        """Nothing of the last patient is left to read."""
        if self.teach is not None:
            self.teach.another_image()
        if self.lesions is not None:
            self.lesions.forget()
        self.follower.moved()
        self._light.clear()

    def rest(self) -> None:
        """The dock is out of its window."""
        self._end_comparison()
        if self.teach is not None:
            self.teach.outcome.another_image()
            self.teach.rest()

    def wake(self) -> None:
        """It is back."""
        if self.teach is not None:
            self.teach.wake()


def _show_outer(widget: QWidget) -> None:
    outer: Any = widget.parentWidget()
    if outer is not None:
        outer.show()
        outer.raise_()
