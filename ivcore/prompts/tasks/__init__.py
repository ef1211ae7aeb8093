"""Task sets: the bundled ones, a person's own files, and the paper's tasks from BIG-bench.

``bundled`` holds real facts and many ways to ask for them; ``csv_file`` reads a task CSV; ``bigbench`` and
``bigbench_hub`` read the paper's four BIG-bench tasks; ``choose`` draws the items of a run.

Source: the tasks adj_comp, adj_ant, anim_color, can_fly, object_counting, metaphor_boolean, implicatures and snarks
follow Table 1 of arXiv 2602.07930; the bundled queries, answers and paraphrases are our own.
"""

from __future__ import annotations

from .bigbench import BIGBENCH_TASKS, load_bigbench
from .bigbench_hub import load_bigbench_hub
from .bundled import DATA, all_task_names, answer_pattern, kind_tasks, load_task, read_rows, task_names
from .choose import choose_items
from .csv_file import load_task_csv, subtasks_of
from .task import AnswerPattern, AnswerRule, Task, query_text

__all__ = [
    "BIGBENCH_TASKS",
    "DATA",
    "AnswerPattern",
    "AnswerRule",
    "Task",
    "all_task_names",
    "answer_pattern",
    "choose_items",
    "kind_tasks",
    "load_bigbench",
    "load_bigbench_hub",
    "load_task",
    "load_task_csv",
    "query_text",
    "read_rows",
    "subtasks_of",
    "task_names",
]
