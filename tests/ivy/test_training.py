"""Tokenizer, packing and the training steps, on models small enough for a few seconds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from transformers import Olmo2Config, Olmo2ForCausalLM, PreTrainedTokenizerFast

from ivcore.prompts.tasks import load_task, task_names
from ivy.corpus import Corpus, Segment
from ivy.packing import IGNORE, pack, tokenize
from ivy.tokenizer import END
from ivy.train import BASE, load, make_tokenizer, packed_loss, save, train


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer(n_documents=20_000)


@pytest.fixture
def model(tokenizer: PreTrainedTokenizerFast) -> Olmo2ForCausalLM:
    torch.manual_seed(0)
    config = Olmo2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        attn_implementation="eager",
    )
    return Olmo2ForCausalLM(config)


def test_the_tokenizer_covers_every_byte_and_loses_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    text = (
        "".join(map(chr, range(1, 1000))) + " 🙂 naïve\ttab\n\nlines 漢字 " + "".join(map(chr, range(0x2500, 0x2520)))
    )
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_answers_are_single_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    for name in task_names():
        answers = [answer for answer in load_task(name).answers if answer.isalnum()]
        single = sum(len(tokenizer(f" {answer}").input_ids) == 1 for answer in answers) / len(answers)
        assert single > 0.85, (name, single)


def test_only_answers_are_trained_in_sft(tokenizer: PreTrainedTokenizerFast) -> None:
    document = (Segment("State the antonym. Adjective: big. Answer:"), Segment(" small", True))
    tokens = tokenize(document, tokenizer, answers_only=True, open_with_end=True)
    trained = [tokenizer.decode([i]) for i, kept in zip(tokens.ids, tokens.trained, strict=True) if kept]
    assert trained == [" small", END]
    everything = tokenize(document, tokenizer, answers_only=False, open_with_end=False)
    assert all(everything.trained)


def test_a_packed_batch_has_the_loss_of_its_documents_alone(
    tokenizer: PreTrainedTokenizerFast, model: Olmo2ForCausalLM
) -> None:
    """No document sees another: with the mask, the mean loss equals that of one forward pass for each document."""
    model = model.double()
    batch = next(pack(Corpus(3).documents(0.5), tokenizer, answers_only=False, n_targets=4096, seed=0))
    rows = slice(0, 4)
    ids, mask = batch.ids[rows], batch.mask[rows].double()
    wanted = (batch.positions < ids.numel()) & (batch.targets != IGNORE)
    positions, targets = batch.positions[wanted], batch.targets[wanted]
    hidden = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    packed = torch.nn.functional.cross_entropy(
        model.lm_head(hidden).flatten(0, 1)[positions], targets, reduction="none"
    )
    alone = []
    for row, start, stop in documents_in(mask):
        document = ids[row, start:stop][None]
        if set(document[0].tolist()) == {tokenizer.eos_token_id}:
            continue  # the padding at a row's end
        logits = model(document).logits[0, :-1]
        alone.append(torch.nn.functional.cross_entropy(logits, document[0, 1:], reduction="none"))
    torch.testing.assert_close(packed, torch.cat(alone), rtol=1e-5, atol=1e-6)
    blind = model.model(input_ids=ids, use_cache=False).last_hidden_state
    leaking = torch.nn.functional.cross_entropy(
        model.lm_head(blind).flatten(0, 1)[positions], targets, reduction="none"
    )
    assert (leaking - packed).abs().max() > 1e-3, (
        "without the mask documents see each other, and the test would show it"
    )


def documents_in(mask: torch.Tensor) -> list[tuple[int, int, int]]:
    """(row, start, stop) of each document, read off the mask: a document starts where a token sees only itself."""
    spans = []
    for row, visible in enumerate((mask[:, 0] > -1).sum(-1).tolist()):
        starts = [i for i, n in enumerate(visible) if n == 1]
        spans += [(row, a, b) for a, b in pairwise([*starts, len(visible)])]
    return spans


def test_training_lowers_the_loss_and_a_checkpoint_survives_the_disk(
    tokenizer: PreTrainedTokenizerFast, model: Olmo2ForCausalLM, tmp_path: Path
) -> None:
    recipe = replace(BASE, steps=40, learning_rate=1e-2, n_targets=512)
    batch = next(pack(Corpus(9).documents(0.5), tokenizer, answers_only=False, n_targets=512, seed=1))
    with torch.no_grad():
        before = packed_loss(model, batch.ids, batch.mask, batch.positions, batch.targets).item()
    log = train(model, tokenizer, recipe, compiled=False)
    with torch.no_grad():
        after = packed_loss(model, batch.ids, batch.mask, batch.positions, batch.targets).item()
    assert after < before - 1
    save(model, tokenizer, tmp_path / "small", [log])
    again, tokens = load(tmp_path / "small")
    assert tokens.get_vocab() == tokenizer.get_vocab()
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
