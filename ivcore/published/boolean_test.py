"""What the t values of Tables 5 to 8 say (REFERENCE, departure 4 of the released code from the text).

1. For each of n samples the released code notes whether f(i, j) >= f(i) + f(j) holds: a boolean, 0 or 1.
2. It runs a one-sample t-test of these n booleans against a mean of 50.0, which no mean of zeros and ones can come
   near: ``t_against_fifty`` gives t for every possible outcome, about -985 at best.
3. So t depends on the number of samples that hold and on nothing else, and that number can be read back from the
   printed figures: ``holding_counts``.  Counts k and n + 1 - k give almost the same t; p, printed to four digits, tells
   many of them apart.

Source: Tables 5 to 8 of arXiv 2602.07930 v2; all their figures are those of n = 100.
"""

from __future__ import annotations

import math

from scipy import stats

from ..errors import InputError
from .tables import TestRow

__all__ = ["N_SAMPLES", "holding_counts", "t_against_fifty"]

N_SAMPLES = 100
"""Samples behind each figure of Tables 5 to 8."""

_POPULATION_MEAN = 50.0


def t_against_fifty(n_holding: int, n_samples: int = N_SAMPLES) -> float:
    """The published t where ``n_holding`` of ``n_samples`` booleans are true; minus infinity where all are the same.

    Raises:
        InputError: fewer than two samples, or a count that is not between 0 and ``n_samples``.
    """
    if n_samples < 2 or not 0 <= n_holding <= n_samples:
        raise InputError(f"{n_holding} of {n_samples} samples is not possible; give a count of at least two samples.")
    mean = n_holding / n_samples
    error = math.sqrt(mean * (1 - mean) / (n_samples - 1))
    return -math.inf if error == 0 else (mean - _POPULATION_MEAN) / error


def holding_counts(row: TestRow, n_samples: int = N_SAMPLES) -> tuple[int, ...]:
    """How many samples held, as far as the printed t and p tell: one count, or the few that print the same figures."""
    if math.isinf(row.t):
        return (0, n_samples)
    return tuple(k for k in range(1, n_samples) if _prints(t_against_fifty(k, n_samples), row, n_samples))


def _prints(t: float, row: TestRow, n_samples: int) -> bool:
    """Whether t and its two-sided p read as the row's, to four digits."""
    p = 2 * float(stats.t.sf(abs(t), n_samples - 1))
    return f"{t:.3e}" == f"{row.t:.3e}" and f"{p:.3e}" == f"{row.p:.3e}"
