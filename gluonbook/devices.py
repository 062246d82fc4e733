"""Devices: the GPU where one works, else the CPU, and the reason."""

import re
import warnings
from functools import lru_cache
from typing import Any, NamedTuple, Optional

from gluonbook._mxnet import mx, nd

MAX_GPUS = 16


class GPU(NamedTuple):
    """A GPU that MXNet counts."""

    number: int
    problem: Optional[str]  # why nothing can be computed on it; None where it works


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
    return tuple(GPU(index, _run_kernel(index)) for index in range(min(_count_gpus(), MAX_GPUS)))


def why_no_gpu() -> str:
    """Say why MXNet counts no GPU."""
    if not mx.runtime.Features().is_enabled("CUDA"):
        return "MXNet's CPU build is installed"
    return "MXNet's CUDA build is installed, but it finds no NVIDIA GPU"


def _count_gpus() -> int:
    try:
        return int(mx.context.num_gpus())
    except mx.MXNetError:  # the CUDA build where the driver answers with an error
        return 0


def _run_kernel(index: int) -> Optional[str]:
    try:
        total = float((nd.ones((2, 2), ctx=mx.gpu(index)) + 1).sum().asscalar())
    except mx.MXNetError as error:
        capability = _compute_capability(index)
        if capability and not 5 <= capability[0] <= 8:
            return (
                f"its compute capability is {capability[0]}.{capability[1]}, and this build of MXNet "
                "holds code for 5.0 to 8.9 only"
            )
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"a small kernel failed on it ({lines[-1] if lines else type(error).__name__})"
    return None if total == 8 else f"a small kernel gave {total} on it where 8 is right"


def _compute_capability(index: int) -> Optional[tuple[int, int]]:
    """Ask the driver for a GPU's compute capability, (major, minor); None where it does not answer."""
    import ctypes

    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    handle, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    answers = (
        driver.cuInit(0),
        driver.cuDeviceGet(ctypes.byref(handle), index),
        driver.cuDeviceGetAttribute(ctypes.byref(major), 75, handle),  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
        driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, handle),
    )
    return None if any(answers) else (major.value, minor.value)


_said: set[str] = set()


def _warn_once(message: str) -> None:
    if message not in _said:
        _said.add(message)
        warnings.warn(message, stacklevel=4)
