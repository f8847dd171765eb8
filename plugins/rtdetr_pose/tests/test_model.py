from __future__ import annotations

import pytest
from msgspec.structs import replace

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow  # importing transformers takes seconds

from anydet.errors import OptionError, TrainingError
from anydet_rtdetr_pose.architecture import Heads, read_architecture, read_model, read_size

IMAGES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
LABELS = [
    {
        "class_labels": torch.tensor([1, 2]),
        "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.3, 0.3, 0.1, 0.1]]),
    },
    {"class_labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)},
]


@pytest.fixture(scope="module")
def model(tiny_architecture):
    from anydet_rtdetr_pose.model import PoseDetector

    torch.manual_seed(0)
    return PoseDetector(tiny_architecture(heads=Heads(uncertainty=True, keypoints=3)))


def test_every_decoder_layer_predicts_class_box_and_pose(model):
    outputs = model.eval()(IMAGES)
    shape = (2, 2, 12)
    assert outputs.logits.shape == (*shape, len(model.architecture.classes))
    assert outputs.boxes.shape == (*shape, 4)
    sizes = {"log_z": 1, "rot6d": 6, "offsets": 2, "log_sigma_z": 1, "log_sigma_rot": 1, "keypoints": 9}
    assert {name: tuple(values.shape) for name, values in outputs.heads.items()} == {
        name: (*shape, size) for name, size in sizes.items()
    }
    assert outputs.camera.shape == (2, 4)
    assert outputs.proposal_logits.shape == (2, 12, len(model.architecture.classes))


def test_heads_of_any_width_are_built_without_a_warning(tiny_architecture):
    from anydet_rtdetr_pose.model import PoseDetector

    tiny = tiny_architecture()
    projector = replace(tiny.model.projector, d_model=24)
    transformer = replace(tiny.model.transformer, attention_heads=4)
    model = replace(tiny.model, projector=projector, transformer=transformer)
    assert PoseDetector(tiny_architecture(model=model)).eval()(IMAGES).logits.shape[2] == 12


def test_denoising_queries_are_split_from_the_others_in_every_output(model):
    outputs = model.train()(IMAGES, LABELS)
    noisy, others = outputs.split()
    assert noisy.logits.shape[2] == outputs.denoising.queries > 0
    assert others.logits.shape[2] == others.heads["rot6d"].shape[2] == 12
    assert len(outputs.denoising.positives[0]) == 2 * outputs.denoising.groups
    assert len(outputs.denoising.positives[1]) == 0


def test_a_batch_without_objects_has_no_denoising_queries(model):
    outputs = model.train()(IMAGES, [LABELS[1], LABELS[1]])
    assert outputs.denoising is None
    assert outputs.split()[0] is None


def test_from_scratch_norms_pass_features_on_and_classes_begin_rare(model):
    norms = [m for m in model.detector.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) > 10
    assert all(torch.equal(norm.weight, torch.ones_like(norm.weight)) for norm in norms)
    assert model.detector.model.decoder.class_embed[0].bias.sigmoid().max().item() == pytest.approx(0.01)


def test_poses_begin_upright_at_a_meter_in_the_middle_of_their_box(model):
    outputs = model.eval()(IMAGES)
    assert outputs.heads["log_z"].abs().max() < 0.1
    assert torch.allclose(
        outputs.heads["rot6d"], torch.tensor([1.0, 0, 0, 0, 1, 0]).expand_as(outputs.heads["rot6d"]), atol=0.1
    )


def test_all_parameters_learn(model):
    outputs = model.train()(IMAGES, LABELS)
    values = [outputs.logits, outputs.boxes, outputs.proposal_logits, outputs.proposal_boxes, outputs.camera]
    sum(value.square().sum() for value in (*values, *outputs.heads.values())).backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    model.zero_grad(set_to_none=True)
    assert not without


def test_an_architecture_comes_back_from_its_description(model):
    described = read_architecture(model.architecture.description(), source="test")
    assert described == model.architecture


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"backbone": {"nam": "x"}}, "nam"),
        ({"backbone": {"norm": "layer"}}, "layer"),
        ({"projector": {"d_model": 100}, "transformer": {"attention_heads": 8}}, "is not divisible by"),
        ({"projector": {"d_model": "wide"}}, "projector.d_model"),
    ],
)
def test_mistakes_in_the_key_model_are_explained(values, problem):
    with pytest.raises(OptionError, match=problem):
        read_model(values)


