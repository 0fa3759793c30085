"""Replays of recorded decoders and whole models, on the readable way (everything) and on the fast one (the answers)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from boltzformer.model import boltzmann
from boltzformer.model.boltzformer import Answer, BoltzFormer, ImageState
from boltzformer.model.config import DecoderConfig, ModelConfig
from boltzformer.model.decoder import Decoded, Decoder, Way
from boltzformer.model.text import TextState, reference_padding
from boltzformer.weights.checkpoint import fill
from boltzformer.weights.parity.golden import Golden, Made
from boltzformer.weights.parity.parts import (
    class_embedding,
    focal_config,
    hiera_config,
    packed_slices,
    pixel_config,
    recorded,
    text_config,
)

WAYS: tuple[tuple[str, Way | None], ...] = (("dense", "dense"), ("fast", None))


def decoder_config(config: Mapping[str, Any], version: int, edge_queries: int = 0) -> DecoderConfig:
    """From the reference's names."""
    sampling = config["boltzmann_sampling"]
    return DecoderConfig(
        version=2 if version == 2 else 1,
        hidden=config["hidden_dim"],
        heads=config["nheads"],
        layers=config["dec_layers"],
        ffn=config["dim_feedforward"],
        queries=config["num_queries"],
        edge_queries=edge_queries,
        existence=version == 2 and config.get("output_classifier", True),
        in_channels=config["in_channels"],
        force_input_projection=config.get("enforce_input_project", False),
        mask_channels=config["mask_dim"],
        text_channels=config["dim_proj"],
        attention="boltzmann" if sampling["do_boltzmann"] else "masked",
        base_temperature=float(sampling["base_temp"]),
        sample_ratio=float(sampling["sample_ratio"]),
        mask_threshold=float(sampling["mask_threshold"]),
        text_prior=config["pre_self_attention"],
    )


def model_config(config: Mapping[str, Any], version: int, side: int) -> ModelConfig:
    """From the reference's names; `side` is that of a recorded image."""
    backbone, model = config["backbone"], config["model"]
    convolutes = model["convolute_outputs"]
    return ModelConfig(
        encoder=hiera_config(backbone) if "stages" in backbone else focal_config(backbone),
        pixel_decoder=pixel_config(config["pixel_decoder"]),
        text=text_config(config["language"]),
        decoder=decoder_config(config["decoder"], version, model.get("edge_queries", 0)),
        pigma=None if not convolutes else "v2" if version == 2 else "v1",
        pigma_channels=model["out_channels_1"],
        image_size=side,
        channels="neighbours" if version == 2 else "repeat",
        pixel_mean=tuple(model["pixel_mean"]),
        pixel_std=tuple(model["pixel_std"]),
    )


def masks_of(golden: Golden, prefix: str, layers: int, kind: str = "mask") -> dict[int, Tensor]:
    """Recorded draws per layer, as they are stored: images and prompts in one row."""
    stored = {layer: golden.tensors.get(f"replay/{prefix}{kind}_{layer}") for layer in range(layers)}
    return {layer: tensor for layer, tensor in stored.items() if tensor is not None}


class Listener:
    """Keeps what a decoder tells while it runs."""

    def __init__(self) -> None:
        self.heard: dict[str, Tensor] = {}

    def __call__(self, name: str, value: Tensor) -> None:
        self.heard[name] = value

    def redrawn(self, config: DecoderConfig, uniform: Mapping[int, Tensor]) -> Iterator[tuple[int, Tensor]]:
        """The masks that our own guesses give: with the recorded numbers if we sample, else wherever recorded."""
        for layer in range(config.layers):
            guess = self.heard[f"head{layer}/p_sigmoid_at_level"][:, None]  # (B, 1, Q, L)
            if config.attention == "boltzmann" and layer not in uniform:
                continue
            drawn = uniform[layer][:, None] if layer in uniform else None
            mask = boltzmann.blocked(guess, layer, config, drawn)
            if mask is not None:
                yield layer, mask.expand(-1, -1, config.heads, -1, -1).flatten(0, 1)


