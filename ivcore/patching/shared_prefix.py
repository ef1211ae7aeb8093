"""Many patched forward passes as one pass in which whatever is equal is computed once (DESIGN section 6).

At each layer l of a set S the residual at position p is replaced by ``vectors[l]``, the block's output.  What follows
from causality, exactly:

1. Positions before p are never reached by a patch: computed once.
2. Since a patch replaces the whole residual, the state of position p entering block l depends only on the last patched
   layer below l (or on none): at most l + 1 *variants*, each a single token, whose keys and values serve every set and
   sample.
3. The tokens after p entering block l depend on S up to layer l - 2, as a patch of layer l - 1 is first seen through
   the keys and values of position p in block l.  So queries, keys and values are computed for each *parent* (S cut at
   l - 2) and only attention output, output projection and MLP for each *child* (S cut at l - 1); a child differs from
   its parent in one column of keys and values.
4. In the last block only the last position needs its query, output projection and MLP.  A patch of the last layer
   cannot reach it, so a set shares the result of the set without that layer; unless p is the last position itself,
   where the variants are the result.

Samples of equal length that agree up to p share 1 and 2; sets and samples are cut into parts under a memory budget.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..errors import PromptError
from ..models import Network
from .sets import LayerSet

__all__ = ["final_residuals"]


def final_residuals(
    network: Network,
    vectors: Tensor,
    ids: Tensor,
    position: int,
    sets: Sequence[LayerSet],
    *,
    memory_budget: int,
    on_block: Callable[[float], None] | None = None,
) -> Tensor:
    """Residual at the last position after the last block, for every set and sample.

    Args:
        network: the model's steps.
        vectors: tensor of shape (n_layers, d_model); row l replaces the output of block l.
        ids: tensor of shape (n_samples, n_tokens); equal up to and including ``position``.
        position: where the residual is replaced.
        sets: ascending layer tuples; the empty one is the target prompt as it is.
        memory_budget: bytes that the intermediate results may take (the result is not counted).
        on_block: told the share of the work done, 0 to 1, after every block; it may raise to stop.

    Returns:
        Tensor of shape (n_sets, n_samples, d_model).

    Raises:
        PromptError: no such position, or the samples differ before or at it, so they cannot share its state.
    """
    if not 0 <= position < ids.shape[1]:
        raise PromptError(f"Position {position} is not one of the target's {ids.shape[1]} tokens; choose another.")
    if bool((ids[:, : position + 1] != ids[:1, : position + 1]).any()):
        raise PromptError(
            "The target prompts differ before the patch position; sweep those with another start separately."
        )
    n_samples = len(ids)
    order = sorted(range(len(sets)), key=lambda i: sets[i])
    out = vectors.new_empty(len(sets), n_samples, network.d_model)
    sizes = _Sizes(network, ids.shape[1], position, vectors.element_size())
    parts = list(sizes.parts(len(sets), n_samples, memory_budget))
    for number, (some_sets, some_samples) in enumerate(parts):
        chosen = order[some_sets]
        one_pass = _Pass(network, vectors, ids[some_samples], position, sizes.rows(memory_budget))

        def tell(share: float, number: int = number) -> None:
            if on_block is not None:
                on_block((number + share) / len(parts))

        found = one_pass.run([sets[i] for i in chosen], tell)
        out[torch.tensor(chosen, device=out.device), some_samples] = found.to(out.device)
    return out


@dataclass(frozen=True)
class _Sizes:
    """How much memory one branch of one sample takes."""

    network: Network
    n_tokens: int
    position: int
    itemsize: int

    @property
    def resident(self) -> int:
        """Bytes kept from block to block: the state as parent and as child."""
        return 2 * self.itemsize * max(1, self.n_tokens - self.position - 1) * self.network.d_model

    @property
    def working(self) -> int:
        """Bytes needed while a block runs: q, k, v, mixed heads, attention scores, MLP."""
        net = self.network
        n_query = max(1, self.n_tokens - self.position - 1)
        projections = n_query * (6 * net.n_heads * net.d_head + 6 * net.d_model + 3 * net.d_mlp)
        gathered = 2 * self.n_tokens * net.n_kv_heads * net.d_head
        return self.itemsize * (projections + gathered) + 3 * 8 * net.n_heads * n_query * self.n_tokens

    def parts(self, n_sets: int, n_samples: int, budget: int) -> Iterator[tuple[slice, slice]]:
        """Slices of sets and samples whose states fit into half of the budget; samples are divided first."""
        room = max(1, budget // 2 // self.resident)
        per_samples = max(1, min(n_samples, room // max(1, n_sets), self.rows(budget) // 2))
        per_sets = max(1, min(n_sets, room // per_samples))
        for first_sample in range(0, n_samples, per_samples):
            for first_set in range(0, n_sets, per_sets):
                yield slice(first_set, first_set + per_sets), slice(first_sample, first_sample + per_samples)

    def rows(self, budget: int) -> int:
        """Branches times samples that one block may work on at a time, in the other half of the budget."""
        return max(1, budget // 2 // self.working)


@dataclass(frozen=True)
class _Fork:
    """How the branches of block l come from those of block l - 1."""

    keys: list[LayerSet]
    """Sets cut to layers below l: the children."""
    parent: list[int]
    """Index of each child's parent among the keys of block l - 1; ascending."""
    variants: list[int]
    """The last patched layers below l that occur (-1: none)."""
    variant: list[int]
    """Index of each child's variant."""


