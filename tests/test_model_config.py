"""A configuration refuses what can't work, and travels as JSON."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boltzformer.model import config as models
from boltzformer.model.config import ConfigError, DecoderConfig, HieraConfig, ModelConfig, PlainConfig, TextConfig

PRESETS = (
    models.focal_l,
    models.hiera_s,
    models.hiera_bp,
    models.biomedparse_v2,
    models.tiny,
    models.default,
)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_survives_a_trip_through_json(preset):
    assert ModelConfig.from_dict(json.loads(json.dumps(preset().to_dict()))) == preset()


@given(
    queries=st.integers(1, 40),
    layers=st.integers(1, 12),
    temperature=st.floats(0.1, 4),
    ratio=st.floats(0.01, 1),
    attention=st.sampled_from(["boltzmann", "masked", "full"]),
    law=st.sampled_from(["per_head", "per_query"]),
    draw=st.sampled_from(["bernoulli", "multinomial"]),
)
def test_every_ablation_survives_a_trip_through_json(queries, layers, temperature, ratio, attention, law, draw):
    tiny = models.tiny()
    decoder = replace(
        tiny.decoder,
        queries=queries,
        layers=layers,
        base_temperature=temperature,
        sample_ratio=ratio,
        attention=attention,
        law=law,
        draw=draw,
    )
    config = replace(tiny, decoder=decoder)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: replace(c, decoder=replace(c.decoder, edge_queries=4)), "edge_queries = 0, or pigma = None"),
        (lambda c: replace(c, pigma="v3"), "pigma = 'v3' is unknown"),
        (lambda c: replace(c, image_size=98), "multiple of 4"),
        (lambda c: replace(c, encoder=HieraConfig(), image_size=104), "multiple of 32"),
        (lambda c: replace(c, decoder=replace(c.decoder, strides=(16, 8, 2))), r"none at \[2\]"),
        (lambda c: replace(c, decoder=replace(c.decoder, strides=(4, 8, 16))), "coarse to fine"),
        (lambda c: replace(c, decoder=replace(c.decoder, heads=5)), "multiple of heads"),
        (lambda c: replace(c, decoder=replace(c.decoder, version=1)), "set version=2"),
        (lambda c: replace(c, decoder=replace(c.decoder, edge_queries=12)), "at least one query"),
        (lambda c: replace(c, decoder=replace(c.decoder, text_channels=16)), "text_channels = 16"),
        (lambda c: replace(c, decoder=replace(c.decoder, in_channels=64)), "pixel decoder makes 32"),
        (lambda c: replace(c, decoder=replace(c.decoder, mask_channels=64)), "pixel decoder 32"),
        (lambda c: replace(c, decoder=replace(c.decoder, sample_ratio=0.0)), "sample_ratio"),
        (lambda c: replace(c, decoder=replace(c.decoder, base_temperature=0.0)), "base_temperature"),
        (lambda c: replace(c, decoder=replace(c.decoder, law="per_token")), "law = 'per_token'"),
        (lambda c: replace(c, text=replace(c.text, projection=64)), "text encoder gives 64"),
        (lambda c: replace(c, text=replace(c.text, vocabulary=200)), "at least 258"),
        (lambda c: replace(c, channels="cmyk"), "channels = 'cmyk'"),
        (lambda c: replace(c, pixel_std=(1.0, 0.0, 1.0)), "positive"),
    ],
)
def test_a_combination_that_cannot_work_is_refused_with_a_sentence(change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        change(models.tiny())


def test_a_pooling_block_of_hiera_cannot_attend_globally():
    with pytest.raises(ConfigError, match="opens a stage"):
        HieraConfig(stages=(1, 2, 4, 2), global_blocks=(3,))


def test_group_norms_need_channels_that_divide():
    with pytest.raises(ConfigError, match="multiples"):
        PlainConfig(channels=(20, 40, 60, 80), groups=8)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"colour": 1}, "colour"),
        ({"decoder": {"heads_": 1}}, "decoder.heads_"),
        ({"decoder": {"heads": "8"}}, "should be of type int"),
        ({"decoder": {"heads": True}}, "should be of type int"),
        ({"encoder": {"kind": "swin"}}, "'swin' is unknown"),
        ({"encoder": 3}, "unknown"),
        ({"text": []}, "table of names"),
    ],
)
def test_an_unknown_name_or_a_wrong_value_is_refused(data, sentence):
    with pytest.raises(ConfigError, match=sentence):
        ModelConfig.from_dict(data)


def test_presets_say_what_the_published_models_are():
    released = models.biomedparse_v2()
    assert (released.decoder.queries, released.decoder.edge_queries, released.pigma) == (16, 4, None)
    assert released.decoder.law == models.hiera_s().decoder.law == "per_head"
    for ours in (models.tiny(), models.default()):
        assert ours.decoder.existence
        assert ours.decoder.edge_queries == 0
        assert ours.pigma == "v2"
        assert ours.decoder.law == "per_query"
    assert DecoderConfig().strides == (32, 16, 8)
    assert TextConfig().context == 77
