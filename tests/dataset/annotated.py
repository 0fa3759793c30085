"""Small images, and annotations of them as a person would make them."""

from collections.abc import Iterable

import numpy as np

from boltzformer import Grid, LabelMap, Prompt, Volume
from boltzformer.types import Annotation, SliceState

SHAPE = (6, 8, 10)


def image(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> Volume:
    """Noise on an oblique grid whose numbers no float32 holds exactly."""
    rng = np.random.default_rng(seed)
    turned = np.linalg.qr(rng.normal(size=(3, 3)))[0] * (0.7, 0.7, 2.5)
    grid = Grid(shape, turned, (0.1, -20.3, 7.7))
    return Volume(rng.integers(-1000, 1000, shape).astype(np.int16), grid, "CT", "DOE^JANE", "", 0)


def annotate(
    volume: Volume | None = None,
    reviewed: Iterable[int] = (1, 2),
    ignored: Iterable[int] = (),
    painted: Iterable[int] = (1,),
    name: str = "lung nodule",
    value: int = 1,
) -> Annotation:
    """A square in the `painted` slices; `reviewed` and `ignored` ones are spoken of."""
    volume = image() if volume is None else volume
    layers = np.zeros((1, *volume.grid.shape), np.uint8)
    for index in painted:
        layers[0, index, 2:5, 3:6] = value
    said = [SliceState.UNSEEN] * volume.grid.shape[0]
    for index in reviewed:
        said[index] = SliceState.REVIEWED
    for index in ignored:
        said[index] = SliceState.IGNORED
    prompts = (Prompt(f"{name} in chest CT", name), Prompt(f"small {name}", name))
    return Annotation(volume, LabelMap(layers, volume.grid, {value: name}), prompts, {name: tuple(said)}, STORY, 0)


STORY = {
    "model": {"name": "default", "sha256": "ab" * 32},
    "image": {"name": "DOE^JANE", "sha256": "cd" * 32},
    "seed": 7,
    "source": "/home/ward/DOE_JANE/series1",
    "window": {"low": -160.0, "high": 240.0},
}
