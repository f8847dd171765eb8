"""Who wins among flags, config file and defaults, what is refused, and how a refusal reads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from anydet.errors import OptionError, PluginError
from anydet.training.config.config_file import open_config, packaged_configs, write_config
from anydet.training.config.keys import OTHER_NAMES, engine_properties
from anydet.training.config.resolve import ADAPTER, ENGINE, FILE, FLAG, NO_LIMIT, resolve
from anydet.training.config.settings import SECTIONS, TrainSettings

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "lr": {"default": 0.5},
        "weight_decay": {"default": 0.25},
        "momentum": {"default": 0.125},
        "num_queries": {"type": "integer", "minimum": 1, "default": 10, "description": "Queries."},
        "mean": {"type": "array", "items": {"type": "number"}, "description": "Mean."},
        "use_matcher": {"type": "boolean", "default": False, "description": "Match."},
        "model": {
            "type": "object",
            "description": "The network.",
            "additionalProperties": False,
            "properties": {"backbone": {"type": "object", "properties": {"name": {"type": "string"}}}},
        },
    },
}


def settle(flags=None, config=None, *, schema=SCHEMA, base=None):
    return resolve(flags or {}, config, schema, adapter_name="grid", base=base)


@pytest.fixture
def config(tmp_path):
    """Writes a config file; gives its path."""

    def write(text, name="train.yaml"):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return path

    return write


def test_flags_beat_the_file_which_beats_the_adapter_which_beats_the_engine(config):
    file = config("lr: 1e-3\nweight_decay: 2e-3\nseed: 7\n")
    resolved = settle({"lr": "1e-4"}, file)
    s = resolved.settings
    assert (s.lr, s.weight_decay, s.momentum, s.batch_size, s.seed) == (1e-4, 2e-3, 0.125, 4, 7)
    keys = ("lr", "weight_decay", "momentum", "batch_size", "seed")
    assert [resolved.origins[key] for key in keys] == [FLAG, FILE, ADAPTER, ENGINE, FILE]
    assert set(resolved.origins) == {*TrainSettings.__struct_fields__, "num_queries", "use_matcher"}


def test_without_anything_the_engines_defaults_hold():
    resolved = settle(schema={})
    lists = {"scheduler_milestones": [], "log_with": [], "self_distill_keys": ["logits", "bbox"]}
    plain = msgspec.structs.replace(TrainSettings(), adapter="grid", **lists)
    assert resolved.settings == plain
    assert set(resolved.origins.values()) == {ENGINE}
    assert not resolved.strict


def test_json_and_yaml_give_the_same(config):
    values = {"lr": 0.003, "num-queries": 30, "model": {"backbone": {"name": "resnet18"}}, "resume": False}
    first = settle(config=config(values, "a.json"))
    assert first == settle(config=config(yaml.safe_dump(values), "a.yaml"))
    assert first.options == {
        "num_queries": 30,
        "use_matcher": False,
        "model": {"backbone": {"name": "resnet18"}},
    }


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"lr": "1e-3"}, {"lr": 1e-3}),
        ({"shuffle": "false"}, {"shuffle": False}),
        ({"scheduler_milestones": "1000,2000"}, {"scheduler_milestones": [1000, 2000]}),
        ({"scheduler_milestones": "[1000, 2000]"}, {"scheduler_milestones": [1000, 2000]}),
        ({"scheduler_milestones": ""}, {"scheduler_milestones": []}),
        ({"log_with": "wandb, tensorboard"}, {"log_with": ["wandb", "tensorboard"]}),
        ({"grad_accum": "8"}, {"gradient_accumulation_steps": 8}),
        ({"dataset-root": "data/coco128"}, {"dataset": "data/coco128"}),
        ({"use_amp": True}, {"amp": "fp16"}),
        ({"use_amp": "true"}, {"amp": "fp16"}),
        ({"use_amp": "false"}, {"amp": "none"}),
        ({"use_amp": "false", "amp": "bf16"}, {"amp": "bf16"}),
        ({"run_id": "7"}, {"run_id": "7"}),
        ({"run_dir": Path("a/b")}, {"run_dir": "a/b"}),
        ({"scheduler_milestones": (3, 9)}, {"scheduler_milestones": [3, 9]}),
    ],
)
def test_text_and_aliases_become_what_the_key_takes(flags, expected):
    settings = settle(flags).settings
    assert {key: getattr(settings, key) for key in expected} == expected


def test_lists_of_the_adapters_own_keys_may_have_commas():
    assert settle({"mean": "0.5,1,2"}).options["mean"] == [0.5, 1, 2]


@pytest.mark.parametrize(
    ("flags", "message", "exit_code"),
    [
        ({"lrr": "1"}, r"--lrr: neither .* adapter 'grid' has this key; did you mean 'lr'\?", 2),
        ({"num_querys": "1"}, r"--num-querys: .* did you mean 'num_queries'\?", 2),
        ({"grad_acum": "1"}, r"did you mean 'grad_accum'\?", 2),
        ({"lr": "fast"}, r"--lr: 'fast' is not of type 'number' \(takes number\)", 1),
        ({"lr": "0"}, "--lr: 0 is less than or equal to the minimum of 0", 1),
        ({"lr": "nan"}, "--lr: ", 1),
        ({"lr": ".inf"}, "--lr: .inf is not finite", 1),
        ({"epochs": "many"}, r"--epochs: 'many' is none of what it takes \(takes integer or null\)", 1),
        ({"batch_size": 2.0}, r"Expected `int`, got `float`.*batch_size", 1),
        ({"optimizer": "adam"}, r"--optimizer: 'adam' is not one of .*; did you mean 'adamw'\?", 1),
        ({"scheduler": "linear"}, "--scheduler: 'linear' is not one of", 1),
        ({"log_with": "wandb,tensorbored"}, r"--log-with: .*takes list of mlflow\|tensorboard\|wandb", 1),
        ({"scheduler_milestones": "a,b"}, "--scheduler-milestones: ", 1),
        ({"use_amp": "yes"}, "--use-amp: True is not one of", 1),
        ({"use_amp": [1]}, "--use-amp: ", 1),
        ({"use_amp": True, "amp": "bf16"}, "--amp and --use-amp set the same key to different values", 1),
        ({"num_queries": "0"}, "--num-queries: 0 is less than the minimum of 1", 1),
        ({"model": {"backbone": {"name": 3}}}, "--model: backbone.name: 3 is not of type 'string'", 1),
        ({"model": {"spine": {}}}, r"--model: no key 'spine' \(known: backbone\)", 1),
    ],
)
def test_a_wrong_value_names_the_flag_and_what_it_takes(flags, message, exit_code):
    with pytest.raises(OptionError, match=message) as caught:
        settle(flags)
    assert caught.value.exit_code == exit_code
    assert caught.value.fix


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"nesterov": True}, "nesterov is a momentum of SGD, not of adamw"),
        ({"nesterov": True, "optimizer": "sgd", "momentum": 0}, "nesterov needs a momentum"),
        ({"ema_eval": True}, "ema_eval evaluates an average that nobody keeps"),
        ({"lora_alpha": 8}, "lora_alpha is a setting of LoRA, which lora_r 0 leaves out"),
        ({"qlora": True}, "qlora is a setting of LoRA"),
        ({"lora_r": 4, "qlora": True, "lora_freeze_base": False}, "qlora quantizes a base that is not"),
        ({"lora_r": 4, "torchao_required": True}, "torchao_required needs something to quantize"),
        ({"si_c": 0.5}, "si_c is a setting of si, which is off"),
        ({"ewc_images": 5}, "ewc_images is a setting of ewc, which is off"),
        ({"derpp_size": 5}, "derpp_size is a setting of derpp, which is off"),
        ({"self_distill_kl": "sym"}, "self_distill_kl is a setting of self_distill_from, which is off"),
        ({"lora_r": 4, "si": True}, "si holds weights near where they were, and LoRA leaves them there"),
        (
            {"compile": True, "self_distill_from": "a", "self_distill_keys": "features"},
            "features looks into the model",
        ),
        ({"scheduler": "multistep"}, "multistep needs its steps"),
        ({"scheduler_milestones": "20,10"}, "not rising steps"),
        ({"scheduler_milestones": "0,10"}, "not rising steps"),
        ({"min_lr": 1.0}, "min_lr 1.0 is above lr 0.5"),
        ({"epochs": None}, "neither epochs nor max_steps"),
        ({"best_metric": "avg_val_loss"}, "is called val_loss"),
        ({"early_stop_patience": 2, "val_every": 0}, "early stopping counts validations"),
        ({"scheduler": "plateau", "val_every": 0}, "plateau looks at validations"),
        ({"run_id": "../there"}, "is not a name"),
        ({"run_id": "a", "run_dir": "b"}, "two places for one run"),
        ({"run_id": "a", "metrics_csv": "m.csv"}, "metrics_csv: under the run contract"),
        ({"run_contract": True, "run_dir": "b"}, "run_dir: under the run contract"),
        ({"config_version": 99}, r"config_version 99 is not known \(known: 1\)"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(flags, message):
    with pytest.raises(OptionError, match=message) as caught:
        settle(flags)
    assert caught.value.fix


@pytest.mark.parametrize(
    "flags",
    [
        {"nesterov": True, "optimizer": "sgd"},
        {"ema_eval": True, "use_ema": True},
        {"scheduler": "multistep", "scheduler_milestones": "10,20"},
        {"epochs": None, "max_steps": 5},
        {"run_dir": "b", "metrics_csv": "m.csv"},
    ],
)
def test_keys_that_fit_each_other_are_taken(flags):
    settle(flags)


@pytest.mark.parametrize(
    ("flags", "strict"),
    [
        ({}, False),
        ({"run_dir": "b"}, False),
        ({"run_contract": False}, False),
        ({"run_contract": True}, True),
        ({"run_id": "a"}, True),
        ({"config_version": 1}, True),
    ],
)
def test_the_keys_of_the_run_contract_switch_strict_mode_on(flags, strict, config):
    assert settle(flags).strict is strict
    assert settle(config=config(flags, "c.json")).strict is strict


@pytest.mark.parametrize(
    ("flags", "schema", "epochs", "origin"),
    [
        ({}, {}, 12, ENGINE),
        ({"max_steps": 5}, {}, None, NO_LIMIT),
        ({"max_steps": 5, "epochs": 3}, {}, 3, FLAG),
        ({"max_steps": 5}, {"properties": {"epochs": {"default": 20}}}, None, NO_LIMIT),
        ({}, {"properties": {"max_steps": {"default": 50}}}, 12, ENGINE),
    ],
)
def test_requested_steps_are_not_cut_by_a_default_of_epochs(flags, schema, epochs, origin, config):
    for resolved in (settle(flags, schema=schema), settle(flags or None, schema=schema)):
        assert resolved.settings.epochs == epochs
        assert resolved.origins["epochs"] == origin
    if flags:
        assert settle(config=config(flags, "c.json"), schema=schema).settings.epochs == epochs


def test_a_flag_with_points_changes_one_entry_of_a_table(config):
    file = config("model: {backbone: {name: tiny}}\n")
    schema = {
        **SCHEMA,
        "properties": {**SCHEMA["properties"], "model": {"type": "object", "default": {"a": 1}}},
    }

    def model(flags, file=None):
        return settle(flags, file, schema=schema).options["model"]

    assert model({"model.b.c": "1e-3", "model.b.d": "x"}) == {"a": 1, "b": {"c": 1e-3, "d": "x"}}
    assert model({"model.backbone.depth": "[1, 2]"}, file) == {"backbone": {"name": "tiny", "depth": [1, 2]}}
    assert model({"model": "{a: 2}", "model.b": True}, file) == {"a": 2, "b": True}
    assert settle({}, file).options["model"] == {"backbone": {"name": "tiny"}}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"lr.x": "3"}, "--lr.x: neither the engine nor adapter 'grid' has this key"),
        ({"model.": "3"}, "--model.: neither"),
        ({".a": "3"}, "--.a: neither"),
        ({"model": "{backbone: {name: x}}", "model.backbone.name.x": "3"}, "no table 'name', but 'x'"),
        ({"model.backbone.name": "3"}, "--model.backbone.name: backbone.name: 3 is not of type 'string'"),
    ],
)
def test_a_flag_with_points_that_leads_nowhere_is_named(flags, message):
    with pytest.raises(OptionError, match=re.escape(message)):
        settle(flags)


@pytest.mark.parametrize(
    ("flag", "hint"),
    [
        ("learning_rate", "; its name here is 'lr'"),
        ("backbone", "; its name here is 'model.backbone.name'"),
        ("batch", "; its name here is 'batch_size'"),
        ("imgsz", "has this key"),  # which this adapter has by no name
        ("epoch", "; its name here is 'epochs'"),
        ("momentun", "; did you mean 'momentum'?"),
    ],
)
def test_an_unknown_key_leads_to_what_it_is_called_here(flag, hint):
    with pytest.raises(OptionError) as error:
        settle({flag: "3"})
    assert error.value.problem.endswith(hint)


def test_other_names_of_keys_lead_to_keys_that_some_adapter_or_the_engine_has():
    engine = {name.partition(".")[0] for name in OTHER_NAMES.values()} & set(engine_properties())
    assert set(OTHER_NAMES.values()) - engine == {"image_size", "model.backbone.name"}
    assert not set(OTHER_NAMES) & set(engine_properties())


def test_a_fault_in_a_file_names_file_and_line(config):
    with pytest.raises(OptionError, match=r"train\.yaml:2: lr: 'x' is not of type 'number'"):
        settle(config=config("seed: 1\nlr: x\n"))
    with pytest.raises(OptionError, match=r"train\.yaml:1: sed: neither .* did you mean 'seed'\?"):
        settle(config=config("sed: 1\n"))
    with pytest.raises(OptionError, match=r"gradient_accumulation_steps and .*grad_accum set the same key"):
        settle(config=config("grad_accum: 1\ngradient_accumulation_steps: 2\n"))


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("lr: [1\n", "c.yaml", r"c\.yaml:2: cannot be read: "),
        ("- 1\n", "c.yaml", "expected key: value lines"),
        ("lr: 1\nlr: 2\n", "c.yaml", "'lr' occurs twice"),
        ('{"lr": 1, "lr": 2}', "c.json", "'lr' occurs twice"),
        ("a: {b: {c: 1,\nc: 2}}\n", "c.yaml", r"c\.yaml:2: cannot be read: 'c' occurs twice"),
        ("a: [{c: 1, c: 2}]\n", "c.yaml", "'c' occurs twice"),
        ('{"a": {"b": 1, "b": 2}}', "c.json", "'b' occurs twice"),
        ("[1]", "c.json", "expected an object"),
        ("{", "c.json", r"c\.json: cannot be read"),
        ("lr: !!python/object/apply:os.system [ls]\n", "c.yaml", r"c\.yaml:1: cannot be read"),
        ("origins: 3\n", "c.yaml", "origins: expected key: text lines"),
    ],
)
def test_a_malformed_file_is_an_error_with_the_place(config, text, name, message):
    with pytest.raises(OptionError, match=message):
        open_config(config(text, name))


def test_an_empty_file_sets_nothing(config):
    assert settle(config=config("")) == settle()


@given(st.text(max_size=40))
def test_no_text_makes_reading_a_config_crash(text):
    from anydet.training.config.config_file import read_config

    for name in ("c.yaml", "c.json"):
        try:
            settle(config=read_config(text.encode("utf-8", "surrogatepass"), name))
        except OptionError:
            continue


FLAGS = (
    {},
    {"max_steps": 7},
    {"run_id": "a", "lr": "1e-5", "num_queries": "3", "model": {"backbone": {"name": "x"}}},
    {"log_with": "wandb", "scheduler": "multistep", "scheduler_milestones": "3,9", "device": "cuda:0"},
    {"adapter_options": {"size": "32"}, "val_dataset": "Größe: 3 # x", "use_amp": True},
)


@pytest.mark.parametrize("flags", FLAGS)
def test_a_resolved_config_resolves_to_itself(flags, tmp_path):
    resolved = settle(flags)
    write_config(tmp_path / "config_resolved.yaml", resolved.values, resolved.origins)
    assert settle(config=tmp_path / "config_resolved.yaml") == resolved
    written = yaml.safe_load((tmp_path / "config_resolved.yaml").read_text("utf-8"))
    assert {*written} - {"origins"} == {*resolved.origins} == {*written["origins"]}


@pytest.fixture
def stored(tmp_path):
    """The resolved config of a run that was begun."""

    def begin(flags, config=None):
        resolved = settle(flags, config)
        write_config(tmp_path / "config_resolved.yaml", resolved.values, resolved.origins)
        return open_config(tmp_path / "config_resolved.yaml")

    return begin


def test_a_run_goes_on_with_its_own_settings(stored, config):
    file = config("lr: 0.01\nepochs: 3\n")
    base = stored({"num_queries": 5, "epochs": 4}, file)
    again = settle({"resume": True}, base=base)
    assert (again.settings.lr, again.settings.epochs, again.options["num_queries"]) == (0.01, 4, 5)
    assert again.settings.resume
    assert not again.values["resume"]
    with_file = settle({"resume": True}, file, base=base)
    assert with_file.settings.epochs == 4, "what was a flag goes before the file"


def test_a_run_that_goes_on_may_be_longer_but_not_another(stored):
    base = stored({"lr": 0.01})
    longer = settle({"epochs": "20", "num_workers": 0, "lr": "0.01", "log_with": "wandb"}, base=base)
    assert (longer.settings.epochs, longer.settings.num_workers) == (20, 0)
    with pytest.raises(OptionError, match=r"lr 0.01, not 0.02 \(--lr\); num_queries 10, not 11") as caught:
        settle({"lr": "0.02", "num_queries": "11", "epochs": 20}, base=base)
    assert "seed" not in caught.value.problem


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with config files; gives a training schema that names them."""
    folder = tmp_path / "packaged_configs" / "configs"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "base.json").write_text('{"lr": 0.75}')
    (folder / "large.yaml").write_text("lr: 0.875\n")
    (folder / "notes.txt").write_text("lr: 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    return {**SCHEMA, "x-configs": "packaged_configs:configs"}


def test_an_adapters_package_brings_configs_by_name(package):
    assert set(packaged_configs(package)) == {"base.json", "large.yaml"}
    assert settle(config="base", schema=package).settings.lr == 0.75
    assert settle(config="large.yaml", schema=package).settings.lr == 0.875
    with pytest.raises(OptionError, match=r"the adapter brings base, large\); did you mean 'large'\?"):
        settle(config="larg", schema=package)
    with pytest.raises(OptionError, match="brings none of its own"):
        settle(config="base")


def test_a_schema_that_names_no_folder_is_the_packages_fault():
    with pytest.raises(PluginError, match="x-configs"):
        packaged_configs({"x-configs": "no_such_package:configs"})


def test_every_key_of_the_engine_is_described_and_belongs_to_a_section():
    assert all(part["description"] and "default" in part for part in engine_properties().values())
    assert next(iter(engine_properties())) == next(iter(SECTIONS))
    assert set(SECTIONS) <= set(engine_properties())
