"""The paper's BIG-bench tasks from the hub data set ``tasksource/bigbench``, kept in the hub client's cache.

The data set has one folder a task with the Parquet files of its two splits. Both are taken, so that the items are those
of ``task.json``; the code released with the paper takes the first of the split *train*.
"""

from __future__ import annotations

import errno
from typing import Any

from ...errors import DataError, ExplorerError, OfflineError
from .bigbench import bigbench_task, check_name
from .task import Task

__all__ = ["DATA_SET", "load_bigbench_hub"]

DATA_SET = "tasksource/bigbench"

_PLACES: tuple[tuple[str | None, tuple[str, ...]], ...] = (
    (None, ("{}/train-00000-of-00001.parquet", "{}/validation-00000-of-00001.parquet")),
    ("refs/convert/parquet", ("{}/train/0000.parquet", "{}/validation/0000.parquet")),
)
"""Revision and files: the data set as it is, then the hub's own conversion of what it was before."""
_COLUMNS = ["inputs", "targets", "multiple_choice_targets", "multiple_choice_scores"]


def load_bigbench_hub(name: str) -> Task:
    """The task ``name`` from the hub, with the paper's instruction; from the local cache where it is there.

    Raises:
        OfflineError: the hub cannot be reached and the cache does not have the files; the message offers a file.
        DataError: ``name`` is none of ``BIGBENCH_TASKS``, or the hub's files are not what they were.
    """
    check_name(name)
    return bigbench_task(name, [example for path in _download(name) for example in _examples(path, name)], _shown(name))


def _shown(name: str) -> str:
    return f"The data set {DATA_SET}, {name}"


def _download(name: str) -> list[str]:
    """Local paths of the task's files."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RevisionNotFoundError

    missing: Exception | None = None
    for revision, files in _PLACES:
        try:
            return [
                hf_hub_download(DATA_SET, file.format(name), repo_type="dataset", revision=revision) for file in files
            ]
        except LocalEntryNotFoundError as err:
            raise _explain(err, name) from err
        except (EntryNotFoundError, RevisionNotFoundError) as err:
            missing = err
        except Exception as err:
            raise _explain(err, name) from err
    raise DataError(
        f"The data set {DATA_SET} on the hub no longer has the files of {name}; {_instead(name)}."
    ) from missing


def _examples(path: str, name: str) -> list[dict[str, Any]]:
    """The rows of a Parquet file as examples of ``task.json``."""
    import pandas as pd

    try:
        rows = pd.read_parquet(path, columns=_COLUMNS).to_dict("records")
        return [_example(row) for row in rows]
    except Exception as err:
        raise DataError(
            f"{_shown(name)}: the downloaded file cannot be read ({type(err).__name__}); delete it from the hub's "
            f"cache and try again, or {_instead(name)}."
        ) from err


def _example(row: dict[str, Any]) -> dict[str, Any]:
    choices, scores = list(row["multiple_choice_targets"]), list(row["multiple_choice_scores"])
    return {
        "input": row["inputs"],
        "target": [str(target) for target in row["targets"]],
        "target_scores": {choice: float(score) for choice, score in zip(choices, scores, strict=True)},
    }


def _explain(err: Exception, name: str) -> ExplorerError:
    """The error to show for what the hub's client raised; the order goes from special to general."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    if isinstance(err, RepositoryNotFoundError | HFValidationError):
        return DataError(f"The hub has no public data set {DATA_SET} any more; {_instead(name)}.")
    if isinstance(err, HfHubHTTPError):
        return OfflineError(
            f"The hub answered the request for {DATA_SET} with an error (HTTP {err.response.status_code}); try again "
            f"later, or {_instead(name)}."
        )
    if isinstance(err, OSError) and err.errno == errno.ENOSPC:
        return DataError(f"There is no space left on the disk for {DATA_SET}; free some or set HF_HOME elsewhere.")
    return OfflineError(
        f"The hub cannot be reached and {DATA_SET} is not in the local cache; connect to the network once, or "
        f"{_instead(name)}."
    )


def _instead(name: str) -> str:
    return f"give the file task.json of BIG-bench's task {name}"
