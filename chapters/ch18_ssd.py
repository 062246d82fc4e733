"""Chapter 18: objects found by SSD

Asks:    which anchor boxes stand at a pixel, which of them learns which object, and how well does a small SSD do?
Needs:   the embedded pictures and detector, no network, no GPU.  Time: 6 min (--quick 15 s) on two cores.
Claims:  18.1 18.2 18.3 18.4 18.5 18.6
"""

# %% [markdown]
# # Objects found by SSD (SSD 物体检测)
# A detector says where things are and what they are. SSD (Liu et al. 2016) lays thousands of boxes over a picture, the
# anchors, and asks of each: which class do you cover, and how would you have to move to fit? The notes ask how many
# anchors stand at a pixel, which fit, and how the many answers for one object become one. A box is its corners (xmin,
# ymin, xmax, ymax), fractions of the picture.

# %%
import inspect
import time

import numpy as np

import gluonbook as gb
from gluonbook import chapter, data, plot, runs
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.data import drawn
from gluonbook.detection import augmentation, batches, boxes, inference, saved, ssd, targets, training
from gluonbook.plot import COLORS, INK, MUTED

np.set_printoptions(precision=2, suppress=True)

opt = chapter.options(
    num_pictures=chapter.option(1000, quick=16, help="of the embedded set, to train on"),
    num_val=chapter.option(100, quick=12, help="of the embedded set, to measure on"),
    num_epochs=chapter.option(5, quick=2, help="of each of the two trainings"),
)

# %% [markdown]
# ## 18.1 Anchors at a pixel (锚框)
# With n sizes and m ratios there would be n·m pairs. SSD takes the sizes with the first ratio, (sᵢ, r₁), and the ratios
# with the first size, (s₁, rⱼ). The pair (s₁, r₁) stands in both rows and is taken once: n + m − 1 anchors a pixel. A
# size is a share of the picture's height, a ratio is width over height in pixels. So the anchor of s and r in a picture
# of H rows and W columns has, as fractions of these, the height and the width
#
# $$
# h = \frac{s}{\sqrt{r}}, \qquad w = s \sqrt{r} \cdot \frac{H}{W}
# $$

