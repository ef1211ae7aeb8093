"""Tiny random models of every family, sizes all different, in float64; and a tokenizer built in memory.  No network.

``exact_float64`` makes transformers' own norms and softmax compute in double precision (they fall back to single even
in a float64 model), so that tests can ask for agreement to 1e-10: a difference that stays is a bug, not rounding.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.models.llama import modeling_llama
from transformers.models.olmo2 import modeling_olmo2
from transformers.utils import logging as hf_logging

from ivcore.models import LoadedModel, from_pretrained_parts

INSTRUCTION = "Given an adjective, state its comparative form."
QUERY = "Adjective: big. Answer:"
N_ROWS = 420
"""Rows of the embedding: more than the tokenizer uses, as in OLMo-2."""

_CORPUS = [
    "Given an adjective, state its comparative form. Adjective: big. Answer: bigger",
    "Given an animal, state its color. Animal: cat. Answer: black yes no small",
]
_CHAT = (
    "{% for message in messages %}<|user|>\n{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def make_tokenizer(*, bos: bool = False, chat: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with EOS; with ``bos`` also a BOS that it puts before every text, as Llama's does."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|user|>", "<|assistant|>", *(["<|begin|>"] if bos else [])]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        _CORPUS * 20,
        trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=special, show_progress=False),
    )
    if bos:
        from tokenizers.processors import TemplateProcessing

        core.post_processor = TemplateProcessing(
            single="<|begin|> $A", special_tokens=[("<|begin|>", core.token_to_id("<|begin|>"))]
        )
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|end|>", bos_token="<|begin|>" if bos else None, pad_token="<|end|>"
    )
    made.chat_template = _CHAT if chat else None
    return made


def make_olmo2(**changes: Any) -> Olmo2ForCausalLM:
    """Five layers, four heads over two key-value heads, width 24."""
    sizes = {
        "vocab_size": N_ROWS,
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 96,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    return randomise(Olmo2ForCausalLM(Olmo2Config(**sizes | changes)))


def make_llama(**changes: Any) -> LlamaForCausalLM:
    """Four layers, six heads over three key-value heads, width 18, heads of 8, with biases."""
    sizes = {
        "vocab_size": N_ROWS,
        "hidden_size": 18,
        "intermediate_size": 36,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "head_dim": 8,
        "attention_bias": True,
        "mlp_bias": True,
        "max_position_embeddings": 96,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    return randomise(LlamaForCausalLM(LlamaConfig(**sizes | changes)))


def randomise(hf: Any, seed: int = 0) -> Any:
    """Every parameter random (norms and biases too, so that leaving one out shows), float64, eager attention."""
    generator = torch.Generator().manual_seed(seed)
    hf = hf.to(torch.float64)
    hf.set_attn_implementation("eager")
    with torch.no_grad():
        for name, weight in hf.named_parameters():
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight.copy_(1 + 0.3 * noise if "norm" in name else 0.4 * noise)
    return hf.eval()


def save_folder(hf: Any, folder: Path, **options: Any) -> Path:
    """Write a model folder in half precision, as the bundled ones are; ``hf`` stays as it was and no bar is drawn."""
    hf_logging.disable_progress_bar()
    try:
        copy.deepcopy(hf).half().save_pretrained(folder, **options)
        make_tokenizer().save_pretrained(folder)
    finally:
        hf_logging.enable_progress_bar()
    return folder


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, no BOS, with a chat template."""
    return make_tokenizer()


@pytest.fixture(scope="session")
def bos_tokenizer() -> PreTrainedTokenizerFast:
    """The same with a BOS before every text and no chat template."""
    return make_tokenizer(bos=True, chat=False)


@cache
def _loaded(family: str) -> LoadedModel:
    make: Callable[[], PreTrainedModel] = {"olmo2": make_olmo2, "llama": make_llama}[family]
    return from_pretrained_parts(make(), make_tokenizer(), f"tiny-{family}")


@pytest.fixture(params=["olmo2", "llama"])
def model(request: pytest.FixtureRequest) -> LoadedModel:
    """A tiny model of each family in turn."""
    return _loaded(request.param)


@pytest.fixture
def olmo2() -> LoadedModel:
    """The tiny OLMo-2."""
    return _loaded("olmo2")


@pytest.fixture
def exact_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let transformers' norms and attention softmax stay in double precision."""

    def norm(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)

    def attention(
        module: Any,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        mask: torch.Tensor | None,
        scaling: float,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        k, v = (x.repeat_interleave(module.num_key_value_groups, dim=1) for x in (k, v))
        scores = q @ k.transpose(2, 3) * scaling
        weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
        return (weights @ v).transpose(1, 2).contiguous(), weights

    monkeypatch.setattr(modeling_olmo2.Olmo2RMSNorm, "forward", norm)
    monkeypatch.setattr(modeling_llama.LlamaRMSNorm, "forward", norm)
    monkeypatch.setattr(modeling_olmo2, "eager_attention_forward", attention)
    monkeypatch.setattr(modeling_llama, "eager_attention_forward", attention)
