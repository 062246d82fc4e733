"""MXNet is imported late, in one place, prepared; and where it is missing or broken, the error says what to do."""

import ast
import ctypes
import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

import gluonbook
from gluonbook import _mxnet

ROOT = Path(gluonbook.__file__).resolve().parents[1]
FAKE = """
import os, numpy
print("threads", os.environ.get("OMP_NUM_THREADS"))
print("numpy.bool", numpy.__dict__.get("bool"))
class nd: ones = "ones of the fake"
"""
ABSENT = """
import importlib.metadata, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "mxnet":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
importlib.metadata.distributions = lambda: []
"""


@pytest.fixture
def python(tmp_path):
    """Run code in a new Python; ``mxnet`` is the source of a fake build that hides the real one."""

    def run(code, mxnet=None, **environment):
        env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        env.update(environment, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
        if mxnet is not None:
            (tmp_path / "mxnet").mkdir()
            (tmp_path / "mxnet" / "__init__.py").write_text(mxnet)
        return subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True)

    return run


def imported_by(path):
    """Return the top-level modules that a file imports, by statement or by name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            if called in ("import_module", "__import__"):
                found.add(node.args[0].value)
    return {name.split(".")[0] for name in found}


def test_one_file_alone_imports_mxnet():
    """Peers of the benchmarks stand for users without this package, and import it as these do."""
    files = [path for folder in ("gluonbook", "chapters", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    files = [path for path in files if not path.name.endswith("_peers.py")]
    assert [path.relative_to(ROOT).as_posix() for path in files if "mxnet" in imported_by(path)] == [
        "gluonbook/_mxnet.py"
    ]


@pytest.mark.parametrize(
    "code",
    [
        "import gluonbook as gb; dir(gb); gb.__version__",
        "from gluonbook.cli import main; assert main(['--help']) == 0",
        "from gluonbook.cli import main; assert main(['--version']) == 0",
    ],
)
def test_neither_the_package_nor_its_help_imports_what_it_does_not_need(python, code):
    heavy = ("mxnet", "numpy", "matplotlib", "gluoncv", "d2l", "jieba", "pooch")
    result = python(f"{code}\nimport sys; print('HEAVY', [name for name in {heavy} if name in sys.modules])")
    assert result.stdout.splitlines()[-1:] == ["HEAVY []"], result.stderr


def test_every_public_name_is_listed_and_there():
    assert set(gluonbook.__all__) <= set(dir(gluonbook))
    assert {"LanguageModel", "Vocabulary", "batches_adjacent", "device", "try_gpu", "try_all_gpus"} <= set(
        dir(gluonbook)
    )
    assert all(getattr(gluonbook, name) is not None for name in gluonbook.__all__)


def test_modules_that_use_mxnet_import_it_only_when_they_do(python):
    code = """
import sys
import gluonbook.devices, gluonbook.training, gluonbook.chapter, gluonbook.lyrics
gluonbook.try_gpu, gluonbook.Vocabulary, gluonbook.clip_gradients, gluonbook.plot.bars
print("mxnet" in sys.modules)
print(gluonbook._mxnet.nd.ones((2,)).sum().asscalar(), "mxnet" in sys.modules)
"""
    assert python(code).stdout.split() == ["False", "2.0", "True"]


@pytest.mark.parametrize("code", ["import mxnet", "from mxnet import nd; print(nd.ones)"])
def test_a_users_own_import_finds_mxnet_prepared(python, code):
    """The book's pages import gluonbook, then MXNet's parts by themselves."""
    printed = python(f"import gluonbook as gb\n{code}\nprint(gb.mx.nd.ones)", FAKE).stdout
    threads, boolean, *rest = printed.splitlines()
    assert (threads, boolean) == (f"threads {_mxnet.usable_cpus()}", "numpy.bool <class 'bool'>")
    assert set(rest) == {"ones of the fake"}


def test_preparing_twice_leaves_one_finder():
    before = list(sys.meta_path)
    _mxnet.prepare_for_import()
    assert sys.meta_path == before
    assert [type(finder).__name__ for finder in before].count("_Preparation") == 1


def test_mxnet_finds_the_numpy_names_that_it_uses_and_all_processors(python):
    code = """