# %%
sizes, ratios = [0.75, 0.5, 0.25], [1, 2, 0.5]
n, m = len(sizes), len(ratios)
pairs = [(s, ratios[0]) for s in sizes] + [(sizes[0], r) for r in ratios[1:]]
scene = drawn.dog_scene()
H, W = scene.picture.shape[:2]
anchors = gb.multibox_prior((H, W), sizes, ratios)
print(f"{H}x{W} pixels, {n} sizes, {m} ratios: {len(anchors)} anchors; pairs (size, ratio) at a pixel: {pairs}")
chapter.claim("18.1", len(pairs) == n + m - 1 and anchors.shape == (W * H * (n + m - 1), 4))
at_pixels = anchors.reshape(H, W, n + m - 1, 4)
middle = at_pixels[H // 2, W // 2]  # (n + m − 1, 4)
x, y, width, height = boxes.corner_to_center(middle).T
for i, (s, r) in enumerate(pairs):
    chapter.claim("18.1", np.allclose([height[i], width[i] * W], [s / r**0.5, s * r**0.5 * H], rtol=1e-5))
operator = nd.contrib.MultiBoxPrior(nd.zeros((1, 1, H, W)), sizes=sizes, ratios=ratios).asnumpy()[0]
chapter.claim("18.1", np.array_equal(anchors, operator))

# %% [markdown]
# ## 18.2 A slip in the notes' index (下标)
# The notes write: for i ≤ n take size[i] and ratios[0], for i > n take size[0] and ratios[i − n]. The first condition
# counts from one, the lists count from zero. Counting from zero throughout, the second row is ratios[i − n + 1]; as
# written, i = n would take ratios[0] once more, and the last ratio never comes.

# %%
as_written = [(sizes[i], ratios[0]) if i < n else (sizes[0], ratios[i - n]) for i in range(n + m - 1)]
mended = [(sizes[i], ratios[0]) if i < n else (sizes[0], ratios[i - n + 1]) for i in range(n + m - 1)]
print("as written", as_written, " mended", mended, sep="\n  ")
chapter.claim("18.2", mended == pairs and len(set(as_written)) == n + m - 2)
chapter.erratum(
    "18.2",
    ratios[-1] not in [r for _, r in as_written],
    notes="The anchors after the first n take size[0] and ratios[i − n].",
    truth="That mixes counting from one with counting from zero: the first ratio comes twice and the last one never. "
    "Counted from zero it is ratios[i − n + 1].",
)

# %% [markdown]
# ## 18.3 Which anchor covers the dog (交并比)
# How well two boxes a and b agree is their intersection over their union, measured by areas:
#
# $$
# \operatorname{IoU}(a, b) = \frac{\left| a \cap b \right|}{\left| a \cup b \right|} =
# \frac{\left| a \cap b \right|}{\left| a \right| + \left| b \right| - \left| a \cap b \right|}
# $$
#
# The scene is drawn, so the dog's true box is known. Of the five anchors at the picture's middle, the one of size 0.75
# and ratio 1 covers it best, as in the notes.

# %%
dog = scene.labels[:, 1:]  # (1, 4)
overlaps = gb.iou(middle, dog)[:, 0]  # (n + m − 1,)
names = [f"s={s:g}, r={r:g}" for s, r in pairs]
axes = chapter.figure("anchors_at_a_pixel", 1, 2, figsize=(9, 3.6))
plot.boxes(middle * (W, H, W, H), plot.picture(scene.picture, axes[0]), names)
axes[0].plot(W // 2 + 0.5, H // 2 + 0.5, "o", color="white", markersize=4)
plot.boxes(dog * (W, H, W, H), axes[0], colors=["white"], dashed=True)
plot.bars(dict(zip(names, overlaps.tolist())), axes[1])
axes[1].set_title("IoU with the dog's box (dashed)", loc="left")
print(dict(zip(names, overlaps.round(3).tolist())))
chapter.claim("18.3", overlaps.argmax() == 0 and overlaps[0] > 1.3 * np.sort(overlaps)[-2])

# %% [markdown]
# An anchor at every pixel would be half a million boxes for one small picture. SSD takes a few coarse grids instead,
# small anchors on the fine grid and large ones on the coarse. Here are three of them, anchors at some pixels only.

# %%
axes = chapter.figure("anchors_at_three_scales", 1, 3, figsize=(9, 2.6))
for ax, (rows, columns), size in zip(axes, ((3, 4), (2, 2), (1, 1)), (0.15, 0.4, 0.8)):
    grid = gb.multibox_prior((rows, columns), [size], [1, 2, 0.5])
    plot.boxes(grid * (W, H, W, H), plot.picture(scene.picture, ax), colors=COLORS[:3])
    ax.set_title(f"{rows}x{columns} pixels, size {size}: {len(grid)} anchors", fontsize="small")

# %% [markdown]
# ## 18.4 Which anchor learns what (标注锚框)
# Each object first gets the anchor that it overlaps most, whatever the IoU: the largest entry of the matrix is struck
# out with its row and column, and so on. Then every anchor left over takes the object that it overlaps by more than a
# threshold. This is the whole function:

# %%
print(inspect.getsource(targets.match).split('"""')[2])
truth = np.array([[0, 0.08, 0.15, 0.47, 0.92], [1, 0.56, 0.3, 0.94, 0.85]], np.float32)  # a dog, a cat
some = np.zeros((5, 4), np.float32)
some[0], some[1], some[2] = (0.02, 0.3, 0.2, 0.6), (0.12, 0.22, 0.4, 0.7), (0.6, 0.2, 0.92, 0.98)
some[3], some[4] = (0.7, 0.45, 0.85, 0.8), (0.55, 0.34, 0.9, 0.9)
overlaps = gb.iou(some, truth[:, 1:])  # (A, M)


def iou_by_hand(a, b):
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


chapter.claim("18.4", np.allclose(overlaps, [[iou_by_hand(a, b) for b in truth[:, 1:]] for a in some], atol=1e-6))
matched = targets.match(overlaps, threshold=0.5)
print("IoU with dog and cat", *overlaps, "object of each anchor", matched, sep="\n  ")

# %%
axes = chapter.figure("matching", 1, 2, figsize=(9, 3.8))
for ax, title in zip(axes, ("IoU with each object", "who learns whom")):
    ax.set(xlim=(0, 1), ylim=(1.05, -0.05), xticks=[], yticks=[])
    ax.set_title(title, loc="left")
    plot.boxes(truth[:, 1:], ax, ["dog", "cat"], colors=[INK], dashed=True)
told = {0: "dog", 1: "cat", -1: "background"}
objects = [COLORS[k] if k >= 0 else MUTED for k in matched]
plot.boxes(some, axes[0], [f"{i}: {a:.2f} {b:.2f}" for i, (a, b) in enumerate(overlaps)], colors=[MUTED])
plot.boxes(some, axes[1], [f"{i}: {told[k]}" for i, k in enumerate(matched)], objects)

# %% [markdown]
# A matched anchor learns its offsets (偏移量): the shift of the centre in anchor sides, the logarithms of the ratios of
# sides, divided by variances so that the four are about equally large. With the index a for what is the anchor's:
#
# $$
# d_x = \frac{x - x_a}{0.1 w_a}, \qquad d_y = \frac{y - y_a}{0.1 h_a}, \qquad
# d_w = \frac{1}{0.2} \log \frac{w}{w_a}, \qquad d_h = \frac{1}{0.2} \log \frac{h}{h_a}
# $$
#
# The others learn the background; with hard negatives (难例挖掘) only those that the network gets most wrong, three for
# each matched anchor.

# %%
labels, scores = truth[None], np.random.default_rng(opt.seed).normal(size=(1, 3, len(some))).astype("float32")
for mining in ({}, {"negative_mining_ratio": 1.0, "negative_mining_thresh": 0.5}):
    mine = gb.multibox_target(some, labels, scores, **mining)
    theirs = nd.contrib.MultiBoxTarget(nd.array(some[None]), nd.array(labels), nd.array(scores), **mining)
    print("classes", mine.cls_targets[0].astype(int).tolist(), "(0 background, −1 not learnt)")
    for a, b in zip(mine, theirs):
        chapter.claim("18.4", np.allclose(a, b.asnumpy(), atol=1e-5))
positive = np.flatnonzero(matched >= 0)
goals = truth[matched[positive], 1:]
offsets = targets.encode(some[positive], goals)
print("offsets", *offsets, sep="\n  ")
chapter.claim("18.4", np.allclose(targets.decode(some[positive], offsets), goals, atol=1e-6))

# %%
ax = chapter.figure("offsets", figsize=(5.4, 3.4))
ax.set(xlim=(0, 1), ylim=(1.05, -0.05), xticks=[], yticks=[])
plot.boxes(goals, ax, colors=[INK], dashed=True)
for i, goal, offset in zip(positive, goals, offsets):
    start, end = boxes.corner_to_center(some[i])[:2], boxes.corner_to_center(goal)[:2]
    plot.boxes(some[i : i + 1], ax, colors=[COLORS[matched[i]]])
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": COLORS[matched[i]]})
    written = "\n".join(f"{name} {value:+.2f}" for name, value in zip(("dx", "dy", "dw", "dh"), offset))
    ax.text(some[i, 0] + 0.02, some[i, 1] + 0.05, written, fontsize="x-small", va="top", color=COLORS[matched[i]])
ax.set_title("offsets from each matched anchor to its object (dashed)", loc="left", fontsize="small")

# %% [markdown]
# ## 18.5 One box for each object (非极大值抑制)
# Many anchors answer for the same object. Non-maximum suppression goes by falling score and drops every box that
# overlaps a kept one too much, class by class: with N classes it runs N times. The detector that comes with the package
# shows it on a picture that it was not trained on.

# %%
detector = saved.load_detector(saved.embedded_detector())
net = saved.build_net(detector, opt.device)
size = detector.settings["size"]
net_anchors = net.anchors(size, size)
picture = drawn.scene("val", 23).picture
cls_preds, box_preds = net(nd.array(inference.standardise([inference.resize(picture, size)]), ctx=opt.device))
probabilities = nd.softmax(cls_preds).transpose((0, 2, 1)).asnumpy()  # (1, K + 1, A)
kinds, scores = probabilities[0, 1:].argmax(axis=0), probabilities[0, 1:].max(axis=0)  # (A,) each
likely = np.flatnonzero(scores > 0.3)
kinds, scores = kinds[likely], scores[likely]
candidates = boxes.clip(targets.decode(net_anchors, box_preds.asnumpy().reshape(-1, 4)))[likely]
kept = gb.nms(candidates, scores, threshold=0.45, classes=kinds)
one_by_one = []
for kind in range(len(detector.classes)):
    own = np.flatnonzero(kinds == kind)
    one_by_one += own[gb.nms(candidates[own], scores[own], threshold=0.45)].tolist()
chapter.claim("18.5", sorted(kept) == sorted(one_by_one) and 0 < len(kept) < len(likely))
rows = np.column_stack([kinds, scores, candidates])
theirs = nd.contrib.box_nms(nd.array(rows), overlap_thresh=0.45, id_index=0, score_index=1, coord_start=2).asnumpy()
chapter.claim("18.5", np.allclose(rows[kept], theirs[theirs[:, 1] >= 0]))
settings = {"threshold": 0.3, "nms_threshold": 0.45}
ours = gb.multibox_detection(probabilities, box_preds, net_anchors, **settings)[0]
outputs = (nd.array(part) for part in (probabilities, box_preds.asnumpy(), net_anchors[None]))
theirs = nd.contrib.MultiBoxDetection(*outputs, **settings).asnumpy()[0]
chapter.claim("18.5", np.allclose(ours[ours[:, 0] >= 0], theirs[theirs[:, 0] >= 0], atol=1e-5))
axes = chapter.figure("suppression", 1, 2, figsize=(8, 4.2))
sides = picture.shape[1::-1] * 2
plot.boxes(candidates * sides, plot.picture(picture, axes[0]), colors=[COLORS[kind] for kind in kinds])
plot.detections(picture, rows[kept], detector.classes, np.zeros((0, 5)), axes[1])
axes[0].set_title(f"{len(likely)} boxes with a score above 0.3")
axes[1].set_title(f"{len(kept)} that stay")

# %% [markdown]
# ## 18.6 Training (训练)
# The pictures are drawn: balloons, fish and teapots on photographs and painted grounds, partly hidden. They are
# squeezed to half their side first. The book's TinySSD takes 256 pixels, but a pixel of its first feature map then sees
# no more than the smaller of its anchors; in smaller pictures it sees twice the share, and fits boxes sooner.

# %%
sees, step = 1, 1
for _ in range(3):  # halving blocks before the first map: two 3x3 convolutions, then 2x2 pooling
    sees, step = sees + 2 * 2 * step + step, 2 * step
sees += 2 * step  # the head's convolution
for side in (256, size):
    print(f"{side} pixels: the first map sees {sees / side:.2f} of the side, its anchors are {ssd.SIZES[0]} wide")

# %% [markdown]
# While it trains, each picture is flipped, cropped and recoloured by chance; its boxes follow.

# %%
axes = chapter.figure("augmentation", 2, 4, figsize=(9, 4.9))
original, rng = drawn.scene("train", 0), np.random.default_rng(opt.seed)
changed = {
    "as drawn": original,
    "flipped": augmentation.flip(*original),
    "cropped": augmentation.crop(*original, augmentation.random_window(original.labels, rng)),
    "recoloured": (augmentation.change_colours(original.picture, rng), original.labels),
    **{f"as trained on, {i}": augmentation.augment(*original, rng) for i in range(1, 5)},
}
for ax, (title, (pixels, labels)) in zip(axes.flat, changed.items()):
    colours = [COLORS[int(kind)] for kind in labels[:, 0]]
    plot.boxes(labels[:, 1:] * size, plot.picture(inference.resize(pixels, size), ax), colors=colours)
    ax.set_title(title, fontsize="small")

# %% [markdown]
# Two trainings of the same network on the same pictures. The book's recipe lets every unmatched anchor learn the
# background, averages over all anchors, takes the absolute error for the boxes, and plain gradient descent with one
# learning rate. It is this loop:

# %%
train_set, val_set = data.embedded_detection(opt.num_pictures, opt.num_val)
cross_entropy = gluon.loss.SoftmaxCrossEntropyLoss()


def train_by_the_book(num_epochs, batch_size):
    runs.seed_epoch(opt.seed, 0)
    net = ssd.tiny_ssd(len(train_set.classes))
    net.initialize(mx.init.Xavier(), ctx=opt.device)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.2, "wd": 5e-4})
    anchors, history = net.anchors(size, size), []
    for epoch in range(num_epochs):
        order, losses = np.random.default_rng([opt.seed, epoch]).permutation(len(train_set)), []
        for start in range(0, len(order) - batch_size + 1, batch_size):
            chosen = order[start : start + batch_size]
            pictures = [inference.resize(train_set.picture(i), size) for i in chosen]
            X = nd.array(inference.standardise(pictures), ctx=opt.device)
            goal = gb.multibox_target(anchors, batches.pad_labels([train_set.labels[i] for i in chosen]))
            box_targets, masks, cls_targets = (nd.array(part, ctx=opt.device) for part in goal)
            with autograd.record():
                cls_preds, box_preds = net(X)
                cls_loss = cross_entropy(cls_preds, cls_targets)  # (N,), a mean over all anchors
                box_loss = nd.abs((box_preds - box_targets) * masks).mean(axis=1)  # (N,)
                loss = cls_loss + box_loss
            loss.backward()
            trainer.step(batch_size)
            losses.append((cls_loss.mean().asscalar(), box_loss.mean().asscalar()))
        found = training.evaluate(inference.ssd_finder(net, size, opt.device), val_set)
        cls_loss, box_loss = np.mean(losses, axis=0)
        history.append({"epoch": epoch + 1, "cls": cls_loss, "box": box_loss, "voc07": found.voc07})
        print(f"the book's recipe, epoch {epoch + 1}: cls {cls_loss:.4f}, box {box_loss:.4f}, mAP {found.voc07:.3f}")
    return history


