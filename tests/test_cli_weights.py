"""``gluonbook weights``: what list, fetch and convert print and write, and their errors."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from cli_helpers import assert_refused
from safetensors.numpy import save_file
from weights_helpers import Call, Name, tree_of, write_old, write_zip

from gluonbook import _files
from gluonbook._mxnet import gluon
from gluonbook.data.fetch import Dataset
from gluonbook.weights import ARCHITECTURES, VGG, read_weights, save_weights, sources, vgg

TINY = VGG((1, 2), (2, 3), hidden=4096, classes=5, side=2)  # Gluon's hidden layers are never smaller


@pytest.fixture(scope="module")
def arrays():
    """Weights of a small network by Gluon's names."""
    ARCHITECTURES["tiny"] = TINY
    try:
        rng = np.random.default_rng(0)
        return {entry.name: rng.standard_normal(entry.shape, np.float32) / 50 for entry in vgg.entries_of("tiny")}
    finally:
        del ARCHITECTURES["tiny"]


@pytest.fixture
def here(isolated, monkeypatch):
    """An empty working folder, nobody's caches, and a network called tiny."""
    monkeypatch.setenv("MXNET_HOME", str(isolated / "mxnet"))
    monkeypatch.setenv("TORCH_HOME", str(isolated / "torch"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setitem(ARCHITECTURES, "tiny", TINY)
    return isolated / "work" / "here"


@pytest.fixture
def features(arrays):
    return {name: array for name, array in arrays.items() if name[:10] in ("features.0", "features.3", "features.5")}


def digest(path):
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


# list


def test_list_says_what_is_there_and_where_each_is_published(here, cli):
    _files.cache_folder().mkdir(parents=True)
    kept = _files.cache_folder() / "vgg19.params"
    kept.write_bytes(b"")
    status, out, err = cli("weights", "list")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "vgg16   not on this machine"
    assert lines[1].strip() == "https://download.pytorch.org/models/vgg16-397923af.pth"
    assert lines[4] == f"vgg19   {kept} (cache)"
    assert [line.strip()[:25] for line in lines[5:8]] == [
        "https://download.pytorch.",
        "https://huggingface.co/ti",
        "https://apache-mxnet.s3-a",
    ]


def test_list_knows_the_caches_of_pytorch_and_mxnet(here, cli):
    for name in ("torch/hub/checkpoints/vgg16-397923af.pth", "mxnet/models/vgg19-ad2f660d.params"):
        path = here.parent.parent / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    _, out, _ = cli("weights", "list")
    assert "vgg16-397923af.pth (PyTorch's cache)" in out
    assert "vgg19-ad2f660d.params (MXNet's cache)" in out


# fetch


def test_fetch_prints_path_digest_and_what_is_missing(here, served, cli, features, monkeypatch):
    write_old(here / "a.pth", *tree_of({**features, "extra": np.zeros(2, np.float32)}))
    served.pages["/a.pth"] = (here / "a.pth").read_bytes()
    source = Dataset("tiny", "a.pth", (f"{served.root}/a.pth",), f"sha256:{digest(here / 'a.pth')}", "nothing")
    monkeypatch.setitem(sources.SOURCES, "tiny", (source,))
    status, out, err = cli("weights", "fetch", "tiny")
    again = cli("weights", "fetch", "tiny")
    assert served.asked == ["/a.pth"]
    kept = _files.cache_folder() / "tiny.params"
    assert status == 0
    assert out.splitlines()[:4] == [str(kept), f"SHA-256  {digest(kept)}", "taken    6 arrays", "missing  6"]
    assert out.splitlines()[4:] == [
        *(f"         {name}" for name in ("features.8.weight", "features.8.bias", "features.10.weight")),
        *(f"         {name}" for name in ("features.10.bias", "output.weight", "output.bias")),
        "surplus  none",
    ]
    assert "100%" in err  # the progress bar
    assert again == (0, out, "")


def test_fetch_of_what_cannot_be_had_tells_places_and_sources(here, served, cli, monkeypatch):
    source = Dataset("tiny", "a.pth", (f"{served.root}/a.pth",), "sha256:0", "nothing")
    monkeypatch.setitem(sources.SOURCES, "tiny", (source,))
    status, out, err = cli("weights", "fetch", "tiny")
    assert (status, out) == (2, "")
    assert err.startswith("gluonbook: the weights tiny were found in none of these places:\n")
    assert f"download: {served.root}/a.pth (404" in err
    assert err.endswith("or use --features random, which needs no download\n")
    assert "Traceback" not in err


def test_fetch_of_another_network_is_refused(here, cli):
    assert_refused(cli("weights", "fetch", "resnet"), "name must be one of vgg16, vgg19, tiny; got 'resnet'")


# convert


def test_convert_writes_what_gluon_loads_and_tells_all(here, cli, arrays):
    write_zip("a.bin", *tree_of({f"module.{name}": array for name, array in arrays.items()}))
    status, out, err = cli("weights", "convert", "a.bin", "-o", "new/b.params")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"a.bin: PyTorch .pth, SHA-256 {digest('a.bin')}",
        "network  tiny, as its entries tell",
        "taken    12 arrays",
        "missing  none",
        "surplus  none",
        f"new/b.params: SHA-256 {digest('new/b.params')}",
    ]
    net = gluon.model_zoo.vision.VGG([1, 2], [2, 3], classes=5)
    net.load_parameters("new/b.params")
    for name, param in net._collect_params_with_prefix().items():
        np.testing.assert_array_equal(param.data().asnumpy(), arrays[name])
    assert os.listdir("new") == ["b.params"]


@pytest.mark.parametrize(
    ("kind", "format"),
    [
        ("params", "Gluon .params"),
        ("safetensors", "safetensors file"),
        ("zip", "PyTorch .pth"),
        ("old", "PyTorch .pth of before version 1.6"),
    ],
)
def test_convert_lists_each_missing_and_surplus_entry(here, cli, features, kind, format):
    write = {
        "params": save_weights,
        "safetensors": lambda path, arrays: save_file(arrays, path),
        "zip": lambda path, arrays: write_zip(path, *tree_of(arrays)),
        "old": lambda path, arrays: write_old(path, *tree_of(arrays)),
    }[kind]
    write("a", {**features, "extra.weight": np.zeros(2, np.float32), "steps": np.array([7])})
    status, out, err = cli("weights", "convert", "a", "--arch", "tiny", "-o", "b.params")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"a: {format}, SHA-256 ")
    assert lines[1:4] == ["network  tiny", "taken    6 arrays", "missing  6"]
    assert lines[4:10] == [f"         {name}" for name in vgg_classifier()]
    assert lines[10:13] == ["surplus  2", "         extra.weight", "         steps"]
    found = read_weights("b.params")
    assert list(found) == list(features)
    for name, array in features.items():
        np.testing.assert_array_equal(found[name], array)


