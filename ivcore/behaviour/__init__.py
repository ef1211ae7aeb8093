"""Does the model follow an instruction at all?  (arXiv 2602.07930, section 3 and Appendix C)

``answers``: what the model says.  ``verdicts``: whether that is right (EMA), of the right kind (IA), or the answer to
another instruction.  ``llm_judge``: IA by another language model, where a rule cannot tell.
"""

from __future__ import annotations

from .answers import MAX_ANSWER_TOKENS, Step, answer_steps, greedy_answers
from .verdicts import Adherence, Confusion, Verdict, adherence, judge, normalise

__all__ = [
    "MAX_ANSWER_TOKENS",
    "Adherence",
    "Confusion",
    "Step",
    "Verdict",
    "adherence",
    "answer_steps",
    "greedy_answers",
    "judge",
    "normalise",
]
