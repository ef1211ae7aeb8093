"""The judge's section of the Behaviour page, against a server on this machine that says yes or no as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.reading import plain, words
from tests.app.test_behaviour_page import (  # noqa: F401 - fixtures
    Open,
    answered,
    assert_one_sentence,
    assert_whole,
    button,
    finish,
    open_page,
)
from ui.behaviour import runs as behaviour_runs

SECRET = "sk-never-shown"


class Judge(ThreadingHTTPServer):
    """Says yes to every other question."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.keys: set[str | None] = set()
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        judge = self.server
        assert isinstance(judge, Judge)
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with judge.lock:
            judge.asked.append(body)
            judge.keys.add(self.headers["Authorization"])
            said = "yes" if len(judge.asked) % 2 else "no"
        reply = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def judge() -> Iterator[Judge]:
    server = Judge()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(page: AppTest, address: str, model: str = "kind <b>", key: str = "") -> AppTest:
    page.text_input(key="judge address").set_value(address)
    page.text_input(key="judge model").set_value(model)
    page.text_input(key="judge key").set_value(key).run()
    return button(page, "Judge 12 answers").click().run()  # type: ignore[attr-defined, no-any-return]


def test_the_judges_verdicts_stand_beside_the_rules(open_page: Open, judge: Judge) -> None:  # noqa: F811
    page = answered(open_page())
    assert not judge.asked and "judged" not in page.dataframe[0].value
    page = finish(ask(page, judge.address, key=SECRET))
    assert_whole(page)
    assert judge.keys == {f"Bearer {SECRET}"}
    (run,) = [behaviour_runs.opened(s.key) for s in behaviour_runs.summaries() if s.request.task == "adj_ant"]
    judged = page.dataframe[0].value["judged"].tolist()
    rules = [verdict.valid for verdict in run.adherence.verdicts]
    assert set(judged) <= {"right kind", "wrong kind"}
    agreed = sum((said == "right kind") == rule for said, rule in zip(judged, rules, strict=True))
    valid = judged.count("right kind")
    text = words(page)
    assert f"finds {round(100 * valid / 12)}%" in text.replace("**", "")
    assert f"rule on {round(100 * agreed / 12)}%" in text.replace("**", "")
    shown = text + str(page.query_params) + " ".join(code.value for code in page.code)
    assert SECRET not in shown and "<b>" not in "".join(element.value for element in page.markdown)
    assert any(f"--judge {judge.address} --judge-model 'kind <b>'" in code.value for code in page.code)
    n_asked = len(judge.asked)
    button(page, "Judge 12 answers").click().run()  # type: ignore[attr-defined]
    assert_whole(finish(page))
    assert len(judge.asked) == n_asked, "what was judged is not asked again"


def test_a_judge_that_is_not_there_is_told_in_one_sentence(open_page: Open, judge: Judge) -> None:  # noqa: F811
    page = answered(open_page())
    judge.shutdown()
    judge.server_close()
    page = finish(ask(page, judge.address))
    assert_one_sentence(page, "cannot be reached")
    assert page.dataframe and "judged" not in page.dataframe[0].value


@pytest.mark.parametrize("address", ["ftp://host/v1", "file:///etc/passwd", "http://user:pw@host/v1", "<script>"])
def test_an_address_that_may_not_be_asked_is_refused(open_page: Open, address: str) -> None:  # noqa: F811
    page = ask(answered(open_page()), address)
    assert_one_sentence(page, "address")


def test_without_an_address_nothing_can_be_pressed(open_page: Open) -> None:  # noqa: F811
    page = answered(open_page())
    assert button(page, "Judge 12 answers").disabled  # type: ignore[attr-defined]
    assert "sent to the address below" in plain(words(page))
