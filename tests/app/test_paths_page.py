"""The Paths page through Streamlit's AppTest: finished and missing traces, all three pictures, a task, bad input."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from ivcore.models import load_model
from ivcore.paths import Tracer
from ivcore.prompts import build_answer, build_prompt
from ivcore.prompts.tasks import load_task
from ivcore.runs import run_paths, task_paths_request
from ivcore.store import Store
from tests.app.conftest import APP
from tests.app.driving import assert_one_sentence, button, finish, jobs, rows
from tests.app.reading import plain, words
from ui.paths import runs as paths_runs
from ui.paths.parting import parting
from ui.paths.state import AT, FLOW, PAIR, TASK
from ui.paths.texts import first_texts, items_of, sibling_of
from ui.state import OTHER
from ui.text import visible
from ui.worker import State

PATIENCE = 120.0
START = "Follow the paths"
FIRST = first_texts("adj_ant")
Open = Callable[..., AppTest]


@pytest.fixture
def open_page(folder: Path, cache: Path) -> Open:
    """Open the Paths page at an address with these parameters; by default on the tiny model."""

    def opened(**parameters: str) -> AppTest:
        page = AppTest.from_file(str(APP), default_timeout=300)
        page.switch_page("pages/paths.py")
        for name, value in ({"model": OTHER, "ref": str(folder)} | parameters).items():
            page.query_params[name] = value
        return page.run()

    return opened


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a trace of three samples of a task, the paths of two of them kept."""
    own = tmp_path_factory.mktemp("finished") / "runs"
    request = replace(task_paths_request(load_task("adj_ant"), 3, 1), n_listed=2)
    run_paths(Store(own), load_model(str(folder)), request)
    return own


