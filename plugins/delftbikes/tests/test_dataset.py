from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from anydet import open_dataset
from anydet.data.dataset.part_states import PART_STATES
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.data.writing.conversion import convert_dataset
from anydet.errors import DatasetError, OptionError
from anydet.evaluation.states import state_names
from anydet_delftbikes.annotations import read_entries
from anydet_delftbikes.evaluation.boxes import delftbikes_evaluator
from anydet_delftbikes.parts import CLASSES, PARTS, STATES
from anydet_delftbikes.scenes.dataset import SyntheticBikes
from anydet_delftbikes.writing import write_delftbikes

BOX = {"left": 10, "top": 20, "width": 30, "height": 8}


def part(name, state="intact", box=BOX, **more):
    given = {"part_name": name, "object_state": state, "trust": 0.9, "absolute_bounding_box": box}
    return {key: value for key, value in given.items() if value is not None} | more


def entry(*parts, width=320, height=240):
    size = {"channels": 3, "height": height, "width": width}
    return {"image": size, "parts": {one["part_name"]: one for one in parts}}


@pytest.fixture
def write(tmp_path):
    """Writes a document as ``train_annotations.json``, and a picture for each of its images."""

    def write(document, name="train_annotations.json", images="train"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(document))
        (tmp_path / images).mkdir(parents=True, exist_ok=True)
        for key in document if isinstance(document, dict) else ():
            Image.new("RGB", (320, 240)).save(tmp_path / images / key, format="JPEG")
        return tmp_path

    return write


def test_parts_are_named_in_alphabetical_order_and_numbered_from_one():
    assert list(PARTS) == sorted(PARTS)
    assert len(PARTS) == 22
    assert CLASSES.source_ids == tuple(range(1, 23))
    assert (PARTS[0], PARTS[-1]) == ("back_hand_break", "steer")


def test_the_order_in_which_an_image_lists_its_parts_changes_no_class(write):
    first, second = entry(part("steer"), part("bell")), entry(part("bell"), part("steer"))
    dataset = open_dataset(write({"a.jpg": first, "b.jpg": second}))
    assert [PARTS[i] for i in dataset[0].labels.class_ids] == ["steer", "bell"]
    assert [PARTS[i] for i in dataset[1].labels.class_ids] == ["bell", "steer"]
    assert dataset.classes == CLASSES


def test_boxes_states_sizes_and_pixels_are_those_of_the_file(write):
    root = write({"a.jpg": entry(part("saddle", "damaged"))})
    dataset = open_dataset(root)
    record = dataset[0]
    assert (dataset.split, dataset.note) == ("train", "split train")
    assert dataset.images_dir == root / "train"
    assert record.labels.boxes_xywh_px.tolist() == [[10, 20, 30, 8]]
    assert record.labels.states.tolist() == [STATES.index("damaged")]
    assert record.size_wh == (320, 240)
    assert record.image().shape == (240, 320, 3)


def test_parts_without_a_state_or_a_box_are_kept_for_the_rest(write):
    empty = {"left": 0, "top": 0, "width": 0, "height": 0}
    parts = (
        part("bell", None),
        part("lock", "absent", None),
        part("chain", "absent"),
        part("dynamo", "absent", empty),
    )
    dataset = open_dataset(write({"a.jpg": entry(*parts), "b.jpg": entry()}))
    record = dataset[0]
    assert [PARTS[i] for i in record.labels.class_ids] == ["bell", "chain"]
    assert record.labels.states.tolist() == [-1, STATES.index("absent")]
    assert record.extra[PART_STATES] == {
        "bell": None,
        "chain": "absent",
        "dynamo": "absent",
        "lock": "absent",
    }
    column = dataset.ground_truth().about.part_states
    known = {"chain": STATES.index("absent")} | dict.fromkeys(("dynamo", "lock"), STATES.index("absent"))
    assert column.tolist() == [[known.get(name, -1) for name in PARTS], [-1] * len(PARTS)]
    assert dataset.ground_truth(1).about.part_states.shape == (1, len(PARTS))


