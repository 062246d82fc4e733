"""The package as a user gets it: its wheel, its metadata, its public names, its Makefile."""

import ast
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

import gluonbook

ROOT = Path(__file__).resolve().parent.parent
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")[:-1]
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: setuptools leaves its build folder beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("gluonbook", "chapters", "datasets"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(folder / "source")], check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel):
    """An environment in which the wheel's own files are imported, and an empty folder to work in."""
    target = wheel.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    empty = wheel.parent / "empty"
    empty.mkdir()
    environment = {**os.environ, **NO_NETWORK, "PYTHONPATH": str(target), "XDG_CACHE_HOME": str(wheel.parent / "cache")}

    def run(*arguments):
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True)

    assert Path(run("-c", "import gluonbook; print(gluonbook.__file__)").stdout.strip()).is_relative_to(target)
    return run


def test_the_wheel_holds_chapters_and_data_and_no_tests(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"gluonbook/{name}" for name in TRACKED if name.startswith(("chapters/", "datasets/"))}
    expected |= {name for name in TRACKED if name.startswith("gluonbook/")}
    assert expected <= names
    assert not [name for name in names if "test" in name]


def test_the_installed_wheel_generates_from_an_empty_folder(installed):
    done = installed("-m", "gluonbook", "lyrics", "generate", "--prefix", "分开", "--length", "20", "--seed", "1")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"分开(.|\n){20}\n", done.stdout)


def test_the_installed_wheel_runs_a_chapter_from_an_empty_folder(installed):
    done = installed("-m", "gluonbook", "run", "15", "--quick")
    assert done.returncode == 0, done.stderr
    assert "claims shown: 15.1 15.2 15.3 15.4" in done.stdout


def test_metadata_refuses_other_pythons_and_has_the_extras(wheel):
    (name,) = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("METADATA")]
    metadata = message_from_string(zipfile.ZipFile(wheel).read(name).decode())
    assert set(metadata["Requires-Python"].split(",")) == {">=3.9", "<3.13"}
    assert set(metadata.get_all("Provides-Extra")) == {"bench", "cpu", "cu112", "d2l", "dev", "docs", "onnx"}
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert {"gluoncv", "matplotlib", "jieba", "numpy"} <= {re.match(r"[\w-]+", line)[0] for line in needed}
    assert not [line for line in needed if line.startswith("mxnet")]
    of_gpu = [line for line in metadata.get_all("Requires-Dist") if re.search(r"extra == .cu112", line)]
    assert len([line for line in of_gpu if line.startswith("nvidia-")]) == 9


def test_public_names_are_the_stub_s_and_each_has_a_docstring():
    tree = ast.parse((ROOT / "gluonbook" / "__init__.pyi").read_text(encoding="utf-8"))
    names = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(gluonbook.__all__) == sorted(names)
    assert set(names) <= set(dir(gluonbook))
    assert [name for name in names if not getattr(gluonbook, name).__doc__] == []


@pytest.mark.parametrize(
    "package",
    [
        *("gluonbook", "gluonbook.book", "gluonbook.data", "gluonbook.detection", "gluonbook.lyrics"),
        *("gluonbook.models", "gluonbook.scratch", "gluonbook.style", "gluonbook.training", "gluonbook.weights"),
    ],
)
def test_no_public_name_is_that_of_a_module_that_would_hide_it(package):
    """Importing ``package.name`` sets the package's attribute to the module: a function of that name would be gone."""
    module = importlib.import_module(package)
    (folder,) = module.__path__
    stub = (Path(folder) / "__init__.pyi").read_text(encoding="utf-8")
    modules = {found.name for found in pkgutil.iter_modules(module.__path__)}
    meant = set(re.findall(r"^from \. import (\w+) as", stub, re.MULTILINE))
    assert set(module.__all__) & modules == meant


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_says_which_pythons_it_looked_for(tmp_path):
    command = ["make", f"{tmp_path}/venv/python", f"VENV={tmp_path}/venv", "PYTHON=python-that-is-not"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no Python 3.9 to 3.12" in done.stderr
    assert "python-that-is-not" in done.stderr


def test_nothing_names_the_workplace():
    """Code and documents name no folder outside the project and no machine's path."""
    pattern = re.compile(r"\.\./shared|/work/|/root/|/home/|\.library|NOTES_MAP|DESIGN\.md")
    for name in TRACKED:
        if (
            (ROOT / name).is_file()
            and not name.endswith((".otf", ".woff2", ".params", ".weights", ".png", ".jpg"))
            and name != "tests/test_package.py"
        ):
            assert not pattern.search((ROOT / name).read_text(encoding="utf-8")), name
