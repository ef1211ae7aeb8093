"""Task sets: the bundled ones, a person's own CSV, BIG-bench's files and hub data set, and the choice of items."""

from __future__ import annotations

import csv
import errno
import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from huggingface_hub import errors as hub_errors

from ivcore.behaviour import judge
from ivcore.errors import DataError, ExplorerError, OfflineError
from ivcore.prompts.tasks import (
    BIGBENCH_TASKS,
    Task,
    all_task_names,
    choose_items,
    kind_tasks,
    load_bigbench,
    load_bigbench_hub,
    load_task,
    load_task_csv,
    query_text,
    subtasks_of,
    task_names,
)

READING = ("metaphor_boolean", "implicatures", "snarks")
TRAINED = (
    "adj_comp adj_ant adj_sup adj_noun anim_color can_fly anim_legs anim_class country_capital country_continent "
    "country_language country_demonym verb_past verb_gerund verb_third verb_participle noun_plural noun_article "
    "noun_category num_next num_prev num_parity num_word num_double object_counting first_object last_object"
)


def read(source: Path | bytes, subtask: str = "opposite") -> Task:
    return load_task_csv(source, subtask, "State the opposite.", "Word")


def sentence_of(source: Path | bytes, subtask: str = "opposite") -> str:
    """The error's message: one line, no traceback of another exception inside it."""
    with pytest.raises(DataError) as caught:
        read(source, subtask)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


def by_first_part(value: object) -> str:
    """A test's name: the first words its message must have."""
    return str(value[0]) if isinstance(value, list) else ""


# The bundled tasks


def test_the_tasks_of_the_bundled_models_stay_as_they_are() -> None:
    assert task_names() == tuple(TRAINED.split())
    assert all_task_names() == (*task_names(), *READING)


@pytest.mark.parametrize("name", READING)
def test_reading_tasks_are_large_balanced_and_of_the_papers_form(name: str) -> None:
    task = load_task(name)
    form = {
        "metaphor_boolean": r"Sentence 1: [^:]+[.] Sentence 2: [^:]+[.]",
        "implicatures": r"Speaker 1: '[^:]+[?]' Speaker 2: '[^:]+[.?]'",
        "snarks": r"A: [^:]+[.?] B: [^:]+[.?]",
    }[name]
    assert len(set(task.queries)) == len(task.queries) >= 40
    assert all(re.fullmatch(form, query) for query in task.queries)
    counts = Counter(task.answers)
    assert sorted(counts) == (["A", "B"] if name == "snarks" else ["N", "Y"])
    assert len(set(counts.values())) == 1
    assert task.prompt_text(task.queries[0]) == f"{task.queries[0]} Answer:"
    assert kind_tasks(task.kind) == (name,)


@pytest.mark.parametrize("name", ["metaphor_boolean", "implicatures"])
def test_the_first_part_alone_does_not_tell_the_answer(name: str) -> None:
    """Each metaphor and each question comes once with either answer."""
    task = load_task(name)
    seen: dict[str, list[str]] = {}
    for query, answer in zip(task.queries, task.answers, strict=True):
        seen.setdefault(re.split(" S[a-z]+ 2: ", query)[0], []).append(answer)
    assert {tuple(sorted(answers)) for answers in seen.values()} == {("N", "Y")}


def test_a_reading_answer_is_judged_by_its_letter() -> None:
    task = load_task("snarks")
    assert judge(task.rule, " A.", "A").exact
    wrong, other = judge(task.rule, " B", "A"), judge(task.rule, " C", "A")
    assert (wrong.exact, wrong.valid, other.valid) == (False, True, False)


def test_query_text_with_and_without_a_field() -> None:
    assert load_task("adj_comp").prompt_text("big") == query_text("Adjective", "big") == "Adjective: big. Answer:"
    assert query_text("", "A: yes. B: no.") == "A: yes. B: no. Answer:"


def test_an_unknown_task_lists_all_names() -> None:
    with pytest.raises(DataError, match=r"no task 'adj'.*adj_comp.*snarks"):
        load_task("adj")


# A person's own CSV


def test_a_csv_gives_its_rows() -> None:
    task = read(b"query,plural,opposite\nhot,x,cold\n wide , y ,narrow\n")
    assert (task.name, task.field, task.instruction) == ("opposite", "Word", "State the opposite.")
    assert (task.queries, task.answers) == (("hot", "wide"), ("cold", "narrow"))
    assert task.paraphrases == ("State the opposite.",) and task.pair is None and task.pattern is None
    assert task.prompt_text("hot") == "Word: hot. Answer:"
    assert read(b"query,plural,opposite\nhot,x,cold\n", "plural").answers == ("x",)
    assert subtasks_of(b"query,plural,opposite\n") == ("plural", "opposite")
    assert subtasks_of(b"\xef\xbb\xbfb,query,a\n") == ("b", "a")


