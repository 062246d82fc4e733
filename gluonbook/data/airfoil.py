"""NASA's airfoil self-noise (Brooks, Pope & Marcolini 1989): five measurements of a wing, and its noise in decibels."""

from typing import Any, Optional

import numpy as np

from gluonbook import _files
from gluonbook._mxnet import nd
from gluonbook.data.fetch import Dataset, find

COLUMNS = 6
AIRFOIL = Dataset(
    "airfoil",
    "airfoil_self_noise.dat",
    (
        "http://d2l-data.s3-accelerate.amazonaws.com/airfoil_self_noise.dat",
        "https://archive.ics.uci.edu/ml/machine-learning-databases/00291/airfoil_self_noise.dat",
    ),
    "sha1:76e5be1548fd8222e5074cf0faae75edff8cf93f",
    "scikit-learn's diabetes set (sklearn.datasets.load_diabetes)",
)


def read_airfoil(path: Optional[_files.PathLike] = None) -> np.ndarray:
    """Read the table, found on this machine or downloaded (60 kB).

    Args:
        path: the file or its folder, looked at first.

    Returns:
        (1503, 6) float64: frequency in Hz, angle of attack in degrees, chord in m, free-stream velocity in m/s,
        displacement thickness in m, sound pressure level in dB.

    Raises:
        DataNotFound: it is nowhere and cannot be downloaded.
        ValueError: it is no table of six numbers a line; the message gives the line.
    """
    file = find(AIRFOIL, path)
    rows = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            row = [float(value) for value in line.split()]
        except ValueError:
            row = []
        if line.strip() and (len(row) != COLUMNS or not np.isfinite(row).all()):
            raise ValueError(f"{file}, line {number} must be {COLUMNS} numbers, got {line!r:.80}")
        if row:
            rows.append(row)
    if not rows:
        raise ValueError(f"{file} is empty")
    return np.array(rows)


def get_data_ch7() -> tuple[Any, Any]:
    """Return the airfoil set for the comparison of optimisers, every column with mean 0 and standard deviation 1.

    Returns:
        features (1503, 5) and labels (1503,), nd float32.

    Raises:
        DataNotFound, ValueError: as ``data.read_airfoil``; or a column is constant.

    >>> features, labels = get_data_ch7()  # doctest: +SKIP
    >>> features.shape, labels.shape  # doctest: +SKIP
    ((1503, 5), (1503,))
    """
    table = read_airfoil()
    spread = table.std(axis=0)
    if (spread == 0).any():
        raise ValueError(f"column {int(np.argmin(spread))} of the airfoil set is constant: it has no spread")
    table = (table - table.mean(axis=0)) / spread
    return nd.array(table[:, :-1]), nd.array(table[:, -1])
