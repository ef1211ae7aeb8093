"""A model's shapes without its numbers, from config.json alone: what it will take is known before it is fetched."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from ..errors import DamagedModelError

__all__ = ["parameter_bytes", "skeleton"]


def skeleton(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The model that config.json in ``folder`` describes, which ``check_config`` accepted; it takes no memory.

    Raises:
        DamagedModelError: it describes none.
    """
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    except Exception as err:
        reason = (str(err).strip().splitlines() or [type(err).__name__])[0][:160]
        raise DamagedModelError(f"config.json describes no model ({reason}); get the file again.") from err
    return model


def parameter_bytes(*modules: nn.Module) -> int:
    """What the parameters of these modules take, those that they share counted once."""
    weights = {id(weight): weight for module in modules for weight in module.parameters()}
    return sum(weight.numel() * weight.element_size() for weight in weights.values())
