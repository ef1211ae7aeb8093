"""Tiny random models of every family, sizes all different, in float64; and a tokenizer built in memory.  No network.

``exact_float64`` makes transformers' own norms and softmax compute in double precision (they fall back to single even
in a float64 model), so that tests can ask for agreement to 1e-10: a difference that stays is a bug, not rounding.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    Olmo3Config,
    Olmo3ForCausalLM,
    OlmoConfig,
    OlmoForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.models.gemma2 import modeling_gemma2
from transformers.models.gemma3 import modeling_gemma3
from transformers.models.gpt_neox import modeling_gpt_neox
from transformers.models.llama import modeling_llama
from transformers.models.mistral import modeling_mistral
from transformers.models.olmo import modeling_olmo
from transformers.models.olmo2 import modeling_olmo2
from transformers.models.olmo3 import modeling_olmo3
from transformers.models.phi3 import modeling_phi3
from transformers.models.qwen2 import modeling_qwen2
from transformers.models.qwen3 import modeling_qwen3
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


_SIZES: dict[str, Any] = {
    "vocab_size": N_ROWS,
    "max_position_embeddings": 96,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
_LAYER_TYPES = ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention", "full_attention"]


def make_olmo2(**changes: Any) -> Olmo2ForCausalLM:
    """Five layers, four heads over two key-value heads, width 24."""
    sizes = {
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    return randomise(Olmo2ForCausalLM(Olmo2Config(**_SIZES | sizes | changes)))


def make_llama(**changes: Any) -> LlamaForCausalLM:
    """Four layers, six heads over three key-value heads, width 18, heads of 8, with biases."""
    sizes = {
        "hidden_size": 18,
        "intermediate_size": 36,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "head_dim": 8,
        "attention_bias": True,
        "mlp_bias": True,
    }
    return randomise(LlamaForCausalLM(LlamaConfig(**_SIZES | sizes | changes)))


def make_olmo(**changes: Any) -> OlmoForCausalLM:
    """OLMo-1: four layers, six heads over three key-value heads, width 36."""
    sizes = {
        "hidden_size": 36,
        "intermediate_size": 29,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
    }
    return randomise(OlmoForCausalLM(OlmoConfig(**_SIZES | sizes | changes)))


def make_olmo3(**changes: Any) -> Olmo3ForCausalLM:
    """Five layers, four heads over two key-value heads, width 24; windows of 3; another rotary table without one."""
    sizes = {
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "sliding_window": 3,
        "layer_types": _LAYER_TYPES,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
            "full_attention": {
                "rope_type": "yarn",
                "rope_theta": 500.0,
                "factor": 4.0,
                "original_max_position_embeddings": 24,
                "attention_factor": 1.2,
            },
        },
    }
    return randomise(Olmo3ForCausalLM(Olmo3Config(**_SIZES | sizes | changes)))


def make_mistral(**changes: Any) -> MistralForCausalLM:
    """Three layers, four heads over two key-value heads, width 20, heads of 6, windows of 4 in all layers."""
    sizes = {
        "hidden_size": 20,
        "intermediate_size": 31,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 6,
        "sliding_window": 4,
    }
    return randomise(MistralForCausalLM(MistralConfig(**_SIZES | sizes | changes)))


def make_qwen2(**changes: Any) -> Qwen2ForCausalLM:
    """Four layers, six heads over two key-value heads, width 36, windows of 3 from layer 2, tied embeddings."""
    sizes = {
        "hidden_size": 36,
        "intermediate_size": 29,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "use_sliding_window": True,
        "sliding_window": 3,
        "max_window_layers": 2,
        "tie_word_embeddings": True,
    }
    return randomise(Qwen2ForCausalLM(Qwen2Config(**_SIZES | sizes | changes)))


def make_qwen3(**changes: Any) -> Qwen3ForCausalLM:
    """Five layers, six heads over three key-value heads, width 14, heads of 8, a window of 3 in the last layer."""
    sizes = {
        "hidden_size": 14,
        "intermediate_size": 31,
        "num_hidden_layers": 5,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "head_dim": 8,
        "attention_bias": True,
        "use_sliding_window": True,
        "sliding_window": 3,
        "max_window_layers": 4,
    }
    return randomise(Qwen3ForCausalLM(Qwen3Config(**_SIZES | sizes | changes)))


def make_gemma2(**changes: Any) -> Gemma2ForCausalLM:
    """Five layers, four heads over two key-value heads, width 20, heads of 6, windows of 3, tied embeddings."""
    sizes = {
        "hidden_size": 20,
        "intermediate_size": 31,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 6,
        "sliding_window": 3,
        "query_pre_attn_scalar": 11,
        "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": 7.0,
    }
    return randomise(Gemma2ForCausalLM(Gemma2Config(**_SIZES | sizes | changes)))


def make_gemma3(**changes: Any) -> Gemma3ForCausalLM:
    """Five layers, four heads over two key-value heads, width 20, heads of 6; two rotary tables, tied embeddings."""
    sizes = {
        "hidden_size": 20,
        "intermediate_size": 31,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 6,
        "sliding_window": 3,
        "layer_types": _LAYER_TYPES,
        "query_pre_attn_scalar": 11,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
            "full_attention": {"rope_type": "linear", "rope_theta": 500.0, "factor": 4.0},
        },
    }
    return randomise(Gemma3ForCausalLM(Gemma3TextConfig(**_SIZES | sizes | changes)))


def make_gpt_neox(**changes: Any) -> GPTNeoXForCausalLM:
    """Three layers, five heads of 8 of which 4 are turned, width 40, MLP beside attention."""
    sizes = {
        "hidden_size": 40,
        "intermediate_size": 31,
        "num_hidden_layers": 3,
        "num_attention_heads": 5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 0.5},
    }
    return randomise(GPTNeoXForCausalLM(GPTNeoXConfig(**_SIZES | sizes | changes)))


def make_gpt2(**changes: Any) -> GPT2LMHeadModel:
    """Four layers, three heads of 7, width 21, tied embeddings."""
    sizes = {"n_embd": 21, "n_inner": 31, "n_layer": 4, "n_head": 3}
    return randomise(GPT2LMHeadModel(GPT2Config(**_SIZES | sizes | changes)))


def make_phi3(**changes: Any) -> Phi3ForCausalLM:
    """Three layers, four heads of 8 over two key-value heads, 6 of a head turned, width 32, windows of 5."""
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 29,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "sliding_window": 5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 50.0, "partial_rotary_factor": 0.75},
    }
    return randomise(Phi3ForCausalLM(Phi3Config(**_SIZES | sizes | changes)))


MAKERS: dict[str, Callable[[], PreTrainedModel]] = {
    "olmo": make_olmo,
    "olmo-clipped": partial(make_olmo, clip_qkv=1.5),
    "olmo2": make_olmo2,
    "olmo3": make_olmo3,
    "llama": make_llama,
    "mistral": make_mistral,
    "qwen2": make_qwen2,
    "qwen3": make_qwen3,
    "gemma2": make_gemma2,
    "gemma3": make_gemma3,
    "gpt-neox": make_gpt_neox,
    "gpt-neox-sequential": partial(make_gpt_neox, use_parallel_residual=False),
    "gpt2": make_gpt2,
    "phi3": make_phi3,
}
"""A tiny model of every family, and of what families have in two ways."""


def randomise(hf: Any, seed: int = 0) -> Any:
    """Every parameter random (norms and biases too, so that leaving one out shows), float64, eager attention."""
    generator = torch.Generator().manual_seed(seed)
    hf = hf.to(torch.float64)
    hf.set_attn_implementation("eager")
    with torch.no_grad():
        for name, weight in hf.named_parameters():
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            is_norm = "norm" in name or ".ln_" in name
            weight.copy_(1 + 0.3 * noise if is_norm else 0.4 * noise)
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
def loaded(family: str) -> LoadedModel:
    """The one of ``MAKERS``, made once; not to be changed."""
    return from_pretrained_parts(MAKERS[family](), make_tokenizer(), f"tiny-{family}")


@pytest.fixture(params=["olmo2", "llama"])
def model(request: pytest.FixtureRequest) -> LoadedModel:
    """A tiny model with norms before and one with norms after; ``test_families`` has those of all families."""
    return loaded(request.param)


@pytest.fixture
def olmo2() -> LoadedModel:
    """The tiny OLMo-2."""
    return loaded("olmo2")


@pytest.fixture
def exact_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let transformers' norms and attention softmax stay in double precision."""
    for module, rms_norm in _MODULES.items():
        monkeypatch.setattr(module, "eager_attention_forward", _attention)
        if rms_norm is not None:
            monkeypatch.setattr(rms_norm, "forward", _rms_norm)
    for gemma_norm in (modeling_gemma2.Gemma2RMSNorm, modeling_gemma3.Gemma3RMSNorm):
        monkeypatch.setattr(gemma_norm, "forward", _gemma_norm)
    monkeypatch.setattr(modeling_olmo.OlmoLayerNorm, "forward", _bare_layer_norm)


_MODULES: dict[Any, Any] = {
    modeling_olmo: None,
    modeling_olmo2: modeling_olmo2.Olmo2RMSNorm,
    modeling_olmo3: modeling_olmo3.Olmo3RMSNorm,
    modeling_llama: modeling_llama.LlamaRMSNorm,
    modeling_mistral: modeling_mistral.MistralRMSNorm,
    modeling_qwen2: modeling_qwen2.Qwen2RMSNorm,
    modeling_qwen3: modeling_qwen3.Qwen3RMSNorm,
    modeling_gemma2: None,
    modeling_gemma3: None,
    modeling_gpt_neox: None,
    modeling_phi3: modeling_phi3.Phi3RMSNorm,
}
"""Where attention falls back to single precision, and the norm that does."""


def _rms_norm(self: Any, x: torch.Tensor) -> torch.Tensor:
    return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)


def _gemma_norm(self: Any, x: torch.Tensor) -> torch.Tensor:
    return (1 + self.weight) * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)


def _bare_layer_norm(self: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.layer_norm(x, self.normalized_shape, eps=1e-5)


def _attention(
    module: Any,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = q @ k.transpose(2, 3) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
    return (weights @ v).transpose(1, 2).contiguous(), weights
