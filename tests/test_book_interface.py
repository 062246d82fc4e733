"""The interface of gluonbook 0.8: every name, parameter, order and default, as the table of 2018 has them."""

import ast
import inspect
import types

import numpy as np
import pytest

import gluonbook as gb
from gluonbook._mxnet import gluon, mx
from gluonbook.book.modules import MODULES

TABLE = """
try_gpu()
try_all_gpus()
Benchmark(prefix=None)
mkdir_if_not_exist(path)
linreg(X, w, b)
squared_loss(y_hat, y)
sgd(params, lr, batch_size)
grad_clipping(params, theta, ctx)
corr2d(X, K)
to_onehot(X, size)
data_iter(batch_size, features, labels)
get_data_ch7()
load_data_fashion_mnist(batch_size, resize=None, root='~/.mxnet/datasets/fashion-mnist')
get_fashion_mnist_labels(labels)
load_data_jay_lyrics()
load_data_time_machine()
data_iter_random(corpus_indices, batch_size, num_steps, ctx=None)
data_iter_consecutive(corpus_indices, batch_size, num_steps, ctx=None)
load_data_pikachu(batch_size, edge_size=256)
download_voc_pascal(data_dir='../data')
read_voc_images(root='../data/VOCdevkit/VOC2012', is_train=True)
voc_label_indices(colormap, colormap2label)
voc_rand_crop(feature, label, height, width)
VOCSegDataset(is_train, crop_size, voc_dir, colormap2label)
download_imdb(data_dir='../data')
read_imdb(folder='train')
get_tokenized_imdb(data)
get_vocab_imdb(data)
preprocess_imdb(data, vocab)
count_tokens(samples)
Residual(num_channels, use_1x1conv=False, strides=1, **kwargs)
resnet18(num_classes)
RNNModel(rnn_layer, vocab_size, **kwargs)
evaluate_accuracy(data_iter, net, ctx=[cpu(0)])
train(train_iter, test_iter, net, loss, trainer, ctx, num_epochs)
train_ch3(net, train_iter, test_iter, loss, num_epochs, batch_size, params=None, lr=None, trainer=None)
train_ch5(net, train_iter, test_iter, batch_size, trainer, ctx, num_epochs)
train_2d(trainer)
train_ch7(trainer_fn, states, hyperparams, features, labels, batch_size=10, num_epochs=2)
train_gluon_ch7(trainer_name, trainer_hyperparams, features, labels, batch_size=10, num_epochs=2)
predict_rnn(prefix, num_chars, rnn, params, init_rnn_state, num_hiddens, vocab_size, ctx, idx_to_char, char_to_idx)
predict_rnn_gluon(prefix, num_chars, model, vocab_size, ctx, idx_to_char, char_to_idx)
train_and_predict_rnn(rnn, get_params, init_rnn_state, num_hiddens, vocab_size, ctx, corpus_indices, idx_to_char, \
char_to_idx, is_random_iter, num_epochs, num_steps, lr, clipping_theta, batch_size, pred_period, pred_len, prefixes)
train_and_predict_rnn_gluon(model, num_hiddens, vocab_size, ctx, corpus_indices, idx_to_char, char_to_idx, \
num_epochs, num_steps, lr, clipping_theta, batch_size, pred_period, pred_len, prefixes)
predict_sentiment(net, vocab, sentence)
use_svg_display()
set_figsize(figsize=(3.5, 2.5))
semilogy(x_vals, y_vals, x_label, y_label, x2_vals=None, y2_vals=None, legend=None, figsize=(3.5, 2.5))
show_trace_2d(f, res)
show_fashion_mnist(images, labels)
show_images(imgs, num_rows, num_cols, scale=2)
bbox_to_rect(bbox, color)
show_bboxes(axes, bboxes, labels=None, colors=None)
""".strip().splitlines()
CONSTANTS = {"VOC_CLASSES", "VOC_COLORMAP"}
CLASSES = {
    "Benchmark": object,
    "Residual": "Block",
    "RNNModel": "Block",
    "VOCSegDataset": "Dataset",
}
RE_EXPORTED = [
    *("collections", "math", "os", "random", "sys", "tarfile", "time", "zipfile", "display", "plt", "mx", "autograd"),
    *("gluon", "image", "init", "nd", "text", "gdata", "gloss", "nn", "gutils", "np"),
]


