"""Chapter 19: YOLOv3, from Darknet's files to boxes on a picture

Asks:    which cell and anchor answer for an object, how do 10,647 boxes become a few, and what is in Darknet's files?
Needs:   the embedded pictures and network, no network, no GPU.  Time: 3 min (--quick 15 s) on two cores.
Claims:  19.1 19.2 19.3 19.4 19.5
"""

# %% [markdown]
# # YOLOv3 (YOLOv3 物体检测)
# YOLO (Redmon & Farhadi 2018) looks at a picture once and lets every cell of three grids say three boxes. The notes
# follow its numbers through the network; here they are counted, and a small network of that kind learns to see.

# %%
import struct
import time

import cv2
import numpy as np

import gluonbook as gb
from gluonbook import _files, chapter, data, plot
from gluonbook._mxnet import mx, nd
from gluonbook.data import drawn
from gluonbook.detection import boxes, darknet, darknet_config, darknet_files, letterboxing, metrics, training, yolo
from gluonbook.plot import COLORS, MUTED

opt = chapter.options(
    num_pictures=chapter.option(1000, quick=16, help="of the embedded set, to train on"),
    num_val=chapter.option(100, quick=8, help="of the embedded set, to measure on"),
    num_epochs=chapter.option(4, quick=1, help="of the training"),
)
FILES = _files.packaged("datasets") / "detection"


def read(name):
    return darknet.Darknet(darknet_config.read_config(FILES / f"{name}.cfg"))


def map_shapes(net, height, width):
    """Return the shapes of the raw maps without computing them."""
    return [tuple(m.infer_shape(data=(1, 3, height, width))[1][0]) for m in net(mx.sym.var("data"))]


# %% [markdown]
# ## 19.1 Strides and grids (步幅与网格)
# A stride is by how much a map is smaller than the picture. YOLOv3 predicts at strides 32, 16 and 8, so 416 pixels give
# grids of 13, 26 and 52 cells a side.

# %%
net = read("yolov3")
shapes = map_shapes(net, 416, 416)
for head, shape in zip(net.heads, shapes):
    print(f"stride {head.stride:>2}: {shape[2]}x{shape[3]} cells, {shape[1]} channels")
chapter.claim("19.1", [head.stride for head in net.heads] == [32, 16, 8])
chapter.claim("19.1", [shape[2:] for shape in shapes] == [(13, 13), (26, 26), (52, 52)])
chapter.claim("19.1", all(416 / shape[2] == head.stride for head, shape in zip(net.heads, shapes)))

# %% [markdown]
# ## 19.2 How many boxes (边界框的个数)
# Three boxes a cell, each of four numbers for its place, one for whether there is anything, and one a class: with the
# 80 classes of COCO, 85. The small network that comes with the package, of three classes, says as many, of 8 numbers.
# The three grids over 416 pixels have so many boxes:
#
# $$
# 3 \left( 13^2 + 26^2 + 52^2 \right)
# $$

# %%
rows = yolo.decode_maps([np.zeros(shape, np.float32) for shape in shapes], net.heads)
print(f"{rows.shape[1]:,} boxes of {rows.shape[2]} numbers")
chapter.claim("19.2", rows.shape == (1, (52**2 + 26**2 + 13**2) * 3, 85) and rows.shape[1] == 10_647)
tiny = read("yolov3-tiny")
num_tiny = yolo.decode_maps([np.zeros(s, np.float32) for s in map_shapes(tiny, 416, 416)], tiny.heads).shape[1]
chapter.claim("19.2", num_tiny == (26**2 + 13**2) * 3)

# %% [markdown]
# ## 19.3 Anchors (锚框)
# Anchors stand in the configuration in pixels of the input. A prediction is a factor of the anchor in cells of its map,
# so an anchor is divided by the stride. The coarse grid has the large anchors.

