"""Re-packs the licensed rows of a manifest, small enough to travel (`all`), or makes the package's small sets.

python benchmarks/pack.py all MANIFEST OUT           gray PNG images become JPEG (quality 92)
python benchmarks/pack.py mini MANIFEST SPLIT OUT    at most 48 images of openly licensed training groups, as they are
python benchmarks/pack.py check MANIFEST SPLIT OUT   the same of validation groups: what fine-tuning is judged on
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from boltzformer.knowledge.manifest import Row, part_of, read_manifest, read_split

IMAGES = 48
OPEN = ("CC BY 4.0", "CC BY 3.0", "CC0", "CC BY-SA 4.0", "Apache-2.0", "MIT on Kaggle copy; TCIA UTSW-Glioma CC BY 4.0")
KEPT = ("modality", "anatomy", "source", "crop", "dataset", "licence", "commercial_use", "area_fraction")


def pack_all(rows: Iterable[Row], out: Path) -> None:
    lines, done = [], set()
    for row in rows:
        if not row.licensed or row.mask is None:
            continue
        name = f"images/{row.image.stem}.jpg"
        if name not in done:
            done.add(name)
            with Image.open(row.image) as image:
                kind = "RGB" if image.mode == "RGB" else "L"
                (out / "images").mkdir(parents=True, exist_ok=True)
                image.convert(kind).save(out / name, quality=92, subsampling=0)
        lines.append(_line(row, name, _copied(row.mask, out / "masks")))
    (out / "manifest.jsonl").write_text("".join(lines), "utf-8")


def pack_few(rows: Iterable[Row], out: Path) -> None:
    """For every target the smallest image, then the next smallest, until it is full."""
    usable = [r for r in rows if r.licensed and r.mask is not None and not r.centred]
    free = [r for r in usable if str(r.notes["licence"]).startswith(OPEN)]
    by_target: dict[str, list[Row]] = {}
    for row in sorted(free, key=lambda row: (row.image.stat().st_size, row.number)):
        by_target.setdefault(row.target, []).append(row)
    images: list[Path] = []
    for place in range(IMAGES):
        for some in by_target.values():
            image = some[place].image if place < len(some) else some[0].image
            if image not in images and len(images) < IMAGES:
                images.append(image)
    lines, origins = [], {}
    for row in free:
        if row.image in images:
            lines.append(_line(row, _copied(row.image, out / "images"), _copied(row.mask or row.image, out / "masks")))
            note = row.notes
            origins[f"images/{row.image.name}"] = (
                f"{note['dataset']}, {note['licence']}, found in {note['source_repo']}"
            )
    (out / "manifest.jsonl").write_text("".join(lines), "utf-8")
    table = "".join(f"- `{name}`: {origin}\n" for name, origin in sorted(origins.items()))
    head = "# Where these images come from\n\nLicences as found in the repositories named, not verified upstream."
    (out / "ATTRIBUTION.md").write_text(f"{head} Unchanged.\n\n{table}", "utf-8")


def _copied(file: Path, folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, folder / file.name)
    return f"{folder.name}/{file.name}"


def _line(row: Row, image: str, mask: str) -> str:
    kept = {name: row.notes[name] for name in KEPT if name in row.notes}
    own = {"image": image, "mask": mask, "target": row.target, "prompts": row.prompts, "group_id": row.group}
    return json.dumps({**own, **kept}) + "\n"


def main(arguments: list[str]) -> int:
    if len(arguments) == 3 and arguments[0] == "all":
        pack_all(read_manifest(Path(arguments[1])), Path(arguments[2]))
    elif len(arguments) == 4 and arguments[0] in ("mini", "check"):
        part = "train" if arguments[0] == "mini" else "validation"
        pack_few(part_of(read_manifest(Path(arguments[1])), read_split(Path(arguments[2])), part), Path(arguments[3]))
    else:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
