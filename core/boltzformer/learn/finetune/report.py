"""RUN/report.html: the whole story of a run on one page, curves and pictures inside, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import html
import io as memory
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer.atomic import write_bytes
from boltzformer.learn.corpus import Picture
from boltzformer.learn.finetune.asking import Reply
from boltzformer.learn.finetune.folder import Folder
from boltzformer.learn.finetune.lessons import Lessons
from boltzformer.learn.finetune.options import Frozen

SHOWN = 6
SIDE = 220
"""Of a picture, in pixels."""
WIDTH, HEIGHT = 420, 160
"""Of a curve."""
TRUTH, FOUND = (64, 220, 255), (255, 96, 64)


@dataclass(frozen=True)
class Pair:
    """One picture before and after, asked in the same words with the same seed."""

    picture: Picture
    target: str
    before: Reply
    after: Reply


def chosen(lessons: Lessons) -> list[tuple[Picture, str]]:
    """What is shown: held back where there is any, one picture per group first."""
    some = [(p, name) for p in (lessons.validation or lessons.train) for name, m in p.masks.items() if bool(m.any())]
    groups: set[str] = set()
    first = [pair for pair in some if not (pair[0].group in groups or groups.add(pair[0].group))]  # type: ignore[func-returns-value]
    rest = [pair for pair in some if not any(pair is one for one in first)]
    return [*first, *rest][:SHOWN]


def write(
    folder: Folder,
    frozen: Frozen,
    facts: Mapping[str, Any],
    checks: Sequence[Mapping[str, Any]],
    pairs: Sequence[Pair],
    gate_before: float,
    gate_after: float,
) -> None:
    """The page, and its pictures as files."""
    log = _log(folder.path / "log.jsonl")
    steps = [one["step"] for one in log]
    names = [name for name in (log[-1] if log else {}) if name not in ("step", "seconds")]
    curves = [_curve(name, steps, [one.get(name, float("nan")) for one in log]) for name in names]
    if checks:
        curves.append(_curve("Dice held back", [c["at_step"] for c in checks], [c["dice"] for c in checks]))
    shown = []
    for number, pair in enumerate(pairs):
        png = _picture(pair, gate_before, gate_after)
        write_bytes(folder.path / "pictures" / f"{number}.png", png)
        caption = html.escape(f"{pair.target}: true outline, before, after")
        shown.append(f"<figure><img src='{_inline(png)}' alt='{caption}'><figcaption>{caption}</figcaption></figure>")
    verdict = (
        "Better, and no worse elsewhere." if facts["promoted"] else "Not promoted: " + "; ".join(facts["because"]) + "."
    )
    page = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Fine-tuning</title>
<style>body{{font:15px/1.5 sans-serif;max-width:960px;margin:2em auto;padding:0 1em}}figure{{margin:1em 0}}
pre{{background:#f4f4f4;padding:1em;overflow:auto}}svg{{margin:.5em 1em .5em 0}}</style>
<h1>Fine-tuning: {html.escape(", ".join(facts["taught now"]))}</h1>
<p>Mode {frozen.mode}, {facts["at_step"]} of {frozen.recipe.steps} steps. {html.escape(verdict)}
Research only, not for clinical use.</p>
<h2>Before and after</h2>{"".join(shown)}
<h2>Curves</h2>{"".join(curves)}
<h2>Numbers</h2><pre>{html.escape(json.dumps(facts, indent=1))}</pre>
<h2>How it was made</h2><pre>{html.escape(frozen.to_json())}</pre></html>
"""
    folder.write("report.html", page)


def thumbnail(folder: Folder, step: int, pair: Pair) -> str:
    """Truth, before, and after so many steps: where the PNG lies in the folder."""
    name = f"pictures/step-{step:08d}.png"
    write_bytes(folder.path / name, _picture(pair, 0.0, 0.0))
    return name


def _log(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def _curve(name: str, steps: Sequence[int], values: Sequence[float]) -> str:
    """As SVG, thinned to what can be seen."""
    points = [(s, v) for s, v in zip(steps, values, strict=True) if np.isfinite(v)]
    if not points:
        return ""
    points = points[:: max(1, len(points) // WIDTH)]
    xs, ys = np.array([p[0] for p in points], float), np.array([p[1] for p in points], float)
    low, high = float(ys.min()), float(ys.max())
    x = 10 + (WIDTH - 20) * (xs - xs[0]) / max(1.0, xs[-1] - xs[0])
    y = HEIGHT - 10 - (HEIGHT - 40) * (ys - low) / max(1e-12, high - low)
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    title = html.escape(f"{name}: {low:.4g} to {high:.4g}, last {ys[-1]:.4g}")
    return (
        f"<svg width='{WIDTH}' height='{HEIGHT}' style='border:1px solid #ccc'><text x='10' y='18' font-size='12'>"
        f"{title}</text><polyline points='{line}' fill='none' stroke='#2563eb' stroke-width='1.5'/></svg>"
    )


def _picture(pair: Pair, gate_before: float, gate_after: float) -> bytes:
    """Truth, before and after side by side, as PNG."""
    from PIL import Image

    pixels = pair.picture.pixels.cpu().numpy()  # (C, H, W)
    plane = np.ascontiguousarray(np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0))
    truth = pair.picture.masks[pair.target].cpu().numpy() > 0
    masks = [(truth, TRUTH), (pair.before.mask(gate_before), FOUND), (pair.after.mask(gate_after), FOUND)]
    whole = np.concatenate([_outlined(plane, mask, colour) for mask, colour in masks], 1)
    image = Image.fromarray(whole)
    image.thumbnail((3 * SIDE, SIDE))
    out = memory.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _outlined(plane: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    from scipy.ndimage import binary_dilation, binary_erosion

    shown = plane.copy()
    wide = max(1, max(mask.shape) // 256)
    line = binary_dilation(mask, iterations=wide) & ~binary_erosion(mask, iterations=wide)
    shown[line] = colour
    return shown


def _inline(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
