"""A GPU counts only where a kernel ran on it; falling back to the CPU says why, once.

No test needs a GPU, and none minds one: what MXNet counts and runs, and what the driver says, is set by each test.
"""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import types
import warnings
from pathlib import Path

import click
import numpy as np
import pytest
from cli_helpers import assert_refused
from PIL import Image

from gluonbook import chapter, data, devices
from gluonbook._mxnet import gluon, mx
from gluonbook.cli import command
from gluonbook.detection import training

NOWHERE = 99  # the number of a GPU that no machine has: a kernel on it fails in MXNet's CPU and CUDA builds alike
H100, RTX = ("NVIDIA H100 80GB HBM3", (9, 0), 85_520_809_984), ("NVIDIA GeForce RTX 3090", (8, 6), 25_446_907_904)
MAXWELL, KEPLER = ("NVIDIA GeForce GTX 750", (5, 0), 2**31), ("Tesla K80", (3, 7), 2**33)


class Driver:
    """A CUDA driver that knows some GPUs: (name, compute capability, bytes); ``fails`` names a call that does not."""

    def __init__(self, gpus, fails=None):
        self.gpus, self.fails = gpus, fails

    def cuInit(self, flags):
        return 100 * (self.fails == "cuInit")

    def cuDeviceGetCount(self, answer):
        answer._obj.value = len(self.gpus)
        return 100 * (self.fails == "cuDeviceGetCount")

    def cuDeviceGet(self, handle, index):
        handle._obj.value = 7 + index  # a handle is no number
        return 100 * (self.fails == "cuDeviceGet")

    def cuDeviceGetName(self, buffer, size, handle):
        buffer.value = self.gpus[handle.value - 7][0].encode()[: size - 1]
        return 100 * (self.fails == "cuDeviceGetName")

    def cuDeviceGetAttribute(self, answer, attribute, handle):
        answer._obj.value = self.gpus[handle.value - 7][1][{75: 0, 76: 1}[attribute]]
        return 100 * (self.fails == "cuDeviceGetAttribute")

    def cuDeviceTotalMem_v2(self, answer, handle):
        answer._obj.value = self.gpus[handle.value - 7][2]
        return 100 * (self.fails == "cuDeviceTotalMem_v2")


def forget():
    devices.probe_gpus.cache_clear()
    devices.driver_gpus.cache_clear()
    devices._said.clear()


@pytest.fixture
def driver(monkeypatch):
    """Set the GPUs that the NVIDIA driver counts; None is no driver."""
    load = ctypes.CDLL

    def set_gpus(gpus, fails=None):
        def find(name, *arguments, **settings):
            if name != "libcuda.so.1":
                return load(name, *arguments, **settings)
            if gpus is None:
                raise OSError(f"{name}: cannot open shared object file")
            return Driver(gpus, fails)

        monkeypatch.setattr(ctypes, "CDLL", find)
        devices.driver_gpus.cache_clear()

    return set_gpus


@pytest.fixture(autouse=True)
def forgotten(driver):
    """Forget which GPUs were found and what was said before; there is no driver unless a test sets one."""
    driver(None)
    forget()
    yield
    forget()


@pytest.fixture
def gpus(monkeypatch):
    """Set the problems of the GPUs that are there, None for one that works."""

    def set_problems(*problems):
        monkeypatch.setattr(devices, "_count_gpus", lambda: len(problems))
        monkeypatch.setattr(devices, "kernel_problem", lambda context: problems[context.device_id])

    return set_problems


@pytest.fixture
def features(monkeypatch):
    """Set what MXNet says it was built with."""

    def set_features(*names):
        build = types.SimpleNamespace(is_enabled=lambda name: name in names)
        monkeypatch.setattr(mx.runtime, "Features", lambda: build)

    return set_features


@pytest.mark.parametrize(("name", "context"), [("cpu", "cpu(0)"), ("cpu(0)", "cpu(0)"), ("cpu(1)", "cpu(1)")])
def test_a_cpu_is_named(name, context):
    assert str(devices.device(name)) == context


def test_a_context_passes_through():
    context = mx.Context("cpu", 3)
    assert devices.device(context) is context


@pytest.mark.parametrize(("name", "context"), [("gpu", "gpu(0)"), ("gpu(1)", "gpu(1)")])
def test_a_gpu_is_named(name, context, gpus):
    gpus(None, None)
    assert str(devices.device(name)) == context


