"""EfficientNet-Lite: inverted bottlenecks of point-wise and depth-wise convolutions, whose ImageNet weights are public.

Its batch norms keep the statistics of ImageNet for ever: divided into the kernels when published weights are read, so
what is learnt of a norm is a scale and a shift, and at run time both are part of the convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boltzformer.errors import CheckpointError
from boltzformer.model.encoder_config import LiteConfig

EPS = 1e-3
"""Of every batch norm in the published weights."""


class Conv(nn.Module):
    """A convolution whose output is scaled and shifted per channel; TensorFlow's "same" padding."""

    def __init__(self, channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride, self.groups = kernel, stride, groups
        self.weight = nn.Parameter(torch.empty(out, channels // groups, kernel, kernel))
        self.scale = nn.Parameter(torch.ones(out))
        self.shift = nn.Parameter(torch.zeros(out))
        nn.init.kaiming_normal_(self.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale[:, None, None, None]
        if self.groups == 1 or not torch.is_grad_enabled():
            return F.conv2d(self._padded(x), weight, self.shift, self.stride, self._padding, 1, self.groups)
        # Depth-wise, to be learnt from: see `DepthWise`. The sum is linear, so the shift can come after.
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):  # shapes alone have no device
            if self.stride == 1:
                out: Tensor = DepthWise.apply(x, weight.to(x.dtype))
            else:
                exact = self._padded(x).float(), weight.float()
                out = F.conv2d(*exact, None, self.stride, self._padding, 1, self.groups).to(x.dtype)
            return out + self.shift[:, None, None].to(x.dtype)

    @property
    def _padding(self) -> int:
        return self.kernel // 2 if self.stride == 1 else 0

    def _padded(self, x: Tensor) -> Tensor:
        """As much as is needed for ⌈side / stride⌉ outputs; the odd row and column go behind."""
        if self.stride == 1:
            return x  # the convolution pads by itself, evenly
        height, width = (max(0, self.kernel - (n % self.stride or self.stride)) for n in x.shape[-2:])
        return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


class DepthWise(torch.autograd.Function):
    """A depth-wise convolution of stride 1 whose gradients are quick in bfloat16.

    oneDNN's own take 10 to 45 ms a layer of 8 samples on AVX-512 where fp32 takes 1 to 12. The gradient of the input is
    the same convolution with the kernel turned around, that of the kernel is made in fp32.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, None, 1, weight.shape[-1] // 2, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        around = weight.shape[-1] // 2
        back = F.conv2d(gradient, weight.flip(-1, -2), None, 1, around, 1, len(weight))
        exact = gradient.float(), x.float(), weight.float()
        steps = [1, 1], [around, around], [1, 1], False, [0, 0], len(weight), [False, True, False]
        _, kernel, _ = torch.ops.aten.convolution_backward(*exact, None, *steps)
        return back, kernel.to(weight.dtype)


class Bottleneck(nn.Module):
    """Wider, each channel by itself, narrower; past it where the shape stays."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = Conv(channels, wide) if expansion > 1 else None
        self.each = Conv(wide, wide, kernel, stride, groups=wide)
        self.narrow = Conv(wide, out)
        self.passes = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.expand is None else F.relu6(self.expand(x))
        inner = self.narrow(F.relu6(self.each(inner)))
        return x + inner if self.passes else inner


class LiteEncoder(nn.Module):
    """Image (B, 3, H, W) in −1…1 → maps at strides 4, 8, 16, 32."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        self.stem = Conv(3, config.stem, 3, 2)
        self.stages = nn.ModuleList()
        before = config.stem
        for number, (out, count) in enumerate(zip(config.widths, config.repeats, strict=True)):
            expansion = config.expansion if number else 1
            blocks = []
            for place in range(count):
                stride = config.steps[number] if place == 0 else 1
                blocks.append(Bottleneck(before, out, config.kernels[number], stride, expansion))
                before = out
            self.stages.append(nn.Sequential(*blocks))
        self.ends = config.ends

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Fine to coarse, each (B, C, H, W)."""
        x, maps = F.relu6(self.stem(image.contiguous(memory_format=torch.channels_last))), []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in self.ends:
                maps.append(x)
        return tuple(maps)


@torch.no_grad()
def fill_published(encoder: LiteEncoder, tensors: Mapping[str, Tensor], source: str) -> None:
    """Puts published ImageNet weights in, all of them but the classifier's, or says which names don't fit."""
    wanted = _published(encoder)
    known = {f"{kernel}.weight" for kernel, _, _ in wanted}
    known |= {f"{norm}.{part}" for _, norm, _ in wanted for part in ("weight", "bias", "running_mean", "running_var")}
    beside = ("_conv_head.", "_bn1.", "_fc.")
    found = {n for n in tensors if not n.startswith(beside) and not n.endswith(".num_batches_tracked")}
    names = {f"{kernel}.weight": conv.weight.shape for kernel, _, conv in wanted}
    shapes = [name for name, shape in names.items() if name in tensors and tensors[name].shape != shape]
    if found != known or shapes:
        odd = sorted(found ^ known) or shapes
        raise CheckpointError(f"{source} holds no EfficientNet-Lite of this size: it differs at {', '.join(odd[:5])}.")
    for kernel, norm, conv in wanted:
        scale, shift, mean, variance = (
            tensors[f"{norm}.{part}"].float() for part in ("weight", "bias", "running_mean", "running_var")
        )
        spread = (variance + EPS).sqrt()
        conv.weight.copy_(tensors[f"{kernel}.weight"].float() / spread[:, None, None, None])
        conv.scale.copy_(scale)
        conv.shift.copy_(shift - scale * mean / spread)


def _published(encoder: LiteEncoder) -> list[tuple[str, str, Conv]]:
    """(name of the kernel, name of its batch norm, our convolution) for each of them."""
    wanted: list[tuple[str, str, Any]] = [("_conv_stem", "_bn0", encoder.stem)]
    blocks = [block for block in encoder.modules() if isinstance(block, Bottleneck)]
    for number, block in enumerate(blocks):
        name = f"_blocks.{number}."
        if block.expand is not None:
            wanted.append((f"{name}_expand_conv", f"{name}_bn0", block.expand))
        wanted.append((f"{name}_depthwise_conv", f"{name}_bn1", block.each))
        wanted.append((f"{name}_project_conv", f"{name}_bn2", block.narrow))
    return wanted
