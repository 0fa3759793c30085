"""A model on our own data by the rules of the field: the CVPR 2025 challenge, ReXGroundingCT, BiomedParse.

    python benchmarks/yardsticks.py ../shared/data FOLDER [--model default] [--only cvpr25-text rex]

Volumes and the validation part of the pictures are written in each layout (`boltzformer dataset export`), asked and
scored (`boltzformer evaluate --as`). A row per yardstick is printed; what was made stays in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from boltzformer.knowledge.manifest import part_of, read_manifest, read_split

LAYOUTS = {"cvpr25-text": "cvpr25", "cvpr25-interactive": "cvpr25", "rex": "rex", "biomedparse": "biomedparse"}


def volumes(folder: Path) -> Iterable[Mapping[str, Any]]:
    """A row for every label of every volume."""
    for path in sorted(folder.glob("*.json")):
        said = json.loads(path.read_text("utf-8"))
        files = {name: str((folder / said[key]).resolve()) for name, key in (("image", "image"), ("mask", "label"))}
        for value, one in said["labels"].items():
            row = {**files, "label": int(value), "target": one["target"], "prompts": one["prompts"]}
            yield {**row, "group_id": path.stem, "modality": said.get("modality", "")}


def pictures(folder: Path) -> Iterable[Mapping[str, Any]]:
    """Rows of the validation part whose licence lets weights be passed on, whole pictures only."""
    manifest = folder / "manifest.jsonl"
    lines = manifest.read_text("utf-8").splitlines()
    for row in part_of(read_manifest(manifest), read_split(folder / "split3.json"), "validation"):
        if row.licensed and row.mask is not None and not row.centred:
            yield {**json.loads(lines[row.number]), "image": str(row.image), "mask": str(row.mask)}


def command(*words: str) -> str:
    """One of ours, in a process of its own → what it printed."""
    done = subprocess.run([sys.executable, "-m", "boltzformer", *words], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def prepared(layout: str, told: argparse.Namespace) -> Path:
    """The data in a layout, written once."""
    target: Path = told.folder / layout
    if not target.exists():
        kind = "pictures" if layout == "biomedparse" else "volumes"
        rows = pictures(told.data / "train") if kind == "pictures" else volumes(told.data / "volumes")
        manifest, dataset = told.folder / f"{kind}.jsonl", told.folder / kind
        manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        command("dataset", "add", str(dataset), str(manifest), "--reference", "--split", "test")
        command("dataset", "export", str(dataset), str(target), "--layout", layout)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="with train/ and volumes/")
    parser.add_argument("folder", type=Path, help="for all that is made")
    parser.add_argument("--model", default="default")
    parser.add_argument("--only", nargs="+", default=list(LAYOUTS), choices=LAYOUTS)
    told = parser.parse_args()
    told.folder.mkdir(parents=True, exist_ok=True)
    for name in told.only:
        data, began = prepared(LAYOUTS[name], told), time.monotonic()
        output = told.folder / f"answers-{name}"
        facts = json.loads(
            command("evaluate", str(data), "--as", name, "--model", told.model, "-o", str(output), "--json")
        )
        mean = ", ".join(f"{key} {value:.3f}" for key, value in facts["mean"].items() if value is not None)
        minutes, load = (time.monotonic() - began) / 60, os.getloadavg()[0]
        print(f"| {name} | {len(facts['cases'])} | {mean} | {minutes:.1f} | {load:.1f} |", flush=True)


if __name__ == "__main__":
    main()
