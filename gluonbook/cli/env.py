"""``gluonbook env``: what a bug report needs."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator

import click

import gluonbook
from gluonbook import _files, _mxnet
from gluonbook.data.fetch import BOOK_FOLDER

PACKAGES = ("numpy", "gluoncv", "d2l", "matplotlib", "jieba", "pooch", "click", "tqdm", "opencv-python")
FEATURES = ("CUDA", "CUDNN", "MKLDNN", "OPENCV", "OPENMP", "DIST_KVSTORE", "F16C")


@click.command()
def env() -> None:
    """Print what a bug report needs: versions, MXNet's features, devices, threads, data folders."""
    for name, value in facts():
        click.echo(f"{name:<18}{value}")


def facts() -> Iterator[tuple[str, str]]:
    """Yield each fact with its name; a missing or broken MXNet is a fact, too."""
    yield "gluonbook", f"{gluonbook.__version__} ({_files.packaged('datasets').parent})"
    yield "Python", f"{platform.python_version()} ({sys.executable})"
    yield "system", f"{platform.platform()}, {os.cpu_count()} processors, {_mxnet.usable_cpus()} usable"
    builds = _mxnet.installed_builds()
    yield "MXNet builds", ", ".join(f"{name} {version}" for name, version in sorted(builds.items())) or "none"
    for name in PACKAGES:
        yield name, _version(name)
    yield from _mxnet_facts()
    yield "GLUONBOOK_DATA", os.environ.get("GLUONBOOK_DATA", "not set")
    yield "book's folder", f"{BOOK_FOLDER.resolve()} ({'there' if BOOK_FOLDER.is_dir() else 'not there'})"
    yield "cache", str(_files.cache_folder())


def _mxnet_facts() -> Iterator[tuple[str, str]]:
    user = os.environ.get("OMP_NUM_THREADS")
    try:
        mx = _mxnet.load()
    except ImportError as error:
        yield "MXNet", f"does not work: {error}"
        return
    enabled = mx.runtime.Features()
    yield "MXNet", f"{mx.__version__}, features {' '.join(name for name in FEATURES if enabled.is_enabled(name))}"
    yield "threads", f"OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']} ({'user' if user else 'gluonbook'})"
    yield "kernels", f"OPENBLAS_CORETYPE={os.environ.get('OPENBLAS_CORETYPE', 'not set')}"
    for number, line in enumerate(_device_lines()):
        yield ("" if number else "devices"), line


def _device_lines() -> Iterator[str]:
    """Yield a line for the CPU, for each GPU that MXNet counts, and for each that only the NVIDIA driver does."""
    from gluonbook import devices
    from gluonbook._mxnet import mx

    problem = devices.kernel_problem(mx.cpu(0))
    threads = os.environ["OMP_NUM_THREADS"]
    yield f"cpu(0): {problem or 'works'}; processors {_mxnet.usable_cpus()}, threads {threads}"
    known, counted = devices.driver_gpus(), devices.probe_gpus()
    names = {gpu.number: f"gpu({gpu.number}) {devices.describe(gpu)}" for gpu in known or ()}
    problems = {gpu.number: gpu.problem for gpu in counted}
    if not counted:
        problems = {gpu.number: devices.why_not_counted(gpu) for gpu in known or ()}
    instead = "" if None in problems.values() else "; the CPU is used"
    for number, problem in problems.items():
        fate = f"cannot be used: {problem}{instead}" if problem else "works"
        yield f"{names.get(number, f'gpu({number})')}: {fate}"
    if not problems:
        none = "no NVIDIA driver answers" if known is None else "the NVIDIA driver counts none"
        yield f"no GPU: {none}, and {devices.why_no_gpu()}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