def test_a_name_and_a_field_of_ones_own() -> None:
    task = load_task_csv(b"query,a\nx,y\n", "a", "Do it.", " Word: ", name="mine")
    assert (task.name, task.field) == ("mine", "Word")
    assert load_task_csv(b"query,a\nx,y\n", "a", "Do it.", "").prompt_text("A: x.") == "A: x. Answer:"


def test_a_bundled_file_reads_as_the_bundled_task() -> None:
    from ivcore.prompts.tasks import DATA

    task = load_task_csv(DATA / "sentences.csv", "last_object", "I", "Sentence")
    assert (task.queries, task.answers) == (load_task("last_object").queries, load_task("last_object").answers)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_mark_do_not_matter(tmp_path: Path, end: str, mark: bytes) -> None:
    path = tmp_path / "words.csv"
    path.write_bytes(mark + end.join(["query,opposite", "", 'Größe,"a, ""b"""', ""]).encode())
    assert (read(path).queries, read(path).answers) == (("Größe",), ('a, "b"',))


def test_formulas_are_text() -> None:
    cells = ["=1+1", "+49", "-5", "@SUM(A1)", '=HYPERLINK("http://example.org")']
    file = io.StringIO()
    csv.writer(file).writerows([("query", "opposite"), *((cell, cell) for cell in cells)])
    task = read(file.getvalue().encode())
    assert task.queries == task.answers == tuple(cells)


def test_the_same_row_twice_counts_once() -> None:
    assert read(b"query,opposite\nhot,cold\nhot, cold\nbig,small\n").queries == ("hot", "big")


def test_case_counts_where_answers_have_capitals() -> None:
    assert not read(b"query,opposite\nhot,cold\n").cased
    assert read(b"query,opposite\nFrance,Paris\nSpain,Madrid\n").cased


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"", ["empty (0 bytes)"]),
        (b"\xef\xbb\xbf", ["no header"]),
        (b"\n  \n", ["no header"]),
        (b"query,opposite\n", ["no rows"]),
        (b"word,opposite\nhot,cold\n", ["no column 'query'", "'word', 'opposite'"]),
        (b"query;opposite\nhot;cold\n", ["no column 'query'", "'query;opposite'", "commas"]),
        (b"query\nhot\n", ["only the column 'query'"]),
        (b"query,antonym,plural\nhot,cold,x\n", ["no column of answers 'opposite'", "it has 'antonym', 'plural'"]),
        (b"query,opposite,opposite\nhot,cold,x\n", ["two columns 'opposite'"]),
        (b"query,opposite,\nhot,cold,\n", ["column without a name"]),
        (b"query,opposite\nhot,cold\nbig, \n", ["line 3", "'opposite' is empty"]),
        (b"query,opposite\nhot,cold\n,small\n", ["line 3", "'query' is empty"]),
        (b"query,opposite\nhot\n", ["line 2", "1 cells where the header has 2"]),
        (b"query,opposite\nhot,cold,warm\n", ["line 2", "3 cells"]),
        (b"query,opposite\nhot,cold\n\nhot,warm\n", ["line 4", "'hot'", "'warm'", "'cold'"]),
        (b'query,opposite\n"a\nb",c\n"a\nb",d\n', ["line 4", "'c'", "'d'"]),
        (b'query,opposite\nhot,cold\n"big,small\n', ["line 3", "CSV"]),
        (b"query,opposite\nhot,k\xe4lt\n", ["not UTF-8", "line 2, byte 21,", "0xe4"]),
        (b"\xef\xbb\xbfquery,opposite\nhot,k\xe4lt\n", ["line 2, byte 24,", "0xe4"]),
        ("query,opposite\nhot,cold\n".encode("utf-16"), ["not UTF-8", "line 1, byte 1,", "0xff"]),
        (b"query,opposite\nhot,co\0ld\n", ["NUL", "line 2, byte 22,"]),
    ],
    ids=by_first_part,
)
def test_bad_input_is_one_sentence_that_says_where(data: bytes, parts: list[str]) -> None:
    message = sentence_of(data)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("row", "n_times", "parts"),
    [
        (b"hot,%s\n" % (b"c" * 2_001), 1, ["line 2", "2,001 characters", "2,000"]),
        (b"hot,%s\n" % (b"c" * 200_000), 1, ["line 2", "2,000 characters"]),
        (b"a,b\n", 5_000_000, ["larger than 20 MB"]),
        (b"a,b\n", 100_001, ["more than 100,000 rows"]),
    ],
    ids=["cell", "huge cell", "bytes", "rows"],
)
def test_what_is_too_large_is_refused(row: bytes, n_times: int, parts: list[str]) -> None:
    message = sentence_of(b"query,opposite\n" + row * n_times)
    assert all(part in message for part in parts), message


