"""The HTTP API as data classes: what is asked and what is answered, as JSON. Once, for both sides."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Any, Literal

from boltzformer.errors import BoltzFormerError
from boltzformer.image.geometry import Grid
from boltzformer.image.guidance import Guidance
from boltzformer.image.intensity import Window
from boltzformer.image.region import Region
from boltzformer.masks.lessons import packed, unpacked
from boltzformer.types import GATE, MOST_SAMPLES, Lesson, Prompt, as_prompts

ROOT = "/v1"
"""All addresses begin with it; a change that an older client would not understand makes it /v2."""
SMALL = 3
"""Jobs of at most so many slices overtake whole volumes."""
LONGEST = 16_384
"""Side of a slice in pixels."""

Model = str
"""'default', a registered name, or for a backend of this computer's user the path of a .safetensors file."""


@dataclass(frozen=True)
class Means:
    """What a backend of one's own may use; the argument of its process."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:NUMBER or mps."""
    precision: str = "auto"
    """auto, float32 or bfloat16; on a CPU, of image encoder and pixel decoder."""
    threads: int | None = None
    """Of the CPU; else all cores but one."""
    cache_bytes: int | None = None
    """For image features, so that another prompt on the same slice is quick."""


@dataclass(frozen=True)
class NewVolume:
    """POST /v1/volumes: what will be uploaded. Neither the image's name nor its path travels."""

    dtype: str
    """Of the stored voxels, as numpy writes it with its byte order: '<i2', '|u1', '>f4'."""
    grid: Grid
    axis: int
    """Array axis (z, y, x) along which the slices will come."""
    colours: Literal[1, 3] = 1
    modality: str = ""
    stacking_axis: int | None = None


@dataclass(frozen=True)
class VolumeState:
    """How much of a volume is there."""

    id: str
    missing: list[list[int]]
    """Runs of slices that were not sent yet: first, and the one after the last."""
    sha256: str = ""
    """Of all voxels, once they are all there."""


@dataclass(frozen=True)
class SegmentRequest:
    """POST /v1/jobs/segment"""

    volume: str
    """The id that the upload returned."""
    prompts: list[Prompt]
    window: Window
    model: Model = "default"
    seed: int = 0
    start: int | None = None
    """The slice that the user looks at: it comes first, then outwards."""
    slices: list[int] | None = None
    """Only these; None is all."""
    axis: int | None = None
    samples: int = 1
    region: Region | None = None
    size: int | None = None
    """Side of the network's input in pixels; None: what the model was made for."""
    guidance: list[Guidance] = field(default_factory=list[Guidance])
    """Where the user says 'here' and 'not here'."""
    adapter: str = ""
    """The id of what was learnt from lessons of this image, if the model is to answer as they taught it."""
    tiles: bool | None = None
    """Whether a picture much larger than the network's input is asked in tiles; None: if it is microscopy."""
    scout: int | None = None
    """Every so many slices first, then only where something may be; None: all."""

    def __post_init__(self) -> None:
        as_prompts(self.prompts)
        if self.scout is not None and self.scout < 2:
            raise BoltzFormerError(f"Scouting every {self.scout} slices passes none over: give 2 or more.")
        if not 1 <= self.samples <= MOST_SAMPLES:
            raise BoltzFormerError(f"{self.samples} samples can't be drawn: give 1 to {MOST_SAMPLES}.")


@dataclass(frozen=True)
class TraceRequest:
    """POST /v1/traces"""

    volume: str
    prompt: Prompt
    index: int
    window: Window
    model: Model = "default"
    seed: int = 0
    axis: int | None = None
    region: Region | None = None
    size: int | None = None
    guidance: list[Guidance] = field(default_factory=list[Guidance])
    query: int | None = None
    """Only the looks of this one; None is all together."""
    adapter: str = ""


