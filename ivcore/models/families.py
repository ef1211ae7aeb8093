"""The family table: one row of data for each architecture, and nothing else knows a family's module names.

A block of every family here is

    mid = x + attn_out_norm(O(mix(attn_in_norm(x))))
    out = mid + mlp_out_norm(MLP(mlp_in_norm(mid)))        (the MLP reads x instead where the block is parallel)

where a norm that the family does not have is left out.  Paths are attribute paths: of what belongs to the whole model
from the causal-LM model, of all else from one block.  ``None`` means that the family has no such part; a path may also
end in a setting that is None in a model that does not use it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import UnknownFamilyError, quote

__all__ = ["FAMILIES", "Family", "Fused", "find_family"]


@dataclass(frozen=True)
class Fused:
    """A projection stored as some rows of a larger one."""

    module: str
    part: int
    """Which of its parts: 0, 1, 2 of queries, keys and values; 0, 1 of gate and up."""
    by_head: bool = False
    """The parts alternate head by head, where they would else stand one after another."""


@dataclass(frozen=True)
class Family:
    """Where an architecture keeps its parts, where its norms stand, and which of its settings count."""

    architecture: str
    """The class name in config.json's ``architectures``."""
    name: str
    differs: str
    """One sentence: why this family needs a row of its own."""

    # Norms
    attn_in_norm: str | None
    attn_out_norm: str | None
    mlp_in_norm: str | None
    mlp_out_norm: str | None
    q_norm: str | None = None
    """Norm of the queries."""
    k_norm: str | None = None
    norms_each_head: bool = False
    """Queries and keys are normed head by head, not all heads together before they are split."""
    norms_centred: bool = False
    """LayerNorm: the mean is taken off."""
    norm_weight_offset: float = 0.0
    """What a norm's stored weight lacks of the one it multiplies with."""
    norm_eps: str | float = "variance_epsilon"
    """The norm's attribute, or the number where it has none."""

    # The whole model
    embedding: str = "model.embed_tokens"
    position_embedding: str | None = None
    """Learned positions, added to the embedding."""
    rotary: str | None = "model.rotary_emb"
    blocks: str = "model.layers"
    final_norm: str = "model.norm"
    unembedding: str = "lm_head"
    logit_cap: str | None = None
    """Setting c: logits are c tanh(logit / c)."""

    # Attention
    attention: str = "self_attn"
    q_proj: str | Fused = "self_attn.q_proj"
    k_proj: str | Fused = "self_attn.k_proj"
    v_proj: str | Fused = "self_attn.v_proj"
    o_proj: str = "self_attn.o_proj"
    clip: str | None = None
    """Setting c: queries, keys and values are cut to -c .. c."""
    rotary_kind: str | None = None
    """Setting that names the block's rotary table, where there are several."""
    score_cap: str | None = None
    """Setting c: attention scores are c tanh(score / c)."""
    window: str | None = None
    """Setting w: a token sees itself and the w - 1 tokens before it."""

    # MLP
    gate_proj: str | Fused | None = "mlp.gate_proj"
    up_proj: str | Fused = "mlp.up_proj"
    down_proj: str = "mlp.down_proj"
    activation: str = "mlp.act_fn"
    parallel: str | None = None
    """Flag: the MLP reads what enters the block, not what attention made of it."""


_LLAMA = Family(
    architecture="LlamaForCausalLM",
    name="Llama",
    differs="Norms stand before attention and MLP; the one named post_attention_layernorm is the MLP's.",
    attn_in_norm="input_layernorm",
    attn_out_norm=None,
    mlp_in_norm="post_attention_layernorm",
    mlp_out_norm=None,
)
_OLMO2 = Family(
    architecture="Olmo2ForCausalLM",
    name="OLMo-2",
    differs="Norms stand after attention and MLP; queries and keys are normed before the split into heads.",
    attn_in_norm=None,
    attn_out_norm="post_attention_layernorm",
    mlp_in_norm=None,
    mlp_out_norm="post_feedforward_layernorm",
    q_norm="self_attn.q_norm",
    k_norm="self_attn.k_norm",
)
_GEMMA2 = Family(
    architecture="Gemma2ForCausalLM",
    name="Gemma 2",
    differs="Norms on both sides, their weight less 1; scores and logits soft-capped; every other layer windowed.",
    attn_in_norm="input_layernorm",
    attn_out_norm="post_attention_layernorm",
    mlp_in_norm="pre_feedforward_layernorm",
    mlp_out_norm="post_feedforward_layernorm",
    norm_weight_offset=1.0,
    norm_eps="eps",
    logit_cap="config.final_logit_softcapping",
    score_cap="self_attn.attn_logit_softcapping",
    window="self_attn.sliding_window",
)