# %%
cells = yolo.all_cells(net.heads, [shape[2:] for shape in shapes])
start, axes = 0, chapter.figure("anchors_on_grids", 1, 3, figsize=(9, 3.2))
for ax, head, shape in zip(axes, net.heads, shapes):
    here = slice(start, start + len(head.anchors))
    chapter.claim("19.3", np.array_equal(cells.priors[here], head.anchors / head.stride))
    start += len(head.anchors) * shape[2] * shape[3]
    centre = (shape[2] // 2 + 0.5) * head.stride
    ax.set(xlim=(0, 416), ylim=(416, 0), xticks=[], yticks=[], aspect="equal")
    for edge in range(0, 417, head.stride):
        ax.axhline(edge, color=MUTED, linewidth=0.3)
        ax.axvline(edge, color=MUTED, linewidth=0.3)
    plot.boxes(np.concatenate([centre - head.anchors / 2, centre + head.anchors / 2], axis=1), ax)
    told = ", ".join(f"{w:g}×{h:g}" for w, h in head.anchors)
    ax.set_title(f"stride {head.stride}: {told}", fontsize="small")

# %% [markdown]
# ## 19.4 From a file to the network's input (图像的准备)
# OpenCV reads blue, green, red, height first. The network wants red, green, blue, channels first, from 0 to 1. The
# picture keeps its ratio: it is scaled until it fits, and grey (128, 128, 128) fills the rest. Boxes go the same way
# and come back exactly.

# %%
pair = [drawn.scene("val", i) for i in (0, 1)]
wide = np.concatenate([scene.picture for scene in pair], axis=1)  # (256, 512, 3)
bgr = cv2.cvtColor(wide, cv2.COLOR_RGB2BGR)
letterboxed = letterboxing.letterbox(letterboxing.from_bgr(bgr), 416)
X = letterboxing.as_input([letterboxed])
chapter.claim("19.4", np.array_equal(letterboxing.from_bgr(bgr), wide) and X.shape == (1, 3, 416, 416))
chapter.claim("19.4", X.dtype == np.float32 and X.min() >= 0 and X.max() <= 1)
chapter.claim("19.4", np.array_equal(X[0, :, 200, 100] * 255, letterboxed[200, 100]))
inner = cv2.resize(wide, (416, 208), interpolation=cv2.INTER_AREA)
grey = np.delete(letterboxed, np.s_[104:312], axis=0)
chapter.claim("19.4", (grey == 128).all() and np.abs(letterboxed[104:312].astype(int) - inner).max() <= 1)
truth = np.concatenate([scene.labels[:, 1:] / (2, 1, 2, 1) + (i / 2, 0, i / 2, 0) for i, scene in enumerate(pair)])
inside = letterboxing.letterbox_boxes(truth, wide.shape, 416)
chapter.claim("19.4", np.allclose(letterboxing.unletterbox_boxes(inside, wide.shape, 416), truth, atol=1e-6))

# %% [markdown]
# The cell that holds an object's centre answers for it, with the one of the nine anchors whose shape fits best: here on
# the coarsest grid.

# %%
small = read("yolo-small")
darknet.load_darknet_weights(small, FILES / "yolo-small.weights")
ax = chapter.figure("grid", figsize=(5, 5))
plot.picture(letterboxed, ax)
for edge in range(0, 417, 32):
    ax.axhline(edge, color="white", linewidth=0.5, alpha=0.7)
    ax.axvline(edge, color="white", linewidth=0.5, alpha=0.7)
x, y, width, height = boxes.corner_to_center(inside).T * 416
cell_rows, cell_columns = (y // 32).astype(int), (x // 32).astype(int)
for row, column in zip(cell_rows, cell_columns):
    corners = np.array([[0, 1, 1, 0], [0, 0, 1, 1]]) * 32
    ax.fill(corners[0] + column * 32, corners[1] + row * 32, color=COLORS[1], alpha=0.5)
ax.plot(x, y, "o", color="white", markersize=4)
plot.boxes(inside * 416, ax, colors=["white"], dashed=True)
labels = np.column_stack([np.zeros(len(inside)), inside])[None]
goal = gb.detection.yolo_targets(labels, small.heads[:1], 416)
answering = np.unravel_index(np.flatnonzero(goal.objectness[0]), (13, 13, len(small.heads[0].anchors)))
print("cells (row, column) that answer:", sorted(zip(*(part.tolist() for part in answering[:2]))))
chapter.claim("19.1", set(zip(*answering[:2])) == set(zip(cell_rows, cell_columns)))

# %% [markdown]
# ## 19.5 Darknet's files and the numbers in a box (Darknet 的配置与权重)
# A configuration lists layers in order; shortcuts and routes name earlier ones by number. The weight file is a header
# of 20 bytes, then for each convolution bias (or β, γ, mean and variance of its batch norm) and kernels, all float32.

# %%
counted = {}
for name, network in (("yolov3", net), ("yolov3-tiny", tiny), ("yolo-small", small)):
    kinds = [section.kind for section in network.sections[1:]]
    told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    counted[name] = sum(int(np.prod(p.shape)) for p in network.collect_params().values())
    print(f"{name}: {counted[name]:,} numbers in the weight file; {told}")
chapter.claim("19.5", counted["yolov3"] == 62_001_757 and counted["yolov3-tiny"] == 8_858_734)
content = (FILES / "yolo-small.weights").read_bytes()
major, minor, revision, seen = struct.unpack("<iiiq", content[:20])
chapter.claim("19.5", (major, minor) >= (0, 2) and len(content) == 20 + 4 * counted["yolo-small"])
first = small.sections[1].options["filters"]
values = np.frombuffer(content, "<f4", offset=20)
params = {name.split("_", 1)[-1]: p.data().asnumpy() for name, p in small.collect_params().items()}
beta, gamma, mean, variance = (values[i * first : (i + 1) * first] for i in range(4))
for kind, part in (("beta", beta), ("gamma", gamma), ("running_mean", mean), ("running_var", variance)):
    chapter.claim("19.5", np.array_equal(next(v for name, v in params.items() if kind in name), part))
kernels = next(v for name, v in params.items() if name.endswith("weight"))
chapter.claim("19.5", np.array_equal(values[4 * first : 4 * first + kernels.size].reshape(kernels.shape), kernels))

# %% [markdown]
# One cell's numbers t become a box: σ of two of them is the centre in the cell, e to the other two is a factor of the
# anchor. With the cell's column and row c, the anchor's sides p in cells, and g cells along a side of the grid, it is
#
# $$
# x = \frac{\sigma(t_x) + c_x}{g}, \qquad y = \frac{\sigma(t_y) + c_y}{g}, \qquad
# w = \frac{p_w e^{t_w}}{g}, \qquad h = \frac{p_h e^{t_h}}{g}
# $$
#
# as fractions of the network's input, and σ again gives objectness and classes.

# %%
maps = [m.asnumpy() for m in small(nd.array(X))]
row, column, anchor = 6, 3, 1
tx, ty, tw, th, objectness, *classes = maps[0].reshape(1, 3, 8, 13, 13)[0, anchor, :, row, column].astype(float)


def sigma(t):
    return 1 / (1 + np.exp(-t))


centre = np.array([column + sigma(tx), row + sigma(ty)]) / 13
sides = small.heads[0].anchors[anchor] / 32 * np.exp([tw, th]) / 13
by_hand = [*(centre - sides / 2), *(centre + sides / 2), sigma(objectness), *sigma(np.array(classes))]
rows = yolo.decode_maps(maps, small.heads)[0]  # (10647, 8)
chapter.claim("19.5", np.allclose(rows[(row * 13 + column) * 3 + anchor], by_hand, atol=1e-5))

# %% [markdown]
# ## 19.2 From 10,647 boxes to a few (置信度阈值与非极大值抑制)
# A threshold on the score, objectness times class, leaves those that say that something is there. Several say the same
# thing, and suppression, class by class, keeps the best of each heap.

# %%
scores = rows[:, 4] * rows[:, 5:].max(axis=1)
likely = rows[scores >= 0.3]
found = yolo.find_yolo(maps, small.heads, 0.3)[0]
steps = {"all": rows, "score of at least 0.3": likely, "after suppression": found[:, 2:]}
counts = {name: len(part) for name, part in steps.items()}
print(counts)
chapter.claim("19.2", counts["all"] == 10_647 > 100 > counts["score of at least 0.3"] > 3 * len(found) > 0)
axes = chapter.figure("three_steps", 1, 3, figsize=(10, 3.6))
for ax, (name, part) in zip(axes, steps.items()):
    plot.picture(letterboxed, ax)
    ax.set(xlim=(0, 416), ylim=(416, 0))
    for left, top, right, bottom in part[:, :4] * 416:
        thin = len(part) > 1000
        ax.plot(
            [left, right, right, left, left], [top, top, bottom, bottom, top],
            color=COLORS[1], linewidth=0.1 if thin else 1.2, alpha=0.3 if thin else 1,
        )  # fmt: skip
    ax.set_title(f"{name}: {len(part):,}", fontsize="medium")

# %% [markdown]
# ## A small YOLO that learns (训练)
# The loss has three parts: boxes, objectness, classes. A box that overlaps an object well without answering for it is
# not told to be background. Here the small network learns from its first random weights.

# %%
train_set, val_set = data.embedded_detection()
train_set, val_set = train_set.subset(range(opt.num_pictures)), val_set.subset(range(opt.num_val))
start = time.perf_counter()
model = gb.detection.train(
    train_set, val_set, None, network="yolo", num_epochs=opt.num_epochs, seed=opt.seed, device=opt.device
)  # fmt: skip
seconds = time.perf_counter() - start
for entry in model.history:
    print(training.describe_epoch(entry))
axes = chapter.figure("training", 1, 2, figsize=(9, 3.2))
plot.detector_history(model.history, axes)

# %% [markdown]
# The network whose weights come with the package learnt longer. What it finds on pictures that it has not seen; dashed
# the truth. `gluonbook detect --model yolo --cfg FILE --weights FILE` asks any network of Darknet's in this way.

# %%
paths = [FILES / f"yolo-small.{suffix}" for suffix in ("cfg", "weights", "names")]
ready = darknet_files.darknet_detector(*paths, device=opt.device)
pictures = [val_set.picture(i) for i in range(len(val_set))]
everything = ready.find(pictures)
measured = metrics.mean_ap(everything, val_set.labels, val_set.classes, val_set.difficult)
print(f"mAP@0.5 {measured.voc07:.3f} (VOC 2007), {measured.voc12:.3f} (VOC 2012) on {len(val_set)} pictures")
axes = chapter.figure("detections", 2, 3, figsize=(9, 6.2))
for ax, picture, rows, labels in zip(axes.flat, pictures, everything, val_set.labels):
    plot.detections(picture, rows[rows[:, 1] > 0.5], ready.classes, labels, ax)

# %%
chapter.report(
    numbers_in_the_weight_file=counted,
    boxes=counts,
    mAP_by_epoch=[entry["voc07"] for entry in model.history],
    mAP_of_the_embedded_network={"VOC 2007": measured.voc07, "VOC 2012": measured.voc12},
    seconds=seconds,
)