import os, numpy
from gluonbook._mxnet import load, mx, usable_cpus
assert mx.nd.array([0, 1], dtype=bool).asnumpy().tolist() == [False, True]  # reads numpy.bool at run time
assert load() is load() and load().__version__ == mx.__version__
print(numpy.__dict__["bool"] is bool, os.environ["OMP_NUM_THREADS"] == str(usable_cpus()))
"""
    result = python(code)
    assert result.stdout.split() == ["True", "True"], result.stderr


@pytest.mark.parametrize(("environment", "threads"), [({}, _mxnet.usable_cpus()), ({"OMP_NUM_THREADS": "7"}, 7)])
def test_numpy_and_threads_are_prepared_before_the_import(python, environment, threads):
    code = """
import numpy
vars(numpy).pop("bool", None)  # as in NumPy 1.24 and later
from gluonbook._mxnet import mx
print(mx.nd.ones)
"""
    result = python(code, mxnet=FAKE, **environment)
    assert result.stdout.splitlines() == [f"threads {threads}", "numpy.bool <class 'bool'>", "ones of the fake"]


AVX512 = "avx avx2 fma avx512f avx512bw avx512dq avx512vl avx512cd"


@pytest.mark.parametrize(
    ("flags", "kernels"),
    [(AVX512, "SKYLAKEX"), ("sse2 avx avx2 fma", "HASWELL"), ("avx avx2 fma avx512f", "HASWELL"), ("sse2 avx", None)],
)
def test_the_kernels_are_the_fastest_that_the_first_processor_runs(flags, kernels, tmp_path, monkeypatch):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nvmx flags\t: x\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t\t: {AVX512}\n")
    monkeypatch.setattr(_mxnet, "CPUINFO", path)
    monkeypatch.setattr(_mxnet.os, "environ", found := {})
    _mxnet.set_kernels()
    assert found.get("OPENBLAS_CORETYPE") == kernels


FAULTS = """
import resource
import gluonbook
from gluonbook import nd
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    before, held = faults(), []
    for i in range(24):
        held.append(nd.ones((1024, 1024)) + i)
        nd.waitall()
    return faults() - before
print(min([work() for _ in range(8)][3:]))
"""
PAGES = 1024  # of such an array: 4 MiB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
@pytest.mark.parametrize(("environment", "kept"), [({}, True), ({"MALLOC_ARENA_MAX": "8"}, False)])
def test_memory_of_freed_arrays_is_kept_unless_the_user_has_chosen(python, environment, kept):
    """Seen by the pages that the system had to give anew while 48 arrays came and went: beyond a heap of 64 MiB.

    The least of five rounds: what one holds at once, and where it lies, depends on when MXNet's threads free it.
    """
    faults = int(python(FAULTS, **environment).stdout)
    assert faults < PAGES if kept else faults > 5 * PAGES


@pytest.mark.parametrize("text", [None, "", "Features : asimd", "flags"])
def test_where_the_processor_is_not_told_no_kernels_are_chosen(text, tmp_path, monkeypatch):
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(_mxnet, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(_mxnet.os, "environ", found := {})
    _mxnet.set_kernels()
    assert found == {}


@pytest.mark.parametrize(("environment", "size"), [({}, "2000000000"), ({"MXNET_CPU_PARALLEL_SIZE": "5"}, "5")])
def test_arrays_are_copied_by_one_thread_and_the_users_choice_stays(python, environment, size):
    """Several would start a second team of threads, after which both sleep where they wait."""
    fake = "import os\nprint(os.environ['MXNET_CPU_PARALLEL_SIZE'])"
    code = "import os; os.environ.pop('MXNET_CPU_PARALLEL_SIZE', 0)\n" if not environment else ""
    assert python(f"{code}from gluonbook._mxnet import load; load()", fake, **environment).stdout.split() == [size]


def test_kernels_are_told_at_the_import_of_the_package_and_the_users_stay(python, monkeypatch):
    code = "import gluonbook, os; print(os.environ.get('OPENBLAS_CORETYPE'))"
    assert python(code, OPENBLAS_CORETYPE="HASWELL").stdout.split() == ["HASWELL"]
    monkeypatch.setenv("OPENBLAS_CORETYPE", "")
    monkeypatch.delenv("OPENBLAS_CORETYPE")
    _mxnet.set_kernels()
    assert python(code).stdout.split() == [os.environ.get("OPENBLAS_CORETYPE", "None")]


def test_a_numpy_that_has_the_name_keeps_its_own(monkeypatch):
    monkeypatch.setitem(vars(numpy), "bool", "its own")
    _mxnet.restore_numpy_names()
    assert vars(numpy)["bool"] == "its own"


def test_usable_processors_are_those_of_this_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 5, 7}, raising=False)
    assert _mxnet.usable_cpus() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert _mxnet.usable_cpus() == 6


def test_looking_at_a_stand_in_does_not_import_mxnet(python):
    code = "import copy, inspect, sys; from gluonbook._mxnet import mx, nd; inspect.unwrap(mx); hasattr(nd, '__path__')"
    assert python(f"{code}; print('mxnet' in sys.modules)").stdout.split() == ["False"]


def test_without_mxnet_the_first_use_says_which_command_installs_it(python):
    result = python(ABSENT + "import gluonbook._mxnet as t; print('imported'); t.nd.ones")
    assert result.stdout.split() == ["imported"]
    version = ".".join(map(str, sys.version_info[:2]))
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: MXNet is not installed for Python {version} ({sys.executable}). ")
    assert _mxnet.INSTALL_CPU in last
    assert _mxnet.INSTALL_GPU in last


def test_without_mxnet_the_command_line_helps_and_a_command_fails_in_one_line(python):
    code = """
