"""A token table of our own: byte-level pairs learnt from the prompts, so that no word is unknown and none collide."""

from __future__ import annotations

from collections.abc import Iterable

START, END = "<|start|>", "<|end|>"


def token_table(texts: Iterable[str], vocabulary: int) -> str:
    """The table as JSON for `TableTokenizer`; start and end are its last two ids."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    table = Tokenizer(models.BPE())
    table.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase(), normalizers.Strip()])
    table.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    table.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary - 2, initial_alphabet=sorted(alphabet), show_progress=False)
    table.train_from_iterator(sorted(set(texts)), trainer)
    table.add_special_tokens([START, END])
    ends = [(END, table.token_to_id(END)), (START, table.token_to_id(START))]
    table.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    made: str = table.to_str()
    return made
