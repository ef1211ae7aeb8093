"""Ask another language model whether the answers are of the right kind, and hold what it says against the rule.

The key that the judge's server may want is used once, for that server alone: it is neither bound to the address nor
written anywhere.  Verdicts are kept by the engine, so that a second look costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from ..guard import say_error
from ..state import flag
from ..text import count, markdown
from ..under_way import under_way
from ..worker import workshop
from .charts import share_words
from .progress import said, watch

if TYPE_CHECKING:
    from ivcore.behaviour.llm_judge import JudgeSettings
    from ivcore.runs import BehaviourRun, Judged, Progress

__all__ = ["judged_before", "show_judge"]

_ASKED = "judges asked"
_MOST_KEPT = 50

WHY = (
    "The rule above is a list or the shape of a word. Another language model can judge the kind where a rule cannot, "
    "and a high agreement says that the rule is sound. Any server that speaks the OpenAI protocol will do, also one "
    "on this machine. **Instruction, queries and answers are sent to the address below, and nowhere else.**"
)


def judged_before(run: BehaviourRun) -> Judged | None:
    """What the judge that this visitor asked last said of the run."""
    return _results().get(_asked().get(run.key, ""))


def show_judge(run: BehaviourRun, command: str | None) -> None:
    """The section; ``command`` is what prints the run's numbers, for the same with a judge."""
    key = _asked().get(run.key, "")
    job, found = workshop().find(key), judged_before(run)
    with st.expander("Ask another language model about the kind", icon=":material/gavel:", expanded=job is not None):
        st.markdown(WHY)
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            address = st.text_input(
                "Address of the judge", key="judge address", placeholder="http://localhost:8000/v1", width=300
            ).strip()
            model = st.text_input("Its model", key="judge model", placeholder="name on that server", width=220).strip()
            secret = st.text_input(
                "Key, if it wants one",
                type="password",
                key="judge key",
                autocomplete="off",
                width=200,
                help="Sent to that server alone; not stored, and not part of any address.",
            ).strip()
            pressed = st.button(
                f"Judge {count(run.n_samples)} answers", icon=":material/gavel:", disabled=not (address and model)
            )
        if pressed:
            _start(run, address, model, secret)
        if going := under_way([job]):
            watch(going, "Judging", "answers")
            return
        if job is not None:
            said([job], "Verdicts so far are kept.")
        if found is not None:
            _show(found)
            if command is not None and address and model:
                st.caption("Command line; it reads the key from IVCORE_JUDGE_KEY")
                more = shlex.join([*flag("judge", address), *flag("judge-model", model)])
                st.code(f"{command} {more}", language=None, wrap_lines=True)


def _start(run: BehaviourRun, address: str, model: str, secret: str) -> None:
    """Put the questions in the background, or say what is wrong with the settings."""
    from ivcore.behaviour.llm_judge import JudgeSettings, check_settings
    from ivcore.errors import InputError

    settings = JudgeSettings(address, model, secret or None)
    try:
        check_settings(settings)
    except InputError as err:
        say_error(err)
        return
    key = _key(run, settings)
    results = _results()

    def work(on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]) -> object:
        from ivcore.runs import judge_answers

        results[key] = judge_answers(run, settings, on_progress=on_progress, should_stop=should_stop)
        for old in list(results)[: max(0, len(results) - _MOST_KEPT)]:
            results.pop(old, None)
        return None

    workshop().start(key, f"{run.request.task} on {run.model['ref']}", f"judge {address}", work)
    st.session_state[_ASKED] = _asked() | {run.key: key}
    st.rerun()


def _show(found: Judged) -> None:
    """The judge's share, its agreement with the rule, and what it left open."""
    unclear = [judgement.reason for judgement in found.judgements if judgement.reason is not None]
    st.markdown(
        f"**{markdown(found.model)}** finds **{share_words(found.ia)}** of {count(found.ia.n)} answers to be of the "
        f"right kind, and agrees with the rule on **{share_words(found.agreement)}** of them. Its verdicts stand in "
        "the table above."
    )
    if unclear:
        some = f"{count(len(unclear))} answer{'s' if len(unclear) > 1 else ''} got no verdict"
        st.warning(f"{some}, the first because: {markdown(unclear[0])}", icon=":material/help:")


def _asked() -> dict[str, str]:
    """By run, the job of the judge that this visitor asked last."""
    asked: dict[str, str] = st.session_state.get(_ASKED, {})
    return asked


def _key(run: BehaviourRun, settings: JudgeSettings) -> str:
    """Of the job: another key is another job, so that nobody sees how somebody else's was received."""
    parts = [run.key, settings.address, settings.model, settings.key]
    return f"judge {hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


@st.cache_resource(show_spinner=False)
def _results() -> dict[str, Judged]:
    """By job, what the judge said."""
    return {}
