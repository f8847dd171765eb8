"""Zero-shot detectors look for what texts describe, as the library's own processors say."""

from __future__ import annotations

import string

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from PIL import Image

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.data.scenes.shape_scenes import render_scene
from anydet.errors import OptionError, TrainingError
from anydet.geometry.boxes import area_xyxy, clip_xyxy
from anydet.testing.comparison import Tolerance, first_difference
from anydet.types import AdapterSettings, ImagePredictions
from anydet_transformers.adapter import Transformers
from anydet_transformers.untrained import describe

PROMPTS = ("cat", "red dog")
FLOOR = 0.02
_LETTERS = [*string.ascii_lowercase, ",", "."]
_WORDS = ["cat", "dog", "red", "detect", ",", "."]
_BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS]
_CLIP = [*_LETTERS, *(f"{letter}</w>" for letter in _LETTERS), "<|startoftext|>", "<|endoftext|>"]
"""The end of a text has the highest number, by which models find it."""
_LAYER = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
_TEXT = {
    **_LAYER,
    "vocab_size": len(_CLIP),
    "max_position_embeddings": 77,
    "bos_token_id": len(_CLIP) - 2,
    "eos_token_id": len(_CLIP) - 1,
    "pad_token_id": len(_CLIP) - 1,
}
_OWL = {
    "text_config": {**_TEXT, "max_position_embeddings": 16},
    "vision_config": {**_LAYER, "image_size": 64, "patch_size": 16},
    "projection_dim": 16,
}
_SWIN = {
    "model_type": "swin",
    "image_size": 64,
    "embed_dim": 8,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 2,
    "out_features": ["stage2", "stage3", "stage4"],
}
_DINO = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "num_queries": 8,
    "max_text_len": 32,
    "backbone_config": _SWIN,
    "text_config": {"model_type": "bert", **_LAYER, "vocab_size": len(_BERT), "max_position_embeddings": 64},
    "disable_custom_kernels": True,
}
_OMDET = {
    "text_config": {"model_type": "clip_text_model", "projection_dim": 16, **_TEXT},
    "backbone_config": _SWIN,
    "apply_layernorm_after_vision_backbone": False,
    "image_size": 64,
    "text_projection_in_dim": 16,
    "text_projection_out_dim": 16,
    "task_encoder_hidden_dim": 16,
    "class_embed_dim": 16,
    "num_queries": 8,
    "encoder_hidden_dim": 32,
    "vision_features_channels": [32, 32, 32],
    "encoder_in_channels": [16, 32, 64],
    "encoder_attention_heads": 2,
    "encoder_dim_feedforward": 16,
    "decoder_hidden_dim": 32,
    "decoder_num_heads": 2,
    "decoder_num_layers": 1,
    "decoder_dim_feedforward": 16,
    "decoder_num_points": 2,
    "disable_custom_kernels": True,
}
_SQUARE = {"size": {"height": 64, "width": 64}}
_SHORT = {"size": {"shortest_edge": 128, "longest_edge": 192}}
MODELS = {
    "owlvit": (_OWL, "OwlViTProcessor", "OwlViTImageProcessor", _SQUARE),
    "owlv2": (_OWL, "Owlv2Processor", "Owlv2ImageProcessor", _SQUARE),
    "grounding-dino": (_DINO, "GroundingDinoProcessor", "GroundingDinoImageProcessor", _SHORT),
    "mm-grounding-dino": (_DINO, "GroundingDinoProcessor", "GroundingDinoImageProcessor", _SHORT),
    "omdet-turbo": (_OMDET, "OmDetTurboProcessor", "DetrImageProcessor", {**_SQUARE, "do_pad": False}),
}


@pytest.fixture(scope="session")
def prompted(tmp_path_factory):
    """Folder of a tiny zero-shot detector, by ``save_pretrained`` of model and processor."""
    made = {}

    def make(name):
        if name not in made:
            values, processor, image_processor, image = MODELS[name]
            made[name] = tmp_path_factory.mktemp(name)
            with torch.random.fork_rng([]):
                torch.manual_seed(0)
                config = transformers.AutoConfig.for_model(name, **values)
                model = transformers.AutoModelForZeroShotObjectDetection.from_config(config)
            model.save_pretrained(made[name])
            getattr(transformers, processor)(
                image_processor=getattr(transformers, image_processor)(**image),
                tokenizer=bert() if "dino" in name else clip(16 if "owl" in name else 77),
            ).save_pretrained(made[name])
        return made[name]

    return make


