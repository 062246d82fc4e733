"""A detector's folder: kernels in float16, all else to the bit; the network it is built into; what is refused.

How a folder can be broken: test_models.
"""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gluonbook import _files
from gluonbook._mxnet import gluon, mx, nd
from gluonbook.detection import TrainedDetector, load_detector, make_detector, save_detector, tiny_ssd
from gluonbook.detection.families import networks
from gluonbook.detection.saved import build_net, embedded_detector
from gluonbook.detection.ssd import mobilenet_ssd

CLASSES = ("balloon", "鱼")
SETTINGS = {"network": "tiny", "size": 64, "lr": 0.0015}
HISTORY = [{"epoch": 1, "cls": 12.345678901234567, "voc07": 0.1, "by_class": {"balloon": 0.2, "鱼": 0.0}}]
RELATIVE, ABSOLUTE = 2.0**-11, 2.0**-25  # half a unit in float16's last place: of normal numbers, and of those below


def trained(weights, **changes):
    return TrainedDetector(weights, CLASSES, {**SETTINGS, **changes}, HISTORY)


def weights_of(net, seed=0):
    """Draw a network's weights, batch norm's statistics included, and return them by name."""
    mx.random.seed(seed)
    net.initialize(mx.init.Xavier(magnitude=3))
    net(nd.zeros((1, 3, 64, 64)))
    rng = np.random.default_rng(seed)
    for name, param in net._collect_params_with_prefix().items():
        if "running_var" in name or "gamma" in name:
            param.set_data(nd.array(rng.uniform(0.5, 2, param.shape)))
        elif "bias" in name or "beta" in name or "running_mean" in name:
            param.set_data(nd.array(rng.standard_normal(param.shape) / 3))
    return {name: param.data().asnumpy() for name, param in net._collect_params_with_prefix().items()}


@pytest.fixture(scope="module")
def model():
    """A TinySSD of random weights."""
    return trained(weights_of(tiny_ssd(2)))


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    save_detector(folder, model)
    return folder


def copy_with(folder, target, change):
    """Copy a detector with its description changed."""
    target.mkdir()
    (target / "model.params").write_bytes((folder / "model.params").read_bytes())
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    change(description)
    (target / "model.json").write_text(json.dumps(description), encoding="utf-8")
    return target


# There and back


def test_a_detector_comes_back(model, folder):
    loaded = load_detector(folder)
    assert loaded.classes == CLASSES
    assert (loaded.settings, loaded.history) == (model.settings, model.history)
    assert list(loaded.weights) == list(model.weights)
    for name, weight in model.weights.items():
        found = loaded.weights[name]
        assert (found.dtype, found.shape) == (np.float32, weight.shape)
        if weight.ndim == 1:
            assert found.tobytes() == weight.tobytes(), name
        else:
            assert (np.abs(found - weight) <= np.maximum(RELATIVE * np.abs(weight), ABSOLUTE)).all(), name
            assert not np.array_equal(found, weight), name


def test_kernels_take_half_the_place(model, folder):
    stored = nd.load(str(folder / "model.params"))
    assert {array.dtype for name, array in stored.items() if array.ndim == 4} == {np.float16}
    assert {array.dtype for name, array in stored.items() if array.ndim == 1} == {np.float32}
    size = (folder / "model.params").stat().st_size
    values = sum(weight.size for weight in model.weights.values())
    assert 2 * values < size < 2.2 * values


@settings(max_examples=50, deadline=None)
@given(
    weight=hnp.arrays(
        "float32", hnp.array_shapes(min_dims=1, max_dims=4, max_side=4), elements=st.floats(-7e4, 7e4, width=32)
    )
)
def test_no_value_moves_by_more_than_float16_says(tmp_path_factory, weight):
    folder = tmp_path_factory.mktemp("detector")
    save_detector(folder, trained({"w": weight}))
    found = load_detector(folder).weights["w"]
    assert np.isfinite(found).all()
    if weight.ndim < 2 or np.abs(weight).max() > 65504:  # float16's largest
        assert found.tobytes() == weight.tobytes()
    else:
        assert (np.abs(found - weight) <= np.maximum(RELATIVE * np.abs(weight), ABSOLUTE)).all()


@pytest.mark.parametrize("largest", [65504.0, 65505.0, 1e30])
def test_kernels_too_large_for_float16_are_kept_whole(tmp_path, largest):
    weight = np.array([[1 / 3, -largest]], np.float32)
    save_detector(tmp_path, trained({"w": weight}))
    found = load_detector(tmp_path).weights["w"]
    assert found[0, 1] == -np.float32(largest)
    assert (found[0, 0] == np.float32(1 / 3)) == (largest > 65504)


def test_what_was_read_is_written_again_without_a_further_loss(folder, tmp_path):
    save_detector(tmp_path, load_detector(folder))
    assert (tmp_path / "model.params").read_bytes() == (folder / "model.params").read_bytes()


def test_a_detector_without_kernels_or_history_is_kept(tmp_path):
    save_detector(tmp_path, TrainedDetector({"b": np.ones(3, np.float32)}, ("a",), SETTINGS))
    loaded = load_detector(tmp_path)
    assert (loaded.classes, loaded.history) == (("a",), [])


# The network


