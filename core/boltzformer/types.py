"""What travels between files, engine, backend and viewers. Frozen, numpy only, so that any host can hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import BoltzFormerError, GeometryError
from boltzformer.image.geometry import Array, Grid
from boltzformer.image.guidance import Guidance as Guidance
from boltzformer.image.intensity import Window
from boltzformer.image.packing import Packed, compressed
from boltzformer.image.slicing import SlicePlan

GATE = 0.5
"""Least existence for a slice to have a mask, where the checkpoint names none of its own."""
FLOOR = 0.001
"""Where existence is below this, logits are not kept: no lower gate brings them back."""


@dataclass(frozen=True)
class Volume:
    """An image and its place in the world."""

    array: Array
    """(Z, Y, X), or (Z, Y, X, 3) for colour; values as stored; a 2-D image has Z = 1."""
    grid: Grid
    modality: str = ""
    name: str = ""
    source: str = ""
    """Path it was read from, if any."""
    stacking_axis: int | None = None
    """Array axis along which the slices were acquired, where the file says so (DICOM). Not part of the grid: two
    images may lie on the same voxels however they were acquired."""
    placed: bool = False
    """The file says itself that a voxel is 1 mm and where it lies, should the grid be that of `Grid.pixels`: there
    nobody knows, unless this is said."""

    def __post_init__(self) -> None:
        if self.stacking_axis not in (None, 0, 1, 2):
            raise GeometryError(
                f"The image {self.name!r} can't be stacked along axis {self.stacking_axis}: give 0, 1 or 2 (z, y, x)."
            )
        if self.array.shape[:3] != self.grid.shape or self.array.shape[3:] not in ((), (3,)):
            raise GeometryError(
                f"The image {self.name!r} has shape {self.array.shape}, its grid {self.grid.shape}: "
                "give a (Z, Y, X) or (Z, Y, X, 3) array and the grid that belongs to it."
            )

    @property
    def slice_axis(self) -> int:
        """Array axis along which to look at the image: the stacking axis where known, else judged from the grid."""
        return self.grid.acquisition_axis if self.stacking_axis is None else self.stacking_axis

    @property
    def has_place(self) -> bool:
        """Whether its millimetres are those of the world, and not only steps from pixel to pixel."""
        return self.placed or self.grid != Grid.pixels(self.grid.shape)

    def window(self) -> Window:
        """What the model is shown of it unless the user says otherwise."""
        return Window.guess(self.array, self.modality)


MOST_SAMPLES = 64
"""So many seeds can be asked about a slice, whoever asks."""
MOST_CHARACTERS = 2000
"""So long may a prompt be; models read a few dozen words."""


@dataclass(frozen=True)
class Prompt:
    """One thing to look for."""

    text: str
    """What the model reads."""
    label: str = ""
    """The name its mask carries; the text, if empty."""

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise BoltzFormerError("The prompt is empty: type what to look for, e.g. 'MS lesion in brain MRI'.")
        longest = max(len(self.text), len(self.label))
        if longest > MOST_CHARACTERS:
            raise BoltzFormerError(
                f"The prompt '{self.text[:40]}…' has {longest} characters: say it in at most {MOST_CHARACTERS}."
            )
        try:
            (self.text + self.label).encode()
        except UnicodeEncodeError as error:  # half a character, e.g. from a terminal that does not speak UTF-8
            raise BoltzFormerError(f"The prompt {self.text!a} is not valid text: type it again in UTF-8.") from error

    @property
    def name(self) -> str:
        """What the user sees beside the mask."""
        return self.label or self.text


@dataclass(frozen=True)
class Lesson:
    """What a person said about one slice: where the object is in it, or that it is not there at all."""

    index: int
    """Stored number of the slice along its axis."""
    mask: NDArray[np.bool_]
    """(rows, columns) in the canonical view, as `SlicePlan.mask` gives it; nothing marked: the object is not there."""
    weight: float = 1.0
    """How much it counts beside the others: what was painted more than what was only ticked."""


@dataclass(frozen=True)
class LookTrace:
    """Where the queries looked in one decoder layer."""

    scale: int
    """Stride of the token grid in pixels of the network's input."""
    temperature: float
    guess: NDArray[np.float32]
    """(h, w): the model's own mask probability before this look, mean over queries."""
    probability: NDArray[np.float32]
    """(h, w): chance of a token to be visited, mean over queries."""
    visited: NDArray[np.float32]
    """(h, w): share of queries and heads that did visit it."""


@dataclass(frozen=True)
class SamplingTrace:
    """The sampling maps of all decoder layers for one slice and prompt."""

    layers: tuple[LookTrace, ...]
    queries: int = 0
    """How many the model has, whose looks can be asked for one by one; 0: not known."""


