"""The family table: one row of data for each architecture, and nothing else knows a family's module names.

A block of every family here is

    mid = x + attn_out_norm(O(mix(attn_in_norm(x))))
    out = mid + mlp_out_norm(MLP(mlp_in_norm(mid)))

where a norm that the family does not have is left out.  Paths are attribute paths: ``blocks`` and those beside it
from the causal-LM model, the others from one block.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UnknownFamilyError, quote

__all__ = ["FAMILIES", "Family", "find_family"]


@dataclass(frozen=True)
class Family:
    """Where an architecture keeps its parts and where its norms stand."""

    architecture: str
    """The class name in config.json's ``architectures``."""
    name: str
    differs: str
    """One sentence: why this family needs a row of its own."""
    attn_in_norm: str | None
    attn_out_norm: str | None
    mlp_in_norm: str | None
    mlp_out_norm: str | None
    q_norm: str | None = None
    """Norm of all heads' queries together, before they are split into heads."""
    k_norm: str | None = None
    embedding: str = "model.embed_tokens"
    rotary: str = "model.rotary_emb"
    blocks: str = "model.layers"
    final_norm: str = "model.norm"
    unembedding: str = "lm_head"
    attention: str = "self_attn"
    q_proj: str = "self_attn.q_proj"
    k_proj: str = "self_attn.k_proj"
    v_proj: str = "self_attn.v_proj"
    o_proj: str = "self_attn.o_proj"
    gate_proj: str = "mlp.gate_proj"
    up_proj: str = "mlp.up_proj"
    down_proj: str = "mlp.down_proj"
    activation: str = "mlp.act_fn"


FAMILIES: dict[str, Family] = {
    family.architecture: family
    for family in (
        Family(
            architecture="Olmo2ForCausalLM",
            name="OLMo-2",
            differs="Norms stand after attention and MLP; queries and keys are normed before the split into heads.",
            attn_in_norm=None,
            attn_out_norm="post_attention_layernorm",
            mlp_in_norm=None,
            mlp_out_norm="post_feedforward_layernorm",
            q_norm="self_attn.q_norm",
            k_norm="self_attn.k_norm",
        ),
        Family(
            architecture="LlamaForCausalLM",
            name="Llama",
            differs="Norms stand before attention and MLP; the one named post_attention_layernorm is the MLP's.",
            attn_in_norm="input_layernorm",
            attn_out_norm=None,
            mlp_in_norm="post_attention_layernorm",
            mlp_out_norm=None,
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
        known = ", ".join(f"{family.name} ({family.architecture})" for family in FAMILIES.values())
        raise UnknownFamilyError(
            f"The architecture {quote(architecture)} is not known; choose a model of these: {known}."
        )
    return FAMILIES[architecture]
