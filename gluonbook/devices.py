"""Devices: the GPU where one works, else the CPU, and the reason."""

import re
import warnings
from functools import lru_cache
from typing import Any, NamedTuple, Optional

from gluonbook import _mxnet
from gluonbook._mxnet import mx, nd

MAX_GPUS = 16
CODE_FOR = range(5, 9)  # major compute capabilities that MXNet's CUDA build holds code for
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
NAME_BYTES = 128


class GPU(NamedTuple):
    """A GPU that MXNet counts."""

    number: int
    problem: Optional[str]  # why nothing can be computed on it; None where it works


class DriverGPU(NamedTuple):
    """A GPU that the NVIDIA driver counts, whatever MXNet makes of it."""

    number: int
    name: str
    capability: tuple[int, int]  # (major, minor)
    memory: int  # bytes


def device(name: Any = "auto") -> Any:
    """Return the device of that name.

    Args:
        name: ``"auto"`` (the first GPU that works, else the CPU), ``"cpu"``, ``"cpu(1)"``, ``"gpu"``, ``"gpu(0)"``, or
            a ``mx.Context``, which is returned as it is.

    Returns:
        mx.Context.

    Raises:
        ValueError: the name is none of these, or names a GPU on which nothing runs; the message says why.

    >>> device("cpu")
    cpu(0)
    """
    if isinstance(name, mx.Context):
        return name
    if name == "auto":
        return try_gpu()
    match = re.fullmatch(r"(cpu|gpu)(?:\(([0-9]+)\))?", str(name))
    if match is None:
        raise ValueError(f"device must be auto, cpu, gpu or gpu(N), got {name!r}")
    kind, index = match[1], match[2] or "0"
    if kind == "gpu":
        problem = gpu_problem(int(index))
        if problem:
            raise ValueError(f"device gpu({index}) cannot be used: {problem}")
    return mx.Context(kind, int(index))


def device_list(names: Any = "auto") -> list[Any]:
    """Return the devices that a training is divided among.

    Args:
        names: one name as ``device`` takes it, several with commas (``"gpu(0),gpu(1)"``), or a list of either.

    Returns:
        list of mx.Context, at least one.

    Raises:
        ValueError: a name is wrong, none is given, or one is given twice.

    >>> device_list("cpu(0),cpu(1)")
    [cpu(0), cpu(1)]
    """
    parts = names.split(",") if isinstance(names, str) else names if isinstance(names, (list, tuple)) else [names]
    found = [device(part.strip() if isinstance(part, str) else part) for part in parts]
    if not found or len(set(found)) < len(found):
        raise ValueError(f"devices must be at least one, no two alike, got {names!r}")
    return found


def try_gpu() -> Any:
    """Return the first GPU on which a small kernel ran, else the CPU; a fall-back says why, once.

    Returns:
        mx.Context.

    >>> try_gpu()  # doctest: +SKIP
    cpu(0)
    """
    return try_all_gpus()[0]


def try_all_gpus() -> list[Any]:
    """Return every GPU on which a small kernel ran, else the CPU alone; a fall-back says why, once.

    MXNet's CUDA build counts GPUs that it has no code for (compute capability 9 and later), so being counted is not
    enough.

    Returns:
        list of mx.Context, at least one.

    >>> try_all_gpus()  # doctest: +SKIP
    [gpu(0), gpu(1)]
    """
    gpus = probe_gpus()
    usable = [mx.gpu(gpu.number) for gpu in gpus if gpu.problem is None]
    if usable:
        return usable
    _warn_once("computing on the CPU: " + ("; ".join(f"gpu({g.number}): {g.problem}" for g in gpus) or why_no_gpu()))
    return [mx.cpu(0)]


def gpu_problem(index: int) -> Optional[str]:
    """Say why nothing can be computed on ``gpu(index)``, or None where it works."""
    gpus = probe_gpus()
    return (
        gpus[index].problem if index < len(gpus) else (why_no_gpu() if not gpus else f"MXNet counts {len(gpus)} only")
    )


