from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
from pycocotools.coco import COCO

from anydet.data.coco.dataset import split_of
from anydet.data.coco.parsing import parse_coco
from anydet.data.opening import open_dataset
from anydet.errors import DatasetError, ImageError
from anydet.geometry import masks
from anydet.types import RLE


def test_a_bare_file_needs_no_images(put, instances):
    truth = open_dataset(put("instances.json", instances)).ground_truth()
    assert truth.images == ("b.jpg", "a.jpg")
    assert truth.image_ids.tolist() == [9, 4]
    assert truth.sizes_wh.tolist() == [[40, 20], [30, 30]]
    assert truth.classes.names == ("cat", "dog")
    assert truth.classes.source_ids == (2, 7)
    assert truth.image_index.tolist() == [0, 1, 1]
    assert truth.labels.annotation_ids.tolist() == [12, 0, 11]
    assert truth.labels.class_ids.tolist() == [0, 1, 0]
    assert truth.labels.boxes_xywh_px.tolist() == [[0, 0, 10.5, 2], [1, 2, 3, 4], [5, 6, 7, 0]]


def test_the_files_own_area_crowd_flag_and_state_are_kept(put, instances):
    labels = open_dataset(put("instances.json", instances)).ground_truth().labels
    assert labels.areas.tolist() == [21.0, 5.5, 0.0]
    assert labels.iscrowd.tolist() == [False, False, True]
    assert labels.states.tolist() == [-1, -1, 3]
    assert labels.keypoints is None
    assert labels.segmentations is None


def test_states_have_the_names_that_the_file_gives_them(put, instances):
    states = [{"id": 1, "name": "worn"}, {"id": 0, "name": "new"}]
    named = put("named.json", {**instances, "state_categories": states})
    assert open_dataset(named).ground_truth().state_names == ("new", "worn")
    assert open_dataset(put("unnamed.json", instances)).ground_truth().state_names == ()
    wrong = put("wrong.json", {**instances, "state_categories": states[:1]})
    with pytest.raises(DatasetError, match=r"wrong\.json: state_categories: ids 1"):
        open_dataset(wrong).ground_truth()
    odd = put("odd.json", {**instances, "state_categories": ["new"]})
    with pytest.raises(DatasetError, match=r"odd\.json: state_categories\[0\]: Expected object"):
        open_dataset(odd).ground_truth()


def with_part_states(instances, *parts):
    states = [{"id": 0, "name": "new"}, {"id": 1, "name": "absent"}]
    images = [image | {"part_states": given} for image, given in zip(instances["images"], parts, strict=True)]
    return {**instances, "images": images, "state_categories": states}


def test_states_of_parts_without_a_box_are_a_column_and_an_extra_of_the_record(put, instances):
    given = {"dog": "absent", "cat": None}, {"cat": "new"}
    dataset = pickle.loads(pickle.dumps(open_dataset(put("parts.json", with_part_states(instances, *given)))))
    assert dataset.ground_truth().about.part_states.tolist() == [[-1, 1], [0, -1]]
    assert dataset.ground_truth(1).about.part_states.tolist() == [[-1, 1]]
    assert [record.extra["part_states"] for record in dataset] == list(given)
    some = open_dataset(put("some.json", with_part_states(instances, {"dog": "new"}, None)))
    assert some.ground_truth().about.part_states.tolist() == [[-1, 0], [-1, -1]]
    assert (
        open_dataset(put("none.json", with_part_states(instances, None, None))).ground_truth().about is None
    )


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"dogg": "new"}, r"image a\.jpg: part_states: dogg: 'dogg' is not among the categories.*dog"),
        ({"dog": "worn"}, r"image a\.jpg: part_states: dog: 'worn' is not among the state_categories"),
        (["dog"], r"images\[1\]\.part_states: Expected object"),
    ],
)
def test_a_part_or_state_that_the_file_does_not_have_is_refused_by_image(put, instances, given, problem):
    with pytest.raises(DatasetError, match=rf"wrong\.json: {problem}"):
        open_dataset(put("wrong.json", with_part_states(instances, {}, given)))


def test_records_hold_the_rows_of_their_image(put, instances):
    dataset = open_dataset(put("instances.json", instances))
    first, second = dataset
    assert (first.key, first.size_wh, first.extra) == ("b.jpg", (40, 20), {"image_id": 9})
    assert second.labels.boxes_xywh_px.tolist() == [[1, 2, 3, 4], [5, 6, 7, 0]]
    assert dataset[-1].key == "a.jpg"
    with pytest.raises(IndexError):
        dataset[2]


def test_max_images_takes_the_first_images_of_the_file(put, instances):
    dataset = open_dataset(put("instances.json", instances))
    one = dataset.ground_truth(1)
    assert (one.images, len(one), one.image_ids.tolist()) == (("b.jpg",), 1, [9])
    assert len(dataset.ground_truth(0)) == 0
    assert len(dataset.ground_truth(99)) == 3


