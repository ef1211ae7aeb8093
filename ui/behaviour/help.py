"""The words of the Behaviour page that do not depend on its result."""

from __future__ import annotations

__all__ = ["COMMANDS_NOTE", "LINE", "READING", "RULES_FILE", "TITLE", "VERDICTS_HELP"]

TITLE = "Does it follow the instruction?"

LINE = (
    "A model that cannot do a task says nothing about where it keeps the instruction. So ask first: does it give the "
    "right answer, does it at least answer with the right kind of thing, or does it do what another instruction asks "
    "for? Every answer can be read below."
)

COMMANDS_NOTE = "prints the same numbers for the task looked at, one line a stage"

RULES_FILE = "ivcore/prompts/tasks/data/tasks.toml"

VERDICTS_HELP = (
    "Right, right kind and wrong kind are three separate verdicts and add up to all prompts. An answer counted under "
    "“answers …” also has one of these three: it is wrong here, and right for that other task."
)

READING = f"""
**What is done.** The model reads an instruction and a query, such as *Given an adjective, state its antonym.
Adjective: big. Answer:*, and goes on with its most likely token, then the next, up to the end of the line or 8 tokens
(*greedy* answers: no chance is involved). The same queries are put to every stage.

**What is compared.** Of the answer, the first line without white space and punctuation at its ends; capital letters
count only where they do in the task, as in names of countries. The table calls this *normalised*.

**Right (EMA, exact match accuracy).** The normalised answer is the expected one, letter by letter. A right answer in
other words counts as wrong.

**Of the right kind (IA, instruction adherence).** The answer is one that the instruction could ask for, right or wrong:
one of the answers that the task has for any query, or a word of a given shape. Told to name a color, *green* is of the
right kind for a crow though it is wrong; *crow* is not. So a right answer is always of the right kind, and a model that
answers *yes* to everything follows a yes-or-no instruction fully while it is right only now and then. The rules are in
`{RULES_FILE}`; a rule is a rule of thumb, and a rule that is changed makes a new run.

**Confusion of kinds.** Several tasks ask different things of the same queries. Where an answer is wrong here but is
what another task would want, the model did that other task. Only queries on which the two tasks have different
answers count.

**Intervals.** 95% after Wilson (1927), which also holds for shares near 0% and 100%. They say how much the share would
vary with other queries of the same task, not with other wordings of the instruction.

**Token by token.** Below the table any prompt can be answered one token at a time, with the ten most likely tokens at
each step. Their probabilities add up to less than 100%, since the rest is spread over the whole vocabulary.
"""
