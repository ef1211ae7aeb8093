"""Path traces as runs: prompt after prompt (one prompt: some sources after others), stored, resumed, found again.

For every source: how many paths there are and how many rank high, what they carry, and how often each head lies on the
high-ranking ones.  For the first ``n_listed`` samples also those paths themselves, the edges that they run along, and
the exact flow of the answer's logit from T_inst through every edge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models import LoadedModel
from ..paths import MAX_PATHS, MEMORY_BUDGET, Edges, Found, SourceTrace, Tracer, check_forecast
from ..prompts import Answer, Prompt, build_answer, build_prompt
from ..store import Run, Store, run_key
from .meta import model_meta
from .paths_request import ANALYSIS, PathsRequest, covers, source_positions
from .progress import Progress, Watch
from .stored import Summary, find_run, list_runs, own_fields, reading, sound

__all__ = [
    "PathsRun",
    "PathsSummary",
    "SampleInfo",
    "find_covering",
    "find_paths",
    "list_paths",
    "open_paths",
    "run_paths",
]

_PATHS_AT_ONCE = 50_000
"""Of a single prompt so many paths are followed together, and kept before the next: seconds on a small model."""
_SMALLEST = 1e-6
"""A share of less than this many logits is not defined."""
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class SampleInfo:
    """One prompt of a run."""

    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    t_inst: int
    answer_id: int
    answer: str
    """The answer token as text."""

    @property
    def t_last(self) -> int:
        """The last position."""
        return len(self.tokens) - 1


@dataclass(frozen=True)
class PathsRun:
    """A finished trace. One *row* is one source of one sample; logits are the answer's."""

    key: str
    request: PathsRequest
    model: Mapping[str, Any]
    """ref, family, n_layers, revision, fingerprint, device, dtype."""
    created: str
    """ISO 8601, UTC."""
    seconds: float
    """Wall time of the computation."""
    bundled: bool
    samples: tuple[SampleInfo, ...]
    arrays: Arrays
    """What the properties below read."""

    @property
    def n_samples(self) -> int:
        """Number of prompts."""
        return len(self.samples)

    @property
    def sample(self) -> NDArray[np.int32]:
        """The sample of each row."""
        return self.arrays["sample"]

    @property
    def position(self) -> NDArray[np.int16]:
        """The source of each row."""
        return self.arrays["position"]

    @property
    def n_paths(self) -> NDArray[np.int64]:
        """All paths of each row."""
        return self.arrays["n_paths"]

    @property
    def n_high_ranking(self) -> NDArray[np.int64]:
        """Those in which the answer ranks at most ``request.max_rank``."""
        return self.arrays["n_high_ranking"]

    @property
    def head_use(self) -> NDArray[np.int32]:
        """On how many high-ranking paths each head lies: shape (n_rows, n_layers, n_heads)."""
        return self.arrays["head_use"]

    @property
    def head_chance(self) -> NDArray[np.float64]:
        """The share of all paths on which each head lies, what chance would give: shape (n_rows, n_layers, n_heads)."""
        return self.arrays["head_chance"]

    def rows_of(self, sample: int) -> NDArray[np.intp]:
        """The rows of one sample, in the order of their sources."""
        return np.flatnonzero(self.sample == sample)

    def coverage(self, row: int, *, of_all: bool = False) -> float | None:
        """Share of the row's logit that its high-ranking paths carry, see ``SourceTrace``; ``of_all``: of all paths
        there are, not only those along the edges followed.
        """
        whole = float(self.arrays["logit_all" if of_all else "logit_sum"][row])
        if not np.isfinite(whole) or abs(whole) < _SMALLEST:
            return None
        return float(self.arrays["logit_listed"][row]) / whole

    def is_listed(self, sample: int) -> bool:
        """Whether the sample's paths were kept."""
        return sample < self.request.n_listed

    def listed(self, row: int) -> tuple[NDArray[np.int16], NDArray[np.int32], NDArray[np.float64]]:
        """The kept high-ranking paths of a row of a listed sample, best rank first: positions (n, n_layers + 1), ranks
        and logits (n,).
        """
        chosen = self.arrays["path_row"] == row
        positions, ranks, logits = (self.arrays[f"path_{name}"][chosen] for name in ("positions", "rank", "logit"))
        return positions, ranks, logits

    def edges(self, sample: int) -> Edges:
        """Of a listed sample."""
        shape = (int(self.model["n_layers"]), self.head_use.shape[2], *[len(self.samples[sample].ids)] * 2)
        packed = self.arrays[f"edges_{sample}"]
        return Edges(np.unpackbits(packed, count=int(np.prod(shape))).astype(bool).reshape(shape))

    def flow(self, sample: int) -> NDArray[np.float32]:
        """The exact flow from T_inst through each edge j -> i of block l, over all paths there are, in logits, of a
        listed sample: shape (n_layers, n_tokens, n_tokens) as [l, i, j].
        """
        return self.arrays[f"flow_{sample}"]