from gluonbook.cli import main
print("status", main(["--help"]), main(["lyrics", "--help"]), main(["env"]))
print("status", main(["lyrics", "train", "--epochs", "1", "--device", "cpu"]))
"""
    result = python(ABSENT + code)
    assert [line for line in result.stdout.splitlines() if line.startswith("status")] == ["status 0 0 0", "status 2"]
    assert "does not work: MXNet is not installed" in result.stdout
    assert [line[:32] for line in result.stderr.splitlines()] == ["gluonbook: MXNet is not installe"]


def test_a_broken_build_is_told_again_at_the_next_use(python):
    code = """
import sys
from gluonbook._mxnet import mx, nd
for module in (mx, nd):
    try:
        module.ones
    except ImportError as error:
        print(error)
print([name for name in sys.modules if name.startswith("mxnet")])
"""
    broken = "import sys; sys.modules['mxnet.part'] = sys\nraise AttributeError('its first broken line')"
    result = python(code, mxnet=broken)
    assert result.stderr == ""
    *messages, left = result.stdout.splitlines()
    assert len(messages) == 2
    assert left == "[]"


def test_a_build_that_breaks_is_named_with_its_error_and_the_cure(python):
    broken = "import mxnet.part\n"
    code = "import gluonbook._mxnet as m; m.installed_builds = lambda: {'mxnet': '1.9.1'}; m.mx.nd"
    last = python(code, mxnet=broken).stderr.splitlines()[-1]
    assert last.startswith(
        "ImportError: mxnet 1.9.1 is there but does not import (ModuleNotFoundError: No module named 'mxnet.part'). "
    )


@pytest.mark.parametrize(("build", "said"), [("mxnet-cu112", ["preload", "import"]), ("mxnet", ["import"])])
def test_the_cuda_libraries_are_opened_before_the_cuda_build_and_not_for_the_other(python, build, said):
    code = f"""
import gluonbook._mxnet as m
m.installed_builds = lambda: {{{build!r}: "1.9.1"}}
m.preload_cuda = lambda: print("preload")
m.load()
"""
    assert python(code, mxnet="print('import')").stdout.split() == said


def test_a_cuda_library_that_does_not_open_is_an_import_error(python):
    code = """
