"""The self-check: is this model measured rightly?  Its verdict is shown beside every number (DESIGN section 4).

1. ``weights``: every weight is a finite number, those too that the prompts below do not use.
2. ``logits``: the network's steps give the logits of plain transformers.
3. ``attention_rows``: rows of the model's attention sum to 1 and see nothing ahead.
4. ``attention_patterns``: the network's patterns are the model's.
5. ``windows``: beyond the sliding windows too, which those short prompts rarely reach, the network's masks are those
   that the model gives its blocks; left out where there is no window.
6. ``own_residual``: a patch with the target's own residual changes nothing.
7. ``nnsight_patch``: the shared-prefix pass equals single patches written with nnsight.
8. ``batch``: several samples at once equal each alone.
9. ``paths``: all paths and biases of the frozen network sum to the logits; left out where it is not linear.

Differences of logits are given in standard deviations of the model's own logits, so that one tolerance suits all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .activations import attention_patterns, patched_logits, residuals
from .errors import DamagedModelError, quote
from .models import LoadedModel, causal_mask
from .patching import final_residuals
from .paths import linearise

__all__ = ["CheckItem", "CheckReport", "check_model"]

_N_TOKENS = 12
_BUDGET = 2**28
_LONGEST = 8192
"""Tokens of a mask: one of a longer prompt would not fit beside the model."""


@dataclass(frozen=True)
class CheckItem:
    """One property, how far the model is from it, and how far it may be."""

    name: str
    passed: bool
    value: float
    """Largest difference found; not a number where the model itself gives none."""
    tolerance: float
    explanation: str
    """What was compared, in which unit, and why the tolerance is what it is."""


@dataclass(frozen=True)
class CheckReport:
    """The verdict on one model."""

    passed: bool
    items: tuple[CheckItem, ...]
    seconds: float
    fingerprint: str
    """Of the model that was checked."""


@dataclass(frozen=True)
class _Tolerance:
    """What rounding may do in one dtype."""

    logits: float
    """In standard deviations of the logits."""
    attention: float
    """In attention weights, which lie between 0 and 1."""
    reason: str


_TOLERANCES = {
    "float64": _Tolerance(
        1e-5, 1e-5, "transformers computes norms and attention weights in single precision even here"
    ),
    "float32": _Tolerance(1e-3, 1e-4, "sums in another order, and rounding that grows from layer to layer"),
    "float16": _Tolerance(0.1, 0.02, "float16 keeps 11 bits, and each layer rounds again"),
    "bfloat16": _Tolerance(0.5, 0.1, "bfloat16 keeps 8 bits, and each layer rounds again"),
}


@dataclass(frozen=True)
class _Probe:
    """Prompts of random tokens, the same for every run, that agree in their first three."""

    ids: Tensor
    """Tensor of shape (3, n_tokens)."""
    vectors: Tensor
    """Residuals of another prompt: tensor of shape (n_layers, d_model)."""
    scale: float
    """Standard deviation of the model's logits on the first prompt."""


def check_model(model: LoadedModel) -> CheckReport:
    """Run every item on fixed random prompts; takes the model's lock.  A failed item is reported, not raised.

    Raises:
        DamagedModelError: transformers itself cannot run the model.
    """
    tolerance = _TOLERANCES[model.dtype]
    windows = _windows_of(model)
    steps: tuple[Callable[[LoadedModel, _Probe, _Tolerance], CheckItem], ...] = (
        _weights,
        _logits,
        _attention_rows,
        _attention_patterns,
        *((_windows,) if windows else ()),
        _own_residual,
        _nnsight_patch,
        _batch,
        *((_paths,) if model.network.not_linear is None else ()),
    )
    with model.lock, torch.no_grad():
        start = time.perf_counter()
        probe = _make_probe(model)
        items = tuple(step(model, probe, tolerance) for step in steps)
        seconds = time.perf_counter() - start
    return CheckReport(all(item.passed for item in items), items, seconds, model.fingerprint)


def _make_probe(model: LoadedModel) -> _Probe:
    generator = torch.Generator().manual_seed(20260207)
    n_tokens = min(_N_TOKENS, model.n_positions or _N_TOKENS)
    n_known = min(model.vocab_size, len(model.tokenizer))
    drawn = torch.randint(0, n_known, (4, n_tokens), generator=generator)
    drawn[1:3, :3] = drawn[0, :3]
    ids = drawn[:3].to(model.device)
    scale = float(_first_pass(model, ids[:1]).double().std())
    vectors = residuals(model, drawn[3].tolist())[:, -1]
    return _Probe(ids, vectors, max(scale, 1e-12))