def test_all_kinds_of_segmentation_are_kept(put, instances):
    mask = np.zeros((30, 30), np.bool_)
    mask[4:9, 3:20] = True
    rle = masks.encode(mask)
    polygon = [1, 1, 5, 1, 5, 6.5]
    runs = [5, 3, 900 - 8]
    segmentations = [
        {"size": [30, 30], "counts": rle.counts},
        [polygon, polygon],
        {"size": [30, 30], "counts": runs},
    ]
    for annotation, segmentation in zip(instances["annotations"], segmentations, strict=True):
        annotation["segmentation"] = segmentation
    kept = open_dataset(put("instances.json", instances)).ground_truth().labels.segmentations
    assert kept[0] == (tuple(polygon), tuple(polygon))
    assert kept[1] == rle
    assert masks.decode(kept[2]).ravel(order="F")[:9].tolist() == [0] * 5 + [1] * 3 + [0]


def test_keypoints_become_a_column_with_nan_where_missing(put, instances):
    instances["annotations"][0]["keypoints"] = [1, 2, 2, 0, 0, 0]
    points = open_dataset(put("instances.json", instances)).ground_truth().labels.keypoints
    assert points.shape == (3, 2, 3)
    assert points[1].tolist() == [[1, 2, 2], [0, 0, 0]]
    assert np.isnan(points[[0, 2]]).all()


def test_ids_of_annotations_may_be_missing(put, instances):
    del instances["annotations"][0]["id"]
    assert open_dataset(put("a.json", instances)).ground_truth().labels.annotation_ids.tolist() == [
        12,
        -1,
        11,
    ]
    for annotation in instances["annotations"]:
        annotation.pop("id", None)
    assert open_dataset(put("b.json", instances)).ground_truth().labels.annotation_ids is None


def test_a_file_without_annotations_has_images_without_objects(put, instances):
    del instances["annotations"]
    dataset = open_dataset(put("image_info.json", instances))
    assert [len(record.labels) for record in dataset] == [0, 0]
    assert len(dataset.ground_truth()) == 0


def _change(section, index, **changes):
    def change(document):
        document[section][index].update(changes)

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_change("images", 1, file_name="b.jpg"), r"file_name 'b.jpg' occurs twice"),
        (_change("images", 1, id=9), r"image id 9 occurs twice"),
        (_change("images", 1, width=0), r"image 4 \(a.jpg\): width 0"),
        (_change("images", 1, height=None), r"image 4 \(a.jpg\): width 30, height None"),
        (_change("images", 0, file_name=""), r"image 9: empty file_name"),
        (
            _change("images", 0, file_name=3),
            r"image 9 \(images\[0\]\): file_name: Expected str . null, got int",
        ),
        (_change("categories", 1, id=7), r"category id 7 occurs twice"),
        (_change("annotations", 1, image_id=5), r"annotation 12 \(annotations\[1\]\): image_id 5 is not"),
        (
            _change("annotations", 2, category_id=3),
            r"annotation 11 \(annotations\[2\]\): category_id 3 is not",
        ),
        (_change("annotations", 1, bbox=None), r"annotation 12 \(annotations\[1\]\): no bbox"),
        (_change("annotations", 1, bbox=[1, 2, 3]), r"annotation 12 \(annotations\[1\]\): bbox: Expected"),
        (
            _change("annotations", 0, bbox=[1, 2, -3, 4]),
            r"annotation 0 \(annotations\[0\]\): bbox .*negative",
        ),
        (_change("annotations", 0, bbox=[1, 2, float("nan"), 4]), r"annotation 0 .*bbox: .*not finite"),
        (_change("annotations", 0, area=float("inf")), r"annotation 0 .*area: .*not finite"),
        (_change("annotations", 0, area=-1), r"annotation 0 .*area -1.0 is negative"),
        (_change("annotations", 1, segmentation=[[1, 2, 3, 4]]), r"annotation 12 .*polygon of 4 numbers"),
        (
            _change("annotations", 1, segmentation={"size": [20, 40], "counts": [3, 4]}),
            r"annotation 12 .*counts are not runs that add up to 20 x 40",
        ),
        (
            _change("annotations", 1, segmentation={"size": [20, 40], "counts": "52203"}),
            r"annotation 12 .*counts are not runs that add up to 20 x 40",
        ),
        (
            _change("annotations", 1, segmentation={"size": [40, 20], "counts": [800]}),
            r"annotation 12 .*is \[40, 20\], but the image has \[20, 40\]",
        ),
        (_change("annotations", 1, keypoints=[1, 2, 3]), r"annotation 12 .*keypoints are not"),
    ],
)
def test_malformed_entries_are_named(put, instances, change, named):
    change(instances)
    file = put("instances.json", instances)
    with pytest.raises(DatasetError, match=named) as caught:
        parse_coco(file)
    assert str(file) in caught.value.problem
    assert caught.value.fix


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "not valid JSON"),
        ("[]", "a list, as COCO results are"),
        ('{"info": 3}', "no 'images'"),
        ('{"images": {}}', "images: Expected array"),
        ('{"images": [], "annotations": [3]}', r"annotations\[0\]"),
        ("[" * 5000, "not valid JSON"),
    ],
)
def test_files_that_are_no_annotations_are_refused(put, content, expected):
    with pytest.raises(DatasetError, match=expected):
        open_dataset(put("x.json", content))


