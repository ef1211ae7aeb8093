"""Rank, reciprocal rank, logit, log-probability, effect and recovery against independent definitions."""

from __future__ import annotations

import math

import pytest
import torch

from ivcore.errors import DamagedModelError, InputError
from ivcore.metrics import Metrics, effect, measure, recovery, top_tokens


def random_logits(n: int = 7, vocab: int = 501) -> torch.Tensor:
    return torch.randn(n, vocab, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 4


@pytest.mark.parametrize("answer_id", [0, 17, 500])
def test_rank_is_the_place_in_the_sorted_order(answer_id: int) -> None:
    logits = random_logits()
    order = logits.argsort(dim=-1, descending=True)
    expected = [row.tolist().index(answer_id) + 1 for row in order]
    found = measure(logits, answer_id)
    assert [m.rank for m in found] == expected
    assert [m.rr for m in found] == [1 / rank for rank in expected]
    assert len(set(expected)) > 1, "a constant rank would pass for the wrong reason"


def test_ties_share_the_better_rank() -> None:
    logits = torch.tensor([[2.0, 5.0, 5.0, 5.0, 1.0]])
    assert [measure(logits, i)[0].rank for i in range(5)] == [4, 1, 1, 1, 5]


def test_ranks_beyond_a_thousand_are_exact() -> None:
    logits = torch.arange(30_000, dtype=torch.float32)[None]
    worst = measure(logits, 0)[0]
    assert (worst.rank, worst.rr) == (30_000, 1 / 30_000)


def test_log_probability_is_that_of_the_softmax() -> None:
    logits = random_logits()
    expected = torch.log_softmax(logits, dim=-1)[:, 17]
    found = measure(logits, 17)
    assert torch.tensor([m.logprob for m in found], dtype=torch.float64).allclose(expected, atol=1e-12)
    assert [m.logit for m in found] == logits[:, 17].tolist()
    assert found[0].prob == pytest.approx(math.exp(expected[0].item()))


def test_a_shift_of_all_logits_moves_the_logit_alone() -> None:
    logits = random_logits()
    before, after = measure(logits, 5)[0], measure(logits + 3, 5)[0]
    assert (after.rank, after.logprob) == (before.rank, pytest.approx(before.logprob))
    assert after.logit == pytest.approx(before.logit + 3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_no_numbers_have_no_rank(value: float) -> None:
    logits = random_logits()
    logits[2, 9] = value
    with pytest.raises(DamagedModelError, match="not finite"):
        measure(logits, 5)


@pytest.mark.parametrize("answer_id", [-1, 501])
def test_a_token_outside_the_vocabulary_is_refused(answer_id: int) -> None:
    with pytest.raises(InputError, match="vocabulary of 501"):
        measure(random_logits(), answer_id)


def test_top_tokens_are_the_most_probable_in_order() -> None:
    logits = random_logits()
    probs = logits.softmax(dim=-1)
    for row, best in zip(probs, top_tokens(logits, 10, str), strict=True):
        assert [score.id for score in best] == row.argsort(descending=True)[:10].tolist()
        assert [score.prob for score in best] == pytest.approx(row.sort(descending=True).values[:10].tolist())
        assert best[0].token == str(best[0].id)


def test_top_tokens_of_a_small_vocabulary() -> None:
    assert len(top_tokens(torch.zeros(1, 3), 10, str)[0]) == 3


def metrics(rank: int, logit: float, logprob: float) -> Metrics:
    return Metrics(rank=rank, rr=1 / rank, logit=logit, logprob=logprob)


def test_effect_and_recovery() -> None:
    target, patched, full = metrics(10, 1.0, -5.0), metrics(2, 3.0, -2.0), metrics(1, 5.0, -1.0)
    assert effect(patched, target, "rr") == pytest.approx(0.4)
    assert recovery(patched, target, full, "rr") == pytest.approx(0.4 / 0.9)
    assert recovery(patched, target, full, "logit") == pytest.approx(0.5)
    assert recovery(patched, target, full, "logprob") == pytest.approx(0.75)
    assert recovery(full, target, full, "logit") == 1.0
    assert recovery(target, target, full, "logit") == 0.0


@pytest.mark.parametrize(("gap", "defined"), [(0.0, False), (9e-7, False), (-9e-7, False), (2e-6, True), (-2e-6, True)])
def test_recovery_is_undefined_where_there_is_nothing_to_recover(gap: float, defined: bool) -> None:
    target, full = metrics(1, 1.0, -1.0), metrics(1, 1.0 + gap, -1.0)
    assert (recovery(metrics(1, 2.0, -1.0), target, full, "logit") is not None) is defined


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(InputError, match="rr, logit, logprob"):
        effect(metrics(1, 1.0, -1.0), metrics(1, 1.0, -1.0), "rank")