@dataclass(frozen=True)
class SentLesson:
    """A `Lesson` on its way."""

    index: int
    rows: int
    columns: int
    mask: str
    """The bits of the canonical slice, row by row, deflated, as Base64."""
    weight: float = 1.0

    @staticmethod
    def of(lesson: Lesson) -> SentLesson:
        rows, columns = lesson.mask.shape
        mask = b64encode(packed(lesson.mask)).decode()
        return SentLesson(int(lesson.index), rows, columns, mask, float(lesson.weight))

    def opened(self) -> Lesson:
        """The lesson again; what is none is refused."""
        if not (0 < self.rows <= LONGEST and 0 < self.columns <= LONGEST):
            raise BoltzFormerError(f"A lesson of {self.rows}×{self.columns} pixels is none: give a mask of a slice.")
        try:
            data = b64decode(self.mask, validate=True)
        except ValueError as error:
            raise BoltzFormerError(f"A lesson's mask is no Base64 ({error}): send it again.") from error
        return Lesson(self.index, unpacked(data, (self.rows, self.columns)), self.weight)


@dataclass(frozen=True)
class AdaptRequest:
    """POST /v1/jobs/adapt"""

    volume: str
    prompt: Prompt
    window: Window
    lessons: list[SentLesson]
    """The newest last."""
    model: Model = "default"
    seed: int = 0
    seconds: float = 20.0
    steps: int | None = None
    """Instead of seconds: the same lessons, seed and steps teach the same."""
    axis: int | None = None
    start: str = ""
    """The id of an adapter to go on from."""


@dataclass(frozen=True)
class AdapterName:
    """PUT /v1/adapters: it is there."""

    id: str


@dataclass(frozen=True)
class Focus:
    """POST /v1/jobs/{job}/focus"""

    index: int
    """The slice that the user looks at now: the next to be done, then outwards from it."""


@dataclass(frozen=True)
class JobState:
    """Where a job stands."""

    id: str
    kind: Literal["segment", "adapt"]
    state: Literal["waiting", "running", "ended"]
    first_event: int
    """The earliest event that is still kept."""
    last_event: int


@dataclass(frozen=True)
class ModelFile:
    """POST /v1/models: a file on this computer to be copied into the models folder."""

    path: str
    name: str = ""
    """The file's, if empty."""


@dataclass(frozen=True)
class ModelName:
    """POST /v1/models/load"""

    name: Model


@dataclass(frozen=True)
class HubPlace:
    """POST /v1/models/hub/offer, /fetch, /state, /stop"""

    what: str
    """'owner/repository', 'owner/repository:file', or a name that is known."""


@dataclass(frozen=True)
class HubOffer:
    """What would be downloaded, and on whose terms; nothing but its card has been."""

    what: str
    name: str
    """What the model will be called."""
    size: int
    """Bytes; 0 if the file is on this computer already."""
    licence: str
    """As its card declares; empty if it declares none."""
    card: str
    """The whole card, as its owners wrote it."""
    page: str
    """Where a person reads about it."""


@dataclass(frozen=True)
class HubState:
    """How far a download is."""

    what: str
    state: Literal["running", "stopped", "finished", "failed"]
    done: int = 0
    total: int = 0
    converting: bool = False
    """All bytes are here; the file is being checked and registered."""
    name: str = ""
    """What the model is called, once it is here."""
    error: str = ""


@dataclass(frozen=True)
class ModelState:
    """One model that can be asked for."""

    name: str
    trained_on: str
    parameters: int
    loaded: bool
    error: str = ""
    """Why it can't be used, if it can't."""
    metrics: dict[str, Any] = field(default_factory=dict[str, Any])
    card: dict[str, Any] = field(default_factory=dict[str, Any])
    """What it was taught and how well it does, for `Card.of({"card": card})`. Empty if its file says nothing."""
    gate: float = GATE
    """The least existence for a mask, as its file has it."""
    sha256: str = ""
    """Of its file; '' where it is not loaded."""


@dataclass(frozen=True)
class Health:
    """GET /v1/health"""

    state: Literal["starting", "ready", "failed"]
    """Of the model that the backend was started with."""
    version: str
    model: str = ""
    note: str = ""
    """What the model was trained on."""
    device: str = ""
    why: str = ""
    """Why this device."""
    error: str = ""
    jobs: int = 0
    """Waiting or running."""
    volumes: int = 0
    volume_bytes: int = 0
    result_bytes: int = 0
    """Of events that are kept for their readers."""
    cached_bytes: int = 0
    """Of image features, so that another prompt on the same slice is quick."""


@dataclass(frozen=True)
class Problem:
    """Every answer that is no success."""

    detail: str
    """One sentence: what happened, and what to do."""
