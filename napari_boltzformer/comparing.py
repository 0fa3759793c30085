"""Before and after: one slice asked with the old and the new model, same words and seed, as a pair of mask layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from boltzformer import BoltzFormerError, Prediction, Session, Volume, Window
from napari_boltzformer.knowledge import as_prompt
from napari_boltzformer.layers import empty_labels, plan_of, row_on_screen, volume_of

if TYPE_CHECKING:
    import napari

PAIR = "boltzformer before and after"
"""Marks the two layers in their metadata."""
COLOURS = {"before": "#56B4E9", "after": "#E69F00"}
FILLED = 0.45
"""Opacity of the one before, which is filled; the one after is an outline upon it."""


@dataclass(frozen=True)
class Question:
    """What both models are asked."""

    volume: Volume
    row: int
    """The slice as the viewer counts it."""
    prompt: str
    seed: int
    window: Window | str | None = None
    """Through which both are shown the image; a name: it is made beside the viewer; None: their own rule."""


@dataclass(frozen=True)
class Compared:
    """Both answers to one question: planes as the viewer shows them."""

    question: Question
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]

    @property
    def sentence(self) -> str:
        """What differs, in numbers."""
        one, other = int(self.before.sum()), int(self.after.sum())
        if not one + other:
            told = "neither finds anything"
        else:
            dice = 2 * int((self.before & self.after).sum()) / (one + other)
            told = f"before {one} pixels, after {other}; they agree by {dice:.2f} (Dice)"
        return f"Slice {self.question.row}, '{self.question.prompt}', seed {self.question.seed}: {told}."


def question_of(
    image: Image | None, point: Any, prompt: str, seed: int, window: Window | str | None = None
) -> Question:
    """The slice on screen."""
    if image is None:
        raise BoltzFormerError("There is no image to compare on: open one first.")
    if not prompt.strip():
        raise BoltzFormerError("There is no prompt: choose what to look for before you compare.")
    return Question(volume_of(image), row_on_screen(image, point), prompt.strip(), seed, window)


def ask_both(session: Session, question: Question, before: str, after: str) -> Compared:
    """Waits for both."""
    if isinstance(question.window, str):
        volume = question.volume
        question = replace(question, window=Window.choose(question.window, volume.array, volume.modality))
    return Compared(question, _plane(session, question, before), _plane(session, question, after))


def _plane(session: Session, question: Question, model: str) -> NDArray[np.uint8]:
    volume, plan = question.volume, plan_of(question.volume)
    index = plan.canonical_index(question.row)
    prompt = as_prompt(question.prompt)
    how: dict[str, Any] = {"seed": question.seed, "window": question.window, "model": model}
    job = session.segment(volume, prompt, slices=[index], **how)
    prediction: Prediction = job.result()
    view = volume.grid.canonical(volume.slice_axis)
    return np.ascontiguousarray(view.apply(prediction.labels().layers[0])[question.row])


def pair_of(viewer: napari.viewer.Viewer) -> list[Labels]:
    """The layers of the last comparison: before, after."""
    found = [layer for layer in viewer.layers if PAIR in layer.metadata]
    return sorted(found, key=lambda layer: layer.metadata[PAIR] != "before")


def show(viewer: napari.viewer.Viewer, image: Image, compared: Compared) -> None:
    """A filled mask and an outline, both at once; the pair of the last comparison goes."""
    active = viewer.layers.selection.active
    for layer in pair_of(viewer):
        viewer.layers.remove(layer)
    for name, plane in (("before", compared.before), ("after", compared.after)):
        data, options = empty_labels(image, f"{compared.question.prompt}: {name}")
        rows = data[None] if data.ndim == 2 else data
        rows[compared.question.row] = plane
        colours = DirectLabelColormap(color_dict={0: "transparent", None: COLOURS[name]})
        layer = viewer.add_labels(data, **options, colormap=colours, opacity=1.0, metadata={PAIR: name})
        if name == "before":
            layer.opacity = FILLED
        else:
            layer.contour = 1
    if active is not None and active in viewer.layers:
        viewer.layers.selection.active = active


def flip(viewer: napari.viewer.Viewer) -> None:
    """One at a time: from both or from before to after, from after to before."""
    pair = pair_of(viewer)
    if len(pair) == 2:
        before, after = pair
        only_after = before.visible
        before.visible, after.visible = not only_after, only_after