@dataclass(frozen=True)
class Started:
    """First event of a segmentation: what will be done."""

    plan: SlicePlan
    total: int
    """Number of slices that will be looked at."""
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What is known of the making before the first slice, for masks of a run that is cancelled."""
    tiles: int = 0
    """The picture is asked in so many tiles; 0: each slice as a whole."""


@dataclass(frozen=True)
class TileDone:
    """One more tile of a picture that is too large to be looked at as a whole."""

    done: int
    total: int


@dataclass(frozen=True)
class Queued:
    """The job waits for others."""

    position: int
    """So many are before it."""


@dataclass(frozen=True)
class Adjusted:
    """Something could not be done as asked, so it is done otherwise."""

    what: str
    """What is different from now on."""
    why: str


@compressed("logits", "spread", "edges", "given")
@dataclass(frozen=True)
class SliceResult:
    """The answer for one slice. Its maps are kept compressed and unpacked when read."""

    index: int
    """Along `plan.axis` of the stored array."""
    logits: NDArray[np.int8]
    """(P, h, w) at model resolution, in steps of 1/16; −8 throughout where existence is below `FLOOR`."""
    existence: NDArray[np.float32]
    """(P,): probability that the prompt's object is in this slice; `provenance["existence kind"]` says whose."""
    spread: NDArray[np.uint8] | None = None
    """(P, h, w): standard deviation of the samples' probabilities, 255 = 0.5, the largest there is; None for one."""
    edges: NDArray[np.int8] | None = None
    """(P, h, w) logits of the outline, for models that draw one."""
    lifted: NDArray[np.bool_] | None = None
    """(P,): where a user pointed at the object in this slice, so that no gate holds its mask back; None: nowhere."""
    given: NDArray[np.uint8] | None = None
    """(P, rows, columns) of the canonical slice, 0 or 1: a person's masks, which stand at any threshold and gate."""

    def passes(self, prompt: int, gate: float) -> bool:
        """Whether a prompt has a mask here: its existence reaches the gate, or a user pointed at it."""
        return bool(self.existence[prompt] >= gate or (self.lifted is not None and self.lifted[prompt]))

    @property
    def side(self) -> int:
        """Of the logits in pixels, left packed: the model's, or for a picture in tiles its own longer one."""
        packed: Packed = vars(self)["logits"]
        return packed.shape[-1]

    def plane(self, prompt: int) -> NDArray[np.int8]:
        """One prompt's logits, the others left packed."""
        packed: Packed = vars(self)["logits"]
        return packed.plane(prompt)


@dataclass(frozen=True)
class LabelMap:
    """Masks on a grid; overlapping structures lie on different layers."""

    layers: NDArray[np.uint8]
    """(L, Z, Y, X)."""
    grid: Grid
    names: Mapping[int, str]
    """Label value (unique over all layers, 1…255) → name."""

    def __post_init__(self) -> None:
        if self.layers.dtype != np.uint8 or not all(1 <= label <= 255 for label in self.names):
            raise GeometryError(
                f"The mask has voxels of type {self.layers.dtype} and labels {sorted(self.names)}: "
                "give uint8 voxels and labels from 1 to 255."
            )
        if self.layers.ndim != 4 or self.layers.shape[1:] != self.grid.shape:
            raise GeometryError(
                f"The mask has shape {self.layers.shape[1:]}, its grid {self.grid.shape}: "
                "a mask must lie on the grid of its image."
            )

    def mask(self, label: int) -> NDArray[np.bool_]:
        """Where one label is."""
        return (self.layers == label).any(axis=0)


class SliceState(StrEnum):
    """What a person has said about one label in one slice."""

    UNSEEN = "unseen"
    """Nobody has looked: nothing is known, so nothing is learnt."""
    REVIEWED = "reviewed"
    """The mask is right and not empty."""
    EMPTY = "reviewed-empty"
    """A person looked and there is nothing: it teaches that the object can be absent."""
    IGNORED = "ignored"
    """Looked at and put aside, e.g. for motion: not for training."""