@pytest.fixture
def ready(open_page: Open, cache: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """The same where the trace is finished; nothing is traced again."""
    shutil.copytree(finished, cache)
    paths_runs.opened.clear()
    monkeypatch.setattr("ui.paths.runs.start", lambda *_: pytest.fail("traced again"))
    return open_page


@pytest.fixture
def tracer(folder: Path) -> Callable[..., tuple[Tracer, int, int]]:
    """The engine's own answer: tracer, T_inst and answer token of a prompt."""

    def made(k: int = 1, instruction: str = FIRST.instruction, answer: str = FIRST.answer) -> tuple[Tracer, int, int]:
        model = load_model(str(folder))
        prompt = build_prompt(model.tokenizer, instruction, FIRST.query)
        token = build_answer(model.tokenizer, prompt, answer).id
        return Tracer(model, prompt.ids_full, top_k=k), prompt.t_inst, token

    return made


def picture(page: AppTest) -> dict[str, Any]:
    """What the graph was given."""
    found = next(one for one in page.get("bidi_component") if one.proto.component_name.endswith("iv_paths_graph"))
    data: dict[str, Any] = json.loads(found.proto.json)
    return data


def metrics(page: AppTest) -> list[str]:
    return [metric.value for metric in page.metric]


def assert_whole(page: AppTest) -> AppTest:
    assert not page.exception and not page.error, [element.value for element in page.error]
    return page


# ---- one prompt


def test_a_small_trace_appears_unasked_with_the_engines_numbers(
    open_page: Open, tracer: Callable[..., tuple[Tracer, int, int]]
) -> None:
    page = assert_whole(open_page(k="2"))
    exact, t_inst, token = tracer(2)
    (source,) = exact.trace([t_inst], token).sources
    n_high = len(source.found.ranks)
    assert metrics(page)[0] == f"{n_high:,} of {source.found.n_paths:,}" and n_high
    text = words(page)
    assert f"of {n_high:,}** high-ranking paths are drawn" in text and "Were ranks dealt at random" in text
    best = max(abs(source.found.logits).tolist())
    table = page.dataframe[0].value
    assert abs(table["logit"].iloc[0]) == pytest.approx(best) and len(table) == min(40, n_high)
    drawn = picture(page)
    through = {edge["id"] for edge in drawn["edges"]}
    first = source.found.positions[abs(source.found.logits).argmax()].tolist()
    assert {f"e {layer} {j} {i}" for layer, (j, i) in enumerate(pairwise(first))} <= through
    assert "one prompt (n = 1)" in text and "fingerprint" in text and "float32" in text and "k = 2" in text
    assert any("trace --model" in code.value and "--top-k 2 --sources t_inst" in code.value for code in page.code)
    assert len(paths_runs.summaries()) == 1
    before = len(jobs())
    assert_whole(open_page(k="2"))
    assert len(jobs()) == before, "found again"


def test_a_sample_of_a_finished_task_opens_at_once(ready: Open) -> None:
    page = assert_whole(ready())
    (summary,) = paths_runs.summaries()
    run = paths_runs.opened(summary.key)
    row = next(r for r in run.rows_of(0).tolist() if run.position[r] == run.samples[0].t_inst)
    assert metrics(page)[0] == f"{run.n_high_ranking[row]:,} of {run.n_paths[row]:,}"
    every = assert_whole(ready(begin="every token"))
    assert metrics(every)[0] == f"{run.n_high_ranking[run.rows_of(0)].sum():,} of {run.n_paths[run.rows_of(0)].sum():,}"
    assert metrics(assert_whole(ready(begin=AT, at="0,1")))[0].endswith(
        f" of {run.n_paths[run.rows_of(0)][:2].sum():,}"
    )
    assert metrics(ready(query=items_of("adj_ant")[1][0], answer=items_of("adj_ant")[1][1]))


def test_paths_that_were_not_kept_are_told_and_traced_when_asked_for(
    open_page: Open, cache: Path, folder: Path, tracer: Callable[..., tuple[Tracer, int, int]]
) -> None:
    request = replace(task_paths_request(load_task("adj_ant"), 2, 3, max_rank=90), n_listed=1, max_listed=1)
    run_paths(Store(cache), load_model(str(folder)), request)
    traced, t_inst, answer = tracer(k=3)
    n_high = len(traced.trace([t_inst], answer, max_rank=90).sources[0].found.ranks)
    assert n_high > 1, "control: there is something to cut"
    before = jobs()
    page = assert_whole(open_page(query=FIRST.query, answer=FIRST.answer, k="3", rank="90"))
    assert f"{n_high - 1} were counted but not kept" in words(page) and jobs() == before
    button(page, f"Keep all {n_high} paths").click().run()
    page = assert_whole(finish(page))
    assert "not kept" not in words(page) and [job.state for job in jobs() if job not in before] == [State.DONE]
    assert not [found for found in page.button if found.label.startswith("Keep all")]


def test_filters_leave_what_they_say(ready: Open) -> None:
    page = assert_whole(ready(begin="every token", drawn="5"))
    assert len(page.dataframe[0].value) == 5 and "**5 of" in words(page)
    page = assert_whole(page.slider(key="upto").set_value(20).run())
    assert page.dataframe[0].value["rank"].max() <= 20 and "are filtered out" in words(page)
    name = page.selectbox(key="head").options[1]
    page = assert_whole(page.selectbox(key="head").set_value(name).run())
    layer, head = (int(part.split()[-1]) for part in name.split(","))
    (summary,) = paths_runs.summaries()
    heads = paths_runs.opened(summary.key).edges(0).heads[layer, head]
    for edge in picture(page)["edges"]:
        at, j, i = map(int, edge["id"].split()[1:])
        assert at != layer or heads[i, j], "every drawn path goes through the head"
    assert "head=layer" in page.code[0].value or "k=1" in page.code[0].value
    page = page.selectbox(key="from").set_value(page.selectbox(key="from").options[-1]).run()
    assert_whole(page)


def test_what_is_picked_shows_its_numbers_and_words(
    ready: Open, folder: Path, tracer: Callable[..., tuple[Tracer, int, int]]
) -> None:
    from ivcore.paths import said
    from ivcore.prompts.display import token_text

    page = ready()
    options = page.selectbox(key="pick").options
    path = next(name for name in options if name.startswith("path "))
    page = assert_whole(page.selectbox(key="pick").set_value(path).run())
    positions = [int(part) for part in path.split()[1:]]
    exact, _, _ = tracer()
    states = exact.path_states(positions)
    (best, _), *_ = said(exact.frozen, states[-1]).promoted
    word = token_text(load_model(str(folder)).tokenizer, best)
    steps = page.dataframe[0].value
    assert len(steps) == len(positions) and "carried by" in steps
    assert steps["promotes"].iloc[-1].startswith(visible(word))
    assert picture(page)["chosen"]["edges"][0].startswith("e 0 ")
    assert "It ranks the answer" in words(page)
    for name in (next(o for o in options if o.startswith("token")), next(o for o in options if o.startswith("layer"))):
        page = assert_whole(page.selectbox(key="pick").set_value(name).run())
        assert "Exact flow from T_inst" in words(page) and "high-ranking paths" in words(page)
        assert any("promotes" in element.proto.body for element in page.get("html"))
    again = assert_whole(ready(pick=path))
    assert "It ranks the answer" in words(again)


def test_the_exact_flow_is_the_engines(ready: Open, tracer: Callable[..., tuple[Tracer, int, int]]) -> None:
    page = assert_whole(ready(picture=FLOW))
    exact, t_inst, token = tracer()
    flow = exact.flow(t_inst, token)
    table = page.dataframe[0].value
    strongest = table.iloc[0]
    assert abs(strongest["flow"]) == pytest.approx(float(abs(flow.edges).max()), rel=1e-4)
    assert f"{flow.total:.3f}".replace("-", "−") in words(page)
    (bars,) = rows(page, "flow", "what", "layer")
    by_layer = {line["layer"]: 0.0 for line in bars}
    for line in bars:
        by_layer[line["layer"]] += line["flow"]
    assert list(by_layer.values()) == pytest.approx([flow.total] * exact.frozen.n_layers, rel=1e-3)
    other = page.selectbox(key="flowfrom").options[1]
    page = assert_whole(page.selectbox(key="flowfrom").set_value(other).run())
    flow = exact.flow(int(other.split()[0]), token)
    assert abs(page.dataframe[0].value.iloc[0]["flow"]) == pytest.approx(float(abs(flow.edges).max()), rel=1e-4)


def test_two_instructions_are_compared_path_by_path(open_page: Open) -> None:
    page = assert_whole(open_page(picture=PAIR, k="2"))
    both = []
    for texts in (FIRST, sibling_of(FIRST)):
        assert texts is not None
        summary = next(s for s in paths_runs.summaries() if s.request.instruction == texts.instruction)
        run = paths_runs.opened(summary.key)
        both.append(paths_runs.Traced(run, 0, tuple(run.rows_of(0).tolist())))
    t_inst = both[0].info.t_inst, both[1].info.t_inst
    assert t_inst[0] != t_inst[1], "instructions differ in length"
    found = parting(both[0].paths(), both[1].paths(), t_inst)
    text = words(page)
    assert (
        f"**{found.shared:,}** high-ranking paths are shared, **{found.first_only:,}** run only under adj_ant" in text
    )
    (bars,) = rows(page, "layer", "paths", "whose")
    assert sum(line["paths"] for line in bars) == found.first_only + found.second_only
    assert "adj_comp" in text and len(picture(page)["legend"]) == 3
    assert sum("trace --model" in line for code in page.code for line in code.value.splitlines()) == 2
    page = assert_whole(page.text_input(key="instruction2").set_value("Sing a song.").run())
    assert "Type another instruction" in plain(page.info[0].value)


def test_more_paths_are_asked_about_first_and_run_behind_the_page(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.paths.run._QUICK_PATHS", 0)
    before = len(jobs())
    page = assert_whole(open_page(k="2", begin="T_inst and after"))
    (summary,) = [metrics(page)]
    expected = paths_runs.expected
    assert expected and int(summary[0].replace(",", "")) > 0 and summary[1].endswith("tokens")
    assert "from token" in words(page) and len(jobs()) == before and not paths_runs.summaries()
    page = button(page, START).click().run()
    page = assert_whole(finish(page))
    assert metrics(page)[0].endswith(f" of {int(summary[0].replace(',', '')):,}"), "counted, not estimated"


def test_a_trace_can_be_stopped_and_goes_on_later(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from ivcore.runs import Stopped

    def slow(*_: object, **options: Any) -> object:
        while not options["should_stop"]():
            time.sleep(0.01)
        raise Stopped

    monkeypatch.setattr("ivcore.runs.run_paths", slow)
    monkeypatch.setattr("ui.paths.run._QUICK_PATHS", 0)
    first, second = open_page(k="3"), open_page(k="3")
    before = len(jobs())
    button(first, START).click().run()
    second.run()
    assert len(jobs()) == before + 1 and not any(START in found.label for found in second.button)
    button(second, "Stop").click().run()
    page = finish(first)
    assert jobs()[-1].state is State.STOPPED
    assert "Stopped" in plain(page.info[0].value) and button(page, "Resume")


def test_a_damaged_run_is_told_and_not_shown(ready: Open, cache: Path) -> None:
    arrays = next(cache.glob("*/arrays.npz"))
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(bytes(content))
    page = ready(look=TASK, samples="3")
    assert not page.exception and any("damaged" in plain(element.value) for element in page.warning)
    assert not rows(page, "place", "value") and button(page, START)


# ---- a whole task


def test_what_is_missing_is_said_and_computed_behind_the_page(open_page: Open, folder: Path) -> None:
    page = assert_whole(open_page(look=TASK, samples="3"))
    assert "Nothing is computed yet" in plain(page.info[0].value) and "1 of 1 stages not computed" in plain(
        page.expander[1].label
    )
    assert any("[[paths]]" in code.value and "precompute plan.toml" in code.value for code in page.code)
    page = assert_whole(finish(button(page, START).click().run()))
    (summary,) = paths_runs.summaries()
    assert summary.request == task_paths_request(load_task("adj_ant"), 3, 1), "what precompute makes from the plan"
    assert len(rows(page, "place", "value")) == 2


def test_a_task_shows_which_token_sends_out_the_paths(ready: Open) -> None:
    page = assert_whole(ready(look=TASK, samples="3"))
    (summary,) = paths_runs.summaries()
    run = paths_runs.opened(summary.key)
    counts, shares = rows(page, "place", "value")
    at_inst = [r for r in range(len(run.sample)) if run.position[r] == run.samples[int(run.sample[r])].t_inst]
    (bar,) = [line for line in counts if line["offset"] == 0]
    assert bar["value"] == pytest.approx(run.n_high_ranking[at_inst].mean()) and bar["n"] == 3
    (bar,) = [line for line in shares if line["offset"] == 0]
    assert bar["value"] == pytest.approx(run.n_high_ranking[at_inst].sum() / run.n_paths[at_inst].sum())
    assert "sends out most" in words(page) and "n = 3 samples" in words(page)
    page = assert_whole(page.selectbox(key="sample").set_value(page.selectbox(key="sample").options[2]).run())
    counts, _ = rows(page, "place", "value")
    assert len(counts) == len(run.rows_of(1)) and all(line["n"] == 1 for line in counts)
    page = assert_whole(button(page, "See the paths of this sample").click().run())
    assert page.text_input(key="query").value == run.request.items[1][0]


def test_fewer_sources_than_asked_for_are_said(ready: Open, cache: Path, folder: Path) -> None:
    shutil.rmtree(cache)
    request = task_paths_request(load_task("adj_ant"), 3, 1, sources="from_t_inst")
    run_paths(Store(cache), load_model(str(folder)), request)
    page = assert_whole(ready(look=TASK, samples="3"))
    assert "Computed so far: paths that begin at T_inst and after" in words(page) and rows(page, "place", "value")


# ---- bad input


@pytest.mark.parametrize(
    ("parameters", "parts"),
    [
        ({"k": "60"}, ["60 most attended", "choose 1 to"]),
        ({"begin": AT, "at": "999"}, ["source 999", "choose 0 to"]),
        ({"begin": AT, "at": "here"}, ["no positions"]),
        ({"begin": AT, "at": "9" * 4000}, ["no positions"]),
        ({"surrogate": "as released", "k": "2"}, ["k = 1"]),
        ({"query": "word " * 600}, ["tokens but the model takes 512"]),
        ({"k": "60", "begin": "every token", "instruction": "Say " * 90}, ["at most 1,000,000", "lower k"]),
        ({"ref": "/no/such/folder"}, ["/no/such/folder"]),
        ({"instruction": " "}, ["white space"]),
    ],
)
def test_what_cannot_be_traced_is_one_sentence(open_page: Open, parameters: dict[str, str], parts: list[str]) -> None:
    assert_one_sentence(open_page(**parameters), *parts)


def test_what_is_still_to_be_typed_is_asked_for(open_page: Open) -> None:
    for parameters, part in (
        ({"ref": ""}, "Type the folder"),
        ({"instruction": "Sing.", "answer": " "}, "Type the answer"),
        ({"begin": AT}, "Type the positions"),
    ):
        page = assert_whole(open_page(**parameters))
        assert part in plain(page.info[0].value)


def test_a_prompt_of_three_hundred_tokens_is_traced(open_page: Open) -> None:
    page = assert_whole(open_page(query="big " * 300 + "Answer:", begin="T_inst"))
    assert len([node for node in picture(page)["nodes"] if node["id"].startswith("x ")]) < 60


def test_what_a_link_names_wrongly_is_told_and_ignored(ready: Open) -> None:
    page = ready(k="10000000000000000000000000", rank="-3", surrogate="x", begin="nowhere", picture="Y", pick="path 1")
    assert_whole(page)
    told = " ".join(plain(element.value) for element in page.warning)
    for part in ("“10000000000000000000000000”", "“-3”", "“x”", "“nowhere”", "“Y”", "“path 1”"):
        assert part in told


def test_markup_is_shown_literally(open_page: Open) -> None:
    markup = "<script>x=1</script> **do** <img src=x>"
    page = assert_whole(open_page(instruction=markup, query=f"{markup}:", answer="<b>x", k="3"))
    raw = " ".join(element.value for element in [*page.markdown, *page.caption])
    drawn = " ".join(element.proto.body for element in page.get("html"))
    assert "<script" not in raw + drawn and "<img" not in raw + drawn and "<b>" not in raw
    assert "&lt;" in drawn and picture(page)["nodes"]


def test_the_texts_follow_examples_and_buttons(ready: Open) -> None:
    page = assert_whole(ready())
    page = button(page, "Another query").click().run()
    assert page.text_input(key="query").value == items_of("adj_ant")[1][0]
    assert page.text_input(key="answer").value == items_of("adj_ant")[1][1]
    assert_whole(page)