def _first_pass(model: LoadedModel, ids: Tensor) -> Tensor:
    """Logits of plain transformers, which may find only now that settings of a configuration contradict each other."""
    try:
        return _plain(model, ids)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as err:
        reason = (str(err).strip().splitlines() or [type(err).__name__])[0][:160]
        raise DamagedModelError(
            f"transformers cannot run {quote(model.ref)} ({reason}); its config.json is not that of its weights."
        ) from err


def _weights(model: LoadedModel, _probe: _Probe, _tolerance: _Tolerance) -> CheckItem:
    ends = [torch.stack(torch.aminmax(weight)) for weight in model.hf.parameters()]
    wrong = sum(not bool(torch.isfinite(pair).all()) for pair in ends)
    return _count("weights", wrong, "Tensors of weights with something in them that is no finite number")


def _logits(model: LoadedModel, probe: _Probe, tolerance: _Tolerance) -> CheckItem:
    found, expected = model.network.forward(probe.ids), _plain(model, probe.ids)
    return _logit_item("logits", found, expected, probe, tolerance, "Our steps against plain transformers")


def _attention_rows(model: LoadedModel, probe: _Probe, tolerance: _Tolerance) -> CheckItem:
    patterns = attention_patterns(model, probe.ids[0].tolist()).double()
    ahead = patterns[..., causal_mask(patterns.shape[-1], patterns.device)]
    sums = (patterns.sum(dim=-1) - 1).abs().max()
    value = max(float(sums), float(ahead.abs().max()) if ahead.numel() else 0.0)
    return _item(
        "attention_rows", value, tolerance.attention, "How far rows of attention weights are from sum 1", tolerance
    )


def _attention_patterns(model: LoadedModel, probe: _Probe, tolerance: _Tolerance) -> CheckItem:
    ids = probe.ids[:1]
    network, x = model.network, model.network.embed(ids)
    positions, value = network.rotary(ids.shape[1], x), 0.0
    for layer, expected in enumerate(attention_patterns(model, ids[0].tolist())):
        x = network.enter(layer, x)
        q, k, v = network.read(layer, x, positions)
        hidden = network.hidden(layer, ids.shape[1])
        value = _worse(value, network.pattern(layer, q, k, hidden)[0], expected)
        x = network.write(layer, x, network.mix(layer, q, k, v, hidden))
    return _item(
        "attention_patterns", value, tolerance.attention, "Our attention weights against the model's", tolerance
    )


def _windows(model: LoadedModel, _probe: _Probe, _tolerance: _Tolerance) -> CheckItem:
    network, windows = model.network, _windows_of(model)
    n_tokens = min(max(windows) + 3, _LONGEST, model.n_positions or _LONGEST)
    masks = _masks(model, n_tokens)
    # Blocks of a kind share one mask, so that each needs to be compared once.
    kinds = {(id(mask), network.window(layer)): (layer, mask) for layer, mask in enumerate(masks)}
    wrong = 0
    for layer, mask in kinds.values():
        hidden = network.hidden(layer, n_tokens)
        wrong += int((hidden if mask is None else hidden != (mask[0, 0] < 0).to(hidden.device)).sum())
    sizes = ", ".join(map(str, sorted(windows)))
    what = f"Pairs of {n_tokens} tokens that our masks and the model's hide differently, with windows of {sizes}"
    return _count("windows", wrong, what)


def _windows_of(model: LoadedModel) -> set[int]:
    """The network's, and the configuration's, which the network may have missed."""
    windows = {model.network.window(layer) for layer in range(model.n_layers)}
    windows.add(getattr(model.hf.config, "sliding_window", None))
    return {window for window in windows if window is not None}


def _masks(model: LoadedModel, n_tokens: int) -> list[Tensor | None]:
    """What the model itself adds to the attention scores of each block (1, 1, n_tokens, n_tokens), blocks left out."""
    found: list[Tensor | None] = []
    ids = torch.zeros(1, n_tokens, dtype=torch.long, device=model.device)
    with _passed_over(model.network.blocks_of(model.hf), found):
        model.hf(input_ids=ids, use_cache=False, logits_to_keep=1)
    return found