@pytest.mark.parametrize(
    "name", ["tpu", "CPU", "cpu 1", "gpu(-1)", "gpu(x)", "cpu(1", "cpu1)", "cpu(", "cpu()", "cpu(1))", "", None, 0]
)
def test_another_name_is_refused(name):
    with pytest.raises(ValueError, match=r"^device must be auto, cpu, gpu or gpu\(N\), got ") as error:
        devices.device(name)
    assert repr(name) in str(error.value)


def test_a_gpu_that_is_not_there_is_refused_with_how_many_are(gpus):
    gpus(None, None)
    with pytest.raises(ValueError, match=r"device gpu\(2\) cannot be used: MXNet counts 2 only"):
        devices.device("gpu(2)")


def test_a_gpu_that_is_asked_for_and_does_not_work_is_refused_with_the_reason(gpus):
    gpus("its fan is gone", None)
    with pytest.raises(ValueError, match=r"^device gpu\(0\) cannot be used: its fan is gone$"):
        devices.device("gpu(0)")
    assert devices.device("gpu(1)") == mx.gpu(1)


@pytest.mark.parametrize(
    ("built", "reason"),
    [((), "MXNet's CPU build is installed"), (("CUDA",), "CUDA build is installed, but it finds no NVIDIA GPU")],
)
def test_without_gpus_the_reason_is_the_build(built, reason, gpus, features):
    gpus()
    features(*built)
    with pytest.raises(ValueError, match=rf"gpu\(0\) cannot be used: .*{reason}"):
        devices.device("gpu")
    with pytest.warns(UserWarning, match=f"^computing on the CPU: .*{reason}"):
        assert devices.try_gpu() == mx.cpu(0)


def test_falling_back_gives_each_reason_once(gpus):
    gpus("too new", "too old")
    with pytest.warns(UserWarning, match=r"^computing on the CPU: gpu\(0\): too new; gpu\(1\): too old$") as said:
        assert devices.try_gpu() == mx.cpu(0)
    assert [warning.filename for warning in said] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert devices.try_gpu() == mx.cpu(0)
        assert devices.try_all_gpus() == [mx.cpu(0)]
        assert devices.device("auto") == mx.cpu(0)


