"""The activity of every head: on what share of the high-ranking paths it lies, and whether that is more than chance.

Chance is a high-ranking path drawn at random from all paths of the same prompt: the share of *all* paths on which the
head lies, counted exactly (``paths.Edges.head_share``).  A head of which every row has much attention lies on many
paths of any rank; only what goes beyond that says something of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..stats import N_RESAMPLES, bootstrap_means, one_sided_tests, resample_weights

__all__ = ["THRESHOLD", "HeadActivity", "HeadUse", "head_activity"]

THRESHOLD = 0.1
"""A head is active above this activity (REFERENCE section 4)."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class HeadUse:
    """What was traced from one source position of each of several prompts."""

    shares: FloatArray
    """The share of a prompt's high-ranking paths on which each head lies: shape (n_samples, n_layers, n_heads)."""
    chance: FloatArray
    """The same share of all its paths."""
    n_left_out: int
    """Prompts without a high-ranking path, of which no share can be given; not among the above."""
    queries: tuple[str, ...] = ()
    """Of each prompt, so that two sides that ask the same are drawn together (``similarity``); empty where unknown."""

    @staticmethod
    def counted(
        use: NDArray[np.integer], n_high: NDArray[np.integer], chance: FloatArray, queries: Sequence[str] = ()
    ) -> HeadUse:
        """From counts: ``use`` and ``chance`` (n_samples, n_layers, n_heads), ``n_high`` (n_samples,); ``queries`` of
        all samples or none.

        Raises:
            InputError: no prompt has a high-ranking path.
        """
        some = n_high > 0
        if not some.any():
            raise InputError(
                f"None of the {len(n_high)} prompts has a high-ranking path from this source; choose another source, a "
                "larger k or a higher rank."
            )
        asked = tuple(query for query, one in zip(queries, some, strict=True) if one) if queries else ()
        return HeadUse(use[some] / n_high[some, None, None], chance[some], int((~some).sum()), asked)

    @property
    def activity(self) -> FloatArray:
        """Mean over prompts: shape (n_layers, n_heads)."""
        mean: FloatArray = self.shares.mean(axis=0)
        return mean


@dataclass(frozen=True)
class HeadActivity:
    """All heads; each array has shape (n_layers, n_heads), not-a-number where a single sample does not define it."""

    mean: FloatArray
    """Activity, 0 to 1."""
    low: FloatArray
    """Of the 95% bootstrap interval over prompts."""
    high: FloatArray
    not_active: FloatArray
    """Share of the bootstrap's resamples in which the activity is at most ``THRESHOLD``."""
    chance: FloatArray
    """What paths drawn at random would give."""
    excess: FloatArray
    """``mean`` less ``chance``."""
    p: FloatArray
    """Of a one-sided paired t-test over prompts that the excess is above zero; not-a-number where all prompts agree."""
    p_adjusted: FloatArray
    """``p`` after Holm, over all heads tested."""
    n: int
    """Prompts."""


def head_activity(use: HeadUse, *, seed: int = 0, n_resamples: int = N_RESAMPLES) -> HeadActivity:
    """Mean, interval and tests for every head; all share the same resamples."""
    n, *shape = use.shares.shape
    rows, chance = use.shares.reshape(n, -1).T, use.chance.reshape(n, -1).T
    intervals = bootstrap_means(rows, n_resamples=n_resamples, seed=seed)
    tests = one_sided_tests(rows - chance)
    inactive = (resample_weights(n, n_resamples, seed) @ rows.T <= THRESHOLD).mean(axis=0)

    def array(values: list[float | None]) -> FloatArray:
        return np.array([np.nan if value is None else value for value in values]).reshape(shape)

    mean = rows.mean(axis=1).reshape(shape)
    return HeadActivity(
        mean=mean,
        low=array([interval.low for interval in intervals]),
        high=array([interval.high for interval in intervals]),
        not_active=inactive.reshape(shape),
        chance=chance.mean(axis=1).reshape(shape),
        excess=mean - chance.mean(axis=1).reshape(shape),
        p=array([test.p for test in tests]),
        p_adjusted=array([test.p_holm for test in tests]),
        n=n,
    )
