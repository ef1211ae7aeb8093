"""The trie of paths against path-by-path evaluation, in one run and one table.

    python -m benchmarks.paths                       # the 1B shape, one source: about six minutes on two cores
    python -m benchmarks.paths --every-source        # also all sources from T_inst on
    python -m benchmarks.paths --shape ivy           # seconds; the bundled model and a real prompt
    python -m benchmarks.paths --device cuda

At the 1B shape weights and prompt are random.  ``one by one`` multiplies each path's edges out from its source, takes
all logits and sorts them; it runs on a few paths and is scaled to all.  Operations are those of every product of
matrices that was really computed, counted in a run of its own; the machine's own rate is measured beside them.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Olmo2Config, Olmo2ForCausalLM

from benchmarks.machine import matrix_rate, peak, reset_peak, wait
from ivcore.models import LoadedModel, from_pretrained_parts, load_model
from ivcore.models.products import product
from ivcore.paths import Edges, Trace, Tracer
from ivcore.prompts import build_answer, build_prompt

N_TOKENS, SOURCE = 16, 10
_PROMPT = ("Given an adjective, state its antonym.", "Adjective: big. Answer:", "small")


def main() -> None:
    """Measure and print."""
    options = _parse()
    torch.manual_seed(0)
    model = _random_1b(options.device) if options.shape == "1b" else load_model("ivy-sft", device=options.device)
    ids, source, answer = _prompt(model, options.shape)
    rate = matrix_rate(options.device, "float32")
    print(
        f"{model.n_layers} layers of {model.d_model}, {len(ids)} tokens, source {source}; {options.device}, "
        f"{torch.get_num_threads()} threads, float32, {rate / 1e9:.1f} GFLOP/s in matrix products"
    )
    print(
        f"{'':26} {'paths':>9} {'high':>7} {'freeze s':>9} {'trace s':>9} {'GFLOP':>10} {'of rate':>8} "
        f"{'peak MiB':>9} {'one by one s':>13} {'times':>7}"
    )
    every = range(source, len(ids))
    for k in options.k:
        _show(f"k = {k}", model, ids, [source], answer, k, rate, options)
    if options.every_source:
        for k in options.k:
            _show(f"k = {k}, {len(every)} sources", model, ids, list(every), answer, k, rate, options)


def _show(
    name: str,
    model: LoadedModel,
    ids: Sequence[int],
    sources: Sequence[int],
    answer: int,
    k: int,
    rate: float,
    options: argparse.Namespace,
) -> None:
    reset_peak(options.device)
    before = peak(options.device)
    started = time.perf_counter()
    tracer = Tracer(model, ids, top_k=k)
    wait(options.device)
    freezing = time.perf_counter() - started
    seconds, trace = _timed(tracer, sources, answer, options)
    highest = peak(options.device) - before
    done = _operations(tracer, sources, answer)
    n_paths = sum(source.found.n_paths for source in trace.sources)
    high = sum(len(source.found.ranks) for source in trace.sources)
    looped = _one_by_one(tracer, trace, answer, options) * n_paths
    print(
        f"{name:26} {n_paths:9,} {high:7,} {freezing:9.2f} {seconds:9.2f} {done / 1e9:10.1f} "
        f"{done / seconds / rate:8.1%} {highest / 2**20:9.0f} {looped:13.1f} {looped / seconds:7.1f}",
        flush=True,
    )


def _timed(tracer: Tracer, sources: Sequence[int], answer: int, options: argparse.Namespace) -> tuple[float, Trace]:
    """The shortest of some traces, and its result."""
    times = []
    for _ in range(options.repeats):
        started = time.perf_counter()
        trace = tracer.trace(sources, answer)
        wait(options.device)
        times.append(time.perf_counter() - started)
    return min(times), trace


def _one_by_one(tracer: Tracer, trace: Trace, answer: int, options: argparse.Namespace) -> float:
    """Seconds a path; the high-ranking ones among those tried must come out as the trie has them."""
    frozen = tracer.frozen
    generator = random.Random(0)
    starts = [source.position for source in trace.sources if source.found.n_paths]
    some = [_random_path(tracer.edges, generator.choice(starts), generator) for _ in range(options.looped)]
    listed = {
        tuple(row): (int(rank), float(logit))
        for source in trace.sources
        for row, rank, logit in zip(
            source.found.positions.tolist(), source.found.ranks, source.found.logits, strict=True
        )
    }
    started = time.perf_counter()
    for path in some:
        vector = tracer.path_states(path)[-1:]
        logits = product(frozen.final(vector), frozen.unembedding.weight)[0]
        order = torch.sort(logits, descending=True).values
        rank = int((order > logits[answer]).sum()) + 1
        if (found := listed.get(tuple(path))) is not None and abs(found[0] - rank) > 1:
            raise AssertionError(f"the trie gives rank {found[0]} where the path alone gives {rank}")
    return (time.perf_counter() - started) / len(some)


def _random_path(edges: Edges, source: int, generator: random.Random) -> list[int]:
    path = [source]
    for exist, reach in zip(edges.exist, edges.reach[1:], strict=True):
        path.append(generator.choice((exist[:, path[-1]] & reach).nonzero()[0].tolist()))
    return path


def _operations(tracer: Tracer, sources: Sequence[int], answer: int) -> int:
    """Additions and multiplications of all products of matrices in one trace."""
    with FlopCounterMode(display=False, custom_mapping={torch.ops.mkldnn._linear_pointwise: _of_linear}) as counter:
        tracer.trace(sources, answer)
    return int(counter.get_total_flops())


def _of_linear(x: Sequence[int], weight: Sequence[int], *_: object, out_shape: object = None, **__: object) -> int:
    return 2 * math.prod(x) * weight[0]


def _prompt(model: LoadedModel, shape: str) -> tuple[Sequence[int], int, int]:
    """The prompt's tokens, T_inst, and the answer."""
    if shape == "1b":
        ids = torch.randint(0, model.vocab_size, (N_TOKENS,)).tolist()
        logits = model.hf(input_ids=torch.tensor([ids], device=model.device), logits_to_keep=1).logits[0, -1]
        return ids, SOURCE, int(logits.argmax())
    instruction, query, answer = _PROMPT
    prompt = build_prompt(model.tokenizer, instruction, query)
    return prompt.ids_full, prompt.t_inst, build_answer(model.tokenizer, prompt, answer).id


def _random_1b(device: str) -> LoadedModel:
    config = Olmo2Config(
        vocab_size=100_352,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=16,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    config._attn_implementation = "eager"
    with torch.device(device):
        hf = Olmo2ForCausalLM(config).eval()
    return from_pretrained_parts(hf, load_model("ivy-sft", device="cpu").tokenizer, "random-1b")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paths", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", choices=("1b", "ivy"), default="1b")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--k", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--every-source", action="store_true", help="also all sources from T_inst on")
    parser.add_argument("--repeats", type=int, default=2, help="take the shortest of so many traces")
    parser.add_argument("--looped", type=int, default=12, help="paths followed one by one")
    return parser.parse_args()


if __name__ == "__main__":
    with torch.no_grad():
        main()
