from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from anydet.data.opening import open_dataset
from anydet.data.writing.coco import write_coco
from anydet.data.writing.voc import write_voc
from anydet.errors import AnydetWarning, DatasetError
from anydet.evaluation.dataset_check import check_dataset
from anydet.geometry import masks


def annotation(
    name: str = "a.jpg",
    objects: str = "",
    *,
    size: tuple[int, int] | None = (40, 20),
    database: str = "Unknown",
) -> str:
    stated = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    source = f"<source><database>{database}</database></source>"
    return f"<annotation><filename>{name}</filename>{source}{stated}{objects}</annotation>"


def thing(name: str, box: tuple[float, ...], more: str = "") -> str:
    edges = "".join(
        f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=False)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{edges}</bndbox></object>"


def boxes(path, **options):
    truth = open_dataset(path, **options).ground_truth()
    names = [truth.classes.names[i] for i in truth.labels.class_ids]
    return list(zip(names, truth.labels.boxes_xywh_px.tolist(), strict=True))


DOG = thing("dog", (3, 4, 13, 9))


def test_boxes_are_edges_and_difficult_objects_count_neither_way(put, paint, tmp_path):
    paint("JPEGImages/a.jpg")
    hard = thing("cat", (0.5, 1, 20.5, 11), "<difficult>1</difficult>")
    put("Annotations/a.xml", annotation(objects=DOG + hard))
    dataset = open_dataset(tmp_path)
    assert boxes(tmp_path) == [("dog", [3, 4, 10, 5]), ("cat", [0.5, 1, 20, 10])]
    truth = dataset.ground_truth()
    assert truth.labels.iscrowd.tolist() == [False, True]
    assert truth.sizes_wh.tolist() == [[40, 20]]
    assert dataset.classes.names == ("cat", "dog")
    assert dataset[0].image().shape == (20, 40, 3)
    assert dataset[0].path == tmp_path / "JPEGImages/a.jpg"


def test_files_of_voc_itself_count_pixels_from_1_and_include_the_last(put, tmp_path):
    put("Annotations/a.xml", annotation(objects=DOG, database="The VOC2007 Database"))
    assert boxes(tmp_path) == [("dog", [2, 3, 11, 6])]


def test_masks_that_are_not_read_are_counted_and_named(put, paint, tmp_path):
    for name in "abc":
        put(f"Annotations/{name}.xml", annotation(f"{name}.jpg", DOG))
        paint(f"SegmentationClass/{name}.png")
    paint("SegmentationObject/b.png")
    put("ImageSets/Main/val.txt", "a\nb\n")
    with pytest.warns(AnydetWarning) as warned:
        dataset = open_dataset(tmp_path)
    assert dataset.keys == ("a.jpg", "b.jpg")
    texts = [str(one.message).removeprefix(f"{tmp_path}: ") for one in warned]
    assert len(texts) == 2
    assert texts[0].startswith(
        "masks in SegmentationObject, which are read where every image of a split has one (lists in "
    )
    assert texts[1].startswith("masks in SegmentationClass (in masks/<split>/ beside images/<split>/")
    assert texts[1].endswith(": 2 (the first: SegmentationClass/a.png); left out")
    # That they are there is no fault, which --strict would refuse.
    assert dataset.oddities == ()


def test_lists_are_splits_and_those_of_one_class_are_none(put, tmp_path):
    for name, label in (("a", "dog"), ("b", "cat"), ("c", "cow")):
        put(f"Annotations/{name}.xml", annotation(f"{name}.jpg", thing(label, (0, 0, 2, 2))))
    put("ImageSets/Main/train.txt", "c\na\n")
    put("ImageSets/Main/val.txt", "b\n")
    put("ImageSets/Main/dog_val.txt", "b -1\n")
    val, train = open_dataset(tmp_path), open_dataset(tmp_path, "train")
    assert (val.keys, train.keys) == (("b.jpg",), ("c.jpg", "a.jpg"))
    assert val.note == "split val (of train, val)"
    assert val.classes == train.classes
    assert val.classes.names == ("cat", "cow", "dog")
    with pytest.raises(DatasetError, match="no split 'dog_val'"):
        open_dataset(tmp_path, "dog_val")