FAMILIES: dict[str, Family] = {
    family.architecture: family
    for family in (
        _OLMO2,
        replace(
            _OLMO2,
            architecture="Olmo3ForCausalLM",
            name="OLMo-3",
            differs="OLMo-2 with sliding windows in most layers, and a rotary table for each kind of layer.",
            rotary_kind="self_attn.attention_type",
            window="self_attn.sliding_window",
        ),
        replace(
            _LLAMA,
            architecture="OlmoForCausalLM",
            name="OLMo-1",
            differs="Llama with LayerNorms that have no weights; queries, keys and values may be clipped.",
            norms_centred=True,
            norm_eps=1e-5,
            clip="self_attn.config.clip_qkv",
        ),
        _LLAMA,
        replace(
            _LLAMA,
            architecture="MistralForCausalLM",
            name="Mistral",
            differs="Llama with a sliding window, if any, in every layer.",
            window="self_attn.config.sliding_window",
        ),
        replace(
            _LLAMA,
            architecture="Qwen2ForCausalLM",
            name="Qwen2",
            differs="Llama with biases on queries, keys and values, and sliding windows in some layers if at all.",
            window="self_attn.sliding_window",
        ),
        replace(
            _LLAMA,
            architecture="Qwen3ForCausalLM",
            name="Qwen3",
            differs="Llama with each head's query and key normed, and sliding windows in some layers if at all.",
            q_norm="self_attn.q_norm",
            k_norm="self_attn.k_norm",
            norms_each_head=True,
            window="self_attn.sliding_window",
        ),
        _GEMMA2,
        replace(
            _GEMMA2,
            architecture="Gemma3ForCausalLM",
            name="Gemma 3 text",
            differs="Gemma 2 with each head's query and key normed in place of capped scores, and two rotary tables.",
            q_norm="self_attn.q_norm",
            k_norm="self_attn.k_norm",
            norms_each_head=True,
            rotary_kind="self_attn.layer_type",
            score_cap=None,
        ),
        Family(
            architecture="GPTNeoXForCausalLM",
            name="GPT-NeoX",
            differs="LayerNorms; the MLP beside attention; queries, keys and values fused head by head.",
            attn_in_norm="input_layernorm",
            attn_out_norm=None,
            mlp_in_norm="post_attention_layernorm",
            mlp_out_norm=None,
            norms_centred=True,
            norm_eps="eps",
            embedding="gpt_neox.embed_in",
            rotary="gpt_neox.rotary_emb",
            blocks="gpt_neox.layers",
            final_norm="gpt_neox.final_layer_norm",
            attention="attention",
            q_proj=Fused("attention.query_key_value", 0, by_head=True),
            k_proj=Fused("attention.query_key_value", 1, by_head=True),
            v_proj=Fused("attention.query_key_value", 2, by_head=True),
            o_proj="attention.dense",
            gate_proj=None,
            up_proj="mlp.dense_h_to_4h",
            down_proj="mlp.dense_4h_to_h",
            activation="mlp.act",
            parallel="use_parallel_residual",
        ),
        Family(
            architecture="GPT2LMHeadModel",
            name="GPT-2",
            differs="LayerNorms; learned positions; projections stored transposed, queries, keys and values as one.",
            attn_in_norm="ln_1",
            attn_out_norm=None,
            mlp_in_norm="ln_2",
            mlp_out_norm=None,
            norms_centred=True,
            norm_eps="eps",
            embedding="transformer.wte",
            position_embedding="transformer.wpe",
            rotary=None,
            blocks="transformer.h",
            final_norm="transformer.ln_f",
            attention="attn",
            q_proj=Fused("attn.c_attn", 0),
            k_proj=Fused("attn.c_attn", 1),
            v_proj=Fused("attn.c_attn", 2),
            o_proj="attn.c_proj",
            gate_proj=None,
            up_proj="mlp.c_fc",
            down_proj="mlp.c_proj",
            activation="mlp.act",
        ),
        replace(
            _LLAMA,
            architecture="Phi3ForCausalLM",
            name="Phi-3",
            differs="Llama with queries, keys and values fused, gate and up too, and a sliding window if any.",
            q_proj=Fused("self_attn.qkv_proj", 0),
            k_proj=Fused("self_attn.qkv_proj", 1),
            v_proj=Fused("self_attn.qkv_proj", 2),
            gate_proj=Fused("mlp.gate_up_proj", 0),
            up_proj=Fused("mlp.gate_up_proj", 1),
            activation="mlp.activation_fn",
            window="self_attn.config.sliding_window",
        ),
    )
}
"""Every known architecture, by its class name."""


def find_family(architecture: str) -> Family:
    """The row for ``architecture``.

    Raises:
        UnknownFamilyError: there is none.
    """
    if architecture not in FAMILIES:
        known = ", ".join(family.name for family in FAMILIES.values())
        raise UnknownFamilyError(
            f"The architecture {quote(architecture)} is not known; choose a model of these: {known}."
        )
    return FAMILIES[architecture]
