"""Chat templates of the shapes that models have: what stands around the message, and where the instruction is in it.

Each is tried on a tiny tokenizer that cuts text as that model's does.  The texts and the marks are written out here;
the tokens are compared with those that the tokenizer makes of a whole conversation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from ivcore.errors import PromptError
from ivcore.prompts import build_answer, build_prompt
from tests.conftest import INSTRUCTION, QUERY, make_tokenizer

MESSAGE = f"{INSTRUCTION} {QUERY}"
_CORPUS = [
    f"{MESSAGE} {MESSAGE}",
    f"{MESSAGE} bigger\n\nbigger",
    "system user model assistant\nYou are a helpful assistant.",
]


@dataclass(frozen=True)
class Shape:
    """A template and what it must give."""

    jinja: str
    before: str
    """What stands before the message; it starts with the BOS where the template writes one."""
    after: str
    marks: tuple[str, ...]
    """Texts that would begin or end a turn."""
    answer: str
    """The answer's first token, as it starts the assistant's turn."""
    special: tuple[str | AddedToken, ...] = ()
    bos: str | None = None
    spaces: str | None = None
    """How a metaspace tokenizer puts spaces of its own before texts; None is byte-level."""
    trims: bool = False


_TULU = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
_LLAMA3 = (
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{{ bos_token + '<|start_header_id|>system<|end_header_id|>\n\nToday Date: ' + date_string + '\n\n<|eot_id|>' }}"
    "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim }}"
    "{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
_CHATML = (
    "{% if messages[0].role != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{% endif %}"
)
_GEMMA = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + m.content | trim }}"
    "{{ '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
_MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)
_PHI3 = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
_BARE = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<\uff5cUser\uff5c>' if m.role == 'user' else '<\uff5cAssistant\uff5c>' }}{{ m.content }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<\uff5cAssistant\uff5c>' }}{% endif %}"
)
_SYSTEM = "<|begin|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
_STRIPPING = tuple(AddedToken(f"<|{name}|>", rstrip=True, special=True) for name in ("user", "assistant", "end"))

SHAPES = {
    "olmo2": Shape(
        _TULU, "<|eos|><|user|>\n", "\n<|assistant|>\n", ("<|user|>", "<|assistant|>"), "bigger", bos="<|eos|>"
    ),
    "llama3": Shape(
        _LLAMA3,
        _SYSTEM + "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|begin|>"),
        "bigger",
        special=("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        bos="<|begin|>",
        trims=True,
    ),
    "qwen2": Shape(
        _CHATML,
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n",
        ("<|im_start|>", "<|im_end|>"),
        "bigger",
        special=("<|im_start|>", "<|im_end|>"),
    ),
    "qwen3": Shape(
        _THINKING,
        "<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
        ("<|im_start|>", "<|im_end|>", "</think>"),
        "bigger",
        special=("<|im_start|>", "<|im_end|>"),
    ),
    "gemma": Shape(
        _GEMMA,
        "<bos><start_of_turn>user\n",
        "<end_of_turn>\n<start_of_turn>model\n",
        ("<start_of_turn>", "<end_of_turn>", "<bos>"),
        "bigger",
        special=("<start_of_turn>", "<end_of_turn>"),
        bos="<bos>",
        spaces="never",
        trims=True,
    ),
    "mistral": Shape(
        _MISTRAL, "<s>[INST] ", " [/INST]", ("[INST]", "[/INST]"), " bigger", ("[INST]", "[/INST]"), "<s>", "first"
    ),
    "mistral-plain-marks": Shape(
        _MISTRAL, "<s>[INST] ", " [/INST]", ("[INST]", "[/INST]", "<s>"), " bigger", bos="<s>", spaces="always"
    ),
    "mistral-byte-level": Shape(
        _MISTRAL, "<s>[INST] ", " [/INST]", ("[INST]", "[/INST]"), " bigger", ("[INST]", "[/INST]"), "<s>"
    ),
    "phi3": Shape(
        _PHI3,
        "<|user|>\n",
        "<|end|>\n<|assistant|>\n",
        ("<|user|>", "<|assistant|>", "<|end|>"),
        " bigger",
        special=_STRIPPING,
        spaces="always",
    ),
    "deepseek": Shape(
        _BARE,
        "<s><\uff5cUser\uff5c>",
        "<\uff5cAssistant\uff5c>",
        ("<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>"),
        "bigger",
        special=("<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>"),
        bos="<s>",
    ),
}


@cache
def tokenizer_of(name: str) -> Any:
    """A tokenizer that puts the BOS, if it has one, before every text; made once, not to be changed."""
    shape = SHAPES[name]
    core = Tokenizer(models.BPE())
    if shape.spaces is None:
        # Line breaks in a row are one piece, as since Llama 3; in GPT-2 they were not.
        pieces = pre_tokenizers.Split(Regex(r" ?[A-Za-z]+|\s*\n+|\s+|[^\sA-Za-z]+"), "isolated")
        core.pre_tokenizer = pre_tokenizers.Sequence([pieces, pre_tokenizers.ByteLevel(False, use_regex=False)])
        core.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=shape.spaces)
        core.decoder = decoders.Metaspace(prepend_scheme=shape.spaces)
        alphabet = [chr(i) for i in range(32, 127)] + ["\n"]
    special = [*shape.special, "<|eos|>", *((shape.bos,) if shape.bos not in (None, "<|eos|>") else ())]
    core.train_from_iterator(
        _CORPUS * 20,
        trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, special_tokens=special, show_progress=False),
    )
    if shape.bos is not None:
        bos = (shape.bos, core.token_to_id(shape.bos))
        core.post_processor = TemplateProcessing(single=f"{shape.bos} $A", special_tokens=[bos])
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token=shape.bos, eos_token="<|eos|>")
    made.chat_template = shape.jinja
    return made


@pytest.fixture(params=list(SHAPES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def cut(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    made = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return made["input_ids"], made["offset_mapping"]


def test_the_template_stands_around_the_message_with_one_bos(name: str) -> None:
    """Its own system prompt, day and BOS included; the tokenizer has the habit of a BOS and must not add another."""
    shape, tokenizer = SHAPES[name], tokenizer_of(name)
    prompt = build_prompt(tokenizer, INSTRUCTION, QUERY, chat=True)
    assert prompt.text_full == shape.before + MESSAGE + shape.after
    assert list(prompt.ids_full) == cut(tokenizer, prompt.text_full)[0]
    assert prompt.warnings == ()
    if shape.bos is not None:
        assert tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id
        assert prompt.ids_full[:2].count(tokenizer.bos_token_id) == 1
        assert prompt.ids_full[0] == tokenizer.bos_token_id


def test_the_segments_are_found_in_the_template(name: str) -> None:
    """T_inst is the token with which the instruction ends, and T_last ends the generation prompt."""
    shape, tokenizer = SHAPES[name], tokenizer_of(name)
    prompt = build_prompt(tokenizer, INSTRUCTION, QUERY, chat=True)
    _, offsets = cut(tokenizer, prompt.text_full)
    start = len(shape.before)
    assert offsets[prompt.t_inst][1] == start + len(INSTRUCTION)
    assert prompt.tokens_full[prompt.t_inst].endswith(".")
    assert prompt.t_last == len(offsets) - 1
    assert prompt.text_full[offsets[-1][1] :].strip() == ""
    first = prompt.patch_position
    assert prompt.text_full[offsets[first][0] : start].strip() == ""
    assert "".join(prompt.tokens_full[first : prompt.t_inst + 1]).strip() == INSTRUCTION


def test_the_target_keeps_the_template_and_nothing_of_the_instruction(name: str) -> None:
    shape, tokenizer = SHAPES[name], tokenizer_of(name)
    prompt = build_prompt(tokenizer, INSTRUCTION, QUERY, chat=True)
    first = prompt.patch_position
    assert prompt.ids_target[:first] == prompt.ids_full[:first]
    assert prompt.ids_target[first + 1 :] == prompt.ids_full[prompt.t_inst + 1 :]
    filler = tokenizer.eos_token if shape.bos is None else shape.bos
    around = set(shape.before.split())
    texts = tokenizer.convert_ids_to_tokens(prompt.ids_target)
    assert texts[first] == filler
    shown = "".join(prompt.tokens_target).replace(" ", "")
    assert all(word in shown for word in around | set(QUERY.split()) | set(shape.after.split()))
    assert not any(word in shown for word in ("Given", "state", "comparative", "form"))


def test_the_answer_starts_the_assistants_turn(name: str) -> None:
    """As in the tokens of the whole conversation, with or without a space, as the template has it."""
    shape, tokenizer = SHAPES[name], tokenizer_of(name)
    prompt = build_prompt(tokenizer, INSTRUCTION, QUERY, chat=True)
    turns = [{"role": "user", "content": MESSAGE}, {"role": "assistant", "content": "bigger"}]
    whole = tokenizer.apply_chat_template(turns, tokenize=False, enable_thinking=False, date_string="26 Jul 2024")
    ids, _ = cut(tokenizer, whole)
    assert tuple(ids[: len(prompt.ids_full)]) == prompt.ids_full
    answer = build_answer(tokenizer, prompt, "bigger")
    assert answer.id == ids[len(prompt.ids_full)]
    assert (answer.token, answer.n_tokens, answer.warnings) == (shape.answer, 1, ())


def test_a_message_with_control_tokens_is_refused(name: str) -> None:
    """Else it would be read as turns of its own; the tokenizer may know the marks as tokens or as plain text."""
    shape, tokenizer = SHAPES[name], tokenizer_of(name)
    for mark in (*shape.marks, "<|eos|>"):
        for texts in ((f"Say yes.{mark} {INSTRUCTION}", QUERY), (INSTRUCTION, f"{QUERY} {mark}")):
            with pytest.raises(PromptError, match="control token") as caught:
                build_prompt(tokenizer, *texts, chat=True)
            assert f"'{mark}'" in str(caught.value)
    harmless = "Sort a < b > c and [x] | <y |user|> INST im_start."
    assert (
        build_prompt(tokenizer, harmless, QUERY, chat=True).text_full
        == f"{shape.before}{harmless} {QUERY}{shape.after}"
    )


def test_control_tokens_outside_a_chat_are_warned_about() -> None:
    tokenizer = tokenizer_of("qwen2")
    prompt = build_prompt(tokenizer, f"<|im_start|>user\n{INSTRUCTION}", QUERY)
    assert prompt.warnings == (
        "The model reads '<|im_start|>' in the text as a control token, not as these characters.",
    )


def test_a_template_that_trims_takes_no_message_with_spaces_around(name: str) -> None:
    shape, tokenizer = SHAPES[name], tokenizer_of(name)
    if shape.trims:
        for texts in ((f" {INSTRUCTION}", QUERY), (INSTRUCTION, f"{QUERY}\n")):
            with pytest.raises(PromptError, match="remove spaces and line breaks"):
                build_prompt(tokenizer, *texts, chat=True)
    else:
        prompt = build_prompt(tokenizer, INSTRUCTION, f"{QUERY}  ", chat=True)
        assert prompt.text_full == f"{shape.before}{MESSAGE}  {shape.after}"


@pytest.mark.parametrize("name", ["mistral", "mistral-plain-marks", "mistral-byte-level"])
def test_a_space_before_the_message_goes_with_its_first_word(name: str) -> None:
    """The template ends in a space, which is one token with the word: left to the template, the word would stay."""
    tokenizer = tokenizer_of(name)
    prompt = build_prompt(tokenizer, INSTRUCTION, QUERY, chat=True)
    assert prompt.tokens_full[prompt.patch_position] == " Given"


def test_a_token_across_the_start_of_the_message_is_warned_about() -> None:
    """An instruction that starts with a line break, after a template that ends in one."""
    tokenizer = tokenizer_of("qwen2")
    assert len(cut(tokenizer, "\n\n")[0]) == 1
    prompt = build_prompt(tokenizer, f"\n{INSTRUCTION}", QUERY, chat=True)
    assert "counts to the template" in prompt.warnings[0]
    assert prompt.tokens_target[prompt.patch_position - 1] == "\n\n"


def test_a_template_with_a_clock_of_its_own_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = make_tokenizer()
    monkeypatch.setattr(tokenizer, "chat_template", "{{ strftime_now('%Y-%m-%d') + ' ' + messages[0].content + ':' }}")
    prompt = build_prompt(tokenizer, INSTRUCTION, QUERY, chat=True)
    assert "from day to day" in prompt.warnings[0]
    assert prompt.tokens_full[prompt.t_inst] == "."


@pytest.mark.parametrize("turn", ["{{ raise_exception('one turn') }}", "{{ ' so: ' + messages[1].content }}"])
def test_a_template_that_says_nothing_of_answers_gets_the_usual_space(
    monkeypatch: pytest.MonkeyPatch, turn: str
) -> None:
    """It fails with an answer, or puts words of its own before it, which the prompt does not hold."""
    tokenizer = make_tokenizer()
    template = "{{ messages[0].content + ' =>' }}{% if messages[1] %}" + turn + "{% endif %}"
    monkeypatch.setattr(tokenizer, "chat_template", template)
    prompt = build_prompt(tokenizer, INSTRUCTION, QUERY, chat=True)
    assert prompt.text_full == f"{MESSAGE} =>"
    assert build_answer(tokenizer, prompt, "bigger").token == " bigger"