def _fork(sets: Sequence[LayerSet], layer: int, parents: list[LayerSet]) -> _Fork:
    """The children of ``parents`` in block ``layer``, in the order of their parents."""
    wanted = {_below(layers, layer) for layers in sets}
    keys, parent = [], []
    for i, key in enumerate(parents):
        for child in dict.fromkeys((key, (*key, layer - 1))):
            if child in wanted:
                keys.append(child)
                parent.append(i)
    variants = sorted({_last(key) for key in keys})
    return _Fork(keys, parent, variants, [variants.index(_last(key)) for key in keys])


def _below(layers: LayerSet, limit: int) -> LayerSet:
    return tuple(layer for layer in layers if layer < limit)


def _last(layers: LayerSet) -> int:
    return layers[-1] if layers else -1


@dataclass(frozen=True)
class _Columns:
    """Keys and values, each (..., n_kv_heads, n_tokens, d_head)."""

    k: Tensor
    v: Tensor

    def __getitem__(self, index: Tensor) -> _Columns:
        return _Columns(self.k[index], self.v[index])

    def after(self, *others: _Columns) -> _Columns:
        """These columns behind ``others``, which are expanded to the same leading shape."""
        lead = self.k.shape[:-3]
        ks = [o.k.expand(*lead, *o.k.shape[-3:]) for o in others]
        vs = [o.v.expand(*lead, *o.v.shape[-3:]) for o in others]
        return _Columns(torch.cat([*ks, self.k], dim=-2), torch.cat([*vs, self.v], dim=-2))