import gluonbook._mxnet as m
def fail(): raise OSError("libcudnn.so.8: file too short")
m.installed_builds = lambda: {"mxnet-cu112": "1.9.1"}
m.preload_cuda = fail
m.load()
"""
    last = python(code, mxnet="").stderr.splitlines()[-1]
    assert last.startswith("ImportError: mxnet-cu112 1.9.1 is there but does not import (OSError: libcudnn.so.8")
    assert last.endswith(_mxnet.INSTALL_GPU)


class Installed:
    def __init__(self, name, version="1.9.1"):
        self.metadata, self.version = {"Name": name}, version


def test_installed_builds_are_those_that_own_the_package(monkeypatch):
    names = ["numpy", "mxnet", "MXNet_cu112", "gluoncv", "mxnet-to-onnx", None]
    monkeypatch.setattr(_mxnet.importlib.metadata, "distributions", lambda: [Installed(name) for name in names])
    assert _mxnet.installed_builds() == {"mxnet": "1.9.1", "mxnet-cu112": "1.9.1"}


NOT_FOUND = ModuleNotFoundError("No module named 'mxnet'", name="mxnet")
NO_DRIVER = OSError("libcuda.so.1: cannot open shared object file: No such file or directory")
NO_CUBLAS = OSError("libcublas.so.11: cannot open shared object file: No such file or directory")
CPU, GPU = {"mxnet": "1.9.1"}, {"mxnet-cu112": "1.9.1"}


@pytest.mark.parametrize(
    ("error", "found", "numpy_version", "messages"),
    [
        (NOT_FOUND, {}, "1.26.4", ["MXNet is not installed for Python", _mxnet.INSTALL_CPU, _mxnet.INSTALL_GPU]),
        (
            AttributeError("x"),
            {**GPU, **CPU},
            "1.26.4",
            [
                "mxnet 1.9.1 and mxnet-cu112 1.9.1 are both installed and overwrite each other's files.",
                f"pip uninstall -y mxnet mxnet-cu112, then {_mxnet.INSTALL_CPU}",
            ],
        ),
        (
            NO_DRIVER,
            GPU,
            "1.26.4",
            [
                "mxnet-cu112 1.9.1 is there but does not import (OSError: libcuda.so.1: cannot open",
                "It needs an NVIDIA driver; without one: pip uninstall -y mxnet-cu112, then",
                _mxnet.INSTALL_CPU,
            ],
        ),
        (NO_CUBLAS, GPU, "2.0.0", ["libcublas.so.11", "Reinstall it with its CUDA libraries", _mxnet.INSTALL_GPU]),
        (
            AttributeError("module 'numpy' has no attribute 'float_'"),
            CPU,
            "2.1.0",
            ["(AttributeError: module", 'NumPy 2.1.0 is too new for it: pip install "numpy>=1.20,<2"'],
        ),
        (NOT_FOUND, CPU, "1.26.4", ["mxnet 1.9.1 is there but does not import", f"{_mxnet.INSTALL_CPU} --force"]),
        (OSError("x"), {}, "1.26.4", ["MXNet, not installed by pip, is there but does not import (OSError: x)."]),
    ],
    ids=["none", "both", "no driver", "no cuda library", "numpy 2", "files missing", "not by pip"],
)
def test_each_failure_is_told_with_its_cure(monkeypatch, error, found, numpy_version, messages):
    monkeypatch.setattr(numpy, "__version__", numpy_version)
    monkeypatch.setattr(sys, "version_info", (3, 11, 0))
    said = _mxnet.explain_failure(error, found)
    assert [message for message in messages if message not in said] == []


def test_python_3_12_without_distutils_is_told_to_take_setuptools(monkeypatch):
    monkeypatch.setattr(numpy, "__version__", "1.26.4")
    monkeypatch.setattr(sys, "version_info", (3, 12, 0))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    error = ModuleNotFoundError("No module named 'distutils'", name="distutils")
    assert _mxnet.explain_failure(error, CPU).endswith("pip install setuptools")


def test_a_missing_driver_is_told_with_the_build_that_is_installed():
    assert "pip uninstall -y mxnet-cu110" in _mxnet.explain_failure(NO_DRIVER, {"mxnet-cu110": "1.9.1"})


@pytest.fixture
def opened(monkeypatch):
    """The libraries that were opened, in order; none really is."""
    libraries = []

    def open_library(name, mode=None):
        assert mode == ctypes.RTLD_GLOBAL
        libraries.append(Path(name))

    monkeypatch.setattr(ctypes, "CDLL", open_library)
    monkeypatch.delitem(sys.modules, "nvidia", raising=False)
    return libraries


def test_cuda_libraries_are_opened_in_the_order_of_their_needs(tmp_path, monkeypatch, opened):
    for library in reversed(_mxnet.CUDA_LIBRARIES):
        path = tmp_path / "nvidia" / library  # a namespace package: the wheels share the folder
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "nvidia" / "cublas" / "lib" / "libother.so.1").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    _mxnet.preload_cuda()
    assert opened == [tmp_path / "nvidia" / library for library in _mxnet.CUDA_LIBRARIES]
    names = [path.name.split(".")[0] for path in opened]
    assert names.index("libcublasLt") < names.index("libcublas") < names.index("libcusolver")
    assert names[0] == "libcudart"
    assert len(names) == len(set(names)) == 10


def test_cuda_libraries_that_are_not_there_are_left_to_the_system(tmp_path, monkeypatch, opened):
    (tmp_path / "nvidia" / "nccl" / "lib").mkdir(parents=True)
    (tmp_path / "nvidia" / "nccl" / "lib" / "libnccl.so.2").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    _mxnet.preload_cuda()
    assert [path.name for path in opened] == ["libnccl.so.2"]


def test_without_the_nvidia_wheels_nothing_is_opened(tmp_path, monkeypatch, opened):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    _mxnet.preload_cuda()
    assert opened == []


# gluoncv

FAKE_GLUONCV = """
import numpy
try:
    import torch
    print("torch", torch.__name__)
