"""A GPU counts only where a kernel ran on it; falling back to the CPU says why, once.

No test needs a GPU, and none minds one: what MXNet counts and runs is set by each test.
"""

import ctypes
import types
import warnings

import pytest

from gluonbook import devices
from gluonbook._mxnet import mx

NOWHERE = 99  # the number of a GPU that no machine has: a kernel on it fails in MXNet's CPU and CUDA builds alike


@pytest.fixture(autouse=True)
def forgotten():
    """Forget which GPUs were found and what was said before."""
    devices.probe_gpus.cache_clear()
    devices._said.clear()
    yield
    devices.probe_gpus.cache_clear()


@pytest.fixture
def gpus(monkeypatch):
    """Set the problems of the GPUs that are there, None for one that works."""

    def set_problems(*problems):
        monkeypatch.setattr(devices, "_count_gpus", lambda: len(problems))
        monkeypatch.setattr(devices, "_run_kernel", lambda index: problems[index])

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
    monkeypatch.setattr(devices, "_run_kernel", tried.append)
    devices.try_gpu()
    devices.try_all_gpus()
    assert tried == [0, 1]


def test_a_kernel_that_fails_gives_the_last_line_of_its_error(monkeypatch):
    monkeypatch.setattr(devices, "_compute_capability", lambda index: None)
    problem = devices._run_kernel(NOWHERE)
    assert problem.startswith("a small kernel failed on it (")
    assert "GPU" in problem or "CUDA" in problem
    assert "\n" not in problem


@pytest.mark.parametrize("capability", [(9, 0), (10, 0), (3, 7)])
def test_a_gpu_of_another_generation_is_told_by_its_capability(monkeypatch, capability):
    monkeypatch.setattr(devices, "_compute_capability", lambda index: capability)
    number = ".".join(map(str, capability))
    assert f"its compute capability is {number}, and this build of MXNet holds code for 5.0 to 8.9 only" == (
        devices._run_kernel(NOWHERE)
    )


def test_a_gpu_of_a_right_generation_is_not_blamed_for_it(monkeypatch):
    monkeypatch.setattr(devices, "_compute_capability", lambda index: (8, 6))
    assert "a small kernel failed on it" in devices._run_kernel(NOWHERE)


@pytest.mark.parametrize(("value", "problem"), [(1, None), (0, "a small kernel gave 4.0 on it where 8 is right")])
def test_the_kernel_must_compute_the_right_sum(monkeypatch, value, problem):
    real = mx.nd.ones  # on the CPU in place of the GPU
    monkeypatch.setattr(devices.nd, "ones", lambda shape, ctx: real(shape) * value)
    assert devices._run_kernel(0) == problem


def test_a_driver_that_answers_with_an_error_counts_no_gpu(monkeypatch):
    def fail():
        raise mx.MXNetError("CUDA: system has unsupported display driver")

    monkeypatch.setattr(mx.context, "num_gpus", fail)
    assert devices.probe_gpus() == ()


class Driver:
    """A CUDA driver that knows one GPU, of compute capability 9.0."""

    def __init__(self, status):
        self.status = status

    def cuInit(self, flags):
        return self.status

    def cuDeviceGet(self, handle, index):
        handle._obj.value = index
        return 0

    def cuDeviceGetAttribute(self, answer, attribute, handle):
        answer._obj.value = {75: 9, 76: 0}[attribute]
        return 0


@pytest.mark.parametrize(("status", "capability"), [(0, (9, 0)), (100, None)])
def test_the_driver_is_asked_for_the_capability(monkeypatch, status, capability):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver(status))
    assert devices._compute_capability(0) == capability


def test_without_a_driver_there_is_no_capability(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert devices._compute_capability(0) is None


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