@pytest.mark.parametrize("make", [tiny_ssd, mobilenet_ssd])
def test_the_network_computes_what_the_one_it_was_made_from_does(make):
    net = make(2)
    weights = weights_of(net)
    built = build_net(trained(weights, network="tiny" if make is tiny_ssd else "mobilenet"), mx.cpu(1))
    X = nd.random.normal(shape=(2, 3, 64, 64))
    for ours, theirs in zip(built(X.as_in_context(mx.cpu(1))), net(X)):
        assert ours.context == mx.cpu(1)
        np.testing.assert_allclose(ours.asnumpy(), theirs.asnumpy(), rtol=1e-3, atol=1e-4)
    assert built._active  # hybridized


def test_a_network_is_built_after_any_number_of_others(model):
    """Gluon counts the layers of a process up: names must not go by that."""
    with mx.name.NameManager():
        for _ in range(9):
            gluon.nn.BatchNorm()
        net = build_net(model, mx.cpu())
    for name, param in net._collect_params_with_prefix().items():
        assert param.data().asnumpy().tobytes() == model.weights[name].tobytes()


def test_the_written_detector_finds_what_the_given_one_does(model, folder):
    """Kernels in float16 move scores and corners by less than a hundredth."""
    pictures = [np.random.default_rng(i).integers(0, 256, (50, 80, 3)).astype(np.uint8) for i in range(3)]
    ours, theirs = (make_detector(one, "cpu").find(pictures) for one in (model, load_detector(folder)))
    for one, other in zip(ours, theirs):
        assert len(one) > 10
        for row in one[:10]:
            alike = other[other[:, 0] == row[0]]
            assert np.abs(alike[:, 1:] - row[1:]).max(axis=1).min() < 0.01


@pytest.mark.parametrize("change", [lambda names: names[1:], lambda names: [*names, "cls_heads.9.bias"]])
def test_weights_of_other_names_are_refused(model, change):
    names = change(list(model.weights))
    (odd,) = set(names) ^ set(model.weights)
    weights = {name: model.weights.get(name, np.zeros(3, np.float32)) for name in names}
    told = rf"^the weights are not those of the network 'tiny' for 2 classes: {odd}$".replace(".", r"\.")
    with pytest.raises(ValueError, match=told):
        build_net(trained(weights), mx.cpu())


def test_weights_of_another_network_are_refused(model):
    told = r"^the weights are not those of the network 'mobilenet' for 2 classes: base\."
    with pytest.raises(ValueError, match=told):
        build_net(trained(model.weights, network="mobilenet"), mx.cpu())


@pytest.mark.parametrize("classes", [("a",), ("a", "b", "c")])
def test_weights_for_other_classes_are_refused(model, classes):
    told = (
        rf"not those of the network 'tiny' for {len(classes)} classes: cls_heads\.0\.weight is \(12, 64, 3, 3\), not \("
    )
    with pytest.raises(ValueError, match=told):
        build_net(TrainedDetector(model.weights, classes, SETTINGS), mx.cpu())


@pytest.mark.parametrize("shape", [(17,), (4, 4), ()])
def test_a_weight_of_another_shape_is_refused(model, shape):
    weights = {**model.weights, "cls_heads.0.bias": np.zeros(shape, np.float32)}
    with pytest.raises(ValueError, match=r"cls_heads\.0\.bias is \(.*\), not \(12,\)$"):
        build_net(trained(weights), mx.cpu())


# What is refused


def test_an_empty_folder_says_how_to_make_a_detector(tmp_path):
    told = r"model\.json is not there: no model in this folder; gluonbook detect-train DATA --out .* makes one$"
    with pytest.raises(FileNotFoundError, match=told):
        load_detector(tmp_path)


@pytest.mark.parametrize("key", ["settings", "classes", "history", "params_sha256"])
def test_a_description_that_lacks_something_is_refused(folder, tmp_path, key):
    copy = copy_with(folder, tmp_path / "copy", lambda description: description.pop(key))
    with pytest.raises(ValueError, match=rf"model\.json is not a model's description: it lacks {key}$"):
        load_detector(copy)


@pytest.mark.parametrize("setting", ["network", "size"])
def test_settings_that_a_detector_needs_are_missed(folder, tmp_path, setting):
    copy = copy_with(folder, tmp_path / "copy", lambda description: description["settings"].pop(setting))
    with pytest.raises(ValueError, match=rf"model\.json is not a model's description: its settings lack {setting}$"):
        load_detector(copy)


def test_a_network_of_another_version_is_refused(folder, tmp_path):
    copy = copy_with(folder, tmp_path / "copy", lambda description: description["settings"].update(network="vgg"))
    told = rf"^{copy} holds a network 'vgg' that this version does not know: {', '.join(networks())}$"
    with pytest.raises(ValueError, match=told):
        load_detector(copy)


def test_a_lyrics_model_is_no_detector(tmp_path):
    lyrics = _files.packaged("datasets") / "lyrics" / "model"
    with pytest.raises(ValueError, match=r"model\.json is not a model's description: it lacks classes$"):
        load_detector(lyrics)


def test_the_embedded_detector_lies_with_the_datasets():
    assert embedded_detector() == _files.packaged("datasets") / "detection" / "model"
