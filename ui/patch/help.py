"""The words of the Patch page that do not depend on its result."""

from __future__ import annotations

__all__ = ["LINE", "READING", "TITLE"]

TITLE = "Patch an instruction vector"

LINE = (
    "Once a language model has read an instruction, the state of a single token holds what is to be done: the "
    "instruction vector. Here it is copied into a prompt that has no instruction, at layers you choose. Where the "
    "right answer comes back, you have found where the model keeps its instruction."
)

READING = """
**What is done.** The model reads the *full prompt*, and its state at the last token of the instruction (`T_inst`) is
kept after every layer: the instruction vector. Then it reads the *target prompt*, in which one meaningless token, the
*filler*, stands where the instruction stood, so that it can only guess what to do with the query. At the layers you
choose, the filler's state is replaced by the instruction vector of the same layer, and the answer is measured again.

**The numbers.** *Rank*: 1 means that the answer is the model's first choice among all its tokens. *RR* is the
reciprocal rank, 1 / rank: 1 for the first place, 0.5 for the second, near 0 far down. The *logit* is the model's raw
score for the answer, and the *probability* what that score becomes next to all other tokens. *Effect* is patched minus
target alone. *Recovery* is the effect as a share of the way from the target alone (0%) to the full prompt (100%); it
can be negative, or more than 100%.

**The map.** Each cell is one experiment. On the diagonal a single layer is patched, elsewhere two layers at once.
Orange brings the answer back, blue pushes it further away. Click a cell to see that experiment's numbers.

**Pairs.** If two layers worked independently, patching both would do as much as each alone, added up (the dashed
line). Points above the line do more: the layers work together, which is called *superadditive*.

**What this does not show.** This is one prompt: an example, not a statistic. Other instructions, queries and models
behave differently. And a patch at the last layer cannot reach the answer, since no later layer reads the filler.
"""
