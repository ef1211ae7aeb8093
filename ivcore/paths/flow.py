"""The answer's logit as a current through the frozen network: over all paths at once, none of them enumerated.

A linear network sends from a source s to the answer, through an edge, the product of three things: what s brings to
the edge's start (a forward pass from s alone), the edge's map, and what the answer takes from the edge's end (one
adjoint pass).  Summed over all paths through the edge that is exact, whatever their number.  What enters a position
also leaves it, so every block passes on the same total; attention and residual stream divide it among themselves.

The MLP belongs to the edge's end, as in a path: attention's part of an edge includes what the MLP makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .linearise import FrozenNetwork
from .readout import source_states

__all__ = ["Flow", "Receptive", "answer_flow", "receive"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Receptive:
    """What the answer's logit takes from a vector at any place: the adjoint pass."""

    before: Tensor
    """Its product with a vector before block l at position i is the logit that the vector ends up giving: tensor of
    shape (n_layers + 1, n_tokens, d_model)."""
    attended: Tensor
    """The same for what attention adds in block l: shape (n_layers, n_tokens, d_model)."""
    kept: Tensor
    """The same for a vector before block l, by the residual stream (with the MLP) alone: (n_layers, n_tokens, d_model).
    """
    from_tokens: Array
    """The logit that each token's embedding gives over all paths, shape (n_tokens,)."""
    from_biases: float
    """The logit that all biases give."""


@dataclass(frozen=True)
class Flow:
    """How one source's part of the answer's logit runs through the network; everything in logits."""

    source: int
    total: float
    """Over all paths."""
    positions: Array
    """Through each position before each block, and after the last: shape (n_layers + 1, n_tokens); every row sums to
    ``total``."""
    residual: Array
    """Through the residual stream at each position of each block: shape (n_layers, n_tokens)."""
    heads: Array
    """Through head h from j to i in block l: shape (n_layers, n_heads, n_tokens, n_tokens) as [l, h, i, j]. With
    ``residual`` every block sums to ``total``."""

    @property
    def edges(self) -> Array:
        """Through each edge j -> i, heads and residual stream together: (n_layers, n_tokens, n_tokens) as [l, i, j]."""
        diagonal = np.eye(self.residual.shape[1])
        edges: Array = self.heads.sum(axis=1) + self.residual[:, :, None] * diagonal
        return edges


@torch.no_grad()
def receive(frozen: FrozenNetwork, token: int) -> Receptive:
    """The adjoint pass of one token's logit."""
    g = torch.zeros_like(frozen.embeddings)
    g[-1] = frozen.final_adjoint(token)
    before, attended, kept = [g], list[Tensor](), list[Tensor]()
    biases = float(frozen.final_bias()[token])
    for block in reversed(frozen.blocks):
        g = block.enter(g)
        kept.append(g + block.mlp_adjoint(g, slice(None)))
        attended.append(g if block.parallel else kept[-1])
        biases += _sum(g, block.mlp_bias()) + _sum(attended[-1], block.attention_bias())
        g = kept[-1] + block.attend_adjoint(attended[-1])
        before.append(g)
    home = frozen.embeddings.device
    tokens = _rows(g.to(home), frozen.embeddings)
    return Receptive(_stack(before, home), _stack(attended, home), _stack(kept, home), tokens, biases)


@torch.no_grad()
def answer_flow(frozen: FrozenNetwork, receptive: Receptive, source: int) -> Flow:
    """The flow from one source position; ``receptive`` names the answer."""
    states = source_states(frozen, source)
    positions, residual, heads = list[Array](), list[Array](), list[Array]()
    for layer, (block, x) in enumerate(zip(frozen.blocks, states, strict=False)):
        positions.append(_rows(receptive.before[layer], x))
        residual.append(_rows(receptive.kept[layer], x))
        values = block.repeat(block.values(block.enter(x), slice(None)))
        taken = block.write_adjoint(block.enter(receptive.attended[layer]), slice(None))
        heads.append((block.attention * torch.einsum("ihd,jhd->hij", taken, values)).double().cpu().numpy())
    positions.append(_rows(receptive.before[-1], states[-1]))
    return Flow(source, float(positions[0].sum()), np.stack(positions), np.stack(residual), np.stack(heads))


def _stack(backwards: list[Tensor], device: torch.device) -> Tensor:
    return torch.stack([each.to(device) for each in reversed(backwards)])


def _rows(a: Tensor, b: Tensor) -> Array:
    """The product of each row of ``a`` with the same row of ``b``."""
    products: Array = (a.double() * b.double()).sum(-1).cpu().numpy()
    return products


def _sum(a: Tensor, b: Tensor) -> float:
    return float(_rows(a, b).sum())
