"""What tests of detectors share."""

import numpy as np

from gluonbook._mxnet import nd


def randomise(net, seed=0):
    """Give all parameters values that no two agree in; running variances and scales positive."""
    random = np.random.default_rng(seed)
    net.initialize(force_reinit=True)
    for name, parameter in net.collect_params().items():
        if name.endswith(("gamma", "running_var")):
            values = random.uniform(0.5, 1.5, parameter.shape)
        elif name.endswith("weight"):
            values = random.normal(0, (2 / np.prod(parameter.shape[1:])) ** 0.5, parameter.shape)
        else:
            values = random.normal(0, 0.2, parameter.shape)
        parameter.set_data(nd.array(values))
    return net


def without_seconds(history):
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in history]


def assert_same_model(ours, theirs):
    """Bit for bit."""
    assert without_seconds(ours.history) == without_seconds(theirs.history)
    assert ours.settings == theirs.settings
    assert ours.classes == theirs.classes
    assert list(ours.weights) == list(theirs.weights)
    for name, weight in ours.weights.items():
        assert weight.tobytes() == theirs.weights[name].tobytes()
