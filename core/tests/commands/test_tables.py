"""Tables on the terminal: none is wider than it, and no column is lost."""

from __future__ import annotations

import pytest

from anydet.commands.tables import print_table, width

HEADER = ("class", *(f"number {i}" for i in range(12)))
ROWS = [(name, *(str(i) for i in range(12))) for name in ("cat", "d" * 300, "\u6c49" * 300)]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_table_is_no_wider_than_the_terminal(columns, monkeypatch, capsys):
    from rich.cells import cell_len

    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(HEADER, ROWS)
    out = capsys.readouterr().out
    assert max(map(cell_len, out.splitlines())) <= columns
    assert all(name in out for name in HEADER)
    assert out.count("\u2502 cat") == out.count(" class ")


def test_a_pipe_gets_the_table_whole(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("os.get_terminal_size", lambda _number: (_ for _ in ()).throw(OSError))
    assert width() is None
    print_table(HEADER, ROWS)
    assert capsys.readouterr().out.count(" class ") == 1