def test_the_limits_themselves_are_allowed() -> None:
    rows = b"".join(b"%d,b\n" % n for n in range(100_000))
    assert len(read(b"query,opposite\n" + rows).queries) == 100_000
    assert len(read(b"query,opposite\nhot," + b"c" * 2000 + b"\n").answers[0]) == 2000


def test_the_queries_are_no_answers_and_the_instruction_is_needed() -> None:
    assert "'query'" in sentence_of(b"query,opposite\nhot,cold\n", "query")
    with pytest.raises(DataError, match="instruction is empty"):
        load_task_csv(b"query,a\nx,y\n", "a", "  ", "Word")


def test_a_path_that_cannot_be_read(tmp_path: Path) -> None:
    assert "'absent.csv' cannot be read (No such file" in sentence_of(tmp_path / "absent.csv")
    assert "cannot be read (Is a directory)" in sentence_of(tmp_path)
    assert "cannot be read" in sentence_of(tmp_path / "a\0b.csv")


# BIG-bench

CORE = {
    "object_counting": ("I have a cow, and two owls. How many animals do I have?", "Sentence: {}", "3"),
    "metaphor_boolean": ("He is a fox. <--> He is sly.", "Sentence 1: He is a fox. Sentence 2: He is sly.", "Y"),
    "implicatures": (
        "Speaker 1: 'Is it late?' Speaker 2: 'The sun is rising.'",
        "Speaker 1: 'Is it late?' Speaker 2: 'The sun is rising.'",
        "Y",
    ),
    "snarks": (
        "Which statement is sarcastic? (a) I love cake. (b) I love flu.",
        "A: I love cake. B: I love flu.",
        "B",
    ),
}
SCORES = {
    "metaphor_boolean": {"False": 0, "True": 1},
    "implicatures": {"yes": 1.0, "no": 0.0},
    "snarks": {"(a)": 0, "(b)": 1},
}


def example(name: str, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"input": CORE[name][0]}
    made |= {"target_scores": SCORES[name]} if name in SCORES else {"target": ["three", "3"]}
    return made | changes


def document(*examples: Any) -> bytes:
    return json.dumps({"name": "x", "examples": list(examples)}).encode()


def expected(name: str) -> tuple[str, str]:
    text, query, answer = CORE[name]
    return query.format(text), answer


@pytest.mark.parametrize("name", BIGBENCH_TASKS)
def test_bigbench_becomes_the_papers_prompt(tmp_path: Path, name: str) -> None:
    path = tmp_path / "task.json"
    path.write_bytes(document(example(name)))
    task = load_bigbench(path, name)
    query, answer = expected(name)
    assert (task.name, task.queries, task.answers) == (name, (query,), (answer,))
    assert task.prompt_text(query) == f"{query} Answer:"
    assert task.instruction == load_task(name).instruction == task.paraphrases[0]
    assert task.rule.allows("12" if name == "object_counting" else answer) and not task.rule.allows("maybe")
    assert load_bigbench(path.read_bytes(), name) == task


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("object_counting", {"target": "3"}),
        ("object_counting", {"target": 3}),
        ("metaphor_boolean", {"input": "He is a fox.  <-->   He is sly."}),
        ("metaphor_boolean", {"target_scores": {"True": 1, "False": 0}}),
        ("snarks", {"input": "Which is it?\nOptions:\n(A) I love cake.\n(B) I love flu.", "target": "(B)"}),
    ],
)
def test_other_ways_to_write_the_same_example(name: str, changes: dict[str, Any]) -> None:
    made = example(name, **changes)
    if name == "snarks":
        del made["target_scores"]
    task = load_bigbench(document(made), name)
    assert (task.queries[0], task.answers[0]) == expected(name)


def test_the_answer_is_the_choice_with_the_highest_score() -> None:
    """Negative control of the tests above: another score, another letter."""
    for scores, letter in (({"(a)": 0.2, "(b)": -1}, "A"), ({"(b)": 1, "(a)": 0}, "B")):
        assert load_bigbench(document(example("snarks", target_scores=scores)), "snarks").answers == (letter,)


