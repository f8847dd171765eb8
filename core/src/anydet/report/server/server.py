"""The server of ``anydet browse``: the page, its data, and pictures by number, for whoever has the token.

Everything that can be asked for is one of four fixed addresses with numbers behind them; no path of a file is
ever made from a request.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs

from anydet.dataclass import dataclass
from anydet.errors import AnydetError, OptionError
from anydet.report.page.crops import media_type
from anydet.report.page.document import assemble
from anydet.report.page.findings import Findings
from anydet.report.page.payload import pack
from anydet.report.page.sampling import Item
from anydet.report.server.access import Access, Invitation, is_own_host
from anydet.report.server.pictures import Pictures

MOST_ROWS = 200
"""Rows that one request may ask for."""
_POLL_S = 0.5
_IDLE_S = 60.0
"""After so long without a request, a connection is closed, and its thread ends."""
_NUMBER = re.compile(r"-?[0-9]{1,10}", re.ASCII)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_CLOSED = "default-src 'none'; frame-ancestors 'none'"
_NOT_KEPT = "no-store"
# Addresses begin with what no other server has, so that a picture is of no other files that are served later.
_KEPT = "private, max-age=86400, immutable"


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a request gets.

    Attributes:
        content: the body.
        media_type: of the body.
        status: of HTTP.
        headers: beside those that all answers have.
    """

    content: bytes
    media_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(status: HTTPStatus, reason: str, **headers: str) -> Answer:
    """An answer that says why there is none."""
    return Answer(f"{reason}\n".encode(errors="backslashreplace"), status=status, headers=headers)


class Contents:
    """What a server holds: the page, its data, and pictures.

    Args:
        findings: what the page says.
        pictures: of all rows.
    """

    def __init__(self, findings: Findings, pictures: Pictures) -> None:
        self._pictures = pictures
        self._page = assemble(findings.title).encode()
        header = {**findings.header, "served": True}
        # On this machine sending costs less than making it smaller.
        self._data = pack(header, findings.columns, level=1)

    def answer(self, path: str, query: Mapping[str, Sequence[str]]) -> Answer:
        """The answer to a request of one who may ask."""
        if path == "":
            return Answer(self._page, "text/html; charset=utf-8")
        if path == "data":
            return Answer(self._data, "application/octet-stream")
        if path not in {"items", "picture"}:
            return refusal(HTTPStatus.NOT_FOUND, "there is nothing at this address")
        try:
            items = self._find(query)
        except (LookupError, ValueError):
            return refusal(HTTPStatus.NOT_FOUND, f"there are no such rows, or more than {MOST_ROWS}")
        return self._describe(items) if path == "items" else self._picture(items[0], query)

    def _find(self, query: Mapping[str, Sequence[str]]) -> list[Item]:
        """What is asked for; raises ``LookupError`` or ``ValueError`` where there is no such thing."""
        model, rows = _integer(query["of"][0]), query["rows"][0].split(",")
        if len(rows) > MOST_ROWS:
            raise ValueError(len(rows))
        return [self._pictures.item(model, _integer(row)) for row in rows]

    def _describe(self, items: Sequence[Item]) -> Answer:
        found = [self._pictures.describe(item) for item in items]
        return Answer(json.dumps(found, separators=(",", ":"), allow_nan=False).encode(), "application/json")

    def _picture(self, item: Item, query: Mapping[str, Sequence[str]]) -> Answer:
        try:
            content = self._pictures.picture(item, large="large" in query)
        except AnydetError as error:
            return refusal(HTTPStatus.NOT_FOUND, error.problem)
        return Answer(content, media_type(), headers={"Cache-Control": _KEPT})


def _integer(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)


