"""Draw the embedded detection set to a folder, or the sample pictures beside this script.

    python datasets/detection/make_detection.py --out DIR [--train 1000] [--val 100] [--seed 0]
    python datasets/detection/make_detection.py --samples

The first writes ``train.rec``, ``val.rec``, their ``.idx`` and ``classes.txt``; ``gluonbook.data.embedded_detection``
draws the same set to the cache by itself. The second writes pictures for ``gluonbook detect`` that are in neither part
and have drawn grounds only, so that no photograph of others travels with the package.
"""

import argparse
import time
from pathlib import Path

from PIL import Image

from gluonbook import data
from gluonbook.data import drawn

SAMPLES = {"seed": 2018, "size": 480, "indices": (8, 26, 40, 58)}


def write_samples(folder):
    """Write the sample pictures as JPEG."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, index in enumerate(SAMPLES["indices"], 1):
        scene = drawn.scene("val", index, SAMPLES["seed"], SAMPLES["size"])
        Image.fromarray(scene.picture).save(folder / f"scene{number}.jpg", quality=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="folder for the set")
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--val", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", action="store_true")
    chosen = parser.parse_args()
    if chosen.samples:
        write_samples(Path(__file__).resolve().parent / "samples")
    if chosen.out:
        start = time.perf_counter()
        data.write_drawn(chosen.out, chosen.train, chosen.val, chosen.seed)
        print(f"{chosen.train} + {chosen.val} pictures in {time.perf_counter() - start:.0f} s: {chosen.out}")


if __name__ == "__main__":
    main()
