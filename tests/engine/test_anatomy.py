"""Prompt anatomy against the tokenizer itself."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from ivcore.errors import AnswerError, PromptError
from ivcore.prompts import build_answer, build_prompt, token_text, token_texts
from tests.conftest import INSTRUCTION, QUERY, make_tokenizer


def encode(tokenizer: Any, text: str, special: bool = False) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=special)["input_ids"])


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Metaspace words with an unknown token; 'end. Start' with its space is a single token, so a seam can merge."""
    words = [
        "<unk>",
        "<s>",
        "\u2581",
        "\u2581Do",
        "\u2581this",
        "\u2581end.",
        "\u2581Start",
        "\u2581end.\u2581Start",
        ":",
        "\u2581yes",
    ]
    core = Tokenizer(models.Unigram([(w, -1.0 if "Start" in w and "end" in w else -2.0) for w in words], unk_id=0))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    core.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<s>")


def test_segments_follow_the_tokenizer(tokenizer: Any) -> None:
    prompt = build_prompt(tokenizer, INSTRUCTION, QUERY)
    whole, alone = encode(tokenizer, f"{INSTRUCTION} {QUERY}"), encode(tokenizer, INSTRUCTION)
    assert prompt.ids_full == whole
    assert prompt.ids_source == alone
    assert prompt.t_inst == prompt.t_inst_default == len(alone) - 1
    assert prompt.t_last == len(whole) - 1
    assert prompt.ids_target == (tokenizer.eos_token_id, *whole[len(alone) :])
    assert prompt.patch_position == 0
    assert prompt.warnings == ()
    assert "".join(prompt.tokens_full) == f"{INSTRUCTION} {QUERY}"
    assert prompt.tokens_full[prompt.t_inst] == "."


def test_a_tokenizer_with_bos_counts_it_to_the_instruction(bos_tokenizer: Any) -> None:
    prompt = build_prompt(bos_tokenizer, INSTRUCTION, QUERY)
    alone = encode(bos_tokenizer, INSTRUCTION, special=True)
    assert alone[0] == bos_tokenizer.bos_token_id
    assert prompt.ids_source == alone
    assert prompt.ids_target == (bos_tokenizer.bos_token_id, *prompt.ids_full[len(alone) :])
    assert prompt.tokens_full[0] == "<|begin|>"
    assert prompt.warnings == ()
    other = build_prompt(bos_tokenizer, INSTRUCTION, QUERY, filler=" big")
    assert other.ids_target[1:] == prompt.ids_target[1:]
    assert "BOS" in other.warnings[0]


def test_what_a_tokenizer_adds_after_a_text_is_left_out() -> None:
    """The prompt is to be continued, so an EOS at its end would be wrong."""
    odd = make_tokenizer()
    odd.backend_tokenizer.post_processor = TemplateProcessing(single="$A <|end|>", special_tokens=[("<|end|>", 0)])
    assert encode(odd, "big", special=True)[-1] == odd.eos_token_id
    prompt = build_prompt(odd, INSTRUCTION, QUERY)
    assert "".join(prompt.tokens_full) == f"{INSTRUCTION} {QUERY}"
    assert prompt.tokens_full[prompt.t_inst] == "."
    assert prompt.warnings == ()
    assert build_answer(odd, prompt, "bigger").token == " bigger"


def test_moving_t_inst_moves_the_source_alone(tokenizer: Any) -> None:
    usual, moved = build_prompt(tokenizer, INSTRUCTION, QUERY), build_prompt(tokenizer, INSTRUCTION, QUERY, t_inst=2)
    assert moved.ids_source == usual.ids_full[:3]
    assert (moved.ids_target, moved.t_inst_default, moved.t_last) == (usual.ids_target, usual.t_inst, usual.t_last)
    late = build_prompt(tokenizer, INSTRUCTION, QUERY, t_inst=usual.t_inst + 1)
    assert any("after the instruction" in warning for warning in late.warnings)


def test_the_patch_position_can_be_moved(tokenizer: Any) -> None:
    usual, moved = build_prompt(tokenizer, INSTRUCTION, QUERY), build_prompt(tokenizer, INSTRUCTION, QUERY, position=2)
    assert moved.patch_position == 2
    assert moved.ids_target == usual.ids_target


@pytest.mark.parametrize("name", ["t_inst", "position"])
@pytest.mark.parametrize("value", [-1, 10_000, True, 1.0])
def test_positions_that_do_not_exist(tokenizer: Any, name: str, value: Any) -> None:
    with pytest.raises(PromptError, match="choose 0 to"):
        build_prompt(tokenizer, INSTRUCTION, QUERY, **{name: value})


