"""Weights of no use under the names of the published ones."""

from __future__ import annotations

import torch
from torch import Tensor

from boltzformer.model.lite import Bottleneck, Conv, LiteEncoder


def published(encoder: LiteEncoder) -> dict[str, Tensor]:
    """Random, and for an image encoder of any size."""
    torch.manual_seed(1)
    made: dict[str, Tensor] = {}

    def put(kernel: str, norm: str, conv: Conv) -> None:
        out = len(conv.weight)
        made[f"{kernel}.weight"] = torch.randn_like(conv.weight) * 0.3
        made[f"{norm}.weight"], made[f"{norm}.bias"] = torch.rand(out) + 0.5, torch.randn(out) * 0.1
        made[f"{norm}.running_mean"], made[f"{norm}.running_var"] = torch.randn(out), torch.rand(out) + 0.1
        made[f"{norm}.num_batches_tracked"] = torch.tensor(0)

    put("_conv_stem", "_bn0", encoder.stem)
    for number, block in enumerate(one for one in encoder.modules() if isinstance(one, Bottleneck)):
        if block.expand is not None:
            put(f"_blocks.{number}._expand_conv", f"_blocks.{number}._bn0", block.expand)
        put(f"_blocks.{number}._depthwise_conv", f"_blocks.{number}._bn1", block.each)
        put(f"_blocks.{number}._project_conv", f"_blocks.{number}._bn2", block.narrow)
    made["_conv_head.weight"], made["_fc.bias"] = torch.rand(32, 24, 1, 1), torch.rand(10)
    return made
