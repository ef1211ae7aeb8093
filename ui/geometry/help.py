"""The words of the Geometry page that do not depend on its result."""

from __future__ import annotations

__all__ = ["COMMANDS_NOTE", "LINE", "OWN_POINTS", "POOLED", "READING", "SEPARATION_HELP", "TITLE", "VIEW_NOTES"]

TITLE = "Do paraphrases fall into clusters?"

LINE = (
    "Many ways to ask for the same thing, read by the model: do their states lie apart from those of other "
    "instructions, at which layer, and would the words alone have told them apart? What a probe can read is not yet "
    "what the model uses, so the same layers are set against patching below."
)

COMMANDS_NOTE = "prints the same numbers, one line a stage"

VIEW_NOTES = {
    "lda": (
        "LDA looks for the directions in which the classes lie apart, so the points that it was fitted on always look "
        "sorted. Judge it by the filled points: those it has not seen."
    ),
    "pca": "PCA knows no classes: its axes are the directions in which the states vary most, whatever for.",
    "tsne": (
        "t-SNE keeps neighbors together and nothing else: distances between clusters, and their sizes, mean little. "
        "It has no map for new points, so none is held out."
    ),
    "released": (
        "The released code draws LDA on the very points that it was fitted on, without shrinkage. With as many "
        "directions as a model has, that looks sorted even where there is little to sort."
    ),
}

POOLED = (
    "The released code pools the states of all layers and splits the pool at random. A paraphrase held out at one "
    "layer was then trained on at another, where its state is almost the same, so the probe may remember the text "
    "rather than tell what it asks for. With whole paraphrases held out it cannot. Nothing else "
    "differs between the two."
)

OWN_POINTS = "own points"

SEPARATION_HELP = {
    "probe": "Accuracy of the linear probe on held-out paraphrases.",
    "interval": "95%, Wilson.",
    "shuffled": "The same probe after the labels were dealt anew: mean over permutations. It should be near chance.",
    "lda": "Accuracy of LDA with shrinkage on held-out paraphrases.",
    OWN_POINTS: "Accuracy of the same LDA on the points that it was fitted on.",
    "flatters": "How much the fitted points flatter: the difference in percentage points.",
    "ratio": "Variance between the classes over variance within, of held-out points along the axes of LDA. 0: nothing.",
    "silhouette": "From -1 to 1: how much nearer a state is to its own class than to the next. Counts all directions.",
    "dimension": "Over how many directions the states spread: 1 where all lie along one line.",
}

READING = """
**What is read.** Each paraphrase alone, without a query. The state is that of its last token: the residual stream after
each layer, or only what attention or the MLP of that layer adds. The *embedding* is the residual stream before any
layer: it knows the last token and nothing before, often the same full stop for all.

**The probe.** Logistic regression on standardised states tells which task a paraphrase asks for. Paraphrases are dealt
into folds, those of the same text (but for capitals and punctuation) into the same one; each is told by a probe that
never saw it. How strongly the probe is held back is chosen inside the training folds, never on what is held out.

**Its controls** stand in the same chart. *Labels shuffled*: the same probe after the labels were dealt anew, which
shows what its freedom alone can do. *Words alone*: the same probe of how often each word comes in the text, with no
model at all; only what lies above it is more than vocabulary. The headline names each stage's best layer, chosen on
these same paraphrases, so it flatters a little; the lines do not. *Chance*: always naming the largest class.

**Intervals.** 95% after Wilson (1927), over paraphrases. They count what other paraphrases might have given with these
probes. They do not count that other training folds would have given other probes, nor that paraphrases of one task
resemble one another, so the truth is somewhat less certain than they say.

**LDA** (linear discriminant analysis) with shrinkage is fitted on the same training folds and judged on the same
held-out points. In the pictures one fold is held out: filled points. Hollow points are those that the view was fitted
on. Axes, signs and scales are each stage's own, so compare clusters, not places.

**Separation in numbers.** *LDA ratio*: variance between the classes over variance within them, of held-out points
along the LDA axes, corrected so that it is 0 on average where there is nothing to separate; it may fall below.
*Silhouette* (Rousseeuw 1987): from -1 to 1, of standardised states with all their directions, so states can be
perfectly separable at a silhouette near 0. *Effective dimension*: the participation ratio of the covariance of all
states together.

**Linear against causal.** Above: how often the probe tells this task's paraphrases right. Below: how much of the
answer comes back when the instruction's vector of that one layer is put in place of the filler token (the Task sweep
page). A layer can be read perfectly and yet change nothing: what is there need not be what is used. The last layer's
patch can never reach the answer, since no attention follows it. *Works best*: the 95% interval lies above zero and
the effect is at least half of the largest single one; elsewhere it may still be above zero.
"""
