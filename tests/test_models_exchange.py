"""Networks written as ONNX files, run by somebody else's program."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from gluonbook import models
from gluonbook._mxnet import autograd, gluon, mx, nd


def run(path, X):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"data": X.asnumpy()})[0]


def convolutional():
    """A net with a shortcut, batch norm with statistics that are not 0 and 1, concatenation, pooling and dropout."""

    class Net(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.first = gluon.nn.Conv2D(6, 3, strides=2, padding=1)
            self.second = gluon.nn.Conv2D(6, 3, padding=2, dilation=2, groups=2)
            self.norm = gluon.nn.BatchNorm()
            self.pool = gluon.nn.MaxPool2D(2)
            self.drop = gluon.nn.Dropout(0.5)
            self.dense = gluon.nn.Dense(5)

        def hybrid_forward(self, F, X):
            X = F.relu(self.norm(self.first(X)))
            X = X + F.tanh(self.second(X))
            X = F.concat(X, F.sigmoid(X), dim=1)
            return self.dense(self.drop(self.pool(X)))

    mx.random.seed(3)
    net = Net()
    net.initialize(mx.init.Normal(0.3))
    with autograd.record():  # statistics
        net(nd.random.normal(1, 2, shape=(4, 3, 8, 8)))
    return net


@pytest.mark.parametrize("N", [1, 2, 7])
def test_onnxruntime_gives_equal_outputs_for_any_batch(tmp_path, N):
    net = convolutional()
    path = models.export_onnx(net, tmp_path / "made" / "net.onnx", (3, 8, 8))
    X = nd.random.normal(shape=(N, 3, 8, 8))
    np.testing.assert_allclose(run(path, X), net(X).asnumpy(), rtol=1e-5, atol=1e-6)


def test_a_hybridized_net_that_has_run_is_written_alike(tmp_path):
    net = convolutional()
    net.hybridize()
    X = nd.random.normal(shape=(2, 3, 8, 8))
    expected = net(X).asnumpy()
    np.testing.assert_allclose(run(models.export_onnx(net, tmp_path / "a.onnx", (3, 8, 8)), X), expected, atol=1e-6)


def test_the_file_has_one_input_and_the_version_in_which_it_was_written(tmp_path):
    model = onnx.load(str(models.export_onnx(convolutional(), tmp_path / "a.onnx", (3, 8, 8))))
    assert [entry.name for entry in model.graph.input] == ["data"]
    assert [entry.version for entry in model.opset_import] == [13]
    assert len(model.graph.initializer) >= 10


def test_a_matrix_goes_in_too(tmp_path):
    net = gluon.nn.Dense(2, in_units=3)
    net.initialize()
    X = nd.random.normal(shape=(4, 3))
    path = models.export_onnx(net, tmp_path / "dense.onnx", (3,))
    np.testing.assert_allclose(run(path, X), net(X).asnumpy(), atol=1e-6)


def test_what_cannot_be_written_is_refused_and_leaves_no_file(tmp_path):
    path = tmp_path / "net.onnx"
    with pytest.raises(ValueError, match="call it once"):
        models.export_onnx(gluon.nn.Dense(2), path, (3,))
    fresh = gluon.nn.Dense(2)
    fresh.initialize()
    with pytest.raises(ValueError, match="call it once"):
        models.export_onnx(fresh, path, (3,))
    with pytest.raises(TypeError, match=r"HybridBlock.*got Sequential"):
        models.export_onnx(gluon.nn.Sequential(), path, (3,))
    with pytest.raises(ValueError, match="without N"):
        models.export_onnx(convolutional(), path, ())
    with pytest.raises(ValueError, match="shape"):
        models.export_onnx(convolutional(), path, (3, 0, 8))
    lonely = gluon.nn.HybridLambda(lambda F, X: F.contrib.MultiBoxPrior(X))
    with pytest.raises(ValueError, match=r"cannot be written as ONNX.*MultiBoxPrior"):
        models.export_onnx(lonely, path, (3, 8, 8))
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_export_leaves_the_old_file(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")
    lonely = gluon.nn.HybridLambda(lambda F, X: F.contrib.MultiBoxPrior(X))
    with pytest.raises(ValueError, match="MultiBoxPrior"):
        models.export_onnx(lonely, path, (3, 8, 8))
    assert path.read_bytes() == b"old"


def test_without_onnx_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"\[onnx\]"):
        models.export_onnx(convolutional(), tmp_path / "net.onnx", (3, 8, 8))