@torch.no_grad()
def decoder(golden: Golden) -> Iterator[Made]:
    """A decoder by itself; every image has its own prompt."""
    config = decoder_config(golden.config, 1 if golden.name.startswith("v1") else 2)
    net = Decoder(config)
    fill(net, golden.state, golden.name)
    maps = [golden.input(f"feature_level{level}") for level in range(len(config.strides))]
    words = golden.input("grounding_tokens").transpose(0, 1)[:, None]  # (B, 1, T, C)
    masks, uniform = masks_of(golden, "", config.layers), masks_of(golden, "", config.layers, "rand")
    for label, way in WAYS:
        image = net.prepare(maps, golden.input("mask_features"), dense=way == "dense")
        listener = Listener()
        out = net(image, words, masks=[mask[:, None] for mask in masks.values()], way=way, watch=listener)
        for name, value in listener.heard.items():
            if name.startswith("replay/applied") or (label == "fast" and name.endswith("/mask_logits")):
                yield Made(name if name.startswith("replay") else f"outputs/{name}", value, label)
            elif label == "dense" and not name.startswith("replay"):
                yield Made(f"outputs/{name}", value)
        for layer, mask in listener.redrawn(config, uniform):
            yield Made(f"replay/mask_{layer}", mask, label)
        yield from _decoded(out, label)


def _decoded(out: Decoded, label: str) -> Iterator[Made]:
    yield Made("outputs/pred_gmasks", out.masks.flatten(0, 1), label)
    assert out.captions is not None
    yield Made("outputs/pred_captions", out.captions.flatten(0, 1), label)
    if out.existence is not None:
        yield Made("outputs/object_existence", out.existence.flatten()[:, None], label)


class Replayed:
    """One call of a whole model with recorded draws, and all that can be compared with it."""

    def __init__(self, net: BoltzFormer, text: TextState, golden: Golden, prefix: str) -> None:
        self.net, self.text, self.golden, self.prefix = net, text, golden, prefix
        self.layers = net.config.decoder.layers

    def image(self, images: Tensor) -> tuple[ImageState, list[Made]]:
        """The image's part; recorded maps are repeated per prompt, which share one of ours."""
        parts = {"maps": self.net.backbone, "features": self.net.sem_seg_head["pixel_decoder"]}
        with recorded(parts) as heard:
            state = self.net.encode_image(images)
        stored = self.golden.tensors.get(f"outputs/{self.prefix}mask_features")
        times = 1 if stored is None else len(stored) // len(images)
        made = [self._made(f"backbone_res{level}", x) for level, x in enumerate(heard["maps"], start=2)]
        for level, x in enumerate(heard["features"].maps):
            made.append(self._made(f"multi_scale_{level}", x.repeat_interleave(times, 0)))
        made.append(self._made("mask_features", heard["features"].mask.repeat_interleave(times, 0)))
        return state, made

    def answers(self, state: ImageState, batch: int) -> Iterator[tuple[str, Answer, list[Made]]]:
        """Both ways; (way, answer, comparisons)."""
        config = self.net.config.decoder
        masks = masks_of(self.golden, self.prefix, self.layers)
        uniform = masks_of(self.golden, self.prefix, self.layers, "rand")
        given = {layer: mask.unflatten(0, (batch, -1)) for layer, mask in masks.items()}
        for label, way in WAYS:
            listener = Listener()
            # Without recorded draws the model does not sample, and finds its masks itself.
            with recorded({"decoded": self.net.decoder}) as kept:
                answer = self.net.decode(state, self.text, None, masks=given or None, way=way, watch=listener)
            heard = listener.heard
            made = [self._made("query_mask_logits", heard[f"head{self.layers}/mask_logits"], label)]
            if label == "dense":
                for layer in range(self.layers):
                    if f"head{layer}/masked_prob" in heard:
                        made.append(self._made(f"masked_prob_{layer}", heard[f"head{layer}/masked_prob"]))
            made += [
                Made(f"replay/{self.prefix}mask_{layer}", mask, label)
                for layer, mask in listener.redrawn(config, uniform)
            ]
            assert kept["decoded"].captions is not None
            made.append(self._made("pred_captions", kept["decoded"].captions.flatten(0, 1), label))
            yield label, answer, made

    def _made(self, name: str, value: Tensor, label: str = "dense") -> Made:
        return Made(f"outputs/{self.prefix}{name}", value, label)


