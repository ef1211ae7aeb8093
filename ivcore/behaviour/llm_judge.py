"""IA by another language model: is an answer of the kind that the instruction asks for, right or wrong?

For instructions whose answers no rule can list (``prompts.tasks.AnswerRule``).  The judge is any chat model behind an
address that speaks the OpenAI protocol.

1. Verdicts that the cache knows are not asked for again; equal questions are asked once.
2. The rest is asked, ``n_parallel`` at a time, with no redirect followed and no proxy or log-in taken from the machine.
3. A reply that is neither yes nor no is asked for again and at last counts as no judgement, with the reason in words.
4. What is busy or broken is asked again after a while; what concerns every question ends all at once with one
   ``JudgeError``.  Each verdict is in the cache before the next question is put.

Source: arXiv 2602.07930, Appendix C, for the criterion; the words of the prompt are ours (``judge_protocol``).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InputError, JudgeError, quote
from .judge_protocol import (
    MAX_REPLY_BYTES,
    PROMPT_VERSION,
    JudgeSettings,
    Question,
    UnclearReply,
    check_settings,
    endpoint,
    judgement_key,
    read_reply,
    request_body,
    said_of_error,
    seconds_to_wait,
)
from .judgement_cache import JudgementCache, default_cache

if TYPE_CHECKING:
    import httpx

__all__ = [
    "MAX_PARALLEL",
    "PROMPT_VERSION",
    "JudgeSettings",
    "Judgement",
    "JudgementCache",
    "JudgingStopped",
    "Question",
    "check_settings",
    "default_cache",
    "judge_kind",
    "judge_kinds",
]

MAX_PARALLEL = 16

_LONGEST_WAIT = 30.0
_POLL_SECONDS = 0.1
_BUSY = (408, 409, 425, 429, 502, 503, 504)
_OF_ONE_QUESTION = (400, 413, 422, 500)
"""Statuses that a single question may cause: too long, filtered, or one that the server trips over."""

Wait = Callable[[float], Awaitable[object]]


@dataclass(frozen=True)
class Judgement:
    """What the judge made of one answer."""

    valid: bool | None
    """Whether it is of the kind asked for; None where the judge did not say."""
    reason: str | None
    """Why there is no verdict, as a sentence; None where there is one."""


class JudgingStopped(Exception):
    """Judging was stopped because its caller wished so; the verdicts so far are in the cache."""


class _Fault(Exception):
    """A try that failed, as a sentence."""

    def __init__(self, reason: str, *, of_all: bool, again: bool = True, wait: float | None = None) -> None:
        super().__init__(reason)
        self.of_all = of_all
        """Whether it says nothing of the question, so that the others would fare no better."""
        self.again = again
        self.wait = wait
        """Seconds until the next try; None for twice as long as the last time."""


def judge_kind(settings: JudgeSettings, question: Question, cache: JudgementCache | None = None) -> Judgement:
    """Ask whether one answer is of the kind asked for. Raises as ``judge_kinds``."""
    return judge_kinds(settings, [question], cache)[0]


def judge_kinds(
    settings: JudgeSettings,
    questions: Sequence[Question],
    cache: JudgementCache | None,
    *,
    on_progress: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    n_parallel: int = 4,
    wait: Wait = asyncio.sleep,
) -> tuple[Judgement, ...]:
    """Ask of several answers whether they are of the kind asked for, and give the judgements in the same order.

    Args:
        settings: whom to ask.
        questions: equal ones are asked once.
        cache: where verdicts are looked up and kept; None for nowhere.
        on_progress: told how many questions are judged so far; may raise to stop.
        should_stop: asked before each question and ten times a second meanwhile; True ends the call.
        n_parallel: how many questions are on their way at a time, 1 to ``MAX_PARALLEL``.
        wait: an asynchronous function that waits for so many seconds between two tries.

    Raises:
        InputError: ``settings`` or ``n_parallel`` cannot be used.
        JudgeError: the judge cannot be reached, refuses the key or the model, or stays busy.
        JudgingStopped: ``should_stop`` said so.
        StoreError: the cache cannot be used.
    """
    check_settings(settings)
    if not 1 <= n_parallel <= MAX_PARALLEL:
        raise InputError(f"{n_parallel} questions cannot be asked at a time; give 1 to {MAX_PARALLEL}.")
    judging = _Judging(settings, Counter(questions), cache, on_progress, should_stop)
    if todo := judging.look_up():
        _run(judging.ask(todo, n_parallel, wait))
    return tuple(judging.found[question] for question in questions)


class _Judging:
    """The judgements of one call as they come in."""

    def __init__(
        self,
        settings: JudgeSettings,
        counts: Mapping[Question, int],
        cache: JudgementCache | None,
        on_progress: Callable[[int], None] | None,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        self.found: dict[Question, Judgement] = {}
        self._settings, self._counts, self._cache = settings, counts, cache
        self._on_progress, self._should_stop = on_progress, should_stop
        self._n_done = 0

    def look_up(self) -> list[Question]:
        """Take what the cache knows; give the questions it does not."""
        for question in self._counts:
            self._check_stop()
            valid = None if self._cache is None else self._cache.find(judgement_key(self._settings, question))
            if valid is not None:
                self._settle(question, Judgement(valid, None))
        return [question for question in self._counts if question not in self.found]

    async def ask(self, todo: Sequence[Question], n_parallel: int, wait: Wait) -> None:
        """Put all of ``todo``; the first error, or a wish to stop, breaks off whatever is on its way."""
        shared = iter(todo)
        async with _client(self._settings, n_parallel) as client:
            tasks = [asyncio.create_task(self._work(client, shared, wait)) for _ in range(min(n_parallel, len(todo)))]
            pending = set(tasks)
            try:
                while pending:
                    done, pending = await asyncio.wait(
                        pending, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_EXCEPTION
                    )
                    for task in done:
                        task.result()
                    self._check_stop()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, client: httpx.AsyncClient, todo: Iterator[Question], wait: Wait) -> None:
        for question in todo:
            self._check_stop()
            judgement = await _ask(client, self._settings, question, wait)
            if self._cache is not None and judgement.valid is not None:
                self._cache.keep(judgement_key(self._settings, question), judgement.valid)
            self._settle(question, judgement)

    def _settle(self, question: Question, judgement: Judgement) -> None:
        self.found[question] = judgement
        self._n_done += self._counts[question]
        if self._on_progress is not None:
            self._on_progress(self._n_done)

    def _check_stop(self) -> None:
        if self._should_stop is not None and self._should_stop():
            raise JudgingStopped


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, in a thread of its own where this one has a loop already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


def _client(settings: JudgeSettings, n_parallel: int) -> httpx.AsyncClient:
    import httpx

    headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
    if settings.key:
        headers["Authorization"] = f"Bearer {settings.key}"
    return httpx.AsyncClient(
        headers=headers,
        timeout=settings.timeout,
        limits=httpx.Limits(max_connections=n_parallel),
        follow_redirects=False,
        trust_env=False,
    )


async def _ask(client: httpx.AsyncClient, settings: JudgeSettings, question: Question, wait: Wait) -> Judgement:
    """One question, put up to ``n_tries`` times. Raises JudgeError."""
    number = 1
    while True:
        try:
            return Judgement(await _try(client, settings, question), None)
        except _Fault as err:
            if not err.again or number == settings.n_tries:
                if err.of_all:
                    raise JudgeError(str(err)) from err.__cause__
                return Judgement(None, str(err))
            pause = 2.0 ** (number - 1) if err.wait is None else err.wait
        await wait(min(pause, _LONGEST_WAIT))
        number += 1


async def _try(client: httpx.AsyncClient, settings: JudgeSettings, question: Question) -> bool:
    import httpx

    where = quote(settings.address, 100)
    try:
        async with (
            asyncio.timeout(settings.timeout),
            client.stream("POST", endpoint(settings), content=request_body(settings.model, question)) as response,
        ):
            body = await _body(response)
    except (httpx.TimeoutException, TimeoutError) as err:
        raise _Fault(
            f"The judge at {where} does not answer within {settings.timeout:g} s; see whether its server is busy, or "
            "give it more time.",
            of_all=True,
        ) from err
    except (httpx.ConnectError, OSError, UnicodeError) as err:
        raise JudgeError(
            f"The judge at {where} cannot be reached ({_one_line(err)}); see whether its server runs and whether the "
            "address is right."
        ) from err
    except httpx.HTTPError as err:
        raise _Fault(
            f"The judge at {where} broke off ({_one_line(err)}); see whether its server runs.", of_all=True
        ) from err
    _check_status(settings, response, body)
    try:
        return read_reply(body, settings.key)
    except UnclearReply as err:
        raise _Fault(str(err), of_all=False, wait=0.0) from err


async def _body(response: httpx.Response) -> bytes:
    """The body as it was sent, unpacked by nobody, cut soon after the limit."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_REPLY_BYTES:
            break
    return bytes(body[: MAX_REPLY_BYTES + 1])


