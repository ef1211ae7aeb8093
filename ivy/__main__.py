"""``python -m ivy train`` makes the three checkpoints from nothing; ``python -m ivy verify`` measures the ones at
hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from ivy.cards import write_cards
from ivy.train import CHECKPOINTS, train_base, train_sft
from ivy.verify import STAGES, as_markdown, verify


def _train_dpo(out: Path) -> None:
    from ivy.dpo import train_dpo

    train_dpo(out)


TRAINERS: dict[str, Callable[[Path], None]] = {"base": train_base, "sft": train_sft, "dpo": _train_dpo}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.verb == "train":
        for stage in options.stages.split(","):
            if stage not in TRAINERS:
                print(f"There is no stage {stage!r}; choose from {', '.join(TRAINERS)}.", file=sys.stderr)
                return 2
        for stage in options.stages.split(","):
            TRAINERS[stage](options.out)
        return 0
    results = [
        verify(ref, options.samples, options.seed, options.out) for ref in STAGES if (options.out / ref).is_dir()
    ]
    print(json.dumps([asdict(result) for result in results]) if options.json else as_markdown(results))
    if options.cards:
        write_cards(results, options.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ivy", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    train = verbs.add_parser("train", help="train the checkpoints from nothing (about 95 minutes on two idle cores)")
    train.add_argument("--stages", default="base,sft,dpo", help="comma-separated, in this order")
    check = verbs.add_parser("verify", help="measure the checkpoints at hand")
    check.add_argument("--samples", type=int, default=100, help="prompts for each task and split")
    check.add_argument("--seed", type=int, default=0)
    check.add_argument("--json", action="store_true")
    check.add_argument("--cards", action="store_true", help="also rewrite the model cards from what was measured")
    for verb in (train, check):
        verb.add_argument("--out", type=Path, default=CHECKPOINTS, help="folder of the checkpoints")
    return parser


if __name__ == "__main__":
    sys.exit(main())
