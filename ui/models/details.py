"""One model looked at closely: what it is, whether it is in memory, and the whole report of its self-check."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING

import streamlit as st

from .. import calls
from ..alive import alive
from ..report import show_facts, show_report
from ..text import count, markdown
from ..under_way import under_way
from ..worker import State
from .listing import TO_FETCH, Row, size_words
from .loading import job, start, watch
from .state import ModelsInputs

if TYPE_CHECKING:
    from ivcore.models import ModelFacts
    from ivcore.runs import Verdict

__all__ = ["facts_of_model", "report_json", "show_details"]

_REFUSED = "release was refused"


def show_details(inputs: ModelsInputs, row: Row) -> None:
    """The model's facts, what can be done with it, and its report."""
    st.subheader(markdown(row.ref), anchor=False)
    if row.trouble is not None:
        st.error(markdown(row.trouble), icon=":material/error:")
        return
    _show_actions(inputs, row)
    if row.verdict is None:
        st.caption(
            "Its layers and widths are shown, and its numbers anywhere in this app, once it was loaded and checked."
        )
        return
    show_facts(facts_of_model(row.verdict.model))
    st.markdown("**What the self-check found**")
    if row.verdict.passed:
        st.success("Every comparison holds: this model is measured rightly here.", icon=":material/verified:")
    else:
        st.error("It fails, so no page shows a number of it. Try another number format.", icon=":material/gpp_bad:")
    show_report(row.verdict)


def report_json(report: Verdict) -> str:
    """The report as a file; a deviation that is no finite number is null."""
    document = asdict(report)
    for item in document["items"]:
        item["value"] = item["value"] if math.isfinite(item["value"]) else None
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def facts_of_model(model: ModelFacts) -> dict[str, str]:
    """What the model is, by name, in words."""
    return {
        "family": model.family,
        "layers": count(model.n_layers),
        "heads": count(model.n_heads),
        "key-value heads": count(model.n_kv_heads),
        "width (d_model)": count(model.d_model),
        "vocabulary": f"{count(model.vocab_size)} tokens",
        "longest prompt": f"{count(model.n_positions)} tokens" if model.n_positions else "it does not say",
        "device, number format": f"{model.device}, {model.dtype}",
        "revision": model.revision or "local files",
        "fingerprint": model.fingerprint,
    }


def _show_actions(inputs: ModelsInputs, row: Row) -> None:
    """Progress of the job under way, else the buttons, and how the last attempt ended."""
    last = job(inputs)
    if going := under_way([last]):
        watch(going[0])
        return
    which = calls.which(inputs.ref, inputs.device, inputs.dtype)
    loaded = alive().find(which)
    is_loaded = loaded is not None
    if last is not None and not is_loaded and last.state is State.FAILED:
        st.error(markdown(last.message), icon=":material/error:")
    if last is not None and not is_loaded and last.state is State.STOPPED:
        st.info("Stopped. Files that were fetched whole are kept.", icon=":material/pause_circle:")
    with st.container(horizontal=True, vertical_alignment="center"):
        if not is_loaded or row.verdict is None:
            label = "Fetch, load and check" if row.where == TO_FETCH else "Load and check"
            if st.button(label, type="primary", icon=":material/memory:"):
                start(inputs)
                st.rerun()
        if is_loaded and st.button("Release", icon=":material/eject:", help="Its memory is given back at once."):
            st.session_state[_REFUSED] = not alive().release(which)
            st.rerun()
        n_devices = 1 if loaded is None else len(loaded.network.devices)
        device = which.device if n_devices == 1 else f"divided among {n_devices} GPUs"
        st.caption(markdown(_state_words(row, f"{device}, {which.dtype}", is_loaded)))
    if st.session_state.pop(_REFUSED, False):
        st.warning("The model is at work and stays in memory; wait for its end, or stop it.", icon=":material/info:")


def _state_words(row: Row, which: str, is_loaded: bool) -> str:
    if is_loaded:
        return f"In memory ({which}), {size_words(row.memory)}."
    if row.where == TO_FETCH:
        taken = f" Its weights would take {size_words(row.memory)} of memory ({which})." if row.memory else ""
        return f"Its files, often several gigabytes, are fetched once from Hugging Face and kept.{taken}"
    return f"Not in memory ({which}); its weights would take {size_words(row.memory)}."
