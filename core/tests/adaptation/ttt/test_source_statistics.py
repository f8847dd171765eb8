from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from anydet.adaptation.ttt.snapshot import named_tensors
from anydet.adaptation.ttt.source_statistics import (
    Moments,
    SourceStatistics,
    StatisticsError,
    class_means,
    collect_statistics,
    object_features,
)
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.errors import OptionError
from anydet.plugins.adapter import ClassLogits

SCENES = SyntheticDataset(6, 0, (96, 64))


def test_moments_are_those_of_mean_features(grid):
    before = {name: value.clone() for name, value in named_tensors(grid.get_model())}
    found = collect_statistics(grid, SCENES, images=6, batch_size=4, about={"adapter": "grid"})
    batch = next(iter(grid.build_loader(list(SCENES), batch_size=6)))
    with torch.no_grad():
        features = grid.features(batch)["backbone.stride8"].mean(dim=(2, 3))
    moments = found.images["backbone.stride8"]
    torch.testing.assert_close(moments.mean, features.mean(0))
    torch.testing.assert_close(moments.variance, features.var(0))
    assert found.gap > 0
    assert all(torch.equal(value, before[name]) for name, value in named_tensors(grid.get_model()))


def test_a_file_comes_back(grid, tmp_path):
    norms = dict(grid.get_model().backbone[1].named_parameters(prefix="backbone.1"))
    found = collect_statistics(
        grid, SCENES, images=6, confidence=0.1, fisher_of=norms, about={"adapter": "grid", "images": 6}
    )
    found.write(tmp_path / "s.npz")
    again = SourceStatistics.read(tmp_path / "s.npz")
    assert again.about == {"adapter": "grid", "images": 6}
    assert again.gap == found.gap
    assert set(again.fisher) == {"backbone.1.weight", "backbone.1.bias"}
    for name, values in found.fisher.items():
        assert torch.equal(again.fisher[name], values)
        assert (values > 0).any()
    for level, moments in found.images.items():
        assert torch.equal(again.images[level].mean, moments.mean)


def test_fisher_information_of_parameters_that_training_had_frozen(grid):
    norms = dict(grid.get_model().backbone[1].named_parameters(prefix="backbone.1"))

    def collect():
        found = collect_statistics(grid, SCENES, images=6, confidence=0.1, fisher_of=norms)
        return {name: values.tolist() for name, values in found.fisher.items()}

    expected = collect()
    for parameter in norms.values():
        parameter.requires_grad_(False)
    assert collect() == expected
    assert not any(parameter.requires_grad for parameter in norms.values())


def _text(path):
    path.write_text("hello")


def _empty(path):
    path.write_bytes(b"")


def _other_arrays(path):
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


def _pickled(path):
    with path.open("wb") as file:
        np.savez(file, about=np.array([{"format": 1}], dtype=object))


def _torn(path):
    _other_arrays(path)
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("write", [_text, _empty, _other_arrays, _pickled, _torn, lambda path: path.mkdir()])
def test_what_is_no_such_file_is_said_in_one_line(write, tmp_path):
    path = tmp_path / "s.npz"
    write(path)
    with pytest.raises(StatisticsError, match="not a file of source statistics") as error:
        SourceStatistics.read(path)
    assert "anydet ttt-statistics" in error.value.fix
    with pytest.raises(StatisticsError, match="no such file"):
        SourceStatistics.read(tmp_path / "absent.npz")


def test_one_image_has_no_variance(grid):
    with pytest.raises(OptionError, match="1 image to take statistics of"):
        collect_statistics(grid, SCENES, images=1)


def test_the_divergence_is_that_of_normal_distributions():
    moments = Moments(torch.tensor([0.0, 1.0]), torch.tensor([4.0, 4.0]))
    other = torch.tensor([2.0, 1.0])
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(other, 2.0), torch.distributions.Normal(moments.mean, 2.0)
    ).mean()
    assert float(moments.divergence(other)) == pytest.approx(float(expected), rel=2e-3)


def test_features_of_objects_are_those_inside_their_boxes():
    level = torch.zeros(1, 2, 8, 8)
    level[0, 0, :, :4], level[0, 1, :, 4:] = 1.0, 5.0
    boxes = torch.tensor([[[0.0, 0.0, 24.0, 32.0], [40.0, 0.0, 64.0, 64.0], [0.0, 0.0, 64.0, 64.0]]])
    logits = torch.tensor([[[-9.0, 9.0, 0.0], [-9.0, 0.0, 9.0], [9.0, 0.0, 0.0]]])
    rows = ClassLogits(logits, torch.ones(1, 3, dtype=torch.bool), "softmax", 0, boxes=boxes)
    features, ids = object_features(level, rows, torch.zeros(1, 3, 64, 64), 0.5)
    torch.testing.assert_close(features, torch.tensor([[1.0, 0.0], [0.0, 5.0]]))
    assert ids.tolist() == [0, 1]
    means, counts = class_means(features, ids, 3)
    assert counts.tolist() == [1, 1, 0]
    assert means[2].tolist() == [0, 0]


def test_statistics_of_another_checkpoint_are_refused(grid, tmp_path):
    about = {"adapter": "grid", "checkpoint_sha256": "of another one"}
    found = collect_statistics(grid, SCENES, images=2, about=about)
    with pytest.raises(StatisticsError, match="of another checkpoint than None"):
        found.require_written_for(grid, "s.npz")
    collect_statistics(grid, SCENES, images=2, about={"checkpoint_sha256": None}).require_written_for(
        grid, "s"
    )
