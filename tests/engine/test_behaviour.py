"""Greedy answers against plain ``generate``, batches against single prompts, the two scores, confusion of kinds."""

from __future__ import annotations

import pytest
import torch

from ivcore.behaviour import adherence, answer_steps, greedy_answers, judge, normalise
from ivcore.errors import DataError, InputError, PromptError
from ivcore.models import LoadedModel
from ivcore.prompts.tasks import AnswerRule, all_task_names, answer_pattern, load_task

PROMPTS = [[5, 6, 7], [8, 9], [10, 11, 12, 13, 14], [5, 6, 8], [9, 8, 7, 6, 5, 4, 3]]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (" bigger", "bigger"),
        ("Bigger.\nAdjective: small.", "bigger"),
        ("  'yes'!", "yes"),
        ("\n\nno", "no"),
        ("", ""),
        (" . ", ""),
    ],
)
def test_normalising(said: str, expected: str) -> None:
    assert normalise(said) == expected


def test_case_counts_for_proper_names_only() -> None:
    assert judge(load_task("country_capital").rule, " Paris", "Paris").exact
    assert not judge(load_task("country_capital").rule, " paris", "Paris").exact
    assert judge(load_task("adj_comp").rule, " Bigger", "bigger").exact


def test_a_wrong_answer_of_the_right_kind_is_valid() -> None:
    assert judge(load_task("can_fly").rule, " yes", "no") == judge(load_task("can_fly").rule, " yes", "no").__class__(
        "yes", False, True
    )
    assert not judge(load_task("can_fly").rule, " black", "no").valid
    assert judge(load_task("adj_comp").rule, " gooder", "better").valid
    assert not judge(load_task("adj_comp").rule, " small", "bigger").valid


def test_greedy_answers_equal_plain_generation_alone_and_in_a_batch(olmo2: LoadedModel) -> None:
    together = greedy_answers(olmo2, PROMPTS, max_tokens=5)
    for prompt, answer in zip(PROMPTS, together, strict=True):
        ids = torch.tensor([prompt])
        plain = olmo2.hf.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=5)[
            0, len(prompt) :
        ]
        text = olmo2.tokenizer.decode(plain, skip_special_tokens=True).split("\n")[0]
        assert answer == greedy_answers(olmo2, [prompt], max_tokens=5)[0]
        assert answer.split("\n")[0] == text
    assert len(set(together)) > 1, "the prompts must not all get one answer, or a mix-up would not show"