@contextmanager
def _passed_over(blocks: Iterable[Any], masks: list[Tensor | None]) -> Iterator[None]:
    """Let each block give back what enters it and keep its mask: a whole pass at this length would take minutes."""

    def forward(x: Tensor, *_: Any, attention_mask: Tensor | None = None, **__: Any) -> Tensor:
        masks.append(attention_mask)
        return x

    before = [(block, vars(block).get("forward")) for block in blocks]
    try:
        for block, _ in before:
            block.forward = forward
        yield
    finally:
        for block, own in before:
            del block.forward
            if own is not None:  # set by a tracer
                block.forward = own


def _own_residual(model: LoadedModel, probe: _Probe, tolerance: _Tolerance) -> CheckItem:
    position, ids = 2, probe.ids[:1]
    own = residuals(model, ids[0].tolist())[:, position]
    sets = [(), *((layer,) for layer in range(model.n_layers)), tuple(range(model.n_layers))]
    found = _patched(model, own, ids, position, sets)
    expected = _plain(model, ids)[:, -1].expand_as(found)
    return _logit_item("own_residual", found, expected, probe, tolerance, "Patching the target's own residual")


def _nnsight_patch(model: LoadedModel, probe: _Probe, tolerance: _Tolerance) -> CheckItem:
    middle, last = model.n_layers // 2, model.n_layers - 1
    sets = sorted(
        {(0,), (middle,), tuple(sorted({0, middle})), tuple(sorted({middle, last})), tuple(range(model.n_layers))}
    )
    ids = probe.ids[:1]
    found, expected = [], []
    for position in (0, 2):
        found.append(_patched(model, probe.vectors, ids, position, sets)[:, 0])
        expected += [patched_logits(model, ids[0].tolist(), position, probe.vectors, layers) for layers in sets]
    return _logit_item(
        "nnsight_patch", torch.cat(found), torch.stack(expected), probe, tolerance, "Our patches against nnsight's"
    )


def _batch(model: LoadedModel, probe: _Probe, tolerance: _Tolerance) -> CheckItem:
    sets = [(), (0,), tuple(sorted({0, model.n_layers // 2}))]
    found = _patched(model, probe.vectors, probe.ids, 2, sets)
    alone = [_patched(model, probe.vectors, row[None], 2, sets) for row in probe.ids]
    return _logit_item(
        "batch", found, torch.cat(alone, dim=1), probe, tolerance, "Three samples at once against each alone"
    )


def _paths(model: LoadedModel, probe: _Probe, tolerance: _Tolerance) -> CheckItem:
    found = model.network.capped(linearise(model, probe.ids[0].tolist()).whole())
    return _logit_item(
        "paths", found, _plain(model, probe.ids[:1])[0, -1], probe, tolerance, "All paths and biases against the model"
    )


def _patched(model: LoadedModel, vectors: Tensor, ids: Tensor, position: int, sets: list[tuple[int, ...]]) -> Tensor:
    finals = final_residuals(model.network, vectors, ids, position, sets, memory_budget=_BUDGET)
    return model.network.logits(finals)


def _plain(model: LoadedModel, ids: Tensor) -> Tensor:
    logits: Tensor = model.hf(input_ids=ids, use_cache=False).logits
    return logits


def _logit_item(
    name: str, found: Tensor, expected: Tensor, probe: _Probe, tolerance: _Tolerance, what: str
) -> CheckItem:
    value = _worse(0.0, found, expected) / probe.scale
    what = f"{what}: largest difference of a logit, in standard deviations of the logits"
    return _item(name, value, tolerance.logits, what, tolerance)


def _item(name: str, value: float, limit: float, what: str, tolerance: _Tolerance) -> CheckItem:
    return CheckItem(name, value <= limit, value, limit, f"{what} (at most {limit:g}: {tolerance.reason}).")


def _count(name: str, value: int, what: str) -> CheckItem:
    return CheckItem(name, value == 0, float(value), 0.0, f"{what} (at most 0: nothing here is rounded).")


def _worse(value: float, found: Tensor, expected: Tensor) -> float:
    """The larger of ``value`` and the largest difference; not a number once either holds one."""
    largest = float((found.double() - expected.to(found.device).double()).abs().max())
    return largest if not largest <= value else value
