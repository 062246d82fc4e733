"""Semantic segmentation on Pascal VOC 2012 (Everingham et al. 2010): a class at every pixel, drawn as a colour."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gluonbook import _check, _files
from gluonbook._mxnet import gluon, mx, nd
from gluonbook.data.fetch import Dataset, find_folder

FOLDER = "VOCdevkit/VOC2012"
BOOK_ROOT = "../data/" + FOLDER
RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures
NUM_COLORS = 256**3
VOC2012 = Dataset(
    "voc2012",
    "VOCtrainval_11-May-2012.tar",
    (
        "http://d2l-data.s3-accelerate.amazonaws.com/VOCtrainval_11-May-2012.tar",
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
    ),
    "sha1:4e443f8a2eca6b1dac8a6c57641b67dd40621a49",
    None,
)

# The challenge's classes by index, and the colour of each in its label pictures.
VOC_CLASSES = [
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv/monitor"),
]
VOC_COLORMAP = [
    *([0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128]),
    *([128, 128, 128], [64, 0, 0], [192, 0, 0], [64, 128, 0], [192, 128, 0], [64, 0, 128], [192, 0, 128]),
    *([64, 128, 128], [192, 128, 128], [0, 64, 0], [128, 64, 0], [0, 192, 0], [128, 192, 0], [0, 64, 128]),
]


def download_voc_pascal(data_dir: _files.PathLike = "../data") -> str:
    """Make sure that ``data_dir/VOCdevkit/VOC2012`` is there: found, unpacked from the archive, or downloaded (2 GB).

    Args:
        data_dir: where; made if missing. An archive in it, ``VOCtrainval_11-May-2012.tar``, is used.

    Returns:
        the folder's path.

    Raises:
        DataNotFound: the archive is nowhere and cannot be downloaded; the message says where to put it.
        ValueError: the archive is damaged.

    >>> download_voc_pascal()  # doctest: +SKIP
    '../data/VOCdevkit/VOC2012'
    """
    return str(find_folder(VOC2012, FOLDER, data_dir))


def read_voc_images(root: _files.PathLike = BOOK_ROOT, is_train: bool = True) -> tuple[list[Any], list[Any]]:
    """Read the pictures of the segmentation challenge and their label pictures.

    Args:
        root: the folder ``VOC2012``. Where the default is missing, the other places of data sets are looked at.
        is_train: the 1,464 training pictures, otherwise the 1,449 for validation.

    Returns:
        two lists of nd (H, W, 3) uint8, RGB: pictures and label pictures, in the order of the challenge's list.

    Raises:
        FileNotFoundError: the folder or a file of it is not there.
        ValueError: a picture and its labels differ in size, or a file is no picture.

    >>> features, labels = read_voc_images(is_train=False)  # doctest: +SKIP
    >>> len(features), features[0].shape  # doctest: +SKIP
    (1449, (366, 500, 3))
    """
    from tqdm.auto import tqdm

    folder = Path(root)
    if str(root) == BOOK_ROOT and not folder.is_dir():
        folder = find_folder(VOC2012, FOLDER)
    names = folder / "ImageSets" / "Segmentation" / ("train.txt" if is_train else "val.txt")
    if not names.is_file():
        raise FileNotFoundError(f"{names} is not there: root must be the folder VOC2012, got {root}")
    features, labels = [], []
    for name in tqdm(names.read_text(encoding="utf-8").split(), desc="reading", disable=None, leave=False):
        features.append(_read(folder / "JPEGImages" / f"{name}.jpg"))
        labels.append(_read(folder / "SegmentationClass" / f"{name}.png"))
        if features[-1].shape != labels[-1].shape:
            raise ValueError(f"picture {name} is {features[-1].shape}, its labels are {labels[-1].shape}")
    return features, labels


def voc_label_indices(colormap: Any, colormap2label: Any) -> Any:
    """Turn a label picture's colours into classes.

    Args:
        colormap: nd (H, W, 3), whole numbers from 0 to 255, RGB.
        colormap2label: nd (256³,): the class of each colour, at ``(R * 256 + G) * 256 + B``.

    Returns:
        nd (H, W), of the dtype of ``colormap2label``.

    Raises:
        ValueError: a shape is another.

    >>> colormap2label = nd.zeros(256**3)
    >>> for i, (r, g, b) in enumerate(VOC_COLORMAP): colormap2label[(r * 256 + g) * 256 + b] = i
    >>> voc_label_indices(nd.array([[[0, 0, 0], [128, 0, 0]]]), colormap2label).asnumpy().tolist()
    [[0.0, 1.0]]
    """
    if colormap.ndim != 3 or colormap.shape[2] != 3:
        raise ValueError(f"colormap must be (H, W, 3), got shape {colormap.shape}")
    if colormap2label.shape != (NUM_COLORS,):
        raise ValueError(f"colormap2label must be ({NUM_COLORS},), got shape {colormap2label.shape}")
    R, G, B = (colormap[:, :, i].astype("int32") for i in range(3))  # (H, W)
    return colormap2label[(R * 256 + G) * 256 + B]


def voc_rand_crop(feature: Any, label: Any, height: int, width: int) -> tuple[Any, Any]:
    """Cut the same window, at random (Python's ``random``), out of a picture and its labels.

    Args:
        feature, label: nd (H, W, C) each, with equal H and W.
        height, width: of the window, in pixels, at most the picture's.

    Returns:
        nd (height, width, C) each.

    Raises:
        ValueError: the sizes differ, or the window is larger than the picture.

    >>> feature, label = nd.arange(48).reshape((4, 4, 3)), nd.arange(48).reshape((4, 4, 3))
    >>> cropped, cut = voc_rand_crop(feature, label, 2, 3)
    >>> cropped.shape, (cropped == cut).min().asscalar()
    ((2, 3, 3), 1.0)
    """
    _check.integer("height", height, at_least=1, at_most=feature.shape[0])
    _check.integer("width", width, at_least=1, at_most=feature.shape[1])
    if feature.shape[:2] != label.shape[:2]:
        raise ValueError(f"feature and label must be equally large, got {feature.shape} and {label.shape}")
    feature, window = mx.image.random_crop(feature, (width, height))
    return feature, mx.image.fixed_crop(label, *window)


class VOCSegDataset(gluon.data.Dataset):
    """Pascal VOC 2012 for segmentation: random crops of its pictures, and the class of each pixel.

    Args:
        is_train: the training pictures, otherwise those for validation.
        crop_size: (H, W) in pixels; smaller pictures are left out.
        voc_dir: the folder ``VOC2012``, as for ``read_voc_images``.
        colormap2label: nd (256³,), as for ``voc_label_indices``.

    Attributes:
        data: n pictures, nd (H', W', 3) float32, normalised.
        labels: n label pictures, nd (H', W', 3) uint8.
        rgb_mean, rgb_std: nd (3,), by which pictures are normalised.
        crop_size, colormap2label: as given.

    Item ``i`` is a picture, nd (3, H, W) float32, and its classes, nd (H, W) of the dtype of ``colormap2label``:
    another crop at each access. All pictures are held in memory, about 3 GB for the training part.

    Raises:
        FileNotFoundError, ValueError: as ``read_voc_images``; or no picture is large enough.

    >>> dataset = VOCSegDataset(True, (320, 480), "../data/VOCdevkit/VOC2012", colormap2label)  # doctest: +SKIP
    read 1114 examples
    """

    def __init__(
        self, is_train: bool, crop_size: tuple[int, int], voc_dir: _files.PathLike, colormap2label: Any
    ) -> None:
        self.rgb_mean, self.rgb_std = nd.array(RGB_MEAN), nd.array(RGB_STD)
        self.crop_size = crop_size
        pictures, labels = read_voc_images(voc_dir, is_train)
        self.data = [self.normalize_image(picture) for picture in self.filter(pictures)]
        self.labels = self.filter(labels)
        self.colormap2label = colormap2label
        if not self.data:
            largest = max((picture.shape[:2] for picture in pictures), default=None)
            raise ValueError(f"crop_size must be at most a picture's (height, width), {largest}; got {crop_size}")
        print(f"read {len(self.data)} examples")

    def normalize_image(self, data: Any) -> Any:
        """Return a picture (…, 3), 0 to 255, as float32: divided by 255, minus mean, over standard deviation."""
        return (data.astype("float32") / 255 - self.rgb_mean) / self.rgb_std

    def filter(self, images: Sequence[Any]) -> list[Any]:
        """Return the pictures that are at least as high and as wide as the crop."""
        height, width = self.crop_size
        return [image for image in images if image.shape[0] >= height and image.shape[1] >= width]

    def __getitem__(self, idx: int) -> tuple[Any, Any]:
        picture, labels = voc_rand_crop(self.data[idx], self.labels[idx], *self.crop_size)
        return picture.transpose((2, 0, 1)), voc_label_indices(labels, self.colormap2label)

    def __len__(self) -> int:
        return len(self.data)


def _read(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    try:
        return mx.image.imread(str(path))
    except mx.MXNetError:
        raise ValueError(f"{path} is not a picture") from None
