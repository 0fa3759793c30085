"""Replays of the recorded way from a volume to network slices, and from logits to a label map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from boltzformer.image.geometry import Array, Grid
from boltzformer.image.slicing import SlicePlan, axis_by_shape
from boltzformer.masks import postprocess
from boltzformer.model.config import GRAY_MEAN, GRAY_STD, ModelConfig
from boltzformer.weights.parity.golden import Golden, Made

Config = Mapping[str, Any]


def slice_packing(golden: Golden) -> Iterator[Made]:
    """A slice and its neighbours as channels, normalised."""
    gray, colour = (GRAY_MEAN, GRAY_STD), (ModelConfig.pixel_mean, ModelConfig.pixel_std)
    mean, std = (torch.tensor(g).expand(3) if golden.config["gray_scale"] else torch.tensor(c)
                 for g, c in zip(gray, colour, strict=True))  # fmt: skip
    yield Made("outputs/pixel_mean", mean)
    yield Made("outputs/pixel_std", std)
    for case in golden.cases():
        packed = torch.from_numpy(packed_slices(golden.input(f"{case}volume")[0].numpy()))
        yield Made(f"outputs/{case}packed_normalised", (packed - mean[:, None, None]) / std[:, None, None])


def pre_post_processing(golden: Golden) -> Iterator[Made]:
    """Volume → slices → label map → volume; the choice of axis and of prompts is checked on the way."""
    cases: dict[str, Any] = golden.info["cases"]
    for shape, axis in cases["get_axis_table"]:
        _expect(axis_by_shape(shape) == axis, f"a volume of shape {shape} is cut along axis {axis}")
    for name, case in cases.items():
        if isinstance(case, dict) and "size" in case:
            yield from _there_and_back(golden, name, case)
        elif name.startswith("pipeline"):
            yield from _pipeline(golden, name, case)


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(f"expected that {what}")


def reference_plan(shape: Sequence[int], size: int) -> SlicePlan:
    """How the public model's scripts cut a volume: by the array's shape, as it is stored."""
    return SlicePlan(Grid.pixels(shape), axis_by_shape(shape), size, resampler="bicubic", orient=False)


def packed_slices(volume: Array) -> NDArray[np.float32]:
    """(D, H, W) → (D, 3, H, W): each slice with the one before and the one after it."""
    plan = SlicePlan(Grid.pixels(volume.shape), 0, 1, orient=False)
    return np.stack([volume[list(plan.neighbours(index))] for index in range(plan.count)]).astype(np.float32)


def _cut(plan: SlicePlan, volume: Tensor) -> Tensor:
    return torch.from_numpy(np.stack([plan.to_network(plane) for plane in plan.view.apply(volume.numpy())]))


def _there_and_back(golden: Golden, name: str, case: Config) -> Iterator[Made]:
    plan = reference_plan(case["shape"], case["size"])
    side = max(plan.slice_shape)
    _expect(plan.axis == case["valid_axis"] and side == case["padded_size"], f"case {name} is cut as recorded")
    for dtype in ("uint8", "float32"):
        key = f"{name}_{dtype}"
        yield Made(f"outputs/{key}/resized", _cut(plan, golden.input(f"{key}/volume")))
        yield Made(f"outputs/{key}/as_int", golden.tensors[f"outputs/{key}/resized"].int())
    labels = plan.restore(golden.input(f"{name}/label_map_at_model_size").numpy())
    yield Made(f"outputs/{name}/label_map_original_space", torch.from_numpy(labels.copy()))


def _pipeline(golden: Golden, name: str, case: Config) -> Iterator[Made]:
    logits, existence = (golden.input(f"{name}/{kind}").numpy() for kind in ("logits", "existence_logits"))
    larger = postprocess.upsample(logits, case["model_size"])
    if "nms_kept_prompt_indices_per_slice_in_order" in case:
        for depth, kept in enumerate(case["nms_kept_prompt_indices_per_slice_in_order"]):
            ours = postprocess.suppress(postprocess.sigmoid(larger[:, depth]), postprocess.sigmoid(existence[:, depth]))
            _expect(ours == kept, f"slice {depth} of {name} keeps the prompts {kept}, in this order")
    gated = postprocess.gate(larger, existence)
    merged = postprocess.merge(gated, case["ids"])
    plan = reference_plan(case["original_shape"], case["model_size"])
    yield Made(f"outputs/{name}/upsampled_logits", torch.from_numpy(larger))
    yield Made(f"outputs/{name}/postprocessed", torch.from_numpy(gated))
    yield Made(f"outputs/{name}/merged_labels", torch.from_numpy(merged))
    yield Made(f"outputs/{name}/final_labels", torch.from_numpy(plan.restore(merged).copy()))


STEPS: dict[str, Callable[[Golden], Iterator[Made]]] = {
    "v2_slice_packing": slice_packing,
    "v2_pre_post_processing": pre_post_processing,
}
