"""A model folder in Hugging Face format: OLMo-2 with random weights and a small byte-level tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Olmo2Config, Olmo2ForCausalLM, PreTrainedTokenizerFast

__all__ = ["make_folder"]

_TEXT = [
    "Given an adjective, state its antonym. Adjective: big. Answer: small",
    "Given an adjective, state its comparative form. Adjective: hot. Answer: hotter",
    "Given an animal, state its most typical associated color. Animal: crow. Answer: black",
]


def make_folder(path: Path, n_layers: int = 4, seed: int = 0) -> Path:
    """Write the folder and return it; the same arguments give the same bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=360, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_TEXT * 4, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(path)
    torch.manual_seed(seed)
    config = Olmo2Config(
        vocab_size=tokenizer.get_vocab_size() + 8,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        eos_token_id=0,
        bos_token_id=None,
        pad_token_id=None,
    )
    Olmo2ForCausalLM(config).save_pretrained(path)
    return path
