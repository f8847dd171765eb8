"""Options of test-time augmentation and training, and the plain data that they describe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from anydet.arguments import MOST_INTEGER
from anydet.commands.completion import complete_names
from anydet.commands.numbers import FiniteRange, read_numbers, read_words
from anydet.commands.paths import INPUT, OUTPUT
from anydet.plugins.specs import UPDATE_FILTERS

if TYPE_CHECKING:
    from anydet.plugins.manager import Plugins
    from anydet.prediction.choices import TTA, TTT, Perturbation

_F = TypeVar("_F", bound=Callable[..., Any])
_TTT_FIELDS = (
    "preset",
    "reset",
    "steps",
    "batch_size",
    "lr",
    "max_batches",
    "update_filter",
    "include",
    "exclude",
    "seed",
)
"""Fields of ``TTTSettings`` that are flags of the same names."""


# None of these has a default of its own, so that a flag that was given without effect can be refused.
_TTA = (
    click.option("--tta", is_flag=True, help="Test-time augmentation: predict several views and fuse them."),
    click.option(
        "--tta-mode",
        type=click.Choice(["views", "prediction"]),
        help="views predicts several views of each image and fuses them; prediction mirrors single "
        "detections by chance after they were predicted, which probes robustness and improves nothing; "
        "implies --tta.  "
        "[default: views]",
    ),
    click.option(
        "--tta-views",
        metavar="NAME,NAME:VALUE,...",
        shell_complete=complete_names("views", separator=","),
        help="Views, such as original,hflip,slice:512; see 'anydet adaptation list'; implies --tta.  "
        "[default: original,random_hflip]",
    ),
    click.option(
        "--tta-fusion",
        metavar="NAME",
        shell_complete=complete_names("fusions"),
        help="How the results of the views become one.  [default: wbf]",
    ),
    click.option(
        "--tta-weights",
        metavar="W,W,...",
        callback=read_numbers,
        help="Weight of each view in the fusion.  [default: 1 each]",
    ),
    click.option(
        "--tta-option",
        "tta_options",
        multiple=True,
        metavar="NAME.KEY=VALUE",
        help="Option of a view or of the fusion, see 'anydet adaptation show NAME'; repeatable.",
    ),
    click.option(
        "--tta-seed",
        type=click.IntRange(0, MOST_INTEGER),
        help="Seed of random views, or of --tta-mode prediction.  [default: 0]",
    ),
    click.option(
        "--tta-flip-prob",
        type=FiniteRange(0, 1),
        help="Probability that random_hflip mirrors an image, or --tta-mode prediction a detection.  "
        "[default: 0.5]",
    ),
    click.option(
        "--tta-norm-only",
        is_flag=True,
        help="With --tta-mode prediction, mirror only what is in fractions of the image: boxes and "
        "keypoints, not masks and poses.",
    ),
)

_TTT = (
    click.option("--ttt", is_flag=True, help="Test-time training before each chunk of images is predicted."),
    click.option(
        "--ttt-method",
        metavar="NAME",
        shell_complete=complete_names("ttt_methods"),
        help="Method of test-time training, see 'anydet adaptation list'; implies --ttt.  "
        "[default: that of the preset, else tent]",
    ),
    click.option(
        "--ttt-preset",
        metavar="NAME",
        help="Preset of a method's settings: safe (tent), adapter_only, norm_safe, mim_safe, eata_safe, "
        "sar_safe, cotta_safe, align_safe; implies --ttt.",
    ),
    click.option(
        "--ttt-reset",
        type=click.Choice(["sample", "stream"]),
        help="sample restores the model before each chunk, stream lets updates accumulate.  "
        "[default: sample]",
    ),
    click.option("--ttt-steps", type=click.IntRange(1, MOST_INTEGER), help="Optimizer steps per batch."),
    click.option(
        "--ttt-batch-size",
        type=click.IntRange(1, MOST_INTEGER),
        help="Images per step; a chunk holds at least as many.",
    ),
    click.option(
        "--ttt-update-filter",
        type=click.Choice(UPDATE_FILTERS),
        help="Parameters that may change.",
    ),
    click.option(
        "--ttt-include",
        metavar="PATTERN,...",
        callback=read_words,
        help="Parts (backbone, neck, head), modules or wildcards that may change.",
    ),
    click.option(
        "--ttt-exclude",
        metavar="PATTERN,...",
        callback=read_words,
        help="Parts, modules or wildcards that may not.",
    ),
    click.option(
        "--ttt-mim-mask-prob",
        type=FiniteRange(0, 1, min_open=True, max_open=True),
        help="Fraction of patches that mim hides.",
    ),
    click.option(
        "--ttt-mim-patch-size",
        type=click.IntRange(1, MOST_INTEGER),
        help="Side of a patch of mim, in pixels of the input.",
    ),
    click.option(
        "--ttt-mim-mask-value", type=FiniteRange(-1000, 1000), help="Value of pixels that mim hides."
    ),
    click.option("--ttt-lr", type=FiniteRange(min=0), help="Learning rate of test-time training."),
    click.option(
        "--ttt-max-batches", type=click.IntRange(1, MOST_INTEGER), help="Maximum of batches in the whole run."
    ),
    click.option(
        "--ttt-seed", type=click.IntRange(0, MOST_INTEGER), help="Seed of test-time training.  [default: 0]"
    ),
    click.option(
        "--ttt-source",
        type=click.Path(path_type=Path),
        help="Data set like that which the model was trained on, for methods that use one.",
    ),
    click.option("--ttt-source-split", metavar="NAME", help="Split of --ttt-source."),
    click.option(
        "--ttt-statistics",
        type=INPUT,
        help="File of 'anydet ttt-statistics' about the data that the model was trained on.",
    ),
    click.option(
        "--ttt-log-out",
        type=OUTPUT,
        help="JSON lines to write, one a step of adaptation.",
    ),
    click.option(
        "--ttt-option",
        "ttt_options",
        multiple=True,
        metavar="KEY=VALUE",
        help="Option of the method, see 'anydet adaptation show NAME'; repeatable.",
    ),
)


def adaptation_options(function: _F) -> _F:
    """Decorator: the flags that ``read_tta_flags`` and ``read_ttt_flags`` read."""
    for option in reversed([*_TTA, *_TTT]):
        function = option(function)
    return function


def read_tta_flags(plugins: Plugins, flags: Mapping[str, Any]) -> TTA | Perturbation | None:
    """What the flags of ``--tta`` describe; ``None`` where a command has none, or they are not given."""
    from anydet.prediction.choices import read_tta

    mode = flags.get("tta_mode")
    if not flags.get("tta") and flags.get("tta_views") is None and mode is None:
        _require("--tta", "tta_", flags)
        return None
    if mode == "prediction":
        return _read_perturbation(flags)
    if flags["tta_norm_only"]:
        raise click.UsageError("--tta-norm-only needs --tta-mode prediction")
    views = "original,random_hflip" if flags["tta_views"] is None else flags["tta_views"]
    options = _split_options(flags["tta_options"])
    _add_flip_prob(options, views, flags["tta_flip_prob"])
    return read_tta(
        views,
        plugins,
        fusion="wbf" if flags["tta_fusion"] is None else flags["tta_fusion"],
        weights=flags["tta_weights"] or (),
        seed=flags["tta_seed"] or 0,
        options=options,
    )


def _read_perturbation(flags: Mapping[str, Any]) -> Perturbation:
    from anydet.prediction.choices import Perturbation

    of_views = {name: flags[name] for name in ("tta_views", "tta_fusion", "tta_weights", "tta_options")}
    _require("--tta-mode views: prediction has no views", "tta_", of_views)
    names = ("seed", "flip_prob", "norm_only")
    given = {name: flags[f"tta_{name}"] for name in names if flags[f"tta_{name}"] is not None}
    return Perturbation(**given)


def _add_flip_prob(options: dict[str, dict[str, Any]], views: str, flip_prob: float | None) -> None:
    """Add ``--tta-flip-prob`` to the options; refuse it where no view takes it, or it is stated twice."""
    from anydet.errors import OptionError

    if flip_prob is None:
        return
    if "random_hflip" not in {word.strip().partition(":")[0] for word in views.split(",")}:
        raise OptionError(
            f"--tta-flip-prob is an option of random_hflip, which is not among the views {views!r}",
            fix="add random_hflip to --tta-views, or leave out --tta-flip-prob",
        )
    if "flip_prob" in options.setdefault("random_hflip", {}):
        raise OptionError(
            "--tta-flip-prob and --tta-option random_hflip.flip_prob are the same option",
            fix="leave out one of them",
        )
    options["random_hflip"]["flip_prob"] = flip_prob


def read_ttt_flags(plugins: Plugins, flags: Mapping[str, Any]) -> TTT | None:
    """What the flags of ``--ttt`` describe; ``None`` where a command has none, or they are not given."""
    from anydet.prediction.choices import TTT, method_of_preset
    from anydet.prediction.hooks import TTTSettings

    method, preset = flags.get("ttt_method"), flags.get("ttt_preset")
    if not flags.get("ttt") and method is None and preset is None:
        _require("--ttt", "ttt_", flags)
        return None
    if method is None:
        method = "tent" if preset is None else method_of_preset(preset, plugins, default="tent")
    fields = {name: flags[f"ttt_{name}"] for name in _TTT_FIELDS if flags[f"ttt_{name}"] is not None}
    statistics = flags["ttt_statistics"]
    settings = TTTSettings(
        **fields,
        statistics=None if statistics is None else str(statistics),
        options=_method_options(method, flags),
    )
    source = flags["ttt_source"]
    return TTT(method, settings, None if source is None else str(source), flags["ttt_source_split"]).resolve(
        plugins
    )


def _method_options(method: str, flags: Mapping[str, Any]) -> dict[str, Any]:
    """``--ttt-option``, and the flags that are options of the method mim."""
    from anydet.errors import OptionError
    from anydet.plugins.options import parse_options

    options: dict[str, Any] = dict(parse_options(flags["ttt_options"], "--ttt-option"))
    for name in ("mask_prob", "patch_size", "mask_value"):
        value = flags[f"ttt_mim_{name}"]
        if value is None:
            continue
        flag = f"--ttt-mim-{name.replace('_', '-')}"
        if method != "mim":
            raise OptionError(
                f"{flag} is an option of mim, and the method is {method}",
                fix=f"add --ttt-method mim, or leave out {flag}",
            )
        if name in options:
            raise OptionError(
                f"{flag} and --ttt-option {name} are the same option", fix="leave out one of them"
            )
        options[name] = value
    return options


def _require(switch: str, prefix: str, flags: Mapping[str, Any]) -> None:
    """Refuse flags that would do nothing without the switch of their group."""
    for name, value in flags.items():
        if name.startswith(prefix) and value is not False and value not in (None, ()):
            flag = name.replace("_options", "_option").replace("_", "-")
            raise click.UsageError(f"--{flag} needs {switch}")


def _split_options(pairs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """``NAME.key=value`` to the options of each name."""
    from anydet.errors import OptionError
    from anydet.plugins.options import given_twice, parse_options

    options: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        # A value may have dots, too.
        stated, equals, value = pair.partition("=")
        name, dot, key = map(str.strip, stated.rpartition("."))
        if not (name and dot and key and equals):
            raise OptionError(
                f"--tta-option {pair!r} is not NAME.key=value",
                fix=f"write --tta-option {name or 'NAME'}.{key or 'key'}=value",
            )
        known = options.setdefault(name, {})
        for parsed, text in parse_options([f"{key}={value}"]).items():
            if parsed in known:
                raise given_twice("--tta-option", f"{name}.{parsed}", known[parsed], text)
            known[parsed] = text
    return options
