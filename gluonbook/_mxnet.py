"""The one file that imports MXNet, at its first use and not before.

    from gluonbook._mxnet import autograd, gluon, mx, nd

gives stand-ins that import MXNet 1.9.1 when one of their attributes is first asked for. Before any import of it, a
user's own included, the NumPy names that MXNet still uses are restored, it is told the processors that this process may
use and the kernels that they can run, freed memory is kept for the next arrays, and the CUDA libraries of the cu112
build are opened; where ``load`` fails, it says what was found and which command mends it.
"""

import functools
import importlib
import importlib.util
import os
import sys
import types
from pathlib import Path
from typing import Any, Optional

CPU_BUILD, GPU_BUILD = "mxnet", "mxnet-cu112"
INSTALL_CPU = 'pip install "mxnet==1.9.1" "numpy>=1.20,<2"'
INSTALL_GPU = 'pip install "gluonbook[cu112]"'

# In the order in which they need each other; all from the nvidia-*-cu11 wheels.
CUDA_LIBRARIES = (
    "cuda_runtime/lib/libcudart.so.11.0",
    "cublas/lib/libcublasLt.so.11",
    "cublas/lib/libcublas.so.11",
    "cuda_nvrtc/lib/libnvrtc.so.11.2",
    "cufft/lib/libcufft.so.10",
    "curand/lib/libcurand.so.10",
    "cusolver/lib/libcusolver.so.11",
    "nccl/lib/libnccl.so.2",
    "nvtx/lib/libnvToolsExt.so.1",
    "cudnn/lib/libcudnn.so.8",
)


