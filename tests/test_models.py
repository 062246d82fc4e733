"""A model's folder: the same bits back, and an error for each way in which it can be broken."""

import hashlib
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gluonbook import _models
from gluonbook._mxnet import nd

ABOUT = {"settings": {"cell": "gru", "lr": 0.1}, "classes": ["鱼", "<a>"], "history": [{"loss": 12.345678901234567}]}
MAKER = "gluonbook make"
BOTH = ["model.json", "model.params"]


def weights(seed=0):
    rows = np.random.RandomState(seed)
    return {"dense.weight": rows.randn(3, 2).astype("float32"), "dense.bias": rows.randn(3).astype("float32")}


@pytest.fixture
def folder(tmp_path):
    """A folder with a model in it."""
    _models.write(tmp_path / "model", weights(), ABOUT)
    return tmp_path / "model"


def read(folder, needed=("classes", "history"), needed_settings=("cell",)):
    return _models.read(folder, needed, needed_settings, MAKER)


def describe_again(folder, change):
    """Change a model's description as it is on disk."""
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    change(description)
    (folder / "model.json").write_text(json.dumps(description), encoding="utf-8")


def test_a_model_comes_back_bit_for_bit(tmp_path):
    assert _models.write(tmp_path / "a" / "b", weights(), ABOUT) == tmp_path / "a" / "b" / "model.json"
    found, description = read(tmp_path / "a" / "b")
    assert list(found) == list(weights())
    for name, weight in weights().items():
        assert found[name].dtype == np.float32
        assert found[name].tobytes() == weight.tobytes()
    digest = hashlib.sha256((tmp_path / "a" / "b" / "model.params").read_bytes()).hexdigest()
    assert description == {"params_sha256": digest, **ABOUT}


@settings(max_examples=30, deadline=None)
@given(
    weight=hnp.arrays(
        st.sampled_from(["float16", "float32"]),
        hnp.array_shapes(min_dims=1, max_dims=4, max_side=4),
        elements=st.floats(-6e4, 6e4, width=16),
    )
)
def test_an_array_is_kept_in_its_dtype_and_read_as_float32(tmp_path_factory, weight):
    folder = tmp_path_factory.mktemp("model")
    _models.write(folder, {"w": weight}, ABOUT)
    assert nd.load(str(folder / "model.params"))["w"].dtype == weight.dtype
    (found,) = read(folder)[0].values()
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, weight.astype(np.float32))


def test_two_files_are_written_and_no_more(folder):
    assert sorted(path.name for path in folder.iterdir()) == BOTH


def test_the_same_model_gives_the_same_files(folder, tmp_path):
    _models.write(tmp_path / "again", weights(), ABOUT)
    for name in BOTH:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_model_may_be_written_over_another(folder):
    _models.write(folder, weights(1), ABOUT)
    np.testing.assert_array_equal(read(folder)[0]["dense.weight"], weights(1)["dense.weight"])


def test_an_empty_folder_says_how_to_make_a_model(tmp_path):
    told = rf"model\.json is not there: no model in this folder; gluonbook make --out {re.escape(str(tmp_path))} makes"
    with pytest.raises(FileNotFoundError, match=told):
        read(tmp_path)


def test_missing_weights_are_named(folder):
    (folder / "model.params").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.params is not there"):
        read(folder)


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_truncated_weights_are_no_model(folder, length):
    data = (folder / "model.params").read_bytes()
    (folder / "model.params").write_bytes(data[:length])
    with pytest.raises(ValueError, match=r"model\.params"):
        read(folder)


def test_weights_of_another_kind_of_file_are_no_model(folder):
    (folder / "model.params").write_bytes(b"PK\x03\x04" + bytes(500))
    with pytest.raises(ValueError, match=r"model\.params is not a readable \.params file"):
        read(folder)


def test_weights_without_names_are_no_model(folder):
    nd.save(str(folder / "model.params"), [nd.zeros(3)])
    with pytest.raises(ValueError, match=r"model\.params holds arrays without names"):
        read(folder)


def test_files_of_two_models_are_refused(folder, tmp_path):
    _models.write(tmp_path / "other", weights(1), ABOUT)
    (tmp_path / "other" / "model.params").replace(folder / "model.params")
    with pytest.raises(ValueError, match=r"model\.params and .*model\.json do not belong together"):
        read(folder)


@pytest.mark.parametrize("content", ["", "{", "weights", "\ufffe".encode("utf-16").decode("latin-1")])
def test_a_description_that_is_not_json_is_refused(folder, content):
    (folder / "model.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"model\.json is not a JSON file"):
        read(folder)


@pytest.mark.parametrize("key", ["settings", "params_sha256", "classes", "history"])
def test_a_description_that_lacks_something_is_refused(folder, key):
    describe_again(folder, lambda description: description.pop(key))
    with pytest.raises(ValueError, match=rf"model\.json is not a model's description: it lacks {key}$"):
        read(folder)


def test_all_that_a_description_lacks_is_named(folder):
    with pytest.raises(ValueError, match=r"it lacks name, tokens$"):
        read(folder, needed=("tokens", "history", "name"))


def test_settings_that_are_missing_are_named(folder):
    with pytest.raises(ValueError, match=r"model\.json is not a model's description: its settings lack level, size$"):
        read(folder, needed_settings=("size", "cell", "level"))


@pytest.mark.parametrize("content", ["[]", "3", "null"])
def test_json_of_another_kind_is_no_description(folder, content):
    (folder / "model.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"model\.json is not a model's description: it lacks classes, history, par"):
        read(folder)


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_stopped_while_the_arrays_are_written_the_old_model_is_whole(folder, monkeypatch, error):
    def write_half(name, arrays):
        with open(name, "wb") as file:
            file.write(b"half")
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(_models.nd, "save", write_half)
        with pytest.raises(type(error)):
            _models.write(folder, weights(1), ABOUT)
    np.testing.assert_array_equal(read(folder)[0]["dense.weight"], weights()["dense.weight"])
    assert sorted(path.name for path in folder.iterdir()) == BOTH


def test_stopped_between_its_two_files_a_model_is_not_taken_for_whole(folder, monkeypatch):
    """The new arrays stand beside the old description: the digest tells them apart."""

    def stop(path, value):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(_models._files, "write_json", stop)
        with pytest.raises(KeyboardInterrupt):
            _models.write(folder, weights(1), ABOUT)
    with pytest.raises(ValueError, match="do not belong together"):
        read(folder)
