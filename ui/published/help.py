"""The words of the Published page that do not depend on what is chosen."""

from __future__ import annotations

__all__ = ["LINE", "READING", "TESTS", "TITLE"]

TITLE = "Published figures"

LINE = (
    "What the paper behind this method printed, table by table: at which layers the instruction vector works in "
    "OLMo-2, and how that was tested. Beside it stands your own run of the same model and task, so that you can see "
    "which findings come back."
)

TESTS = """
**Why every t is near −1000**

The question was whether two layers do more together than each alone, added up. For each of 100 samples the released
code noted the answer as 1 (yes) or 0 (no). Then it tested whether the mean of these zeros and ones is **50**. Such a
mean lies between 0 and 1, so it is always 49 to 50 away from 50, and the test always reports an enormous difference:
t is never above −985, whatever the data. If the layers worked independently, or even against each other, the table
would look the same. So t and p say nothing about superadditivity.

What the figures do hold is the *count* behind them. t depends on the number of samples that said yes and on nothing
else, so the column *samples that hold* can be read back from it: half of them gives −985, all or none gives −∞.

The count is no test either. Equality was counted as yes, so a pair with the last layer, which adds nothing, should
hold in every sample; and a single layer was tested as a pair with itself, which holds wherever its effect is zero or
negative. For a test that can come out either way, run the sweep: it has one for every pair.
"""

READING = """
**Where the figures come from.** "Patches of Nonlinearity: Instruction Vectors in Large Language Models", arXiv
2602.07930 v2, by Bigoulaeva, Rohweder, Dutta and Gurevych, licence CC BY 4.0, carried over as printed. *1B* and *7B*
are OLMo-2 models; *base* has only read text, *SFT* was then trained on instructions, *DPO* then on preferred answers.

**Layer sets (Tables 9 to 18).** The instruction vector is written into a prompt without an instruction, at one layer,
at two or at three at once, and the change of the answer's RR or logit is averaged over 100 samples. RR is the
reciprocal rank, 1 / rank. Only the ten largest effects of each model and task were printed, to two decimals. A grey
dot in the map is a set that is *not published*: its effect was not above the tenth, which is not to say that it is
zero. Where all ten effects are negative, no set helped. Click a cell to mark it.

**Places that tie.** With two decimals many sets print the same value. Their places then follow the layers' numbers
and mean nothing.

**Beside your own run.** *In common* counts the sets that are in both top tens; *by chance* is what a random order
would give. The *rank correlation* (Spearman) runs over the published sets only and says whether these come in the
same order: 1 the same, 0 unrelated, −1 reversed. With at most ten rounded values it is a rough number.

**The plan.** A text file that `python -m ivcore precompute` takes: it computes all models and tasks of the table with
this app's engine. Take it to a machine with a GPU, and bring back the folder `cache/runs`. The paper and the code
released with it differ (there, a rank beyond 1000 counts as −1, for one); the plan follows the paper. Set
`convention` to `released` in it to follow the code.

**Heads (Tables 2, 3 and 20 to 24).** A head is active if it lies on many of the paths that carry the instruction to
the answer, where a path follows the *k* most attended positions. *Jaccard* is the share of active heads that two sets
of heads have in common, *Spearman r* compares the order of their activity.
"""