@pytest.mark.parametrize(
    ("image", "xml", "split"),
    [
        ("a.jpg", "a.xml", ""),  # labelImg
        ("valid/a.jpg", "valid/a.xml", "valid"),  # Roboflow
        ("images/a.jpg", "annotations/a.xml", ""),
        ("images/a.jpg", "labels/a.xml", ""),
        ("images/val/a.jpg", "annotations/val/a.xml", "val"),
        ("train/images/a.jpg", "train/annotations/a.xml", "train"),
    ],
)
def test_layouts_that_tools_write(paint, put, tmp_path, image, xml, split):
    paint(image)
    put(xml, annotation(objects=DOG))
    dataset = open_dataset(tmp_path)
    assert (dataset.split, dataset.keys) == (split, ("a.jpg",))
    assert dataset[0].image().shape == (20, 40, 3)
    assert boxes(tmp_path) == [("dog", [3, 4, 10, 5])]
    assert type(dataset).__name__ == "TableDataset"


def test_the_folder_of_the_files_and_one_file_can_be_named(paint, put, tmp_path):
    paint("JPEGImages/a.jpg")
    put("Annotations/a.xml", annotation(objects=DOG))
    for path in (tmp_path / "Annotations", tmp_path / "Annotations/a.xml"):
        dataset = open_dataset(path)
        assert boxes(path) == [("dog", [3, 4, 10, 5])]
        assert dataset[0].image().shape == (20, 40, 3)


def test_a_devkit_opens_where_it_has_one_release(put, tmp_path):
    put("VOC2007/Annotations/a.xml", annotation(objects=DOG))
    assert boxes(tmp_path) == [("dog", [3, 4, 10, 5])]
    put("VOC2012/Annotations/a.xml", annotation(objects=DOG))
    with pytest.raises(DatasetError, match="several data sets: VOC2007, VOC2012"):
        open_dataset(tmp_path)


def test_an_image_is_the_file_that_is_called_like_the_annotation(paint, put, tmp_path):
    paint("images/renamed.png")
    paint("images/twice.jpg")
    paint("images/twice.png")
    put("Annotations/renamed.xml", annotation("C:\\old\\first.jpg", DOG, size=None))
    put("Annotations/twice.xml", annotation("twice.png"))
    put("Annotations/gone.xml", annotation("gone.jpeg"))
    with pytest.warns(
        AnydetWarning, match=r"images without an XML file: 1 \(the first: twice\.jpg\); left out"
    ):
        dataset = open_dataset(tmp_path)
    assert dataset.keys == ("gone.jpeg", "renamed.png", "twice.png")
    assert dataset[1].size_wh == (40, 20)


def test_polygons_of_roboflow_are_masks(put, tmp_path):
    ring = "".join(f"<{c}{i}>{v}</{c}{i}>" for i, p in enumerate([(1, 2), (7, 2), (7, 8)], 1)
                   for c, v in zip("xy", p, strict=True))  # fmt: skip
    put("Annotations/a.xml", annotation(objects=thing("dog", (1, 2, 7, 8), f"<polygon>{ring}</polygon>")))
    labels = open_dataset(tmp_path).ground_truth().labels
    assert labels.segmentations == (((1, 2, 7, 2, 7, 8),),)
    assert labels.areas.tolist() == [18]


def test_what_cannot_be_an_object_is_left_out_and_counted(put, tmp_path):
    odd = (
        thing("dog", (9, 0, 3, 4)), thing("", (0, 0, 1, 1)), "<object><name>cow</name></object>",
        thing("cow", (0, 0, 1)), thing("cow", ("nan", 0, 1, 1)),
    )  # fmt: skip
    put("Annotations/a.xml", annotation(objects=DOG + "".join(odd)))
    with pytest.warns(AnydetWarning) as caught:
        assert boxes(tmp_path) == [("dog", [3, 4, 10, 5])]
    lines = sorted({str(one.message).partition(": ")[2] for one in caught})
    first = f"(the first: {tmp_path / 'Annotations/a.xml'}: object"
    assert lines == [
        f"objects with xmax below xmin, or ymax below ymin: 1 {first} 2 (dog)); left out",
        f"objects without a bndbox of xmin, ymin, xmax and ymax: 3 {first} 4 (cow)); left out",
        f"objects without a name: 1 {first} 3); left out",
    ]


