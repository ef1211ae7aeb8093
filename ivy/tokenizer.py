"""ivy's tokenizer: byte-level BPE, trained on the corpus, as in OLMo-2 without a BOS token in front of a prompt.

1. Words are split as in GPT-2 (a word carries its leading space).
2. The vocabulary holds every byte, the merges of a short BPE training, and then the most frequent whole words. A word
   in the vocabulary is taken whole, whether or not the merges would make it (``ignore_merges``, as in Llama 3): most
   answers are one token, and any text has tokens.
3. ``<|endoftext|>`` ends a document, pads a batch, and is the filler that stands for a missing instruction.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END = "<|endoftext|>"
VOCAB_SIZE = 6144
N_BPE = 900
"""Entries that come from BPE training (bytes included); whole words fill the rest."""


def train_tokenizer(texts: Iterable[str], vocab_size: int = VOCAB_SIZE) -> PreTrainedTokenizerFast:
    """A tokenizer of ``vocab_size`` entries for these texts."""
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    words = Counter(piece for text in texts for piece, _ in splitter.pre_tokenize_str(text))
    bpe = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=N_BPE,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator((piece for piece, count in words.items() for _ in range(min(count, 50))), trainer)
    state = json.loads(bpe.to_str())["model"]
    vocab: dict[str, int] = state["vocab"]
    for piece, _ in words.most_common():
        if len(vocab) == vocab_size:
            break
        vocab.setdefault(piece, len(vocab))
    merges = [tuple(merge) for merge in state["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=True))
    tokenizer.add_special_tokens([END])
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