class _Pass:
    """One pass over some samples, with the state of prefix, variants and branches as it moves from block to block."""

    def __init__(self, network: Network, vectors: Tensor, ids: Tensor, position: int, max_rows: int) -> None:
        self.network, self.vectors, self.max_rows = network, vectors, max_rows
        self.position, self.n_tokens = position, ids.shape[1]
        embedded = network.embed(ids)
        self.prefix = embedded[0, :position]
        self.variants = embedded[:1, position : position + 1]
        self.branches = embedded[None, :, position + 1 :]
        rotary = network.rotary(self.n_tokens, embedded)
        self.at_prefix = rotary[:position]
        self.at_patch = rotary[position : position + 1]
        self.at_query = rotary[position + 1 :]
        self.has_query = position + 1 < self.n_tokens
        self.hidden: Tensor
        """What each token does not see in the block that is under way: tensor of shape (n_tokens, n_tokens)."""

    def run(self, sets: Sequence[LayerSet], tell: Callable[[float], None]) -> Tensor:
        """Final residual at the last position: tensor of shape (n_sets, n_samples, d_model)."""
        last_layer = self.network.n_layers - 1
        fork = _fork(sets, 0, [()])
        for layer in range(last_layer + 1):
            self._enter(layer)
            prefix = self._advance_prefix(layer, write=layer < last_layer)
            variants = self._advance_variants(layer, prefix)
            if self.has_query:
                self.branches = self._advance_branches(layer, fork, prefix, variants, last=layer == last_layer)
            following = _fork(sets, layer + 1, fork.keys)
            self._choose_variants(layer, fork.variants, following.variants)
            if layer < last_layer or not self.has_query:
                fork = following
            tell((layer + 1) / (last_layer + 1))
        return self._collect(sets, fork)

    def _enter(self, layer: int) -> None:
        """Bring the state to the block's device, where it is not there already."""
        enter = partial(self.network.enter, layer)
        self.prefix, self.variants, self.branches = map(enter, (self.prefix, self.variants, self.branches))
        tables = self.at_prefix, self.at_patch, self.at_query
        self.at_prefix, self.at_patch, self.at_query = (table.to(self.prefix.device) for table in tables)
        self.hidden = self.network.hidden(layer, self.n_tokens)

    def _collect(self, sets: Sequence[LayerSet], fork: _Fork) -> Tensor:
        """Each set's result among the branches, or among the variants where the patch position is the last."""
        if not self.has_query:
            index = [fork.variants.index(_last(layers)) for layers in sets]
            return self.variants[index].expand(-1, self.branches.shape[1], -1)
        place = {key: i for i, key in enumerate(fork.keys)}
        index = [place[_below(layers, self.network.n_layers - 1)] for layers in sets]
        return self.branches[index][:, :, -1]

    def _advance_prefix(self, layer: int, *, write: bool) -> _Columns:
        """Move the tokens before p through the block and return their keys and values."""
        q, k, v = self.network.read(layer, self.prefix, self.at_prefix)
        if write and len(self.prefix):
            hidden = self.hidden[: self.position, : self.position]
            self.prefix = self.network.write(layer, self.prefix, self.network.mix(layer, q, k, v, hidden))
        return _Columns(k, v)

    def _advance_variants(self, layer: int, prefix: _Columns) -> _Columns:
        """Move every variant of position p through the block and return their keys and values (n_variants first)."""
        q, k, v = self.network.read(layer, self.variants, self.at_patch)
        own = _Columns(k, v)
        seen = own.after(prefix)
        hidden = self.hidden[self.position : self.position + 1, : self.position + 1]
        self.variants = self.network.write(layer, self.variants, self.network.mix(layer, q, seen.k, seen.v, hidden))
        return own

    def _choose_variants(self, layer: int, before: list[int], after: list[int]) -> None:
        """Keep the variants that a set still needs and add the one patched at ``layer``."""
        kept = self.variants[[before.index(m) for m in after if m != layer]]
        patched = self.vectors[layer].to(kept.device).expand(1, 1, -1) if layer in after else kept[:0]
        self.variants = torch.cat((kept, patched))

    def _advance_branches(self, layer: int, fork: _Fork, prefix: _Columns, variants: _Columns, *, last: bool) -> Tensor:
        """Move the query tokens through the block: parents in, children out; in the last block only the last token."""
        n_parents, n_samples, n_query, d_model = self.branches.shape
        out = self.branches.new_empty(len(fork.keys), n_samples, 1 if last else n_query, d_model)
        step = max(1, self.max_rows // (2 * n_samples))
        parent = torch.tensor(fork.parent, device=out.device)
        variant = torch.tensor(fork.variant, device=out.device)
        for first in range(0, n_parents, step):
            children = slice(bisect_left(fork.parent, first), bisect_left(fork.parent, first + step))
            local, column = parent[children] - first, variants[variant[children]]
            out[children] = self._attend(layer, self.branches[first : first + step], local, prefix, column, last)
        return out

    def _attend(self, layer: int, x: Tensor, parent: Tensor, prefix: _Columns, column: _Columns, last: bool) -> Tensor:
        """The children of the parents ``x``, each with its own column at position p."""
        ends = slice(-1, None) if last else slice(None)
        q = self.network.read_queries(layer, x[..., ends, :], self.at_query[ends])
        own = _Columns(*self.network.read_keys_values(layer, x, self.at_query))[parent]
        seen = own.after(prefix, _Columns(column.k[:, None], column.v[:, None]))
        mixed = self.network.mix(layer, q[parent], seen.k, seen.v, self.hidden[self.position + 1 :][ends])
        return self.network.write(layer, x[..., ends, :][parent], mixed)
