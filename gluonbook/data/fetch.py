"""Where a data set's file is: an explicit path, ``$GLUONBOOK_DATA``, ``../data``, the cache, or a download into it."""

import errno
import os
import shutil
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

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
        embedded: what works offline in its stead; None where nothing does.
        check: called with a downloaded file; raises ValueError if it is not the right one.
        elsewhere: where another library keeps the file, looked at right after an explicit path; None for nowhere.
    """

    name: str
    filename: str
    urls: tuple[str, ...]
    digest: Optional[str]
    embedded: Optional[str]
    check: Optional[Callable[[Path], None]] = None
    elsewhere: Optional[str] = None


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
    instead = f", or use {dataset.embedded}, which needs no network" if dataset.embedded else ""
    raise DataNotFound(
        f"the data set {dataset.name} ({dataset.filename}) was found in none of these places:\n  {looked}\n"
        f"Put the file into one of these folders by hand{instead}"
    )


def places_of(dataset: Dataset, path: Optional[_files.PathLike] = None) -> list[tuple[str, Path]]:
    """List where a data set's file may lie on this machine, in order, each with what the place is."""
    places = []
    if path is not None:
        explicit = Path(path).expanduser()
        places.append(("path", explicit / dataset.filename if explicit.is_dir() else explicit))
    if dataset.elsewhere is not None:
        places.append(("another library's folder", Path(dataset.elsewhere).expanduser()))
    return places + [(what, home / dataset.filename) for what, home in _homes()]


def _homes() -> list[tuple[str, Path]]:
    """List the folders that hold data sets, in order, each with what it is."""
    own = os.environ.get("GLUONBOOK_DATA")
    homes = [("$GLUONBOOK_DATA", Path(own).expanduser())] if own else []
    return [*homes, ("book's folder", BOOK_FOLDER), ("cache", _files.cache_folder())]


def find_folder(archive: Dataset, folder: str, into: Optional[_files.PathLike] = None) -> Path:
    """Return the folder that a data set's archive holds, downloaded and unpacked if need be.

    Args:
        archive: which.
        folder: the folder's path inside the archive, and in every place that is looked at.
        into: where it shall lie, or be unpacked to; None takes the first place that has it, or the archive's own.

    Returns:
        the path of a folder that exists.

    Raises:
        DataNotFound: neither folder nor archive is anywhere, and it cannot be downloaded.
        ValueError: the archive is damaged.
    """
    homes = [Path(into).expanduser()] if into is not None else [home for _, home in _homes()]
    for home in homes:
        if (home / folder).is_dir():
            return home / folder
    beside = into if into is not None and (homes[0] / archive.filename).is_file() else None
    file = find(archive, beside)
    return unpack(file, homes[0] if into is not None else file.parent, folder)


def unpack(archive: Path, into: Path, folder: str) -> Path:
    """Unpack a folder of a zip or tar archive, under a name that it takes only when it is whole.

    Args:
        archive: the file.
        into: where the folder is put; made if missing.
        folder: its path inside the archive; the whole archive where it has no such folder.

    Returns:
        ``into / folder``; one that is there already is left as it is.

    Raises:
        ValueError: the archive is damaged, or names a file outside of itself.
    """
    into.mkdir(parents=True, exist_ok=True)
    neighbour = Path(tempfile.mkdtemp(prefix=f".{Path(folder).name}-", dir=into))
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                _extract(packed, [_inside(name, archive) for name in packed.namelist()], neighbour)
        else:
            with tarfile.open(archive) as packed:
                how = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # security releases have it
                _extract(packed, [_plain(member, archive) for member in packed.getmembers()], neighbour, **how)
        (into / folder).parent.mkdir(parents=True, exist_ok=True)
        neighbour.chmod(0o755)  # mkdtemp makes folders that only their owner can enter
        inner = neighbour / folder
        _rename(inner if inner.is_dir() else neighbour, into / folder)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # the disk, not the archive
            raise
        raise ValueError(f"{archive} cannot be read as an archive: {error}") from None
    finally:
        shutil.rmtree(neighbour, ignore_errors=True)
    return into / folder


def _rename(folder: Path, target: Path) -> None:
    """Give a folder its name; one that another process has put there meanwhile is as good."""
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _extract(packed: Any, members: list[Any], folder: Path, **how: str) -> None:
    from tqdm.auto import tqdm

    for member in tqdm(members, desc="unpacking", unit="file", disable=None, dynamic_ncols=True, leave=False):
        packed.extract(member, folder, **how)


def _plain(member: tarfile.TarInfo, archive: Path) -> tarfile.TarInfo:
    """Refuse what an archive may do outside of its folder: not every Python has filters for that."""
    if not (member.isfile() or member.isdir()):
        raise ValueError(f"{archive} is refused: {member.name} is no file or folder inside of it")
    _inside(member.name, archive)
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def _inside(name: str, archive: Path) -> str:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{archive} is refused: {name} is no file or folder inside of it")
    return name


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
