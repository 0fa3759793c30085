"""CLIP's words: the published byte-pair table as a tokenizer that travels inside a checkpoint."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = 49408
"""256 bytes, the same at the end of a word, 48 894 merges, start and end."""
PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
"""A word is a run of letters, one digit, a run of signs, or an English ending."""


@cache
def table() -> str:
    """The tokenizer in the JSON format of the `tokenizers` library, as `TableTokenizer` reads it.

    Start and end are added around a prompt and are not words of it: a prompt that spells them out stays ordinary text.
    """
    text = (files("boltzformer") / "assets" / "clip" / "merges.txt").read_text("utf-8")
    merges = text.splitlines()
    letters = _letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *(m.replace(" ", "") for m in merges), START, END]
    vocabulary = {word: number for number, word in enumerate(words)}
    whole = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                # As CLIP's own cleaning does: the quotes that phones and word processors set are the plain ones.
                {"type": "Replace", "pattern": {"Regex": "[‘’]"}, "content": "'"},
                {"type": "Replace", "pattern": {"Regex": "[“”]"}, "content": '"'},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PIECES}, "behavior": "Removed", "invert": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [_special(START), {"Sequence": {"id": "A", "type_id": 0}}, _special(END)],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {
                token: {"id": token, "ids": [vocabulary[token]], "tokens": [token]} for token in (START, END)
            },
        },
        "model": {
            "type": "BPE",
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "vocab": vocabulary,
            "merges": [merge.split(" ") for merge in merges],
        },
    }
    return json.dumps(whole, ensure_ascii=False)


def _special(token: str) -> dict[str, object]:
    return {"SpecialToken": {"id": token, "type_id": 0}}


def _letters() -> list[str]:
    """One visible character per byte, in the order of the published numbering: the visible ones stand for themselves
    and come first, the others follow as the characters from 256 on."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = 256 - len(visible)
    return [chr(code) for code in visible] + [chr(256 + number) for number in range(hidden)]
