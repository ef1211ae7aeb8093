"""The shared-prefix pass against a plain loop: one hooked forward pass of batch one for each layer set.

Weights are random, shapes real.  In the same run the machine's own matrix-product rate is measured, and beside each
time stand the operations that cannot be avoided and the share of that rate which they reached:

    python -m benchmarks.patch --shape ivy
    python -m benchmarks.patch --shape 1b --depth 2 --loop-sets 12

Minimal operations count products with weights and attention, two for each multiply-add: for each block queries, keys
and values once a parent branch, output projection and MLP once a child branch (in the last block for the last token
alone), the filler's variants, and the unembedding of one token for each set that can differ.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Olmo2Config, Olmo2ForCausalLM

from ivcore.models import FAMILIES, Network
from ivcore.patching import final_residuals, layer_sets

_BUDGET = 2 * 2**30


@dataclass(frozen=True)
class Shape:
    """Sizes of one model."""

    n_layers: int
    n_heads: int
    d_model: int
    d_mlp: int
    vocab_size: int


SHAPES = {"ivy": Shape(8, 8, 256, 704, 4000), "1b": Shape(16, 16, 2048, 8192, 100_352)}


def main() -> None:
    """Measure and print."""
    options = _parse()
    torch.manual_seed(options.seed)
    hf, shape = _make_model(options)
    sets = ((), *layer_sets(shape.n_layers, options.depth))
    ids = torch.randint(0, shape.vocab_size, (1, options.n_tokens))
    vectors = torch.randn(shape.n_layers, shape.d_model)
    some = random.Random(options.seed).sample(sets, min(len(sets), options.loop_sets))
    with torch.no_grad():
        rate = _matrix_rate()
        network = Network(hf, FAMILIES["Olmo2ForCausalLM"])
        shared_seconds, shared = _best(lambda: _shared(network, vectors, ids, sets), options.repeats)
        loop_seconds, looped = _best(lambda: _loop(hf, vectors, ids, some), options.repeats)
    _report(rate, shape, sets, options.n_tokens, shared_seconds, loop_seconds * len(sets) / len(some), len(some))
    found = shared[[sets.index(layers) for layers in some]]
    print(f"largest difference of a logit between the two: {float((found - looped).abs().max()):.1e}")


def minimal_operations(shape: Shape, sets: Sequence[tuple[int, ...]], n_tokens: int) -> int:
    """Operations that the shared-prefix pass cannot avoid, for a patch at position 0."""
    d, n_query, last = shape.d_model, n_tokens - 1, shape.n_layers - 1
    qkv, out, key_value = 6 * d * d, 2 * d * d + 6 * d * shape.d_mlp, 4 * d * d

    def branches(limit: int) -> int:
        return len({tuple(layer for layer in layers if layer < limit) for layers in sets})

    def variants(limit: int) -> int:
        return len({max((layer for layer in layers if layer < limit), default=-1) for layers in sets})

    total = 0
    for layer in range(last):
        attention = 4 * d * n_query * n_tokens
        total += branches(layer - 1) * n_query * qkv + branches(layer) * (n_query * out + attention)
        total += variants(layer) * (qkv + out)
    total += branches(last - 1) * (n_query * key_value + 2 * d * d) + branches(last) * (out + 4 * d * n_tokens)
    return total + variants(last) * key_value + branches(last) * 2 * d * shape.vocab_size


def loop_operations(shape: Shape, n_sets: int, n_tokens: int) -> int:
    """Operations of plain forward passes, with logits at the last position only."""
    d = shape.d_model
    block = n_tokens * (8 * d * d + 6 * d * shape.d_mlp) + 4 * d * n_tokens**2
    return n_sets * (shape.n_layers * block + 2 * d * shape.vocab_size)


def _report(
    rate: float, shape: Shape, sets: Sequence[tuple[int, ...]], n_tokens: int, shared: float, loop: float, n_looped: int
) -> None:
    print(f"{shape}; {len(sets)} sets (the empty one included), {n_tokens} tokens, {torch.get_num_threads()} threads")
    print(f"matrix products of this machine, float32: {rate / 1e9:.1f} GFLOP/s")
    note = "" if n_looped == len(sets) else f" (scaled from {n_looped} sets)"
    rows = (
        ("shared prefix", shared, minimal_operations(shape, sets, n_tokens), ""),
        ("plain loop", loop, loop_operations(shape, len(sets), n_tokens), note),
    )
    for name, seconds, operations, remark in rows:
        share = operations / seconds / rate
        print(f"{name:14} {seconds:9.4f} s  {operations / 1e9:9.2f} GFLOP  {share:6.1%} of the rate{remark}")
    print(f"the loop takes {loop / shared:.1f} times as long")


def _shared(network: Network, vectors: Tensor, ids: Tensor, sets: Sequence[tuple[int, ...]]) -> Tensor:
    return network.logits(final_residuals(network, vectors, ids, 0, sets, memory_budget=_BUDGET)[:, 0])


def _loop(hf: Any, vectors: Tensor, ids: Tensor, sets: Sequence[tuple[int, ...]]) -> Tensor:
    return torch.stack([_hooked(hf, vectors, ids, layers) for layers in sets])


def _hooked(hf: Any, vectors: Tensor, ids: Tensor, layers: tuple[int, ...]) -> Tensor:
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


def _best(run: Callable[[], Tensor], repeats: int) -> tuple[float, Tensor]:
    """The shortest of some runs, after one to warm up, and its result."""
    result, times = run(), []
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return min(times), result


def _matrix_rate(size: int = 1536, repeats: int = 8) -> float:
    """Operations a second of a square float32 matrix product, the best of some."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / _best(lambda: a @ b, repeats)[0]


def _make_model(options: argparse.Namespace) -> tuple[Any, Shape]:
    base = SHAPES[options.shape]
    shape = Shape(
        options.n_layers or base.n_layers,
        base.n_heads,
        base.d_model,
        base.d_mlp,
        options.vocab_size or base.vocab_size,
    )
    config = Olmo2Config(
        vocab_size=shape.vocab_size,
        hidden_size=shape.d_model,
        intermediate_size=shape.d_mlp,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        num_key_value_heads=shape.n_heads,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    hf: Any = Olmo2ForCausalLM(config)
    hf.set_attn_implementation("eager")
    return hf.eval().requires_grad_(False), shape


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.patch", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="ivy")
    parser.add_argument("--depth", type=int, choices=(1, 2, 3), default=2)
    parser.add_argument("--n-tokens", type=int, default=9, help="tokens of the target prompt, the filler included")
    parser.add_argument("--loop-sets", type=int, default=40, help="how many sets the plain loop runs at most")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--n-layers", type=int, help="fewer layers than the shape has")
    parser.add_argument("--vocab-size", type=int, help="a smaller vocabulary than the shape has")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
