"""`Models`: which weights are in memory. All of them share one cache of image features."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from boltzformer.errors import BoltzFormerError, CheckpointError
from boltzformer.knowledge.card import NOTE
from boltzformer.masks.lessons import Adapter
from boltzformer.protocol import ModelState
from boltzformer.server.guard import Limits

if TYPE_CHECKING:
    from boltzformer.engine.engine import Engine
    from boltzformer.engine.features import FeatureCache
    from boltzformer.weights.checkpoint import Checkpoint

# torch takes seconds to import: it is first touched on the worker thread, while images are already arriving.


class Models:
    """Engines by the name that clients use. `engine` is for the worker thread alone."""

    def __init__(
        self,
        limits: Limits,
        *,
        own_files: bool,
        device: str = "auto",
        precision: str = "auto",
        first: str = "default",
    ) -> None:
        """`first` is the model that the backend was started with: it is known before it is loaded."""
        self._limits, self._own_files, self._first = limits, own_files, first
        self._where = {"device": device, "dtype": precision}
        self._loaded: dict[str, tuple[Engine, tuple[int, int]]] = {}  # the one used last is the last
        self._features: FeatureCache | None = None
        self._taught: tuple[Engine, str, Engine] | None = None
        self._hashes: dict[Path, tuple[tuple[int, int], str]] = {}
        self._lock = threading.Lock()

    def engine(self, name: str) -> Engine:
        """The engine of this model, loaded if it is not; those not used for longest make room."""
        from boltzformer.engine.engine import load
        from boltzformer.engine.features import FeatureCache
        from boltzformer.weights import checkpoint

        path = self._path(name)
        found = _stamp(path)
        with self._lock:
            engine, stamp = self._loaded.pop(name, (None, None))
        if engine is None or stamp != found:  # a file that was replaced is another model
            room = self._limits.models_bytes - 4 * checkpoint.read(path).parameters
            with self._lock:
                while self._loaded and sum(map(_bytes, self._loaded.values())) > room:
                    del self._loaded[next(iter(self._loaded))]
            self._features = self._features or FeatureCache(self._limits.cache_bytes)
            engine = load(path, **self._where, features=self._features)
        with self._lock:
            self._loaded[name] = (engine, found)
        return engine

    def adapted(self, name: str, adapter: Adapter) -> Engine:
        """The engine of this model as a case taught it; the last one is kept, with what it does not share."""
        parent = self.engine(name)
        if self._taught is None or self._taught[:2] != (parent, adapter.id):
            self._taught = (parent, adapter.id, parent.adapted(adapter))
        return self._taught[2]

    @property
    def cached_bytes(self) -> int:
        """Of image features."""
        return 0 if self._features is None else self._features.used

    def free(self) -> None:
        """Lets go of everything that can be made again. For the worker thread alone."""
        with self._lock:
            self._loaded.clear()
            self._taught = None
        if self._features is not None:
            self._features.clear()

    def known(self) -> list[ModelState]:
        """Every model that can be asked for by name, and files in use."""
        from boltzformer.weights import checkpoint, registry

        with self._lock:
            loaded = list(self._loaded)
        states: list[ModelState] = []
        for name in dict.fromkeys(["default", *registry.registered(), self._first, *loaded]):
            try:
                about = checkpoint.read(registry.resolve(name))
                states.append(self._state(name, about, loaded=name in loaded))
            except BoltzFormerError as error:
                states.append(ModelState(name, "", 0, False, str(error)))
        return states

    def add(self, path: str, name: str) -> ModelState:
        """Copies a file that its own user named into the models folder."""
        from boltzformer.weights import registry

        if not self._own_files:
            raise CheckpointError("This backend opens no files of its computer: import the model there.")
        about = registry.add(_file(path), name).checkpoint
        return self._state(about.path.stem, about, loaded=False)

    def _state(self, name: str, about: Checkpoint, *, loaded: bool) -> ModelState:
        """What its file says of a model."""
        from boltzformer.engine.provenance import own_gate

        history = about.history
        card, sha256 = dict(history.notes.get(NOTE) or {}), self._hash_of(about) if loaded else ""
        parts = name, history.data, about.parameters, loaded
        return ModelState(*parts, metrics=dict(history.metrics), card=card, gate=own_gate(about), sha256=sha256)

    def _hash_of(self, about: Checkpoint) -> str:
        """Read once: a large file takes a second."""
        stamp = _stamp(about.path)
        known, found = self._hashes.get(about.path, ((0, 0), ""))
        if not found or known != stamp:
            found = about.sha256
            self._hashes[about.path] = stamp, found
        return found

    def _path(self, name: str) -> Path:
        from boltzformer.weights import registry

        if name == "default" or name in registry.registered():
            return registry.resolve(name)
        if not self._own_files:
            raise CheckpointError(f"There is no model '{name}' here: import it on the backend's computer.")
        return _file(name)


def _file(path: str) -> Path:
    if "\0" in path:
        raise CheckpointError("A path can't hold the character 0: give the path of a .safetensors file.")
    if not path.endswith(".safetensors"):
        raise CheckpointError(
            f"There is no model '{path}' here: give 'default', a name from `boltzformer models list`, or the path of "
            "a .safetensors file; others must be brought there with `boltzformer models import` first."
        )
    return Path(path)


def _bytes(loaded: tuple[Engine, object]) -> int:
    return 4 * loaded[0].about.parameters


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)  # loading says what is wrong
    return found.st_mtime_ns, found.st_size
