"""The words of the Heads page that do not depend on its result."""

from __future__ import annotations

__all__ = ["COMMANDS_NOTE", "LINE", "READING", "SELECTOR", "TITLE"]

COMMANDS_NOTE = "prints the same numbers, one line a side"

TITLE = "Does the instruction choose the heads?"

LINE = (
    "A path from the instruction to the answer runs along attention heads. Here every head is counted: on what share "
    "of the paths that rank the answer high does it lie, and is that more than chance? If two instructions over the "
    "same queries share their heads in early layers and not in later ones, the instruction selects the circuit."
)

SELECTOR = (
    "Two sides look different already because each is seen through a sample of prompts. So their likeness is held "
    "against that of two halves of one side’s prompts, all halves of the same size, split anew 1,000 times. Only what "
    "lies above zero is more than the prompts account for."
)

READING = """
**Activity.** Paths from a source token to the last token are followed along edges: a head makes an edge from a token to
the *k* tokens that it attends to most. A path ranks high if what it alone says puts the answer among the first 100
tokens. A head's activity is the share of these high-ranking paths on which it lies, averaged over prompts; 95%
intervals by drawing the prompts anew 10,000 times. Prompts without a high-ranking path have no activity and are left
out; the caption says how many. A head is *active* above the threshold, 0.1 unless you chose another.

**Chance.** A head whose edge many paths must take lies on many paths of any rank. *By chance* is its share among *all*
paths of the same prompts, counted exactly. *More than chance* is activity less that. *p* is of a one-sided paired
t-test over prompts that it is above zero, adjusted after Holm for all heads of the map; gray cells have none, since all
prompts agree. In what share of the drawings a head's activity is at most 0.1 stands with each head below the maps.

**The maps** share one color scale, so their colors can be compared. The third is the second side less the first; of
widths and p-values activities are compared instead. Activity is a mean over prompts, so a difference alone says nothing
of its certainty; for that see the circuit selector.

**Circuit selector.** Likeness of two sides in a layer: the sum over its heads of the smaller activity over that of the
larger, so 1 where they are the same. The chart on the right is the likeness of two halves of one side's prompts less
that between the sides; its lines are the central 95% over random splits. They show how far the split matters; other
prompts might change it further. Each layer is judged by itself.

**Spearman's r** compares the order of a layer's heads, the **Jaccard similarity** the sets of active heads: those
active on both sides over those active on either. It is not defined where no head is active, and r is not defined where
all heads of a layer are alike. Their intervals come from drawing the queries anew 10,000 times; sides that share
queries are drawn together. Noise lowers r, so its intervals may reach further down than up.

**The attention pattern** shows where the head looks on one prompt. Dots are the edges that paths can take: its *k* most
attended tokens.

**As released.** The code published with the paper lets every edge carry all heads at full strength. Choose it under
*More settings* to see which findings rest on that.

**What this does not show.** A head on many high-ranking paths need not move the answer: ranks know nothing of a path's
size, and patterns are held fixed while the paths are followed. The Paths page shows what paths carry.
"""
