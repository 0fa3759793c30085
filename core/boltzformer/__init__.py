"""BoltzFormer: type what you look for, get a mask. Research software, not for clinical use.

Names are loaded when first used: `import boltzformer` alone stays fast and needs numpy only.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from boltzformer.version import VERSION

__version__ = VERSION

_HOME = {
    "Adapted": "masks.lessons",
    "Adapter": "masks.lessons",
    "Adjusted": "types",
    "Annotation": "types",
    "Cancelled": "types",
    "Event": "types",
    "Failed": "types",
    "Guidance": "image.guidance",
    "LabelMap": "types",
    "Learning": "masks.lessons",
    "Lesson": "types",
    "LookTrace": "types",
    "Prediction": "types",
    "Progress": "types",
    "Prompt": "types",
    "Queued": "types",
    "SamplingTrace": "types",
    "SliceResult": "types",
    "SliceState": "types",
    "Started": "types",
    "Volume": "types",
    "Grid": "image.geometry",
    "Region": "image.region",
    "Window": "image.intensity",
    "SlicePlan": "image.slicing",
    "BackendError": "errors",
    "BoltzFormerError": "errors",
    "CheckpointError": "errors",
    "DatasetError": "errors",
    "GeometryError": "errors",
    "ImageError": "errors",
    "OutOfMemory": "errors",
    "Dataset": "dataset",
    "Job": "client",
    "Session": "client",
    "Engine": "engine.engine",
    "adapt": "learn.adapt",
    "load": "engine.engine",
    "segment": "engine.engine",
    "io": "io",
}

__all__ = [*sorted(_HOME), "__version__"]

if TYPE_CHECKING:
    from boltzformer import io as io
    from boltzformer.client import Job as Job
    from boltzformer.client import Session as Session
    from boltzformer.dataset import Dataset as Dataset
    from boltzformer.engine.engine import Engine as Engine
    from boltzformer.engine.engine import load as load
    from boltzformer.engine.engine import segment as segment
    from boltzformer.errors import BackendError as BackendError
    from boltzformer.errors import BoltzFormerError as BoltzFormerError
    from boltzformer.errors import CheckpointError as CheckpointError
    from boltzformer.errors import DatasetError as DatasetError
    from boltzformer.errors import GeometryError as GeometryError
    from boltzformer.errors import ImageError as ImageError
    from boltzformer.errors import OutOfMemory as OutOfMemory
    from boltzformer.image.geometry import Grid as Grid
    from boltzformer.image.guidance import Guidance as Guidance
    from boltzformer.image.intensity import Window as Window
    from boltzformer.image.region import Region as Region
    from boltzformer.image.slicing import SlicePlan as SlicePlan
    from boltzformer.learn.adapt import adapt as adapt
    from boltzformer.masks.lessons import Adapted as Adapted
    from boltzformer.masks.lessons import Adapter as Adapter
    from boltzformer.masks.lessons import Learning as Learning
    from boltzformer.types import Adjusted as Adjusted
    from boltzformer.types import Annotation as Annotation
    from boltzformer.types import Cancelled as Cancelled
    from boltzformer.types import Event as Event
    from boltzformer.types import Failed as Failed
    from boltzformer.types import LabelMap as LabelMap
    from boltzformer.types import Lesson as Lesson
    from boltzformer.types import LookTrace as LookTrace
    from boltzformer.types import Prediction as Prediction
    from boltzformer.types import Progress as Progress
    from boltzformer.types import Prompt as Prompt
    from boltzformer.types import Queued as Queued
    from boltzformer.types import SamplingTrace as SamplingTrace
    from boltzformer.types import SliceResult as SliceResult
    from boltzformer.types import SliceState as SliceState
    from boltzformer.types import Started as Started
    from boltzformer.types import Volume as Volume


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'boltzformer' has no attribute {name!r}")
    module = import_module(f"boltzformer.{_HOME[name]}")
    return module if name == "io" else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
