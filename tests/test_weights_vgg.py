"""Names and shapes of VGG's weights are those of Gluon, torchvision and timm; conversion tells what does not fit."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonbook._mxnet import gluon, mx, nd
from gluonbook.weights import ARCHITECTURES, VGG, convert, save_weights, vgg, which_architecture

# Where torchvision's Sequential of features has its convolutions, as print(torchvision.models.vgg19()) shows them.
PLACES = {
    "vgg16": [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28],
    "vgg19": [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34],
}
TINY = VGG((1, 2), (2, 3), hidden=4, classes=5, side=2)
EACH = pytest.mark.parametrize("arch", ["vgg16", "vgg19"])
STYLES = ["gluon", "torchvision", "timm", "old gluon", "old gluon without its prefix", "parallel", "in a model"]


@pytest.fixture
def tiny(monkeypatch):
    """A VGG with blocks of 1 and 2 convolutions; its name."""
    monkeypatch.setitem(ARCHITECTURES, "tiny", TINY)
    return "tiny"


def gluon_shapes(arch):
    """Return Gluon's own names and shapes, from a network that is never given values."""
    net = getattr(gluon.model_zoo.vision, arch)()
    output = net(mx.sym.var("data"))
    found = dict(zip(output.list_arguments(), output.infer_shape(data=(1, 3, 224, 224))[0]))
    return {name: found[param.name] for name, param in net._collect_params_with_prefix().items()}


def empty(shapes):
    """Return float32 zeros that take no memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


def torchvision_shapes(arch):
    convolutions = [shape for shape in gluon_shapes(arch).values() if len(shape) == 4]
    shapes = {}
    for place, shape in zip(PLACES[arch], convolutions):
        shapes.update({f"features.{place}.weight": shape, f"features.{place}.bias": shape[:1]})
    for place, shape in {0: (4096, 25088), 3: (4096, 4096), 6: (1000, 4096)}.items():
        shapes.update({f"classifier.{place}.weight": shape, f"classifier.{place}.bias": shape[:1]})
    return shapes


def in_style(style, gluon_named):
    """Return Gluon-named arrays as others name and shape them; tiny's dense layers are features.8, .10 and output."""
    dense = {"features.8.": 0, "features.10.": 1, "output.": 2}
    of_timm = ["pre_logits.fc1.", "pre_logits.fc2.", "head.fc."]
    convolutions = {"features.0.": 0, "features.3.": 1, "features.5.": 2}
    named = {}
    for name, array in gluon_named.items():
        stem, kind = name[: name.rindex(".") + 1], name[name.rindex(".") + 1 :]
        if style.startswith("old gluon"):
            new = f"dense{dense[stem]}_{kind}" if stem in dense else f"conv{convolutions[stem]}_{kind}"
            new = new if style.endswith("prefix") else f"vgg3_{new}"
        elif style == "timm" and stem in dense:
            new = of_timm[dense[stem]] + kind
            if kind == "weight" and dense[stem] < 2:
                array = array.reshape((4, 3, 2, 2) if dense[stem] == 0 else (4, 4, 1, 1))
        elif style != "gluon" and stem in dense:
            new = f"classifier.{3 * dense[stem]}.{kind}"
        else:
            new = name
        named[{"parallel": "module.", "in a model": "net.model."}.get(style, "") + new] = array
    return named


@pytest.fixture
def tiny_arrays(tiny):
    """Whole weights of the tiny network, by Gluon's names; each value is another."""
    count, arrays = 0, {}
    for entry in vgg.entries_of(tiny):
        size = int(np.prod(entry.shape))
        arrays[entry.name] = np.arange(count, count + size, dtype=np.float32).reshape(entry.shape)
        count += size
    return arrays


# The tables


@EACH
def test_names_and_shapes_are_those_of_gluons_network(arch):
    entries = vgg.entries_of(arch)
    assert {entry.name: entry.shape for entry in entries} == gluon_shapes(arch)
    assert [entry.name for entry in entries] == list(gluon_shapes(arch))


@EACH
def test_old_names_are_those_of_gluons_parameters(arch):
    net = getattr(gluon.model_zoo.vision, arch)()
    params = net._collect_params_with_prefix()
    for entry in vgg.entries_of(arch):
        assert params[entry.name].name[len(net.prefix) :] in entry.known


@EACH
def test_torchvisions_weights_fit(arch):
    shapes = torchvision_shapes(arch)
    found = convert(empty(shapes), arch)
    assert (found.missing, found.surplus) == ((), ())
    assert {name: array.shape for name, array in found.arrays.items()} == gluon_shapes(arch)
    assert list(found.names.values()) == list(shapes)
    assert found.names["output.bias"] == "classifier.6.bias"
    assert which_architecture(empty(shapes)) == arch


