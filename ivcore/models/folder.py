"""What a model folder holds, checked before any of it is loaded.

1. ``config.json``: an architecture of the family table, no code of its own (``auto_map``), no quantised weights.
2. Weights: safetensors only, every shard there, each with a whole header and as long as it says.
3. ``tokenizer.json``.
4. The fingerprint: SHA-256 over names and contents of config.json, tokenizer.json and the weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..errors import DamagedModelError, UnknownFamilyError, quote
from .families import Family, find_family

__all__ = ["ModelFolder", "check_config", "fingerprint", "inspect_folder", "read_json"]

_PART = 2**24
"""Bytes that are hashed at a time."""
_LONGEST_JSON = 2**28
_LARGEST = {
    **dict.fromkeys(("num_hidden_layers", "n_layer"), 1000),
    **dict.fromkeys(("hidden_size", "n_embd"), 2**20),
    "head_dim": 2**16,
    **dict.fromkeys(("partial_rotary_factor", "rotary_pct"), 1),
}
"""Settings of which a model's empty frame already takes memory and time, and more than any model has of each."""
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True)
class ModelFolder:
    """A folder that can be loaded."""

    path: Path
    family: Family
    weights: tuple[Path, ...]

    @property
    def n_bytes(self) -> int:
        """Of all weights on the disk."""
        return sum(file.stat().st_size for file in self.weights)


def inspect_folder(path: Path) -> ModelFolder:
    """Check the files of a model folder.

    Raises:
        DamagedModelError: a file is missing, cut short, contradictory or not safetensors.
        UnknownFamilyError: the architecture is unknown or wants code of its own to be run.
    """
    family = check_config(read_json(path / "config.json"))
    if (path / "adapter_config.json").exists():
        raise DamagedModelError(
            f"{quote(path.name)} is an adapter, not a whole model; merge it into its base model first."
        )
    weights = _weight_files(path)
    for file in weights:
        _check_safetensors(file)
    if not (path / "tokenizer.json").is_file():
        raise DamagedModelError(
            f"{quote(path.name)} has no tokenizer.json; save it there with tokenizer.save_pretrained(folder)."
        )
    read_json(path / "tokenizer.json")
    if (path / "tokenizer_config.json").is_file():
        _refuse_code(read_json(path / "tokenizer_config.json"), "tokenizer_config.json")
    return ModelFolder(path, family, weights)


def check_config(config: dict[str, Any]) -> Family:
    """The family that a config.json names.

    Raises:
        UnknownFamilyError: it names none of the table, asks for its own code, has quantised weights, or lets a token
            see what follows it.
        DamagedModelError: a size in it is no model's.
    """
    _refuse_code(config, "config.json")
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or not architectures or not isinstance(architectures[0], str):
        raise UnknownFamilyError(
            'config.json names no architecture; add "architectures": ["Olmo2ForCausalLM"] or another known one to it.'
        )
    if config.get("quantization_config"):
        raise UnknownFamilyError("The weights are quantised, which is not supported; use the original checkpoint.")
    if config.get("use_bidirectional_attention") or config.get("is_causal") is False:
        raise UnknownFamilyError(
            "The model lets a token see what follows it; choose one that reads from left to right only."
        )
    _check_sizes(config)
    return find_family(architectures[0])


def _check_sizes(config: dict[str, Any]) -> None:
    """Of the settings, and of those inside them."""
    for name, value in config.items():
        if isinstance(value, dict):
            _check_sizes(value)
        elif (most := _LARGEST.get(name)) is None or value is None:
            continue
        elif not isinstance(value, int | float) or not 0 <= value <= most:
            raise DamagedModelError(
                f"config.json has {quote(str(value))} for {name}, which is at most {most:,}; get the file again."
            )


def fingerprint(folder: ModelFolder, on_bytes: Callable[[int], None] = lambda _done: None) -> str:
    """SHA-256 (hex) over names and contents of config.json, tokenizer.json and the weights, in the order of names.

    ``on_bytes`` is told how many bytes of the weights are done.
    """
    total, done = hashlib.sha256(), 0
    for file in sorted((folder.path / "config.json", folder.path / "tokenizer.json", *folder.weights)):
        content = hashlib.sha256()
        with file.open("rb") as stream:
            while part := stream.read(_PART):
                content.update(part)
                if file in folder.weights:
                    done += len(part)
                    on_bytes(done)
        total.update(f"{file.name}\0{content.hexdigest()}\n".encode())
    return total.hexdigest()


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        DamagedModelError: there is no such file, or no JSON object in it.
    """
    try:
        if file.stat().st_size > _LONGEST_JSON:
            raise DamagedModelError(f"{file.name} of {quote(file.parent.name)} is too long; get the file again.")
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise DamagedModelError(
            f"{quote(file.parent.name)} has no {file.name}; give a folder in Hugging Face format with config.json, "
            "model.safetensors and tokenizer.json."
        ) from err
    except (OSError, ValueError, RecursionError) as err:
        raise DamagedModelError(
            f"{file.name} of {quote(file.parent.name)} is not readable JSON; get the file again."
        ) from err
    if not isinstance(content, dict):
        raise DamagedModelError(f"{file.name} of {quote(file.parent.name)} holds no JSON object; get the file again.")
    return content


def _refuse_code(config: dict[str, Any], name: str) -> None:
    if config.get("auto_map"):
        raise UnknownFamilyError(
            f"{name} has an auto_map: the model asks for code of its own to be run, which is never done; use a "
            "checkpoint of an architecture that transformers itself has."
        )


def _weight_files(path: Path) -> tuple[Path, ...]:
    """The safetensors files that transformers would load from ``path``."""
    single, index = path / "model.safetensors", path / "model.safetensors.index.json"
    if single.is_file():
        return (single,)
    if index.is_file():
        return _shards(index)
    if any(next(path.glob(pattern), None) for pattern in _PICKLED):
        raise DamagedModelError(
            f"{quote(path.name)} has only pickled weights, which can run code when opened; convert them to safetensors "
            "with model.save_pretrained(folder)."
        )
    raise DamagedModelError(f"{quote(path.name)} has no model.safetensors; get the weights again.")


def _shards(index: Path) -> tuple[Path, ...]:
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise DamagedModelError(f"{index.name} of {quote(index.parent.name)} lists no weights; get the file again.")
    names = sorted({str(name) for name in table.values()})
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise DamagedModelError(
                f"{index.name} names the file {quote(name)}, which is no safetensors file beside it; get it again."
            )
        if not (index.parent / name).is_file():
            raise DamagedModelError(
                f"{quote(index.parent.name)} lacks the weights file {quote(name)}; get the folder again."
            )
    return tuple(index.parent / name for name in names)


def _check_safetensors(file: Path) -> None:
    """Read the header; safetensors compares it with the length of the file."""
    try:
        with file.open("rb") as stream:
            start = stream.read(40)
        if start.startswith(b"version https://git-lfs"):
            raise DamagedModelError(
                f"{file.name} is a Git LFS pointer, not the weights; fetch them with 'git lfs pull'."
            )
        with safe_open(file, framework="pt") as tensors:
            tensors.keys()
    except (SafetensorError, OSError) as err:
        raise DamagedModelError(
            f"{file.name} of {quote(file.parent.name)} is cut short or not safetensors ({_first_line(err)}); "
            "get the file again."
        ) from err


def _first_line(err: BaseException) -> str:
    return (str(err).strip().splitlines() or [type(err).__name__])[0][:160]