def test_a_query_with_two_answers_is_left_out_and_a_repeated_one_counts_once() -> None:
    other = example("snarks", input="(a) One. (b) Two.")
    flipped = example("snarks", target_scores={"(a)": 1, "(b)": 0})
    task = load_bigbench(document(example("snarks"), flipped, other, other), "snarks")
    assert task.queries == ("A: One. B: Two.",)


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"", ["empty"]),
        (b"{", ["not JSON", "task.json"]),
        (b"[" * 100_000, ["not JSON"]),
        (b"[]", ["no list 'examples'"]),
        (b'{"examples": []}', ["no list 'examples'"]),
        (b'{"examples": {"input": 1}}', ["no list 'examples'"]),
        (document(1), ["example 1", "'input'"]),
        (document(example("snarks", input=["(a) x (b) y"])), ["example 1", "'input'"]),
        (document(example("snarks", input="(a) \ud800 (b) y")), ["example 1", "'input'"]),
        (document(example("snarks"), example("snarks", input="only one")), ["example 2", "'only one'", "A: {} B: {}"]),
        (document(example("snarks", input="(a) x (b) " + "y" * 2000)), ["example 1", "2,010 characters"]),
        (document(example("snarks", target_scores={"(a)": 1, "(b)": 1})), ["example 1", "'target_scores'"]),
        (document(example("snarks", target_scores={"(a)": float("nan"), "(b)": 1})), ["example 1", "'target_scores'"]),
        (document(example("snarks", target_scores={"(a)": "1", "(b)": 0})), ["example 1", "'target_scores'"]),
        (document(example("snarks", target_scores={"(c)": 1, "(b)": 0})), ["example 1", "'a' or 'b'"]),
        (document({"input": "(a) x (b) y"}), ["example 1", "'target'"]),
        (document(example("snarks"), example("snarks", target_scores={"(a)": 1})), ["no query with one answer"]),
    ],
    ids=by_first_part,
)
def test_a_bad_task_json_is_one_sentence(data: bytes, parts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        load_bigbench(data, "snarks")
    message = str(caught.value)
    assert all(part in message for part in parts) and "\n" not in message, message


def test_a_count_in_words_alone_is_refused() -> None:
    with pytest.raises(DataError, match="a number in digits"):
        load_bigbench(document(example("object_counting", target="three")), "object_counting")


def test_other_bigbench_tasks_are_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"'strange_stories'.*object_counting.*snarks"):
        load_bigbench(document(example("snarks")), "strange_stories")
    with pytest.raises(DataError, match="strange_stories"):
        load_bigbench_hub("strange_stories")


# The hub, simulated

AROUND = {
    "object_counting": "Q: {}\nA:",
    "metaphor_boolean": "The essence of the task: Given a metaphoric sentence, say whether the second explains it.\n"
    "Q: {}\n  choice: True\n  choice: False\nA:",
    "implicatures": "Does Speaker 2's answer mean yes or no? \n\nQ: {} \nA:",
    "snarks": "Q: {}\nA:",
}


def hub_rows(name: str, texts: list[str]) -> pd.DataFrame:
    """Rows as the data set has them: the example wrapped in the benchmark's own prompt."""
    scores = SCORES.get(name, {})
    row = {
        "targets": [c for c, s in scores.items() if s] or ["three", "3"],
        "multiple_choice_targets": list(scores),
        "multiple_choice_scores": np.array(list(scores.values()), dtype=np.int32),
    }
    return pd.DataFrame([{"idx": i, "inputs": AROUND[name].format(text)} | row for i, text in enumerate(texts)])


class FakeHub:
    """Gives files of a folder under the names that the data set has, and keeps what was asked."""

    def __init__(self, files: dict[str, Path], failure: Exception | None = None) -> None:
        self.files, self.failure = files, failure
        self.asked: list[tuple[str, str | None]] = []

    def __call__(self, data_set: str, file: str, *, repo_type: str, revision: str | None) -> str:
        assert (data_set, repo_type) == ("tasksource/bigbench", "dataset")
        self.asked.append((file, revision))
        if self.failure is not None:
            raise self.failure
        if file not in self.files:
            raise http_error(hub_errors.RemoteEntryNotFoundError, 404)
        return str(self.files[file])


def http_error(kind: type[Exception], status: int) -> Exception:
    response = httpx.Response(status, request=httpx.Request("GET", "https://example.org"))
    return kind("first line\nsecond line", response=response)  # type: ignore[call-arg]


def use(monkeypatch: pytest.MonkeyPatch, fake: FakeHub) -> FakeHub:
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fake)
    return fake


