"""Every published network learns: on one device and divided among two, at a size that is cheap."""

import numpy as np
import pytest

from gluonbook import data, models, training
from gluonbook._mxnet import gluon, mx, nd

CPUS = [mx.cpu(0), mx.cpu(1)]
NETWORKS = {
    "LeNet-5": lambda: models.lenet(10),
    "AlexNet 2012": lambda: models.alexnet(10, width=1 / 8),
    "AlexNet 2014": lambda: models.alexnet(10, year=2014, width=1 / 8),
    "VGG-11": lambda: models.vgg(11, 10, width=1 / 8),
    "VGG-11, batch norm": lambda: models.vgg(11, 10, batch_norm=True, width=1 / 8),
    "NiN": lambda: models.nin(10, width=1 / 8),
    "GoogLeNet": lambda: models.googlenet(10, width=1 / 8),
    "ResNet-18": lambda: models.resnet(18, 10, width=1 / 8),
    "ResNet-50": lambda: models.resnet(50, 10, width=1 / 8),
    "DenseNet-121": lambda: models.densenet(121, 10, width=1 / 4),
}
RATE, STEPS = 0.001, 25


def digits(net, count=8):
    size = max(net.smallest, 32)
    return data.read_classes("digits", size=size).train.subset(slice(count))


def made(name, devices):
    mx.random.seed(0)
    net = NETWORKS[name]()
    net.initialize(mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2), ctx=devices)
    net.hybridize()
    return net


def fit(net, pictures, num_epochs, devices, rate=RATE):
    mx.random.seed(0)
    net(nd.zeros((1, *pictures.images.shape[1:]), ctx=devices[0]))
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": rate})
    batches = data.Batches(pictures, len(pictures.labels))
    return training.fit(
        net, batches, batches, gluon.loss.SoftmaxCrossEntropyLoss(), trainer, num_epochs, devices=devices
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_it_learns_a_few_pictures_by_heart(name):
    """Averaged over three epochs: dropout makes single ones noisy. A guess has log 10 = 2.3."""
    net = made(name, CPUS[:1])
    losses = [entry["loss"] for entry in fit(net, digits(net), STEPS, CPUS[:1])]
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:2])


@pytest.mark.parametrize("name", NETWORKS)
def test_two_devices_divide_a_batch_and_keep_one_set_of_weights(name):
    net = made(name, CPUS)
    pictures = digits(net, 6)
    net(nd.zeros((1, *pictures.images.shape[1:])))
    before = {key: param.data().asnumpy() for key, param in net.collect_params().items() if param.grad_req != "null"}
    fit(net, pictures, 1, CPUS)
    params = net.collect_params()
    for key, weight in before.items():
        both = [params[key].data(device).asnumpy() for device in CPUS]
        np.testing.assert_array_equal(*both)
        assert not np.array_equal(both[0], weight), key


@pytest.mark.parametrize("name", ["LeNet-5", "GoogLeNet"])
def test_two_devices_take_the_step_of_one(name, monkeypatch):
    """Of networks without batch norm, whose statistics are those of a device's share; dropout is left out."""
    monkeypatch.setattr(gluon.nn.Dropout, "hybrid_forward", lambda self, F, X: F.identity(X))
    found = []
    for devices in (CPUS[:1], CPUS):
        net = made(name, devices)
        fit(net, digits(net, 6), 2, devices)
        found.append([param.data(CPUS[0]).asnumpy() for param in net.collect_params().values()])
    for one, two in zip(*found):
        np.testing.assert_allclose(one, two, atol=2 * RATE * 0.02)
