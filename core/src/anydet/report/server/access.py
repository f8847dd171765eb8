"""Who may ask: requests that came to this machine's own name, with the token."""

from __future__ import annotations

import hmac
import re
import secrets
import threading
from http.cookies import CookieError, SimpleCookie

from anydet.dataclass import dataclass

HOSTS = frozenset({"127.0.0.1", "localhost"})
"""Names of this machine that a request may be to. A page of another name, which its owner lets resolve to
127.0.0.1 (DNS rebinding), sends that name."""
_HOST = re.compile(r"([a-zA-Z0-9.\-]+)(?::[0-9]{1,5})?", re.ASCII)


class Invitation:
    """A token that is taken once, for an address that others can see, as in a list of processes."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self._lock = threading.Lock()

    def take(self, token: str) -> bool:
        """Whether it is the token, and nobody had it before."""
        with self._lock:
            taken = self.token != "" and _equal(token, self.token)
            self.token = "" if taken else self.token
        return taken


@dataclass(frozen=True, slots=True)
class Access:
    """The token of one server.

    Attributes:
        token: random text; whoever has it may ask.
        cookie: name of the cookie that holds it. Browsers send cookies of a host to all of its ports, so that
            each server has a name of its own.
    """

    token: str
    cookie: str

    @classmethod
    def to_port(cls, port: int) -> Access:
        """A new token of 256 random bits."""
        return cls(secrets.token_urlsafe(32), f"anydet-{port}")

    def knows(self, token: str) -> bool:
        """Whether it is the token; takes as long for any other."""
        return _equal(token, self.token)

    def admits(self, cookies: str) -> bool:
        """Whether a ``Cookie`` header holds the token."""
        try:
            found = SimpleCookie(cookies).get(self.cookie)
        except CookieError:
            return False
        return found is not None and self.knows(found.value)

    def set_cookie(self) -> str:
        """Header by which a browser keeps the token, for its session, unseen by scripts and other sites."""
        return f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"


def _equal(token: str, other: str) -> bool:
    return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), other.encode())


def is_own_host(hosts: list[str]) -> bool:
    """Whether the ``Host`` headers are one, of this machine; of any port, as ports may be forwarded."""
    found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    return found is not None and found[1].lower() in HOSTS
