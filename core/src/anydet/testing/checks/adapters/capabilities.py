"""Honesty: what the spec says is what the class does, both ways."""

from __future__ import annotations

import inspect

from jsonschema import Draft202012Validator

from anydet.errors import AnydetError, UnsupportedError
from anydet.plugins.adapter import Adapter
from anydet.plugins.api import API_VERSION
from anydet.plugins.options import load_schema
from anydet.plugins.specs import CAPABILITIES
from anydet.testing.checks.adapters.subject import AdapterSubject


def declared_capabilities_are_implemented(subject: AdapterSubject) -> None:
    """Every method that a declared capability stands for is overridden, and does not refuse to work."""
    with subject.adapter() as adapter:
        for capability in subject.spec.capabilities:
            for method in CAPABILITIES[capability]:
                assert _overrides(adapter, method), (
                    f"it declares {capability!r} without {method}(); implement it, or take {capability!r} "
                    "out of the AdapterSpec"
                )
        for method in ("get_model", "export_spec"):  # those that need no input
            if any(method in CAPABILITIES[c] for c in subject.spec.capabilities):
                try:
                    getattr(adapter, method)()
                except UnsupportedError as exc:
                    raise AssertionError(
                        f"{method}() refuses: {exc.problem}; take it out of the spec"
                    ) from exc


def implemented_capabilities_are_declared(subject: AdapterSubject) -> None:
    """Every method that is overridden belongs to a declared capability."""
    with subject.adapter() as adapter:
        methods = {method for methods in CAPABILITIES.values() for method in methods}
        for method in sorted(methods):
            owners = [c for c, needed in CAPABILITIES.items() if method in needed]
            assert not _overrides(adapter, method) or set(owners) & set(subject.spec.capabilities), (
                f"it implements {method}() without declaring {' or '.join(map(repr, owners))}; add it to the "
                "AdapterSpec, so that commands can find it"
            )


def methods_take_the_arguments_of_the_border(subject: AdapterSubject) -> None:
    """Each method that is overridden takes the arguments with which ``Adapter`` has it."""
    with subject.adapter() as adapter:
        for method in sorted({method for methods in CAPABILITIES.values() for method in methods}):
            border = inspect.signature(getattr(Adapter, method))
            own = inspect.signature(getattr(type(adapter), method))
            by_name = [p.name for p in border.parameters.values() if p.kind is p.KEYWORD_ONLY]
            try:
                own.bind(
                    *(name for name in border.parameters if name not in by_name), **dict.fromkeys(by_name)
                )
            except TypeError as exc:
                raise AssertionError(
                    f"{method}{own} is called as {method}{border}: {exc}; see the changes in plugin API "
                    f"{API_VERSION}, docs/reference/plugin-api.md"
                ) from exc


def schemas_describe_the_options(subject: AdapterSubject) -> None:
    """The option schemas can be read, refuse unknown keys, describe each key, and allow their defaults."""
    from anydet.training.config.keys import described_schema

    spec = subject.spec
    for reference, describe in ((spec.options_schema, dict), (spec.training_schema, described_schema)):
        try:
            schema = describe(load_schema(reference))
        except AnydetError as exc:
            raise AssertionError(f"{exc.problem}; ship it inside the package") from exc
        assert schema.get("additionalProperties") is False, (
            f"{reference} lets misspelled keys pass; set additionalProperties to false"
        )
        validator = Draft202012Validator(schema)
        for key, option in schema.get("properties", {}).items():
            assert option.get("description"), f"{reference}: {key} has no description; say what it does"
            fits = "default" not in option or validator.evolve(schema=option).is_valid(option["default"])
            assert fits, f"{reference}: the default of {key} breaks its own schema: {option.get('default')!r}"


def _overrides(adapter: Adapter, method: str) -> bool:
    return getattr(type(adapter), method) is not getattr(Adapter, method)


CHECKS = (
    declared_capabilities_are_implemented,
    implemented_capabilities_are_declared,
    methods_take_the_arguments_of_the_border,
    schemas_describe_the_options,
)
