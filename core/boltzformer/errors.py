"""The errors a user can meet. Each message says what happened, with which file or prompt, and what to do now."""


class BoltzFormerError(Exception):
    """Everything we raise on purpose; `str(error)` is one sentence for the person who reads it."""


class GeometryError(BoltzFormerError):
    """Two things that should lie on the same grid don't, or a grid is impossible."""


class OnNoImage(GeometryError):
    """What looks like labels lies on no image that is open, and may be an image itself: a viewer can ask."""


class ImageError(BoltzFormerError):
    """An image or mask file can't be read or written."""


class SeveralFrames(ImageError):
    """A file holds several time points or channels, and nobody has said which is meant: a viewer can ask."""

    def __init__(self, message: str, frames: int = 0) -> None:  # by its sentence alone it is unpickled
        super().__init__(message)
        self.frames = frames


class DatasetError(BoltzFormerError):
    """An annotation folder can't be read or written, or what is to be kept in it contradicts itself."""


class CheckpointError(BoltzFormerError):
    """A model file is missing, broken, or does not fit the architecture that it names."""


class ConfigError(BoltzFormerError):
    """A model's configuration holds a combination that can't work."""


class BackendError(BoltzFormerError):
    """The backend process died, can't be reached, or refused a request."""


class OutOfMemory(BoltzFormerError):
    """The device has too little memory, even after everything that can shrink was shrunk."""


def at_slice(error: Exception, index: int) -> None:
    """Notes which slice was under way when something broke, whatever broke."""
    vars(error)["slice under way"] = index


def slice_of(error: Exception) -> int | None:
    """The slice that was noted, if one was."""
    return vars(error).get("slice under way")
