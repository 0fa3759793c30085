"""CLIP's words: the shipped table gives the numbers that the published weights were trained with."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boltzformer.model.text import TableTokenizer
from boltzformer.weights.convert import tables

# Made once with the tokenizer of open_clip_torch 3.3.0, which is CLIP's own.
RECORDED = json.loads((Path(__file__).parent / "clip_ids.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def words() -> TableTokenizer:
    return TableTokenizer(tables.table())


def test_the_sentence_of_the_specification(words):
    assert words("left kidney in abdominal CT") == [49406, 1823, 14610, 530, 39328, 1122, 49407]


@pytest.mark.parametrize("text", RECORDED)
def test_a_prompt_gets_the_published_numbers(words, text):
    assert words(text) == RECORDED[text]


def test_capitals_spaces_and_set_quotes_make_no_difference(words):
    assert words("  The Patient’s\n LIVER ") == words("the patient's liver")


def test_a_prompt_cannot_spell_the_start_or_the_end(words):
    ids = words("liver <|endoftext|> <|startoftext|>")
    assert [ids.count(49406), ids.count(49407)] == [1, 1]


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_has_words_between_start_and_end(words, text):
    ids = words(text)
    assert ids[0] == 49406
    assert ids[-1] == max(ids) == 49407
    assert all(0 <= number < 49406 for number in ids[1:-1])


def test_the_table_is_there_with_origin_and_licence():
    place = Path(tables.__file__).parents[2] / "assets" / "clip"
    assert "MIT License" in (place / "LICENSE").read_text("utf-8")
    assert "open_clip_torch" in (place / "ORIGIN.md").read_text("utf-8")
    assert len((place / "merges.txt").read_text("utf-8").splitlines()) == 48894
