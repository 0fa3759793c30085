"""The files of the CVPR 2025 challenges: cases with truth and questions, and the answers to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import BoltzFormerError
from boltzformer.image.geometry import Array
from boltzformer.io.npz import names_in, read_array, read_plain

Labels = NDArray[np.uint8]
MOST = 255
"""The highest label that their files hold."""
INSTANCE = "instance_label"


@dataclass(frozen=True)
class Asked:
    """What a case asks for: phrasings by label, and whether every object is to have a number of its own."""

    prompts: Mapping[int, tuple[str, ...]]
    instances: bool


def cases_in(truth: Path, answers: Path) -> tuple[list[tuple[str, Path, Path]], tuple[str, ...]]:
    """(name, truth, answer) of all cases with an answer, and the names of those without; files or folders."""
    if truth.is_file() and answers.is_file():
        return [(truth.stem, truth, answers)], ()
    for place in (truth, answers):
        if not place.is_dir():
            raise BoltzFormerError(f"There is no folder {place}: give two folders of .npz files, or two files.")
    folder = truth / "gts" if (truth / "gts").is_dir() else truth
    known = {path.stem: path for path in sorted(folder.glob("*.npz"))}
    given = {path.stem: path for path in sorted(answers.glob("*.npz"))}
    both = [(name, path, given[name]) for name, path in known.items() if name in given]
    if not both:
        raise BoltzFormerError(
            f"No answer in {answers} has the name of a case in {folder}: answers are .npz files named like their case."
        )
    return both, tuple(name for name in known if name not in given)


def images_in(data: Path) -> list[Path]:
    """The cases that can be asked: a file, a folder of them, or `imgs` in it."""
    folder = data / "imgs" if (data / "imgs").is_dir() else data
    found = [data] if data.is_file() else sorted(folder.glob("*.npz"))
    if not found:
        raise BoltzFormerError(f"{folder} holds no case: give a folder of .npz files with `imgs` in them.")
    for path in found:
        if not has(path, "imgs"):
            raise BoltzFormerError(f"{path} lacks `imgs`: without the image a case can only be scored, not asked.")
    return found


def truth_of(path: Path) -> Path | None:
    """The file with the truth of a case that is asked: its own, or of the same name in `gts` beside `imgs`."""
    apart = path.parent.parent / "gts" / path.name
    if path.parent.name == "imgs" and apart.is_file():
        return apart
    return path if has(path, "gts") else None


def has_truth(data: Path) -> bool:
    """Whether any case can be scored."""
    return any(truth_of(path) is not None for path in images_in(data))


def about(path: Path) -> Path:
    """The file that tells of a case: the truth's own, or the image's where the challenge keeps them apart."""
    image = path.parent.parent / "imgs" / path.name
    return image if path.parent.name == "gts" and image.is_file() else path


def labels_in(path: Path, name: str, shape: Sequence[int] | None = None) -> Labels:
    """A label map (z, y, x); with `shape`, it must have it."""
    array = read_array(path, name)
    if shape is not None and array.shape != tuple(shape):
        raise BoltzFormerError(
            f"`{name}` of {path} has the shape {array.shape}, its truth {tuple(shape)}: answer on the image's own grid."
        )
    if array.ndim != 3:
        raise BoltzFormerError(f"`{name}` of {path} has {array.ndim} axes: give a volume (z, y, x).")
    return whole(array, f"`{name}` of {path}")


def whole(array: Array, what: str) -> Labels:
    """As 8-bit labels, if that loses nothing."""
    fits = array.dtype.kind in "biuf" and array.size > 0
    if fits and array.dtype.kind == "f":
        fits = bool(np.isfinite(array).all() and (array == np.rint(array)).all())
    if not fits:
        raise BoltzFormerError(f"{what} holds no whole numbers ({array.dtype}): give labels from 0 to {MOST}.")
    low, high = array.min(), array.max()
    if low < 0 or high > MOST:
        raise BoltzFormerError(f"{what} holds labels from {low} to {high}: the format ends at {MOST}, begin at 0.")
    return array.astype(np.uint8)


def spacing_in(path: Path) -> tuple[float, float, float]:
    """As it is stored, whatever the order of the axes."""
    array = read_array(path, "spacing").ravel()
    fits = array.size == 3 and array.dtype.kind in "iuf"
    if not fits or not (np.isfinite(array).all() and array.min() > 0):
        raise BoltzFormerError(f"The spacing of {path} is {array.tolist()}: give three lengths above 0, in mm.")
    a, b, c = map(float, array)
    return a, b, c


def asked_in(path: Path) -> Asked:
    """The text prompts of a case."""
    told = read_plain(path, "text_prompts")
    if not isinstance(told, dict) or INSTANCE not in told:
        raise BoltzFormerError(f"The text_prompts of {path} lack `{INSTANCE}`: add it as 0 or 1.")
    instances = told[INSTANCE]
    if instances not in (0, 1) or not isinstance(instances, int | float):
        raise BoltzFormerError(f"The `{INSTANCE}` of {path} is {_short(instances)}: give 0 or 1.")
    prompts = {_label(path, key): _phrasings(path, key, told[key]) for key in told if key != INSTANCE}
    if not prompts:
        raise BoltzFormerError(f"The text_prompts of {path} ask for nothing: add a label with a sentence.")
    return Asked(dict(sorted(prompts.items())), bool(instances))


def has(path: Path, name: str) -> bool:
    """Whether a file holds that."""
    return name in names_in(path)


def _label(path: Path, key: Any) -> int:
    text = str(key) if isinstance(key, str | int) else ""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MOST):
        raise BoltzFormerError(f"{path} asks for the label {_short(key)}: labels are numbers from 1 to {MOST}.")
    return int(text)


def _phrasings(path: Path, key: Any, told: Any) -> tuple[str, ...]:
    several = [told] if isinstance(told, str) else told
    if not (isinstance(several, list | tuple) and several and all(isinstance(one, str) for one in several)):
        raise BoltzFormerError(f"Label {_short(key)} of {path} has no sentence: give a text or a list of texts.")
    return tuple(several)


def _short(value: Any) -> str:
    return repr(value)[:40] if isinstance(value, str | int | float) else type(value).__name__