BOMB = '<?xml version="1.0"?><!DOCTYPE annotation [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB + annotation("&b;"), "declares an entity, 'a', and entities are not read"),
        (BOMB.replace('"aaaa"', 'SYSTEM "file:///etc/passwd"') + annotation("&a;"), "declares an entity"),
        (annotation(objects="<x>" * 200), "nested more than 100 deep"),
        (annotation().replace("</annotation>", "</b>"), ":1: not valid XML: mismatched tag"),
        ('<?xml version="1.0" encoding="no-such"?>' + annotation(), "unknown encoding"),
        ("<annotation>", "not valid XML"),
    ],
)
def test_hostile_and_broken_files_are_left_out_with_their_line(put, tmp_path, content, message):
    put("Annotations/a.xml", annotation(objects=DOG))
    broken = put("Annotations/b.xml", content)
    said = r"images whose XML file cannot be read: 1 \(the first: "
    with pytest.warns(AnydetWarning, match=said):
        assert open_dataset(tmp_path).keys == ("a.jpg",)
    with (
        pytest.warns(AnydetWarning, match=said),
        pytest.raises(DatasetError, match=message) as caught,
    ):
        open_dataset(tmp_path, refuse_odd=True)
    assert str(broken) in str(caught.value)
    (broken.parent / "a.xml").write_text(content, "utf-8")
    with pytest.raises(DatasetError, match=message):
        open_dataset(tmp_path)


@pytest.mark.parametrize("listed", [True, False])
def test_a_bad_file_takes_its_image_with_it_and_no_other(put, paint, tmp_path, listed):
    for name in "abd":
        paint(f"JPEGImages/{name}.jpg")
        put(f"Annotations/{name}.xml", "" if name == "d" else annotation(f"{name}.jpg", DOG))
    if listed:
        put("ImageSets/Main/val.txt", "d\nb\na\n")
    with pytest.warns(AnydetWarning) as warned:
        dataset = open_dataset(tmp_path)
    bad = tmp_path / "Annotations" / "d.xml"
    assert [str(one.message).removeprefix(f"{tmp_path}: ") for one in warned] == [
        "images whose XML file cannot be read: 1 "
        f"(the first: {bad}:1: not valid XML: no element found); left out"
    ]
    assert set(dataset.keys) == {"a.jpg", "b.jpg"}
    assert len(dataset.ground_truth()) == 2
    check = check_dataset(tmp_path)
    assert [(one.count, one.check) for one in check.findings if one.severity == "broken"] == [
        (1, "images left out")
    ]


def test_a_split_of_which_no_file_can_be_read_is_refused(put, tmp_path):
    put("train/a.xml", annotation(objects=DOG))
    for name in "bc":
        put(f"valid/{name}.xml", "<annotation>")
    with pytest.warns(AnydetWarning, match="cannot be read: 2"):
        assert open_dataset(tmp_path, "train").keys == ("a.jpg",)
    with pytest.raises(DatasetError, match=r"b\.xml:1: not valid XML"):
        open_dataset(tmp_path, "valid")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings_that_a_file_states_are_read(tmp_path, encoding):
    (tmp_path / "Annotations").mkdir()
    content = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>\n' + annotation(
        objects=thing("café", (0, 0, 1, 1))
    )
    (tmp_path / "Annotations/a.xml").write_bytes(content.encode(encoding))
    assert open_dataset(tmp_path).classes.names == ("café",)


def test_label_files_of_yolo_go_before_xml_that_lies_beside_them(paint, put, tmp_path):
    paint("images/val/a.jpg")
    put("labels/val/a.txt", "0 0.5 0.5 0.2 0.2\n")
    put("Annotations/a.xml", annotation(objects=DOG))
    assert type(open_dataset(tmp_path)).__name__ == "YoloDataset"
    assert boxes(tmp_path / "Annotations") == [("dog", [3, 4, 10, 5])]


def test_two_files_about_one_image_are_refused(paint, put, tmp_path):
    paint("a.jpg")
    put("a.xml", annotation())
    put("b.xml", annotation())
    with pytest.raises(DatasetError, match=r"b\.xml: about image a\.jpg, as another file"):
        open_dataset(tmp_path)


