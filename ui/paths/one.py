"""One prompt: its trace, and the picture of it that was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ..follows import follows_badge
from ..frame import run_facts
from ..link import report_once
from ..state import link_complaints
from ..text import count, duration, markdown, visible
from . import runs as paths_runs
from .flow import show_flow
from .help import TRACE_NOTE
from .pair import show_pair
from .path_view import show_paths
from .prompt_row import prompt_row_html
from .run import Badge, show_badge, stored_or_started
from .runs import Traced
from .shown import Shown
from .state import FLOW, PAIR, PATHS, PICTURES, PathsInputs, trace_command

__all__ = ["show_one"]

Link = Mapping[str, Sequence[str]]


def show_one(badge: Badge, inputs: PathsInputs, notices: DeltaGenerator, link: Link) -> Shown:
    """Everything about one prompt. Raises InputError where it cannot be traced."""
    follows_badge(notices, inputs.family, inputs.stage, inputs.ref, inputs.instruction)
    traced = stored_or_started(badge, inputs, paths_runs.request_of(inputs), "first")
    if traced is None:
        st.stop()
    st.html(prompt_row_html(traced.info))
    picture = st.segmented_control(
        "Picture",
        PICTURES,
        default=PATHS,
        required=True,
        key="picture",
        bind="query-params",
        help="The paths that rank the answer high; the exact flow of its logit over all paths; or the paths of two "
        "instructions with the same query.",
    )
    inputs = replace(inputs, picture=picture or PATHS)
    vocabulary = paths_runs.vocabulary_size(inputs.ref)
    commands = [trace_command(inputs, inputs.instruction, inputs.answer, inputs.sources)]
    if inputs.picture == FLOW:
        view = show_flow(badge, inputs, traced, vocabulary)
    elif inputs.picture == PAIR:
        view = show_pair(badge, inputs, vocabulary)
        commands = [trace_command(inputs, inputs.instruction, inputs.answer, "t_inst")]
        if view.inputs.answer2:
            other = view.inputs
            commands.append(trace_command(other, other.instruction2, other.answer2, "t_inst"))
    else:
        view = show_paths(badge, inputs, traced, vocabulary)
    with notices:
        report_once(link_complaints(link, {"picture": PICTURES, **view.options}), "picture")
    _caption(traced)
    show_badge(badge, inputs)
    return Shown(view.inputs, view.downloads, commands, TRACE_NOTE)


def _caption(traced: Traced) -> None:
    """What the result was measured on, and when."""
    run, request, arrays = traced.run, traced.run.request, traced.run.arrays
    error = float(arrays["completeness_error"][traced.sample])
    made = f"computed {run.created[:16].replace('T', ' ')} UTC"
    made += f" in {duration(run.seconds)}" if run.n_samples == 1 else f" with {count(run.n_samples)} samples"
    facts = [
        "one prompt (n = 1), so no interval",
        *run_facts(run.model),
        f"k = {request.top_k}",
        f"answer token “{visible(traced.info.answer)}”",
        f"{'as defined' if request.surrogate == 'exact' else 'as released'}",
        f"all paths and biases differ from the model’s logits by {error:.1e}",
        made,
        "bundled with the app" if run.bundled else f"run {run.key[:12]}",
    ]
    st.caption(markdown(" · ".join(facts)))
