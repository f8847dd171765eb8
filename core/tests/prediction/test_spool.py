from __future__ import annotations

import json
from contextlib import closing

import pytest

from anydet.errors import OptionError
from anydet.prediction.spool import Spool, Tally

RUN = {"adapter": "toy", "seed": 0}


def fill(tmp_path, *chunks, run=RUN):
    """A spool with these chunks, left behind by a killed run."""
    output = tmp_path / "out.json"
    with closing(Spool.open(output, run, resume=False)) as spool:
        for lines in chunks:
            spool.append(
                lines, Tally(len(lines), 10 * len(lines), tuple((str(line), "odd") for line in lines))
            )
    return output


def resumed(output):
    return closing(Spool.open(output, RUN, resume=True))


def test_a_killed_run_goes_on_after_its_last_whole_chunk(tmp_path):
    output = fill(tmp_path, [b"0", b"1"], [b"2"])
    with (tmp_path / "out.json.partial").open("ab") as file:
        file.write(b'3\n{"half')
    with resumed(output) as spool:
        assert spool.images == 3
        spool.append([b"3b"], Tally(1, 5))
        assert list(spool.lines()) == [b"0", b"1", b"2", b"3b"]


def test_what_was_counted_before_is_counted_after_resuming_twice(tmp_path):
    output = fill(tmp_path, [b"0", b"1"])
    with resumed(output) as spool:
        spool.append([b"2"], Tally(1, 7, (("c.jpg", "not an image"),)))
    with resumed(output) as spool:
        assert (spool.images, spool.detections) == (3, 27)
        assert spool.skipped == [("b'0'", "odd"), ("b'1'", "odd"), ("c.jpg", "not an image")]


@pytest.mark.parametrize("cut", [1, 10])
def test_a_chunk_whose_line_in_the_log_is_torn_is_predicted_again(cut, tmp_path):
    output = fill(tmp_path, [b"0", b"1"], [b"2"])
    log = tmp_path / "out.json.partial.log"
    log.write_bytes(log.read_bytes()[:-cut])
    with resumed(output) as spool:
        assert spool.images == 2
        spool.append([b"x"], Tally(1, 0))
    with resumed(output) as spool:
        assert (spool.images, list(spool.lines())) == (3, [b"0", b"1", b"x"])


def test_a_chunk_that_the_log_has_and_the_disk_lost_is_predicted_again(tmp_path):
    output = fill(tmp_path, [b"0", b"1"], [b"2"])
    entries = tmp_path / "out.json.partial"
    entries.write_bytes(entries.read_bytes()[:-1])
    with resumed(output) as spool:
        assert (spool.images, list(spool.lines())) == (2, [b"0", b"1"])


def test_an_unfinished_run_in_the_way_is_refused_not_overwritten(tmp_path):
    output = fill(tmp_path, [b"0"])
    with pytest.raises(OptionError, match="--resume"):
        Spool.open(output, RUN, resume=False)
    assert (tmp_path / "out.json.partial").read_bytes() == b"0\n"


def test_another_run_is_not_resumed_and_the_difference_is_named(tmp_path):
    output = fill(tmp_path, [b"0", b"1"])
    with pytest.raises(OptionError, match="seed: 0 then, 7 now"):
        Spool.open(output, {**RUN, "seed": 7}, resume=True)
    assert (tmp_path / "out.json.partial").read_bytes() == b"0\n1\n"


def test_a_spool_without_its_description_is_not_trusted(tmp_path):
    output = fill(tmp_path, [b"0", b"1"])
    (tmp_path / "out.json.partial.log").write_text("{", "utf-8")
    with pytest.raises(OptionError, match="does not say which run"):
        Spool.open(output, RUN, resume=True)


def test_resume_without_anything_to_resume_starts_at_the_beginning(tmp_path):
    with closing(Spool.open(tmp_path / "new" / "out.json", RUN, resume=True)) as spool:
        assert spool.images == 0
    assert json.loads(spool.log_path.read_text("utf-8")) == RUN


def test_a_finished_run_leaves_nothing_behind(tmp_path):
    spool = Spool.open(tmp_path / "out.json", RUN, resume=False)
    spool.append([b"0"], Tally(1, 1))
    spool.remove()
    assert list(tmp_path.iterdir()) == []


def test_of_nested_settings_only_the_one_that_differs_is_named(tmp_path):
    before = {"tta": {"views": ["original", "hflip"], "weights": []}}
    now = {"tta": {"views": ["original", "hflip"], "weights": [2.0, 1.0]}}
    with closing(Spool.open(tmp_path / "p.json", before, resume=False)):
        pass
    with pytest.raises(OptionError, match=r"another run \(tta\.weights: \[\] then, \[2\.0, 1\.0\] now\)"):
        Spool.open(tmp_path / "p.json", now, resume=True)


TRAINED = {**RUN, "ttt": {"method": "tent"}}


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        (TRAINED, TRAINED, "is left of a run with test-time training, which cannot be resumed"),
        (TRAINED, RUN, "is left of a run with test-time training, which cannot be resumed"),
        (RUN, TRAINED, "holds an unfinished run without test-time training"),
        (None, TRAINED, "holds an unfinished run without test-time training"),
    ],
)
def test_nothing_that_cannot_be_resumed_advises_to_resume(tmp_path, before, now, found):
    output = tmp_path / "p.json"
    with closing(Spool.open(output, before or RUN, resume=False)) as spool:
        if before is None:
            spool.log_path.write_text("")
    with pytest.raises(OptionError, match=found) as caught:
        Spool.open(output, now, resume=False)
    assert "--resume" not in str(caught.value)
    assert f"remove {output}.partial" in caught.value.fix
