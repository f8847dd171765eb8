"""Calls every entry point of the compiled modules with arguments of real calls, some of them made wrong.

    python arguments.py RUNS SEED CORPUS [RACES]

An entry point is whatever a module exposes. Calls of the engine and the scanner are recorded once; then one
is taken at random, one to three of its arguments are changed, and it is made. It must give a result, the same
with another number of threads, or raise one of ``REFUSALS``; whatever else happens (another exception, an
abort, a finding of a sanitizer) ends the run, and the line ``case SEED:NUMBER`` on stderr says where. Of a
fraction RACES of the calls (0.005), another thread changes the arrays meanwhile.
"""

from __future__ import annotations

import faulthandler
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from anydet.evaluation.analysis.resampling import split_classes
from anydet.evaluation.counted_annotations import CountedAnnotations
from anydet.evaluation.protocol import CocoSettings
from anydet.mask_columns import MaskColumn
from anydet.types import RLE, ClassTable, DetectionColumns, GroundTruthColumns, Labels
from anydet_fasteval import _bootstrap, _engine, _scanner, engine, scanner

MODULES = (_engine, _bootstrap, _scanner)
REFUSALS = (TypeError, ValueError, OverflowError, MemoryError, IndexError, OSError)
NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    15,
    16,
    17,
    63,
    64,
    254,
    255,
    256,
    65535,
    65536,
    2**20,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
HUGE = (2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, -(2**31), -(2**63), -(10**30))
FLOATS = (
    0.0,
    -0.0,
    0.5,
    1.0,
    1.5,
    -1.0,
    1e-320,
    1e6,
    1e308,
    -1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
)
OTHERS: tuple[Any, ...] = (None, True, 1.5, "1", "\0", "\udc80", b"\xff\0", (), [], {}, object(), ..., 1j)


class Call(NamedTuple):
    """One that was made for real; the last arguments have names."""

    name: str
    function: Callable[..., Any]
    args: list[Any]
    names: tuple[str, ...]

    def make(self, args: Sequence[Any]) -> Any:
        """The result with these arguments."""
        first = len(args) - len(self.names)
        return self.function(*args[:first], **dict(zip(self.names, args[first:], strict=True)))


def entry_points() -> dict[str, Any]:
    """All that is exposed, by name of its module and its own."""
    return {
        f"{module.__name__}.{name}": value
        for module in MODULES
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and not _is_exception(value)
    }


