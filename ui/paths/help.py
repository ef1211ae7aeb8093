"""The words of the Paths page that do not depend on its result."""

from __future__ import annotations

__all__ = ["LINE", "PLAN_NOTE", "READING", "TITLE", "TRACE_NOTE"]

TITLE = "Follow the paths"

LINE = (
    "What the model has read at one token reaches the answer along paths: at every layer it stays where it is, or a "
    "head of attention carries it to a later token. Here all of them are followed from the instruction to the answer, "
    "to see by which heads and tokens an instruction is obeyed, and how much of the answer these paths really carry."
)

TRACE_NOTE = "prints the same numbers, and every high-ranking path"
PLAN_NOTE = "computes the same runs ahead of time"

READING = """
**What is done.** The model reads the prompt once. Then its attention patterns, the scales of its norms and the gates of
its MLPs are held as they were. What is left is a *linear* network, and it is exact: fed with the prompt's own tokens it
gives the model's own logits. A linear network is a sum over paths.

**A path** begins at one token (the *source*) and ends at the last token, `T_last`, where the model answers. At each
layer it stays where it is, by the residual stream, or is carried to a later token by the heads that attend back. Only
the *k* tokens that each head attends to most count as an edge, so a larger *k* follows more paths. Every path has a
vector of its own at its end, and so says something about every token of the vocabulary.

**High-ranking.** A path ranks high if the answer is among the first so many tokens (100, unless you chose another
number) of what that path alone says. *By chance* is the share that would be expected if a path ranked all tokens at
random. A rank compares tokens within one path and knows nothing of the path's size: **a path can rank the answer high
and carry almost none of its logit**. So beside the ranks stands what the paths carry.

**What they carry.** The *logit of the paths followed* is the sum over all paths along the edges of this *k*; that *of
all paths there are* has every token attended. A share below 0% or above 100% means that other paths cancel: they push
the answer down.

**The graph.** Tokens stand side by side, layers above one another. A dot is the residual stream at a token after a
layer; the bottom row is the embedding. An edge is drawn where a shown path runs: thick where the paths through it carry
much of the answer's logit (up or down), and colored by the best rank among them. Click a dot or an edge, or a row of
the table, to see its heads and the words it promotes and suppresses there: its vector read through the last norm and
the unembedding as they are at the end.

**Exact flow** leaves ranks aside. It is the answer's logit as a current: over *all* paths at once, none left out,
through every edge. What enters a dot also leaves it. Orange raises the answer, blue lowers it.

**Two instructions, one query.** The same query under another instruction. Positions are counted from each instruction's
last token, `T_inst`, since instructions differ in length. *Shared* paths run over the same positions under both. The
chart counts, for the paths of one only, the first layer at which they leave every path of the other.

**A whole task.** How many high-ranking paths each token sends out, over many queries. Intervals are 95%, by drawing the
samples anew 10,000 times (bootstrap, seed 0); shares are ratios of sums, high-ranking over all paths.

**As released.** The code published with the paper ignores which heads make an edge and how strongly they attend, and
follows k = 1 only. Both can be computed here, so that one can see which findings rest on which.

**What this does not show.** Patterns, scales and gates are held fixed: what the instruction does by changing *them* is
not on any path. And what a single prompt shows is an example, not a statistic.
"""
