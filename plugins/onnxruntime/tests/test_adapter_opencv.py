"""A face detector as OpenCV decodes it."""

from __future__ import annotations

import cv2
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record

STRIDES = (8, 16, 32)
WIDTH, HEIGHT = 96, 64
WIDTHS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def seeing_yunet(path, save_graph):
    """A convolution a head, as YuNet's outputs are named and shaped."""
    rng, nodes, weights, outputs = np.random.default_rng(0), [], [], []

    def constant(name, array):
        weights.append(numpy_helper.from_array(array, name))
        return name

    for what, width in WIDTHS.items():
        for stride in STRIDES:
            name = f"{what}_{stride}"
            kernel = rng.normal(0, 0.02 if width == 1 else 0.004, (width, 3, stride, stride)) / stride
            last = f"conv_{name}"
            weight = constant(f"k_{name}", kernel.astype(np.float32))
            nodes.append(helper.make_node("Conv", ["input", weight], [last], strides=[stride, stride]))
            if width == 1:
                nodes.append(helper.make_node("Sigmoid", [last], [f"sigmoid_{name}"]))
                last = f"sigmoid_{name}"
            shape = constant(f"shape_{name}", np.array([1, -1, width]))
            nodes += [
                helper.make_node("Transpose", [last], [f"rows_{name}"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"rows_{name}", shape], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, width]))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])
    return save_graph(path, nodes, inputs=[image], outputs=outputs, initializers=weights)


def test_yunet_is_decoded_as_opencv_decodes_it(tmp_path, save, load):
    path = seeing_yunet(tmp_path / "yunet.onnx", save)
    image = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    opencv = cv2.FaceDetectorYN.create(str(path), "", (WIDTH, HEIGHT), 0.5, 1.0, 5000)
    _, faces = opencv.detect(np.ascontiguousarray(image[..., ::-1]))

    (result,) = load(path, score_floor=0.5, nms_iou="null").predict([Record("a", ImageArray(image))])

    x, y, w, h = faces[:, :4].T
    boxes = np.stack([x, y, x + w, y + h], axis=1).clip(0, [WIDTH, HEIGHT] * 2)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    faces, boxes = faces[inside], boxes[inside]
    assert len(faces) > 10, "too few faces to show anything"
    np.testing.assert_allclose(result.scores, faces[:, 14], atol=1e-5)
    np.testing.assert_allclose(result.boxes_xyxy_px, boxes, atol=1e-2)
    points = faces[:, 4:14].reshape(-1, 5, 2)
    np.testing.assert_allclose(result.keypoints[..., :2], points, atol=1e-2)
    assert set(result.class_ids.tolist()) == {0}