def test_real_files_have_the_boxes_of_the_coco_file_of_the_same_images(shared_data):
    voc = open_dataset(shared_data / "bccd_voc")
    coco = open_dataset(shared_data / "bccd", "val")
    truth, other = voc.ground_truth(), coco.ground_truth()
    assert len(voc) == 20
    for key in set(truth.images) & set(other.images):
        ours, theirs = (t.labels.boxes_xywh_px[t.image_index == t.images.index(key)] for t in (truth, other))
        np.testing.assert_array_equal(ours, theirs)
    assert len(set(truth.images) & set(other.images)) > 1


def test_difficult_objects_stay_difficult_when_they_are_converted(put, paint, tmp_path):
    paint("in/JPEGImages/a.jpg")
    hard = thing("cat", (1, 1, 21, 11), "<difficult>1</difficult>")
    put("in/Annotations/a.xml", annotation(objects=DOG + hard))
    dataset = open_dataset(tmp_path / "in")
    write_coco(dataset, tmp_path / "coco", "val")
    write_voc(open_dataset(tmp_path / "coco"), tmp_path / "voc", "val")
    for folder in ("coco", "voc"):
        truth = open_dataset(tmp_path / folder).ground_truth()
        assert dict(zip(truth.labels.class_ids.tolist(), truth.labels.iscrowd.tolist(), strict=True)) == {
            0: True,
            1: False,
        }
    document = (tmp_path / "voc" / "Annotations" / "a.xml").read_text("utf-8")
    assert re.findall(r"<difficult>(\d)</difficult>", document) == ["0", "1"]


LATIN = thing("v\u00e9lo", (3, 4, 13, 9))


@pytest.mark.parametrize(
    ("head", "encoding", "what"),
    [
        ("", "latin-1", "not UTF-8 at byte 148, in line 1 .0xe9.: perhaps latin-1 or cp1252"),
        (
            '<?xml version="1.0" encoding="utf-8"?>\n',
            "cp1252",
            "not UTF-8 at byte 1.., in line 2 .0xe9.: per",
        ),
        ('<?xml version="1.0" encoding="utf-8"?>\n', "utf-16", "it is UTF-16, where plain UTF-8 belongs"),
        ("", "utf-32", "it is UTF-32, where plain UTF-8 belongs"),
        ('<?xml version="1.0" encoding="utf-16"?>\n', "utf-8", "is in another encoding than it declares"),
        ('<?xml version="1.0" encoding="gb2312"?>\n', "utf-8", "declares an encoding that is not read"),
    ],
)
def test_a_file_in_another_encoding_takes_its_own_image_out_and_says_how_to_save_it(
    put, tmp_path, head, encoding, what
):
    put("Annotations/a.xml", annotation(objects=DOG))
    put("Annotations/b.xml").write_bytes((head + annotation("b.jpg", LATIN)).encode(encoding))
    with pytest.warns(AnydetWarning, match=f"cannot be read: 1 .the first: .*b.xml: {what}.*; left out"):
        assert boxes(tmp_path) == [("dog", [3, 4, 10, 5])]
    (found,) = (one for one in check_dataset(tmp_path).findings if one.check == "images left out")
    assert re.search("UTF-8|utf-8", found.fix)
    with pytest.raises(DatasetError, match=what):
        open_dataset(tmp_path / "Annotations/b.xml")


@pytest.mark.parametrize(
    ("head", "encoding"),
    [("", "utf-16"), ("", "utf-8-sig"), ('<?xml version="1.0" encoding="latin-1"?>', "latin-1")],
)
def test_encodings_that_xml_tells_are_read(put, tmp_path, head, encoding):
    put("Annotations/b.xml").write_bytes((head + annotation("b.jpg", LATIN)).encode(encoding))
    assert boxes(tmp_path) == [("v\u00e9lo", [3, 4, 10, 5])]


def number(tmp_path, name, *regions, size=(40, 20)):
    """Writes a palette PNG as VOC has it: numbers in rectangles x1, y1, x2, y2, one over the other."""
    values = np.zeros(size[::-1], np.uint8)
    for value, (x1, y1, x2, y2) in regions:
        values[y1:y2, x1:x2] = value
    file = tmp_path / "SegmentationObject" / name
    file.parent.mkdir(exist_ok=True)
    image = Image.fromarray(values, "P")
    image.putpalette([*range(256)] * 3)
    image.save(file)