def test_ground_truth_is_that_of_the_records_and_names_its_states(write):
    root = write(
        {"a.jpg": entry(part("bell"), part("lock")), "b.jpg": entry(), "c.jpg": entry(part("chain"))}
    )
    dataset = open_dataset(root)
    truth = dataset.ground_truth()
    assert truth.image_index.tolist() == [0, 0, 2]
    assert state_names(truth) == STATES
    assert delftbikes_evaluator(truth).absent == STATES.index("absent")
    assert len(dataset.ground_truth(max_images=1)) == 2
    assert dataset[1].labels.states.tolist() == []


@pytest.mark.parametrize(
    ("name", "images", "split"),
    [
        ("val_annotations.json", "val", "val"),
        ("annotations/train_annotations.json", "images/train", "train"),
        ("val.json", "images", "val"),
        ("new_train_annotations.json", "train", "new_train"),
        ("fake_test_annotations.json", "test", "fake_test"),
        ("train_annotations.json", ".", "train"),
    ],
)
def test_splits_and_images_are_where_the_data_set_and_its_tools_put_them(write, name, images, split):
    root = write({"a.jpg": entry(part("bell"))}, name, images)
    for path in (root, root / name):
        dataset = open_dataset(path)
        assert (dataset.split, len(dataset)) == (split, 1)
        assert dataset[0].image().shape == (240, 320, 3)


def test_one_of_several_splits_is_chosen(write):
    write({"a.jpg": entry(part("bell"))})
    root = write({"b.jpg": entry(part("bell"))}, "val_annotations.json", "val")
    assert open_dataset(root).keys == ("b.jpg",)
    assert open_dataset(root, "train").keys == ("a.jpg",)
    with pytest.raises(DatasetError, match=r"no split 'tain' \(there are: train, val\)"):
        open_dataset(root, "tain")


def test_a_named_image_folder_wins(write, tmp_path):
    root = write({"a.jpg": entry(part("bell"))}, images="elsewhere")
    assert open_dataset(root, images=tmp_path / "elsewhere")[0].image().shape == (240, 320, 3)


def test_coco_files_of_the_same_names_are_still_coco(tmp_path):
    coco = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": []}
    (tmp_path / "train_annotations.json").write_text(json.dumps(coco))
    assert type(open_dataset(tmp_path / "train_annotations.json")).__name__ == "CocoDataset"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (part("sadle"), "part sadle: no part is called that; did you mean 'saddle'"),
        (part("bell", "Intact"), "part bell: object_state 'Intact' is unknown; did you mean 'intact'"),
        (part("bell", box={**BOX, "width": -3}), "part bell: a box of -3 x 8"),
        (part("bell", box={**BOX, "left": "x"}), "part bell: Expected float, got str"),
        (part("bell", box={"left": 1}), "part bell: Object missing required field top"),
    ],
)
def test_errors_name_file_image_and_part_and_how_to_go_on(write, wrong, message):
    root = write({"a.jpg": entry(part("steer")), "b.jpg": entry(wrong)})
    with pytest.raises(DatasetError) as caught:
        open_dataset(root)
    assert f"train_annotations.json: image b.jpg: {message}" in caught.value.problem
    assert caught.value.fix


@pytest.mark.slow
def test_other_malformed_files_are_errors_with_the_place(write, tmp_path):
    named_twice = entry(part("bell"))
    named_twice["parts"]["lock"] = part("bell")
    for document, message in (
        ({"a.jpg": named_twice}, "image a.jpg: part lock: its part_name is 'bell'"),
        ({"a.jpg": entry(width=0)}, "image 'a.jpg': width 0, height 240"),
        ({"a.jpg": entry(), "b.jpg": {"image": 3}}, "image b.jpg: Expected object, got int"),
    ):
        with pytest.raises(DatasetError) as caught:
            open_dataset(write(document))
        assert message in caught.value.problem
        assert caught.value.fix
    (tmp_path / "train_annotations.json").write_text('{"a.jpg": {"parts": {')
    with pytest.raises(DatasetError, match="not an annotations file of DelftBikes"):
        open_dataset(tmp_path)


def test_fingerprints_change_with_what_is_annotated(write):
    first = open_dataset(write({"a.jpg": entry(part("bell"))})).fingerprint()
    again = open_dataset(write({"a.jpg": entry(part("bell"))})).fingerprint()
    other = open_dataset(write({"a.jpg": entry(part("bell", "absent"))})).fingerprint()
    assert first == again != other


