"""``quiet``: the library's own talk and progress bars are left out around a call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging as _logging

# Its functions have no types.
logging: Any = _logging


@contextmanager
def quiet() -> Iterator[None]:
    """Errors alone are logged inside; afterwards all is as before."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
