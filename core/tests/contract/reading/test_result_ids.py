"""Ids in COCO results: as they are, else joined by what they must mean, else an error that says the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anydet.contract.hints import CLASS_MAPS, COCO_IDS
from anydet.contract.reading.class_map import read_class_map
from anydet.contract.reading.load import load
from anydet.data.dataset.columns import boxes_only, ground_truth_columns
from anydet.errors import AnydetWarning, ContractError, OptionError
from anydet.types import ClassTable, GroundTruthColumns

KEYS = ("a/cat_01.jpg", "b/dog_02.png", "b/000000000042.jpg")


def truth(
    ids: Sequence[int | str] | None, classes: int = 3, sources: Sequence[int] = ()
) -> GroundTruthColumns:
    from dataclasses import replace

    none = boxes_only(np.zeros(0, np.int64), np.zeros((0, 4)))
    table = ClassTable(tuple(f"c{i}" for i in range(classes)), tuple(sources))
    columns = ground_truth_columns([(key, (40, 30), none) for key in KEYS], table, "here")
    if ids is None:
        return columns
    if all(isinstance(one, int) and one < 1 << 63 for one in ids):
        return replace(columns, image_ids=np.array(ids, np.int64))
    ranks = [sorted(ids, key=str).index(one) for one in ids]
    return replace(columns, image_ids=np.array(ranks, np.int64), image_names=tuple(ids))


Read = Callable[..., list[tuple[str, int]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """(image, class) of each result of (image_id, category_id, more) rows."""

    def of(rows: Sequence[tuple[Any, ...]], known: GroundTruthColumns, class_map: str | None = None) -> Any:
        path = tmp_path / "results.json"
        entries = [
            {"image_id": row[0], "category_id": row[1], "bbox": [1, 2, 3, 4], "score": 0.5, **dict(*row[2:])}
            for row in rows
        ]
        path.write_text(json.dumps(entries))
        raw = load(path, None, lambda: known, class_map)
        images = [raw.images[i] for i in raw.image_index.tolist()]
        return list(zip(images, raw.class_ids.tolist(), strict=True))

    return of


@pytest.mark.parametrize(
    "ids",
    [(7, 9, 12), ("x", "y", "z"), ((1 << 63) + 5, 1 << 80, 3), ("1", "2", "3")],
)
def test_ids_of_any_kind_are_joined_as_they_are(read: Read, ids: Sequence[Any]) -> None:
    rows = [(ids[2], 1), (ids[0], 0), (ids[1], 2.0)]
    assert read(rows, truth(ids)) == [(KEYS[0], 0), (KEYS[1], 2), (KEYS[2], 1)]


def named_classes(*names: int | str) -> GroundTruthColumns:
    """Images 7, 9 and 12; classes whose own ids are names."""
    from dataclasses import replace

    known = truth((7, 9, 12), classes=len(names))
    return replace(known, classes=replace(known.classes, source_names=names))


@pytest.mark.parametrize("names", [("cat", "dog"), (1 << 70, "dog"), ("1", "2"), ("", "1e3")])
def test_category_ids_of_any_kind_are_joined_as_they_are(read: Read, names: Sequence[Any]) -> None:
    rows = [(7, names[1]), (9, names[0])]
    assert read(rows, named_classes(*names)) == [(KEYS[0], 1), (KEYS[1], 0)]


@pytest.mark.parametrize(
    ("known", "used"),
    [
        (named_classes("1", "2"), [1, 2.0]),
        (truth((7, 9, 12), sources=(4, 8, 9)), ["4", "8"]),
    ],
)
def test_category_ids_that_are_the_same_as_text_are_joined_with_a_warning(
    read: Read, known: GroundTruthColumns, used: Sequence[Any]
) -> None:
    with pytest.warns(AnydetWarning, match="results are joined by the text of category_id$"):
        assert read([(7, used[0]), (9, used[1])], known) == [(KEYS[0], 0), (KEYS[1], 1)]


def test_text_that_counts_classes_is_taken_as_the_numbers_are(read: Read) -> None:
    with pytest.warns(AnydetWarning) as warned:
        assert read([(KEYS[0], "1"), (KEYS[1], "3")], truth(None)) == [(KEYS[0], 0), (KEYS[1], 2)]
    assert "the text of category_id" in str(warned[0].message)
    assert "one-based" in str(warned[1].message)
    with (
        pytest.warns(AnydetWarning),
        pytest.raises(ContractError, match="may be counted one-based or zero-based"),
    ):
        read([(KEYS[0], "1"), (KEYS[1], "2")], truth(None))


@pytest.mark.parametrize(
    ("known", "used"),
    [
        (named_classes("1", "x"), ["x", "x", 1]),
        (truth((7, 9, 12), sources=(4, 8, 9)), [8, 8, "8"]),
        (named_classes("cat", "dog"), ["cat", "cat", "cow"]),
        (truth((7, 9, 12), sources=(1, 2, 3)), [1, 3, 77]),
        (truth((7, 9, 12), sources=(1, 2, 3)), [1, 2, 3, 4]),
        (truth((7, 9, 12)), [0, 1, 1 << 70]),
        (truth((7, 9, 12), 80, sources=COCO_IDS), [1, 90, 12]),
    ],
)
def test_results_of_unknown_categories_are_left_out_as_pycocotools_does_with_a_warning(
    read: Read, known: GroundTruthColumns, used: list[Any]
) -> None:
    rows = [(7, one) for one in used]
    place = len(used) - 1
    with pytest.warns(
        AnydetWarning, match=rf"does not have \(.*\): 1 of {len(used)} .*\[{place}\]\.category_id"
    ):
        found = read(rows, known)
    assert found == [(KEYS[0], known.classes.own_ids.index(one)) for one in used[:-1]]


@pytest.mark.parametrize(
    ("used", "sources", "hint"),
    [
        ((0, 1, 2), (1, 2, 3), "--class-map zero-based"),
        ((0, 1), (1, 2, 3), "--class-map zero-based"),
        ((2, 3, 4), (1, 2, 3), "--class-map FILE"),
        ((1, 2, 3), (4, 8, 2), "--class-map one-based"),
        ((4, 5, 6), (4, 8, 9), "--class-map FILE"),
    ],
)
def test_where_the_whole_numbering_looks_shifted_nothing_is_left_out(
    read: Read, used: Sequence[int], sources: Sequence[int], hint: str
) -> None:
    with pytest.raises(
        ContractError, match="values of category_id that the data set does not have"
    ) as caught:
        read([(7, one) for one in used], truth((7, 9, 12), sources=sources))
    assert hint in caught.value.fix


def test_names_of_classes_are_category_ids_as_well(read: Read) -> None:
    known = truth((7, 9, 12), sources=(4, 8, 9))
    with pytest.warns(AnydetWarning, match="category_id holds names of classes; results are joined by them$"):
        assert read([(7, "c2"), (9, "c0")], known) == [(KEYS[0], 2), (KEYS[1], 0)]
    with pytest.warns(AnydetWarning) as warned:
        assert read([(7, "c2"), (9, "c0"), (9, "cow")], known) == [(KEYS[0], 2), (KEYS[1], 0)]
    assert "does not have ('cow'): 1 of 3 (the first: [2]" in str(warned[1].message)
    with pytest.raises(ContractError, match=r"2 values of category_id .*: 'cow', 'sow'") as caught:
        read([(7, "cow"), (9, "sow")], known)
    assert "write ids or names of its classes ('c0', 'c1', 'c2')" in caught.value.fix


def test_a_class_map_may_have_text_for_ids(read: Read, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text(json.dumps({"cow": "c1", "5": 0}))
    assert read([(7, "cow"), (7, 5)], truth((7, 9, 12)), str(tmp_path / "map.json")) == [
        (KEYS[0], 1),
        (KEYS[0], 0),
    ]


def test_whole_floats_are_the_integers_that_they_are(read: Read) -> None:
    assert read([(9.0, 1), (7, 0)], truth((7, 9, 12))) == [(KEYS[0], 0), (KEYS[1], 1)]


@pytest.mark.parametrize(
    ("ids", "rows", "how"),
    [
        (("1", "2", "3"), [(1, 0), (3, 1)], "the text of image_id"),
        ((1, 2, 3), [("1", 0), ("3", 1)], "the text of image_id"),
        ((1, 2, 3), [("cat_01", 0), (42, 1)], "image_id as the name of a file without its suffix"),
        ((1, 2, 3), [("cat_01.jpg", 0), ("000000000042.jpg", 1)], "image_id as the name of a file"),
        ((1, 2, 3), [(77, 0, {"file_name": "cat_01.jpg"}), (2, 1, {"file_name": KEYS[2]})], "file_name"),
    ],
)
def test_other_ids_are_joined_where_all_of_them_can_be_and_a_warning_says_how(
    read: Read, ids: Sequence[Any], rows: Any, how: str
) -> None:
    with pytest.warns(AnydetWarning, match=f"results are joined by {how}$"):
        assert read(rows, truth(ids)) == [(KEYS[0], 0), (KEYS[2], 1)]


def test_a_data_set_without_ids_takes_names_of_files_without_a_warning(read: Read) -> None:
    named = [("cat_01", 0, {"file_name": "cat_01.jpg"}), ("42", 2, {"file_name": "000000000042.jpg"})]
    assert read(named, truth(None)) == [(KEYS[0], 0), (KEYS[2], 2)]
    assert read([("cat_01", 0), (42, 2)], truth(None)) == [(KEYS[0], 0), (KEYS[2], 2)]
    assert read([(KEYS[1], 0)], truth(None)) == [(KEYS[1], 0)]


def test_where_one_cannot_be_joined_none_is(read: Read) -> None:
    for rows in ([("cat_01", 0), ("cow", 1)], [(1, 0), ("cow", 1)], [(1.5, 0)]):
        with pytest.raises(
            ContractError, match="values of image_id that the data set does not have"
        ) as caught:
            read(rows, truth((1, 2, 3)))
        assert caught.value.fix


@pytest.mark.parametrize(("used", "sources"), [((1, 2), (0, 1, 2)), ((1, 3), (1, 2, 3)), ((0, 2), ())])
def test_ids_of_the_data_set_are_taken_as_they_are(
    read: Read, used: tuple[int, int], sources: Sequence[int]
) -> None:
    known = truth((7, 9, 12), sources=sources)
    wanted = [known.classes.source_ids.index(one) for one in used]
    assert read([(7, used[0]), (9, used[1])], known) == [(KEYS[0], wanted[0]), (KEYS[1], wanted[1])]


def test_ids_that_run_from_1_to_n_are_mapped_where_nothing_else_can_be_meant(read: Read) -> None:
    for ids in ((7, 9, 12), None):
        names = KEYS if ids is None else ids
        with pytest.warns(AnydetWarning, match="category ids are taken as one-based: 1 to 3 for 3 classes"):
            assert read([(names[0], 1), (names[1], 3)], truth(ids)) == [(KEYS[0], 0), (KEYS[1], 2)]


def test_cocos_91_ids_are_mapped_onto_80_classes_where_nothing_else_can_be_meant(read: Read) -> None:
    with pytest.warns(AnydetWarning, match="taken as coco91"):
        assert read([(7, 90), (9, 1)], truth((7, 9, 12), 80)) == [(KEYS[0], 79), (KEYS[1], 0)]


@pytest.mark.parametrize(
    ("used", "classes", "ways"),
    [((1, 2), 3, "one-based or zero-based"), ((5, 80), 80, "one-based or coco91")],
)
def test_ids_that_may_be_counted_in_two_ways_are_an_error_that_class_map_resolves(
    read: Read, used: tuple[int, int], classes: int, ways: str
) -> None:
    rows = [("cat_01", used[0]), ("dog_02", used[1])]
    with pytest.raises(ContractError, match=f"may be counted {ways}") as caught:
        read(rows, truth(None, classes))
    assert "--class-map zero-based|one-based|coco91|FILE" in caught.value.fix
    assert read(rows, truth(None, classes), "one-based") == [(KEYS[0], used[0] - 1), (KEYS[1], used[1] - 1)]
    if classes == 3:
        assert read(rows, truth(None, classes), "zero-based") == [(KEYS[0], 1), (KEYS[1], 2)]


def test_a_class_map_may_be_a_file_of_ids_and_classes(read: Read, tmp_path: Path) -> None:
    rows = [(7, 11), (9, 4)]
    for content in (
        {"11": "c2", "4": "c0"},
        {"11": 2, "4": 0},
        {"category_id_to_class_id": {"11": 2, "4": 0}},
    ):
        (tmp_path / "map.json").write_text(json.dumps(content))
        assert read(rows, truth((7, 9, 12)), str(tmp_path / "map.json")) == [(KEYS[0], 2), (KEYS[1], 0)]


def test_class_maps_that_fit_no_class_are_refused() -> None:
    table = ClassTable(tuple(map(str, range(80))))
    assert [read_class_map(name, table)[80 - (name == "zero-based")] for name in CLASS_MAPS] == [79, 79, 70]
    assert list(read_class_map("coco91", table)) == list(COCO_IDS)
    with pytest.raises(OptionError, match="has 2 classes, not COCO's 80"):
        read_class_map("coco91", ClassTable(("a", "b")))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("one-bsed", None, r"class map 'one-bsed': no such file; did you mean 'one-based'\?"),
        ("none.json", None, "no such file$"),
        (".", None, "cannot be read: Is a directory"),
        ("m.json", "[1, 2", "not JSON: "),
        ("m.json", "[1, 2]", r"\[1, 2\] where an object of category ids and classes belongs"),
        ("m.json", '{"category_id_to_class_id": 3}', "category_id_to_class_id: 3 where an object"),
        ("m.json", '{"1": "brid"}', r"'brid', for id '1', is no class of .*; did you mean 'bird'\?"),
        ("m.json", '{"1": "x"}', r"'x', for id '1', is no class of the data set \('cat', 'bird'\)"),
        ("m.json", '{"1": 2}', "2, for id .1., where the name of a class, or its number from 0 to 1, bel"),
        ("m.json", '{"1": 0.5}', "0.5, for id '1', where the name"),
        ("m.json", "\ufeff{}".encode("utf-16-le"), "it is UTF-16"),
        ("m.yaml", "1: [cat", "not YAML: "),
        ("m.yaml", "1: cat\n1: bird", "occurs twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_class_map_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str | bytes | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(OptionError) as caught:
        read_class_map(name, ClassTable(("cat", "bird")))
    assert re.search(message, caught.value.problem)
    assert caught.value.fix
    assert "Error" not in caught.value.problem


def test_a_class_map_may_be_yaml(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("1: bird\n7: 0\n")
    assert read_class_map(str(tmp_path / "m.yaml"), ClassTable(("cat", "bird"))) == {1: 1, 7: 0}