def bert():
    return transformers.BertTokenizer(vocab={word: number for number, word in enumerate(_BERT)})


def clip(longest):
    return transformers.CLIPTokenizer(
        vocab={token: number for number, token in enumerate(_CLIP)}, merges=[], model_max_length=longest
    )


def images():
    return [render_scene(3, number, size).image for number, size in enumerate(((96, 64), (96, 64), (97, 80)))]


def library_says(folder, key, image):
    """What model and processor of the library find in one image alone; words become numbers of prompts."""
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    inputs = processor(images=Image.fromarray(image), text=[list(PROMPTS)], return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    height, width = image.shape[:2]
    words = {"text_threshold": 0.0} if hasattr(outputs, "input_ids") else {"text_labels": [list(PROMPTS)]}
    (found,) = processor.post_process_grounded_object_detection(
        outputs, threshold=FLOOR, target_sizes=[(height, width)], **words
    )
    boxes = clip_xyxy(found["boxes"].double().numpy(), (width, height))
    keep = area_xyxy(boxes) > 0
    return ImagePredictions(
        key,
        (width, height),
        boxes[keep],
        found["scores"].double().numpy()[keep],
        _classes(found, outputs, inputs)[keep],
    )


def _classes(found, outputs, inputs):
    if getattr(outputs, "input_ids", None) is None:
        return found["labels"].numpy().astype(np.int64)
    # "[CLS] cat . red dog . [SEP]": one word of the first prompt, two of the second.
    words = " ".join(_BERT[token] for token in inputs["input_ids"][0])
    assert words == "[CLS] cat . red dog . [SEP]"
    scores = outputs.logits[0].sigmoid()
    kept = scores[scores.max(-1).values > FLOOR]
    return (kept[:, [3, 4]].max(-1).values > kept[:, 1]).numpy().astype(np.int64)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_boxes_are_those_of_the_library_and_classes_the_prompts(name, prompted):
    folder = prompted(name)
    settings = AdapterSettings(
        checkpoint=str(folder), batch_size=3, score_floor=FLOOR, options={"prompts": list(PROMPTS)}
    )
    adapter = Transformers(settings)
    records = [Record(f"{number}.png", ImageArray(image)) for number, image in enumerate(images())]
    found = list(adapter.predict(records))
    said = [library_says(folder, one.image, image) for one, image in zip(found, images(), strict=True)]
    assert adapter.classes.names == PROMPTS
    assert all(len(one) for one in said)
    assert not first_difference(said, found, Tolerance(box_px=1e-4, score=1e-4), floor=FLOOR)


@pytest.mark.slow
def test_a_zero_shot_detector_without_prompts_asks_for_them(prompted):
    with pytest.raises(OptionError, match="none are given") as refused:
        Transformers(AdapterSettings(checkpoint=str(prompted("owlvit"))))
    assert "--option prompts=" in refused.value.fix


@pytest.mark.slow
def test_prompts_for_a_detector_with_classes_are_refused(saved_folder):
    settings = AdapterSettings(checkpoint=str(saved_folder("yolos")), options={"prompts": ["cat"]})
    with pytest.raises(OptionError, match="takes no texts"):
        Transformers(settings)


@pytest.mark.slow
def test_a_zero_shot_detector_is_not_trained(prompted, tiny_run, tmp_path):
    settings = AdapterSettings(checkpoint=str(prompted("owlvit")), options={"prompts": ["cat"]})
    with pytest.raises(TrainingError, match="not trained here"):
        Transformers(settings).train(tiny_run(tmp_path, None))


def test_a_zero_shot_detector_without_weights_has_no_tokenizer():
    with pytest.raises(OptionError, match="need the tokenizer"):
        describe("owlvit")
