"""Loading: a name becomes a model that is complete, in evaluation mode, and identified by a fingerprint.

1. The name is resolved (``registry``) and, for a hub id, downloaded (``hub``).
2. The folder is inspected (``folder``); remote code is never trusted and only safetensors are opened.
3. Whether it fits is told before its weights are fetched and again before they are read (``memory``).
4. Where one GPU has no room for it, it is divided among all of them (``placement``).
5. transformers loads it with eager attention.  What transformers would only warn about (weights that are missing,
   left over or of another shape; a tokenizer larger than the embedding) is an error here.

Steps 2 to 5 are for one model at a time, so that no two are promised the same memory.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from ..errors import DamagedModelError, InputError, ModelError, quote
from .families import find_family
from .folder import ModelFolder, fingerprint, inspect_folder
from .hub import fetch
from .memory import MakeRoom, check_room, size_text, stored_dtypes, weight_bytes
from .network import Network
from .placement import place_on_gpus
from .progress import OnProgress, Teller
from .registry import find_place
from .skeleton import parameter_bytes, skeleton

__all__ = ["DEVICES", "DTYPES", "LoadedModel", "ModelFacts", "from_pretrained_parts", "load_model"]

DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
DEVICES = ("auto", "cpu", "cuda")

_MOST_ASKED = 2
"""Times the weights that the files hold; where config.json asks for a little more, what is lacking is told by name."""
_READING = threading.Lock()
"""Held while weights are read: the room in memory is shared, and the settings of transformers are of the process."""


@dataclass
class ModelFacts:
    """What is known of a model once it was loaded."""

    ref: str
    """The name it was asked for."""
    revision: str | None
    """The hub commit, if it came from the hub."""
    family: str
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    vocab_size: int
    """Rows of the unembedding (a tokenizer may use fewer)."""
    n_positions: int | None
    """The longest prompt the model takes, in tokens, if it says so."""
    device: str
    dtype: str
    fingerprint: str
    """SHA-256 over configuration, tokenizer and weights."""


@dataclass
class LoadedModel(ModelFacts):
    """A model ready to be measured.  Its parts are not thread-safe: hold ``lock`` while they run."""

    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    hf: PreTrainedModel = field(repr=False)
    network: Network = field(repr=False)
    lock: Any = field(default_factory=threading.RLock, repr=False)
    """Reentrant, so that a caller may hold it around several calls."""
    tracer: Any = field(default=None, repr=False)
    """nnsight's wrapper, made at the first trace."""


