"""Learn from this case: what was corrected in a few slices teaches the rest; before and now, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qtpy.QtWidgets import QCheckBox, QLabel, QPushButton, QVBoxLayout, QWidget

from boltzformer.desk.desk import Desk
from boltzformer.desk.looks.following import Light
from boltzformer.desk.masks.track import Track
from napari_boltzformer.host.behind import Behind


class LearnPanel(QWidget):
    """It teaches nothing by itself: the desk does."""

    def __init__(self, desk: Desk, light: Light) -> None:
        """`light`: where what the model alone had said is shown for a moment."""
        super().__init__()
        self._desk, self._learning, self._light = desk, desk.learning, light
        self._hidden: Track | None = None
        self.learn, self.forget = QPushButton("Learn from this case"), QPushButton("Forget")
        self.before = QPushButton("Before (W)")
        self.as_i_go, self.carry = QCheckBox("as I go"), QCheckBox("for the next")
        self.state = QLabel()
        self.state.setWordWrap(True)
        self.learn.setToolTip("Shift+T: slices that you corrected or accepted teach all others; yours stay as they are")
        self.as_i_go.setToolTip("Learns again after every correction")
        self.before.setToolTip("What the model alone had marked, as long as this or W is held")
        self.forget.setToolTip("The model's own answers come back")
        self.carry.setToolTip("What this image taught is where the next image with the same prompt begins")
        lines = QVBoxLayout(self)
        lines.setContentsMargins(0, 0, 0, 0)
        behind = (self.as_i_go, self.carry, self.before, self.forget)
        lines.addWidget(Behind([self.learn], behind, "How it learns, what was there before, the way back"))
        lines.addWidget(self.state)
        self.as_i_go.setChecked(desk.settings.learn_as_i_go)
        self.carry.setChecked(desk.settings.carry)
        self.learn.clicked.connect(lambda _=False: self._press())
        self.forget.clicked.connect(lambda _=False: self._learning.forget())
        self.before.pressed.connect(self._show_before)
        self.before.released.connect(self._show_now)
        self.as_i_go.toggled.connect(self._choose)
        self.carry.toggled.connect(self._choose)
        desk.changed.append(self.show_state)
        self.show_state()

    def _press(self) -> None:
        if self._learning.busy:
            self._learning.stop()
        else:
            self._learning.start()

    def held(self, _layer: Any) -> Iterator[None]:
        """As long as a key is."""
        self._show_before()
        yield
        self._show_now()

    def show_state(self) -> None:
        """What can be learnt, and what was."""
        learning, track = self._learning, self._desk.tracks.active()
        self.learn.setText("Stop learning" if learning.busy else "Learn from this case")
        self.learn.setEnabled(learning.busy or track is not None)
        self.before.setEnabled(learning.learnt(track) is not None)
        self.forget.setEnabled(learning.can_forget(track))
        self.state.setText(learning.standing)

    def _choose(self, _on: bool) -> None:
        self._desk.settings.learn_as_i_go = self.as_i_go.isChecked()
        self._desk.settings.carry = self.carry.isChecked()
        self._desk.settings.save()

    def _show_before(self) -> None:
        stage, track = self._desk.stage, self._desk.tracks.active()
        image = stage.chosen()
        picture = None if track is None or image is None else self._learning.before_picture(track, stage.row(image))
        if track is None or image is None or picture is None:
            row = 0 if image is None else stage.row(image)
            self._desk.notice.say(self._learning.no_before(track, row))
            return
        self._hidden = track if track.surface.shown else None
        track.surface.shown = False
        self._light.show(image, picture, f"{track.name}: before it learnt")

    def _show_now(self) -> None:
        self._light.clear()
        track, self._hidden = self._hidden, None
        if track is not None and track.surface.alive:
            track.surface.shown = True
