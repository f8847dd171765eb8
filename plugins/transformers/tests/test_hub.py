"""Models of the hub: of the local cache, or one message at once."""

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("transformers")

import httpx2
import huggingface_hub
from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError

from anydet.errors import TrainingError
from anydet.types import AdapterSettings
from anydet_transformers import hub
from anydet_transformers.adapter import Transformers

NAME = "somebody/some-detector"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache; what asks the network is an error of the test."""

    def asked(*_args, **_kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    whole = hub.snapshot_download
    monkeypatch.setattr(
        hub, "snapshot_download", lambda name, **more: whole(name, cache_dir=tmp_path, **more)
    )
    monkeypatch.setattr(hub.HfApi, "model_info", asked)
    return tmp_path


def refuse(monkeypatch, error):
    def no_info(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(hub.HfApi, "model_info", no_info)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (httpx2.ConnectError("[Errno -2] Name or service not known"), "the hub cannot be reached"),
        (TimeoutError("no answer within 8 s"), "no answer within 8 s"),
        (OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE forbids downloads"),
    ],
)
def test_without_network_one_message_says_what_to_do(cache, monkeypatch, error, problem):
    refuse(monkeypatch, error)
    with pytest.raises(TrainingError, match=problem) as refused:
        Transformers(AdapterSettings(checkpoint=NAME))
    assert "not in the local cache" in refused.value.problem
    assert "give its folder" in refused.value.fix


def test_a_model_that_the_hub_does_not_have_is_named(cache, monkeypatch):
    response = httpx2.Response(404, request=httpx2.Request("GET", "https://huggingface.co"))
    refuse(monkeypatch, RepositoryNotFoundError("404", response=response))
    with pytest.raises(TrainingError, match="no such model"):
        Transformers(AdapterSettings(checkpoint=NAME))


def test_a_hub_that_never_answers_is_given_up(monkeypatch):
    import threading

    never = threading.Event()
    with pytest.raises(TimeoutError, match="no answer"):
        hub._within(0.01, never.wait)
    never.set()


def test_an_error_of_the_hub_reaches_the_caller():
    def fails():
        raise OSError("no route")

    with pytest.raises(OSError, match="no route"):
        hub._within(60, fails)


@pytest.mark.slow
def test_a_model_in_the_cache_is_read_without_network(cache, saved_folder):
    snapshot = cache / "models--somebody--some-detector" / "snapshots" / "0123"
    shutil.copytree(saved_folder("yolos"), snapshot)
    refs = cache / "models--somebody--some-detector" / "refs"
    refs.mkdir()
    (refs / "main").write_text("0123")
    adapter = Transformers(AdapterSettings(checkpoint=NAME))
    assert adapter.classes.names == ("circle", "square", "star")


def test_a_path_that_is_not_there_is_no_name_of_the_hub():
    with pytest.raises(TrainingError, match="no such checkpoint"):
        Transformers(AdapterSettings(checkpoint="runs/one/checkpoints/best.pt"))
