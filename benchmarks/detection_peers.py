"""What ``detection.py`` is compared with, in processes of their own.

    python benchmarks/detection_peers.py torch|book

``torch`` is PyTorch: a training step of TinySSD, and YOLOv3 on one picture. ``book`` is MXNet as the book has it: a
training step without what gluonbook sets. Run by ``measuring.Peer``.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from measuring import serve

Job = Callable[[], Any]
BATCH, SIZE, RATE = 8, 256, 1e-3
STEP, FORWARD = "training step", "YOLOv3 at 416"  # the names of the jobs
SLOPE, EPSILON = 0.1, 1e-5
STAGES = (16, 32, 64, 128, 128, 128)  # channels of TinySSD's blocks; the first three are its base
YOLO_SIDE, YOLO_CLASSES, YOLO_ANCHORS = 416, 80, 3


def torch_jobs() -> dict[str, Job]:
    """Return PyTorch's way of each job."""
    import torch

    torch.manual_seed(0)
    return {STEP: torch_step(torch), FORWARD: torch_yolo(torch)}


def first_batch() -> tuple[Any, Any, int]:
    """Return the first batch of the embedded pictures, NumPy, and the number of classes."""
    from gluonbook import data
    from gluonbook.detection import training

    train_set, _ = data.embedded_detection()
    X, labels = next(training.epoch_batches(train_set.subset(range(BATCH)), SIZE, BATCH, 0, 1))
    return X, labels, len(train_set.classes)


def torch_step(torch: Any) -> Job:
    """Return a step as gluonbook does it: the same network, losses and optimiser, its targets from gluonbook."""
    from gluonbook.detection import multibox_target, ssd
    from gluonbook.detection.families import MIN_NEGATIVES

    X, labels, K = first_batch()
    anchors = ssd.tiny_ssd(K).anchors(SIZE, SIZE)
    net = tiny_ssd(torch, K).to(memory_format=torch.channels_last)
    inputs = torch.from_numpy(X).contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    F = torch.nn.functional

    def step() -> None:
        scores, offsets = net(inputs)
        targets = multibox_target(
            anchors,
            labels,
            scores.detach().permute(0, 2, 1).numpy(),
            negative_mining_ratio=3.0,
            minimum_negative_samples=MIN_NEGATIVES,
        )
        box_targets, box_masks, kinds = (torch.from_numpy(target) for target in targets)
        scale = 1 / max(int((kinds > 0).sum()), 1)
        cls_loss = F.cross_entropy(scores.flatten(0, 1), kinds.flatten().long(), ignore_index=-1, reduction="sum")
        box_loss = F.smooth_l1_loss(offsets * box_masks, box_targets, reduction="sum")
        optimiser.zero_grad()
        ((cls_loss + box_loss) * scale).backward()
        optimiser.step()

    return step


