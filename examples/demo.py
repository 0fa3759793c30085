"""`make demo`: teach a tiny model two kinds of object, find them in an unseen volume, show the way of a real case."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import teach_phantoms
from PIL import Image
from rich.progress import track
from scipy.ndimage import center_of_mass, label

import boltzformer
from boltzformer import Volume, io, pictures
from boltzformer.engine import Engine
from boltzformer.phantom import KINDS, Lesion, phantom
from boltzformer.samples import sample
from boltzformer.types import Prediction

STEPS, SEED, UNSEEN = 450, 0, 4242


def teach(path: Path) -> None:
    """Fits the tiny model to generated phantoms; every random number comes from SEED."""
    model = teach_phantoms.new(seed=SEED)
    began = time.perf_counter()
    steps = teach_phantoms.teach(model, steps=STEPS, seed=SEED)
    for _ in track(steps, description="Teaching 'bright blob' and 'dark blob'", total=STEPS):
        pass
    print(f"Taught in {time.perf_counter() - began:.0f} s ({STEPS} steps of 8 slices).")
    teach_phantoms.save(model, path)


def found(mask: np.ndarray, lesion: Lesion) -> bool:
    """Does an object of this mask have its centroid within 2 voxels of the lesion's?"""
    objects, count = label(mask)
    centres = center_of_mass(mask, objects, range(1, count + 1))
    return any(np.linalg.norm(np.subtract(centre[::-1], lesion.centre)) <= 2 for centre in centres)


def touched(mask: np.ndarray, lesion: Lesion) -> bool:
    """Does this mask mark the lesion's centre, or any voxel half its radius around it?"""
    k, j, i = np.indices(mask.shape)
    near = sum((a - b) ** 2 for a, b in zip((i, j, k), lesion.centre, strict=True)) <= (lesion.radius / 2) ** 2
    return bool(mask[near].any())


def pictures_of(
    engine: Engine, volume: Volume, prediction: Prediction, prompt: int, index: int, path: Path, *lines: str
):
    plan, text = prediction.plan, prediction.prompts[prompt]
    window = volume.window()
    plain = pictures.slice_picture(volume, plan, window, index)
    shown = plan.view.apply(prediction.labels().mask(prompt + 1))[plan.canonical_index(index)]
    trace = engine.trace(volume, text, index, seed=SEED)
    marked = pictures.captioned(pictures.outlined(plain, shown), f"'{text.text}', slice {index}", *lines)
    sheet = pictures.beside(marked, pictures.looks_picture(plain, plan, trace, shown))
    Image.fromarray(sheet).save(path)


def main() -> int:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
    out.mkdir(parents=True, exist_ok=True)
    model = out / "phantom-model.safetensors"
    teach(model)

    engine, unseen = boltzformer.load(model), phantom(UNSEEN)
    history = engine.about.history
    *_, prediction = engine.segment(unseen.volume, KINDS, seed=SEED)
    labels = prediction.labels()
    written = io.write(labels, out / "phantom-mask.nii.gz", provenance=prediction.provenance, overwrite=True)
    passed = True
    for lesion in unseen.lesions:
        own = KINDS.index(lesion.kind)
        hit, confused = found(labels.mask(own + 1), lesion), touched(labels.mask(2 - own), lesion)
        passed &= hit and not confused
        print(
            f"{'found ' if hit else 'MISSED'} the {lesion.kind} at voxel {lesion.centre}"
            + (", but the other prompt marks it too" if confused else "")
        )
    lesion = unseen.lesions[0]
    picture = out / "phantom.png"
    pictures_of(
        engine,
        unseen.volume,
        prediction,
        KINDS.index(lesion.kind),
        lesion.centre[2],
        picture,
        history.data,
    )

    case, default = sample(), boltzformer.load("default")
    *_, answer = default.segment(case.volume, case.prompt, seed=SEED, slices=[case.index])
    real = out / "sample.png"
    pictures_of(default, case.volume, answer, 0, case.index, real, "model not trained on this kind of image")

    verdict = "all three lesions were found and none was confused" if passed else "NOT all was right, see above"
    print(f"""
What happened: a tiny BoltzFormer was taught two kinds of object on generated volumes, then shown one it had never
seen and asked for both kinds by name. It looked at {len(prediction.slices)} slices; {verdict}.
Model: {history.name} ({history.data}).
Masks: {", ".join(str(path) for path in written)}
Picture of the answer and of the nine looks of the sampler: {picture}
Picture of a real brain MRI: {real}. It only shows the way: the model was not trained on this kind of image.
Research only, not for clinical use.""")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
