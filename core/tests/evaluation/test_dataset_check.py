"""Good data sets, each broken in one way: ``check_dataset`` names that and nothing else."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import DatasetError
from anydet.evaluation.dataset_check import check_dataset
from anydet.geometry.boxes import xywh_to_xyxy, xyxy_to_cxcywh_norm

IMAGES, SIZE = 6, (160, 120)


@pytest.fixture
def yolo(scene_folders, tmp_path):
    shutil.copytree(scene_folders / "yolo", tmp_path / "yolo")
    return tmp_path / "yolo"


def found(root, **options):
    return {one.check: one for one in check_dataset(root, **options).findings if one.check not in USUAL}


USUAL = {"rare classes", "empty images", "classes never used"}
"""What a handful of scenes has anyway."""


def test_good_data_sets_have_nothing_broken_and_no_more_to_say(scene_folders):
    for layout in ("coco", "yolo"):
        check = check_dataset(scene_folders / layout)
        assert check.ok
        assert (check.images, check.classes) == (IMAGES, 6)
        assert found(scene_folders / layout) == {}


def copy_first(kind):
    def edit(content):
        content[kind].append(dict(content[kind][0]))

    return edit


def first(**changes):
    def edit(content):
        content["annotations"][0].update(changes)

    return edit


@pytest.mark.parametrize(
    ("edit", "check"),
    [
        (copy_first("images"), "duplicate image ids"),
        (copy_first("categories"), "duplicate category ids"),
        (copy_first("annotations"), "duplicate annotation ids"),
        (lambda c: c["images"].append({**c["images"][0], "id": 99}), "duplicate file names"),
        (first(image_id=999), "annotations without image"),
        (first(category_id=999), "annotations without category"),
        (first(bbox=[1, 1, -5, 5]), "boxes of negative size"),
        (first(bbox=[1, 1, -5, 5], area=float("nan")), "boxes of negative size"),
        (first(segmentation=[[1, 2, 3, 4]]), "malformed masks"),
        (first(iscrowd="0"), "malformed iscrowd"),
        (lambda c: c["images"][0].pop("file_name"), "images without file name"),
        (first(bbox=[1, 1, 5]), "malformed boxes"),
        (first(bbox=[500, 10, 20, 20], segmentation=None), "boxes outside"),
    ],
)
def test_what_is_broken_is_named_with_the_place(altered_coco, edit, check):
    result = check_dataset(altered_coco(edit))
    assert not result.ok
    broken = {one.check: one for one in result.findings if one.severity == "broken"}
    assert check in broken
    assert set(broken) <= {check, "duplicate file names", "numbers that are not finite", "missing images"}
    assert (result.images, result.annotations > 0) == (IMAGES + (check == "duplicate file names"), True)
    assert broken[check].count == 1
    assert broken[check].examples
    assert broken[check].fix


def test_areas_that_a_coco_file_does_not_state_are_noted(altered_coco):
    finding = found(altered_coco(lambda content: content["annotations"][0].pop("area")))["areas not stated"]
    assert (finding.severity, finding.count, len(finding.examples)) == ("note", 1, 1)


def test_all_faults_are_listed_where_some_keep_the_file_from_being_read(altered_coco):
    def edit(content):
        rows = content["annotations"]
        rows[0]["bbox"][0] = float("nan")
        rows[1]["bbox"][2] *= -1
        rows[2]["segmentation"] = [[1, 2]]
        rows.append({**rows[3], "id": 9999})

    result = check_dataset(altered_coco(edit))
    assert {one.check: one.count for one in result.findings if one.check not in USUAL} == {
        "numbers that are not finite": 1, "boxes of negative size": 1, "malformed masks": 1,
        "duplicate annotations": 1, "missing masks": 1,
    }  # fmt: skip
    assert result.images == IMAGES


@pytest.mark.parametrize(
    ("edit", "check", "count"),
    [
        (first(bbox=[10, 10, 0, 5], segmentation=None), "empty boxes", 1),
        (first(bbox=[10, 10, 0.4, 5], segmentation=None), "tiny boxes", 1),
        (first(bbox=[150, 10, 30, 30], segmentation=None), "boxes over the edge", 1),
        (lambda c: c["annotations"].append({**c["annotations"][0], "id": 9999}), "duplicate annotations", 1),
        (first(segmentation=None), "missing masks", 1),
        (first(bbox=[0, 0, *SIZE]), "box against mask", 1),
        (first(segmentation=[[0, 0, 160, 0, 160, 120]]), "box against mask", 1),
        (
            lambda c: c["categories"].append({"id": 77, "name": c["categories"][0]["name"]}),
            "duplicate names",
            1,
        ),
        (
            lambda c: [image.pop("width") and image.pop("height") for image in c["images"]],
            "unknown sizes",
            None,
        ),
    ],
)
def test_what_may_be_meant_is_a_warning(altered_coco, edit, check, count):
    findings = found(altered_coco(edit))
    assert findings[check].severity == "warning"
    assert count in {None, findings[check].count}
    assert findings[check].examples
    assert set(findings) - {check} <= {"missing masks"}  # where the mask had to go with the box


def test_a_box_may_leave_its_image_by_a_pixel(altered_coco):
    assert found(altered_coco(first(bbox=[150, 10, 10.9, 30], segmentation=None))).keys() == {"missing masks"}


def test_crowds_and_imbalance_are_notes(altered_coco):
    def edit(content):
        template = content["annotations"][0]
        other = next(one for one in content["annotations"] if one["category_id"] != template["category_id"])
        rows = [{**template, "id": 1000 + i, "bbox": [i / 10, 1, 20, 20]} for i in range(150)]
        content["annotations"] = [*rows, {**other, "iscrowd": 1}]
        for row in content["annotations"]:
            row.pop("segmentation")

    findings = found(altered_coco(edit))
    assert {name: (one.severity, one.count) for name, one in findings.items()} == {
        "crowds": ("note", 1),
        "class imbalance": ("note", 150),
    }


def test_images_without_annotations_and_unused_classes_are_counted(altered_coco):
    def edit(content):
        kept = content["annotations"][:1]
        content["annotations"] = kept

    findings = {one.check: one for one in check_dataset(altered_coco(edit)).findings}
    assert findings["empty images"].count == IMAGES - 1
    assert findings["classes never used"].count == 5
    assert findings["rare classes"].count == 1


def test_files_are_compared_with_what_is_stated_and_with_each_other(altered_coco):
    root = altered_coco(lambda content: None)
    files = sorted((root / "images" / "val").iterdir())
    shutil.copy(files[0], files[1])
    Image.new("RGB", (50, 40)).save(files[2])
    files[3].write_bytes(b"no image")
    files[4].unlink()
    findings = found(root)
    assert {name: (one.severity, one.count) for name, one in findings.items()} == {
        "duplicate images": ("warning", 1),
        "sizes differ": ("broken", 1),
        "unreadable images": ("broken", 1),
        "missing images": ("broken", 1),
    }
    assert findings["duplicate images"].examples == (f"{files[0].name} = {files[1].name}",)
    assert findings["sizes differ"].examples == (f"{files[2].name}: 50x40, stated 160x120",)
    assert found(root, open_images=False) == {}


def test_a_file_that_exif_turns_against_its_stated_size_is_a_warning(altered_coco):
    root = altered_coco(lambda content: None)
    file = sorted((root / "images" / "val").iterdir())[0]
    image = Image.new("RGB", SIZE)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(file, exif=exif)
    assert {name: one.severity for name, one in found(root).items()} == {"turned images": "warning"}


def test_annotations_alone_are_enough(altered_coco, tmp_path):
    file = tmp_path / "instances.json"
    shutil.copy(altered_coco(lambda content: None) / "annotations" / "instances_val.json", file)
    assert {name: one.severity for name, one in found(file).items()} == {"no image files": "note"}


def test_every_malformed_label_file_is_listed(yolo):
    files = [file for file in sorted((yolo / "labels" / "val").iterdir()) if file.read_text()]
    for file in files[:2]:
        file.write_text("0 0.5 0.5 nonsense 0.1\n")
    finding = found(yolo)["malformed label lines"]
    assert (finding.severity, finding.count) == ("broken", 2)
    assert all(file.name in line for file, line in zip(files[:2], finding.examples, strict=True))
    for file in files[:2]:
        file.write_text("77 0.5 0.5 0.1 0.1\n")
    finding = found(yolo)["unreadable"]
    assert (finding.severity, finding.count) == ("broken", 2)


def test_label_files_that_no_image_has_are_listed(yolo):
    labels = yolo / "labels" / "val"
    (labels / "other.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (labels / "classes.txt").write_text("cat\n")
    finding = found(yolo)["labels without image"]
    assert (finding.severity, finding.count) == ("warning", 1)
    assert finding.examples == (str(labels / "other.txt"),)
    for file in labels.glob("0*.txt"):
        file.rename(file.with_name(f"x{file.name}"))
    assert found(yolo)["labels without image"].severity == "broken"


def test_a_label_file_of_two_images_is_broken(yolo):
    image = next((yolo / "images" / "val").iterdir())
    shutil.copy(image, image.with_suffix(".jpg"))
    assert found(yolo)["shared label files"].count == 1


def test_images_without_labels_are_a_warning(yolo):
    shutil.rmtree(yolo / "labels")
    assert found(yolo / "images" / "val").keys() == {"no annotations"}


def test_what_is_no_data_set_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="not a data set"):
        check_dataset(tmp_path)


@pytest.fixture
def predictions(scene_folders, tmp_path):
    """The ground truth as predictions, to break: ``predictions(change)`` changes each detection."""
    dataset = SyntheticDataset(IMAGES, 3, SIZE)

    def write(change=lambda detection: None, keys=dataset.keys):
        entries = []
        for key, record in zip(keys, dataset, strict=True):
            boxes = xyxy_to_cxcywh_norm(xywh_to_xyxy(record.labels.boxes_xywh_px), SIZE).tolist()
            rows = [
                {"class_id": int(c), "score": 0.9, "bbox": box}
                for c, box in zip(record.labels.class_ids, boxes, strict=True)
            ]
            for row in rows:
                change(row)
            entries.append({"image": key, "detections": [row for row in rows if row["class_id"] < 6]})
        path = tmp_path / "predictions.json"
        path.write_text(json.dumps(entries))
        return path

    return write


def test_predictions_that_fit_add_nothing(scene_folders, predictions):
    assert found(scene_folders / "coco", predictions=predictions()) == {}


def test_predictions_with_a_usual_mistake_are_broken_and_explained(scene_folders, predictions):
    path = predictions(lambda row: row.update(class_id=row["class_id"] + 1))
    finding = found(scene_folders / "coco", predictions=path)["predictions explained"]
    assert finding.severity == "broken"
    assert finding.problem == "class ids are one too high: they count from 1"


def test_predictions_of_other_images_are_broken(scene_folders, predictions):
    path = predictions(keys=[f"other{i}.png" for i in range(IMAGES)])
    finding = found(scene_folders / "coco", predictions=path)["predictions misfit"]
    assert (finding.severity, finding.count) == ("broken", IMAGES)


def test_a_class_that_is_never_predicted_is_named(altered_coco, predictions):
    def edit(content):
        template = content["annotations"][0]
        content["annotations"] += [
            {**template, "id": 1000 + i, "bbox": [float(i), 1, 20, 20]} for i in range(20)
        ]
        for row in content["annotations"]:
            row.pop("segmentation")

    root = altered_coco(edit)
    wanted = json.loads((root / "annotations" / "instances_val.json").read_text())["annotations"][0]
    ids = sorted(
        {c["id"] for c in json.loads((root / "annotations/instances_val.json").read_text())["categories"]}
    )
    class_id = ids.index(wanted["category_id"])

    def drop(row):
        row["class_id"] = 99 if row["class_id"] == class_id else row["class_id"]

    finding = found(root, predictions=predictions(drop))["classes never predicted"]
    assert (finding.severity, finding.count) == ("warning", 1)


@pytest.fixture
def coco(scene_folders, tmp_path):
    shutil.copytree(scene_folders / "coco", tmp_path / "coco")
    (file,) = (tmp_path / "coco/annotations").iterdir()
    return tmp_path / "coco", file


def test_names_that_lead_out_of_the_image_folder_are_broken_whether_or_not_images_are_opened(coco, tmp_path):
    root, file = coco
    content = json.loads(file.read_text())
    content["images"][0]["file_name"] = "../../../x.png"
    content["images"][1]["file_name"] = "../gone.png"
    file.write_text(json.dumps(content))
    Image.new("RGB", SIZE).save(tmp_path / "x.png")
    for images in (True, False):
        outside = found(root, open_images=images)["names outside"]
        assert (outside.severity, outside.count) == ("broken", 2)
        assert outside.examples[0].startswith("'../../../x.png' is outside of")


def test_an_image_above_the_limit_is_named_with_the_option_that_opens_it(coco, yolo, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for root, check in ((coco[0], "too large images"), (yolo, "unreadable")):
        assert found(root)[check].fix == f"open them with --max-pixels {SIZE[0] * SIZE[1]}, or cut them up"


def test_a_warning_of_reading_is_a_finding_and_none_beside_the_result(tmp_path):
    for name in ("Annotations", "SegmentationClass", "JPEGImages"):
        (tmp_path / name).mkdir()
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    text = f"<annotation><object><name>dog</name>{box}</object></annotation>"
    (tmp_path / "Annotations/a.xml").write_text(text)
    for name in ("JPEGImages/a.png", "SegmentationClass/a.png"):
        Image.new("RGB", SIZE).save(tmp_path / name)
    said = found(tmp_path)["said when reading"]
    assert said.severity == "warning"
    assert "masks in SegmentationClass" in said.problem