@lru_cache(maxsize=1)
def probe_gpus() -> tuple[GPU, ...]:
    """Run a small kernel on each GPU that MXNet counts, once in a process."""
    return tuple(GPU(index, kernel_problem(mx.gpu(index))) for index in range(min(_count_gpus(), MAX_GPUS)))


def why_no_gpu() -> str:
    """Say why MXNet counts no GPU, and of each that the NVIDIA driver counts what would help."""
    found = driver_gpus() or ()
    if _is_cpu_build():
        return "; ".join(["MXNet's CPU build is installed", *(f"{describe(gpu)}: {_help_for(gpu)}" for gpu in found)])
    seen = f"; the NVIDIA driver counts {', '.join(map(describe, found))}" if found else ""
    return f"MXNet's CUDA build is installed, but it finds no NVIDIA GPU{seen}"


def why_not_counted(gpu: DriverGPU) -> str:
    """Say why MXNet does not count a GPU that the NVIDIA driver does, and what would help."""
    if _is_cpu_build():
        return f"MXNet's CPU build is installed; {_help_for(gpu)}"
    return "MXNet's CUDA build is installed, but does not find it"


def describe(gpu: DriverGPU) -> str:
    """Return a GPU's name, memory and compute capability in words.

    >>> describe(DriverGPU(0, "NVIDIA H100", (9, 0), 80 * 2**30))
    'NVIDIA H100 (80.0 GiB, compute capability 9.0)'
    """
    return f"{gpu.name} ({gpu.memory / 2**30:.1f} GiB, compute capability {'.'.join(map(str, gpu.capability))})"


def _help_for(gpu: DriverGPU) -> str:
    if gpu.capability[0] in CODE_FOR:
        return f"{_mxnet.INSTALL_GPU} in a fresh environment would use it"
    return _no_code(gpu.capability)


def _is_cpu_build() -> bool:
    return not mx.runtime.Features().is_enabled("CUDA")


@lru_cache(maxsize=1)
def driver_gpus() -> Optional[tuple[DriverGPU, ...]]:
    """Ask the NVIDIA driver for its GPUs; None where there is no driver or it answers with an error."""
    import ctypes

    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return None
    found = (_ask_driver(driver, number) for number in range(count.value))
    return tuple(gpu for gpu in found if gpu is not None)


def _ask_driver(driver: Any, number: int) -> Optional[DriverGPU]:
    import ctypes

    handle, major, minor, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(NAME_BYTES)
    answers = (
        driver.cuDeviceGet(ctypes.byref(handle), number),
        driver.cuDeviceGetName(name, NAME_BYTES, handle),
        driver.cuDeviceGetAttribute(ctypes.byref(major), MAJOR, handle),
        driver.cuDeviceGetAttribute(ctypes.byref(minor), MINOR, handle),
        driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle),
    )
    if any(answers):
        return None
    return DriverGPU(number, name.value.decode("utf-8", "replace"), (major.value, minor.value), memory.value)


def _no_code(capability: tuple[int, int]) -> str:
    return f"MXNet's builds hold code for compute capability 5.0 to 8.9, not for {capability[0]}.{capability[1]}"


def _count_gpus() -> int:
    try:
        return int(mx.context.num_gpus())
    except mx.MXNetError:  # the CUDA build where the driver answers with an error
        return 0


def kernel_problem(context: Any) -> Optional[str]:
    """Run a small kernel on a context; say what went wrong, or None where it gave the right sum."""
    try:
        total = float((nd.ones((2, 2), ctx=context) + 1).sum().asscalar())
    except mx.MXNetError as error:
        known = driver_gpus() if context.device_type == "gpu" else None
        capability = next((gpu.capability for gpu in known or () if gpu.number == context.device_id), None)
        if capability and capability[0] not in CODE_FOR:
            return _no_code(capability)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"a small kernel failed on it ({lines[-1] if lines else type(error).__name__})"
    return None if total == 8 else f"a small kernel gave {total} on it where 8 is right"


_said: set[str] = set()


def _warn_once(message: str) -> None:
    if message not in _said:
        _said.add(message)
        warnings.warn(message, stacklevel=4)
