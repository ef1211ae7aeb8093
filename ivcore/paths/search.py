"""Every path from chosen source positions, as a trie that grows block by block (DESIGN section 6).

A beginning of a path is one vector; all that stand before the same block are extended together, so that what paths
share is computed once and every step is a product of matrices:

1. Values once for every beginning; what attention adds once for every edge it takes, over the edge's heads only.
2. The MLP for all of them in one product.  Where so many meet at a position that the MLP there, multiplied out to one
   matrix, is cheaper than going through its hidden layer, they go through that matrix.
3. Beginnings that cannot reach the last position are never made.
4. At the end the answer's rank, exact where it is at most ``max_rank`` (``ranks``).

When the beginnings outgrow the memory budget they are halved, and each half is followed to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.products import product
from .edges import Edges
from .linearise import FrozenBlock, FrozenNetwork
from .ranks import BEYOND, Ranker

__all__ = ["Bundle", "Found", "Step", "add_mlp", "carried_attention", "exact_step", "search", "values_of"]

_AT_ONCE = 5e8
"""Operations up to which one product for all edges, most of its heads zero, beats a small one for each edge."""

_MANY = 128
"""Rows at one position that are worth a product of their own; fewer share one with those of other positions."""

_PART = 512
"""Rows that the MLP takes at a time: enough for the full rate, few enough that what it allocates is used again."""


@dataclass(frozen=True)
class Found:
    """The paths of one source."""

    n_paths: int
    """All of them."""
    logit_sum: float
    """The answer's logit summed over all of them."""
    positions: NDArray[np.int16]
    """Those whose rank is at most the limit, best rank first: shape (n_high_ranking, n_layers + 1), from the source to
    the last position."""
    ranks: NDArray[np.int32]
    """Shape (n_high_ranking,)."""
    logits: NDArray[np.float64]
    """The answer's logit in each path's vector, shape (n_high_ranking,)."""


@dataclass(frozen=True)
class Bundle:
    """All beginnings that take one edge of a block at once: rows ``parents`` stand at ``j`` before it, rows
    ``children`` at ``i`` after it.
    """

    j: int
    i: int
    parents: slice
    children: slice

    @property
    def size(self) -> int:
        """How many."""
        return self.parents.stop - self.parents.start


Step = Callable[[FrozenBlock, Tensor, Tensor, Sequence[Bundle], int], Tensor]
"""(block, the part of its attention that edges carry, vectors before it (n, d_model), its edges ordered by i, rows that
its MLP may take at a time) -> vectors after it, (n_children, d_model)."""


def search(
    frozen: FrozenNetwork,
    edges: Edges,
    sources: Sequence[int],
    answer: int,
    *,
    max_rank: int,
    memory_budget: int,
    step: Step | None = None,
    on_share: Callable[[float], None] | None = None,
) -> tuple[Found, ...]:
    """Follow every path from each source to the last position and rank the answer in its logits.

    Args:
        frozen: the network at the prompt.
        edges: of the same prompt.
        sources: different positions.
        answer: token id.
        max_rank: paths with a higher rank are counted, not listed.
        memory_budget: bytes beside the weights; a smaller one is slower, never different.
        step: the map of an edge; ``exact_step`` unless told.
        on_share: told the share of the beginnings made so far, 0 to 1, after every block; it may raise to stop.

    Returns:
        One for each source, in their order.
    """
    return _Search(frozen, edges, answer, max_rank, memory_budget, step or exact_step).run(sources, on_share)


@dataclass(frozen=True)
class _Front:
    """Beginnings of paths before one block, ordered by the position where they stand."""

    x: Tensor
    """Their vectors, (n, d_model)."""
    trail: NDArray[np.int16]
    """Where they have been, (n, layer + 1); the last column is where they stand."""

    def __len__(self) -> int:
        return len(self.trail)

    def halves(self) -> tuple[_Front, _Front]:
        """The same in two."""
        half = len(self) // 2
        return _Front(self.x[:half], self.trail[:half]), _Front(self.x[half:], self.trail[half:])

    def spans(self) -> Iterator[tuple[int, slice]]:
        """Each position and its rows."""
        places, starts = np.unique(self.trail[:, -1], return_index=True)
        for j, start, end in zip(places.tolist(), starts.tolist(), [*starts[1:].tolist(), len(self)], strict=True):
            yield j, slice(start, end)


