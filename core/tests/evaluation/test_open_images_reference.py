"""AP of Open Images' challenges beside that of hotcoco, where it is installed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anydet.evaluation.matched_protocol import ProtocolOptions
from anydet.evaluation.open_images import OpenImagesEvaluator
from anydet.testing.problems import random_problem

hotcoco = pytest.importorskip("hotcoco")


def documents(found, truth):
    """What hotcoco reads: group-of boxes are marked as such."""
    labels = truth.labels
    rows = zip(
        truth.image_index.tolist(),
        labels.class_ids.tolist(),
        labels.boxes_xywh_px.tolist(),
        labels.iscrowd.tolist(),
        strict=True,
    )
    annotations = [
        {"id": i, "image_id": image + 1, "category_id": c + 1, "bbox": box, "area": box[2] * box[3]}
        | {"iscrowd": 0, "is_group_of": group}
        for i, (image, c, box, group) in enumerate(rows, start=1)
    ]
    images = [{"id": i, "file_name": key, "width": 64, "height": 48} for i, key in enumerate(truth.images, 1)]
    categories = [{"id": i, "name": name} for i, name in enumerate(truth.classes.names, start=1)]
    columns = (found.image_index, found.class_ids, found.boxes_xywh_px, found.scores)
    results = [
        {"image_id": image + 1, "category_id": c + 1, "bbox": box, "score": score}
        for image, c, box, score in zip(*(column.tolist() for column in columns), strict=True)
    ]
    return {"images": images, "categories": categories, "annotations": annotations}, results


@pytest.mark.filterwarnings("ignore:hotcoco. Open Images evaluation:UserWarning")
@pytest.mark.parametrize("parents", [{}, {0: 2, 1: 2, 2: 3}])
@pytest.mark.parametrize("seed", range(6))
def test_group_of_boxes_and_the_hierarchy_count_as_hotcoco_counts_them(seed, parents):
    problem = random_problem(seed, images=12)
    truth, found = problem.ground_truth, problem.detections
    scores = np.random.default_rng(seed).permutation(len(found)) / len(found)  # orders of ties differ
    found = replace(found, scores=scores)
    annotations, results = documents(found, truth)
    theirs = hotcoco.COCO(annotations)
    ids = {child + 1: parent + 1 for child, parent in parents.items()}
    tree = hotcoco.Hierarchy.from_parent_map(ids) if parents else None
    reference = hotcoco.COCOeval(theirs, theirs.loadRes(results), "bbox", oid_style=True, hierarchy=tree)
    reference.run()
    names = truth.classes.names
    options = ProtocolOptions(parents={names[c]: (names[p],) for c, p in parents.items()})
    ours = OpenImagesEvaluator(truth.classes, options)
    ours.add(found, truth)
    assert ours.result().metrics["AP_challenge"] == pytest.approx(reference.get_results()["AP"], abs=1e-12)
