"""Draw the pictures of the style-transfer chapter: two to be painted and four to paint like.

    python datasets/images/make_images.py [--out DIR] [NAME ...]

Without names all six are drawn, beside this script unless a folder is given. Each comes from seed 0 and from the
scripts here alone, so no photograph or painting of others travels with the package.
"""

import argparse
import time
from pathlib import Path

import harbour
import impressionist
import lake
import stained_glass
import watercolour
import woodcut
from PIL import Image

MAKERS = {module.__name__: module for module in (lake, harbour, impressionist, stained_glass, woodcut, watercolour)}
QUALITY = {  # of JPEG, and whether its colours are as fine as its light (0) or half as fine (2)
    "lake": (85, 2),
    "harbour": (88, 2),
    "impressionist": (84, 2),
    "stained_glass": (88, 0),
    "woodcut": (84, 2),
    "watercolour": (88, 0),
}


def write(name, folder):
    """Draw one picture and write it as JPEG; return the file."""
    quality, subsampling = QUALITY[name]
    path = folder / f"{name}.jpg"
    picture = Image.fromarray(MAKERS[name].draw())
    picture.save(path, quality=quality, subsampling=subsampling, optimize=True, progressive=True)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MAKERS))
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="folder for the pictures")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.names) - set(MAKERS))
    if unknown:
        parser.error(f"no picture {', '.join(unknown)}: choose from {', '.join(MAKERS)}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name in chosen.names or MAKERS:
        start = time.perf_counter()
        path = write(name, chosen.out)
        print(f"{path}: {path.stat().st_size:,} bytes in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