def _is_exception(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


class _Recorder:
    """Stands for a module while its calls are recorded."""

    def __init__(self, module: ModuleType, calls: list[Call]) -> None:
        self._module, self._calls = module, calls

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if not callable(value) or _is_exception(value):
            return value

        def call(*args: Any, **named: Any) -> Any:
            full = f"{self._module.__name__}.{name}"
            self._calls.append(Call(full, value, [*args, *named.values()], tuple(named)))
            return value(*args, **named)

        return call


@contextmanager
def recording() -> Iterator[list[Call]]:
    """The calls that the engine and the scanner make meanwhile."""
    calls: list[Call] = []
    package = sys.modules["anydet_fasteval"]
    homes = [(engine, "_engine"), (package, "_bootstrap"), (scanner, "_scanner")]
    for (home, name), module in zip(homes, MODULES, strict=True):
        setattr(home, name, _Recorder(module, calls))
    try:
        yield calls
    finally:
        for (home, name), module in zip(homes, MODULES, strict=True):
            setattr(home, name, module)


def real_calls(corpus: Path) -> list[Call]:
    """Of every entry point, on small problems of all kinds."""
    with recording() as calls:
        for seed in range(3):
            rng = np.random.default_rng(seed)
            problem = _problem(rng)
            for kind in ("bbox", "segm", "boundary", "keypoints"):
                params = CocoSettings(kind, max_detections=(1, 5)).params(3)
                if kind == "keypoints":
                    params = replace(params, keypoint_sigmas=np.array([0.1, 0.5]))
                fast = engine.FastEngine(2)
                matches = fast.match(*problem, params)
                fast.accumulate(matches, params)
            weights = rng.integers(0, 3, (4, 6)).astype(np.int32)
            for rows in split_classes(matches, CountedAnnotations.of(problem[1], params)):
                fast.resampler(rows, weights, params)
            _scanner_calls(corpus, problem[0].masks)
    return calls


def _scanner_calls(corpus: Path, masks: Any) -> None:
    reader = scanner.CompiledScanner(2, block=64, smallest_share=40)
    reader.masks(MaskColumn.of(masks))
    for path in sorted(corpus.iterdir()):
        reader.predictions(path)
        reader.coco_results(path)
        reader.annotations(path)


def _problem(rng: np.random.Generator) -> tuple[DetectionColumns, GroundTruthColumns]:
    """Six images of 12 x 9, with boxes, masks, polygons and keypoints."""
    images, size = tuple("abcdef"), (12, 9)

    def things(count: int) -> tuple[Any, ...]:
        boxes = np.concatenate([rng.integers(0, 6, (count, 2)), rng.integers(1, 5, (count, 2))], axis=1) * 1.0
        points = np.concatenate(
            [boxes[:, None, :2] + np.zeros((1, 2, 1)), np.full((count, 2, 1), 2.0)], axis=2
        )
        codes = tuple(RLE(size[::-1], "".join(_code(box))) for box in boxes.astype(int).tolist())
        return np.sort(rng.integers(0, 6, count)), rng.integers(0, 3, count), boxes, points, codes

    index, classes, boxes, points, codes = things(20)
    shapes = tuple(
        code if i % 2 else (_ring(box),) for i, (code, box) in enumerate(zip(codes, boxes, strict=True))
    )
    areas = boxes[:, 2] * boxes[:, 3]
    labels = Labels(classes, boxes, areas, rng.random(20) < 0.2, segmentations=shapes, keypoints=points)
    sizes = np.tile(size, (6, 1)).astype(np.int64)
    truth = GroundTruthColumns(images, sizes, index, labels, ClassTable(("x", "y", "z")), "fuzz")
    index, classes, boxes, points, codes = things(40)
    scores, areas = rng.random(40), boxes[:, 2] * boxes[:, 3]
    lenient = rng.random(40) < 0.1
    found = DetectionColumns(
        *(images, sizes, index, classes, boxes, scores, areas), masks=codes, keypoints=points, lenient=lenient
    )
    return found, truth


def _code(box: Sequence[int]) -> str:
    """Counts of a box in 12 x 9."""
    from anydet.geometry import masks

    x, y, w, h = box
    pixels = np.zeros((9, 12), np.bool_)
    pixels[y : y + h, x : x + w] = True
    return masks.encode(pixels).counts


def _ring(box: Any) -> tuple[float, ...]:
    x, y, w, h = box.tolist()
    return (x, y, x + w, y, x + w, y + h, x, y + h)


class Mutator:
    """Arguments made wrong, at random."""

    def __init__(self, rng: random.Random, objects: Sequence[Any], folder: Path) -> None:
        self.rng, self.objects, self.folder = rng, objects, folder

    def change(self, value: Any) -> Any:
        """Something in place of an argument."""
        rng = self.rng
        if rng.random() < 0.08:
            return rng.choice(OTHERS)
        if value is None:
            return rng.choice((*FLOATS, *NUMBERS, np.zeros(3, np.uint8)))
        kinds: dict[type, Callable[[Any], Any]] = {
            np.ndarray: self._array,
            bool: lambda flag: not flag,
            int: lambda _: rng.choice(NUMBERS if rng.random() < 0.7 else HUGE),
            float: lambda _: rng.choice(FLOATS),
            list: self._list,
            type(self.folder): self._path,
        }
        return kinds.get(type(value), self._object)(value)

    def _object(self, value: Any) -> Any:
        """Another one of its class, or one that was never initialized."""
        if self.rng.random() < 0.05:
            return type(value).__new__(type(value))
        return self.rng.choice([one for one in self.objects if type(one) is type(value)] or OTHERS)

    def _list(self, value: list[Any]) -> Any:
        pool = FLOATS if value and isinstance(value[0], float) else (*NUMBERS, *HUGE)
        kinds: tuple[Callable[[], Any], ...] = (
            list,
            lambda: value[: self.rng.randrange(len(value) + 1)],
            lambda: [*value, *value],
            lambda: value * self.rng.choice((30, 300, 1000)),
            lambda: value[::-1],
            lambda: [*value, self.rng.choice(pool)],
            lambda: [self.rng.choice(pool) for _ in value],
            lambda: [*value, None],
            lambda: iter(value),
            lambda: [self.rng.choice(pool)],
        )
        return self.rng.choice(kinds)()

    def _path(self, value: Path) -> Any:
        text = bytearray(value.read_bytes())
        for _ in range(self.rng.randrange(1, 4)):
            if text:
                text[self.rng.randrange(len(text))] = self.rng.randrange(256)
        changed = self.folder / f"changed{value.suffix}"
        changed.write_bytes(text[: self.rng.choice((None, self.rng.randrange(len(text) + 1)))])
        missing, nowhere = self.folder / "missing", Path("/dev/zero")
        return self.rng.choice(
            (changed, changed, changed, str(changed), missing, nowhere, self.folder, "\udcff")
        )

    def _array(self, array: Any) -> Any:
        return self._values(array) if self.rng.random() < 0.5 else self._layout(array)

    def _values(self, array: Any) -> Any:
        """The same type and shape, other numbers."""
        changed, rng = array.copy(), self.rng
        flat = changed.reshape(-1)
        if not flat.size:
            return changed
        kind = rng.randrange(4)
        if kind == 0:
            flat[:] = np.frombuffer(rng.randbytes(flat.nbytes), flat.dtype)
        elif kind == 1:
            rng.shuffle(flat)
        else:
            pool = FLOATS if flat.dtype.kind == "f" else (*NUMBERS, *HUGE)
            bits = 8 * flat.dtype.itemsize
            for _ in range(rng.randrange(1, 4)):
                number = rng.choice(pool)
                wrapped = number if flat.dtype.kind == "f" else number % 2**bits
                signed = flat.dtype.kind == "i" and wrapped >= 2 ** (bits - 1)
                flat[rng.randrange(flat.size)] = wrapped - 2**bits if signed else wrapped
        return changed

    def _layout(self, array: Any) -> Any:
        """Another type, shape, order, address or owner."""
        kinds: tuple[Callable[[], Any], ...] = (
            lambda: array[: self.rng.randrange(len(array) + 1)],
            lambda: np.concatenate([array, array]),
            lambda: np.repeat(array, 2, axis=0)[::2],
            lambda: array[::-1],
            lambda: array[..., None],
            lambda: array.reshape(-1)[:1].reshape(()) if array.size else array,
            lambda: np.asfortranarray(array),
            lambda: array.astype(array.dtype.newbyteorder()),
            lambda: array.astype(
                self.rng.choice((np.float32, np.int16, np.complex64, np.bool_, np.object_, "S3"))
            ),
            lambda: _unaligned(array),
            lambda: np.zeros((0, *array.shape[1:]), array.dtype),
            lambda: np.zeros((2**40, *array.shape[1:-1], 0), array.dtype),
            lambda: np.broadcast_to(array[:1], (2**20, *array.shape[1:])) if len(array) else array,
            lambda: _frozen(array),
            lambda: memoryview(np.ascontiguousarray(array)),
            lambda: bytearray(array.tobytes()),
            array.tolist,
            lambda: np.ma.masked_array(array),
            lambda: np.zeros(len(array), [("a", "u1"), ("b", array.dtype)])["b"],
        )
        return self.rng.choice(kinds)()


def _unaligned(array: Any) -> Any:
    return np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:].view(array.dtype).reshape(array.shape)


