"""Who may ask: requests that came to this machine's own name, with the token."""

from __future__ import annotations

import hmac
import re
import secrets
import threading
from dataclasses import field
from http.cookies import CookieError, SimpleCookie

from anydet.dataclass import dataclass

HOSTS = frozenset({"127.0.0.1", "localhost"})
"""Names of this machine that a request may be to. A page of another name, which its owner lets resolve to
127.0.0.1 (DNS rebinding), sends that name."""
COOKIE = "anydet"
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
        token: 256 random bits; whoever has them may ask.
        path: what all addresses begin with. Browsers send cookies of a host to all of its ports, and so to
            servers of others; they send this one to addresses that begin so, which others cannot guess.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    path: str = field(default_factory=lambda: f"/{secrets.token_hex(16)}/")

    def knows(self, token: str) -> bool:
        """Whether it is the token; takes as long for any other."""
        return _equal(token, self.token)

    def admits(self, cookies: str) -> bool:
        """Whether a ``Cookie`` header holds the token."""
        try:
            found = SimpleCookie(cookies).get(COOKIE)
        except CookieError:
            return False
        return found is not None and self.knows(found.value)

    def set_cookie(self) -> str:
        """Header by which a browser keeps the token, for its session, unseen by scripts and other sites."""
        return f"{COOKIE}={self.token}; Path={self.path}; HttpOnly; SameSite=Strict"


def _equal(token: str, other: str) -> bool:
    return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), other.encode())


def is_own_host(hosts: list[str]) -> bool:
    """Whether the ``Host`` headers are one, of this machine; of any port, as ports may be forwarded."""
    found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    return found is not None and found[1].lower() in HOSTS
