"""Background jobs, with tiny fake analyses: one for each key, one at a time on a model, stopped, failed, watched."""

from __future__ import annotations

import ast
import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ivcore.errors import InputError
from ivcore.runs import Progress, Stopped
from ui.worker import FAULT, Job, State, Workshop

PATIENCE = 20.0


class Fake:
    """An analysis that waits to be told to go on, and notes who ran when."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.calls: list[str] = []
        self.at_once = 0
        self.most_at_once = 0

    def named(self, name: str) -> Callable[[Callable[[Progress], None], Callable[[], bool]], object]:
        def work(on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]) -> object:
            self.calls.append(name)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                on_progress(Progress(3, 10, 1, 4, 0.5, 1.5))
                while not self.go.wait(0.005):
                    if should_stop():
                        raise Stopped
                return name
            finally:
                self.at_once -= 1

        return work


@pytest.fixture
def fake() -> Iterator[Fake]:
    made = Fake()
    yield made
    made.go.set()


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


def fails_with(error: Exception) -> Callable[..., object]:
    def work(*_: object) -> object:
        raise error

    return work


def ended(job: Job) -> Job:
    until(lambda: job.ended)
    return job


def test_a_job_runs_to_its_end_and_tells_how_far_it_is(fake: Fake) -> None:
    job = Workshop().start("k", "one", "model", fake.named("one"))
    until(lambda: job.progress is not None)
    assert job.state is State.RUNNING and not job.ended and job.message is None
    assert job.progress is not None and (job.progress.samples_done, job.progress.n_samples) == (3, 10)
    fake.go.set()
    ended(job)
    assert job.state is State.DONE
    first = job.elapsed
    time.sleep(0.02)
    assert job.elapsed == first > 0, "the clock stands still once it is done"


def test_one_key_is_computed_once_however_often_it_is_started(fake: Fake) -> None:
    shop = Workshop()
    started = [shop.start("k", "one", "model", fake.named("one")) for _ in range(3)]
    assert started[0] is started[1] is started[2] is shop.find("k")
    fake.go.set()
    ended(started[0])
    assert fake.calls == ["one"]
    again = shop.start("k", "one", "model", fake.named("again"))
    assert again is not started[0] and ended(again).state is State.DONE, "once it has ended it may be started anew"


def test_many_threads_that_start_one_key_start_one_job(fake: Fake) -> None:
    shop, found = Workshop(), []
    barrier = threading.Barrier(8)

    def press() -> None:
        barrier.wait()
        found.append(shop.start("k", "one", "model", fake.named("one")))

    threads = [threading.Thread(target=press) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fake.go.set()
    ended(found[0])
    assert len({id(job) for job in found}) == 1 and fake.calls == ["one"]


def test_jobs_of_one_model_wait_in_order_and_other_models_do_not(fake: Fake) -> None:
    shop = Workshop()
    first, second, third = (shop.start(name, name, "model", fake.named(name)) for name in ("a", "b", "c"))
    until(lambda: first.progress is not None)
    assert [second.state, third.state] == [State.QUEUED, State.QUEUED]
    assert shop.before(third) == (first, second) and shop.before(first) == ()
    other = shop.start("d", "d", "another model", fake.named("d"))
    until(lambda: other.progress is not None)
    assert fake.most_at_once == 2 and second.elapsed == 0
    fake.go.set()
    for job in (first, second, third, other):
        assert ended(job).state is State.DONE
    assert [name for name in fake.calls if name != "d"] == ["a", "b", "c"]
    assert fake.most_at_once == 2, "never two on one model"


def test_a_running_job_is_stopped_at_its_next_step_and_the_next_one_goes_on(fake: Fake) -> None:
    shop = Workshop()
    first, second = (shop.start(name, name, "model", fake.named(name)) for name in ("a", "b"))
    until(lambda: first.progress is not None)
    first.stop()
    assert first.state in (State.STOPPING, State.STOPPED)
    ended(first)
    assert first.state is State.STOPPED and first.message is None
    until(lambda: second.progress is not None)
    fake.go.set()
    assert ended(second).state is State.DONE


def test_a_waiting_job_is_stopped_at_once_and_never_runs(fake: Fake) -> None:
    shop = Workshop()
    first, second = (shop.start(name, name, "model", fake.named(name)) for name in ("a", "b"))
    second.stop()
    assert second.state is State.STOPPED and shop.before(first) == ()
    fake.go.set()
    ended(first)
    until(lambda: not shop._lanes)
    assert fake.calls == ["a"]


def test_stopping_what_has_ended_changes_nothing(fake: Fake) -> None:
    fake.go.set()
    job = ended(Workshop().start("k", "one", "model", fake.named("one")))
    job.stop()
    assert job.state is State.DONE


def test_an_error_meant_for_the_user_is_kept_as_it_is() -> None:
    job = ended(Workshop().start("k", "one", "model", fails_with(InputError("Type a query."))))
    assert job.state is State.FAILED and job.message == "Type a query."


def test_a_fault_is_logged_and_its_details_are_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="ui.worker"):
        job = ended(Workshop().start("k", "one", "model", fails_with(KeyError("secret internals"))))
    assert job.state is State.FAILED and job.message == FAULT
    assert "secret internals" in caplog.text and "secret" not in FAULT


def test_a_failed_job_leaves_the_lane_free(fake: Fake) -> None:
    shop = Workshop()
    fake.go.set()
    bad = shop.start("bad", "bad", "model", fails_with(RuntimeError("x")))
    good = shop.start("good", "good", "model", fake.named("good"))
    assert ended(good).state is State.DONE and ended(bad).state is State.FAILED


def test_ended_jobs_are_forgotten_in_the_end(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.worker._ENDED_KEPT", 2)
    shop = Workshop()
    fake.go.set()
    for i in range(5):
        ended(shop.start(str(i), str(i), "model", fake.named(str(i))))
    assert [shop.find(str(i)) is not None for i in range(5)] == [False, False, True, True, True]


def test_the_thread_is_a_daemon_and_calls_no_streamlit(fake: Fake) -> None:
    job = Workshop().start("k", "one", "a lane of its own", fake.named("one"))
    until(lambda: job.progress is not None)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "jobs of a lane of its own"]
    assert thread.daemon, "the server can end while a job runs"
    tree = ast.parse(Path(inspect.getfile(Workshop)).read_text(encoding="utf-8"))
    used = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "st"]
    assert used == ["cache_resource"]