def test_sides_of_inputs_are_multiples_of_32():
    assert read_size(96) == (96, 96)
    assert read_size([96, 64]) == (96, 64)
    with pytest.raises(OptionError, match="multiples of 32"):
        read_size(100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small random RT-DETRv2 as ``save_pretrained`` writes it."""
    from transformers import RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

    backbone = RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8] * 4, depths=[1] * 4, layer_type="bottleneck", out_indices=[2, 3, 4]
    )
    config = RTDetrV2Config(
        backbone_config=backbone,
        d_model=32,
        encoder_hidden_dim=32,
        encoder_in_channels=[8] * 3,
        decoder_in_channels=[32] * 3,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        decoder_layers=2,
        num_queries=12,
        id2label={0: "zebra", 1: "cube", 2: "cup"},
        label2id={"zebra": 0, "cube": 1, "cup": 2},
    )
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("published")
    RTDetrV2ForObjectDetection(config).save_pretrained(path)
    return path


def test_a_published_folder_gives_its_weights_and_the_classes_of_the_same_name(folder, tiny_architecture):
    from transformers import RTDetrV2ForObjectDetection

    from anydet_rtdetr_pose.model import PoseDetector
    from anydet_rtdetr_pose.published import read_published

    theirs = RTDetrV2ForObjectDetection.from_pretrained(folder).eval()
    ours, _ = read_published(str(folder)).start(tiny_architecture(classes=("cup", "vase", "zebra")))
    ours.eval()
    expected = theirs.model(IMAGES)
    found = ours(IMAGES)
    state, own = theirs.state_dict(), ours.detector.state_dict()
    assert all(
        torch.equal(own[key], value)
        for key, value in state.items()
        if value.shape == own[key].shape and "class_embed" not in key and "enc_score" not in key
    )
    weight = "model.decoder.class_embed.0.weight"
    assert torch.equal(own[weight][[0, 2]], state[weight][[2, 0]])
    memory = zip(
        expected.encoder_last_hidden_state, ours.detector.model(IMAGES).encoder_last_hidden_state, strict=True
    )
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in memory)  # another order in memory
    rebuilt = PoseDetector(read_architecture(ours.architecture.description(), source="test"))
    rebuilt.load_state_dict(ours.state_dict())
    assert torch.equal(rebuilt.eval()(IMAGES).logits, found.logits)


@pytest.mark.parametrize("weights", ["nobody/no-such-model", "/no/such/folder"])
def test_weights_that_cannot_be_had_are_explained(weights, monkeypatch):
    from anydet_rtdetr_pose.published import read_published

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(TrainingError, match=weights) as caught:
        read_published(weights)
    assert "folder" in caught.value.fix


def test_weights_of_another_kind_of_model_are_refused(tmp_path):
    from anydet_rtdetr_pose.published import read_published

    (tmp_path / "config.json").write_text('{"model_type": "detr"}')
    with pytest.raises(TrainingError, match="'detr', not 'rt_detr_v2'"):
        read_published(str(tmp_path))


def test_features_are_the_levels_of_backbone_and_hybrid_encoder(model):
    model.eval()
    with torch.no_grad():
        found = model.features(IMAGES)
        states = model.detector.model(IMAGES).encoder_last_hidden_state
        levels = model.backbone(IMAGES, torch.ones_like(IMAGES[:, 0]))
    assert list(found) == [f"{group}.stride{s}" for group in ("backbone", "neck") for s in (8, 16, 32)]
    for stride, state, (level, _) in zip((8, 16, 32), states, levels, strict=True):
        torch.testing.assert_close(found[f"neck.stride{stride}"], state)
        torch.testing.assert_close(found[f"backbone.stride{stride}"], level)
