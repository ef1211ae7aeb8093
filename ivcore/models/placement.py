"""Which part of a model goes to which GPU, where the first has no room for all of it.

Blocks stay whole and in their order, so that a pass changes GPUs as seldom as it can, and every GPU is filled to the
same share of what it has free, so that each keeps room for the work.  The result is what transformers calls a device
map.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import nn

from ..errors import ModelError, quote
from .block import part_of
from .families import Family
from .folder import ModelFolder
from .memory import fits, free_on_gpus, size_text, weight_bytes
from .skeleton import parameter_bytes, skeleton

__all__ = ["place_on_gpus", "spread"]


def place_on_gpus(folder: ModelFolder, dtype: torch.dtype) -> dict[str, int] | None:
    """By module, the number of its GPU; None where the first has room for all of it.

    Raises:
        ModelError: the blocks cannot be divided so that each GPU has room for its own.
        DamagedModelError: config.json describes no model.
    """
    free = free_on_gpus()
    if len(free) < 2 or fits(weight_bytes(folder, dtype), free[0]):
        return None
    return spread(skeleton(folder.path, dtype), folder.family, free, folder.path.name)


def spread(model: nn.Module, family: Family, free: Sequence[int], name: str) -> dict[str, int]:
    """The same for a model whose parameters have shapes and a dtype; ``free`` bytes on each GPU, ``name`` for messages.

    The embedding is on the first GPU that gets anything; the unembedding is beside the last block, or beside the
    embedding where they share their weights.
    """
    parts = _parts(model, family)
    sizes = [parameter_bytes(*(part_of(model, name) for name in names)) for names in parts]
    ends = list(accumulate(sizes))
    limits = [limit * ends[-1] / sum(free) for limit in accumulate(free)]
    # A part goes where its middle falls when all parts and all GPUs are laid out along one line.
    middles = [end - size / 2 for end, size in zip(ends, sizes, strict=True)]
    gpus = [sum(middle > limit for limit in limits[:-1]) for middle in middles]
    for gpu, room in enumerate(free):
        if not fits(load := sum(size for size, at in zip(sizes, gpus, strict=True) if at == gpu), room):
            raise ModelError(
                f"{quote(name)} cannot be divided among {len(free)} GPUs: number {gpu} would hold {size_text(load)} "
                f"and has {size_text(room)} free; choose a smaller model or dtype, or free some memory."
            )
    return {module: gpu for names, gpu in zip(parts, gpus, strict=True) for module in names}


def _parts(model: nn.Module, family: Family) -> list[tuple[str, ...]]:
    """Names of modules that stay together, in the order in which a pass needs them; together the whole model."""
    n_layers = len(part_of(model, family.blocks))
    shared = part_of(model, family.unembedding).weight is part_of(model, family.embedding).weight
    first = (family.embedding, family.position_embedding, family.rotary, family.unembedding if shared else None)
    last = (family.final_norm, None if shared else family.unembedding)
    blocks = [(f"{family.blocks}.{layer}",) for layer in range(n_layers)]
    return [tuple(filter(None, first)), *blocks, tuple(filter(None, last))]