def _check_status(settings: JudgeSettings, response: httpx.Response, body: bytes) -> None:
    """Raises _Fault where another try may help or only this question is refused, else JudgeError."""
    status, where = response.status_code, quote(settings.address, 100)
    if 200 <= status < 300:
        return
    said = said_of_error(body, settings.key)
    what = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if status in _BUSY:
        raise _Fault(
            f"The judge at {where} is still busy after {settings.n_tries} tries ({what}); go on later, or ask fewer "
            "questions at a time.",
            of_all=True,
            wait=seconds_to_wait(response.headers.get("Retry-After", "")),
        )
    if status in _OF_ONE_QUESTION:
        raise _Fault(f"The judge refused the question ({what}).", of_all=False, again=status == 500)
    if status >= 500:
        raise _Fault(f"The judge at {where} fails ({what}); look at its server's log.", of_all=True)
    if 300 <= status < 400:
        raise JudgeError(
            f"The judge at {where} sends elsewhere ({what}), which is not followed; give the address it moved to."
        )
    if status in (401, 403):
        raise JudgeError(f"The judge at {where} refuses the key (HTTP {status}); give one that is valid for it.")
    if status in (404, 405):
        raise JudgeError(
            f"The judge at {where} has no model {quote(settings.model)}, or the address is wrong ({what}); check both: "
            "most addresses end with /v1."
        )
    raise JudgeError(f"The judge at {where} refuses to answer ({what}); check address, model and account.")


def _one_line(err: Exception) -> str:
    return quote(str(err) or type(err).__name__, 160)[1:-1]
