"""TinySSD's training step, anchors, targets, detection; YOLOv3: beside MXNet's operators, the book, gluoncv, PyTorch.

    python benchmarks/detection.py [--rounds 7]

The step is on 8 pictures of 256×256: forward, targets with hard negatives, losses, backward, Adam. Then 32 pictures and
the 5,444 anchors of TinySSD, one to four objects a picture, three classes: ``operator`` is MXNet's
``nd.contrib.MultiBoxPrior/MultiBoxTarget/MultiBoxDetection``, read back, ``book`` the book's code as ``d2l.mxnet`` has
it. Detection is asked about the output of an untrained network, where thousands of boxes overlap and nearly all have a
score above 0.01, and about that of the embedded detector. YOLOv3 is asked about one picture, 416×416, with random
weights: this package's and PyTorch's give raw maps, gluoncv's decodes every box for every class inside the network.
Boxes are then decoded from maps with 200 sure ones at a threshold of 0.5, as in a picture, and where each of 10,647 is
a candidate at 0.01; ``operator`` decodes all, as gluoncv does, and asks ``nd.contrib.box_nms``.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Optional

import gluonbook  # noqa: F401  before NumPy: see measuring

import numpy as np  # isort: skip
from detection_peers import BATCH, FORWARD, RATE, SIZE, STEP, YOLO_SIDE
from measuring import LEAST_ROUNDS, OWN, STEP_TURNS, Figure, Peer, alternate, has_torch, main, timed

REACH = 1.1  # of PyTorch's training step
N, K, FEW = 32, 3, 2  # pictures, classes; pictures that the book's detection is timed on
TRAINING = 3  # times the forward's products: those backward, to the inputs and to the weights, are as many each
MINING = {"negative_mining_ratio": 3.0, "negative_mining_thresh": 0.5}
YOLO_TOPK, YOLO_NMS = 400, 0.45
Job = Callable[[], Any]


def figures(rounds: int = LEAST_ROUNDS) -> list[Figure]:
    """Measure all."""
    torch = Peer("detection_peers.py", "torch") if has_torch() else None
    found = [training_step(rounds, torch), *ssd(rounds), *yolo(rounds, torch)]
    if torch:
        torch.close()
    return found


def training_step(rounds: int, torch: Optional[Peer]) -> Figure:
    """Measure the package's own step beside PyTorch's and the book's."""
    from gluonbook import data
    from gluonbook._mxnet import nd, usable_cpus
    from gluonbook.detection import training

    train_set, _ = data.embedded_detection()
    recipe = {"network": "tiny", "size": SIZE, "num_epochs": 1, "batch_size": BATCH, "lr": RATE, "wd": 0.0}
    recipe.update(negative_ratio=3.0, seed=0)
    run = training._Run(train_set.classes, recipe, [training.devices.device("cpu")], "benchmark")
    batch = next(training.epoch_batches(train_set.subset(range(BATCH)), SIZE, BATCH, 0, 1))
    book = Peer("detection_peers.py", "book", threads=max(usable_cpus() // 2, 1))  # MXNet's own number

    def step() -> None:
        run._step(batch)
        nd.waitall()

    ways = {OWN: timed(step), **({"PyTorch": torch.way(STEP)} if torch else {}), "book": book.way(STEP)}
    seconds = alternate(ways, STEP_TURNS * rounds)
    book.close()
    arrays = [param.data().size for param in run.params.values()]
    return Figure(
        f"TinySSD, training step, batch {BATCH}",
        seconds,
        flops=TRAINING * BATCH * products(run.net, SIZE),
        moved=batch.X.nbytes + 4 * 7 * sum(arrays),  # Adam reads weight, gradient and two means, writes all but one
        reach={"PyTorch": REACH},
        note="PyTorch's targets are made by gluonbook; the book's step mines no negatives and takes SGD",
    )


def products(net: Any, side: int) -> float:
    """Return multiplications and additions of a network for one picture."""
    from gluonbook.models import layer_table

    return 2.0 * sum(row.multiply_adds for row in layer_table(net, (3, side, side)))


class Work(NamedTuple):
    """A job on TinySSD's anchors: its ways, the bytes of its inputs and outputs, a note."""

    ways: dict[str, Job]
    moved: float
    note: str = ""


def ssd(rounds: int) -> list[Figure]:
    """Measure the work around TinySSD."""
    return [
        Figure(
            name,
            alternate({way: timed(job) for way, job in work.ways.items()}, rounds),
            moved=work.moved,
            note=work.note,
        )
        for name, work in jobs().items()
    ]


def jobs() -> dict[str, Work]:
    """Return the work around TinySSD by name."""
    from gluonbook import detection
    from gluonbook._mxnet import nd
    from gluonbook.data import drawn
    from gluonbook.detection import batches, inference, saved, ssd, training

    model = saved.load_detector(saved.embedded_detector())
    net = saved.build_net(model, training.devices.device("cpu"))
    anchors = net.anchors(SIZE, SIZE)
    scenes = [drawn.scene("val", i) for i in range(N)]
    labels = batches.pad_labels([scene.labels for scene in scenes])
    rng = np.random.default_rng(0)
    untrained = (rng.normal(size=(N, len(anchors), K + 1)), rng.normal(size=(N, len(anchors) * 4)))
    trained = net(nd.array(inference.standardise([scene.picture for scene in scenes])))
    outputs = {"untrained": predictions(*map(nd.array, untrained)), "trained": predictions(*trained)}
    scores = outputs["untrained"][0]
    shapes = net.map_shapes(SIZE, SIZE)
    a, y, s = nd.array(anchors[None]), nd.array(labels), nd.array(scores)
    book = book_jobs(anchors, labels, shapes)
    targets = labels.nbytes + N * anchors.nbytes * 2 + N * len(anchors) * 4
    work = {
        "anchors": Work(
            {
                OWN: lambda: [detection.multibox_prior(s, z, ssd.RATIOS) for s, z in zip(shapes, ssd.SIZES)],
                "operator": lambda: [
                    nd.contrib.MultiBoxPrior(nd.zeros((1, 1, *s)), sizes=z, ratios=ssd.RATIOS).asnumpy()
                    for s, z in zip(shapes, ssd.SIZES)
                ],
                **book["anchors"],
            },
            anchors.nbytes,
        ),
        "targets": Work(
            {
                OWN: lambda: detection.multibox_target(anchors, labels),
                "operator": lambda: [part.asnumpy() for part in nd.contrib.MultiBoxTarget(a, y, s)],
                **book["targets"],
            },
            targets,
            "the book's knows no padding: the first object of each picture stands for all",
        ),
        "targets, hard negatives": Work(
            {
                OWN: lambda: detection.multibox_target(anchors, labels, scores, **MINING),
                "operator": lambda: [part.asnumpy() for part in nd.contrib.MultiBoxTarget(a, y, s, **MINING)],
            },
            targets + scores.nbytes,
        ),
    }
    for name, (probabilities, offsets) in outputs.items():
        p, b = nd.array(probabilities), nd.array(offsets)
        work[f"detection, {name}"] = Work(
            {
                OWN: lambda p=probabilities, b=offsets: detection.multibox_detection(p, b, anchors),
                "operator": lambda p=p, b=b: nd.contrib.MultiBoxDetection(p, b, a).asnumpy(),
            },
            probabilities.nbytes + offsets.nbytes + 1.5 * offsets.nbytes,
            book_detection(probabilities, offsets, anchors),
        )
    return work


def predictions(scores: Any, offsets: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return class probabilities (N, K + 1, A) and offsets (N, A·4) of scores before softmax (N, A, K + 1)."""
    from gluonbook._mxnet import nd

    return nd.softmax(scores).transpose((0, 2, 1)).asnumpy(), offsets.asnumpy()


def book_jobs(anchors: np.ndarray, labels: np.ndarray, shapes: Sequence[tuple[int, int]]) -> dict[str, dict[str, Job]]:
    """Return the book's own functions, where they are installed."""
    try:
        from d2l import mxnet as d2l
    except ImportError:
        return {"anchors": {}, "targets": {}}
    from gluonbook._mxnet import mx
    from gluonbook.detection import ssd

    def prior(*maps: Any) -> Any:
        return mx.np.concatenate([d2l.multibox_prior(m, z, ssd.RATIOS) for m, z in zip(maps, ssd.SIZES)], axis=1)

    return {
        "anchors": {"book": in_numpy(prior, *(np.zeros((1, 1, *shape)) for shape in shapes))},
        "targets": {"book": in_numpy(lambda a, y: d2l.multibox_target(a, y)[2], anchors[None], labels[:, :1])},
    }


def book_detection(probabilities: np.ndarray, offsets: np.ndarray, anchors: np.ndarray) -> str:
    """Say what the book's loops take for all pictures, as far as a few of them, once, tell."""
    try:
        from d2l import mxnet as d2l
    except ImportError:
        return ""
    start = time.perf_counter()
    in_numpy(d2l.multibox_detection, probabilities[:FEW], offsets[:FEW], anchors[None])()
    return f"the book's takes {(time.perf_counter() - start) * N / FEW:.1f} s, told from {FEW} of {N} pictures, once"


def in_numpy(function: Callable[..., Any], *arguments: np.ndarray) -> Job:
    """Return a function of MXNet's NumPy arrays as a job."""
    from gluonbook._mxnet import mx

    def run() -> Any:
        mx.npx.set_np()
        try:
            return function(*[mx.np.array(argument) for argument in arguments]).asnumpy()
        finally:
            mx.npx.reset_np()

    return run


def yolo(rounds: int, torch: Optional[Peer]) -> list[Figure]:
    """Measure YOLOv3's forward, and its boxes from maps."""
    net, networks, X = yolo_networks()
    ways = {name: timed(lambda n=network: wait(n(X))) for name, network in networks.items()}
    if torch:
        ways["PyTorch"] = torch.way(FORWARD)
    shapes = [raw.shape for raw in networks[OWN](X)]
    weights = sum(param.data().size for param in networks[OWN].collect_params().values())
    outputs = sum(float(np.prod(shape)) for shape in shapes)
    found = [
        Figure(
            f"YOLOv3, {YOLO_SIDE}×{YOLO_SIDE}",
            alternate(ways, rounds),
            flops=products(net, YOLO_SIDE),
            moved=4 * (X.size + weights + outputs),
            note="PyTorch's has its batch norm folded, too, and its channels last",
        )
    ]
    for told, num_sure, threshold in (("200", 200, 0.5), ("all", None, 0.01)):
        maps = yolo_maps(shapes, num_sure)
        seconds = alternate({way: timed(job) for way, job in yolo_jobs(net, maps, threshold).items()}, rounds)
        found.append(Figure(f"boxes from maps, {told} candidates", seconds, moved=4 * outputs))
    return found


def wait(parts: Any) -> None:
    """Wait until arrays are computed."""
    for part in parts:
        part.wait_to_read()


def yolo_networks() -> tuple[Any, dict[str, Any], Any]:
    """Return YOLOv3 with its batch norm, all networks that are timed by name, and a picture."""
    from gluonbook import _files, _mxnet
    from gluonbook._mxnet import mx, nd
    from gluonbook.detection.darknet import Darknet, fold_batch_norm
    from gluonbook.detection.darknet_config import read_config

    mx.random.seed(0)
    X = nd.random.uniform(shape=(1, 3, YOLO_SIDE, YOLO_SIDE))
    net = Darknet(read_config(_files.packaged("datasets") / "detection" / "yolov3.cfg"))
    net.initialize(mx.init.Xavier())
    networks = {OWN: fold_batch_norm(net), "gluonbook, batch norm": net}
    for name, suppression in (("gluoncv", YOLO_NMS), ("gluoncv, no suppression", 0)):
        try:
            peer = _mxnet.gluoncv().model_zoo.get_model("yolo3_darknet53_coco", pretrained=False, pretrained_base=False)
        except ImportError:
            break
        peer.initialize(mx.init.Xavier())
        peer.set_nms(suppression)
        networks[name] = peer
    for network in networks.values():
        network.hybridize(static_alloc=True)
    return net, networks, X


def yolo_jobs(net: Any, maps: Sequence[Any], threshold: float) -> dict[str, Job]:
    """Return ways to get boxes from raw maps."""
    from gluonbook._mxnet import nd
    from gluonbook.detection.yolo import all_cells, find_yolo

    cells = [nd.array(part) for part in all_cells(net.heads, [raw.shape[2:] for raw in maps])]
    classes = net.heads[0].num_classes

    def operator() -> Any:
        """Every box for every class goes into the suppression."""
        parts = [
            raw.reshape((len(head.anchors), 5 + classes, -1)).transpose((2, 0, 1)).reshape((-1, 5 + classes))
            for raw, head in zip(maps, net.heads)
        ]
        rows = nd.concat(*parts, dim=0)  # (A, 5 + K)
        corners, priors, grids = cells
        center = (nd.sigmoid(rows[:, :2]) + corners) / grids
        half = nd.exp(rows[:, 2:4]) * priors / (2 * grids)
        scores = nd.sigmoid(rows[:, 4:5]) * nd.sigmoid(rows[:, 5:])  # (A, K)
        kinds = nd.broadcast_like(nd.arange(classes).reshape((1, -1)), scores)
        boxes = nd.concat(center - half, center + half, dim=1).expand_dims(1)  # (A, 1, 4)
        boxes = nd.broadcast_axis(boxes, axis=1, size=classes)
        found = nd.concat(kinds.expand_dims(2), scores.expand_dims(2), boxes, dim=2).reshape((1, -1, 6))
        return nd.contrib.box_nms(
            found, overlap_thresh=YOLO_NMS, valid_thresh=threshold, topk=YOLO_TOPK, id_index=0, score_index=1,
            coord_start=2,
        )[0, :100].asnumpy()  # fmt: skip

    return {OWN: lambda: find_yolo(maps, net.heads, threshold), "operator": operator}


def yolo_maps(shapes: Sequence[tuple[int, ...]], num_sure: Optional[int]) -> list[Any]:
    """Return random maps where so many predictions are sure of an object and a class, or (None) all of all a little."""
    from gluonbook._mxnet import nd

    rng, B, classes = np.random.default_rng(0), 3, 80
    maps = [rng.normal(0, 0.5, (1, B, 5 + classes, *shape[2:])).astype(np.float32) for shape in shapes]
    if num_sure is not None:
        for raw, share in zip(maps, (0.25, 0.35, 0.4)):
            raw[:, :, 4:] -= 8
            h, w = raw.shape[3:]
            for place in rng.choice(B * h * w, int(share * num_sure), replace=False):
                b, cell = divmod(int(place), h * w)
                raw[0, b, [4, 5 + rng.integers(classes)], cell // w, cell % w] = rng.uniform(1.5, 4, 2)
    return [nd.array(raw.reshape(shape)) for raw, shape in zip(maps, shapes)]


if __name__ == "__main__":
    main(figures, __doc__ or "")