@EACH
def test_timms_weights_fit(arch):
    shapes = {name: shape for name, shape in torchvision_shapes(arch).items() if name.startswith("features")}
    shapes.update({"pre_logits.fc1.weight": (4096, 512, 7, 7), "pre_logits.fc1.bias": (4096,)})
    shapes.update({"pre_logits.fc2.weight": (4096, 4096, 1, 1), "pre_logits.fc2.bias": (4096,)})
    shapes.update({"head.fc.weight": (1000, 4096), "head.fc.bias": (1000,)})
    found = convert(empty(shapes), arch)
    assert (found.missing, found.surplus) == ((), ())
    assert {name: array.shape for name, array in found.arrays.items()} == gluon_shapes(arch)


@EACH
def test_the_number_of_weights_is_the_papers(arch):
    """138 and 144 millions (Simonyan & Zisserman 2015, table 2)."""
    total = sum(int(np.prod(entry.shape)) for entry in vgg.entries_of(arch))
    assert round(total / 1e6) == {"vgg16": 138, "vgg19": 144}[arch]


# Conversion


@pytest.mark.parametrize("style", STYLES)
def test_each_way_of_naming_is_understood(tiny, tiny_arrays, style):
    named = in_style(style, tiny_arrays)
    found = convert(named, tiny)
    assert list(found.arrays) == list(tiny_arrays)
    for name, array in tiny_arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
    assert (found.missing, found.surplus) == ((), ())
    assert list(found.names.values()) == list(named)
    assert which_architecture(named) == tiny


@pytest.mark.parametrize("style", STYLES)
def test_features_alone_are_enough(tiny, tiny_arrays, style):
    named = {name: array for name, array in in_style(style, tiny_arrays).items() if array.ndim == 4 or "0" in name}
    features = {
        name: array for name, array in tiny_arrays.items() if name[:10] in ("features.0", "features.3", "features.5")
    }
    named = in_style(style, features)
    found = convert(named, tiny)
    assert list(found.arrays) == list(features)
    assert found.missing == tuple(name for name in tiny_arrays if name not in features)
    assert which_architecture(named) == tiny


def test_half_precision_becomes_float32(tiny, tiny_arrays):
    found = convert({name: array.astype(np.float16) for name, array in tiny_arrays.items()}, tiny)
    assert {array.dtype for array in found.arrays.values()} == {np.dtype(np.float32)}


def test_surplus_entries_are_listed_under_the_files_names(tiny, tiny_arrays):
    named = {f"module.{name}": array for name, array in tiny_arrays.items()}
    named.update({"module.features.1.weight": np.zeros(2), "module.steps": np.array(7)})
    found = convert(named, tiny)
    assert found.surplus == ("module.features.1.weight", "module.steps")
    assert found.names["features.0.bias"] == "module.features.0.bias"


def test_a_prefix_that_not_all_names_have_is_no_prefix(tiny, tiny_arrays):
    named = {f"module.{name}": array for name, array in tiny_arrays.items()}
    with pytest.raises(ValueError, match="convolutions of tiny are missing"):
        convert({**named, "loss": np.zeros(1)}, tiny)


def test_every_missing_convolution_is_listed(tiny, tiny_arrays):
    for lacking in (["features.3.weight", "features.5.bias"], ["features.0.weight"]):
        rest = {name: array for name, array in tiny_arrays.items() if name not in lacking}
        with pytest.raises(ValueError, match=f"^convolutions of tiny are missing: {re.escape(', '.join(lacking))}$"):
            convert(rest, tiny)
    with pytest.raises(ValueError, match=r"^convolutions of tiny are missing: (features\.\d\.\w+(, )?){6}$"):
        convert({}, tiny)


@EACH
def test_every_missing_convolution_of_a_real_network_is_listed(arch):
    shapes = {name: shape for name, shape in torchvision_shapes(arch).items() if name.startswith("classifier")}
    with pytest.raises(ValueError, match="are missing") as error:
        convert(empty(shapes), arch)
    for place in PLACES[arch]:
        assert f"features.{place}.weight" in str(error.value)
        assert f"features.{place}.bias" in str(error.value)


@pytest.mark.parametrize(
    ("style", "name", "shape", "right"),
    [
        ("torchvision", "features.3.weight", (3, 2, 3, 5), (3, 2, 3, 3)),
        ("torchvision", "classifier.6.weight", (7, 4), (5, 4)),
        ("torchvision", "classifier.0.weight", (4, 3, 2, 2), (4, 12)),
        ("timm", "pre_logits.fc1.weight", (4, 12), (4, 3, 2, 2)),
        ("timm", "pre_logits.fc2.bias", (5,), (4,)),
        ("gluon", "output.bias", (5, 1), (5,)),
        ("old gluon", "vgg3_dense0_weight", (12, 4), (4, 12)),
        ("parallel", "module.features.0.bias", (3,), (2,)),
    ],
)
def test_another_shape_is_told_with_the_right_one(tiny, tiny_arrays, style, name, shape, right):
    named = {**in_style(style, tiny_arrays), name: np.zeros(shape, np.float32)}
    message = f"the entry {name!r} must have the shape {right} in tiny, got {shape}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        convert(named, tiny)


