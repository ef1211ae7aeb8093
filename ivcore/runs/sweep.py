"""Sweeps as runs: computed block by block, stored, resumed, found again.

The key of a run is its request and the model's fingerprint: instruction, the very queries and answers, depth,
convention, filler and dtype.  The device is recorded, not part of the key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..metrics import Measures
from ..models import LoadedModel
from ..patching import (
    MEMORY_BUDGET,
    LayerSet,
    SweepBlock,
    build_samples,
    layer_sets,
    plan_blocks,
    sweep_block,
    task_vectors,
)
from ..store import Run, Store, run_key
from .meta import model_meta
from .progress import Progress, Watch
from .stored import Summary, find_run, list_runs, own_fields, reading, sound

__all__ = ["SweepRequest", "SweepRun", "SweepSummary", "find_sweep", "list_sweeps", "open_sweep", "run_sweep"]

_ANALYSIS = "sweep"
_VERSION = 1
"""Raised when the same request would give other numbers than before."""
_PARTS = ("full", "target", "patched")
_MEASURES = ("rank", "logit", "logprob")


@dataclass(frozen=True)
class SweepRequest:
    """What is swept, apart from the model."""

    task: str
    """A name for people; bundled tasks under their own."""
    instruction: str
    items: tuple[tuple[str, str], ...]
    """(query text as it stands in the prompt, answer), in order."""
    depth: int
    """All sets of 1 to so many layers."""
    convention: str = "exact"
    """``exact`` or ``released``."""
    filler: str = "bos"
    seed: int = 0
    """Which chose the items; recorded, so that they can be chosen again."""

    def document(self, dtype: str) -> dict[str, Any]:
        """The canonical request."""
        fields = asdict(self) | {"items": [list(item) for item in self.items]}
        return {"analysis": _ANALYSIS, "version": _VERSION, "dtype": dtype, **fields}


@dataclass(frozen=True)
class SweepRun:
    """A finished sweep."""

    key: str
    request: SweepRequest
    model: Mapping[str, Any]
    """ref, family, n_layers, revision, fingerprint, device, dtype."""
    created: str
    """ISO 8601, UTC."""
    seconds: float
    """Wall time of the computation."""
    bundled: bool
    sets: tuple[LayerSet, ...]
    """By size, then lexicographically."""
    answer_tokens: tuple[str, ...]
    """For each sample the token that was measured, as text."""
    full: Measures
    """Full prompts, shape (n_samples,)."""
    target: Measures
    """Targets alone, shape (n_samples,)."""
    patched: Measures
    """Shape (n_sets, n_samples)."""

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.request.items)

    def effects(self, metric: str) -> NDArray[np.float64]:
        """metric(patched) - metric(target alone), shape (n_sets, n_samples), in the metric's unit."""
        convention = self.request.convention
        return self.patched.values(metric, convention) - self.target.values(metric, convention)

    def span(self, metric: str) -> NDArray[np.float64]:
        """metric(full prompt) - metric(target alone), shape (n_samples,): what an effect can recover."""
        convention = self.request.convention
        return self.full.values(metric, convention) - self.target.values(metric, convention)


SweepSummary = Summary[SweepRequest]


def find_sweep(store: Store, fingerprint: str, dtype: str, request: SweepRequest) -> SweepRun | None:
    """The finished run of this request on this model, if there is one. Raises DamagedRunError."""
    return find_run(store, fingerprint, dtype, request, open_sweep)


def list_sweeps(store: Store) -> tuple[SweepSummary, ...]:
    """All finished sweeps, newest first, from their descriptions alone; damaged ones are left out."""
    return list_runs(store, _ANALYSIS, _request)