def test_masks_are_those_of_the_objects_whose_boxes_fit_best(put, tmp_path):
    cat = thing("cat", (4, 3, 14, 9))
    put("Annotations/a.xml", annotation(objects=thing("cow", (30, 10, 38, 18)) + DOG + cat))
    put("Annotations/b.xml", annotation("b.jpg"))
    number(
        tmp_path,
        "a.png",
        (255, (2, 3, 16, 10)),
        (1, (4, 4, 14, 9)),
        (2, (3, 5, 12, 9)),
        (3, (30, 10, 37, 18)),
    )
    truth = open_dataset(tmp_path).ground_truth()
    names = [truth.classes.names[i] for i in truth.labels.class_ids]
    decoded = [masks.decode(one) for one in truth.labels.segmentations]
    shown = dict(zip(names, decoded, strict=True))
    assert {name: int(mask.sum()) for name, mask in shown.items()} == {"cow": 56, "dog": 36, "cat": 18}
    assert shown["dog"][5:9, 3:12].all()
    assert truth.labels.boxes_xywh_px.tolist() == [[30, 10, 8, 8], [3, 4, 10, 5], [4, 3, 10, 6]]
    assert truth.labels.areas.tolist() == [56, 36, 18]


def test_what_cannot_be_joined_is_counted(put, tmp_path):
    put("Annotations/a.xml", annotation(objects=DOG + thing("cat", (30, 10, 38, 18))))
    put("Annotations/b.xml", annotation("b.jpg", DOG))
    number(tmp_path, "a.png", (1, (3, 4, 13, 9)), (2, (20, 0, 22, 2)))
    number(tmp_path, "b.png", (1, (3, 4, 9, 9)), size=(20, 20))
    with pytest.warns(AnydetWarning) as warned:
        labels = open_dataset(tmp_path).ground_truth().labels
    assert [one is not None for one in labels.segmentations] == [True, False, False]
    texts = sorted(str(one.message).removeprefix(f"{tmp_path}: ").split(" (the")[0] for one in warned)
    assert texts == [
        "masks of a file of another size than its image: 1",
        "masks that fit no object's box: 1",
        "objects that no mask fits: 1",
    ]


def test_files_that_number_nothing_are_counted_and_boxes_are_read(put, paint, tmp_path):
    for name in "ab":
        put(f"Annotations/{name}.xml", annotation(f"{name}.jpg", DOG))
    paint("SegmentationObject/a.png")
    put("SegmentationObject/b.png", "no picture")
    with pytest.warns(AnydetWarning) as warned:
        dataset = open_dataset(tmp_path)
    texts = sorted(str(one.message).removeprefix(f"{tmp_path}: ").split(" (the")[0] for one in warned)
    assert texts == ["masks in colors, which number no objects: 1", "masks of a file that cannot be read: 1"]
    assert len(dataset.ground_truth()) == 2
    assert [one.what for one in dataset.oddities] == ["masks of a file that cannot be read"]


def test_lists_of_images_with_masks_are_splits_of_their_own(put, tmp_path):
    for name in "ab":
        put(f"Annotations/{name}.xml", annotation(f"{name}.jpg", DOG))
    number(tmp_path, "b.png", (1, (3, 4, 13, 9)))
    put("ImageSets/Segmentation/val.txt", "b\n")
    assert open_dataset(tmp_path).split == "val"
    put("ImageSets/Main/val.txt", "a\nb\n")
    with pytest.warns(AnydetWarning, match="masks in SegmentationObject.*: 1"):
        assert open_dataset(tmp_path).ground_truth().labels.segmentations is None
    dataset = open_dataset(tmp_path, "segmentation-val")
    assert dataset.keys == ("b.jpg",)
    assert dataset.ground_truth().labels.areas.tolist() == [50]
    before = dataset.fingerprint()
    number(tmp_path, "b.png", (1, (3, 4, 12, 9)))
    assert open_dataset(tmp_path, "segmentation-val").fingerprint() != before