def _text(net: BoltzFormer, golden: Golden) -> tuple[TextState, Tensor]:
    """Prompts by their recorded ids, and the class embedding that the reference computes by the way."""
    ids, mask = golden.input("input_ids"), golden.input("attention_mask").bool()
    text = net.encode_text([row[real].tolist() for row, real in zip(ids, mask, strict=True)])
    return text, class_embedding(text.tokens, ids)


@torch.no_grad()
def v1_model(golden: Golden) -> Iterator[Made]:
    """Image and prompt → logits, one prompt per image, with the padding of training and of evaluation."""
    images = golden.input("image").float()
    net = BoltzFormer(model_config(golden.config, 1, max(images.shape[-2:]))).eval()
    fill(net, golden.state, golden.name)
    text, summary = _text(net, golden)
    for mode in golden.info["modes"]:
        padded = reference_padding(text, 0.0 if mode == "train" else -1.0)
        own = TextState(padded.tokens[:, None], padded.mask[:, None])  # (B, 1, T, C)
        call = Replayed(net, own, golden, f"{mode}/")
        yield Made(f"outputs/{mode}/grounding_tokens", padded.tokens.transpose(0, 1))
        yield Made(f"outputs/{mode}/class_emb", summary)
        yield Made(f"outputs/{mode}/logit_scale", net.text.logit_scale)
        state, made = call.image(images)
        yield from made
        for label, answer, made in call.answers(state, len(images)):
            yield from made
            yield Made(f"outputs/{mode}/pred_gmasks", answer.logits, label)


@torch.no_grad()
def v2_model(golden: Golden) -> Iterator[Made]:
    """Volume and prompts → logits, existence and edges, slice batch by slice batch."""
    volume = golden.input("volume")
    packed = torch.from_numpy(packed_slices(volume[0].cpu().numpy())).to(volume.device)
    net = BoltzFormer(model_config(golden.config, 2, max(volume.shape[-2:]))).eval()
    fill(net, golden.state, golden.name)
    text, summary = _text(net, golden)
    padded = reference_padding(text, 0.0)
    answers: dict[str, list[Answer]] = {label: [] for label, _ in WAYS}
    last = 0
    for number, images in enumerate(packed.split(golden.info["slice_batch_size"])):
        prefix, last = f"call{number}/", len(images)
        call = Replayed(net, padded, golden, prefix)
        yield Made(f"outputs/{prefix}packed_normalised", (images - net.pixel_mean) / net.pixel_std)
        yield Made(f"outputs/{prefix}grounding_tokens", padded.tokens.repeat(len(images), 1, 1).transpose(0, 1))
        state, made = call.image(images)
        yield from made
        for label, answer, made in call.answers(state, len(images)):
            yield from made
            answers[label].append(answer)
            if answer.existence is not None:
                yield Made(f"outputs/{prefix}object_existence", answer.existence.flatten()[:, None], label)
    yield Made("outputs/class_emb", summary.repeat(last, 1))
    yield Made("outputs/logit_scale", net.text.logit_scale)
    for label, given in answers.items():
        for name, parts in (
            ("pred_gmasks", [answer.logits for answer in given]),
            ("object_existence", [answer.existence for answer in given]),
            ("edge_masks", [answer.edges for answer in given]),
        ):
            present = [part for part in parts if part is not None]
            if present:
                yield Made(f"outputs/{name}", torch.cat(present).transpose(0, 1), label)


MODELS: dict[str, Callable[[Golden], Iterator[Made]]] = {
    "v1_decoder": decoder,
    "v2_cls_decoder": decoder,
    "v1_e2e": v1_model,
    "v2_e2e": v2_model,
}