def test_the_first_gpu_that_works_is_taken_in_silence(gpus):
    gpus("too new", None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert devices.try_gpu() == devices.device("auto") == mx.gpu(1)
        assert devices.try_all_gpus() == [mx.gpu(1), mx.gpu(2)]


def test_each_gpu_is_tried_once_in_a_process(monkeypatch):
    tried = []
    monkeypatch.setattr(devices, "_count_gpus", lambda: 2)
    monkeypatch.setattr(devices, "kernel_problem", tried.append)
    devices.try_gpu()
    devices.try_all_gpus()
    assert tried == [mx.gpu(0), mx.gpu(1)]


def test_a_kernel_that_fails_gives_the_last_line_of_its_error():
    problem = devices.kernel_problem(mx.gpu(NOWHERE))
    assert problem.startswith("a small kernel failed on it (")
    assert "GPU" in problem or "CUDA" in problem
    assert "\n" not in problem


@pytest.mark.parametrize("capability", [(9, 0), (10, 0), (3, 7)])
def test_a_gpu_of_another_generation_is_told_by_its_capability(driver, capability):
    driver([RTX] * NOWHERE + [("a GPU", capability, 1)])
    number = ".".join(map(str, capability))
    told = f"MXNet's builds hold code for compute capability 5.0 to 8.9, not for {number}"
    assert devices.kernel_problem(mx.gpu(NOWHERE)) == told


@pytest.mark.parametrize("capability", [(5, 0), (8, 6), (8, 9)])
def test_a_gpu_of_a_right_generation_is_not_blamed_for_it(driver, capability):
    driver([H100] * NOWHERE + [("a GPU", capability, 1)])
    assert "a small kernel failed on it" in devices.kernel_problem(mx.gpu(NOWHERE))


@pytest.mark.parametrize(("value", "problem"), [(1, None), (0, "a small kernel gave 4.0 on it where 8 is right")])
def test_the_kernel_must_compute_the_right_sum(monkeypatch, value, problem):
    real = mx.nd.ones  # on the CPU in place of the GPU
    monkeypatch.setattr(devices.nd, "ones", lambda shape, ctx: real(shape) * value)
    assert devices.kernel_problem(mx.gpu(0)) == problem


@pytest.mark.parametrize("index", [0, 1])
def test_the_kernel_runs_on_a_cpu(index):
    assert devices.kernel_problem(mx.cpu(index)) is None


def test_a_driver_that_answers_with_an_error_counts_no_gpu(monkeypatch):
    def fail():
        raise mx.MXNetError("CUDA: system has unsupported display driver")

    monkeypatch.setattr(mx.context, "num_gpus", fail)
    assert devices.probe_gpus() == ()


# What the NVIDIA driver says


def test_the_driver_is_asked_for_name_capability_and_memory(driver):
    driver([H100, RTX])
    assert devices.driver_gpus() == (devices.DriverGPU(0, *H100), devices.DriverGPU(1, *RTX))
    assert devices.describe(devices.driver_gpus()[0]) == "NVIDIA H100 80GB HBM3 (79.6 GiB, compute capability 9.0)"


@pytest.mark.parametrize(
    ("gpus", "fails", "found"),
    [
        (None, None, None),
        ([], None, ()),
        ([RTX], "cuInit", None),
        ([RTX], "cuDeviceGetCount", None),
        *(([RTX], f"cuDevice{call}", ()) for call in ("Get", "GetName", "GetAttribute", "TotalMem_v2")),
    ],
)
def test_no_driver_is_none_and_a_gpu_that_it_knows_nothing_of_is_left_out(driver, gpus, fails, found):
    driver(gpus, fails)
    assert devices.driver_gpus() == found


def test_the_driver_is_asked_once_in_a_process(driver, monkeypatch):
    driver([RTX])
    first = devices.driver_gpus()
    monkeypatch.setattr(ctypes, "CDLL", None)
    assert devices.driver_gpus() is first


CPU_BUILD = "MXNet's CPU build is installed"
TOO_NEW = "MXNet's builds hold code for compute capability 5.0 to 8.9, not for 9.0"
INSTALL = 'pip install "gluonbook[cu112]" in a fresh environment would use it'


@pytest.mark.parametrize(
    ("gpus", "told"),
    [
        ([H100], f"NVIDIA H100 80GB HBM3 (79.6 GiB, compute capability 9.0): {TOO_NEW}"),
        ([RTX], f"NVIDIA GeForce RTX 3090 (23.7 GiB, compute capability 8.6): {INSTALL}"),
        ([MAXWELL], f"NVIDIA GeForce GTX 750 (2.0 GiB, compute capability 5.0): {INSTALL}"),
        ([KEPLER], f"Tesla K80 (8.0 GiB, compute capability 3.7): {TOO_NEW[:-3]}3.7"),
    ],
)
def test_with_the_cpu_build_a_gpu_is_refused_and_the_fallback_says_what_helps(driver, gpus, features, told):
    driver(gpus)
    features()
    with pytest.raises(ValueError, match=r"^device gpu\(0\) cannot be used: ") as error:
        devices.device("gpu(0)")
    assert str(error.value) == f"device gpu(0) cannot be used: {CPU_BUILD}; {told}"
    with pytest.warns(UserWarning, match="^computing on the CPU: ") as said:
        assert devices.device("auto") == mx.cpu(0)
    assert str(said[0].message) == f"computing on the CPU: {CPU_BUILD}; {told}"


def test_with_the_cuda_build_an_h100_is_detected_told_and_left_for_the_cpu(driver, monkeypatch):
    """Its kernels fail there: MXNet counts the GPU and has no code for it."""

    def no_kernel(shape, ctx):
        raise mx.MXNetError("Traceback\nCheck failed: no kernel image is available for execution on the device")

    driver([H100])
    monkeypatch.setattr(devices, "_count_gpus", lambda: 1)
    monkeypatch.setattr(devices.nd, "ones", no_kernel)
    assert devices.probe_gpus() == (devices.GPU(0, TOO_NEW),)
    with pytest.warns(UserWarning, match=rf"^computing on the CPU: gpu\(0\): {TOO_NEW}$"):
        assert devices.device("auto") == mx.cpu(0)
    with pytest.raises(ValueError, match=rf"^device gpu\(0\) cannot be used: {TOO_NEW}$"):
        devices.device("gpu(0)")


def test_a_cuda_build_that_finds_no_gpu_says_which_the_driver_counts(driver, gpus, features):
    gpus()
    driver([RTX, H100])
    features("CUDA")
    told = devices.why_no_gpu()
    assert told.startswith("MXNet's CUDA build is installed, but it finds no NVIDIA GPU; the NVIDIA driver counts ")
    assert told.endswith(", ".join(map(devices.describe, devices.driver_gpus())))
    assert "does not find it" in devices.why_not_counted(devices.driver_gpus()[0])


@pytest.mark.parametrize(
    "command",
    [
        ("lyrics", "train", "--epochs", "1"),
        ("lyrics", "evaluate", "songs"),
        ("detect", "a.png", "--json"),
        ("stylize", "a.png", "a.png", "--out", "b.png"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_one_line_and_status_2(cli, driver, features, isolated, command):
    Image.new("RGB", (64, 48)).save("a.png")
    driver([H100])
    features()
    refused = cli(*command, "--device", "gpu(0)")
    assert_refused(refused, f"device gpu(0) cannot be used: {CPU_BUILD}; NVIDIA H100")


# Several devices


@pytest.mark.parametrize(
    ("names", "contexts"),
    [
        ("cpu", ["cpu(0)"]),
        ("cpu(2)", ["cpu(2)"]),
        ("cpu(0),cpu(1)", ["cpu(0)", "cpu(1)"]),
        (" cpu(1) , cpu ", ["cpu(1)", "cpu(0)"]),
        (["cpu(3)", "cpu"], ["cpu(3)", "cpu(0)"]),
        (("cpu", mx.cpu(1)), ["cpu(0)", "cpu(1)"]),
        (mx.cpu(4), ["cpu(4)"]),
        ("gpu(1),cpu", ["gpu(1)", "cpu(0)"]),
        ("auto", ["gpu(0)"]),
    ],
)
def test_devices_are_named_one_by_one_in_their_order(names, contexts, gpus):
    gpus(None, None)
    assert [str(context) for context in devices.device_list(names)] == contexts


def test_one_device_is_chosen_where_none_is_named(gpus):
    gpus(None, None)
    assert devices.device_list() == [mx.gpu(0)]


@pytest.mark.parametrize("names", [[], (), "cpu,cpu(0)", ["cpu(1)", mx.cpu(1)], "cpu(0),cpu(1),cpu(0)"])
def test_no_device_and_one_given_twice_are_refused(names):
    with pytest.raises(ValueError, match=r"^devices must be at least one, no two alike, got ") as error:
        devices.device_list(names)
    assert str(error.value).endswith(repr(names))


@pytest.mark.parametrize(("names", "wrong"), [("cpu,tpu", "'tpu'"), ("", "''"), ("cpu,", "''"), (None, "None")])
def test_a_wrong_name_among_several_is_refused(names, wrong):
    with pytest.raises(ValueError, match=rf"^device must be auto, cpu, gpu or gpu\(N\), got {wrong}$"):
        devices.device_list(names)


def test_a_gpu_among_several_that_does_not_work_is_refused(gpus):
    gpus(None, "its fan is gone")
    with pytest.raises(ValueError, match=r"^device gpu\(1\) cannot be used: its fan is gone$"):
        devices.device_list("gpu(0),gpu(1)")


# A second CPU stands for a GPU. MXNet refuses to mix arrays of a CPU and a GPU, but not those of two CPUs in one
# operator: here it does, too.


def refuse_mixing(patch=setattr):
    """Let every operator that is called with arrays of two devices fail."""
    invoke = mx.nd.register._imperative_invoke

    def checked(handle, arrays, *others):
        contexts = {array.context for array in arrays}
        assert len(contexts) < 2, f"an operator was called with arrays of {contexts}"
        return invoke(handle, arrays, *others)

    patch(mx.nd.register, "_imperative_invoke", checked)


def test_mixing_is_refused_here(monkeypatch):
    refuse_mixing(monkeypatch.setattr)
    a, b = (mx.nd.ones((2, 2), ctx=mx.cpu(index)) for index in (0, 1))
    for mixed in (lambda: a + b, lambda: mx.nd.dot(a, b), lambda: mx.nd.FullyConnected(a, b, no_bias=True)):
        with pytest.raises(AssertionError, match="an operator was called with arrays of"):
            mixed()
    assert (a + b.as_in_context(mx.cpu(0))).sum().asscalar() == 8


PLACED = [2, 3, 7, 8, 11, 13, 14, 16, 17, 18, 19, 20]  # chapters that place arrays; the others are NumPy's and checks
ON_THE_CPU = {14: 2}  # networks that only show something, with their arrays on the default device
WITHOUT = {
    *("lyrics generate",),  # in NumPy
    *("weights list", "weights fetch", "weights convert", "chapters", "notebook", "env"),  # compute nothing
    *("run", "launch"),  # hand it on
}


def leaves(group, words=()):
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        yield from leaves(found, (*words, name)) if isinstance(found, click.Group) else [((*words, name), found)]


def test_every_command_that_computes_takes_a_device():
    found = {" ".join(words): one for words, one in leaves(command)}
    without = {name for name, one in found.items() if "--device" not in {flag for p in one.params for flag in p.opts}}
    assert without == WITHOUT & set(found)


@pytest.mark.parametrize("entry", chapter.chapters(), ids=lambda entry: str(entry.number))
def test_every_chapter_takes_a_device_and_a_network_of_its_is_placed_there(entry):
    text = entry.path.read_text(encoding="utf-8")
    assert len(re.findall(r"^opt = chapter\.options\(", text, re.MULTILINE)) == 1
    assert ("opt.device" in text) is (entry.number in PLACED)
    if entry.number in PLACED:
        calls = re.findall(r"\.initialize\((.*)\)$", text, re.MULTILINE)
        assert len([call for call in calls if "ctx=opt.device" not in call]) <= ON_THE_CPU.get(entry.number, 0)


@pytest.mark.parametrize(
    "number", [17, *(pytest.param(number, marks=pytest.mark.slow) for number in PLACED if number != 17)]
)
def test_a_chapter_gives_the_same_numbers_on_another_device(number, tmp_path):
    results = []
    code = "import sys, test_devices as t, gluonbook.cli as c; t.refuse_mixing(); sys.exit(c.main(sys.argv[1:]))"
    for device in ("cpu(0)", "cpu(1)"):
        arguments = ["run", str(number), "--quick", "--device", device, "--out", str(tmp_path / device)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        results.append(json.loads((tmp_path / device / "metrics.json").read_text(encoding="utf-8")))
    vary = {"seconds", "seconds_by_batch_size", "batch_ms", "all_ms", "times_as_fast", "picture"}  # times and a path
    for found in results:
        found["results"] = {name: value for name, value in found["results"].items() if name not in vary}
    assert results[0] == results[1]


@pytest.fixture
def seen(monkeypatch):
    """The contexts of the arrays that networks were called with."""
    refuse_mixing(monkeypatch.setattr)
    contexts, call = set(), gluon.Block.__call__

    def recording(block, *arguments):
        contexts.update(array.context for array in arguments if isinstance(array, mx.nd.NDArray))
        return call(block, *arguments)

    monkeypatch.setattr(gluon.Block, "__call__", recording)
    return contexts


TINY_TEXT = "天青色等烟雨而我在等你炊烟袅袅升起隔江千万里" * 4
TINY_LYRICS = ("--epochs", "1", "--hidden", "8", "--embedding", "4", "--batch-size", "2", "--steps", "5")
JOBS = {
    "lyrics train": (
        ("lyrics", "train", "a.txt", *TINY_LYRICS, "--held-out", "0.2", "--prefix", "天", "--out", "model"),
        "model/model.params",
    ),
    "lyrics evaluate": (("lyrics", "evaluate", "a.txt"), None),
    "detect": (("detect", "a.png", "--json"), None),
    "stylize": (("stylize", "a.png", "b.png", "--size", "60x48", "--steps", "2", "--out", "c.png"), "c.png"),
}


@pytest.mark.parametrize("job", JOBS)
def test_a_command_gives_the_same_on_another_device_and_computes_there(cli, isolated, seen, job):
    arguments, made = JOBS[job]
    Path("a.txt").write_text(TINY_TEXT, encoding="utf-8")
    for name, seed in (("a.png", 0), ("b.png", 1)):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 60, 3), np.uint8)).save(name)
    results = []
    for index in (0, 1):
        seen.clear()
        shutil.rmtree("model", ignore_errors=True)
        status, out, err = cli(*arguments, "--device", f"cpu({index})")
        assert status == 0, err
        assert seen == {mx.cpu(index)}
        results.append(Path(made).read_bytes() if made else out)
    assert results[0] == results[1]


@pytest.mark.parametrize("network", ["tiny", "yolo"])
def test_a_detector_is_trained_alike_on_another_device(seen, network):
    train_set, val_set = (found.subset(range(4)) for found in data.embedded_detection())
    settings = {"network": network, "size": 96, "num_epochs": 1, "batch_size": 2}
    models = []
    for index in (0, 1):
        seen.clear()
        models.append(training.train(train_set, val_set, None, device=f"cpu({index})", **settings))
        assert seen == {mx.cpu(index)}
    for name, array in models[0].weights.items():
        np.testing.assert_array_equal(array, models[1].weights[name])
