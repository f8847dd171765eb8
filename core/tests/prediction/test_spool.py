from __future__ import annotations

import json
from contextlib import closing

import pytest

from anydet.errors import OptionError
from anydet.prediction.spool import Spool

RUN = {"adapter": "toy", "seed": 0}


def fill(tmp_path, lines, run=RUN, torn=b""):
    output = tmp_path / "out.json"
    spool = Spool.open(output, run, chunk=2, resume=False)
    spool.append(lines)
    spool.close()
    with spool.entries.open("ab") as file:
        file.write(torn)
    return output


def test_a_killed_run_goes_on_at_its_last_whole_chunk(tmp_path):
    output = fill(tmp_path, [b"0", b"1", b"2", b"3", b"4"], torn=b'{"half')
    with closing(Spool.open(output, RUN, chunk=2, resume=True)) as spool:
        assert spool.count == 4
        spool.append([b"4b", b"5"])
        assert list(spool.lines()) == [b"0", b"1", b"2", b"3", b"4b", b"5"]


def test_an_unfinished_run_in_the_way_is_refused_not_overwritten(tmp_path):
    output = fill(tmp_path, [b"0"])
    with pytest.raises(OptionError, match="--resume"):
        Spool.open(output, RUN, chunk=2, resume=False)
    assert (tmp_path / "out.json.partial").read_bytes() == b"0\n"


def test_another_run_is_not_resumed_and_the_difference_is_named(tmp_path):
    output = fill(tmp_path, [b"0", b"1"])
    with pytest.raises(OptionError, match="seed: 0 then, 7 now"):
        Spool.open(output, {**RUN, "seed": 7}, chunk=2, resume=True)
    assert (tmp_path / "out.json.partial").read_bytes() == b"0\n1\n"


def test_a_spool_without_its_description_is_not_trusted(tmp_path):
    output = fill(tmp_path, [b"0", b"1"])
    (tmp_path / "out.json.partial.json").write_text("{", "utf-8")
    with pytest.raises(OptionError, match="does not say which run"):
        Spool.open(output, RUN, chunk=2, resume=True)


def test_resume_without_anything_to_resume_starts_at_the_beginning(tmp_path):
    with closing(Spool.open(tmp_path / "new" / "out.json", RUN, chunk=2, resume=True)) as spool:
        assert spool.count == 0
    assert json.loads(spool.identity_path.read_text("utf-8")) == RUN


def test_a_finished_run_leaves_nothing_behind(tmp_path):
    spool = Spool.open(tmp_path / "out.json", RUN, chunk=2, resume=False)
    spool.append([b"0"])
    spool.remove()
    assert list(tmp_path.iterdir()) == []
