"""The words of the Task sweep page that do not depend on its result."""

from __future__ import annotations

__all__ = ["CONVENTION_LINE", "LINE", "READING", "TITLE"]

TITLE = "Sweep a task"

LINE = (
    "One prompt is an example; a hundred are evidence. Here the instruction’s vector is written into many queries of "
    "one task, at every layer, every pair and, if you like, every triple of layers, to see at which layers the model "
    "keeps what it was told to do, and how sure one can be of that."
)

CONVENTION_LINE = {
    "exact": "As defined: the instruction is replaced by one filler token and a rank r counts 1/r.",
    "released": (
        "As released: the target is the bare query, patched at its first token; the answer token is cut without its "
        "leading space; a rank beyond 1000 counts −1."
    ),
}

READING = """
**What is done.** For each sample the model reads the *full prompt* (instruction and query) and the *target* (a filler
token and the query). Then, for every set of layers, the filler's state in the target is replaced at those layers by
the instruction vector: the state at the last token of the instruction. The *effect* of a set is what that does to the
answer: patched minus target alone. *RR* is the reciprocal rank of the answer's first token among all tokens.

**The map.** Each cell is one set: on the diagonal a single layer, elsewhere two layers at once. Orange brings the
answers back, blue pushes them further away, pale does little. *Recovery* is the mean effect as a share of what the
instruction itself does: 100% would mean that the vector at these layers does all that the instruction did.

**Intervals.** 95%, by drawing the samples anew 10,000 times (bootstrap, with a fixed seed). They say how much the
mean would vary with other queries of the same task; they say nothing about other instructions or models.

**The strongest set is flattered.** Among hundreds of sets, the one with the highest mean is partly lucky with these
samples. So the sweep also chooses the set on one half of the samples and measures it on the other.

**More than the sum.** If layers worked independently, patching two would do as much as each alone, added up. The
difference, its interval and a one-sided test say whether they do more; this is called *superadditive*. As hundreds of
sets are tested, p-values are adjusted (Holm: no false claim among all; Benjamini–Hochberg: few false ones). For
triples *all three only* is the part that no pair accounts for.

**As defined, as released.** The code published with the paper differs from its text in the prompt, the answer token,
the scoring of low ranks and the superadditivity test. Both can be computed here, so you can see which findings rest
on which.
"""
