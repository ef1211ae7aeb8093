"""Training of ivy-base and ivy-sft from nothing: next-token prediction on packed documents.

1. ``ivy-base``: loss on every token of a mixture of facts and instruction documents.
2. ``ivy-sft``: from base, loss on answers only; facts stay in the mixture at full loss, so that what was read is not
   forgotten.
3. ``ivy-dpo``: see ``ivy.dpo``.

Nothing here knows of patching: the objectives are the usual ones, on plain prompts.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import Olmo2Config, Olmo2ForCausalLM, PreTrainedTokenizerFast

from ivy.corpus import Corpus
from ivy.packing import IGNORE, ROW_TOKENS, ROWS, pack
from ivy.tokenizer import train_tokenizer

CHECKPOINTS = Path(__file__).parent / "checkpoints"


@dataclass(frozen=True)
class Recipe:
    """How one stage is trained. ``instruction_share``: of the documents; ``n_targets``: trained positions a step;
    ``drop_attention``: see ``packing``; ``task_power``: see ``Corpus``."""

    stage: str
    seed: int
    steps: int
    learning_rate: float
    instruction_share: float
    answers_only: bool
    n_targets: int
    drop_attention: float = 0.0
    task_power: float = 0.5


@dataclass(frozen=True)
class Log:
    """What a stage cost. ``losses``: (step, mean loss in nats of the last 100 steps)."""

    recipe: dict[str, object]
    tokens: int
    seconds: float
    losses: list[tuple[int, float]]


BASE = Recipe(
    "base",
    seed=1,
    steps=1600,
    learning_rate=2e-3,
    instruction_share=0.55,
    answers_only=False,
    n_targets=ROWS * ROW_TOKENS,
    drop_attention=0.3,
)
SFT = Recipe(
    "sft",
    seed=2,
    steps=2400,
    learning_rate=1e-3,
    instruction_share=0.68,
    answers_only=True,
    n_targets=2304,
    drop_attention=0.4,
)
SFT_EVEN = replace(SFT, stage="sft, all tasks alike", seed=4, steps=2400, learning_rate=8e-4, task_power=0.0)
"""The end of SFT: tasks with few queries, such as those on numbers, come as often as the others."""


def make_config(vocab_size: int, end: int) -> Olmo2Config:
    """OLMo-2's architecture at ivy's size: 8 layers, 8 heads, width 256."""
    return Olmo2Config(
        vocab_size=vocab_size,
        hidden_size=256,
        intermediate_size=640,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=False,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )


def make_tokenizer(seed: int = 0, n_documents: int = 60_000) -> PreTrainedTokenizerFast:
    """The tokenizer, trained on a sample of the base corpus."""
    documents = islice(Corpus(seed).documents(BASE.instruction_share), n_documents)
    return train_tokenizer("".join(segment.text for segment in document) for document in documents)


def train(model: Olmo2ForCausalLM, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, *, compiled: bool = True) -> Log:
    """Train ``model`` in place. Weights stay float32; products run in bfloat16.

    ``compiled``: fuse the step with torch.compile, which needs a C++ compiler, takes half a minute and is then twice
    as fast.
    """
    torch.manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.05, fused=True
    )
    documents = Corpus(recipe.seed, task_power=recipe.task_power).documents(recipe.instruction_share)
    batches = pack(
        documents,
        tokenizer,
        answers_only=recipe.answers_only,
        n_targets=recipe.n_targets,
        seed=recipe.seed,
        drop_attention=recipe.drop_attention,
    )
    step_loss = torch.compile(packed_loss) if compiled else packed_loss
    started = time.perf_counter()
    recent: list[float] = []
    losses: list[tuple[int, float]] = []
    model.train()
    for step, batch in enumerate(islice(batches, recipe.steps)):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, recipe.steps)
        loss = step_loss(model, batch.ids, batch.mask, batch.positions, batch.targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        recent.append(loss.item())
        if (step + 1) % 100 == 0:
            losses.append((step + 1, round(sum(recent) / len(recent), 4)))
            recent.clear()
            seconds = time.perf_counter() - started
            print(f"{recipe.stage} step {step + 1}/{recipe.steps} loss {losses[-1][1]:.4f} {seconds:.0f} s", flush=True)
    model.eval()
    return Log(asdict(recipe), recipe.steps * ROWS * ROW_TOKENS, round(time.perf_counter() - started, 1), losses)


def packed_loss(
    model: Olmo2ForCausalLM, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Mean loss in nats over the trained positions of a packed batch (shapes as in ``Batch``)."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden.flatten(0, 1)[positions])
    return cross_entropy(logits.float(), targets, ignore_index=IGNORE)


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up over 200 steps (or a tenth of a short run), then a cosine to a twentieth."""
    warm_up = min(200, steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def save(model: Olmo2ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path, logs: Sequence[Log]) -> None:
    """Write a Hugging Face folder in half precision, with the logs of its parts of training beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.to(torch.float16) for name, value in model.state_dict().items()}
    copy = Olmo2ForCausalLM(model.config).half()
    copy.load_state_dict(state)
    copy.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps([asdict(log) for log in logs], indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[Olmo2ForCausalLM, PreTrainedTokenizerFast]:
    """A checkpoint in float32, ready to train on."""
    model = Olmo2ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model, PreTrainedTokenizerFast.from_pretrained(folder)


def train_base(out: Path = CHECKPOINTS, recipe: Recipe = BASE) -> None:
    """ivy-base from nothing: the tokenizer, random weights, then ``recipe``."""
    tokenizer = make_tokenizer()
    torch.manual_seed(recipe.seed)
    config = make_config(len(tokenizer), tokenizer.eos_token_id)
    config._attn_implementation = "eager"
    model = Olmo2ForCausalLM(config)
    save(model, tokenizer, out / "ivy-base", [train(model, tokenizer, recipe)])


def train_sft(out: Path = CHECKPOINTS, recipes: Sequence[Recipe] = (SFT, SFT_EVEN)) -> None:
    """ivy-sft from ivy-base, part by part; each part starts from the checkpoint that the one before wrote."""
    start, logs = "ivy-base", list[Log]()
    for recipe in recipes:
        model, tokenizer = load(out / start)
        logs.append(train(model, tokenizer, recipe))
        start = "ivy-sft"
        save(model, tokenizer, out / start, logs)
