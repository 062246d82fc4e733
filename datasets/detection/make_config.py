"""Write the Darknet configurations beside this script: ``yolov3.cfg``, ``yolov3-tiny.cfg``, ``yolo-small.cfg``.

    python datasets/detection/make_config.py [--out DIR] [--trained MODEL]

The first two are the networks of Redmon & Farhadi 2018, "YOLOv3: An Incremental Improvement", for COCO's 80 classes,
layer by layer as in the paper and in Darknet, so that weights for those networks fit. The third is a network of this
package's own, for three classes and pictures of 256x256 pixels.
"""

import argparse
from pathlib import Path

NET = "[net]\nwidth={0}\nheight={0}\nchannels=3\n"
YOLOV3_ANCHORS = "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326"
TINY_ANCHORS = "10,14, 23,27, 37,58, 81,82, 135,169, 344,319"
SMALL_ANCHORS = "70,44, 53,70, 93,53, 89,74, 70,97, 129,79, 97,119, 153,110, 131,153"  # clusters of the embedded set


def convolution(filters, size, stride=1):
    """Return a convolution with batch norm and leaky ReLU."""
    options = f"batch_normalize=1\nfilters={filters}\nsize={size}\nstride={stride}\npad=1\nactivation=leaky\n"
    return f"[convolutional]\n{options}"


def pooling(stride):
    return f"[maxpool]\nsize=2\nstride={stride}\n"


def shortcut():
    return "[shortcut]\nfrom=-3\nactivation=linear\n"


def route(layers):
    return f"[route]\nlayers={layers}\n"


def upsampling():
    return "[upsample]\nstride=2\n"


def head(mask, anchors, classes, ignore_thresh):
    """Return a head and the 1x1 convolution before it, which has no batch norm."""
    filters = len(mask.split(",")) * (5 + classes)
    yolo = f"[yolo]\nmask={mask}\nanchors={anchors}\nclasses={classes}\nnum={len(anchors.split(',')) // 2}\n"
    linear = f"[convolutional]\nfilters={filters}\nsize=1\nstride=1\npad=1\nactivation=linear\n"
    return [linear, f"{yolo}ignore_thresh={ignore_thresh}\n"]


def from_coarser(filters, finer):
    """Return what brings the map four layers before, under the last head, to twice its size beside a finer one."""
    return [route(-4), convolution(filters, 1), upsampling(), route(f"-1, {finer}")]


def yolov3():
    sections = ["# Darknet-53, without its classifier: layers 0 to 74\n" + convolution(32, 3)]
    for filters, repeats in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        sections += [f"# halve the map, then {repeats} residual blocks\n" + convolution(filters, 3, stride=2)]
        sections += [convolution(filters // 2, 1), convolution(filters, 3), shortcut()] * repeats
    for filters, mask, finer in ((512, "6,7,8", None), (256, "3,4,5", 61), (128, "0,1,2", 36)):
        sections += from_coarser(filters, finer) if finer else []
        sections += [convolution(filters, 1), convolution(2 * filters, 3)] * 3
        sections += head(mask, YOLOV3_ANCHORS, 80, 0.7)
    about = "# YOLOv3: Darknet-53 and heads at strides 32, 16 and 8. Redmon & Farhadi 2018; 80 classes of COCO.\n"
    return [about + NET.format(416), *sections]


def yolov3_tiny():
    sections = []
    for filters in (16, 32, 64, 128, 256):
        sections += [convolution(filters, 3), pooling(2)]
    sections += [convolution(512, 3), "# keeps the size\n" + pooling(1), convolution(1024, 3)]
    sections += [convolution(256, 1), convolution(512, 3), *head("3,4,5", TINY_ANCHORS, 80, 0.7)]
    sections += [*from_coarser(128, 8), convolution(256, 3), *head("0,1,2", TINY_ANCHORS, 80, 0.7)]
    about = "# YOLOv3-tiny: heads at strides 32 and 16. Redmon & Farhadi 2018; 80 classes of COCO.\n"
    return [about + NET.format(416), *sections]


def yolo_small():
    sections = [convolution(16, 3, stride=2)]
    for filters in (32, 64, 128, 160):  # layers 1, 3, 5, 7: the last two are read again at strides 8 and 16
        sections += [convolution(filters, 3), pooling(2)]
    sections += [convolution(256, 3), convolution(96, 1), convolution(192, 3)]
    sections += head("6,7,8", SMALL_ANCHORS, 3, 0.5)
    sections += [*from_coarser(64, 7), convolution(48, 1), convolution(96, 3), *head("3,4,5", SMALL_ANCHORS, 3, 0.5)]
    sections += [*from_coarser(32, 5), convolution(32, 1), convolution(64, 3), *head("0,1,2", SMALL_ANCHORS, 3, 0.5)]
    about = "# A small YOLO for three classes: six convolutions down to stride 32, heads at strides 32, 16 and 8.\n"
    return [about + NET.format(256), *sections]


NETWORKS = {"yolov3.cfg": yolov3, "yolov3-tiny.cfg": yolov3_tiny, "yolo-small.cfg": yolo_small}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="folder for the files")
    parser.add_argument("--trained", type=Path, help="a model of detect-train --network yolo: its weights and classes")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name, make in NETWORKS.items():
        (chosen.out / name).write_bytes("\n".join(make()).encode())
    if chosen.trained:
        write_weights(chosen.trained, chosen.out)


def write_weights(trained, folder):
    """Write ``yolo-small.weights`` and ``yolo-small.names`` of a trained model whose configuration is beside them."""
    from gluonbook import detection, devices
    from gluonbook.detection import saved

    model = detection.load_detector(trained)
    anchors = [float(number) for number in SMALL_ANCHORS.split(",")]
    if [side for anchor in model.settings["anchors"] for side in anchor] != anchors or model.settings["size"] != 256:
        raise SystemExit(f"{trained} is not of yolo-small.cfg: it has other anchors or another size")
    net = saved.build_net(model, devices.device("cpu"))
    detection.save_darknet_weights(net, folder / "yolo-small.weights")
    (folder / "yolo-small.names").write_text("\n".join(model.classes) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
