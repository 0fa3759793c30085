"""The folder of a fine-tuning: decided once, saved as it goes, locked while it runs, told to whoever looks
(TensorBoard, too)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from boltzformer.atomic import keep_private, private_folder, write_text
from boltzformer.errors import BoltzFormerError
from boltzformer.learn.finetune.options import Frozen
from boltzformer.learn.training_run import Plan, RunFolder, states

CONFIG, MODEL, DONE = "config.json", "model.safetensors", "done.json"


class Folder:
    """One run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # A second, because who asks whether somebody trains here holds the lock for a moment.
        self._lock = FileLock(path / ".lock", timeout=1, thread_local=False)

    @property
    def begun(self) -> bool:
        """Whether it holds a run, finished or not."""
        return any((self.path / name).exists() for name in (CONFIG, MODEL, DONE))

    @property
    def kept(self) -> bool:
        """Whether a run left something to go on from."""
        return bool(states(self.path))

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return (self.path / DONE).is_file() and (self.path / MODEL).is_file()

    def take(self) -> None:
        """For this process alone."""
        try:
            private_folder(self.path)
            self._lock.acquire()
            keep_private(self.path)  # what a killed run left
        except Timeout as error:
            raise BoltzFormerError(
                f"{self.path} is being trained by another process right now: wait for it, or choose a new --output."
            ) from error
        except OSError as error:
            raise BoltzFormerError(f"{self.path} can't be made ({error.strerror}): choose another --output.") from error

    def leave(self) -> None:
        """Others may have it: those of the same user."""
        keep_private(self.path)
        self._lock.release()

    def frozen(self) -> Frozen | None:
        """What was decided, if it was."""
        return Frozen.read(self.path / CONFIG) if (self.path / CONFIG).is_file() else None

    def freeze(self, frozen: Frozen) -> None:
        """Decides."""
        self.write(CONFIG, frozen.to_json())

    def states(self, frozen: Frozen) -> RunFolder:
        """Where the states of the loop are kept."""
        return RunFolder(self.path, Plan(frozen.recipe, frozen.data, frozen.threads, frozen.parent))

    def write(self, name: str, text: str) -> None:
        """A file, whole or not at all."""
        write_text(self.path / name, text)

    def checks(self, until: int) -> list[dict[str, Any]]:
        """The validations up to a step, in order; what came after is done again."""
        path = self.path / "checks.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.is_file() else []
        kept = []
        for line in lines:
            try:
                kept.append(json.loads(line))
            except ValueError:
                break  # cut off by a crash
        return [one for one in kept if one["at_step"] <= until]

    def write_checks(self, checks: list[dict[str, Any]]) -> None:
        """All of them."""
        self.write("checks.jsonl", "".join(json.dumps(one) + "\n" for one in checks))

    def keep_best(self, step: int, weights: Mapping[str, Tensor]) -> None:
        """The weights of the best validation so far."""
        final = self.path / f"best-{step:08d}.safetensors"
        part = self.path / f".{final.name}.part"
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, part)
        part.replace(final)
        for old in self.path.glob("best-*.safetensors"):
            if old != final:
                old.unlink()

    def best(self, step: int) -> dict[str, Tensor] | None:
        """Those weights, if they are there."""
        try:
            found: dict[str, Tensor] = load_file(self.path / f"best-{step:08d}.safetensors")
        except (SafetensorError, OSError):
            return None
        return found


class Board:
    """Writes RUN/tensorboard; without the package nothing."""

    def __init__(self, path: Path, step: int) -> None:
        self._writer: Any = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(path / "tensorboard"), purge_step=step)

    def add(self, values: Mapping[str, float], step: int) -> None:
        """One step."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Nothing more comes."""
        if self._writer is not None:
            self._writer.close()