start = time.perf_counter()
book = train_by_the_book(opt.num_epochs, min(32, opt.num_pictures))
seconds = {"the book's recipe": time.perf_counter() - start}

# %% [markdown]
# The package's recipe takes the hardest negatives, smooth L1, sums divided by the number of matched anchors, Adam with
# a learning rate that rises and falls, small batches and the augmentation above: `gluonbook.detection.train`.

# %%
start = time.perf_counter()
model = gb.detection.train(
    train_set, val_set, None, size=size, num_epochs=opt.num_epochs, seed=opt.seed, device=opt.device
)  # fmt: skip
seconds["this package's"] = time.perf_counter() - start
for entry in model.history:
    print(training.describe_epoch(entry))
chapter.claim("18.6", model.history[-1]["loss"] < model.history[0]["loss"])
if not opt.quick:
    chapter.claim("18.6", model.history[-1]["voc07"] > book[-1]["voc07"] + 0.3)

# %%
axes = chapter.figure("training", 1, 3, figsize=(10, 3.2))
for color, (name, history) in zip(COLORS, {"the book's recipe": book, "this package's": model.history}.items()):
    epochs = [entry["epoch"] for entry in history]
    for key, line in (("cls", "-"), ("box", "--")):
        values = np.array([entry[key] for entry in history])
        axes[0].plot(epochs, values / values[0], line, color=color, label=f"{name}, {key}")
    axes[1].plot(epochs, [entry["voc07"] for entry in history], color=color, label=name, marker="o", markersize=3)
