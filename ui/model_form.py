"""What the forms of several pages share: model, device, number format and metric; and the model's self-check.

A model that fails its self-check shows no numbers, only the report.  ``stop_if_failed`` ends a page before its first
number where the verdict is known already; where it becomes known later (``check_badge``), the page starts over.

Widgets of the same key on several pages offer the same values, since a choice follows the reader from page to page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from . import calls
from .report import item_name, show_report, when
from .state import DEVICES, DTYPES, METRIC_NAMES, METRICS, OTHER
from .text import and_list, markdown, short_name
from .verdicts import failures

if TYPE_CHECKING:
    from ivcore.models import ModelEntry
    from ivcore.runs import Verdict

__all__ = [
    "DEFAULT_MODEL",
    "ModelChoice",
    "agreed_to_download",
    "check_badge",
    "family_chooser",
    "metric_chooser",
    "model_chooser",
    "number_settings",
    "stages_chooser",
    "stop_if_failed",
    "typed_models",
]

DEFAULT_MODEL = "ivy-sft"
DEFAULT_STAGE = "SFT"

_AGREED = "agreed to download"
_WITHDRAWN = "models whose numbers were withdrawn"
_TYPED = "models typed in this session"


@dataclass(frozen=True)
class ModelChoice:
    """The chosen model."""

    family: str
    """Entry of the chooser, or ``OTHER``."""
    stage: str
    """Empty for a model that the registry does not list."""
    ref: str
    """What the engine loads: a bundled name, a folder or a hub id; empty where nothing was typed yet."""
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What the choosers offered, by URL parameter."""


def model_chooser() -> ModelChoice:
    """The model and its stage of training, or a field for any other model."""
    with st.spinner("Starting the engine"):
        entries = calls.entries()
    families = _families(entries)
    family = family_chooser(families)
    if family == OTHER:
        return ModelChoice(family, "", _other_ref(), {"model": families})
    stages = {entry.stage: entry.name for entry in entries if entry.group == family}
    default = DEFAULT_STAGE if DEFAULT_STAGE in stages else next(iter(stages))
    stage = st.segmented_control(
        "Stage of training",
        tuple(stages),
        default=default,
        required=True,
        key="stage",
        bind="query-params",
        help="base: has only read text. SFT: then trained on instructions and answers. DPO: then on preferred answers.",
    )
    stage = stage if stage in stages else default
    return ModelChoice(family, stage, stages[stage], {"model": families, "stage": tuple(stages)})


def stages_chooser() -> tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]]:
    """A model with all its stages: its family, (stage, what the engine loads) in the order of training, and the
    families that were offered.  A model that the registry does not list has its short name for a stage.
    """
    with st.spinner("Starting the engine"):
        entries = calls.entries()
    families = _families(entries)
    family = family_chooser(families)
    if family != OTHER:
        return family, tuple((entry.stage, entry.name) for entry in entries if entry.group == family), families
    ref = _other_ref()
    return family, ((short_name(ref), ref),) if ref else (), families


def typed_models() -> tuple[str, ...]:
    """Folders and hub ids that were typed in this session, in that order."""
    return tuple(st.session_state.get(_TYPED, ()))


def _families(entries: Sequence[ModelEntry]) -> tuple[str, ...]:
    """The registry's models, and the entry for any other where those may be opened."""
    groups = tuple(dict.fromkeys(entry.group for entry in entries))
    return (*groups, OTHER) if calls.others_allowed() else groups


def _other_ref() -> str:
    """A model that the registry does not list; empty where nothing was typed yet."""
    ref = st.text_input(
        "Folder or Hugging Face id",
        key="ref",
        bind="query-params",
        placeholder="/path/to/model or org/name",
        width=330,
        help="A local folder in Hugging Face format (safetensors), or a hub id, which is downloaded once.",
    )
    ref = str(ref).strip()
    if ref:
        typed: dict[str, None] = st.session_state.setdefault(_TYPED, {})
        typed[ref] = None
    return ref


def family_chooser(families: tuple[str, ...]) -> str:
    """One of the registry's models, or ``OTHER``."""
    family: str = st.selectbox("Model", families, key="model", bind="query-params", width=165)
    return family


def number_settings() -> tuple[str, str]:
    """Device and number format."""
    left, right = st.columns(2)
    told = "auto takes a GPU where there is one; a model that one cannot hold is divided among all."
    device = left.selectbox("Device", DEVICES, key="device", bind="query-params", help=told)
    dtype = right.selectbox(
        "Number format", DTYPES, key="dtype", bind="query-params", help="float64 is slowest and most exact."
    )
    return device, dtype


def metric_chooser(label: str = "Measure the effect on") -> str:
    """By which metric effects are shown."""
    name = st.segmented_control(
        label,
        tuple(METRICS),
        default=METRIC_NAMES["rr"],
        required=True,
        key="metric",
        bind="query-params",
        help="RR: the answer's reciprocal rank. logit: its raw score. log-probability: its probability, in nats.",
    )
    return METRICS[name or METRIC_NAMES["rr"]]


def agreed_to_download(ref: str) -> bool:
    """Offer to fetch a model that is not on this machine, and say what that costs."""
    if st.session_state.get(_AGREED) == ref:
        return True
    st.info(
        f"{markdown(ref)} is not on this machine yet. Its files, often several gigabytes, are fetched once from "
        "Hugging Face and kept.",
        icon=":material/cloud_download:",
    )
    if st.button("Fetch the model", icon=":material/download:"):
        st.session_state[_AGREED] = ref
        st.rerun()
    return False


def check_badge(place: DeltaGenerator, report: Verdict) -> None:
    """The self-check's verdict; opened, it lists what was checked.  Of a model that fails, the page ends with that."""
    if not report.passed:
        _withdraw(report)
        _end_with((report,))
    with place.popover(":green-badge[:material/verified: self-check passed]", type="tertiary"):
        st.markdown("**Before its numbers are shown, the model is checked on this machine.**")
        for item in report.items:
            st.markdown(
                f":green[:material/check:] **{markdown(item_name(item.name))}**: {markdown(item.explanation)}  \n"
                f":gray[deviation {item.value:.2g}, allowed {item.tolerance:.2g}]"
            )
        st.caption(markdown(when(report)))


def stop_if_failed(refs: Sequence[str], device: str, dtype: str) -> None:
    """End the page with the report where one of these models is known to fail its self-check."""
    if failed := failures(refs, device, dtype):
        _end_with(failed)


def _withdraw(report: Verdict) -> None:
    """Start the page over, once: what it showed before the verdict was known is gone then."""
    withdrawn: set[Any] = st.session_state.setdefault(_WITHDRAWN, set())
    which = report.fingerprint, report.model.device, report.model.dtype
    if which not in withdrawn:
        withdrawn.add(which)
        st.rerun()


def _end_with(failed: Sequence[Verdict]) -> None:
    """Show the reports, and nothing after them."""
    for report in failed:
        names = and_list([item_name(item.name) for item in report.items if not item.passed])
        st.error(
            f"{markdown(report.model.ref)} fails its self-check ({markdown(names)}), so none of its numbers are "
            "shown. Choose another number format or another model.",
            icon=":material/gpp_bad:",
        )
        show_report(report)
    st.stop()