PathsSummary = Summary[PathsRequest]


def find_paths(store: Store, fingerprint: str, dtype: str, request: PathsRequest) -> PathsRun | None:
    """The finished run of this request on this model, if there is one. Raises DamagedRunError."""
    return find_run(store, fingerprint, dtype, request, open_paths)


def find_covering(store: Store, fingerprint: str, dtype: str, request: PathsRequest) -> PathsRun | None:
    """A finished run that says at least what ``request`` asks for: of the same prompts in the same way, perhaps from
    more sources and with more paths kept; damaged ones are passed over.
    """
    for summary in list_paths(store):
        if (summary.fingerprint, summary.dtype) == (fingerprint, dtype) and covers(summary.request, request):
            found = sound(partial(find_paths, store, fingerprint, dtype, summary.request))
            if found is not None:
                return found
    return None


def list_paths(store: Store) -> tuple[PathsSummary, ...]:
    """All finished runs, newest first, from their descriptions alone; damaged ones are left out."""
    return list_runs(store, ANALYSIS, _request)


def open_paths(run: Run) -> PathsRun:
    """The numbers of a finished run. Raises DamagedRunError where they do not fit together."""
    request = _request(run)
    with reading(run):
        arrays, meta = run.arrays(), run.meta
        samples = tuple(
            SampleInfo(tuple(s["tokens"]), tuple(s["ids"]), int(s["t_inst"]), int(s["answer_id"]), str(s["answer"]))
            for s in meta["samples"]
        )
        found = PathsRun(
            run.key,
            request,
            dict(meta["model"]),
            str(meta["created"]),
            float(meta["seconds"]),
            run.bundled,
            samples,
            arrays,
        )
        _check(found)
    return found