@pytest.mark.parametrize("name", BIGBENCH_TASKS)
def test_the_hub_gives_what_the_file_gives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    second = (
        CORE[name][0]
        .replace("I have", "I had")
        .replace("He is", "She is")
        .replace("'Is", "'Was")
        .replace("I love", "I adore")
    )
    paths = {}
    for split, text in (("train", CORE[name][0]), ("validation", second)):
        paths[f"{name}/{split}-00000-of-00001.parquet"] = tmp_path / f"{split}.parquet"
        hub_rows(name, [text]).to_parquet(tmp_path / f"{split}.parquet")
    fake = use(monkeypatch, FakeHub(paths))
    task = load_bigbench_hub(name)
    assert task == load_bigbench(document(example(name), example(name, input=second)), name)
    assert len(task.queries) == 2 and fake.asked == [(file, None) for file in paths]


def test_the_hubs_conversion_is_taken_where_the_files_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub_rows("snarks", [CORE["snarks"][0]]).to_parquet(tmp_path / "rows.parquet")
    places = ("snarks/train/0000.parquet", "snarks/validation/0000.parquet")
    fake = use(monkeypatch, FakeHub(dict.fromkeys(places, tmp_path / "rows.parquet")))
    assert load_bigbench_hub("snarks").answers == ("B",)
    assert fake.asked[1:] == [(place, "refs/convert/parquet") for place in places]


@pytest.mark.parametrize(
    ("failure", "kind", "part"),
    [
        (hub_errors.LocalEntryNotFoundError("not cached"), OfflineError, "cannot be reached"),
        (hub_errors.OfflineModeIsEnabled("offline"), OfflineError, "cannot be reached"),
        (httpx.ConnectError("no route"), OfflineError, "cannot be reached"),
        (TimeoutError("slow"), OfflineError, "cannot be reached"),
        (http_error(hub_errors.HfHubHTTPError, 503), OfflineError, "HTTP 503"),
        (http_error(hub_errors.RemoteEntryNotFoundError, 404), DataError, "no longer has the files"),
        (http_error(hub_errors.RepositoryNotFoundError, 404), DataError, "no public data set"),
        (OSError(errno.ENOSPC, "full"), DataError, "no space left"),
    ],
)
def test_each_failure_of_the_hub_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, kind: type[ExplorerError], part: str
) -> None:
    use(monkeypatch, FakeHub({}, failure))
    with pytest.raises(kind, match=part) as caught:
        load_bigbench_hub("snarks")
    assert "\n" not in str(caught.value)
    assert "task.json" in str(caught.value) or part == "no space left"


def test_without_a_network_the_real_client_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real client in its offline mode with an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OfflineError, match="cannot be reached"):
        load_bigbench_hub("implicatures")


def test_a_damaged_download_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 no parquet")
    names = [f"snarks/{split}-00000-of-00001.parquet" for split in ("train", "validation")]
    use(monkeypatch, FakeHub(dict.fromkeys(names, tmp_path / "rows.parquet")))
    with pytest.raises(DataError, match="cannot be read"):
        load_bigbench_hub("snarks")


# Which items a run takes


def test_chosen_items_are_the_tasks_own_and_none_comes_twice() -> None:
    task = load_task("can_fly")
    chosen = choose_items(task, 100, seed=3)
    assert len(set(chosen)) == len(chosen) == 100
    assert all(task.answer(query) == answer for query, answer in chosen)
    assert sorted(choose_items(task, len(task.queries), 3)) == sorted(zip(task.queries, task.answers, strict=True))


def test_a_seed_repeats_and_a_smaller_choice_begins_a_larger_one() -> None:
    task = load_task("adj_ant")
    assert choose_items(task, 20, 0) == choose_items(task, 20, 0) == choose_items(task, 100, 0)[:20]
    assert choose_items(task, 20, 0) != choose_items(task, 20, 1)
    assert choose_items(task, 20, 0) != tuple(zip(task.queries, task.answers, strict=True))[:20]


def test_a_seed_chooses_the_same_queries_for_a_contrastive_pair() -> None:
    first, second = (choose_items(load_task(name), 50, 7) for name in ("adj_comp", "adj_ant"))
    assert [query for query, _ in first] == [query for query, _ in second]


@pytest.mark.parametrize("n_samples", [-1, 0, 61, 10**9])
def test_more_items_than_there_are_is_an_error(n_samples: int) -> None:
    with pytest.raises(DataError, match=r"snarks has 60 queries; choose 1 to 60"):
        choose_items(load_task("snarks"), n_samples, 0)
