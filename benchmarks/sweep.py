"""The shared-prefix sweep against a plain loop and against the released code's procedure, in one run and one table.

    python -m benchmarks                         # the 1B shape: about ten minutes on two cores
    python -m benchmarks --shape ivy             # seconds
    python -m benchmarks --device cuda --samples 100 --shape 7b --dtype bfloat16

Weights are random, shapes real.  ``plain loop`` is one hooked forward pass of batch one for each set; ``as released``
is five passes for each set and sample, as the code released with arXiv 2602.07930 makes them (source, target alone,
patched, and both again for the second metric).  Both run on a few sets and are scaled to all.

The machine's matrix-product rate is measured in the same run, by the faster of the two routines at hand (torch's
default and the one that patching uses).  The share of it counts only the operations that cannot be avoided
(``ivcore.patching.cost``), so it is a lower bound of what the processor did.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import Olmo2Config, Olmo2ForCausalLM

from benchmarks.machine import DTYPES, matrix_rate, peak, reset_peak, wait
from ivcore.models import FAMILIES, Network
from ivcore.patching import MEMORY_BUDGET, LayerSet, Shape, final_residuals, layer_sets, minimal_operations

SHAPES = {
    "ivy": Shape(8, 8, 8, 256, 32, 640, vocab_size=6144),
    "1b": Shape(16, 16, 16, 2048, 128, 8192, vocab_size=100_352),
    "7b": Shape(32, 32, 32, 4096, 128, 11_008, vocab_size=100_352),
}
_RELEASED_PASSES = 5


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    shape: Shape
    depth: int = 2
    n_tokens: int = 7
    """Of the target prompt, the filler included."""
    n_samples: int = 1
    dtype: str = "float32"


def main() -> None:
    """Measure and print."""
    options = _parse()
    torch.manual_seed(0)
    base = Case("sweep", SHAPES[options.shape], options.depth, options.n_tokens, options.samples, options.dtype)
    print(f"{base.shape}; {options.device}, {torch.get_num_threads()} threads; best of {options.repeats}")
    print(f"{'':34} {'seconds':>9} {'GFLOP':>10} {'of rate':>8} {'peak MiB':>9}")
    rates = {dtype: matrix_rate(options.device, dtype) for dtype in {base.dtype, "bfloat16"}}
    for dtype, rate in rates.items():
        print(f"{'matrix products, ' + dtype:34} {'':9} {rate / 1e9:10.1f} a second")
    with torch.no_grad():
        network, hf = _network(base, options.device)
        seconds = _show(base, network, rates, options)
        _show_loops(base, hf, seconds, options)
        if options.vary:
            for case in _variations(base, "depth 3", "tokens", "samples"):
                _show(case, network, rates, options)
            del network, hf
            for case in _variations(base, "layers", "bfloat16"):
                _show(case, _network(case, options.device)[0], rates, options)


def _variations(base: Case, *names: str) -> list[Case]:
    """The base case with one thing changed."""
    fewer = replace(base.shape, n_layers=base.shape.n_layers // 2)
    cases = {
        "depth 3": [replace(base, name="depth 3", depth=3)],
        "tokens": [replace(base, name=f"{2 * base.n_tokens} tokens", n_tokens=2 * base.n_tokens)],
        "samples": [replace(base, name=f"{n * base.n_samples} samples", n_samples=n * base.n_samples) for n in (4, 16)],
        "layers": [replace(base, name=f"{fewer.n_layers} layers", shape=fewer)],
        "bfloat16": [replace(base, name="bfloat16", dtype="bfloat16")],
    }
    return [case for name in names for case in cases[name]]


def _show(case: Case, network: Network, rates: dict[str, float], options: argparse.Namespace) -> float:
    """Run a case and print its row."""
    sets = ((), *layer_sets(case.shape.n_layers, case.depth))
    ids, vectors = _inputs(case, options.device)
    reset_peak(options.device)
    before = peak(options.device)
    seconds, _ = _best(lambda: _shared(network, vectors, ids, sets), options.repeats, options.device)
    operations = minimal_operations(case.shape, sets, case.n_tokens, case.n_samples)
    name = f"{case.name}: {len(sets) - 1} sets, {case.n_tokens} tokens"
    share = operations / seconds / rates[case.dtype]
    highest = peak(options.device) - before
    print(f"{name:34} {seconds:9.4f} {operations / 1e9:10.2f} {share:8.1%} {highest / 2**20:9.0f}", flush=True)
    return seconds


def _show_loops(case: Case, hf: Any, shared: float, options: argparse.Namespace) -> None:
    """The two procedures that run set by set, on a few sets, scaled to all; and that they give the same logits."""
    sets = ((), *layer_sets(case.shape.n_layers, case.depth))
    some = random.Random(0).sample(sets, min(len(sets), options.loop_sets))
    ids, vectors = _inputs(case, options.device)
    seconds, looped = _best(lambda: _loop(hf, vectors, ids[:1], some), min(2, options.repeats), options.device)
    whole = seconds * len(sets) / len(some) * case.n_samples
    for name, factor in (("plain loop", 1), ("as released, five passes a set", _RELEASED_PASSES)):
        print(f"{name:34} {whole * factor:9.2f}   {whole * factor / shared:.1f} times as long (from {len(some)} sets)")
    network = Network(hf, FAMILIES["Olmo2ForCausalLM"])
    found = _shared(network, vectors, ids[:1], some)[:, 0]
    print(f"largest difference of a logit between sweep and loop: {float((found - looped).abs().max()):.1e}")


def _shared(network: Network, vectors: Tensor, ids: Tensor, sets: Sequence[LayerSet]) -> Tensor:
    """Logits of shape (n_sets, n_samples, vocab_size), or of the last part of them where they would not fit."""
    finals = final_residuals(network, vectors, ids, 0, sets, memory_budget=MEMORY_BUDGET)
    rows = max(1, MEMORY_BUDGET // (32 * network.vocab_size))
    parts = finals.flatten(0, 1).split(rows)
    for part in parts[:-1]:
        (network.logits(part) > 0).sum(-1)  # as the count behind a rank
    logits = network.logits(parts[-1])
    return logits.unflatten(0, finals.shape[:2]) if len(parts) == 1 else logits


def _loop(hf: Any, vectors: Tensor, ids: Tensor, sets: Sequence[LayerSet]) -> Tensor:
    return torch.stack([_hooked(hf, vectors, ids, layers) for layers in sets])


def _hooked(hf: Any, vectors: Tensor, ids: Tensor, layers: LayerSet) -> Tensor:
    def writer(vector: Tensor) -> Callable[..., Tensor]:
        def write(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
            output[:, 0] = vector
            return output

        return write

    handles = [hf.model.layers[layer].register_forward_hook(writer(vectors[layer])) for layer in layers]
    try:
        logits: Tensor = hf(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
    finally:
        for handle in handles:
            handle.remove()
    return logits


def _inputs(case: Case, device: str) -> tuple[Tensor, Tensor]:
    """Target prompts that share their first token, and source vectors."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, case.shape.vocab_size, (case.n_samples, case.n_tokens), generator=generator)
    ids[:, 0] = 0
    vectors = torch.randn(case.shape.n_layers, case.shape.d_model, generator=generator)
    return ids.to(device), vectors.to(device, DTYPES[case.dtype])