epochs = [entry["epoch"] for entry in detector.history]
for color, key, label in zip(COLORS[2:], ("voc07", "voc12"), ("VOC 2007", "VOC 2012")):
    axes[2].plot(epochs, [entry[key] for entry in detector.history], color=color, label=label, marker="o", markersize=3)
titles = ("loss, as a share of the first", f"mAP@0.5, {len(train_set)} pictures", "mAP@0.5, the embedded detector")
for ax, title in zip(axes, titles):
    ax.set(xlabel="epoch", ylim=(0, None if ax is axes[0] else 1))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_title(title, fontsize="small")
    ax.legend(fontsize="x-small")

# %% [markdown]
# The detector that comes with the package was trained on all the pictures. Its mAP@0.5 by the rule of the Pascal VOC
# challenge of 2007, measured here again on pictures that it has not seen, and six of them: what it found, and dashed
# the truth.

# %%
found = training.evaluate(inference.ssd_finder(net, size, opt.device), val_set)
print(f"mAP@0.5 {found.voc07:.3f} (VOC 2007), {found.voc12:.3f} (VOC 2012) on {len(val_set)} pictures")
chapter.claim("18.6", found.voc07 > 0.8)
ready = inference.make_detector(detector, opt.device)
axes = chapter.figure("detections", 2, 3, figsize=(9, 6.2))
pictures = [val_set.picture(i) for i in range(6)]
for i, (ax, rows) in enumerate(zip(axes.flat, ready.find(pictures))):
    plot.detections(pictures[i], rows[rows[:, 1] > 0.5], detector.classes, val_set.labels[i], ax)

# %%
chapter.report(
    anchors_a_pixel=len(pairs),
    iou_of_the_best_anchor=float(gb.iou(middle, dog).max()),
    boxes_before_suppression=len(likely),
    boxes_after_suppression=len(kept),
    mAP_by_the_book=[entry["voc07"] for entry in book],
    mAP_of_this_package=[entry["voc07"] for entry in model.history],
    mAP_of_the_embedded_detector={"VOC 2007": found.voc07, "VOC 2012": found.voc12},
    seconds=seconds,
)