def run_paths(
    store: Store,
    model: LoadedModel,
    request: PathsRequest,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    max_paths: int = MAX_PATHS,
    memory_budget: int = MEMORY_BUDGET,
) -> PathsRun:
    """The finished run of this request on this model: found, resumed from its finished parts, or computed.

    A damaged one is computed again.

    Args:
        store: where runs are kept.
        model: locked while a prompt is frozen; following paths only reads its weights.
        request: what is traced.
        on_progress: told how far it is, after every block of the network.
        should_stop: asked as often; True ends the call.
        max_paths: a prompt with more is refused.
        memory_budget: bytes that intermediate results may take beside the weights.

    Raises:
        Stopped: ``should_stop`` said so; finished parts are kept.
        InputError: the request cannot be computed with this model; the message says what to lower.
        RunBusyError: another thread or process computes the same run.
        StoreError: the store cannot be written.
    """
    find = partial(find_paths, store, model.fingerprint, model.dtype, request)
    if (found := sound(find)) is not None:
        return found
    prompts = [_prompt(model, request, item) for item in request.items]
    tracers = _Tracers(model, request, prompts)
    units = list(_units(request, prompts, tracers))
    if len(prompts) == 1:  # its sources are followed in turn, but refused together
        check_forecast(tracers[0].forecast([source for _, sources in units for source in sources]), max_paths)
    # Progress counts sources where there is one prompt, else prompts.
    sizes = [len(sources) if len(prompts) == 1 else 1 for _, sources in units]
    watch = Watch(sum(sizes), model.n_layers, on_progress, should_stop)
    document = request.document(model.dtype)
    meta = model_meta(model) | {"samples": [_sample_meta(*each) for each in prompts], "seed": request.seed}
    with store.draft(run_key(document, model.fingerprint), document, meta) as draft:
        if (found := sound(find)) is not None:  # another finished it just before
            return found
        kept = list[Arrays]()
        for (sample, sources), size in zip(units, sizes, strict=True):
            name = f"part-{sample}-{sources[0]}-{sources[-1]}"
            if (arrays := draft.read_block(name)) is not None:
                watch.found(size)
            else:
                watch.at(size, 0.0)
                tracer, answer = tracers[sample], prompts[sample][1].id
                trace = tracer.trace(
                    sources,
                    answer,
                    max_rank=request.max_rank,
                    max_paths=max_paths,
                    memory_budget=memory_budget,
                    on_share=partial(watch.at, size),
                )
                arrays = _part(request, sample, tracer, trace.sources, prompts[sample])
                arrays |= {
                    "answer_logit": np.array([trace.answer_logit]),
                    "from_biases": np.array([trace.from_biases]),
                    "completeness_error": np.array([trace.completeness_error]),
                }
                draft.write_block(name, arrays)
                watch.finished(size)
            kept.append(arrays)
        return open_paths(draft.finish(_joined(kept, [sample for sample, _ in units])))


def _prompt(model: LoadedModel, request: PathsRequest, item: tuple[str, str]) -> tuple[Prompt, Answer]:
    prompt = build_prompt(model.tokenizer, request.instruction, item[0], t_inst=request.t_inst)
    return prompt, build_answer(model.tokenizer, prompt, item[1])


