"""Anchors, targets, detection beside MXNet's operators and the book's loops, a training step, YOLOv3 beside gluoncv's.

    python benchmarks/detection.py [--rounds 7] [--only ssd|yolo] [--out benchmarks/detection.json]

The first on 32 pictures and the 5,444 anchors of TinySSD, one to four objects a picture, three classes. ``operator`` is
``nd.contrib.MultiBoxPrior/MultiBoxTarget/MultiBoxDetection``, read back. ``book`` is the code of the book, as
``d2l.mxnet`` has it, where that package is installed; its detection is timed once, on two of the pictures, and told
for 32. Detection is timed twice: on the output of an untrained network,
where thousands of boxes overlap and nearly all have a score above 0.01, and on that of the embedded detector. The three
take turns; a ratio compares medians. The training step is one of the package's, batch 8, 256×256, in parts.

YOLOv3 is asked about one picture, 416×416, with random weights; all networks are hybridized with static_alloc.
gluoncv's decodes every box for every class inside the network; it is timed with its non-maximum suppression and
without. This package's gives raw maps, of which ``find_yolo`` decodes the boxes that can reach the threshold: timed by
itself on maps with 200 sure boxes at a threshold of 0.5, as in a picture, and where each of 10,647 boxes is a candidate
at 0.01.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lyrics import machine

N, K, FEW = 32, 3, 2


def jobs():
    """Return the work to time: by name, one function a way of doing it."""
    from gluonbook import detection
    from gluonbook._mxnet import nd
    from gluonbook.data import drawn
    from gluonbook.detection import batches, inference, saved, ssd, training

    model = saved.load_detector(saved.embedded_detector())
    net = saved.build_net(model, training.devices.device("cpu"))
    anchors = net.anchors(256, 256)
    scenes = [drawn.scene("val", i) for i in range(N)]
    labels = batches.pad_labels([scene.labels for scene in scenes])
    trained = predictions(net, nd.array(inference.standardise([scene.picture for scene in scenes])))
    rng = np.random.default_rng(0)
    untrained = predictions(None, (rng.normal(size=(N, len(anchors), K + 1)), rng.normal(size=(N, len(anchors) * 4))))
    shapes = net.map_shapes(256, 256)
    mining = {"negative_mining_ratio": 3.0, "negative_mining_thresh": 0.5}
    scores = nd.array(untrained[0])
    a, y = nd.array(anchors[None]), nd.array(labels)
    work = {
        "anchors": {
            "gluonbook": lambda: [detection.multibox_prior(s, z, ssd.RATIOS) for s, z in zip(shapes, ssd.SIZES)],
            "operator": lambda: [
                nd.contrib.MultiBoxPrior(nd.zeros((1, 1, *s)), sizes=z, ratios=ssd.RATIOS).asnumpy()
                for s, z in zip(shapes, ssd.SIZES)
            ],
        },
        "targets": {
            "gluonbook": lambda: detection.multibox_target(anchors, labels),
            "operator": lambda: [part.asnumpy() for part in nd.contrib.MultiBoxTarget(a, y, scores)],
        },
        "targets, hard negatives": {
            "gluonbook": lambda: detection.multibox_target(anchors, labels, untrained[0], **mining),
            "operator": lambda: [part.asnumpy() for part in nd.contrib.MultiBoxTarget(a, y, scores, **mining)],
        },
    }
    for name, (probabilities, offsets) in {"untrained": untrained, "trained": trained}.items():
        p, b = nd.array(probabilities), nd.array(offsets)
        work[f"detection, {name}"] = {
            "gluonbook": lambda p=probabilities, b=offsets: detection.multibox_detection(p, b, anchors),
            "operator": lambda p=p, b=b: nd.contrib.MultiBoxDetection(p, b, a).asnumpy(),
        }
    add_book(work, anchors, labels, {"untrained": untrained, "trained": trained}, shapes)
    return work


def predictions(net, source):
    """Return class probabilities (N, K + 1, A) and offsets (N, A·4) of a network, or of given scores."""
    from gluonbook._mxnet import nd

    scores, offsets = net(source) if net else (nd.array(part) for part in source)
    return nd.softmax(scores).transpose((0, 2, 1)).asnumpy(), offsets.asnumpy()


def add_book(work, anchors, labels, outputs, shapes):
    """Add the book's own functions, where they are installed; they need MXNet's NumPy arrays."""
    try:
        from d2l import mxnet as d2l
    except ImportError:
        print("d2l is not installed: the book's loops are left out")
        return
    from gluonbook._mxnet import mx

    mnp, npx = mx.np, mx.npx

    def in_numpy(function, *arguments):
        def run():
            npx.set_np()
            try:
                return function(*[mnp.array(argument) for argument in arguments]).asnumpy()
            finally:
                npx.reset_np()

        return run

    def prior(*maps):
        from gluonbook.detection import ssd

        return mnp.concatenate([d2l.multibox_prior(m, z, ssd.RATIOS) for m, z in zip(maps, ssd.SIZES)], axis=1)

    work["anchors"]["book"] = in_numpy(prior, *(np.zeros((1, 1, *shape)) for shape in shapes))
    # Its targets know no padding: the first object of each picture stands for all.
    work["targets"]["book"] = in_numpy(lambda a, y: d2l.multibox_target(a, y)[2], anchors[None], labels[:, :1])
    for name, (probabilities, offsets) in outputs.items():
        few = probabilities[:FEW], offsets[:FEW], anchors[None]
        work[f"detection, {name}"]["book"] = in_numpy(d2l.multibox_detection, *few)


def training_step():
    """Return the parts of a training step, in seconds: batches, forward, targets, loss and backward, update."""
    from gluonbook import data
    from gluonbook._mxnet import autograd, nd
    from gluonbook.detection import training

    train_set, _ = data.embedded_detection()
    recipe = {"network": "tiny", "size": 256, "num_epochs": 1, "batch_size": 8, "lr": 1e-3, "wd": 0.0}
    recipe.update(negative_ratio=3.0, seed=0)
    run = training._Run(train_set.classes, recipe, [training.devices.device("cpu")], "benchmark")
    parts = {name: [] for name in ("batch", "step")}
    for epoch in range(1, 3):
        for batch in training.epoch_batches(train_set.subset(range(64)), 256, 8, 0, epoch):
            start = time.perf_counter()
            run._step(batch).wait_to_read()
            nd.waitall()
            parts["step"].append(time.perf_counter() - start)
    X = nd.array(batch.X)
    parts["forward"] = timed(lambda: run.net(X)[0].wait_to_read(), 7)

    def forward_backward():
        with autograd.record():
            cls_preds, box_preds = run.net(X)
            loss = cls_preds.sum() + box_preds.sum()
        loss.backward()
        nd.waitall()

    parts["forward and backward"] = timed(forward_backward, 7)
    single = train_set.subset(range(8))
    parts["batch"] = timed(lambda: list(training.epoch_batches(single, 256, 8, 0, 1)), 7)
    return parts


def yolo_jobs():
    """Return ways to ask YOLOv3 about a picture, by name, and those to get boxes from maps."""
    from gluonbook import _files, _mxnet
    from gluonbook._mxnet import mx, nd
    from gluonbook.detection.darknet import Darknet, fold_batch_norm
    from gluonbook.detection.darknet_config import read_config
    from gluonbook.detection.yolo import find_yolo

    mx.random.seed(0)
    X = nd.random.uniform(shape=(1, 3, 416, 416))
    net = Darknet(read_config(_files.packaged("datasets") / "detection" / "yolov3.cfg"))
    net.initialize(mx.init.Xavier())
    networks = {"gluonbook": fold_batch_norm(net), "gluonbook, batch norm": net}
    for name, suppression in (("gluoncv", 0.45), ("gluoncv, no suppression", 0)):
        peer = _mxnet.gluoncv().model_zoo.get_model("yolo3_darknet53_coco", pretrained=False, pretrained_base=False)
        peer.initialize(mx.init.Xavier())
        peer.set_nms(suppression)
        networks[name] = peer
    ways = {}
    for name, network in networks.items():
        network.hybridize(static_alloc=True)
        ways[name] = lambda network=network: [part.wait_to_read() for part in network(X)]
    shapes = [raw.shape for raw in networks["gluonbook"](X)]
    sure, all_sure = yolo_maps(shapes, 200), yolo_maps(shapes, None)
    ways["boxes, 200 candidates"] = lambda: find_yolo(sure, net.heads, 0.5)
    ways["boxes, all candidates"] = lambda: find_yolo(all_sure, net.heads, 0.01)
    return ways


def yolo_maps(shapes, num_sure):
    """Return random maps where so many predictions are sure of an object and a class, or (None) all of all a little."""
    from gluonbook._mxnet import nd

    rng, B, K = np.random.default_rng(0), 3, 80
    maps = [rng.normal(0, 0.5, (1, B, 5 + K, *shape[2:])).astype(np.float32) for shape in shapes]
    if num_sure is not None:
        for raw, share in zip(maps, (0.25, 0.35, 0.4)):
            raw[:, :, 4:] -= 8
            h, w = raw.shape[3:]
            for place in rng.choice(B * h * w, int(share * num_sure), replace=False):
                b, cell = divmod(int(place), h * w)
                raw[0, b, [4, 5 + rng.integers(K)], cell // w, cell % w] = rng.uniform(1.5, 4, 2)
    return [nd.array(raw.reshape(shape)) for raw, shape in zip(maps, shapes)]


def yolo(rounds):
    """Return the seconds of each way, which take turns, and print their medians beside gluoncv's network."""
    ways = yolo_jobs()
    runs = {way: [] for way in ways}
    for round_number in range(rounds + 1):  # the first is not counted
        for way, function in ways.items():
            start = time.perf_counter()
            function()
            if round_number:
                runs[way].append(time.perf_counter() - start)
    middle = {way: 1e3 * statistics.median(seconds) for way, seconds in runs.items()}
    print(f"{'YOLOv3, 416×416, medians':<28}{'ms':>8}{'to gluoncv':>13}{'without suppression':>22}{'to gluonbook':>15}")
    for way, value in middle.items():
        ratios = [value / middle[peer] for peer in ("gluoncv", "gluoncv, no suppression", "gluonbook")]
        print(f"{way:<28}{value:>8.1f}{ratios[0]:>13.2f}{ratios[1]:>22.2f}{ratios[2]:>15.3f}")
    return runs


