"""Weights are found where they lie, checked, downloaded and converted once; the error says what to put where."""

import hashlib
import io
import os
import re
import warnings
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file
from weights_helpers import tree_of, write_old, write_zip

from gluonbook import _files
from gluonbook.data.fetch import DataNotFound, Dataset
from gluonbook.weights import (
    ARCHITECTURES,
    VGG,
    convert,
    find_weights,
    load_weights,
    read_weights,
    save_weights,
    sources,
    vgg,
)

TINY = VGG((1, 2), (2, 3), hidden=4, classes=5, side=2)
TORCH, TIMM, STORE = "tiny-01234567.pth", "tiny.tv_in1k.safetensors", "tiny-76543210.zip"


@pytest.fixture
def here(isolated, monkeypatch):
    """Nobody's folders are looked at; returns the folder that holds the working folder, the cache and what is made."""
    monkeypatch.setenv("MXNET_HOME", str(isolated / "mxnet"))
    monkeypatch.setenv("TORCH_HOME", str(isolated / "torch"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return isolated


@pytest.fixture
def arrays(monkeypatch):
    """Weights of a tiny network by Gluon's names; it is known as tiny."""
    monkeypatch.setitem(ARCHITECTURES, "tiny", TINY)
    rng = np.random.default_rng(0)
    return {entry.name: rng.normal(size=entry.shape).astype(np.float32) for entry in vgg.entries_of("tiny")}


@pytest.fixture
def published(here, served, arrays, monkeypatch):
    """The tiny network's weights as three sites publish them; returns their files' contents by name."""
    torch = {name.replace("features.8", "classifier.0"): array for name, array in arrays.items()}
    torch = {name.replace("features.10", "classifier.3"): array for name, array in torch.items()}
    torch = {name.replace("output", "classifier.6"): array for name, array in torch.items()}
    write_old(here / TORCH, *tree_of(torch))
    save_file(torch, here / TIMM)
    save_weights(here / "tiny-76543210.params", arrays)
    with zipfile.ZipFile(here / STORE, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(here / "tiny-76543210.params", "tiny-76543210.params")
    contents = {name: (here / name).read_bytes() for name in (TORCH, TIMM, STORE, "tiny-76543210.params")}
    for name in contents:
        (here / name).unlink()
    served.pages.update({f"/{name}": data for name, data in contents.items()})
    sha1 = hashlib.sha1(contents["tiny-76543210.params"]).hexdigest()

    def dataset(name, digest=None, **options):
        return Dataset("tiny", name, (f"{served.root}/{name}",), digest, sources.OFFLINE, **options)

    def sha256(name):
        return "sha256:" + hashlib.sha256(contents[name]).hexdigest()

    store = dataset(STORE, check=lambda path: sources._check_store(path, sha1))
    found = (dataset(TORCH, sha256(TORCH)), dataset(TIMM, sha256(TIMM)), store)
    monkeypatch.setitem(sources.SOURCES, "tiny", found)
    unpacked = Dataset("tiny", "tiny-76543210.params", (), f"sha1:{sha1}", sources.OFFLINE)
    monkeypatch.setitem(sources.UNPACKED, STORE, unpacked)
    return contents


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def folders_of(here, monkeypatch):
    monkeypatch.setenv("GLUONBOOK_DATA", str(here / "environment"))
    return [here / "environment", here / "work" / "data", _files.cache_folder()]


def assert_right(path, arrays):
    found = convert(read_weights(path), "tiny").arrays
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


# What is published


def test_the_published_sources_are_those_of_torchvision_timm_and_mxnet():
    from mxnet.gluon.model_zoo import model_store

    for name in ("vgg16", "vgg19"):
        torch, timm, store = sources.SOURCES[name]
        algorithm, digest = torch.digest.split(":")
        assert (algorithm, len(digest)) == ("sha256", 64)
        assert torch.filename == f"{name}-{digest[:8]}.pth"
        assert torch.urls == (f"https://download.pytorch.org/models/{torch.filename}",)
        assert timm.urls == (f"https://huggingface.co/timm/{name}.tv_in1k/resolve/main/model.safetensors",)
        assert len(timm.digest) == len("sha256:") + 64
        sha1 = model_store._model_sha1[name]
        assert store.filename == f"{name}-{sha1[:8]}.zip"
        assert store.urls == (
            model_store._url_format.format(repo_url=model_store.apache_repo_url, file_name=f"{name}-{sha1[:8]}"),
        )
        assert store.check.keywords == {"sha1": sha1}
        assert sources.UNPACKED[store.filename].digest == f"sha1:{sha1}"
        assert sources.UNPACKED[store.filename].filename == f"{name}-{sha1[:8]}.params"
    names = {dataset.filename for found in sources.SOURCES.values() for dataset in found}
    assert {"vgg16-397923af.pth", "vgg19-dcbb9e9d.pth"} <= names


# Downloads


def test_a_download_is_converted_once_and_kept(here, published, served, arrays):
    path = find_weights("tiny")
    assert path == _files.cache_folder() / "tiny.params"
    assert os.listdir(_files.cache_folder()) == ["tiny.params"]
    assert_right(path, arrays)
    assert list(read_weights(path)) == list(arrays)  # Gluon's names, for load_parameters
    assert find_weights("tiny") == path
    assert served.asked == [f"/{TORCH}"]


@pytest.mark.parametrize("damage", ["missing", "wrong"])
def test_the_next_source_is_tried_when_one_fails(here, published, served, arrays, damage):
    names = [TORCH, TIMM, STORE]
    for i, name in enumerate(names[:2]):
        if damage == "missing":
            del served.pages[f"/{name}"]
        else:
            served.pages[f"/{name}"] = published[name] + b"?"
        path = find_weights("tiny")
        assert_right(path, arrays)
        assert served.asked == [f"/{name}" for name in names[: i + 2]]
        assert os.listdir(_files.cache_folder()) == ["tiny.params"]
        path.unlink()
        served.asked.clear()


def test_a_store_whose_params_is_another_is_refused(here, published, served, arrays):
    del served.pages[f"/{TORCH}"], served.pages[f"/{TIMM}"]
    for data, reason in (
        (b"PK\3\4 broken", "it is no zip archive with one .params file"),
        (zip_of({"tiny.params": b"other"}), "the sha1 of tiny.params begins with d0941e68, that of the published file"),
        (zip_of({"a.params": b"", "b.params": b""}), "it is no zip archive with one .params file"),
    ):
        served.pages[f"/{STORE}"] = data
        with pytest.raises(DataNotFound, match=re.escape(reason)):
            find_weights("tiny")
        assert os.listdir(_files.cache_folder()) == []


def zip_of(entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_a_conversion_that_is_stopped_leaves_the_download_to_be_used(here, published, served, arrays, monkeypatch):
    def stop(path, arrays):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sources, "save_weights", stop)
        with pytest.raises(KeyboardInterrupt):
            find_weights("tiny")
    assert os.listdir(_files.cache_folder()) == [TORCH]
    assert_right(find_weights("tiny"), arrays)
    assert served.asked == [f"/{TORCH}"]


# Places


def test_places_are_looked_at_in_order(here, published, served, arrays, monkeypatch):
    folders = folders_of(here, monkeypatch)
    converted = here / "a.params"
    save_weights(converted, arrays)
    others = {
        TORCH: here / "torch" / "hub" / "checkpoints" / TORCH,
        STORE: here / "mxnet" / "models" / "tiny-76543210.params",
    }
    expected = [put(folder / "tiny.params", converted.read_bytes()) for folder in folders]
    for name in (TORCH, TIMM, STORE):
        expected += [put(folder / name, published[name]) for folder in folders]
        if name in others:
            expected.append(put(others[name], published[others[name].name]))
    for path in expected:
        found = find_weights("tiny")
        assert found.resolve() == path.resolve()
        assert_right(found, arrays)
        path.unlink()
    assert served.asked == []
    assert find_weights("tiny") == folders[-1] / "tiny.params"
    assert served.asked == [f"/{TORCH}"]


@pytest.mark.parametrize("name", [TORCH, TIMM, STORE])
def test_a_file_that_is_not_the_published_one_is_left_aside(here, published, served, arrays, name):
    data = bytearray(published[name])
    data[len(data) // 2] ^= 1
    put(_files.cache_folder() / name, data)
    with pytest.warns(UserWarning, match=f"{re.escape(name)} is left aside: ") as said:
        path = find_weights("tiny")
    assert said[0].filename == __file__
    assert path.name == "tiny.params"
    assert_right(path, arrays)


def test_mxnets_cache_is_checked_too(here, published, served, arrays):
    put(here / "mxnet" / "models" / "tiny-76543210.params", published[STORE][:-1])
    with pytest.warns(UserWarning, match="left aside: its sha1 begins with"):
        assert find_weights("tiny").name == "tiny.params"


def test_caches_of_others_are_in_the_home_folder_where_nothing_else_is_said(here, published, monkeypatch):
    for name in ("MXNET_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(here))
    found = {place.what: place.path for place in sources.places_of("tiny")}
    assert found["MXNet's cache"] == here / ".mxnet" / "models" / "tiny-76543210.params"
    assert found["PyTorch's cache"] == here / ".cache" / "torch" / "hub" / "checkpoints" / TORCH


# An explicit path


@pytest.mark.parametrize("name", ["own.pth", "tiny.params"])
def test_a_file_that_is_named_is_taken_as_it_is(here, published, served, arrays, name):
    save_weights(here / name, arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_weights("tiny", here / name) == here / name
        assert find_weights("tiny", str(here / name)) == here / name
    assert served.asked == []


def test_a_folder_that_is_named_is_looked_through_and_no_other(here, published, served, arrays):
    put(here / "mine" / TORCH, published[TORCH])
    assert find_weights("tiny", here / "mine") == here / "mine" / TORCH
    (here / "mine" / TORCH).unlink()
    put(_files.cache_folder() / TORCH, published[TORCH])
    for wanted in ("mine", "mine/none.pth"):
        with pytest.raises(DataNotFound) as error:
            find_weights("tiny", here / wanted)
        assert f"path: {here / wanted}" in str(error.value)
        assert "cache: " not in str(error.value)
    assert served.asked == []


# The error


def test_the_error_lists_every_place_and_source_and_what_works_offline(here, published, served, monkeypatch):
    folders = folders_of(here, monkeypatch)
    served.pages.clear()
    put(_files.cache_folder() / TORCH, b"half a file")
    with pytest.warns(UserWarning, match="left aside"), pytest.raises(DataNotFound) as error:
        find_weights("tiny")
    message = str(error.value)
    assert isinstance(error.value, FileNotFoundError)
    assert message.startswith("the weights tiny were found in none of these places:\n")
    lines = message.splitlines()
    for name in ("tiny.params", TORCH, TIMM, STORE):
        for what, folder in (("$GLUONBOOK_DATA", folders[0]), ("book's folder", "../data"), ("cache", folders[2])):
            reason = "its sha256 begins with" if (name, what) == (TORCH, "cache") else "not there)"
            assert any(line.startswith(f"  {what}: {folder}/{name} ({reason}") for line in lines), (what, name)
    assert f"  PyTorch's cache: {here}/torch/hub/checkpoints/{TORCH} (not there)" in lines
    assert f"  MXNet's cache: {here}/mxnet/models/tiny-76543210.params (not there)" in lines
    for name in (TORCH, TIMM, STORE):
        assert any(line.startswith(f"  download: {served.root}/{name} (") and "404" in line for line in lines)
    assert lines[-1].startswith("Put one of these files there by hand")
    assert lines[-1].endswith("or use --features random, which needs no download")


def test_another_name_is_refused(here):
    with pytest.raises(ValueError, match=r"^name must be one of vgg16, vgg19; got 'resnet'$"):
        find_weights("resnet")


# Loading


def test_weights_are_loaded_by_name(here, published, arrays):
    for _ in range(2):  # downloaded, then kept
        arch, found = load_weights("tiny")
        assert arch == "tiny"
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == np.float32


@pytest.mark.parametrize("kind", ["params", "safetensors", "zip", "old"])
def test_weights_are_loaded_from_any_file_whose_entries_tell_the_network(here, arrays, kind):
    write = {
        "params": save_weights,
        "safetensors": lambda path, arrays: save_file(arrays, path),
        "zip": lambda path, arrays: write_zip(path, *tree_of(arrays)),
        "old": lambda path, arrays: write_old(path, *tree_of(arrays)),
    }[kind]
    features = {
        name: array for name, array in arrays.items() if name[:10] in ("features.0", "features.3", "features.5")
    }
    write(here / "mine", features)
    arch, found = load_weights(str(here / "mine"))
    assert arch == "tiny"
    assert list(found) == list(features)


def test_a_file_that_is_there_and_fits_nothing_is_named(here):
    save_weights(here / "a.params", {"a": np.zeros(2, np.float32)})
    with pytest.raises(ValueError, match=re.escape(f"{here / 'a.params'}: weights of no known network: a (2,);")):
        load_weights(here / "a.params")
    with pytest.raises(FileNotFoundError, match=r"^vgg11 is not there: expected vgg16, vgg19, or a file of weights$"):
        load_weights("vgg11")
    with pytest.raises(ValueError, match="is a folder"):
        load_weights(here)


def test_kept_weights_that_lack_convolutions_are_told_by_file(here, arrays):
    path = _files.cache_folder() / "tiny.params"
    save_weights(path, {"features.0.weight": arrays["features.0.weight"]})
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: convolutions of tiny are missing"):
        load_weights("tiny")
