"""Opens images with their true grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from boltzformer import io
from napari_boltzformer.layers import image_layer


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[Any]] | None:
    """napari asks: can you read this?"""
    paths = [path] if isinstance(path, str) else path
    if all(io.can_read(Path(one)) for one in paths):
        return _read
    return None


def _read(path: str | list[str]) -> list[Any]:
    return [image_layer(io.read(one)) for one in ([path] if isinstance(path, str) else path)]