def open_sweep(run: Run) -> SweepRun:
    """The numbers of a finished sweep. Raises DamagedRunError where they do not fit together."""
    request = _request(run)
    with reading(run):
        arrays = run.arrays()
        sets = tuple(tuple(int(layer) for layer in row if layer >= 0) for row in arrays["sets"])
        n, meta = len(request.items), run.meta
        shapes = {"full": (n,), "target": (n,), "patched": (len(sets), n)}
        parts = {part: Measures(*(arrays[f"{part}_{name}"] for name in _MEASURES)) for part in _PARTS}
        if any(getattr(parts[part], name).shape != shapes[part] for part in _PARTS for name in _MEASURES):
            raise ValueError("its arrays have other shapes than its request")
        if sets != layer_sets(int(meta["model"]["n_layers"]), request.depth):
            raise ValueError("its layer sets are not those of its request")
        tokens = tuple(str(token) for token in meta["answer_tokens"])
        model, created, seconds = dict(meta["model"]), str(meta["created"]), float(meta["seconds"])
    full, target, patched = (parts[part] for part in _PARTS)
    return SweepRun(run.key, request, model, created, seconds, run.bundled, sets, tokens, full, target, patched)


def run_sweep(
    store: Store,
    model: LoadedModel,
    request: SweepRequest,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    memory_budget: int = MEMORY_BUDGET,
) -> SweepRun:
    """The finished run of this request on this model: found, resumed from its finished blocks, or computed.

    A damaged one is computed again.

    Args:
        store: where runs are kept.
        model: locked block by block, so that others may use it in between.
        request: what is swept.
        on_progress: told how far it is, after every block of the network.
        should_stop: asked as often; True ends the call.
        memory_budget: bytes that intermediate results may take beside the weights.

    Raises:
        Stopped: ``should_stop`` said so; finished blocks are kept.
        InputError: the request cannot be computed with this model.
        RunBusyError: another thread or process computes the same run.
        StoreError: the store cannot be written.
    """
    find = partial(find_sweep, store, model.fingerprint, model.dtype, request)
    if (found := sound(find)) is not None:
        return found
    sets = layer_sets(model.n_layers, request.depth)
    samples = build_samples(
        model, request.instruction, request.items, convention=request.convention, filler=request.filler
    )
    blocks = plan_blocks(samples)
    watch = Watch(len(samples), model.n_layers, on_progress, should_stop)
    document = request.document(model.dtype)
    meta = model_meta(model) | {"answer_tokens": [sample.answer.token for sample in samples], "seed": request.seed}
    vectors = None
    with store.draft(run_key(document, model.fingerprint), document, meta) as draft:
        if (found := sound(find)) is not None:  # another finished it just before
            return found
        kept = {}
        for number, members in enumerate(blocks):
            name = f"block-{number:05d}"
            if (arrays := draft.read_block(name)) is not None:
                watch.found(len(members))
            else:
                vectors = task_vectors(model, samples) if vectors is None else vectors
                block = sweep_block(
                    model,
                    vectors,
                    [samples[i] for i in members],
                    sets,
                    memory_budget=memory_budget,
                    on_share=partial(watch.at, len(members)),
                )
                arrays = _block_arrays(block)
                draft.write_block(name, arrays)
                watch.finished(len(members))
            kept[name] = arrays
        order = np.argsort(np.concatenate([np.asarray(members) for members in blocks]), kind="stable")
        return open_sweep(draft.finish(_joined(list(kept.values()), order) | {"sets": _set_array(sets)}))


def _block_arrays(block: SweepBlock) -> dict[str, NDArray[Any]]:
    return {f"{part}_{name}": getattr(getattr(block, part), name) for part in _PARTS for name in _MEASURES}


def _joined(blocks: list[dict[str, NDArray[Any]]], order: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    """The blocks' arrays along their last axis, samples back in the request's order."""
    return {name: np.concatenate([block[name] for block in blocks], axis=-1)[..., order] for name in blocks[0]}


def _set_array(sets: tuple[LayerSet, ...]) -> NDArray[np.int16]:
    """Shape (n_sets, depth), filled up with -1."""
    width = max(len(layers) for layers in sets)
    return np.array([[*layers, *[-1] * (width - len(layers))] for layers in sets], dtype=np.int16)


def _request(run: Run) -> SweepRequest:
    with reading(run, "a sweep's"):
        fields = own_fields(run)
        items = tuple((str(query), str(answer)) for query, answer in fields.pop("items"))
        return SweepRequest(items=items, **fields)
