"""From a task's paths to the activity of every head, on ivy: the trace, then what is computed from it.

    python -m benchmarks.heads                    # 100 samples, k = 1, all sources from T_inst on
    python -m benchmarks.heads --task can_fly --k 2

The statistics are timed at ivy's shape and at the 1B shape (16 x 16 heads), each with 10,000 resamples; beside activity
(intervals and tests of all heads) stands scipy's bootstrap, run on one head and scaled to all.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from scipy.stats import bootstrap

from ivcore.heads import HeadUse, agreement_by_layer, head_activity, jaccard
from ivcore.models import load_model
from ivcore.prompts.tasks import load_task
from ivcore.runs import head_use, run_paths, task_paths_request
from ivcore.stats import N_RESAMPLES
from ivcore.store import Store

Result = TypeVar("Result")


def main() -> None:
    """Measure and print."""
    options = _parse()
    model = load_model(options.model)
    request = task_paths_request(load_task(options.task), options.samples, options.k, sources="from_t_inst", n_listed=0)
    with tempfile.TemporaryDirectory() as folder:
        seconds, run = _timed(lambda: run_paths(Store(Path(folder)), model, request))
    print(
        f"{options.task} on {options.model}, k = {options.k}, {run.n_samples} samples, {len(run.position)} sources, "
        f"{int(run.n_paths.sum()):,} paths; {torch.get_num_threads()} threads: traced in {seconds:.1f} s"
    )
    columns = ("heads", 8), ("samples", 8), ("Jaccard s", 10), ("Spearman s", 11), ("activity s", 11), ("scipy s", 8)
    print(*(f"{name:>{width}}" for name, width in (*columns, ("times", 7))))
    _statistics(head_use(run))
    _statistics(_random(100, 16, 16))


def _statistics(use: HeadUse) -> None:
    n, layers, heads = use.shares.shape
    other = HeadUse(use.shares[::-1].copy(), use.chance[::-1].copy(), 0)
    activity, _ = _timed(lambda: head_activity(use, seed=1))
    alike, _ = _timed(lambda: jaccard(use, other, [(0, layers - 1)], seed=3))
    ranked, _ = _timed(lambda: agreement_by_layer(use, other, seed=5))
    plain = _plain(use) * layers * heads
    print(
        f"{f'{layers}x{heads}':>8} {n:8} {alike:10.2f} {ranked:11.2f} {activity:11.2f} {plain:8.1f} "
        f"{plain / activity:7.1f}",
        flush=True,
    )


def _plain(use: HeadUse) -> float:
    """Seconds that scipy takes for one head's interval."""
    one = (use.shares[:, 0, 0],)
    seconds, _ = _timed(lambda: bootstrap(one, np.mean, n_resamples=N_RESAMPLES, method="percentile"))
    return seconds


def _random(n: int, layers: int, heads: int) -> HeadUse:
    shares = np.random.default_rng(0).random((n, layers, heads))
    return HeadUse(shares, np.full_like(shares, 0.5), 0)


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.heads", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="ivy-sft")
    parser.add_argument("--task", default="adj_ant")
    parser.add_argument("--k", type=int, default=1)
    parser.add_argument("--samples", type=int, default=100)
    return parser.parse_args()


if __name__ == "__main__":
    main()