def test_the_filler_may_be_any_single_token(tokenizer: Any) -> None:
    prompt = build_prompt(tokenizer, INSTRUCTION, QUERY, filler=" big")
    assert prompt.tokens_target[0] == " big"
    assert prompt.filler == " big"
    assert build_prompt(tokenizer, INSTRUCTION, QUERY, filler=" ").tokens_target[0] == " "


@pytest.mark.parametrize("filler", ["two words here", "", "zzzqqq"])
def test_other_fillers_are_refused(tokenizer: Any, filler: str) -> None:
    with pytest.raises(PromptError, match="filler"):
        build_prompt(tokenizer, INSTRUCTION, QUERY, filler=filler)


def test_no_token_can_be_the_default_filler() -> None:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.add_tokens(list("abc Ġ"))
    bare = PreTrainedTokenizerFast(tokenizer_object=core)
    with pytest.raises(PromptError, match="neither a BOS nor an EOS"):
        build_prompt(bare, "ab", "c")


def test_chat_stands_around_the_target_too(tokenizer: Any) -> None:
    prompt = build_prompt(tokenizer, INSTRUCTION, QUERY, chat=True)
    text = f"<|user|>\n{INSTRUCTION} {QUERY}\n<|assistant|>\n"
    assert prompt.text_full == text
    assert prompt.ids_full == encode(tokenizer, text)
    before = encode(tokenizer, "<|user|>\n")
    assert prompt.ids_target[: len(before)] == before
    assert prompt.patch_position == len(before)
    assert prompt.ids_target[prompt.patch_position] == tokenizer.eos_token_id
    assert prompt.ids_target[prompt.patch_position + 1 :] == prompt.ids_full[prompt.t_inst + 1 :]
    assert prompt.ids_source == encode(tokenizer, f"<|user|>\n{INSTRUCTION}")
    assert "".join(prompt.tokens_target).endswith(f" {QUERY}\n<|assistant|>\n")


def test_chat_without_a_template(bos_tokenizer: Any) -> None:
    with pytest.raises(PromptError, match="no chat template"):
        build_prompt(bos_tokenizer, INSTRUCTION, QUERY, chat=True)


def test_a_template_that_changes_the_message(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", "{{ messages[0]['content'] | trim }}!")
    build_prompt(tokenizer, INSTRUCTION, QUERY, chat=True)
    with pytest.raises(PromptError, match="changes the message"):
        build_prompt(tokenizer, INSTRUCTION, QUERY + " ", chat=True)


def test_a_template_that_fails(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", "{{ raise_exception('only\nwith a system prompt') }}")
    with pytest.raises(PromptError, match="only with a system prompt"):
        build_prompt(tokenizer, INSTRUCTION, QUERY, chat=True)


def test_a_token_across_the_seam_is_warned_about() -> None:
    words = word_tokenizer()
    prompt = build_prompt(words, "Do this end.", "Start:")
    assert prompt.tokens_full == (" Do", " this", " end. Start", ":")
    assert prompt.t_inst == 2
    assert prompt.tokens_target == ("<s>", ":")
    assert "merges the end of one segment" in prompt.warnings[0]
    assert not build_prompt(words, "Do this end.", "yes:").warnings


def test_an_instruction_cut_differently_before_a_query_is_warned_about(tokenizer: Any) -> None:
    """Here ``ab`` is one token only at the end of the text."""
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["ab", "a", "b", " ", "c", "<e>"])}, unk_token="a"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("ab$|a|b| |c"), "isolated")
    odd = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<e>")
    prompt = build_prompt(odd, "ab", "c")
    assert encode(odd, "ab") == (0,)
    assert prompt.tokens_full == ("a", "b", " ", "c")
    assert prompt.t_inst == 1
    assert "cuts the instruction differently" in prompt.warnings[0]


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u3000", "x" * 20_001, "half \ud800 a character", 7, None])
@pytest.mark.parametrize("part", ["instruction", "query", "answer"])
def test_text_that_cannot_be_a_prompt(tokenizer: Any, part: str, text: Any) -> None:
    prompt = build_prompt(tokenizer, INSTRUCTION, QUERY)
    with pytest.raises((PromptError, AnswerError)) as caught:
        if part == "answer":
            build_answer(tokenizer, prompt, text)
        else:
            build_prompt(tokenizer, *((text, QUERY) if part == "instruction" else (INSTRUCTION, text)))
    message = str(caught.value)
    assert part in message
    assert "\n" not in message
    message.encode("utf-8")