AVX512, AVX2 = "SKYLAKEX", "HASWELL"  # OpenBLAS's names of the kernels
# What a processor must have for them, the fastest first.
KERNELS = {AVX512: {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"}, AVX2: {"avx2", "fma"}}
NEVER = 2_000_000_000  # elements from which an array is copied by several threads
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of glibc's mallopt
KEPT, LARGEST_KEPT = 256 * 2**20, 32 * 2**20  # bytes; glibc takes no more than 32 MiB for the second
FIRST_PROCESSOR = 16384  # bytes of CPUINFO in which the first processor stands
CPUINFO = Path("/proc/cpuinfo")


class _Deferred(types.ModuleType):
    """A module of MXNet's that is imported when it is first used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__version__":  # asked by inspect, doctest or copy: no use of MXNet
            raise AttributeError(name)
        load()
        return getattr(importlib.import_module(self.__name__), name)


mx: Any = _Deferred("mxnet")
nd: Any = _Deferred("mxnet.ndarray")
autograd: Any = _Deferred("mxnet.autograd")
gluon: Any = _Deferred("mxnet.gluon")


def load() -> types.ModuleType:
    """Import MXNet.

    Raises:
        ImportError: there is no build of MXNet, or one that does not import; the message says what to install.
    """
    if "mxnet" in sys.modules:
        return sys.modules["mxnet"]
    found = installed_builds()
    try:
        return importlib.import_module("mxnet")
    except Exception as error:  # a broken build fails with whatever its first broken line raises
        for name in [name for name in sys.modules if name.split(".")[0] == "mxnet"]:
            del sys.modules[name]
        raise ImportError(explain_failure(error, found)) from error


class _Preparation:
    """Prepares the process when MXNet is about to be imported, by whomever; finds nothing itself."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "mxnet":
            restore_numpy_names()
            set_threads()
            keep_memory()
            if GPU_BUILD in installed_builds():
                preload_cuda()


def prepare_for_import() -> None:
    """Let whatever imports MXNet, and NumPy, from now on find it prepared: exercises import them themselves."""
    set_kernels()
    if not any(isinstance(finder, _Preparation) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Preparation())  # type: ignore[arg-type]


@functools.lru_cache(maxsize=1)
def gluoncv() -> Any:
    """Import gluoncv: with the NumPy names that it uses, and as if PyTorch were not there, whose version 2 it refuses.

    Raises:
        ImportError: it is not installed, or a part of it does not import.
    """
    import numpy
    from PIL import ImageFile

    load()
    tolerant = ImageFile.LOAD_TRUNCATED_IMAGES
    for name, kind in (("int", int), ("float", float)):
        if name not in numpy.__dict__:
            setattr(numpy, name, kind)
    torch = sys.modules.get("torch")
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        module = importlib.import_module("gluoncv")
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = tolerant  # gluoncv makes Pillow take files that are cut short
        del sys.modules["torch"]
        if torch is not None:
            sys.modules["torch"] = torch
    missing = [part for part in ("data", "model_zoo", "utils") if not hasattr(module, part)]
    if missing:  # it swallows the ImportErrors of its own parts
        raise ImportError(
            f"gluoncv does not import whole: it lacks {', '.join(missing)}; pip install --force-reinstall gluoncv"
        )
    return module


def restore_numpy_names() -> None:
    """Give NumPy back ``numpy.bool``, which MXNet 1.9.1 reads at import and at run time."""
    import numpy

    if "bool" not in numpy.__dict__:  # hasattr would make NumPy 1.20-1.23 warn
        numpy.bool = bool  # type: ignore[attr-defined]


def usable_cpus() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads() -> None:
    """Let MXNet use every processor of this process, unless the user has set ``OMP_NUM_THREADS``.

    MXNet takes half of the processors, because it assumes hyper-threading; on two real cores that is half the speed.

    Copies between NumPy and MXNet stay in one thread: done by several, they start a second team of threads, those of
    Python's own thread, beside that of MXNet's engine. GNU's OpenMP then sees more threads than processors and lets all
    of them sleep wherever they wait, in every later step: twice the time (``benchmarks/RESULTS.md``).
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_cpus()))
    os.environ.setdefault("MXNET_CPU_PARALLEL_SIZE", str(NEVER))


def keep_memory() -> None:
    """Let glibc keep the memory of freed arrays for the next ones, unless the user has set a ``MALLOC_`` of its own.

    It asks the system for each large array and gives it back when it is freed; the system then clears all pages of the
    next one, and MXNet allocates every operator's output anew where nothing is hybridized. Now the end of the heap is
    kept up to KEPT bytes, and arrays up to LARGEST_KEPT come from it. One heap serves all threads: those of a thread's
    own are given back whatever is told (``benchmarks/RESULTS.md``).
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        for option, value in ((M_ARENA_MAX, 1), (M_MMAP_THRESHOLD, LARGEST_KEPT), (M_TRIM_THRESHOLD, KEPT)):
            mallopt(option, value)


def kernels() -> Optional[str]:
    """Return the fastest of KERNELS that this processor can run.

    None where it can run none, and where the system does not tell what it has (all but Linux on x86).
    """
    try:
        with CPUINFO.open("rb") as file:
            text = file.read(FIRST_PROCESSOR).decode("ascii", "replace")
    except OSError:
        return None
    flags = next((set(line.partition(":")[2].split()) for line in text.splitlines() if line.startswith("flags")), set())
    return next((name for name, needed in KERNELS.items() if needed <= flags), None)


def set_kernels() -> None:
    """Tell OpenBLAS which kernels this processor can run, unless the user has set ``OPENBLAS_CORETYPE``.

    MXNet 1.9.1 and NumPy below 2 carry versions of it that do not know recent processors and take them for one without
    AVX: matrix products are then three to six times slower (``benchmarks/RESULTS.md``). It reads the name when it is
    loaded, so NumPy's follows only where gluonbook is imported first.
    """
    name = kernels()
    if name is not None:
        os.environ.setdefault("OPENBLAS_CORETYPE", name)


def installed_builds() -> dict[str, str]:
    """Return the version of each installed distribution that owns ``site-packages/mxnet``."""
    import importlib.metadata

    found = {}
    for distribution in importlib.metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        if name == CPU_BUILD or name.startswith("mxnet-cu"):
            found[name] = distribution.version
    return found


def preload_cuda() -> None:
    """Open the CUDA libraries of the nvidia wheels, so that MXNet's library finds them without ``LD_LIBRARY_PATH``."""
    import ctypes

    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for library in CUDA_LIBRARIES:
            if (Path(folder) / library).exists():
                ctypes.CDLL(str(Path(folder) / library), mode=ctypes.RTLD_GLOBAL)


def explain_failure(error: BaseException, found: dict[str, str]) -> str:
    """Say in words why MXNet did not import and which command mends it."""
    builds = " and ".join(f"{name} {version}" for name, version in sorted(found.items()))
    if len(found) > 1:
        return (
            f"{builds} are both installed and overwrite each other's files. "
            f"Remove them and install one: pip uninstall -y {' '.join(sorted(found))}, then {INSTALL_CPU}"
        )
    if not found and isinstance(error, ModuleNotFoundError) and error.name == "mxnet":
        version = ".".join(map(str, sys.version_info[:2]))
        return (
            f"MXNet is not installed for Python {version} ({sys.executable}). "
            f"Install one build: {INSTALL_CPU}, or for an NVIDIA GPU: {INSTALL_GPU}"
        )
    said = (
        f"{builds or 'MXNet, not installed by pip,'} is there but does not import ({type(error).__name__}: {error}). "
    )
    if "libcuda.so" in str(error):
        return said + f"It needs an NVIDIA driver; without one: pip uninstall -y {' '.join(found)}, then {INSTALL_CPU}"
    if GPU_BUILD in found:
        return said + f"Reinstall it with its CUDA libraries: {INSTALL_GPU}"
    import numpy

    if int(numpy.__version__.split(".")[0]) >= 2:
        return said + f'NumPy {numpy.__version__} is too new for it: pip install "numpy>=1.20,<2"'
    if sys.version_info >= (3, 12) and importlib.util.find_spec("distutils") is None:
        return said + "It uses distutils, which setuptools provides: pip install setuptools"
    return said + f"Reinstall it: {INSTALL_CPU} --force-reinstall"
