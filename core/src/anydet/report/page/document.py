"""The page as one file: its code, its style and its data in one HTML document that may load nothing."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files

_PLACES = ("policy", "title", "style", "script", "data", "pictures")


def assemble(title: str, data: str = "", pictures: str = "") -> str:
    """The HTML document.

    Its policy lets the browser run no script but the one whose digest it states, so that nothing in names or
    pictures can become code, and load nothing; a document without data may ask the server that it is from.

    Args:
        title: of the document, as text.
        data: base64 of ``payload.pack``; empty where the page is to ask for it.
        pictures: base64 of all pictures, one behind the other.
    """
    template, style, script = (_read(f"report.{suffix}") for suffix in ("html", "css", "js"))
    sources = "img-src blob:" if data else "img-src 'self'; connect-src 'self'"
    policy = (
        f"default-src 'none'; {sources}; style-src 'sha256-{_digest(style)}'; "
        f"script-src 'sha256-{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    values = dict(zip(_PLACES, (escape(policy), escape(title), style, script, data, pictures), strict=True))
    parts = template.split("{{")
    filled = [parts[0]]
    # One pass: what was filled in is not looked at again, whatever it holds.
    for part in parts[1:]:
        name, rest = part.split("}}", 1)
        filled += [values[name], rest]
    return "".join(filled)


def _read(name: str) -> str:
    return (files("anydet.report.page") / name).read_text("utf-8")


def _digest(code: str) -> str:
    return b64encode(sha256(code.encode()).digest()).decode("ascii")