def load_model(
    ref: str,
    *,
    device: str = "auto",
    dtype: str = "float32",
    revision: str | None = None,
    on_progress: OnProgress | None = None,
    make_room: MakeRoom | None = None,
) -> LoadedModel:
    """Load a bundled model, a local folder in Hugging Face format, or a hub id.

    Args:
        ref: such as ``ivy-sft``, ``./my-model`` or ``allenai/OLMo-2-0425-1B-DPO``.
        device: ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.
        dtype: ``float32``, ``bfloat16``, ``float16`` or ``float64``.
        revision: branch, tag or commit; for hub ids only.
        on_progress: told in this thread how far it is; what it raises stops the loading and comes out of this call.
        make_room: called where there is too little memory, with what tells whether there is enough now.

    Raises:
        ModelError: it cannot be found, loaded or trusted; the subclass says which.
        InputError: no such device or dtype.
    """
    chosen_device, chosen_dtype = _device(device), _dtype(dtype)
    place = find_place(ref)
    if revision is not None and place.hub is None:
        raise InputError(
            f"{quote(ref)} is a local folder, which has no revision {quote(revision)}; leave the revision out."
        )
    tell, name = Teller(on_progress), str(place.hub) if place.folder is None else place.folder.name

    def check(folder: Path, stored: int | None = None) -> None:
        # transformers takes the memory that config.json asks for, even where the files hold less.
        asked = parameter_bytes(skeleton(folder, chosen_dtype))
        if stored is not None and asked > _MOST_ASKED * stored:
            raise DamagedModelError(
                f"config.json of {quote(name)} describes {size_text(asked)} of weights but the files hold "
                f"{size_text(stored)}; they belong to different models, so get both of one checkpoint."
            )
        check_room(name, max(asked, stored or 0), chosen_dtype, chosen_device, make_room)

    with _quiet():
        path = place.folder or fetch(name, revision, tell, check)
    with _READING, _quiet(), _memory_told(name):
        folder = inspect_folder(path)
        check(path, weight_bytes(folder, chosen_dtype))
        parts = place_on_gpus(folder, chosen_dtype) if chosen_device.type == "cuda" else None
        hf = _load_weights(folder, chosen_dtype, parts, tell)
        tokenizer = _load_tokenizer(folder)
        _check_vocabulary(tokenizer, hf)
        if parts is None:
            hf = _detached(hf, folder, chosen_dtype).to(chosen_device)  # type: ignore[arg-type]
    digest = fingerprint(folder, lambda done: tell("read", (folder.n_bytes + done) // 2, folder.n_bytes))
    return _assemble(hf, tokenizer, ref, path.name if place.hub else None, digest)


def from_pretrained_parts(hf_model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ref: str) -> LoadedModel:
    """The same from a model and a tokenizer already in memory; the model is put in evaluation mode.

    Raises:
        UnknownFamilyError: the model's class has no row in the family table.
        DamagedModelError: the tokenizer has more tokens than the embedding.
    """
    _check_vocabulary(tokenizer, hf_model)
    hf_model.set_attn_implementation("eager")
    total = hashlib.sha256(hf_model.config.to_json_string().encode())
    for name, tensor in sorted(hf_model.state_dict().items()):
        total.update(name.encode() + tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return _assemble(hf_model, tokenizer, ref, None, total.hexdigest())


def _assemble(
    hf: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ref: str, revision: str | None, digest: str
) -> LoadedModel:
    family = find_family(type(hf).__name__)
    hf.eval().requires_grad_(False)
    limit = getattr(hf.config, "max_position_embeddings", None)
    try:
        network = Network(hf, family)
        if limit is not None and limit < 1:
            raise ValueError(f"a longest prompt of {limit} tokens")
    except (TypeError, ValueError, ArithmeticError) as err:
        raise DamagedModelError(
            f"config.json of {quote(ref)} has settings that no model can have ({_reason(err)}); get the file again."
        ) from err
    weight: torch.Tensor = next(hf.parameters())
    return LoadedModel(
        ref=ref,
        revision=revision,
        family=family.name,
        n_layers=network.n_layers,
        n_heads=network.n_heads,
        n_kv_heads=network.n_kv_heads,
        d_model=network.d_model,
        vocab_size=network.vocab_size,
        n_positions=int(limit) if limit else None,
        device=weight.device.type,
        dtype=str(weight.dtype).removeprefix("torch."),
        fingerprint=digest,
        tokenizer=tokenizer,
        hf=hf,
        network=network,
    )


def _load_weights(
    folder: ModelFolder, dtype: torch.dtype, parts: dict[str, int] | None, tell: Teller
) -> PreTrainedModel:
    """``parts``: by module, its GPU; None is the CPU."""
    try:
        with _counting(lambda share: tell("read", int(share * folder.n_bytes / 2), folder.n_bytes)):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder.path,
                dtype=dtype,
                attn_implementation="eager",
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                device_map=parts,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except Exception as err:
        if err is tell.raised or _is_out_of_memory(err):
            raise
        raise DamagedModelError(
            f"{quote(folder.path.name)} cannot be loaded ({_reason(err)}); config.json and weights do not fit "
            "together, so get the folder again."
        ) from err
    hf, report = loaded
    for key, meaning in (
        ("missing_keys", "lack"),
        ("unexpected_keys", "have left over"),
        ("mismatched_keys", "have in another shape"),
    ):
        if found := sorted(str(name[0] if isinstance(name, tuple) else name) for name in report[key]):
            raise DamagedModelError(
                f"The weights of {quote(folder.path.name)} {meaning} {quote(found[0])}"
                f"{f' and {len(found) - 1} more' if len(found) > 1 else ''}, compared with its config.json; get the "
                "folder again."
            )
    return hf


def _detached(hf: PreTrainedModel, folder: ModelFolder, dtype: torch.dtype) -> PreTrainedModel:
    """The model with weights of its own.

    Where the files have the wanted dtype, transformers maps them instead of reading them, and a file that is cut short
    later, as a training that saves anew does, would end the whole process.  One tensor after another is copied, so that
    no second copy of all is held.
    """
    if dtype in stored_dtypes(folder):
        for weight in (*hf.parameters(), *hf.buffers()):
            weight.data = weight.data.clone()
    return hf


def _load_tokenizer(folder: ModelFolder) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder.path, trust_remote_code=False, local_files_only=True)
    except Exception as err:
        raise DamagedModelError(
            f"The tokenizer of {quote(folder.path.name)} cannot be read ({_reason(err)}); get tokenizer.json again."
        ) from err
    if not getattr(tokenizer, "is_fast", False):
        raise DamagedModelError(
            f"The tokenizer of {quote(folder.path.name)} does not report offsets; save it as a fast tokenizer."
        )
    return tokenizer


def _check_vocabulary(tokenizer: PreTrainedTokenizerBase, hf: PreTrainedModel) -> None:
    embedding: Any = hf.get_input_embeddings()
    n_rows = int(embedding.weight.shape[0])
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= n_rows:
        raise DamagedModelError(
            f"The tokenizer has the token id {largest} but the embedding only {n_rows} rows; they belong to different "
            "models, so get tokenizer.json and the weights of one checkpoint."
        )


def _device(name: str) -> torch.device:
    if name not in DEVICES:
        raise InputError(f"Unknown device {quote(str(name))}; choose one of {', '.join(DEVICES)}.")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("There is no CUDA GPU that torch can use here; choose the device cpu or auto.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _dtype(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise InputError(f"Unknown dtype {quote(str(name))}; choose one of {', '.join(DTYPES)}.")
    return DTYPES[name]


@contextmanager
def _memory_told(name: str) -> Iterator[None]:
    """Say in one sentence where memory runs out, which others may have taken since it was looked at."""
    try:
        yield
    except Exception as err:
        if not _is_out_of_memory(err):
            raise
        raise ModelError(
            f"{quote(name)} does not fit into memory after all; choose --dtype bfloat16 or a smaller "
            "model, or free some memory."
        ) from err


def _is_out_of_memory(err: Exception) -> bool:
    """torch has a type for that on a GPU only; on the CPU, and where a file is mapped, it is known by its words."""
    words = str(err).lower()
    told = any(
        saying in words for saying in ("can't allocate memory", "cannot allocate memory", "can't start new thread")
    )
    return told or isinstance(err, MemoryError | torch.OutOfMemoryError)


def _reason(err: BaseException) -> str:
    return (str(err).strip().splitlines() or [type(err).__name__])[0][:160]


@contextmanager
def _counting(on_share: Callable[[float], None]) -> Iterator[None]:
    """Tell the share of tensors that transformers has read, through the hook that it has for its progress bars."""

    def counted(factory: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return _shares(args[0], on_share) if args and hasattr(args[0], "__len__") else factory(*args, **options)

    before = transformers_logging.set_tqdm_hook(counted)
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(before)


def _shares(items: Any, on_share: Callable[[float], None]) -> Iterator[Any]:
    for number, item in enumerate(items):
        on_share(number / len(items))
        yield item
    on_share(1.0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' warnings and progress bars away from standard error, and put its settings back afterwards."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
