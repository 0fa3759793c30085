"""The zoo: by which kind of configuration which decoder is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from boltzformer.model.config import DecoderConfig, DecoderKind
from boltzformer.model.decoder import Decoder
from boltzformer.model.decoding import AnyDecoder
from boltzformer.model.emcad_decoder import EmcadDecoder
from boltzformer.model.sam2_decoder import Sam2Decoder
from boltzformer.model.sam_decoder import SamDecoder

DECODERS: Mapping[DecoderKind, Callable[[DecoderConfig, int | None], AnyDecoder]] = {
    "queries": Decoder,
    "sam": SamDecoder,
    "sam2": Sam2Decoder,
    "emcad": EmcadDecoder,
}


def make_decoder(config: DecoderConfig, trained_side: int | None = None) -> AnyDecoder:
    """The one that a configuration describes; `trained_side`: of the images it was trained with, None: of any size."""
    return DECODERS[config.kind](config, trained_side)
