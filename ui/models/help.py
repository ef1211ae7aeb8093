"""The words of the Models page that do not depend on a model."""

from __future__ import annotations

__all__ = ["ADDING", "CLOSED", "COMMANDS_NOTE", "LINE", "READING", "REFUSED", "TITLE"]

TITLE = "Models"

LINE = (
    "Every number in this app is read from inside a model, so each model is first proved on this machine: its steps "
    "are repeated one by one and held against plain transformers. Here is what is at hand, what it takes, and what "
    "that check found."
)

COMMANDS_NOTE = "runs the same check"

READING = """
**Where.** *bundled*: part of this app. *on this machine*: a folder, or a model of the hub that was fetched before. *to
be fetched*: loading it downloads its files first; how large they are is known then. *cannot be used*: choose it, and
the page says why.

**In memory.** What the weights take in the chosen number format, by the headers of the files. A prompt takes a little
more. At most two models are in memory. A third pushes out the one used least recently, unless it is at work, and so
does one for which too little memory is free. What does not fit even then is refused before anything is read.

**Revision.** The commit on the hub. A folder has none; its *fingerprint* tells it from any other: SHA-256 over the
configuration, the tokenizer and the weights.

**Self-check.** Each line compares what this app computes with what it must equal, on fixed random prompts. *Deviation*
is the largest difference found, *allowed* the largest that rounding explains in this number format. One failed line
fails the model, and then no page shows a number of it, only this report. The report is kept on this machine and holds
until the model's files, the device, the number format, the libraries or this app change.
"""

ADDING = """
Choose *another model* above, then type one of these.

- **A folder** that the machine running this app can read, in Hugging Face format: `config.json`, `tokenizer.json`, and
  `model.safetensors` or its shards with `model.safetensors.index.json`.
- **An id of the Hugging Face hub**, such as `EleutherAI/pythia-70m`. Its files are fetched once and kept, the newest
  revision. For another one, fetch it into a folder and type that:
  `hf download org/name --revision COMMIT --local-dir FOLDER`.

**Gated models.** Accept the terms on the model's page on the hub, then run `hf auth login` on the machine that runs
this app. **Without a network** everything works that is bundled, in a folder or was fetched before; the rest says that
the hub cannot be reached.
"""

REFUSED = """
- **Pickled weights** (`.bin`, `.pt`, `.ckpt`): opening them can run any code. Save the model again with
  `model.save_pretrained(folder)`, which writes safetensors.
- **Models that bring code of their own** (`auto_map` in their configuration): it is never run.
- **Quantised weights and adapters**: take the original checkpoint, or merge the adapter into its model.
- **A tokenizer that does not report offsets**: save it as a fast tokenizer.
- **Other families** than these, since each keeps its parts elsewhere:
"""

CLOSED = "This app opens only the models that it lists; whoever runs it can change that (`others` in `registry.toml`)."