def vgg_classifier():
    return [f"{layer}.{kind}" for layer in ("features.8", "features.10", "output") for kind in ("weight", "bias")]


def test_converting_twice_changes_nothing(here, cli, features):
    save_weights("a.params", features)
    assert cli("weights", "convert", "a.params", "-o", "b.params")[0] == 0
    assert cli("weights", "convert", "b.params", "-o", "c.params")[0] == 0
    assert digest("b.params") == digest("c.params")


@pytest.mark.parametrize("out", ["a.params", "./a.params", "folder/../a.params", "link.params", "hard.params"])
def test_the_file_that_is_read_is_not_overwritten(here, cli, features, out):
    save_weights("a.params", features)
    os.mkdir("folder")
    os.symlink("a.params", "link.params")
    os.link("a.params", "hard.params")
    before = digest("a.params")
    assert_refused(cli("weights", "convert", "a.params", "-o", out), "would overwrite the file that is read")
    assert digest("a.params") == before


def test_an_older_file_is_replaced_and_stays_where_conversion_fails(here, cli, features):
    save_weights("a.params", features)
    (here / "b.params").write_bytes(b"mine")
    assert_refused(cli("weights", "convert", "a.params", "--arch", "vgg19", "-o", "b.params"), "are missing")
    assert (here / "b.params").read_bytes() == b"mine"
    assert cli("weights", "convert", "a.params", "-o", "b.params")[0] == 0
    assert list(read_weights("b.params")) == list(features)
    assert sorted(os.listdir(".")) == ["a.params", "b.params"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.pth", "-o", "b.params"], "nowhere.pth is not there: expected a file of weights"),
        (
            ["page.pth", "-o", "b.params"],
            "page.pth is no file of weights (.params, .safetensors, .pth): it begins with",
        ),
        (["evil.pth", "-o", "b.params"], "evil.pth is not a readable PyTorch .pth: its pickle asks for 'os.system'"),
        (["cut.pth", "-o", "b.params"], "cut.pth is not a readable PyTorch .pth: a broken zip archive"),
        (["other.params", "-o", "b.params"], "other.params: weights of no known network: a (2,); vgg16: convolutions"),
        (["other.params", "--arch", "tiny", "-o", "b.params"], "other.params: convolutions of tiny are missing: feat"),
        (["other.params", "--arch", "vgg", "-o", "b.params"], "arch must be one of vgg16, vgg19, tiny; got 'vgg'"),
        (["folder", "-o", "b.params"], "folder is a folder: expected a file of weights"),
        (["other.params", "-o", "folder"], "folder is a folder: give the name of a file to write (-o)"),
        (["other.params"], "Missing option '-o'"),
        ([], "Missing argument 'FILE'"),
    ],
)
def test_errors_are_one_line_and_nothing_is_written(here, cli, features, words, message):
    (here / "page.pth").write_text("<!DOCTYPE html>")
    write_zip("evil.pth", Call(Name("os.system"), ("touch run",)), [])
    write_zip("cut.pth", *tree_of(features))
    (here / "cut.pth").write_bytes((here / "cut.pth").read_bytes()[:-10])
    save_weights("other.params", {"a": np.zeros(2, np.float32)})
    os.mkdir("folder")
    assert_refused(cli("weights", "convert", *words), message)
    assert sorted(os.listdir(".")) == ["cut.pth", "evil.pth", "folder", "other.params", "page.pth"]


def test_weights_alone_says_what_there_is_to_do(here, cli):
    _, out, err = cli("weights")  # click 8.1 prints it, later ones complain with it
    assert {"list", "fetch", "convert"} <= set((out + err).split())


def test_the_packages_names_are_loaded_when_they_are_used():
    code = "import sys, gluonbook; gluonbook.weights; print({'mxnet', 'numpy', 'safetensors'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
