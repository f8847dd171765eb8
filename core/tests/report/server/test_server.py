"""What the server answers, to whom, and what it never does."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from http.client import HTTPConnection
from types import SimpleNamespace
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, build_opener, urlopen

import numpy as np
import pytest
from core.tests.report.conftest import unpack_block
from core.tests.report.server.test_pictures import Slow

from anydet.errors import OptionError
from anydet.report.page.sampling import IMAGE
from anydet.report.server.access import COOKIE
from anydet.report.server.pictures import Pictures
from anydet.report.server.server import MOST_ROWS, BrowseServer, Contents

PATHS = ("", "data", "items?of=0&rows=0", "picture?of=0&rows=0", "nothing")
"""Behind what all addresses of a server begin with."""


@contextmanager
def running(findings, pictures):
    with BrowseServer() as server:
        thread = threading.Thread(target=server.serve, args=[Contents(findings, pictures)])
        thread.start()
        yield server
        server.stop()
        thread.join()


def ask(server, path, method="GET", *, cookie=True, headers=(), body=None):
    """Status, headers and body of an answer; with the token as a cookie, or with another one, or without.

    A path that begins with no slash is one of the server's own.
    """
    connection = HTTPConnection("127.0.0.1", server.server_port)
    address = path if path[:1] in {"/", "*", "."} or "://" in path else f"{server.access.path}{path}"
    connection.putrequest(method, address, skip_host=True, skip_accept_encoding=True)
    held = server.access.token if cookie is True else cookie
    given = {"Host": f"127.0.0.1:{server.server_port}", **dict(headers)}
    if held is not False:
        given["Cookie"] = f"{COOKIE}={held}"
    for name, value in given.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    done = SimpleNamespace(status=answer.status, headers=answer.headers, content=answer.read())
    connection.close()
    return done


def test_whoever_has_the_address_gets_the_page_and_then_its_data_by_cookie(served):
    opener = build_opener(HTTPCookieProcessor())
    with opener.open(served.server.url) as page:
        text = page.read().decode()
    assert "<title>anydet report: a, b on" in text
    assert served.server.access.token not in text
    with opener.open(f"{served.server.url.partition('?')[0]}data") as data:
        assert unpack_block(data.read()).header["served"]


@pytest.mark.parametrize("cookie", [False, "", "wrong", "0" * 43])
@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_nothing_is_answered(served, path, cookie):
    for address in (
        path,
        f"{path}{'&' if '?' in path else '?'}token=wrong",
        f"{path.partition('?')[0]}?token=",
    ):
        answer = ask(served.server, address, cookie=cookie)
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers
        assert b"token" in answer.content
        assert served.server.access.token.encode() not in answer.content


def test_urllib_without_the_token_is_refused(served):
    with pytest.raises(HTTPError, match="403"):
        urlopen(f"http://127.0.0.1:{served.server.server_port}/")


def test_the_token_in_an_address_opens_the_page_alone(served):
    token = served.server.access.token
    assert ask(served.server, f"?token={token}", cookie=False).status == 200
    for path in ("data", "items", "picture", "nothing", "/", "/data"):
        assert ask(served.server, f"{path}?of=0&rows=0&token={token}", cookie=False).status == 403


def test_the_address_that_a_browser_is_started_with_opens_the_page_once(served):
    path = served.server.url_once.partition(served.server.access.path)[2]
    assert ask(served.server, path, "HEAD", cookie=False).status == 403
    first = ask(served.server, path, cookie=False)
    assert first.status == 200
    assert served.server.access.token in first.headers["Set-Cookie"]
    assert ask(served.server, path, cookie=False).status == 403


@pytest.mark.parametrize("host", [None, "evil.example", "127.0.0.1.evil.example", "evil.example:80", "[::1]"])
def test_another_host_is_refused_whatever_it_knows(served, host):
    for path in (*PATHS, f"?token={served.server.access.token}"):
        assert ask(served.server, path, headers={"Host": host}).status == 403


def test_what_browsers_ask_for_by_themselves_is_no_error_and_no_answer(served):
    answer = ask(served.server, "/favicon.ico", cookie=False)
    assert (answer.status, answer.content) == (204, b"")
    assert ask(served.server, "/favicon.ico", headers={"Host": "evil.example"}).status == 403


def test_a_forwarded_port_is_the_same_host(served):
    assert ask(served.server, "", headers={"Host": "localhost:9"}).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "data/../../etc/passwd",
        "picture/../../../etc/passwd",
        "picture?of=0&rows=../../etc/passwd",
        "picture?of=/etc&rows=passwd",
        "items?of=0&rows=%00",
        "data%00",
        "DATA",
        "/",
        "/data",
        "/items?of=0&rows=0",
        "data/",
        "http://evil.example/data",
        "file:///etc/passwd",
        "./data",
        "../data",
        "*",
    ],
)
def test_there_is_nothing_but_four_addresses(served, path):
    answer = ask(served.server, path)
    assert answer.status == 404
    assert b"root:" not in answer.content


@pytest.mark.parametrize("path", ["items", "picture"])
@pytest.mark.parametrize(
    "query",
    [
        "",
        "of=0",
        "rows=0",
        "of=0&rows=",
        "of=0&rows=-1",
        "of=0&rows=1000000000",
        "of=0&rows=99999999999999999999",
        "of=0&rows=0,",
        "of=0&rows=1.5",
        "of=0&rows=1e1",
        "of=0&rows=%D9%A1",
        "of=0&rows=+1",
        "of=0&rows=0x1",
        "of=2&rows=0",
        "of=-3&rows=0",
        f"of={IMAGE}&rows=14",
        f"of=0&rows={','.join(['0'] * (MOST_ROWS + 1))}",
    ],
)
def test_rows_that_do_not_exist_are_not_found(served, path, query):
    assert ask(served.server, f"{path}?{query}").status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_there_is_nothing_to_do_but_read(served, method):
    answer = ask(served.server, "data", method, headers={"Content-Length": "3"}, body=b"a=b")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"
    assert answer.headers["Connection"] == "close"
    assert ask(served.server, "data", "BREW").status == 501


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_the_content(served, path):
    whole, head = ask(served.server, path), ask(served.server, path, "HEAD")
    assert head.content == b""
    assert head.status == whole.status
    same = [{k: v for k, v in answer.headers.items() if k != "Date"} for answer in (whole, head)]
    assert same[0] == same[1]
    assert int(head.headers["Content-Length"]) == len(whole.content)


@pytest.mark.parametrize("headers", [{"Content-Length": "4"}, {"Transfer-Encoding": "chunked"}])
def test_what_follows_a_refused_request_is_not_read_as_another(served, headers):
    lines = [
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{k}: {v}\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        for k, v in headers.items()
    ]
    with socket.create_connection(("127.0.0.1", served.server.server_port)) as raw:
        raw.sendall(lines[0].encode())
        raw.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: raw.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "sent", [b"\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"GET /" + b"x" * 70_000]
)
def test_what_is_no_request_harms_nothing(served, sent):
    with socket.create_connection(("127.0.0.1", served.server.server_port)) as raw:
        raw.sendall(sent)
        raw.shutdown(socket.SHUT_WR)
        with_answer = b"".join(iter(lambda: raw.recv(1 << 16), b""))
    assert b"200" not in with_answer[:40]
    assert ask(served.server, "").status == 200


def test_it_listens_on_one_address_of_this_machine_alone(served):
    assert served.server.socket.getsockname()[0] == "127.0.0.1"
    # All of 127.0.0.0/8 is this machine: a server that listened on every address would be here, too.
    with socket.socket() as other:
        assert other.connect_ex(("127.0.0.2", served.server.server_port)) != 0


@pytest.mark.parametrize("path", PATHS)
def test_other_pages_can_neither_hold_an_answer_nor_read_it(served, path):
    answer = ask(served.server, path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert not any(name.lower().startswith("access-control-") for name in answer.headers)


def test_only_pictures_may_be_kept(served):
    for path in PATHS:
        kept = ask(served.server, path).headers["Cache-Control"]
        assert kept.startswith("private, ") if path.startswith("picture") else kept == "no-store"


def test_numbers_and_columns_are_those_of_the_report(hostile, served):
    data = unpack_block(ask(served.server, "data").content)
    own = {"served"}
    of_pictures = {"items", "unread", "picture_bytes"}
    assert {*data.header} - own == {*hostile.data.header} - of_pictures
    for name in {*data.header} - own - {"models"}:
        assert data.header[name] == hostile.data.header[name], name
    for one, other in zip(data.header["models"], hostile.data.header["models"], strict=True):
        assert {**one, "meta": None} == {**other, "meta": None}
    assert data.columns.keys() == hostile.data.columns.keys()
    for name, column in data.columns.items():
        assert np.array_equal(column, hostile.data.columns[name]), name


def test_what_is_on_several_pictures_comes_in_one_answer(hostile, served):
    items = [item for item in hostile.data.header["items"] if item["m"] == 1][:20]
    rows = ",".join(str(item["r"]) for item in items)
    answer = ask(served.server, f"items?of=1&rows={rows}")
    assert json.loads(answer.content) == items
    assert answer.headers["Content-Type"] == "application/json"


def test_the_page_answers_while_images_are_decoded(hostile, served):
    slow = Slow(hostile.dataset)
    with running(served.findings, Pictures(slow, served.findings)) as server:
        got = []
        asked = threading.Thread(target=lambda: got.append(ask(server, "picture?of=-2&rows=0")))
        asked.start()
        slow.begun.get()
        for path in ("", "data", "items?of=0&rows=0"):
            assert ask(server, path).status == 200
        assert not got
        slow.go.set()
        asked.join()
    assert got[0].status == 200
    assert got[0].headers["Content-Type"].startswith("image/")


def test_a_picture_that_fails_says_why_and_the_next_one_comes(hostile, served):
    class Broken(Slow):
        def read(self):
            raise OptionError("no\nsuch\x1b picture")

    broken = Broken(hostile.dataset)
    said = []
    pictures = Pictures(broken, served.findings, said.append)
    with running(served.findings, pictures) as server:
        answer = ask(server, "picture?of=0&rows=0")
        assert answer.status == 404
        assert answer.content == b"no\\nsuch\\x1b picture\n"
        broken.dataset, broken.read = hostile.dataset, None
        assert ask(server, "items?of=0&rows=0").status == 200
    assert len(said) == 1


def test_a_port_that_is_taken_is_one_clear_error(served):
    with pytest.raises(OptionError, match=f"port {served.server.server_port} of 127.0.0.1"):
        BrowseServer(served.server.server_port)


def test_it_ends_when_nobody_asks(served):
    with BrowseServer() as server:
        server.serve(Contents(served.findings, served.pictures), idle_s=0)
