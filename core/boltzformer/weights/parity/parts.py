"""Replays of recorded parts: encoders, pixel decoder, text, up-scaling heads, losses; from a volume to network slices,
and from logits to a label map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from boltzformer.image.geometry import Array, Grid
from boltzformer.image.slicing import SlicePlan, axis_by_shape
from boltzformer.masks import postprocess
from boltzformer.model.config import (
    GRAY_MEAN,
    GRAY_STD,
    FocalConfig,
    HieraConfig,
    ModelConfig,
    PixelDecoderConfig,
    TextConfig,
)
from boltzformer.model.focal import FocalNet
from boltzformer.model.hiera import Hiera
from boltzformer.model.layers import sine_positions
from boltzformer.model.losses import edge_target, gated_loss, overlap_loss, resize_logits
from boltzformer.model.pigma import PigmaV1, PigmaV2, pyramid
from boltzformer.model.pixel_decoder import PixelDecoder
from boltzformer.model.text import TextEncoder
from boltzformer.weights.checkpoint import fill
from boltzformer.weights.parity.golden import Golden, Made

STRIDES = (4, 8, 16, 32)
Config = Mapping[str, Any]


def focal_config(config: Config) -> FocalConfig:
    """From the reference's names."""
    return FocalConfig(
        width=config["embed_dim"],
        depths=tuple(config["depths"]),
        focal_levels=tuple(config["focal_levels"]),
        focal_windows=tuple(config["focal_windows"]),
        mlp_ratio=float(config["mlp_ratio"]),
    )


def hiera_config(config: Config) -> HieraConfig:
    """From the reference's names."""
    return HieraConfig(
        width=config["embed_dim"],
        heads=config["num_heads"],
        stages=tuple(config["stages"]),
        global_blocks=tuple(config["global_att_blocks"]),
        windows=tuple(config["window_spec"]),
        background=tuple(config["window_pos_embed_bkg_spatial_size"]),
        mlp_ratio=float(config.get("mlp_ratio", 4.0)),
        neck=config["d_model"] if "d_model" in config else config["neck"]["d_model"],
    )


def pixel_config(config: Config) -> PixelDecoderConfig:
    """From the reference's names."""
    return PixelDecoderConfig(
        channels=config["conv_dim"],
        mask_channels=config["mask_dim"],
        heads=config["transformer_nheads"],
        ffn=config["transformer_dim_feedforward"],
        layers=config["transformer_enc_layers"],
        groups=config["group_norm_groups"],
    )


def text_config(config: Config) -> TextConfig:
    """From the reference's names."""
    projection = config["dim_proj"] if "dim_proj" in config else config["lang_proj"][1]
    return TextConfig(
        vocabulary=config["vocab_size"],
        context=config["context_length"],
        width=config["width"],
        layers=config["layers"],
        heads=config["heads"],
        projection=projection,
        causal=config["autogressive"],
    )


@contextmanager
def recorded(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Any]]:
    """While it is open, the last output of each module is kept under its name."""
    kept: dict[str, Any] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, _inputs, output: kept.__setitem__(name, output)

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def class_embedding(tokens: Tensor, ids: Tensor) -> Tensor:
    """(P, C): the token at the first end-of-text, which has the largest id."""
    return tokens[torch.arange(len(ids)), ids.argmax(1)]


@torch.no_grad()
def focal(golden: Golden) -> Iterator[Made]:
    """FocalNet's maps and the insides of its first block."""
    net = FocalNet(focal_config(golden.config))
    fill(net, golden.state, golden.name)
    inner = {
        "stem": net.patch_embed,
        "layer0_block0_modulation": net.get_submodule("layers.0.blocks.0.modulation"),
        "layer0_block0": net.get_submodule("layers.0.blocks.0"),
        "layer0_downsample": net.get_submodule("layers.0.downsample"),
    }
    for case in golden.cases():
        with recorded(inner) as kept:
            maps = net(golden.input(f"{case}image"))
        for level, image in enumerate(maps, start=2):
            yield Made(f"outputs/{case}res{level}", image)
        for name in ("stem", "layer0_downsample"):
            yield Made(f"outputs/{case}{name}", kept[name].permute(0, 3, 1, 2))
        yield Made(f"outputs/{case}layer0_block0_modulation", kept["layer0_block0_modulation"])
        yield Made(f"outputs/{case}layer0_block0", kept["layer0_block0"].flatten(1, 2))


@torch.no_grad()
def hiera(golden: Golden) -> Iterator[Made]:
    """Hiera's blocks, stages and pyramid."""
    net = Hiera(hiera_config(golden.config))
    fill(net, golden.state, golden.name)
    inner = {f"block{index}": block for index, block in enumerate(net.trunk.blocks)}
    for case in golden.cases():
        with recorded({**inner, "patch_embed": net.trunk.patch_embed}) as kept:
            stages = net.trunk(golden.input(f"{case}image"))
        for name, tokens in kept.items():
            yield Made(f"outputs/{case}{name}", tokens)
        yield Made(f"outputs/{case}pos_embed", net.trunk.positions(*kept["patch_embed"].shape[1:3]))
        for stage, image in enumerate(stages, start=1):
            yield Made(f"outputs/{case}trunk_stage{stage}", image)
        for level, image in enumerate(net.neck(stages), start=2):
            yield Made(f"outputs/{case}res{level}", image)