def _frozen(array: Any) -> Any:
    frozen = array.copy()
    frozen.flags.writeable = False
    return frozen


def attempt(call: Call, args: Sequence[Any]) -> Any:
    """The result, or ``None`` where it is refused as it may be."""
    try:
        return call.make(args)
    except REFUSALS as exc:
        return _message(exc)


def _message(exc: Exception) -> None:
    assert str(exc), f"{type(exc).__name__} without a message"


def repeat(call: Call, args: Sequence[Any], found: Any) -> None:
    """The same call gives the same again, with any number of threads."""
    signature = getattr(call.function, "__nb_signature__", [("",)])[0][0]
    again = [*args[:-1], 3] if "workers: int)" in signature else args
    if not any(isinstance(arg, Iterator) for arg in args):
        assert contents(call.make(again)) == contents(found), "the same call gives something else"


def contents(value: Any) -> Any:
    """A result as plain data; of an object, nothing can be seen."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: contents(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [contents(one) for one in value]
    return value if isinstance(value, str | bytes | bool) else type(value)


def race(call: Call, rng: random.Random) -> None:
    """Two threads make the same call while a third one writes to its arrays."""
    args = [arg.copy() if isinstance(arg, np.ndarray) else arg for arg in call.args]
    arrays = [arg for arg in args if isinstance(arg, np.ndarray) and arg.flags.writeable and arg.size]
    done = Event()

    def write() -> None:
        while not done.is_set():
            for array in arrays:
                array.reshape(-1).view(np.uint8)[:] = np.frombuffer(rng.randbytes(array.nbytes), np.uint8)

    def make() -> None:
        for _ in range(20):
            attempt(call, args)

    threads = [Thread(target=write), Thread(target=make), Thread(target=make)]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join()
    done.set()
    threads[0].join()


def main(runs: int, seed: int, corpus: Path, races: float = 0.005) -> None:
    """Make so many calls; prints how many of each entry point were taken and refused."""
    calls = real_calls(corpus)
    points = entry_points()
    unknown = points.keys() - {call.name for call in calls}
    assert not unknown, f"no real call is known of {', '.join(sorted(unknown))}"
    by_name = {name: [call for call in calls if call.name == name] for name in sorted(points)}
    objects = [arg for call in calls for arg in call.args if type(arg) in points.values()]
    counts = {name: [0, 0] for name in by_name}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(runs):
            rng = random.Random(f"{seed}:{number}")
            name = rng.choice(list(by_name))
            call = rng.choice(by_name[name])
            print(f"\rcase {seed}:{number} {name}", end="", file=sys.stderr)
            if rng.random() < races:
                race(call, rng)
                continue
            mutator, args = Mutator(rng, objects, Path(folder)), list(call.args)
            for place in rng.sample(range(len(args)), min(len(args), rng.randrange(1, 4))):
                args[place] = mutator.change(args[place])
            found = attempt(call, args)
            counts[name][found is None] += 1
            if found is not None:
                repeat(call, args, found)
            # An object that was made of wrong arguments is an argument of what follows.
            if type(found) in points.values():
                objects[rng.randrange(len(objects))] = found
    for name, (taken, refused) in counts.items():
        print(f"{name} taken {taken} refused {refused}")


if __name__ == "__main__":
    faulthandler.enable()
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), *map(float, sys.argv[4:5]))