def test_long_text_is_refused_before_it_is_cut(monkeypatch: pytest.MonkeyPatch, tokenizer: Any) -> None:
    monkeypatch.setattr(type(tokenizer), "__call__", lambda *_args, **_options: pytest.fail("tokenizer was called"))
    with pytest.raises(PromptError, match="20,001 characters"):
        build_prompt(tokenizer, INSTRUCTION, "x" * 20_001)


@pytest.mark.parametrize(
    "text",
    [
        "\x00 nul \x07 bell \x1b[31m",
        "Gib den Komparativ an: größer",
        "形容詞の比較級を述べよ。",
        "اذكر صيغة المقارنة",
        "emoji 👩\u200d👩\u200d👧 and 🏳️\u200d🌈",
        "<script>alert(1)</script><b>&amp;",
        "{{ 7 * 7 }} {% raw %} $x^2$",
        "e\u0301 \u202e right to left \ufeff",
    ],
)
def test_any_other_text_is_kept_verbatim(tokenizer: Any, text: str) -> None:
    for chat in (False, True):
        prompt = build_prompt(tokenizer, text, f"{text} :", chat=chat)
        inside = prompt.ids_full if not chat else prompt.ids_full[2:-3]
        assert tokenizer.decode(inside, clean_up_tokenization_spaces=False).strip() == f"{text} {text} :".strip()
        assert len(prompt.tokens_full) == len(prompt.ids_full)
        assert prompt.warnings == ()
    assert build_answer(tokenizer, prompt, text).n_tokens > 1


def test_an_instruction_of_unknown_tokens_is_warned_about() -> None:
    prompt = build_prompt(word_tokenizer(), "Do this", "\u4e2d :")
    assert any("reads them as unknown" in warning for warning in prompt.warnings)
    assert not build_prompt(word_tokenizer(), "Do this", "yes:").warnings


def test_white_space_at_the_end_of_the_query_is_warned_about(tokenizer: Any) -> None:
    assert "white space" in build_prompt(tokenizer, INSTRUCTION, QUERY + " ").warnings[0]


def test_the_answer_continues_the_prompt(tokenizer: Any) -> None:
    prompt = build_prompt(tokenizer, INSTRUCTION, QUERY)
    answer = build_answer(tokenizer, prompt, "bigger")
    assert (answer.token, answer.n_tokens, answer.warnings) == (" bigger", 1, ())
    assert answer.id == encode(tokenizer, prompt.text_full + " bigger")[len(prompt.ids_full)]
    assert build_answer(tokenizer, prompt, " bigger").id == answer.id
    assert answer.id != encode(tokenizer, "bigger")[0], "without the space it would be another token"


def test_no_space_is_added_after_white_space(tokenizer: Any) -> None:
    prompt = build_prompt(tokenizer, INSTRUCTION, QUERY, chat=True)
    assert prompt.text_full.endswith("\n")
    assert build_answer(tokenizer, prompt, "bigger").id == encode(tokenizer, "bigger")[0]


def test_an_answer_of_several_tokens_is_warned_about(tokenizer: Any) -> None:
    prompt = build_prompt(tokenizer, INSTRUCTION, QUERY)
    answer = build_answer(tokenizer, prompt, "bigger cat")
    assert (answer.token, answer.n_tokens) == (" bigger", 2)
    assert "2 tokens" in answer.warnings[0]


def test_an_answer_that_would_change_the_prompts_own_tokens() -> None:
    words = word_tokenizer()
    prompt = build_prompt(words, "Do this", "end.")
    answer = build_answer(words, prompt, "Start")
    assert answer.token == " Start"
    assert "merge the answer" in answer.warnings[0]


def test_an_answer_that_the_tokenizer_cannot_make() -> None:
    words = word_tokenizer()
    prompt = build_prompt(words, "Do this", "Start:")
    assert build_answer(words, prompt, "yes").token == " yes"
    with pytest.raises(AnswerError, match="no token for the answer"):
        build_answer(words, prompt, "\u4e2d")


def test_display_of_bytes_and_unknown_ids(tokenizer: Any) -> None:
    texts = token_texts(tokenizer, encode(tokenizer, "a\u20ac\n"))
    assert texts[0] == "a"
    assert texts[1:4] == ("<0xE2>", "<0x82>", "<0xAC>")
    assert texts[4] == "\n"
    assert token_text(tokenizer, 415) == "<id 415>"
    assert token_text(tokenizer, tokenizer.eos_token_id) == "<|end|>"
    assert token_text(tokenizer, encode(tokenizer, " adjective")[0]) == " adjective"
