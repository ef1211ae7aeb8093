"""Activations of given prompts, read with nnsight (0.8): residuals, attention patterns, component states of texts.

The loaded model is wrapped once; a trace reads the blocks' outputs while the model runs.  ``NNsight`` is used
rather than ``TransformersModel`` since prompts come as token ids: the latter builds a pipeline and changes the
tokenizer it is given.  nnsight finds a trace's source by file and line, so the traces stand in this file, each in a
function of its own.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import InputError, PromptError, quote
from .models import Family, LoadedModel
from .prompts.encoding import encode

__all__ = [
    "COMPONENTS",
    "attention_patterns",
    "component_states",
    "patched_logits",
    "residuals",
    "source_vectors",
    "state_rows",
]

COMPONENTS = ("resid", "attn", "mlp")
"""What ``component_states`` reads."""

_ROWS_AT_ONCE = 128
_TOKENS_AT_ONCE = 2048
"""In one batch, padding there is none: bounds its memory, and how long the lock is held."""


def source_vectors(model: LoadedModel, ids: Sequence[int], position: int) -> Tensor:
    """Residual at ``position`` after every block, for the prompt ``ids``.

    Returns:
        Tensor of shape (n_layers, d_model).

    Raises:
        PromptError: no such position, or more tokens than the model takes.
    """
    if not 0 <= position < len(ids):
        raise PromptError(
            f"Position {position} is not one of the prompt's {len(ids)} tokens; choose 0 to {len(ids) - 1}."
        )
    return residuals(model, ids)[:, position]


def residuals(model: LoadedModel, ids: Sequence[int]) -> Tensor:
    """Residual after every block at every position: tensor of shape (n_layers, n_tokens, d_model)."""
    rows = _as_row(model, ids)
    with model.lock:
        return torch.stack([output[0].to(rows.device) for output in _trace_blocks(model, rows)])


def attention_patterns(model: LoadedModel, ids: Sequence[int]) -> Tensor:
    """Attention pattern of every head: tensor of shape (n_layers, n_heads, n_tokens, n_tokens), rows are queries."""
    rows = _as_row(model, ids)
    with model.lock:
        return torch.stack([pattern[0].to(rows.device) for pattern in _trace_attention(model, rows)])


def patched_logits(
    model: LoadedModel, ids: Sequence[int], position: int, vectors: Tensor, layers: Sequence[int]
) -> Tensor:
    """Logits at the last position (vocab_size) with the rows ``layers`` of ``vectors`` written at ``position``.

    One traced forward pass for this one set: slow and simple, what ``check`` compares the shared-prefix pass with.
    """
    rows = _as_row(model, ids)
    with model.lock:
        return _trace_patch(model, rows, position, vectors, tuple(layers))


def state_rows(component: str, n_layers: int) -> tuple[int | None, ...]:
    """The layer of each row that ``component_states`` gives a text; None is the embedding.

    Raises:
        InputError: no such component.
    """
    if component not in COMPONENTS:
        raise InputError(f"Unknown component {quote(str(component))}; choose one of {', '.join(COMPONENTS)}.")
    layers = tuple(range(n_layers))
    return (None, *layers) if component == "resid" else layers


def component_states(
    model: LoadedModel,
    texts: Sequence[str],
    component: str = "resid",
    *,
    on_batch: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """A component's state at the last token of each text, for all layers in one pass a text.

    - ``resid``: the residual stream after each block; the first row is the embedding, before any block (with the
      learned position added to it, where the family has that).
    - ``attn``: what attention adds to the residual stream: the output of the norm after attention where the family has
      one (OLMo-2), else of attention's output projection with its bias (Llama).
    - ``mlp``: the same of the MLP: its norm's output, else its down projection's.

    So in every family the embedding plus all rows of ``attn`` and ``mlp`` is the last row of ``resid``.

    Texts of equal length share a batch, so nothing is padded and each gets what it would get alone, up to rounding.
    The pass ends with the last layer read: no logits.

    Args:
        model: locked batch by batch, so that others may use it in between.
        texts: cut as the beginning of a prompt, so with the BOS of a tokenizer that has that habit.
        component: one of ``COMPONENTS``.
        on_batch: told after each batch how many texts are done; may raise to stop.

    Returns:
        Array of shape (n_texts, n_rows, d_model); ``state_rows`` names the rows.

    Raises:
        InputError: no such component.
        PromptError: a text has no tokens, or more than the model takes.
    """
    n_rows, family = len(state_rows(component, model.n_layers)), model.network.family
    prompts = [_ids_of(model, text) for text in texts]
    states = np.empty((len(texts), n_rows, model.d_model), dtype=np.float32)
    done = 0
    for members in _batches([len(ids) for ids in prompts]):
        rows = torch.tensor([prompts[i] for i in members], device=model.device)
        with model.lock:
            found = _trace_last(model, rows, _outputs(family, component), with_embedding=component == "resid")
        states[members] = found.transpose(0, 1).float().cpu().numpy()
        done += len(members)
        if on_batch is not None:
            on_batch(done)
    return states


def _outputs(family: Family, component: str) -> str | None:
    """Path, from a block, of the module whose output the component is; None is the block itself."""
    return {
        "resid": None,
        "attn": family.attn_out_norm or family.o_proj,
        "mlp": family.mlp_out_norm or family.down_proj,
    }[component]


def _ids_of(model: LoadedModel, text: str) -> list[int]:
    ids = list(encode(model.tokenizer, text, special=True).ids)
    if not ids:
        raise PromptError(f"The text {quote(text)} has no tokens; write at least one word.")
    if model.n_positions is not None and len(ids) > model.n_positions:
        raise PromptError(
            f"The text {quote(text)} has {len(ids):,} tokens but the model takes {model.n_positions:,}; shorten it or "
            "leave it out."
        )
    return ids


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of equal length together, bounded in rows and tokens; in order of length."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for i, length in enumerate(lengths):
        by_length[length].append(i)
    batches = []
    for length, members in sorted(by_length.items()):
        step = max(1, min(_ROWS_AT_ONCE, _TOKENS_AT_ONCE // length))
        batches += [members[at : at + step] for at in range(0, len(members), step)]
    return batches


def _as_row(model: LoadedModel, ids: Sequence[int]) -> Tensor:
    if not ids:
        raise PromptError("The prompt has no tokens; give at least one.")
    if model.n_positions is not None and len(ids) > model.n_positions:
        raise PromptError(f"The prompt has {len(ids)} tokens but the model takes {model.n_positions}; shorten it.")
    return torch.tensor([list(ids)], device=model.device)


@torch.no_grad()
def _trace_blocks(model: LoadedModel, rows: Tensor) -> list[Tensor]:
    nnsight, traced = _nnsight(), _wrapper(model)
    with traced.trace(input_ids=rows, use_cache=False, logits_to_keep=1):
        outputs = nnsight.save([block.output for block in model.network.blocks_of(traced)])
    return list(outputs)


@torch.no_grad()
def _trace_last(model: LoadedModel, rows: Tensor, path: str | None, *, with_embedding: bool) -> Tensor:
    """Outputs at the last token (n_rows_of_states, n_texts, d_model) of one module a block, found at ``path`` in it."""
    nnsight, traced = _nnsight(), _wrapper(model)
    with traced.trace(input_ids=rows, use_cache=False, logits_to_keep=1) as tracer:
        found, blocks = [], model.network.blocks_of(traced)
        if with_embedding:
            found.append(blocks[0].input[:, -1].clone().to(rows.device))
        for block in blocks:
            part = block if path is None else attrgetter(path)(block)
            found.append(part.output[:, -1].clone().to(rows.device))
        states = nnsight.save(torch.stack(found))
        tracer.stop()
    return states


@torch.no_grad()
def _trace_attention(model: LoadedModel, rows: Tensor) -> list[Tensor]:
    nnsight, traced = _nnsight(), _wrapper(model)
    with traced.trace(input_ids=rows, use_cache=False, logits_to_keep=1):
        patterns = nnsight.save([model.network.attention_of(b).output[1] for b in model.network.blocks_of(traced)])
    return list(patterns)


@torch.no_grad()
def _trace_patch(model: LoadedModel, rows: Tensor, position: int, vectors: Tensor, layers: tuple[int, ...]) -> Tensor:
    nnsight, traced = _nnsight(), _wrapper(model)
    with traced.trace(input_ids=rows, use_cache=False, logits_to_keep=1):
        blocks = model.network.blocks_of(traced)
        for layer in layers:
            blocks[layer].output[:, position] = vectors[layer]
        logits = nnsight.save(traced.output.logits[0, -1])
    return logits


def _wrapper(model: LoadedModel) -> Any:
    if model.tracer is None:
        model.tracer = _nnsight().NNsight(model.hf)
    return model.tracer


@cache
def _nnsight() -> ModuleType:
    """nnsight, imported at first use with the configuration beside this file.

    nnsight reads its configuration while it is imported, and from a file only; the variable is put back at once.
    """
    before = os.environ.get("NNSIGHT_CONFIG")
    os.environ["NNSIGHT_CONFIG"] = str(Path(__file__).with_name("nnsight_config.yaml"))
    try:
        import nnsight
    finally:
        if before is None:
            del os.environ["NNSIGHT_CONFIG"]
        else:
            os.environ["NNSIGHT_CONFIG"] = before
    return nnsight