def name_of(row):
    return row.split("(")[0]


def signature(name):
    """A signature in the table's form: names, kinds and defaults, without the types."""
    parameters = inspect.signature(getattr(gb, name)).parameters.values()
    return f"{name}({', '.join(str(p.replace(annotation=inspect.Parameter.empty)) for p in parameters)})"


def test_the_table_has_the_55_names_of_2018():
    names = [name_of(row) for row in TABLE]
    assert len(set(names) | CONSTANTS) == len(names) + len(CONSTANTS) == 55
    assert len([name for name in names if name in CLASSES]) == len(CLASSES) == 4
    assert len(RE_EXPORTED) == 22


@pytest.mark.parametrize("row", TABLE, ids=name_of)
def test_each_signature_is_that_of_2018(row):
    assert signature(name_of(row)) == row


@pytest.mark.parametrize("row", TABLE, ids=name_of)
def test_functions_are_functions_and_classes_are_classes(row):
    found = getattr(gb, name_of(row))
    if name_of(row) not in CLASSES:
        assert inspect.isfunction(found)
        return
    parents = {"Block": gluon.Block, "Dataset": gluon.data.Dataset}
    parent = CLASSES[name_of(row)]
    assert inspect.isclass(found)
    assert issubclass(found, parents.get(parent, object))


def test_the_interface_is_public_whole_and_documented():
    public = [*map(name_of, TABLE), *CONSTANTS, *RE_EXPORTED, "utils"]
    assert set(public) <= set(gb.__all__)
    assert set(RE_EXPORTED) == set(MODULES)
    for name in [*RE_EXPORTED, "utils"]:
        assert isinstance(getattr(gb, name), types.ModuleType), name


@pytest.mark.parametrize("name", sorted(set(gb.__all__) - CONSTANTS))
def test_each_public_name_has_a_docstring_with_shapes_and_an_example(name):
    found = getattr(gb, name)
    if isinstance(found, types.ModuleType):
        assert found.__doc__
        return
    text = inspect.getdoc(found)
    assert ">>> " in text, "an example"
    first = text.splitlines()[0]
    assert first.endswith("."), "one sentence"
    arguments = [p for p in inspect.signature(found).parameters.values() if p.kind is not p.VAR_KEYWORD]
    missing = [p.name for p in arguments if p.name not in text]
    assert missing == [], "every argument is described"
    if inspect.isfunction(found):
        promised = "Returns:" in text or inspect.signature(found).return_annotation in (None, "None")
        assert promised or first.startswith("Return "), "what is returned"


def test_constants_are_lists_as_in_2018():
    assert isinstance(gb.VOC_CLASSES, list)
    assert isinstance(gb.VOC_COLORMAP, list)
    assert len(gb.VOC_CLASSES) == len(gb.VOC_COLORMAP) == 21
    assert all(isinstance(name, str) for name in gb.VOC_CLASSES)
    assert all(isinstance(value, int) and not isinstance(value, np.integer) for c in gb.VOC_COLORMAP for value in c)


def test_the_stub_gives_each_name_once():
    """A name that stands twice would silently be the later one."""
    from pathlib import Path

    tree = ast.parse((Path(gb.__file__).parent / "__init__.pyi").read_text(encoding="utf-8"))
    names = [alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert len(names) == len(set(names))


def test_the_default_devices_of_evaluate_accuracy_are_not_shared_state():
    (default,) = [p.default for p in inspect.signature(gb.evaluate_accuracy).parameters.values() if p.name == "ctx"]
    batches = [(mx.nd.array([[1, 0]]), mx.nd.array([0]))]
    gb.evaluate_accuracy(batches, lambda X: X)
    assert default == [mx.cpu(0)]