@pytest.fixture(scope="module")
def bikes(tmp_path_factory):
    """Two splits of drawn bicycles in one folder."""
    root = tmp_path_factory.mktemp("bikes") / "data"
    for split, seed in (("train", 3), ("val", 4)):
        write_delftbikes(SyntheticBikes(3, seed, (160, 120)), root, split)
    return root


@pytest.mark.slow
def test_what_is_written_reads_back_as_it_was(bikes):
    read, drawn = open_dataset(bikes, "train"), SyntheticBikes(3, 3, (160, 120))
    for one, other in zip(read, drawn, strict=True):
        assert np.array_equal(one.labels.boxes_xywh_px, other.labels.boxes_xywh_px)
        assert np.array_equal(one.labels.class_ids, other.labels.class_ids)
        assert np.array_equal(one.labels.states, other.labels.states)
        assert np.array_equal(one.image(), other.image())
        assert one.extra == other.extra


@pytest.mark.slow
def test_states_of_parts_without_a_box_survive_to_coco_and_back(bikes, tmp_path):
    start, drawn = open_dataset(bikes, "train"), SyntheticBikes(3, 3, (160, 120))
    assert convert_dataset(start, tmp_path / "coco", "coco") == {}
    coco = open_dataset(tmp_path / "coco")
    write_delftbikes(coco, tmp_path / "back", "train")
    truth = drawn.ground_truth()
    boxed = np.zeros((3, len(PARTS)), np.bool_)
    boxed[truth.image_index, truth.labels.class_ids] = True
    assert (truth.about.part_states[~boxed] == STATES.index("absent")).any()
    for dataset in (start, coco, open_dataset(tmp_path / "back")):
        assert np.array_equal(dataset.ground_truth().about.part_states, truth.about.part_states)
    assert convert_dataset(start, tmp_path / "yolo", "yolo")["extras of images"] == 3


def test_a_split_that_is_there_is_left_alone(bikes):
    before = (bikes / "train_annotations.json").read_bytes()
    with pytest.raises(OptionError, match="already there"):
        write_delftbikes(SyntheticBikes(1), bikes, "train")
    assert (bikes / "train_annotations.json").read_bytes() == before
    assert open_dataset(bikes, "val")[0].labels is not None


def test_only_parts_of_bicycles_can_be_written(tmp_path):
    with pytest.raises(DatasetError, match="not the parts of DelftBikes"):
        write_delftbikes(SyntheticDataset(1), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_fingerprint_stays_what_it_is(write):
    """Predictions files and checkpoints of earlier versions record it."""
    root = write({"b.jpg": entry(part("bell")), "a.jpg": entry()})
    literal = "sha256:80dd5871d6191ae6c83b4fe6f4fb151f2a00849a46e26d4046f966818991bd9f"
    assert open_dataset(root).fingerprint() == literal


def test_coco_json_is_named_as_such(tmp_path):
    path = tmp_path / "instances.json"
    path.write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(DatasetError, match="COCO JSON, not an annotations file of DelftBikes"):
        read_entries(path)


@pytest.mark.slow
def test_a_pickled_record_is_as_small_as_that_of_an_image_alone(tmp_path):
    def build(root, count):
        root.mkdir()
        parts = [part("saddle", "damaged"), part("bell"), part("steer", "absent", None)]
        document = {f"{number:04d}.jpg": entry(*parts) for number in range(count)}
        (root / "train_annotations.json").write_text(json.dumps(document))
        return open_dataset(root)

    (alone,) = build(tmp_path / "one", 1)
    many = build(tmp_path / "set", 1000)
    limit = len(pickle.dumps(alone)) + 64  # numbers are longer
    assert max(len(pickle.dumps(record)) for record in many) <= limit
    again = pickle.loads(pickle.dumps(many[700]))
    assert again.extra == many[700].extra
    assert again.labels.states.tolist() == many[700].labels.states.tolist()
    assert again.labels.boxes_xywh_px.tolist() == many[700].labels.boxes_xywh_px.tolist()