@pytest.mark.parametrize(
    ("images", "name"),
    [
        ("images/val", "annotations/instances_val.json"),
        ("val", "annotations/instances_val.json"),
        ("images", "annotations/instances_val.json"),
        ("annotations", "annotations/instances_val.json"),
        ("train", "train/_annotations.coco.json"),
        ("images/val", "annotations/person_keypoints_val.json"),
        ("images/val", "val.json"),
    ],
)
def test_images_are_found_by_convention(put, paint, instances, images, name):
    paint(f"{images}/b.jpg")
    record = open_dataset(put(name, instances))[0]
    assert record.image().shape == (20, 40, 3)


def test_images_are_found_in_the_folder_that_holds_the_first_one(put, paint, instances):
    (put("annotations/instances_val.json", instances).parents[1] / "images/val").mkdir(parents=True)
    path = paint("images/b.jpg")
    assert open_dataset(path.parents[1])[0].image().shape == (20, 40, 3)


def test_the_image_folder_can_be_named(put, paint, instances, tmp_path):
    paint("elsewhere/b.jpg")
    record = open_dataset(put("instances.json", instances), images=tmp_path / "elsewhere")[0]
    assert record.image().shape == (20, 40, 3)


def test_a_missing_image_is_reported_when_it_is_opened(put, instances):
    record = open_dataset(put("instances.json", instances))[0]
    with pytest.raises(ImageError, match=r"b\.jpg"):
        record.image()


@pytest.mark.parametrize("layout", ["hugging face", "dvc", "git-annex"])
def test_images_that_are_links_of_the_folder_are_read(put, paint, instances, tmp_path, layout):
    stored, folder = {
        "hugging face": ("hub/datasets--x/blobs/4f53cda1", "hub/datasets--x/snapshots/a1b2/val"),
        "dvc": (".dvc/cache/files/md5/4f/53cda1", "data/val"),
        "git-annex": (".git/annex/objects/Xk/9z/MD5E-s1.jpg/MD5E-s1.jpg", "val"),
    }[layout]
    image = paint("b.jpg").rename(tmp_path / "kept")
    (tmp_path / stored).parent.mkdir(parents=True)
    image.rename(tmp_path / stored)
    link = tmp_path / folder / "b.jpg"
    link.parent.mkdir(parents=True)
    link.symlink_to(os.path.relpath(tmp_path / stored, link.parent))
    file = put(f"{folder}/instances.json", instances)
    dataset = open_dataset(file)
    assert dataset[0].image().shape == (20, 40, 3)


@pytest.mark.parametrize("name", ["../secret.jpg", "{root}/secret.jpg", "out/secret.jpg", "..\\secret.jpg"])
def test_a_file_name_that_leads_outside_is_refused_when_it_is_opened(put, paint, instances, tmp_path, name):
    paint("secret.jpg")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/out").symlink_to(tmp_path)
    instances["images"][0]["file_name"] = name.format(root=tmp_path)
    dataset = open_dataset(put("instances.json", instances), images=tmp_path / "images")
    assert len(dataset.ground_truth()) == 3
    with pytest.raises(DatasetError, match="is outside of"):
        dataset[0].image()
    with pytest.raises(DatasetError, match="is outside of"):
        dataset[0].pixels.size_wh()


@pytest.mark.parametrize("name", ["x" * 5000 + ".jpg", "a\0.jpg"])
def test_a_file_name_that_no_file_can_have_is_refused_when_it_is_opened(put, instances, name):
    instances["images"][0]["file_name"] = name
    dataset = open_dataset(put("instances.json", instances))
    assert len(dataset.ground_truth()) == 3
    with pytest.raises(DatasetError):
        dataset[0].image()


def test_backslashes_in_file_names_are_folders(put, paint, instances):
    instances["images"][0]["file_name"] = "sub\\b.jpg"
    paint("images/sub/b.jpg")
    record = open_dataset(put("instances.json", instances))[0]
    assert record.key == "sub/b.jpg"
    assert record.image().shape == (20, 40, 3)


