"""Where a data set's file is: an explicit path, ``$GLUONBOOK_DATA``, ``../data``, the cache, or a download into it."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from gluonbook import _files

BOOK_FOLDER = Path("..") / "data"  # where notebooks of the book expect their data
TIMEOUT = 30  # seconds without an answer


@dataclass(frozen=True)
class Dataset:
    """A file that is not the package's own.

    Attributes:
        name: what the package calls it.
        filename: its name in every place that is looked at.
        urls: where it may be downloaded, the first choice first.
        digest: ``"sha256:…"`` or the like, of the file; None where only its content is known.
        embedded: what works offline in its stead.
        check: called with a downloaded file; raises ValueError if it is not the right one.
    """

    name: str
    filename: str
    urls: tuple[str, ...]
    digest: Optional[str]
    embedded: str
    check: Optional[Callable[[Path], None]] = None


class DataNotFound(FileNotFoundError):
    """A data set is in none of the places; the message lists each, and what works offline."""


def find(dataset: Dataset, path: Optional[_files.PathLike] = None) -> Path:
    """Return the path of a data set's file, downloaded if need be.

    Args:
        dataset: which.
        path: a file, or a folder that holds ``dataset.filename``; looked at first.

    Returns:
        the path of a file that exists.

    Raises:
        DataNotFound: it is nowhere and cannot be downloaded.
    """
    places = []
    for what, place in places_of(dataset, path):
        if place.is_file():
            if path is not None and what != "path":
                warnings.warn(f"{path} holds no {dataset.filename}: using {place}", stacklevel=2)
            return place
        places.append(f"{what}: {place}")
    downloaded, failures = download(dataset)
    if downloaded is not None:
        return downloaded
    looked = "\n  ".join(places + failures)
    raise DataNotFound(
        f"the data set {dataset.name} ({dataset.filename}) was found in none of these places:\n  {looked}\n"
        f"Put the file into one of these folders by hand, or use {dataset.embedded}, which needs no network"
    )


def places_of(dataset: Dataset, path: Optional[_files.PathLike] = None) -> list[tuple[str, Path]]:
    """List where a data set's file may lie on this machine, in order, each with what the place is."""
    places = []
    if path is not None:
        explicit = Path(path).expanduser()
        places.append(("path", explicit / dataset.filename if explicit.is_dir() else explicit))
    if os.environ.get("GLUONBOOK_DATA"):
        places.append(("$GLUONBOOK_DATA", Path(os.environ["GLUONBOOK_DATA"]).expanduser() / dataset.filename))
    places.append(("book's folder", BOOK_FOLDER / dataset.filename))
    places.append(("cache", _files.cache_folder() / dataset.filename))
    return places


def download(dataset: Dataset) -> tuple[Optional[Path], list[str]]:
    """Download a data set to the cache from the first address that gives the right file.

    Returns:
        its path, None where no address does; and a line on each address that did not.
    """
    failures: list[str] = []
    for url in dataset.urls:
        try:
            return _download(dataset, url), failures
        except Exception as error:  # pooch, requests and urllib3 each raise their own
            failures.append(f"download: {url} ({_first_line(error)})")
    return None, failures


def _download(dataset: Dataset, url: str) -> Path:
    """Download to the cache with a progress bar; the file takes its name only when its digest and content are right."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    cache = _files.cache_folder()
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)
    arriving = Path(
        pooch.retrieve(url, dataset.digest, fname=f"{dataset.filename}.part", path=cache, downloader=downloader)
    )
    try:
        if dataset.check is not None:
            dataset.check(arriving)
        return arriving.replace(cache / dataset.filename)
    finally:
        arriving.unlink(missing_ok=True)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