class _Search:
    def __init__(
        self, frozen: FrozenNetwork, edges: Edges, answer: int, max_rank: int, memory_budget: int, step: Step
    ) -> None:
        self.frozen, self.edges, self.step = frozen, edges, step
        self.carried = carried_attention(frozen, edges)
        self.ranker = Ranker(frozen.unembedding, answer, max_rank, memory_budget=memory_budget // 4)
        block, d_model = frozen.blocks[0], frozen.embeddings.shape[1]
        itemsize = frozen.embeddings.element_size()
        waiting = (frozen.n_layers / 2 + 3) * d_model + 2 * block.n_heads * block.d_head
        self.most = max(1, int(memory_budget / 2 / itemsize / waiting))
        """Beginnings that one block may make at a time: halves of as many may wait before each block."""
        self.mlp_rows = min(_PART, max(1, memory_budget // 4 // (3 * itemsize * block.gates.shape[1])))

    @torch.no_grad()
    def run(self, sources: Sequence[int], on_share: Callable[[float], None] | None) -> tuple[Found, ...]:
        found: dict[int, list[tuple[NDArray[np.int16], Tensor, Tensor]]] = {source: [] for source in sources}
        whole = self.edges.counts(sources)[:, 1:].sum()
        made, waiting = 0, []
        starts = sorted(source for source in sources if self.edges.reach[0, source])
        if starts:
            waiting.append(_Front(self.frozen.embeddings[starts], np.array(starts, dtype=np.int16)[:, None]))
        while waiting:
            front = waiting.pop()
            layer = front.trail.shape[1] - 1
            if layer == self.frozen.n_layers:
                self._collect(front, found)
                continue
            bundles = self._bundles(layer, front)
            n_children = bundles[-1].children.stop
            if n_children > self.most and len(front) > 1:
                waiting += reversed(front.halves())
                continue
            trail = np.concatenate([_onward(front.trail[b.parents], b.i) for b in bundles])
            block, carried = self.frozen.blocks[layer], self.carried[layer]
            children = self.step(block, carried, block.enter(front.x), bundles, self.mlp_rows)
            waiting.append(_Front(children, trail))
            made += n_children
            if on_share is not None:
                on_share(made / whole)
        return tuple(_found(found[source], self.frozen.n_layers) for source in sources)

    def _bundles(self, layer: int, front: _Front) -> list[Bundle]:
        """The edges that these beginnings take, those that lead nowhere left out; ordered by i, then j."""
        spans, bundles, end = list(front.spans()), list[Bundle](), 0
        exist, reach = self.edges.exist[layer], self.edges.reach[layer + 1]
        for i in np.flatnonzero(reach).tolist():
            for j, rows in spans:
                if exist[i, j]:
                    start, end = end, end + rows.stop - rows.start
                    bundles.append(Bundle(j, i, rows, slice(start, end)))
        return bundles

    def _collect(self, front: _Front, found: dict[int, list[tuple[NDArray[np.int16], Tensor, Tensor]]]) -> None:
        logits, ranks = self.ranker.rank(self.frozen.final(front.x))
        logits, ranks = logits.cpu(), ranks.cpu()
        for source in np.unique(front.trail[:, 0]).tolist():
            rows = torch.from_numpy(front.trail[:, 0] == source)
            found[source].append((front.trail[rows.numpy()], logits[rows], ranks[rows]))


def carried_attention(frozen: FrozenNetwork, edges: Edges) -> list[Tensor]:
    """Each block's attention where an edge's head carries it, else 0: (n_heads, n_tokens, n_tokens)."""
    return [
        block.attention * torch.from_numpy(heads.copy()).to(block.attention.device)
        for block, heads in zip(frozen.blocks, edges.heads, strict=True)
    ]


def exact_step(block: FrozenBlock, carried: Tensor, x: Tensor, bundles: Sequence[Bundle], mlp_rows: int) -> Tensor:
    """Each edge's map as defined: ``(I + MLP_i) ([i = j] I + attention by its heads)``; where the MLP stands beside
    attention ``[i = j] (I + MLP_i) + attention by its heads``.
    """
    n_children, width = bundles[-1].children.stop, block.weights.o.weight.shape[1]
    at_once = 2 * n_children * x.shape[1] * width < _AT_ONCE
    mid = (_attend_together if at_once else _attend_apart)(block, carried, x, bundles)
    if not block.parallel:
        add_mlp(block, mid, bundles, mlp_rows)
        return mid
    for bundle in bundles:
        if bundle.i == bundle.j:
            children = mid[bundle.children].split(mlp_rows)
            for parents, some in zip(x[bundle.parents].split(mlp_rows), children, strict=True):
                some += block.mlp(parents, bundle.i)
    return mid


def _attend_together(block: FrozenBlock, carried: Tensor, x: Tensor, bundles: Sequence[Bundle]) -> Tensor:
    """``[i = j] I + attention`` for all edges in one product, heads that carry nothing included."""
    i, j, sizes = (
        torch.tensor(column, device=x.device) for column in zip(*((b.i, b.j, b.size) for b in bundles), strict=True)
    )
    parents = torch.cat([torch.arange(b.parents.start, b.parents.stop, device=x.device) for b in bundles])
    values = block.repeat(values_of(block, x, bundles))
    weights = carried[:, i, j].T.repeat_interleave(sizes, dim=0)
    added = block.write(values[parents] * weights[..., None], i.repeat_interleave(sizes))
    stays = (i == j).repeat_interleave(sizes)[:, None]
    return added + x[parents] * stays


def _attend_apart(block: FrozenBlock, carried: Tensor, x: Tensor, bundles: Sequence[Bundle]) -> Tensor:
    """The same edge by edge, each over the heads that carry it only."""
    values = values_of(block, x, bundles)
    mid = x.new_empty(bundles[-1].children.stop, x.shape[1])
    for bundle in bundles:
        rows = mid[bundle.children]
        heads = carried[:, bundle.i, bundle.j].nonzero()[:, 0]
        if len(heads):
            mixed = values[bundle.parents][:, heads // (block.n_heads // values.shape[1])]
            mixed *= carried[heads, bundle.i, bundle.j, None]
            rows.copy_(block.write_heads(mixed, heads, bundle.i))
            if bundle.i == bundle.j:
                rows += x[bundle.parents]
        else:
            rows.copy_(x[bundle.parents])
    return mid


def values_of(block: FrozenBlock, x: Tensor, bundles: Sequence[Bundle]) -> Tensor:
    """Values of all beginnings, (n, n_kv_heads, d_head)."""
    at = torch.empty(len(x), dtype=torch.long, device=x.device)
    for bundle in bundles:
        at[bundle.parents] = bundle.j
    return block.values(x, at)


def add_mlp(block: FrozenBlock, mid: Tensor, bundles: Sequence[Bundle], mlp_rows: int) -> None:
    """Add to each row what the MLP makes of it at the position where it stands now; in place."""
    d_mlp, d_model = block.gates.shape[1], mid.shape[1]
    worth = d_mlp * d_model / (2 * d_mlp - d_model) if 2 * d_mlp > d_model else float("inf")
    few = torch.full((len(mid),), -1, device=mid.device)
    for i, rows in _by_target(bundles):
        n = rows.stop - rows.start
        if n > worth:
            matrix = block.mlp_matrix(i)
            for part in mid[rows].split(mlp_rows):
                part += product(part, matrix)
        elif n >= _MANY:
            for part in mid[rows].split(mlp_rows):
                part += block.mlp(part, i)
        else:
            few[rows] = i
    for some in (few >= 0).nonzero()[:, 0].split(mlp_rows):
        mid[some] += block.mlp(mid[some], few[some])


def _by_target(bundles: Sequence[Bundle]) -> Iterator[tuple[int, slice]]:
    """Each position reached, and the rows of all edges that lead there."""
    for i, group in groupby(bundles, key=lambda bundle: bundle.i):
        members = list(group)
        yield i, slice(members[0].children.start, members[-1].children.stop)


def _onward(trail: NDArray[np.int16], i: int) -> NDArray[np.int16]:
    return np.concatenate([trail, np.full((len(trail), 1), i, dtype=np.int16)], axis=1)


def _found(parts: list[tuple[NDArray[np.int16], Tensor, Tensor]], n_layers: int) -> Found:
    trails = np.concatenate([np.empty((0, n_layers + 1), dtype=np.int16), *(part[0] for part in parts)])
    logits = np.concatenate([np.empty(0), *(part[1].double().numpy() for part in parts)])
    ranks = np.concatenate([np.empty(0, dtype=np.int32), *(part[2].numpy() for part in parts)])
    high = np.flatnonzero(ranks != BEYOND)
    order = high[np.lexsort((*trails[high].T[::-1], -logits[high], ranks[high]))]
    return Found(len(trails), float(logits.sum()), trails[order], ranks[order], logits[order])
