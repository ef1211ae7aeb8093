"""What the shared-prefix pass must equal: one ordinary forward pass for one set, with a forward hook on each block."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn


def hooked_logits(
    hf: Any, ids: Tensor, position: int, vectors: Tensor, layers: Sequence[int], *, all_positions: bool = False
) -> Tensor:
    """Logits at the last position (n_rows, vocab_size) with the outputs of ``layers`` replaced at ``position``."""
    with ExitStack() as hooks, torch.no_grad():
        for layer in layers:
            hooks.callback(blocks_of(hf)[layer].register_forward_hook(_writer(position, vectors[layer])).remove)
        logits: Tensor = hf(input_ids=ids, use_cache=False).logits
    return logits if all_positions else logits[:, -1]


def hidden_states(hf: Any, ids: Tensor) -> Tensor:
    """Output of every block (n_layers, n_rows, n_tokens, d_model), read with forward hooks."""
    seen: list[Tensor] = []
    with ExitStack() as hooks, torch.no_grad():
        for block in blocks_of(hf):
            hooks.callback(block.register_forward_hook(lambda _module, _args, output: seen.append(output)).remove)
        hf(input_ids=ids, use_cache=False)
    return torch.stack(seen)


def blocks_of(hf: Any) -> nn.ModuleList:
    """The blocks: the one list of modules that every architecture has, found without the family table."""
    (blocks,) = (module for module in hf.base_model.children() if isinstance(module, nn.ModuleList))
    return blocks


def _writer(position: int, vector: Tensor) -> Any:
    def write(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        changed = output.clone()
        changed[:, position] = vector
        return changed

    return write
