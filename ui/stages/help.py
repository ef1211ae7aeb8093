"""The words of the Stages page that do not depend on its result."""

from __future__ import annotations

__all__ = ["LINE", "READING", "SPREAD", "TITLE"]

TITLE = "Stages of training"

LINE = (
    "Does training on instructions change where a model keeps them? The same sweep on the base model, after "
    "training on instructions (SFT) and after training on preferences (DPO), side by side for several tasks."
)

SPREAD = (
    "**How spread is it?** Give every single layer and pair a share of the effect in proportion to its mean "
    "effect, as far as that is positive. The *effective number of layer sets* is the number of equal shares that "
    "would be as mixed as these (the exponential of their entropy): 1 if a single set carries all, the number of "
    "all sets if each does as much as any other. A set that helps only because it holds a strong layer counts "
    "too, so compare stages with one another rather than with 1."
)

READING = """
**The panels.** Each is the map of the Task sweep page: on the diagonal a single layer is patched, elsewhere two at
once; orange brings the answers back, blue pushes them away. The strongest set is outlined. With *one scale for all*,
colors can be compared between panels; with *a scale for each*, weak panels show their shape too.

**Differences.** The later stage's mean effect minus the earlier's, set by set. Where both stages answered the same
samples, the tooltip has a 95% interval of that difference, and the panel says how many sets differ clearly, that is,
have an interval without zero. It is not adjusted for the number of sets.

**What is shown.** Finished sweeps only, the one over most samples where there are several. This page computes
nothing; a panel that was never computed says so and names the command that would. The link below a panel opens its
sweep.
"""