def plain_answer(model: LoadedModel, prompt: list[int], n: int) -> str:
    """By full forward passes, one for each token, without any cache."""
    ids, said = list(prompt), list[int]()
    for _ in range(n):
        with torch.no_grad():
            best = int(model.hf(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if best == model.tokenizer.eos_token_id or "\n" in model.tokenizer.decode([best]):
            break
        ids.append(best)
        said.append(best)
    return str(model.tokenizer.decode(said))


def test_what_prompts_share_is_run_once_and_changes_nothing(model: LoadedModel) -> None:
    shared = [17, 90, 33, 120, 61, 7, 250]
    prompts = [[*shared, *rest] for rest in ([5], [6, 7], [8, 9], [10, 11, 12], [6, 200], [5, 5, 5, 5])]
    passed: list[int] = []
    hook = model.hf.register_forward_pre_hook(
        lambda _, __, given: passed.append(given["input_ids"].numel()), with_kwargs=True
    )
    try:
        found = greedy_answers(model, prompts, max_tokens=6)
    finally:
        hook.remove()
    assert found == [plain_answer(model, prompt, 6) for prompt in prompts]
    assert found != greedy_answers(model, [prompt[3:] for prompt in prompts], max_tokens=6), "the start matters"
    assert passed[0] == len(shared) and sum(passed) < sum(map(len, prompts)) + 5 * len(prompts)


def test_a_prompt_that_is_the_start_of_another_is_answered_too(olmo2: LoadedModel) -> None:
    prompts = [[9, 8, 7], [9, 8, 7, 6], [9, 8, 7]]
    assert greedy_answers(olmo2, prompts) == [plain_answer(olmo2, prompt, 8) for prompt in prompts]


def test_progress_is_told_and_may_stop(olmo2: LoadedModel) -> None:
    told: list[int] = []
    greedy_answers(olmo2, PROMPTS, on_batch=told.append)
    assert told == sorted(told) and told[-1] == len(PROMPTS)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        greedy_answers(olmo2, PROMPTS, on_batch=stop)


@pytest.mark.parametrize(
    ("prompts", "n", "error", "words"),
    [
        ([[]], 3, PromptError, "without tokens"),
        ([[5]], 0, InputError, "at least 1"),
        ([[5] * 95], 8, PromptError, "takes 96"),
    ],
)
def test_what_cannot_be_answered_is_told(
    olmo2: LoadedModel, prompts: list[list[int]], n: int, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        greedy_answers(olmo2, prompts, n)


def test_nothing_is_asked_and_nothing_is_said(olmo2: LoadedModel) -> None:
    assert greedy_answers(olmo2, []) == []


def test_steps_are_the_answer_with_what_else_might_have_been_said(olmo2: LoadedModel) -> None:
    for prompt in PROMPTS:
        steps = answer_steps(olmo2, prompt, max_tokens=5, n_top=4)
        said = olmo2.tokenizer.decode([step.id for step in steps if not step.ends])
        assert said == greedy_answers(olmo2, [prompt], max_tokens=5)[0]
        ids = list(prompt)
        for step in steps:
            with torch.no_grad():
                probs = olmo2.hf(torch.tensor([ids]), use_cache=False).logits[0, -1].softmax(-1)
            assert [token.id for token in step.top] == probs.topk(4).indices.tolist()
            assert [token.prob for token in step.top] == pytest.approx(probs.topk(4).values.tolist(), abs=1e-6)
            assert step.id == step.top[0].id
            ids.append(step.id)
    with pytest.raises(InputError, match="at least 1"):
        answer_steps(olmo2, PROMPTS[0], n_top=0)


YES_NO = AnswerRule(("yes", "no"), None, cased=False)


def test_a_model_that_always_says_yes_adheres_fully_and_is_right_as_often_as_yes_is() -> None:
    found = adherence(YES_NO, [" Yes."] * 40, ["yes"] * 10 + ["no"] * 30)
    assert (found.ema.share, found.ia.share, found.ema.n) == (0.25, 1.0, 40)
    silent = adherence(YES_NO, [""] * 40, ["yes"] * 10 + ["no"] * 30)
    assert (silent.ema.share, silent.ia.share) == (0.0, 0.0)


def test_confusion_counts_only_queries_on_which_the_tasks_differ() -> None:
    rule = AnswerRule(("bigger", "colder", "redder", "older"), None, cased=False)
    said = ["small", "hot.", "redder", "young", "nothing"]
    right = ["bigger", "colder", "redder", "older", "newer"]
    found = adherence(rule, said, right, {"ant": ["small", "hot", "redder", "new", None], "none": [None] * 5})
    ant, none = found.confusions
    assert (ant.task, ant.share.hits, ant.share.n) == ("ant", 2, 3), "the two agree on the third, the fifth has none"
    assert (none.share.n, none.share.share) == (0, None)
    assert [verdict.answers for verdict in found.verdicts] == [("ant",), ("ant",), (), (), ()]
    assert found.ema.hits == 1 and found.ia.hits == 1


def test_an_empty_answer_is_nobodys() -> None:
    found = adherence(YES_NO, ["", "."], ["yes", "no"], {"other": ["", "."]})
    assert not any(verdict.answers for verdict in found.verdicts)


def test_lists_of_unequal_length_are_refused() -> None:
    with pytest.raises(InputError, match="as many"):
        adherence(YES_NO, ["yes"], ["yes", "no"])
    with pytest.raises(InputError, match="as many"):
        adherence(YES_NO, ["yes"], ["yes"], {"other": []})


@pytest.mark.parametrize("name", all_task_names())
def test_every_rule_allows_its_own_answers_and_says_what_it_allows(name: str) -> None:
    task = load_task(name)
    assert all(judge(task.rule, f" {answer}.", answer).exact for answer in task.answers)
    assert not task.rule.allows("") and not task.rule.allows("I cannot help with that")
    said = task.rule.in_words()
    assert "listed answers" in said or all(answer in said for answer in task.answers)
    assert task.pattern is None or task.pattern.says in said


def test_case_counts_in_a_rule_where_it_does_in_the_task() -> None:
    assert AnswerRule(("Yes",), None, cased=False).allows("yes")
    assert not AnswerRule(("Yes",), None, cased=True).allows("yes")


def test_an_unknown_rule_is_named() -> None:
    assert answer_pattern("number").says
    with pytest.raises(DataError, match="no rule 'sonnet'"):
        answer_pattern("sonnet")
