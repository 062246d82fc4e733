"""A lyrics model's folder: the same bits, vocabulary and settings back. How a folder can be broken: test_models."""

import json

import numpy as np
import pytest

from gluonbook._mxnet import mx
from gluonbook.lyrics import LanguageModel, TrainedModel, Vocabulary, load_model, save_model
from gluonbook.lyrics.saved import ARCHITECTURE, build_net

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


@pytest.mark.parametrize("key", ["settings", "history", "params_sha256", "tokens"])
def test_a_description_that_lacks_something_is_refused(folder, key):
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    del description[key]
    (folder / "model.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"model\.json is not a model's description: it lacks {key}$"):
        load_model(folder)


@pytest.mark.parametrize("setting", [*ARCHITECTURE, "level"])
def test_settings_without_the_architecture_are_refused(folder, setting):
    path = folder / "model.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    del description["settings"][setting]
    path.write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"model\.json is not a model's description: its settings lack {setting}$"):
        load_model(folder)