def test_whole_numbers_are_no_weights(tiny, tiny_arrays):
    with pytest.raises(ValueError, match=r"^the entry 'output\.bias' must hold floats, got int64$"):
        convert({**tiny_arrays, "output.bias": np.zeros(5, np.int64)}, tiny)


def test_an_entry_under_two_names_is_refused(tiny, tiny_arrays):
    named = {**tiny_arrays, "classifier.6.bias": np.zeros(5, np.float32)}
    message = "the entries 'output.bias' and 'classifier.6.bias' are both output.bias of tiny"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        convert(named, tiny)


def test_another_network_is_refused(tiny_arrays):
    with pytest.raises(ValueError, match=r"^arch must be one of vgg16, vgg19, tiny; got 'resnet'$"):
        convert(tiny_arrays, "resnet")


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(12)), st.sampled_from(STYLES))
def test_the_order_of_the_entries_does_not_matter(order, style):
    ARCHITECTURES["tiny"] = TINY
    try:
        right = {e.name: np.full(e.shape, i, np.float32) for i, e in enumerate(vgg.entries_of("tiny"))}
        named = list(in_style(style, right).items())
        found = convert(dict(named[i] for i in order), "tiny")
        assert list(found.arrays) == list(right)
        assert [array.flat[0] for array in found.arrays.values()] == list(range(12))
    finally:
        del ARCHITECTURES["tiny"]


# Telling the architecture


@EACH
def test_features_with_old_names_are_told_by_their_shapes(arch):
    """vgg19 has all the old names of vgg16's convolutions, and more."""
    shapes = {}
    for entry in vgg.entries_of(arch):
        if entry.is_feature:
            shapes[f"vgg0_{list(entry.known)[1]}"] = entry.shape
    assert "vgg0_conv0_weight" in shapes
    assert which_architecture(empty(shapes)) == arch


def test_of_two_that_fit_the_deeper_is_told(tiny, tiny_arrays, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "shallow", VGG((1, 1), (2, 3), hidden=4, classes=5, side=2))
    features = {name: array for name, array in tiny_arrays.items() if array.shape[0] in (2, 3)}
    assert which_architecture(features) == tiny


def test_what_was_found_and_why_nothing_fits_is_told(tiny_arrays):
    arrays = {f"layer{i}.weight": np.zeros((2, i), np.float32) for i in range(6)}
    with pytest.raises(ValueError, match="weights of no known network") as error:
        which_architecture(arrays)
    message = str(error.value)
    assert (
        "layer0.weight (2, 0), layer1.weight (2, 1), layer2.weight (2, 2), layer3.weight (2, 3) and 2 more" in message
    )
    assert "vgg16: convolutions of vgg16 are missing: features.0.weight, features.0.bias" in message
    assert message.count("…") == 2
    assert len(message) < 800
    with pytest.raises(ValueError, match=r"tiny: the entry 'features\.0\.weight' must have the shape"):
        which_architecture({**tiny_arrays, "features.0.weight": np.zeros((9, 3, 3, 3), np.float32)})


# Gluon loads it


def test_a_whole_file_loads_into_gluons_network(tmp_path, monkeypatch):
    """Gluon's hidden layers have 4096 units always, so all but the last is small."""
    monkeypatch.setitem(ARCHITECTURES, "narrow", VGG((1, 2), (2, 3), hidden=4096, classes=5, side=2))
    rng = np.random.default_rng(0)
    right = {e.name: rng.normal(size=e.shape).astype(np.float32) / 50 for e in vgg.entries_of("narrow")}
    save_weights(tmp_path / "a.params", convert(right, "narrow").arrays)
    net = gluon.model_zoo.vision.VGG([1, 2], [2, 3], classes=5)
    net.load_parameters(str(tmp_path / "a.params"))
    for name, param in net._collect_params_with_prefix().items():
        np.testing.assert_array_equal(param.data().asnumpy(), right[name])
    assert net(nd.ones((1, 3, 8, 8))).shape == (1, 5)


@EACH
def test_features_alone_load_into_the_real_network(tmp_path, arch):
    rng = np.random.default_rng(0)
    shapes = {name: shape for name, shape in torchvision_shapes(arch).items() if name.startswith("features")}
    arrays = {f"module.{name}": rng.standard_normal(shape, np.float32) / 30 for name, shape in shapes.items()}
    found = convert(arrays, arch)
    assert len(found.missing) == 6
    save_weights(tmp_path / "a.params", found.arrays)
    net = getattr(gluon.model_zoo.vision, arch)()
    with pytest.raises(AssertionError, match="is missing"):
        net.load_parameters(str(tmp_path / "a.params"))
    net.load_parameters(str(tmp_path / "a.params"), allow_missing=True)
    picture = nd.ones((1, 3, 32, 32))
    for layer in list(net.features)[: PLACES[arch][-1] + 3]:
        picture = layer(picture)
    assert picture.shape == (1, 512, 1, 1)
    last = f"features.{PLACES[arch][-1]}.weight"
    np.testing.assert_array_equal(net.features[PLACES[arch][-1]].weight.data().asnumpy(), arrays[f"module.{last}"])