class BrowseServer(ThreadingHTTPServer):
    """Listens on the loopback interface from the beginning, and answers once it has contents.

    Args:
        port: to listen on; 0 for any that is free.
        say: prints a line of what went wrong.

    Raises:
        OptionError: the port cannot be had.
    """

    daemon_threads = True
    block_on_close = False
    # Where another server listens, this one must not: some versions of http.server share a port.
    allow_reuse_port = False
    allow_reuse_address = sys.platform != "win32"
    request_queue_size = 64

    def __init__(self, port: int = 0, say: Callable[[str], None] = lambda line: None) -> None:
        self._connections: set[Any] = set()
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as exc:
            raise OptionError(
                f"port {port} of 127.0.0.1 cannot be had: {exc.strerror or exc}",
                fix="give another --port, or leave it out for any that is free",
            ) from exc
        self.access, self.invitation, self.say = Access(), Invitation(), say
        self.contents: Contents | None = None
        self.last_request, self._stopped = time.monotonic(), False

    @property
    def url(self) -> str:
        """The address with the token."""
        return self._url(self.access.token)

    @property
    def url_once(self) -> str:
        """An address that opens the page once, for the command line of a browser."""
        return self._url(self.invitation.token)

    def _url(self, token: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{self.access.path}?token={token}"

    def serve(self, contents: Contents, idle_s: float | None = None) -> None:
        """Answer until interrupted, or until nobody has asked for so many seconds.

        Args:
            contents: what there is.
            idle_s: 0 ends at once; ``None`` never ends.
        """
        self.contents, self.timeout = contents, _POLL_S
        self.last_request = time.monotonic()
        while not self._stopped and (idle_s is None or time.monotonic() - self.last_request < idle_s):
            self.handle_request()

    def stop(self) -> None:
        """Let ``serve`` return soon; for other threads."""
        self._stopped = True

    def server_close(self) -> None:
        """End what listens, and connections that browsers keep."""
        super().server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """As the base class does, and remember the connection."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """As the base class does, and forget the connection."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_bind(self) -> None:
        """Bind, without looking up a name for the address, as ``HTTPServer`` does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line for what went wrong; a browser that has left is nothing wrong."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            self.say(f"a request failed: {type(error).__name__}: {error}")


class _Handler(BaseHTTPRequestHandler):
    server: BrowseServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "anydet", ""
    timeout = _IDLE_S
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._send(self._answer())

    do_HEAD = do_GET  # noqa: N815

    def _refuse_method(self) -> None:
        self._send(refusal(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD", Allow="GET, HEAD"))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse_method  # noqa: N815

    def _answer(self) -> Answer:
        self.server.last_request = time.monotonic()
        access, (path, _, text) = self.server.access, self.path.partition("?")
        try:
            query = parse_qs(text, keep_blank_values=True, max_num_fields=8)
        except ValueError:
            return refusal(HTTPStatus.BAD_REQUEST, "the address has too many fields")
        if refused := self._refused():
            return refused
        if path == "/favicon.ico":
            # What browsers ask for by themselves, where they send no cookie.
            return Answer(b"", status=HTTPStatus.NO_CONTENT)
        given = query.get("token", [])
        if given and path == access.path and (access.knows(given[0]) or self._is_invited(given[0])):
            return self._page(access.set_cookie())
        if not access.admits(self.headers.get("Cookie", "")):
            return refusal(
                HTTPStatus.FORBIDDEN, "open the address that anydet browse printed, with its token"
            )
        # "/" is no address of the contents.
        return self._contents().answer(
            path[len(access.path) :] if path.startswith(access.path) else "/", query
        )

    def _refused(self) -> Answer | None:
        """The answer to what no browser of this machine would send."""
        if not is_own_host(self.headers.get_all("Host", [])):
            return refusal(HTTPStatus.FORBIDDEN, "this server answers to 127.0.0.1 and localhost alone")
        if self.headers.get("Transfer-Encoding") or self.headers.get("Content-Length", "0") != "0":
            return refusal(HTTPStatus.BAD_REQUEST, "a request of this method has no body")
        return None

    def _is_invited(self, token: str) -> bool:
        # A browser that looks at an address ahead of opening it must not take it away.
        return self.command == "GET" and self.server.invitation.take(token)

    def _page(self, cookie: str) -> Answer:
        """The page with the token as a cookie."""
        # Not a redirection: a browser that follows a link of another site would send no cookie along.
        page = self._contents().answer("", {})
        return Answer(page.content, page.media_type, headers={"Set-Cookie": cookie})

    def _contents(self) -> Contents:
        assert self.server.contents is not None, "requests are taken when there is something to show"
        return self.server.contents

    def _send(self, answer: Answer) -> None:
        if answer.status >= HTTPStatus.BAD_REQUEST:
            # What a refused request has for a body is not read, so nothing may follow it.
            self.close_connection = True
        self.send_response(answer.status)
        headers = {
            **_HEADERS,
            "Content-Type": answer.media_type,
            "Content-Length": str(len(answer.content)),
            "Cache-Control": _NOT_KEPT,
            # The page states its own policy; where two are stated, a browser obeys both.
            "Content-Security-Policy": "frame-ancestors 'none'" if "html" in answer.media_type else _CLOSED,
            **answer.headers,
        }
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What ``http.server`` cannot read, as any other refusal."""
        del explain
        status = HTTPStatus(code)
        self._send(refusal(status, message or status.phrase))

    def log_message(self, *arguments: Any) -> None:
        """Nothing: the page says what it gets."""