except ImportError:
    print("no torch")
print("names", numpy.__dict__["int"] is int, numpy.__dict__["float"] is float)
data = model_zoo = utils = None
"""
FORGET_NAMES = """
import sys, numpy
for name in ("int", "float"):
    vars(numpy).pop(name, None)  # as in NumPy 1.24 and later
from gluonbook import _mxnet
"""


@pytest.fixture
def with_gluoncv(python, tmp_path):
    """Run code beside fakes of gluoncv, PyTorch and MXNet."""

    def run(code, gluoncv=FAKE_GLUONCV):
        (tmp_path / "torch.py").write_text("version = 2\n")
        if gluoncv is not None:
            (tmp_path / "gluoncv.py").write_text(gluoncv)
        return python(FORGET_NAMES + code, mxnet="")

    return run


def test_gluoncv_is_imported_as_if_there_were_no_torch_and_with_its_numpy_names(with_gluoncv):
    result = with_gluoncv(
        "print(_mxnet.gluoncv().__name__, 'torch' in sys.modules); import torch; print(torch.version)"
    )
    assert result.stdout.splitlines() == ["no torch", "names True True", "gluoncv False", "2"], result.stderr


def test_a_torch_that_was_there_is_there_again(with_gluoncv):
    result = with_gluoncv("import torch; _mxnet.gluoncv(); print(sys.modules['torch'] is torch)")
    assert result.stdout.splitlines() == ["no torch", "names True True", "True"], result.stderr


def test_gluoncv_is_imported_once(with_gluoncv):
    result = with_gluoncv("assert _mxnet.gluoncv() is _mxnet.gluoncv(); print('once')")
    assert result.stdout.splitlines() == ["no torch", "names True True", "once"], result.stderr


def test_numpy_keeps_names_of_its_own_for_gluoncv(with_gluoncv):
    result = with_gluoncv("vars(numpy)['int'] = 'its own'; _mxnet.gluoncv(); print(vars(numpy)['int'])")
    assert result.stdout.splitlines()[1:] == ["names False True", "its own"], result.stderr


def test_a_gluoncv_whose_parts_did_not_import_is_told(with_gluoncv):
    result = with_gluoncv("_mxnet.gluoncv()", gluoncv="data = None")
    assert result.stderr.splitlines()[-1] == (
        "ImportError: gluoncv does not import whole: it lacks model_zoo, utils; pip install --force-reinstall gluoncv"
    )


def test_a_gluoncv_that_fails_leaves_torch_as_it_was(with_gluoncv):
    code = """
import torch
try:
    _mxnet.gluoncv()
except ImportError as error:
    print(error, sys.modules["torch"] is torch)
"""
    result = with_gluoncv(code, gluoncv="raise ImportError('its first broken line')")
    assert result.stdout.splitlines() == ["its first broken line True"], result.stderr


def test_the_real_gluoncv_has_what_this_package_uses():
    parts = _mxnet.gluoncv()
    assert _mxnet.gluoncv() is parts
    assert callable(parts.utils.metrics.VOC07MApMetric)
    assert callable(parts.utils.metrics.VOCMApMetric)
    assert callable(parts.model_zoo.get_model)
    assert callable(parts.data.transforms.presets.ssd.transform_test)
    assert sys.modules.get("torch", "none") is not None