def test_a_root_opens_the_preferred_split_and_says_which(put, instances, tmp_path):
    put("annotations/instances_train2017.json", instances)
    put("annotations/instances_val2017.json", instances)
    dataset = open_dataset(tmp_path)
    assert dataset.split == "val2017"
    assert dataset.note == "split val2017 (of train2017, val2017)"
    assert open_dataset(tmp_path, "train2017").source == "annotations/instances_train2017.json"
    with pytest.raises(
        DatasetError, match=r"no split 'val2007' \(there are: train2017, val2017\); did you mean"
    ):
        open_dataset(tmp_path, "val2007")


def test_the_json_wins_over_label_files_and_the_source_says_so(put, paint, instances, tmp_path):
    put("annotations/instances_val.json", instances)
    for name in "ab":
        put(f"labels/val/{name}.txt", "0 0.5 0.5 0.1 0.1")
    paint("images/val/b.jpg")
    expected = "annotations/instances_val.json (labels/val not used)"
    assert open_dataset(tmp_path).source == expected
    assert open_dataset(tmp_path / "annotations/instances_val.json").source == expected


def test_a_split_that_has_only_label_files_opens_from_them(put, paint, instances, tmp_path):
    put("annotations/instances_train.json", instances)
    put("labels/val/b.txt", "0 0.5 0.5 0.1 0.1")
    paint("images/val/b.jpg")
    dataset = open_dataset(tmp_path)
    assert (dataset.note, dataset.source) == ("split val (of train, val)", "labels/val")


def test_a_bare_file_has_the_split_of_its_name_only(put, instances):
    with pytest.raises(DatasetError, match=r"there are: val2017"):
        open_dataset(put("instances_val2017.json", instances), "train2017")
    with pytest.raises(DatasetError, match="no split in its name"):
        open_dataset(put("mine.json", instances), "val")


def test_splits_are_read_from_file_names(tmp_path):
    names = ("instances_val2017.json", "person_keypoints_train.json", "val.json", "foo.json")
    assert [split_of(tmp_path / name) for name in names] == ["val2017", "train", "val", ""]


def test_the_fingerprint_changes_with_the_annotations(put, instances):
    file = put("instances.json", instances)
    before = open_dataset(file).fingerprint()
    assert before == open_dataset(file).fingerprint()
    assert before.startswith("sha256:")
    instances["annotations"][0]["bbox"][0] = 1.5
    assert open_dataset(put("instances.json", instances)).fingerprint() != before


def test_data_sets_and_records_are_picklable(put, paint, instances):
    paint("b.jpg")
    dataset = pickle.loads(pickle.dumps(open_dataset(put("instances.json", instances))))
    record = pickle.loads(pickle.dumps(dataset[0]))
    assert record.image().shape == (20, 40, 3)
    assert len(dataset.ground_truth()) == 3


def test_real_annotations_are_those_that_pycocotools_reads(coco128, capsys):
    file = coco128 / "annotations/instances_train2017.json"
    coco = COCO(str(file))
    capsys.readouterr()
    dataset = open_dataset(file)
    table = dict(enumerate(dataset.classes.source_ids))
    assert len(dataset) == 128
    assert [coco.cats[table[i]]["name"] for i in range(80)] == list(dataset.classes.names)
    for record in dataset:
        entries = coco.imgToAnns[record.extra["image_id"]]
        labels = record.labels
        assert labels.annotation_ids.tolist() == [e["id"] for e in entries]
        assert labels.boxes_xywh_px.tolist() == [e["bbox"] for e in entries]
        assert labels.areas.tolist() == [e["area"] for e in entries]
        assert labels.iscrowd.tolist() == [bool(e["iscrowd"]) for e in entries]
        assert [table[i] for i in labels.class_ids.tolist()] == [e["category_id"] for e in entries]
        for segmentation, entry in zip(labels.segmentations, entries, strict=True):
            rle = masks.as_rle(segmentation, record.size_wh)
            theirs = coco.annToRLE(entry)
            assert rle == RLE(tuple(theirs["size"]), theirs["counts"].decode())


@pytest.mark.slow
def test_five_thousand_images_open_in_few_times_what_parsing_takes(tmp_path):
    import time

    ring = [float(i % 97) for i in range(60)]
    annotations = [
        {"id": i, "image_id": i % 5000, "category_id": 1, "bbox": [1, 2, 3, 4.5], "segmentation": [ring]}
        for i in range(36_000)
    ]
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in range(5000)]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "x"}]}
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document))
    # CPU time beside CPU time of the same process: how fast or busy the machine is does not matter
    start = time.process_time()
    json.loads(path.read_text())
    parsed = time.process_time()
    assert len(open_dataset(path).ground_truth()) == 36_000
    opened = time.process_time()
    assert opened - parsed < 8 * (parsed - start)