@dataclass(frozen=True)
class Annotation:
    """Masks, and which slices a person has looked at and accepted."""

    volume: Volume
    labels: LabelMap
    prompts: tuple[Prompt, ...]
    """Each names one of the labels (`Prompt.name`); several for one label are its phrasings, the usual one first."""
    slices: Mapping[str, tuple[SliceState, ...]]
    """Label name → a state for every slice along `slice_axis` of the stored array."""
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """How the model's answer that was corrected came about (`Prediction.provenance`)."""
    axis: int | None = None
    """Array axis of the slices, where it is not the volume's own."""

    def __post_init__(self) -> None:
        names = list(self.labels.names.values())
        if not self.labels.grid.same_as(self.volume.grid):
            raise GeometryError(
                f"The masks have {self.labels.grid.shape} voxels, the image {self.volume.grid.shape}, or they lie "
                "elsewhere: annotate on the image's own grid."
            )
        if len(set(names)) < len(names) or not all(name.strip() for name in names):
            raise BoltzFormerError(f"The labels are named {names}: give each one a name of its own.")
        strangers = ({prompt.name for prompt in self.prompts} | set(self.slices)) - set(names)
        if strangers:
            raise BoltzFormerError(f"No label is named {sorted(strangers)}: name prompts and states like the labels.")
        count = self.volume.grid.shape[self.slice_axis]
        if any(len(states) != count for states in self.slices.values()):
            raise BoltzFormerError(f"The image has {count} slices along its axis: give as many states per label.")

    @property
    def slice_axis(self) -> int:
        """Array axis along which the slices are counted."""
        return self.volume.slice_axis if self.axis is None else self.axis


@dataclass(frozen=True)
class Prediction:
    """Last event of a segmentation that ran to its end."""

    prompts: tuple[Prompt, ...]
    slices: tuple[SliceResult, ...]
    """By index. The masks are made from these on demand, so a threshold re-applies without running the model."""
    plan: SlicePlan
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def grid(self) -> Grid:
        """The stored grid of the image."""
        return self.plan.grid

    @property
    def existence(self) -> NDArray[np.float32]:
        """(P, number of slices that were looked at)."""
        return np.stack([result.existence for result in self.slices], axis=1)

    @property
    def gate(self) -> float:
        """The existence that the checkpoint asks for, else 0.5."""
        return float(self.provenance.get("thresholds", {}).get("existence", GATE))

    @property
    def doubt(self) -> tuple[int, ...]:
        """Slices where the seeds disagree about the largest area, worst first: what a review would have to settle.

        Empty for a single sample.
        """
        area = {s.index: int(s.spread.sum(dtype=np.int64)) for s in self.slices if s.spread is not None}
        return tuple(sorted(area, key=lambda index: (-area[index], index)))

    def labels(self, threshold: float = 0.5, existence: float | None = None) -> LabelMap:
        """One layer per prompt. A slice where the object's existence is below the gate (None: `gate`) stays empty,
        unless a user pointed at it.
        """
        gate = self.gate if existence is None else existence
        if not 0 <= gate <= 1:
            raise BoltzFormerError(f"The existence {gate} is no probability: give a number from 0 to 1.")
        layers = np.stack([self._layer(p, threshold, gate) for p in range(len(self.prompts))])
        names = {p + 1: prompt.name for p, prompt in enumerate(self.prompts)}
        return with_given(LabelMap(layers, self.grid, names), self)

    def _layer(self, prompt: int, threshold: float, existence: float) -> NDArray[np.uint8]:
        found = [(s.index, s.plane(prompt)) for s in self.slices if s.given is None and s.passes(prompt, existence)]
        return self.plan.masks(found, threshold) * np.uint8(prompt + 1)


def with_given(labels: LabelMap, prediction: Prediction) -> LabelMap:
    """Its masks with a person's own ones in their slices, whatever was done to them; the same where there are none."""
    given = [one for one in prediction.slices if one.given is not None]
    if not given:
        return labels
    layers = labels.layers.copy()
    for prompt, layer in enumerate(layers):
        seen = prediction.plan.view.apply(layer)
        for one in given:
            assert one.given is not None
            seen[prediction.plan.canonical_index(one.index)] = one.given[prompt] * np.uint8(prompt + 1)
    return LabelMap(layers, labels.grid, labels.names)


@dataclass(frozen=True)
class Cancelled:
    """Last event of a job that was asked to stop; what was finished stays valid."""


@dataclass(frozen=True)
class Failed:
    """Last event of a job that could not go on."""

    error: str
    """One sentence for the user."""
    index: int | None = None
    """The slice that was under way, where it is known: a process that is gone can't tell."""


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    step: int
    steps: int
    losses: Mapping[str, float]


Event = Queued | Started | Adjusted | TileDone | SliceResult | Prediction | Cancelled | Failed


def as_prompts(prompts: str | Prompt | Sequence[str | Prompt]) -> tuple[Prompt, ...]:
    """One prompt or several, as text or as `Prompt`, each only once."""
    several = [prompts] if isinstance(prompts, str | Prompt) else prompts
    made = tuple(p if isinstance(p, Prompt) else Prompt(p) for p in several)
    if not made:
        raise BoltzFormerError("There is no prompt: type what to look for, e.g. 'MS lesion in brain MRI'.")
    if len(made) > 255:
        raise BoltzFormerError(f"There are {len(made)} prompts, but masks hold 255 labels: ask in several runs.")
    return tuple(dict.fromkeys(made))
