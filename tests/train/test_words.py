"""The token table of our own: no unknown words, no collisions."""

from hypothesis import given
from hypothesis import strategies as st

from boltzformer.learn.corpus import token_table
from boltzformer.model.text import TableTokenizer

TABLE = token_table(["MS lesion in brain MRI", "left ventricle in cardiac MRI", "lung nodule"], 300)


def test_the_same_texts_give_the_same_table() -> None:
    assert token_table(["lung nodule", "MS lesion in brain MRI", "left ventricle in cardiac MRI"], 300) == TABLE


def test_start_and_end_are_the_last_ids() -> None:
    ids = TableTokenizer(TABLE)("lung nodule")
    assert ids[-1] > ids[0] > max(ids[1:-1])


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=20))
def test_no_word_is_unknown(text: str) -> None:
    ids = TableTokenizer(TABLE)(text)
    plain = text.strip()
    assert len(ids) > 2 or not plain


@given(st.lists(st.text("abcdefghijklmnopqrstuvwxyz ", min_size=1, max_size=12), min_size=2, max_size=6, unique=True))
def test_different_words_get_different_tokens(texts: list[str]) -> None:
    tokenizer, plain = TableTokenizer(TABLE), {text.strip() for text in texts}
    assert len({tuple(tokenizer(text)) for text in plain}) == len(plain)