def tiny_ssd(torch: Any, K: int) -> Any:
    """Return TinySSD: pictures to scores (N, A, K + 1) and offsets (N, A·4)."""
    nn = torch.nn

    def halving(inputs: int, channels: int) -> Any:
        layers = []
        for before in (inputs, channels):
            layers += [nn.Conv2d(before, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        return nn.Sequential(*layers, nn.MaxPool2d(2))

    class TinySSD(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            blocks = [halving(*pair) for pair in zip((3, *STAGES), STAGES)]
            self.stages = nn.ModuleList([nn.Sequential(*blocks[:3]), *blocks[3:], nn.AdaptiveMaxPool2d(1)])
            channels = (*STAGES[2:], STAGES[-1])
            self.scores = nn.ModuleList(nn.Conv2d(c, 4 * (K + 1), 3, padding=1) for c in channels)
            self.offsets = nn.ModuleList(nn.Conv2d(c, 4 * 4, 3, padding=1) for c in channels)

        def forward(self, x: Any) -> tuple[Any, Any]:
            scores, offsets = [], []
            for stage, score, offset in zip(self.stages, self.scores, self.offsets):
                x = stage(x)
                scores.append(score(x).permute(0, 2, 3, 1).flatten(1))
                offsets.append(offset(x).permute(0, 2, 3, 1).flatten(1))
            return torch.cat(scores, 1).unflatten(1, (-1, K + 1)), torch.cat(offsets, 1)

    return TinySSD()


def torch_yolo(torch: Any) -> Job:
    """Return YOLOv3 on one picture, raw maps, batch norm folded into the convolutions, in the faster memory format."""
    net = yolo_v3(torch).eval().to(memory_format=torch.channels_last)
    X = torch.rand(1, 3, YOLO_SIDE, YOLO_SIDE).contiguous(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.no_grad():
            net(X)

    return forward


def yolo_v3(torch: Any) -> Any:
    """Return Darknet-53 and YOLOv3's heads with random weights: pictures to three raw maps, the coarsest first."""
    nn = torch.nn

    def conv(inputs: int, channels: int, kernel: int, stride: int = 1) -> Any:
        layer = nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, bias=False)
        norm = nn.BatchNorm2d(channels, eps=EPSILON)
        folded = nn.utils.fusion.fuse_conv_bn_eval(layer.eval(), norm.eval())
        return nn.Sequential(folded, nn.LeakyReLU(SLOPE, inplace=True))

    class Residual(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.body = nn.Sequential(conv(channels, channels // 2, 1), conv(channels // 2, channels, 3))

        def forward(self, x: Any) -> Any:
            return x + self.body(x)

    def stage(channels: int, count: int) -> Any:
        return nn.Sequential(conv(channels // 2, channels, 3, 2), *(Residual(channels) for _ in range(count)))

    def neck(inputs: int, c: int) -> Any:
        return nn.Sequential(
            conv(inputs, c, 1), conv(c, 2 * c, 3), conv(2 * c, c, 1), conv(c, 2 * c, 3), conv(2 * c, c, 1)
        )

    def head(c: int) -> Any:
        return nn.Sequential(conv(c, 2 * c, 3), nn.Conv2d(2 * c, YOLO_ANCHORS * (5 + YOLO_CLASSES), 1))

    class YOLOv3(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(conv(3, 32, 3), stage(64, 1), stage(128, 2), stage(256, 8))
            self.second, self.third = stage(512, 8), stage(1024, 4)
            self.necks = nn.ModuleList([neck(1024, 512), neck(512 + 256, 256), neck(256 + 128, 128)])
            self.heads = nn.ModuleList(head(c) for c in (512, 256, 128))
            self.narrow = nn.ModuleList([conv(512, 256, 1), conv(256, 128, 1)])

        def forward(self, x: Any) -> list[Any]:
            fine = self.first(x)
            middle = self.second(fine)
            x, maps = self.third(middle), []
            for i, finer in enumerate((middle, fine, None)):
                x = self.necks[i](x)
                maps.append(self.heads[i](x))
                if finer is not None:
                    enlarged = nn.functional.interpolate(self.narrow[i](x), scale_factor=2)
                    x = torch.cat([enlarged, finer], 1)
            return maps

    return YOLOv3()


def book_jobs() -> dict[str, Job]:
    """Return the book's way of each job."""
    import gluonbook  # noqa: F401

    os.environ.pop("OPENBLAS_CORETYPE", None)  # set by that import, and by that of the process that started this one
    return {STEP: book_step()}


def book_step() -> Job:
    """Return a step as the book takes it (section 9.7): not hybridized, all anchors, SGD, sums of losses read back.

    The convolutions have a bias, the anchors are made in each step, and no negatives are mined.
    """
    from gluonbook._mxnet import autograd, gluon, mx, nd
    from gluonbook.detection.ssd import RATIOS, SIZES

    nn = gluon.nn
    X, labels, K = first_batch()
    X, Y = nd.array(X), nd.array(labels)
    num_anchors = len(SIZES[0]) + len(RATIOS) - 1

    def halving(channels: int) -> Any:
        block = nn.Sequential()
        for _ in range(2):
            block.add(nn.Conv2D(channels, 3, padding=1), nn.BatchNorm(in_channels=channels), nn.Activation("relu"))
        block.add(nn.MaxPool2D(2))
        return block

    base = nn.Sequential()
    base.add(*(halving(channels) for channels in STAGES[:3]))
    net, count = nn.Sequential(), len(SIZES)
    net.add(base, *(halving(channels) for channels in STAGES[3:]), nn.GlobalMaxPool2D())
    net.add(*(nn.Conv2D(num_anchors * (K + 1), 3, padding=1) for _ in SIZES))
    net.add(*(nn.Conv2D(num_anchors * 4, 3, padding=1) for _ in SIZES))
    net.initialize(mx.init.Xavier())
    trainer = None
    cls_loss, box_loss = gluon.loss.SoftmaxCrossEntropyLoss(), gluon.loss.L1Loss()

    def flat(maps: list[Any]) -> Any:
        return nd.concat(*(x.transpose((0, 2, 3, 1)).flatten() for x in maps), dim=1)

    def forward(x: Any) -> tuple[Any, Any, Any]:
        anchors, scores, offsets = [], [], []
        for i, size in enumerate(SIZES):
            x = net[i](x)
            anchors.append(nd.contrib.MultiBoxPrior(x, sizes=size, ratios=RATIOS))
            scores.append(net[count + i](x))
            offsets.append(net[2 * count + i](x))
        return nd.concat(*anchors, dim=1), flat(scores).reshape((0, -1, K + 1)), flat(offsets)

    def step() -> None:
        nonlocal trainer
        with autograd.record():
            anchors, scores, offsets = forward(X)
            box_targets, masks, kinds = nd.contrib.MultiBoxTarget(anchors, Y, scores.transpose((0, 2, 1)))
            loss = cls_loss(scores, kinds) + box_loss(offsets * masks, box_targets * masks)
        loss.backward()
        trainer = trainer or gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.2, "wd": 5e-4})
        trainer.step(BATCH)
        (scores.argmax(axis=-1) == kinds).sum().asscalar()
        ((box_targets - offsets) * masks).abs().sum().asscalar()
        nd.waitall()

    return step


if __name__ == "__main__":
    serve({"torch": torch_jobs, "book": book_jobs}[sys.argv[1]]())
