"""A model's folder: the same bits back, and an error for each way in which it can be broken."""

import json

import numpy as np
import pytest

from gluonbook._mxnet import mx, nd
from gluonbook.lyrics import LanguageModel, TrainedModel, Vocabulary, load_model, save_model
from gluonbook.lyrics.saved import build_net

SETTINGS = {"cell": "lstm", "num_hiddens": 5, "num_layers": 2, "embedding_size": 3, "dropout": 0.25}


def small_model(seed=0, **changes):
    settings = {**SETTINGS, **changes}
    mx.random.seed(seed)
    net = LanguageModel(6, **settings)
    net.initialize(mx.init.Uniform(0.5))
    weights = {name: param.data().asnumpy() for name, param in net._collect_params_with_prefix().items()}
    history = [{"epoch": 1, "train": 12.345678901234567, "held_out": None, "lr": 0.015, "seconds": 0.1}]
    return TrainedModel(weights, Vocabulary.from_tokens(list("分开\n<'é")), {**settings, "level": "char"}, history)


@pytest.fixture
def folder(tmp_path):
    """A folder with a model in it."""
    save_model(tmp_path / "model", small_model())
    return tmp_path / "model"


@pytest.mark.parametrize("changes", [{}, {"embedding_size": None}, {"cell": "rnn_relu", "num_layers": 1}])
def test_a_model_comes_back_bit_for_bit(tmp_path, changes):
    model = small_model(**changes)
    assert save_model(tmp_path / "a" / "b", model) == tmp_path / "a" / "b" / "model.json"
    loaded = load_model(tmp_path / "a" / "b")
    assert list(loaded.weights) == list(model.weights)
    for name, weight in model.weights.items():
        assert loaded.weights[name].dtype == np.float32
        np.testing.assert_array_equal(loaded.weights[name], weight)
    assert loaded.vocabulary.tokens == model.vocabulary.tokens
    assert loaded.settings == model.settings
    assert loaded.history == model.history


def test_two_files_are_written_and_no_more(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.params"]


def test_the_same_model_gives_the_same_files(folder, tmp_path):
    save_model(tmp_path / "again", small_model())
    for name in ("model.json", "model.params"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_model_may_be_written_over_another(folder):
    save_model(folder, small_model(seed=1))
    np.testing.assert_array_equal(load_model(folder).weights["dense.weight"], small_model(1).weights["dense.weight"])


def test_the_network_has_the_models_weights(folder):
    model = load_model(folder)
    net = build_net(model, mx.cpu())
    assert (net.vocab_size, len(net.layers), net.layers[0]._hidden_size) == (6, 2, 5)
    assert net.dropout._rate == 0.25
    params = net._collect_params_with_prefix()
    assert sorted(params) == sorted(model.weights)
    for name, param in params.items():
        np.testing.assert_array_equal(param.data().asnumpy(), model.weights[name])


def test_an_empty_folder_says_how_to_make_a_model(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.json is not there: .*; gluonbook lyrics train --out .* makes"):
        load_model(tmp_path)


def test_missing_weights_are_named(folder):
    (folder / "model.params").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.params is not there"):
        load_model(folder)


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_truncated_weights_are_no_model(folder, length):
    data = (folder / "model.params").read_bytes()
    (folder / "model.params").write_bytes(data[:length])
    with pytest.raises(ValueError, match=r"model\.params"):
        load_model(folder)


def test_weights_of_another_kind_of_file_are_no_model(folder):
    (folder / "model.params").write_bytes(b"PK\x03\x04" + bytes(500))
    with pytest.raises(ValueError, match=r"model\.params is not a readable \.params file"):
        load_model(folder)


def test_weights_without_names_are_no_model(folder):
    nd.save(str(folder / "model.params"), [nd.zeros(3)])
    with pytest.raises(ValueError, match=r"model\.params holds arrays without names"):
        load_model(folder)


def test_files_of_two_models_are_refused(folder, tmp_path):
    save_model(tmp_path / "other", small_model(seed=1))
    (tmp_path / "other" / "model.params").replace(folder / "model.params")
    with pytest.raises(ValueError, match=r"model\.params and .*model\.json do not belong together"):
        load_model(folder)


@pytest.mark.parametrize("content", ["", "{", "weights", "\ufffe".encode("utf-16").decode("latin-1")])
def test_a_description_that_is_not_json_is_refused(folder, content):
    (folder / "model.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"model\.json is not a JSON file"):
        load_model(folder)


@pytest.mark.parametrize("key", ["settings", "history", "params_sha256", "tokens"])
def test_a_description_that_lacks_something_is_refused(folder, key):
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    del description[key]
    (folder / "model.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"model\.json is not a model's description: it lacks {key}$"):
        load_model(folder)


@pytest.mark.parametrize("content", ["[]", "3", "null"])
def test_json_of_another_kind_is_no_description(folder, content):
    (folder / "model.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"model\.json is not a model's description"):
        load_model(folder)


def test_a_model_that_cannot_be_written_leaves_the_old_one(folder):
    model = small_model(seed=1)
    broken = TrainedModel({**model.weights, "dense.bias": "not an array"}, model.vocabulary, model.settings)
    with pytest.raises((TypeError, ValueError)):
        save_model(folder, broken)
    np.testing.assert_array_equal(load_model(folder).weights["dense.weight"], small_model().weights["dense.weight"])
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.params"]


def test_settings_without_the_architecture_are_refused(folder):
    path = folder / "model.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    del description["settings"]["cell"]
    path.write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ValueError, match=r"model\.json is not a model's description: its settings lack cell"):
        load_model(folder)
