"""What tests of published networks share."""

import math

import numpy as np

from gluonbook._mxnet import mx, nd


def learnable(net, channels=3, size=224):
    """The number of learnable parameters, from shapes alone: nothing is allocated."""
    symbol = net(mx.sym.var("data"))
    shapes, _, _ = symbol.infer_shape(data=(1, channels, size, size))
    return sum(math.prod(shape) for name, shape in zip(symbol.list_arguments(), shapes) if name != "data")


def maps(net, channels=3, size=224):
    """The shape of the last maps, without N."""
    return net.features(mx.sym.var("data")).infer_shape(data=(1, channels, size, size))[1][0][1:]


def stir(net, seed=0):
    """Give every parameter values that matter, running statistics too; in place."""
    rng = np.random.default_rng(seed)
    for name, param in net.collect_params().items():
        value = param.data()
        if name.endswith(("gamma", "running_var")):
            drawn = rng.uniform(0.5, 1.5, value.shape)
        elif name.endswith("weight"):
            drawn = rng.normal(0, math.sqrt(2 / math.prod(value.shape[1:])), value.shape)
        else:
            drawn = rng.normal(0, 0.1, value.shape)
        param.set_data(nd.array(drawn))


def transfer(theirs, ours, leave_out=()):
    """Copy parameters in their order; those of ``leave_out`` are set to 0 in theirs and have no partner in ours."""
    kept = []
    for param in theirs.collect_params().values():
        if param.name in leave_out:
            param.set_data(nd.zeros(param.shape))
        else:
            kept.append(param)
    targets = list(ours.collect_params().values())
    assert [param.shape for param in kept] == [param.shape for param in targets]
    for source, target in zip(kept, targets):
        target.set_data(source.data())
