"""The runs in cache/bundled are whole, small, of the bundled checkpoints, and what the engine computes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ivcore.activations import component_states
from ivcore.behaviour import greedy_answers
from ivcore.models import LoadedModel, load_model
from ivcore.models.registry import REPOSITORY
from ivcore.patching import build_samples, layer_sets, sweep_block, task_vectors
from ivcore.paths import Tracer
from ivcore.probes import layer_geometry
from ivcore.prompts import build_prompt
from ivcore.prompts.tasks import all_task_names
from ivcore.runs import (
    PlannedBehaviour,
    PlannedGeometry,
    PlannedPaths,
    PlannedSweep,
    find_behaviour,
    find_geometry,
    find_paths,
    find_sweep,
    read_plan,
)
from ivcore.store import Store

BUNDLED = Store(Path("does-not-exist"), REPOSITORY / "cache" / "bundled")
PLAN = read_plan(REPOSITORY / "cache" / "plan.toml")
SWEEPS = [row for row in PLAN if isinstance(row, PlannedSweep)]
BEHAVIOUR = [row for row in PLAN if isinstance(row, PlannedBehaviour)]
GEOMETRY = [row for row in PLAN if isinstance(row, PlannedGeometry)]
PATHS = [row for row in PLAN if isinstance(row, PlannedPaths)]
STAGES = ("ivy-base", "ivy-sft", "ivy-dpo")
REMEDY = "make them anew: python -m ivcore precompute cache/plan.toml --out cache/bundled"
MEGABYTE = 1_000_000


@cache
def model(ref: str) -> LoadedModel:
    return load_model(ref, device="cpu")


def test_all_of_them_are_sound_and_small() -> None:
    entries = BUNDLED.verify_all()
    assert len(entries) == len(PLAN) and not [entry.reason for entry in entries if entry.reason]
    assert sum(entry.bytes for entry in entries) < 30 * MEGABYTE


def test_the_plan_covers_what_the_pages_open_with() -> None:
    tasks = ("adj_comp", "adj_ant", "anim_color", "can_fly", "object_counting")
    planned = {(row.model, row.task, row.depth) for row in SWEEPS if row.samples == 100}
    assert {(stage, task, 2) for stage in STAGES for task in tasks} <= planned
    assert {(row.model, row.task) for row in BEHAVIOUR} == {(s, t) for s in STAGES for t in all_task_names()}
    assert {row.model for row in GEOMETRY} == set(STAGES) and all(len(row.tasks) >= 8 for row in GEOMETRY)
    assert len({task for _, task, depth in planned if depth == 3}) >= 2
    assert {(row.model, row.task, row.top_k) for row in PATHS if row.samples == 100} == {
        (stage, task, k) for stage in STAGES for task in tasks[:4] for k in (1, 2, 3)
    }


@pytest.mark.parametrize("planned", SWEEPS, ids=lambda p: f"{p.model}-{p.task}-{p.depth}-{p.convention}")
def test_each_is_of_the_bundled_checkpoint_and_its_numbers_come_out_again(planned: PlannedSweep) -> None:
    """Four samples computed anew; a checkpoint trained anew without its runs fails here."""
    loaded, request = model(planned.model), planned.request()
    run = find_sweep(BUNDLED, loaded.fingerprint, planned.dtype, request)
    assert run is not None, REMEDY
    samples = build_samples(loaded, request.instruction, request.items, convention=request.convention)
    vectors, sets = task_vectors(loaded, samples), layer_sets(loaded.n_layers, request.depth)
    for i in (0, 33, 66, 99):
        block = sweep_block(loaded, vectors, [samples[i]], sets)
        assert np.allclose(run.patched.logit[:, i], block.patched.logit[:, 0], rtol=0, atol=2e-3)
        # Machines round differently: a near-tie may move a rank by one.
        assert np.mean(run.patched.rank[:, i] == block.patched.rank[:, 0]) > 0.9
        assert abs(int(run.full.rank[i]) - int(block.full.rank[0])) <= 1


@pytest.mark.parametrize("ref", STAGES)
def test_the_answers_are_those_of_the_bundled_checkpoint(ref: str) -> None:
    """Five answers of every task, each asked alone."""
    loaded, same = model(ref), list[bool]()
    for planned in (row for row in BEHAVIOUR if row.model == ref):
        request = planned.request()
        run = find_behaviour(BUNDLED, loaded.fingerprint, planned.dtype, request)
        assert run is not None, REMEDY
        for (query, _), answer in list(zip(request.items, run.answers, strict=True))[:5]:
            prompt = build_prompt(loaded.tokenizer, request.instruction, query).ids_full
            same.append(greedy_answers(loaded, [prompt]) == [answer])
    # Machines round differently: of two words that are about as likely, another may win.
    assert sum(same) / len(same) > 0.95


@pytest.mark.parametrize("planned", GEOMETRY, ids=lambda p: p.model)
def test_the_geometry_is_that_of_the_bundled_checkpoint(planned: PlannedGeometry) -> None:
    """One layer computed anew."""
    loaded, request = model(planned.model), planned.request()
    run = find_geometry(BUNDLED, loaded.fingerprint, planned.dtype, request)
    assert run is not None and run.released is not None, REMEDY
    plan = replace(request, n_permutations=0).plan()
    again = layer_geometry(plan, component_states(loaded, plan.texts)[:, 4], 3)
    stored = run.result.layers[3]
    # Machines round differently: a paraphrase near the border may fall on its other side.
    assert np.abs(again.probe.confusion - stored.probe.confusion).sum() <= 0.02 * len(plan.texts)
    assert again.separation.effective_dimension == pytest.approx(stored.separation.effective_dimension, rel=1e-3)
    assert again.lda_heldout.share == pytest.approx(stored.lda_heldout.share, abs=0.01)


@pytest.mark.parametrize("planned", PATHS[::3], ids=lambda row: row.name)
def test_the_paths_are_those_of_the_bundled_checkpoint(planned: PlannedPaths) -> None:
    """One prompt followed again: counts, what the paths carry, and the best of them."""
    loaded, request = model(planned.model), planned.request()
    stored = find_paths(BUNDLED, loaded.fingerprint, loaded.dtype, request)
    assert stored is not None, REMEDY
    sample = 3
    info, rows = stored.samples[sample], stored.rows_of(sample)
    sources = stored.position[rows].tolist()[-4:]
    again = Tracer(loaded, info.ids, top_k=request.top_k).trace(sources, info.answer_id)
    for row, source in zip(rows[-4:].tolist(), again.sources, strict=True):
        assert stored.n_paths[row] == source.found.n_paths
        assert abs(int(stored.n_high_ranking[row]) - len(source.found.ranks)) <= 0.02 * len(source.found.ranks) + 1
        assert float(stored.arrays["logit_sum"][row]) == pytest.approx(source.found.logit_sum, abs=1e-2)
        logits = np.sort(stored.listed(row)[2])[::-1][:5]
        assert np.allclose(logits, np.sort(source.found.logits)[::-1][: len(logits)], rtol=1e-2, atol=1e-3)