def _units(
    request: PathsRequest, prompts: Sequence[tuple[Prompt, Answer]], tracers: _Tracers
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """What is computed and kept at a time: (sample, sources); of a single sample some sources, else all."""
    for sample, (prompt, _) in enumerate(prompts):
        positions = source_positions(request.sources, prompt.t_inst, len(prompt.ids_full))
        if len(prompts) > 1:
            yield sample, positions
            continue
        together, n_paths = list[int](), 0
        for position, n in zip(positions, tracers[0].forecast(positions).n_paths, strict=True):
            if together and n_paths + n > _PATHS_AT_ONCE:
                yield sample, tuple(together)
                together, n_paths = [], 0
            together.append(position)
            n_paths += n
        yield sample, tuple(together)


class _Tracers:
    """The tracer of the sample now in work, made when it is first asked for."""

    def __init__(self, model: LoadedModel, request: PathsRequest, prompts: Sequence[tuple[Prompt, Answer]]) -> None:
        self._model, self._request, self._prompts = model, request, prompts
        self._now: tuple[int, Tracer] | None = None

    def __getitem__(self, sample: int) -> Tracer:
        if self._now is None or self._now[0] != sample:
            ids, request = self._prompts[sample][0].ids_full, self._request
            self._now = sample, Tracer(self._model, ids, top_k=request.top_k, surrogate=request.surrogate)
        return self._now[1]


def _sample_meta(prompt: Prompt, answer: Answer) -> dict[str, Any]:
    return {
        "tokens": list(prompt.tokens_full),
        "ids": list(prompt.ids_full),
        "t_inst": prompt.t_inst,
        "answer_id": answer.id,
        "answer": answer.token,
    }


def _part(
    request: PathsRequest,
    sample: int,
    tracer: Tracer,
    traced: Sequence[SourceTrace],
    prompt_answer: tuple[Prompt, Answer],
) -> Arrays:
    """The rows of some sources of one sample."""
    found, edges = [source.found for source in traced], tracer.edges
    arrays: Arrays = {
        "sample": np.full(len(traced), sample, dtype=np.int32),
        "position": np.array([source.position for source in traced], dtype=np.int16),
        "n_paths": np.array([one.n_paths for one in found], dtype=np.int64),
        "n_high_ranking": np.array([len(one.ranks) for one in found], dtype=np.int64),
        "logit_sum": np.array([one.logit_sum for one in found]),
        "logit_listed": np.array([source.logit_listed for source in traced]),
        "logit_all": np.array([np.nan if s.logit_all is None else s.logit_all for s in traced], dtype=np.float64),
        "head_use": np.stack([edges.head_use(one.positions) for one in found]),
        "head_chance": np.stack([edges.head_share(source.position) for source in traced]),
    }
    if sample < request.n_listed:
        prompt, answer = prompt_answer
        kept = [_best(one, request.max_listed) for one in found]
        arrays |= {
            "path_positions": np.concatenate([one.positions[rows] for one, rows in zip(found, kept, strict=True)]),
            "path_rank": np.concatenate([one.ranks[rows] for one, rows in zip(found, kept, strict=True)]),
            "path_logit": np.concatenate([one.logits[rows] for one, rows in zip(found, kept, strict=True)]),
            "path_row": np.repeat(np.arange(len(found), dtype=np.int32), [len(rows) for rows in kept]),
            f"edges_{sample}": np.packbits(edges.heads),
            f"flow_{sample}": tracer.flow(prompt.t_inst, answer.id).edges.astype(np.float32),
        }
    return arrays


def _best(found: Found, most: int | None) -> NDArray[np.intp]:
    """The paths to keep, in the order that they have."""
    every = np.arange(len(found.ranks))
    if most is None or most >= len(every):
        return every
    return np.sort(np.argsort(-found.logits, kind="stable")[:most])


def _joined(parts: list[Arrays], samples: list[int]) -> Arrays:
    """All parts one after the other; what a sample has once is taken from its first part."""
    joined: Arrays = {}
    first_row = 0
    for part in parts:
        if "path_row" in part:
            part["path_row"] = part["path_row"] + first_row
        first_row += len(part["sample"])
    once = ("answer_logit", "from_biases", "completeness_error")
    firsts = [part for i, part in enumerate(parts) if i == 0 or samples[i] != samples[i - 1]]
    for name in dict.fromkeys(name for part in parts for name in part):
        chosen = [part[name] for part in (firsts if name in once else parts) if name in part]
        joined[name] = chosen[0] if name.startswith(("edges_", "flow_")) else np.concatenate(chosen)
    return joined


def _check(run: PathsRun) -> None:
    """Raises ValueError where the arrays are not those of the request."""
    arrays, n_rows = run.arrays, len(run.sample)
    n_layers = int(run.model["n_layers"])
    per_row = ("position", "n_paths", "n_high_ranking", "logit_sum", "logit_listed", "logit_all")
    if len(run.samples) != len(run.request.items) or any(arrays[name].shape != (n_rows,) for name in per_row):
        raise ValueError("its arrays have other shapes than its request")
    if run.head_use.ndim != 3 or run.head_use.shape[:2] != (n_rows, n_layers):
        raise ValueError("its heads are counted for other layers than the model's")
    if run.head_chance.shape != run.head_use.shape:
        raise ValueError("its heads are counted for other layers than the model's")
    if run.request.n_listed:
        most = np.inf if run.request.max_listed is None else run.request.max_listed
        n_kept = int(np.minimum(run.n_high_ranking[run.sample < run.request.n_listed], most).sum())
        if arrays["path_positions"].shape != (n_kept, n_layers + 1):
            raise ValueError("its paths are not as many as it counts")
        for sample, info in enumerate(run.samples[: run.request.n_listed]):
            if run.edges(sample).exist.shape != run.flow(sample).shape or run.flow(sample).shape[-1] != len(info.ids):
                raise ValueError("its edges are those of other prompts")


def _request(run: Run) -> PathsRequest:
    with reading(run, "a trace's"):
        fields = own_fields(run)
        items = tuple((str(query), str(answer)) for query, answer in fields.pop("items"))
        return PathsRequest(items=items, **fields)
