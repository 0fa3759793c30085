"""What was learnt from a case, beside its drafts: one file per prompt, which comes back with the work and goes with the
case. Nothing else learns from it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path

from boltzformer.atomic import private_folder, replacing
from boltzformer.dataset.disk import writing
from boltzformer.dataset.identity import demand_name
from boltzformer.dataset.store import Dataset
from boltzformer.errors import BackendError, DatasetError
from boltzformer.masks.lessons import Adapter
from boltzformer.protocol import decode, encode
from boltzformer.types import Volume

logger = logging.getLogger(__name__)

FOLDER, END = "learnt", ".learnt"


def keep(root: Path, volume: Volume, case: str, model: str, adapter: Adapter) -> None:
    """In place of what was learnt before for its prompt. `model`: by which name its parent was asked."""
    dataset = Dataset.at(root)
    folder = _folder(dataset, volume, case)
    head = json.dumps({"model": model, "prompt": adapter.prompt}).encode() + b"\n"
    with writing(root):
        private_folder(root / FOLDER)
        private_folder(folder)
        with replacing(folder / _name(adapter.prompt), mode=0o600) as part:
            part.write_bytes(head + encode(adapter))


def forget(root: Path, volume: Volume, case: str, prompt: str) -> None:
    """Nothing is left of it."""
    if (root / "dataset.json").is_file():
        with writing(root):
            (_folder(Dataset(root), volume, case) / _name(prompt)).unlink(missing_ok=True)


def forget_all(root: Path, volume: Volume, case: str) -> None:
    """Nothing is left of what was learnt from this image."""
    if (root / "dataset.json").is_file():
        with writing(root):
            for file in _folder(Dataset(root), volume, case).glob(f"*{END}"):
                file.unlink(missing_ok=True)


def kept(root: Path, volume: Volume, case: str) -> dict[str, tuple[str, Adapter]]:
    """By prompt: the parent's name, and what was learnt. A damaged file is left out: it can be learnt again."""
    return latest([root], volume, case)


def latest(roots: Iterable[Path], volume: Volume, case: str) -> dict[str, tuple[str, Adapter]]:
    """The same of several datasets; of a prompt what was learnt last. Where the work went on in another one, what was
    learnt before that lies in the first."""
    files = [file for root in roots if (root / "dataset.json").is_file() for file in _files(root, volume, case)]
    found: dict[str, tuple[str, Adapter]] = {}
    for file in sorted(files, key=_time):
        try:
            head, frame = file.read_bytes().split(b"\n", 1)
            model, adapter = json.loads(head)["model"], decode(frame)
            if not isinstance(adapter, Adapter) or not isinstance(model, str):
                raise TypeError(type(adapter).__name__)
        except (OSError, ValueError, KeyError, TypeError, BackendError) as error:
            logger.warning("what was learnt can't be read (%s)", type(error).__name__)
            continue
        found[adapter.prompt] = model, adapter
    return found


def _files(root: Path, volume: Volume, case: str) -> list[Path]:
    """None of a dataset that is damaged, or came without its salt."""
    try:
        return list(_folder(Dataset(root), volume, case).glob(f"*{END}"))
    except DatasetError as error:
        logger.warning("what was learnt can't be looked for (%s)", type(error).__name__)
        return []


def _time(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0  # just forgotten


def _folder(dataset: Dataset, volume: Volume, case: str) -> Path:
    return dataset.path / FOLDER / (demand_name(case) if case else dataset.case_of(volume))


def _name(prompt: str) -> str:
    return hashlib.sha256(prompt.encode()).hexdigest()[:16] + END
