"""Residual networks (He et al. 2016), as the notes' book builds them."""

from typing import Any

from gluonbook import _check
from gluonbook._mxnet import gluon

STAGES = (64, 128, 256, 512)  # channels
NUM_RESIDUALS = 2  # in a stage


class Residual(gluon.nn.HybridBlock):
    """Two 3x3 convolutions with batch norm, whose output is added to the input (He et al. 2016, figure 2).

    Args:
        num_channels: C' of the output, at least 1.
        use_1x1conv: pass the input through a 1x1 convolution, which gives it the output's shape.
        strides: of the first convolution and of the 1x1 one, at least 1.
        kwargs: ``prefix`` and ``params``, as every Gluon block has.

    Called with X (N, C, H, W), it returns (N, C', ceil(H / strides), ceil(W / strides)). Without the 1x1 convolution
    C' must be C, and strides 1. The children are ``conv1 conv2 conv3 bn1 bn2``; ``conv3`` is None without it.

    >>> from gluonbook import nd
    >>> block = Residual(6, use_1x1conv=True, strides=2)
    >>> block.initialize()
    >>> block(nd.ones((4, 3, 6, 6))).shape
    (4, 6, 3, 3)
    """

    def __init__(self, num_channels: int, use_1x1conv: bool = False, strides: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _check.integer("num_channels", num_channels, at_least=1)
        _check.integer("strides", strides, at_least=1)
        self.conv1 = gluon.nn.Conv2D(num_channels, kernel_size=3, padding=1, strides=strides)
        self.conv2 = gluon.nn.Conv2D(num_channels, kernel_size=3, padding=1)
        self.conv3 = gluon.nn.Conv2D(num_channels, kernel_size=1, strides=strides) if use_1x1conv else None
        self.bn1 = gluon.nn.BatchNorm()
        self.bn2 = gluon.nn.BatchNorm()

    def hybrid_forward(self, F: Any, X: Any) -> Any:
        Y = F.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        if self.conv3 is not None:
            X = self.conv3(X)
        return F.relu(Y + X)


def resnet18(num_classes: int) -> Any:
    """Build ResNet-18 for small pictures: its first convolution keeps their size, and nothing is pooled before stage 1.

    Args:
        num_classes: K, at least 1.

    Returns:
        nn.Sequential of 9 children, uninitialised: a 3x3 convolution with 64 channels, batch norm, ReLU, four stages of
        two ``Residual`` (64, 128, 256, 512 channels; all but the first halve the size), global average pooling, a dense
        layer. It takes (N, C, H, W) and gives (N, K).

    >>> from gluonbook import nd
    >>> net = resnet18(10)
    >>> net.initialize()
    >>> len(net), net(nd.ones((1, 1, 28, 28))).shape
    (9, (1, 10))
    """
    _check.integer("num_classes", num_classes, at_least=1)
    net = gluon.nn.Sequential()
    net.add(gluon.nn.Conv2D(STAGES[0], kernel_size=3, padding=1), gluon.nn.BatchNorm(), gluon.nn.Activation("relu"))
    for number, num_channels in enumerate(STAGES):
        stage = gluon.nn.Sequential()
        for i in range(NUM_RESIDUALS):
            halves = number > 0 and i == 0
            stage.add(Residual(num_channels, use_1x1conv=halves, strides=2 if halves else 1))
        net.add(stage)
    net.add(gluon.nn.GlobalAvgPool2D(), gluon.nn.Dense(num_classes))
    return net
