"""What is trained on when a task's turn comes."""

from __future__ import annotations

import pytest

from anydet.continual.setting import Method, Setting
from anydet.continual.tasks import open_tasks, seen, training_data, truth_of
from anydet.errors import DatasetError, OptionError

NONE, JOINT = Method("none"), Method("joint", joint=True)


@pytest.fixture
def opened(write, plugins):
    """Opens the tasks of a setting."""

    def make(**keys):
        return open_tasks(Setting.read(write(**keys), plugins), plugins)

    return make


def labeled(dataset):
    """Image -> names of classes that have an annotation there."""
    found = {}
    for record in dataset:
        found[record.key] = {dataset.classes.names[c] for c in record.labels.class_ids.tolist()}
    return found


def test_groups_are_labeled_one_after_the_other(opened):
    first, second = tasks = opened()
    names = first.training.classes.names
    assert [task.name for task in tasks] == ["classes-1-3", "classes-4-6"]
    assert first.classes + second.classes == names
    assert first.training is second.training
    for number, task in enumerate(tasks):
        data = training_data(tasks, number, NONE, 0)
        # Old classes stay in the table, so that the head keeps their rows.
        assert data.classes.names == names[: 3 * (number + 1)]
        every = labeled(task.training)
        expected = {key: shown & set(task.classes) for key, shown in every.items()}
        assert labeled(data) == {key: shown for key, shown in expected.items() if shown}
        assert labeled(truth_of(task, seen(tasks[: number + 1]))) == {
            key: shown & set(names[: 3 * (number + 1)]) for key, shown in labeled(task.validation).items()
        }


def test_joint_training_has_all_labels(opened):
    tasks = opened()
    every = labeled(tasks[0].training)
    assert labeled(training_data(tasks, 1, JOINT, 0)) == {key: shown for key, shown in every.items() if shown}


def test_domains_are_joined_and_keep_their_classes(opened):
    tasks = opened(class_groups=..., tasks={"clean": None, "fog": {"corruption": "fog:2"}})
    joint = training_data(tasks, 1, JOINT, 0)
    assert len(joint) == 32
    assert {key.partition("/")[0] for key in joint.keys} == {"clean", "fog"}
    assert training_data(tasks, 1, NONE, 0) is tasks[1].training
    assert truth_of(tasks[1], seen(tasks)) is tasks[1].validation
    assert (joint[0].image() != joint[16].image()).any()


def test_replay_is_bounded_seeded_and_repeated(opened):
    tasks = opened(class_groups=[2, 2, 2])
    method = Method("replay", replay=5, replay_repeat=2)

    def replayed(number, seed):
        data = training_data(tasks, number, method, seed)
        kept = {}
        for key in data.keys:
            if key.startswith("replay"):
                part, _, image = key.partition("/")
                kept.setdefault(part, set()).add(image)
        return data, kept

    assert not any(key.startswith("replay") for key in training_data(tasks, 0, method, 0).keys)
    second, of_second = replayed(1, 0)
    assert {len(images) for images in of_second.values()} == {5}
    assert len(of_second) == 2
    assert len({frozenset(images) for images in of_second.values()}) == 1
    third, of_third = replayed(2, 0)
    sizes = {part.partition(" of ")[2]: len(images) for part, images in of_third.items()}
    assert sizes == {"classes-1-2": 3, "classes-3-4": 2}
    # No image comes back that was dropped: what is kept later is a part of what was kept before.
    name = "replay 1 of classes-1-2"
    assert of_third[name] < of_second[name]
    # Labels of the task that an image was seen in, and of no other.
    for key, shown in labeled(third).items():
        task = next((t for t in tasks if key.startswith("replay") and f" of {t.name}/" in key), tasks[2])
        assert shown
        assert shown <= set(task.classes)
    assert replayed(1, 0)[1] == of_second != replayed(1, 7)[1]
    assert second.fingerprint() == replayed(1, 0)[0].fingerprint()


def test_tasks_of_own_classes_are_named(opened):
    tasks = opened(
        class_groups=..., tasks={"a": {"classes": ["circle"]}, "b": {"classes": ["square", "star"]}}
    )
    assert seen(tasks).names == ("circle", "square", "star")
    with pytest.raises(OptionError, match=r"no class 'squar' in .*; did you mean 'square'"):
        opened(class_groups=..., tasks={"a": {"classes": ["squar"]}})


def test_groups_are_not_larger_than_the_data_set(opened):
    with pytest.raises(OptionError, match=r"class_groups: 4 \+ 4 classes, and .* has 6"):
        opened(class_groups=[4, 4])


def test_what_cannot_be_trained_or_evaluated_is_said(opened, write, plugins):
    with pytest.raises(DatasetError, match="no split 'test'"):
        opened(val_split="test")
    with pytest.raises(OptionError, match="nothing to evaluate on"):
        opened(split="val")
