"""Prompts become tokens that depend on nothing but the prompt."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boltzformer.model.config import ConfigError, TextConfig
from boltzformer.model.text import ByteTokenizer, TextEncoder, reference_padding

BYTES = TextConfig("bytes", vocabulary=258, context=40, width=32, layers=2, heads=4, projection=16)


def encoder(causal: bool = True) -> TextEncoder:
    torch.manual_seed(0)
    config = TextConfig("bytes", vocabulary=258, context=40, width=32, layers=2, heads=4, projection=16, causal=causal)
    return TextEncoder(config).double().eval()


@pytest.mark.parametrize("causal", [True, False])
@settings(max_examples=20, deadline=None)
@given(prompts=st.lists(st.text(min_size=1, max_size=50), min_size=1, max_size=4))
@torch.no_grad()
def test_a_prompt_does_not_depend_on_the_prompts_beside_it(causal, prompts):
    text = encoder(causal)
    together = text(prompts)
    for index, prompt in enumerate(prompts):
        alone = text([prompt])
        real = together.tokens[index][together.mask[index]]
        assert torch.allclose(real, alone.tokens[0], atol=1e-12)
        assert alone.mask.all()
        assert (together.tokens[index][~together.mask[index]] == 0).all()


def test_a_long_prompt_is_cut_and_keeps_its_end():
    ids = encoder().tokenize("x" * 500)
    assert len(ids) == BYTES.context
    assert ids[0] == ByteTokenizer.start
    assert ids[-1] == ByteTokenizer.end == max(ids)


def test_capitals_and_spaces_make_no_difference():
    assert ByteTokenizer()("  Lung  Nodule\n") == ByteTokenizer()("lung nodule")


@torch.no_grad()
def test_token_ids_are_as_good_as_text():
    text = encoder()
    ids = ByteTokenizer()("ms lesion")
    assert torch.equal(text(["ms lesion"]).tokens, text([ids]).tokens)


def test_clip_without_its_table_asks_for_it():
    text = TextEncoder(TextConfig(vocabulary=300, width=32, layers=1, heads=4, projection=16))
    with pytest.raises(ConfigError, match="token table"):
        text(["liver"])
    assert text([[1, 5, 299]]).tokens.shape == (1, 3, 16)


@torch.no_grad()
def test_reference_padding_fills_and_is_attended():
    state = encoder()(["a", "longer"])
    padded = reference_padding(state, -1.0)
    assert padded.mask.all()
    assert (padded.tokens[~state.mask] == -1).all()
    assert torch.equal(padded.tokens[state.mask], state.tokens[state.mask])