def timed(function, rounds):
    """Return the seconds of each of several calls, after one that is not counted."""
    function()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return seconds


def ssd(rounds, figures):
    """Time the work on TinySSD's anchors and a training step; add the seconds to figures, and print the medians."""
    print(f"{'milliseconds, medians':<26}", *(f"{name:>12}" for name in ("gluonbook", "operator", "book")), end="")
    print(f"{'to operator':>13}{'to book':>9}")
    for name, ways in jobs().items():
        runs = {way: [] for way in ways}
        slow = {"book"} if name.startswith("detection") else set()
        for round_number in range(rounds + 1):  # the first is not counted
            for way, function in ways.items():
                if way in slow and round_number != 1:
                    continue
                start = time.perf_counter()
                function()
                seconds = (time.perf_counter() - start) * (N / FEW if way in slow else 1)
                if round_number:
                    runs[way].append(seconds)
        figures[name] = runs
        middle = {way: 1e3 * statistics.median(seconds) for way, seconds in runs.items()}
        own, peers = middle["gluonbook"], [middle.get(way) for way in ("operator", "book")]
        cells = "".join(f"{value:>13.1f}" if value else f"{'–':>13}" for value in (own, *peers))
        ratios = [f"{own / value:.2f}" if value else "–" for value in peers]
        print(f"{name:<26}{cells}{ratios[0]:>13}{ratios[1]:>9}")
    figures["training step"] = training_step()
    for name, seconds in figures["training step"].items():
        print(f"training, {name:<22} {1e3 * statistics.median(seconds):>8.0f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=("ssd", "yolo"), help="that part alone")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    chosen = parser.parse_args()
    from gluonbook import _mxnet

    _mxnet.load()
    print(" ".join(f"{name} {value}" for name, value in machine().items()))
    figures = {}
    if chosen.only != "yolo":
        ssd(chosen.rounds, figures)
    if chosen.only != "ssd":
        figures["yolo"] = yolo(chosen.rounds)
    if chosen.out:
        chosen.out.write_text(json.dumps({"machine": machine(), "seconds": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
