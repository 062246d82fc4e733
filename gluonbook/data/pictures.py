"""Pictures: whatever a user's file holds becomes (H, W, 3) uint8, RGB, the right way up."""

import glob
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Union

import numpy as np

from gluonbook import _check, _files

WHITE = (255, 255, 255)
GREY = (0.299, 0.587, 0.114)  # shares of red, green and blue in a grey, ITU-R BT.601
MAX_PIXELS = 100_000_000
PHOTOGRAPH = "china"  # scikit-learn's sample, by danielbuechele, CC BY 2.0
TRANSPARENT = ("RGBA", "LA", "PA", "La", "RGBa")


def read_picture(path: _files.PathLike, background: tuple[int, int, int] = WHITE) -> np.ndarray:
    """Read a picture file of any format, mode and depth that Pillow knows.

    Grey, palette and CMYK pictures become RGB, 16 bits become 8, transparent ones lie on ``background``, a camera's
    orientation (EXIF) is applied, and of several frames the first is taken.

    Args:
        path: the file.
        background: RGB, each from 0 to 255.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no picture, damaged, cut short, or larger than 100 million pixels; the message says which.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a picture")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty: 0 bytes")
    return _decode(path, str(path), background)


def decode_picture(content: bytes, name: str) -> np.ndarray:
    """Decode a picture that was read already; ``name`` stands for it in errors. As ``read_picture``."""
    import io

    return _decode(io.BytesIO(content), name, WHITE)


def picture_size(path: _files.PathLike) -> tuple[int, int]:
    """Return (height, width) of a picture file as ``read_picture`` would give it, mostly from its first bytes alone.

    Raises:
        FileNotFoundError, ValueError: it is not there, or no picture.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112) in (5, 6, 7, 8)  # orientations that lie on their side
            width, height = image.size
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is not there") from None
    except (OSError, SyntaxError, RuntimeError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a picture that can be read ({error})") from None
    return (width, height) if turned else (height, width)


def resize(picture: np.ndarray, size: Union[int, tuple[int, int]]) -> np.ndarray:
    """Return a picture at another size, squeezed or stretched to it.

    Args:
        picture: (H', W', …), uint8 or float32.
        size: (H, W) in pixels; one number is a square's side.

    Returns:
        (H, W, …) of the picture's dtype.
    """
    import cv2

    height, width = (size, size) if isinstance(size, int) else size
    if picture.shape[:2] == (height, width):
        return picture
    smaller = picture.shape[0] * picture.shape[1] > height * width
    squeezed = cv2.resize(
        np.ascontiguousarray(picture), (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )
    return np.asarray(squeezed)


def _decode(source: Any, name: str, background: tuple[int, int, int]) -> np.ndarray:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise _TooLarge(f"{name} is too large: {image.width}x{image.height} pixels, at most {MAX_PIXELS:,}")
                image.load()
                return np.array(_as_rgb(ImageOps.exif_transpose(image), background))
    except Image.DecompressionBombError:
        raise ValueError(f"{name} is too large: at most {MAX_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise ValueError(f"{name} is not a picture: no known format") from None
    except _TooLarge as error:
        raise ValueError(str(error)) from None
    except (OSError, SyntaxError, ValueError, EOFError, RuntimeError) as error:  # what Pillow raises by format
        what = "is cut short" if "truncated" in str(error) else "is a damaged picture"
        raise ValueError(f"{name} {what} ({error})") from None


class _TooLarge(ValueError):
    pass


def _as_rgb(image: Any, background: tuple[int, int, int]) -> Any:
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in TRANSPARENT or "transparency" in image.info:
        ground = Image.new("RGBA", image.size, (*background, 255))
        return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Return (H, W) uint8 of grey values with 16 bits, or of floats that end at 1 or at 255."""
    if values.dtype.kind == "f":
        full = 1.0 if np.nan_to_num(values).max() <= 1 else 255.0
    else:
        full = 255.0 if values.max() <= 255 and values.dtype.itemsize > 2 else 65535.0
    return np.nan_to_num(values / full * 255).clip(0, 255).round().astype(np.uint8)


def find_pictures(places: Iterable[_files.PathLike]) -> list[Path]:
    """List the picture files that paths, folders and globs name, each once, in the order given.

    Args:
        places: files, whatever their names; folders, whose picture files are taken in alphabetical order; or globs.

    Returns:
        paths, which may still be missing or no pictures.

    Raises:
        FileNotFoundError: a folder or a glob names nothing.
    """
    from PIL import Image

    suffixes = set(Image.registered_extensions())
    found: dict[Path, None] = {}
    for place in places:
        path = Path(place).expanduser()
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.is_file() and file.suffix.lower() in suffixes)
        elif path.exists() or not glob.has_magic(str(path)):
            files = [path]
        else:
            files = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
        if not files:
            raise FileNotFoundError(f"{place} holds no picture" if path.is_dir() else f"{place} matches no file")
        found.update(dict.fromkeys(files))
    return list(found)


def sample_picture(name: str) -> np.ndarray:
    """Return a picture that travels with the package, or scikit-learn's photograph of a pavilion.

    Args:
        name: ``"lake"`` or ``"harbour"``, drawn scenes; ``"impressionist"``, ``"stained_glass"``, ``"woodcut"`` or
            ``"watercolour"``, painted textures; ``"china"``, the photograph.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: there is no such picture; the message lists them.
    """
    folder = _files.packaged("datasets") / "images"
    names = sorted(path.stem for path in folder.glob("*.jpg"))
    if _check.choice("name", name, [*names, PHOTOGRAPH]) == PHOTOGRAPH:
        from sklearn.datasets import load_sample_image

        return np.array(load_sample_image(f"{PHOTOGRAPH}.jpg"))
    return read_picture(folder / f"{name}.jpg")