def _best(run: Callable[[], Tensor], repeats: int, device: str) -> tuple[float, Tensor]:
    """The shortest of some runs, after one to warm up, and its result."""
    result, times = run(), []
    for _ in range(repeats):
        wait(device)
        start = time.perf_counter()
        result = run()
        wait(device)
        times.append(time.perf_counter() - start)
    return min(times), result


def _network(case: Case, device: str) -> tuple[Network, Any]:
    shape = case.shape
    config = Olmo2Config(
        vocab_size=shape.vocab_size,
        hidden_size=shape.d_model,
        intermediate_size=shape.d_mlp,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        num_key_value_heads=shape.n_kv_heads,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    torch.set_default_dtype(DTYPES[case.dtype])
    try:
        with torch.device(device):
            hf: Any = Olmo2ForCausalLM(config)
    finally:
        torch.set_default_dtype(torch.float32)
    hf.set_attn_implementation("eager")
    hf = hf.eval().requires_grad_(False)
    return Network(hf, FAMILIES["Olmo2ForCausalLM"]), hf


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="1b")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--depth", type=int, choices=(1, 2, 3), default=2)
    parser.add_argument("--n-tokens", type=int, default=7, help="tokens of the target prompt, the filler included")
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--loop-sets", type=int, default=12, help="how many sets the loops run at most")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--vary", action=argparse.BooleanOptionalAction, default=True, help="the rows beside the first")
    return parser.parse_args()


if __name__ == "__main__":
    main()
