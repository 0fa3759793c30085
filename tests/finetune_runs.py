"""Calls of `boltzformer finetune` for its tests, and manifests cut out of the package's own images."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import boltzformer

MINI = Path(boltzformer.__file__).parent / "assets" / "mini" / "manifest.jsonl"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def manifest(folder: Path, targets: Sequence[str]) -> Path:
    """Rows of the mini set, in a manifest of their own."""
    rows = [json.loads(line) for line in MINI.read_text("utf-8").splitlines()]
    chosen = [row for row in rows if row["target"] in targets]
    for row in chosen:
        row |= {name: str(MINI.parent / row[name]) for name in ("image", "mask")}
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in chosen), "utf-8")
    return path


def command(data: Path, base: Path, output: Path, *more: str) -> list[str]:
    own = [
        "finetune",
        str(data),
        "--model",
        str(base),
        "-o",
        str(output),
        "--threads",
        "1",
        "--device",
        "cpu",
        "--json",
    ]
    return [sys.executable, "-m", "boltzformer", *own, *more]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, env=ENVIRONMENT, check=False)
