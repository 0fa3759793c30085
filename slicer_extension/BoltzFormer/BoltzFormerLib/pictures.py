"""Pictures (rows, columns, 3) in labels: by way of a file, since that is the same in every Qt and every PythonQt."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import qt
from numpy.typing import NDArray
from PIL import Image


class PictureFile:
    """One file, written anew for every picture; gone when `leave` is called."""

    def __init__(self, label: Any) -> None:
        self._label = label
        self._folder = tempfile.TemporaryDirectory(prefix="boltzformer-")
        self.shown: NDArray[np.uint8] | None = None

    def show(self, picture: NDArray[np.uint8] | None) -> None:
        """None: nothing."""
        self.shown = picture
        if picture is None:
            self._label.clear()
            self._label.minimumHeight = 0
            return
        path = Path(self._folder.name) / "picture.png"
        Image.fromarray(np.ascontiguousarray(picture)).save(path, compress_level=1)
        self._label.setPixmap(qt.QPixmap(str(path)))
        self._label.minimumHeight = picture.shape[0]  # whatever else wants room

    def leave(self) -> None:
        self._folder.cleanup()
