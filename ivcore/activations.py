"""Activations of given prompts, read with nnsight (0.8): residuals and attention patterns.

The loaded model is wrapped once; a trace reads the blocks' outputs while the model runs.  ``NNsight`` is used
rather than ``TransformersModel`` since prompts come as token ids: the latter builds a pipeline and changes the
tokenizer it is given.  nnsight finds a trace's source by file and line, so the traces stand in this file, each in a
function of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .errors import PromptError
from .models import LoadedModel

__all__ = ["attention_patterns", "patched_logits", "residuals", "source_vectors"]


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
        return torch.stack([output[0] for output in _trace_blocks(model, rows)])


def attention_patterns(model: LoadedModel, ids: Sequence[int]) -> Tensor:
    """Attention pattern of every head: tensor of shape (n_layers, n_heads, n_tokens, n_tokens), rows are queries."""
    rows = _as_row(model, ids)
    with model.lock:
        return torch.stack([pattern[0] for pattern in _trace_attention(model, rows)])


def patched_logits(
    model: LoadedModel, ids: Sequence[int], position: int, vectors: Tensor, layers: Sequence[int]
) -> Tensor:
    """Logits at the last position (vocab_size) with the rows ``layers`` of ``vectors`` written at ``position``.

    One traced forward pass for this one set: slow and simple, what ``check`` compares the shared-prefix pass with.
    """
    rows = _as_row(model, ids)
    with model.lock:
        return _trace_patch(model, rows, position, vectors, tuple(layers))


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