@torch.no_grad()
def pixel_decoder(golden: Golden) -> Iterator[Made]:
    """The transformer on the coarsest map, the pyramid, the mask features."""
    channels = tuple(golden.config["channels"])
    net = PixelDecoder(pixel_config(golden.config), channels, STRIDES, STRIDES[:0:-1])
    fill(net, golden.state, golden.name)
    maps = tuple(golden.input(f"res{level}") for level in range(2, 2 + len(channels)))
    with recorded({"encoder": net.transformer["encoder"]}) as kept:
        features = net(maps)
    yield Made("outputs/mask_features", features.mask)
    yield Made("outputs/transformer_encoder_features", kept["encoder"])
    batch, width, height, length = kept["encoder"].shape
    yield Made("outputs/pos_embed_res5", sine_positions(height, length, width).expand(batch, -1, -1, -1))
    for level, image in enumerate(features.maps):
        yield Made(f"outputs/multi_scale_{level}", image)


@torch.no_grad()
def language_encoder(golden: Golden) -> Iterator[Made]:
    """Hidden states, token and class embeddings, with the reference's padding to the whole context."""
    net = TextEncoder(text_config(golden.config))
    fill(net, golden.state, golden.name)
    ids, mask = golden.input("input_ids"), golden.input("attention_mask").bool()
    tokens = net.embed(ids, mask)
    summary = class_embedding(tokens, ids)
    yield Made("outputs/last_hidden_state", net.encoder_transformer(ids, mask))
    if golden.config["autogressive"]:
        attend = net.encoder_transformer.attend(mask)[0, 0]
        yield Made("outputs/attn_mask_additive", torch.zeros(attend.shape).masked_fill(~attend, float("-inf")))
    for name, value in (("token_emb", tokens), ("class_emb", summary)):
        yield Made(f"outputs/{name}", value)
        yield Made(f"outputs/{name}_normed", _unit(value))
    yield Made("outputs/forward_language_normed", _unit(summary))


def _unit(x: Tensor) -> Tensor:
    return x / (x.norm(dim=-1, keepdim=True) + 1e-7)


@torch.no_grad()
def pigma(golden: Golden) -> Iterator[Made]:
    """Both up-scaling heads."""
    kind = PigmaV1 if golden.name.startswith("v1") else PigmaV2
    net = kind(golden.config["num_queries"], golden.config["out_channels_1"])
    fill(net, golden.state, golden.name)
    image, masks = golden.input("image_normalised"), golden.input("pred_gmasks")
    yield Made("outputs/result", net(pyramid(image, (masks.shape[-2], masks.shape[-1])), masks))


def v1_loss(golden: Golden) -> Iterator[Made]:
    """Value, terms and gradient."""
    for case in golden.cases():
        pred, target = golden.input(f"{case}pred").clone().requires_grad_(), golden.input(f"{case}target")
        loss = overlap_loss(pred, target)
        (gradient,) = torch.autograd.grad(loss.total, pred)
        yield Made(f"outputs/{case}loss", loss.total)
        yield Made(f"outputs/{case}dice_term", loss.dice)
        yield Made(f"outputs/{case}bce_term", loss.cross_entropy)
        yield Made(f"outputs/{case}grad_pred", gradient)
        yield Made(f"outputs/{case}resized_pred", resize_logits(pred, *target.shape[-2:]))


def v2_loss(golden: Golden) -> Iterator[Made]:
    """Value, terms and gradients; the reference lists images and prompts in one row."""
    for case, options in zip(golden.cases(), golden.info["cases"], strict=True):
        labels = golden.input(f"{case}labels")
        names = ("pred_gmasks", "object_existence", "edge_masks")
        pred, existence, edges = (golden.input(f"{case}{name}").clone().requires_grad_() for name in names)
        items = labels.shape[:2]
        loss = gated_loss(
            pred.reshape(*items, *pred.shape[-2:]),
            existence.reshape(items),
            edges.reshape(*items, *edges.shape[-2:]),
            labels,
            existence_weight=options["cls_coeff"],
            positive_weight=options["pos_weight"],
            edge_weight=options["edge_coeff"],
        )
        gradients = torch.autograd.grad(loss.total, (pred, existence, edges), allow_unused=True)
        yield Made(f"outputs/{case}loss", loss.total)
        yield Made(f"outputs/{case}seg_loss_per_item", loss.mask.flatten())
        yield Made(f"outputs/{case}cls_loss_per_item", loss.existence.flatten())
        yield Made(f"outputs/{case}existence_target", loss.present.flatten())
        yield Made(f"outputs/{case}edge_target", edge_target(labels).flatten(0, 1).unsqueeze(1))
        if loss.edge is not None:
            yield Made(f"outputs/{case}edge_loss_per_item", loss.edge.flatten())
        for name, gradient in zip(names, gradients, strict=True):
            if gradient is not None:
                yield Made(f"outputs/{case}grad_{name}", gradient)


PARTS: dict[str, Callable[[Golden], Iterator[Made]]] = {
    "focalnet": focal,
    "hiera": hiera,
    "pixel_decoder": pixel_decoder,
    "language_encoder": language_encoder,
    "v1_pigma": pigma,
    "v2_pigma": pigma,
    "v1_loss": v1_loss,
    "v2_loss": v2_loss,
}


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
