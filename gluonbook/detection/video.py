"""A detector on a video, frame by frame: read, drawn in, and written again with OpenCV."""

import contextlib
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

from gluonbook import _check, _files
from gluonbook.data.pictures import resize
from gluonbook.detection.drawing import draw_detections
from gluonbook.detection.inference import Detector
from gluonbook.detection.letterboxing import from_bgr

CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mkv": "XVID"}  # those that OpenCV's wheels can write
USUAL_RATE = 25.0  # of a file that does not tell its own
Write = Callable[[np.ndarray], None]


class Video(NamedTuple):
    """A video that is being read.

    Attributes:
        rate: frames per second; 25 where the file does not tell.
        num_frames: as the file tells, which may be more than can be read; 0 where it does not.
        pictures: the frames, each (H, W, 3) uint8, RGB, all of the first one's size; can be gone through once.
    """

    rate: float
    num_frames: int
    pictures: Iterator[np.ndarray]


class Frame(NamedTuple):
    """What was found in a frame.

    Attributes:
        number: from 0.
        seconds: since the first frame, at the video's rate.
        picture: (H, W, 3) uint8, RGB, as it was read.
        rows: (k, 6), as of ``Detector.find``.
    """

    number: int
    seconds: float
    picture: np.ndarray
    rows: np.ndarray


def read_video(path: _files.PathLike) -> Video:
    """Open a video of any format that OpenCV's FFmpeg knows.

    Args:
        path: the file.

    Returns:
        Video.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no video, or its first frame cannot be read.
    """
    cv2, path = _opencv(), Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there" if not path.is_dir() else f"{path} is a folder, not a video")
    capture = _opened(path)
    if not capture.isOpened():
        raise ValueError(f"{path} is not a video that can be read: no known format, damaged or cut short")
    is_there, first = capture.read()
    if not is_there:
        raise ValueError(f"{path} holds no frame that can be read")
    rate, told = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    is_rate = math.isfinite(rate) and rate > 0
    return Video(float(rate) if is_rate else USUAL_RATE, max(int(told), 0), _pictures(capture, first))


def detect_video(
    source: _files.PathLike,
    detector: Detector,
    out: Optional[_files.PathLike] = None,
    threshold: float = 0.5,
    progress: bool = False,
) -> Iterator[Frame]:
    """Go through a video and find objects in each frame; draw them into another video.

    That video has the rate and size of the source and no sound; of an odd width or height a column or row is lost, as
    its codecs need even ones. Where the frames are gone through to the end it takes its name then, and where that is
    broken off, by Ctrl-C or because no more are asked for, too, with the frames so far; after an error it does not.

    Args:
        source: a file, as for ``read_video``.
        detector: Detector.
        out: ``.mp4``, ``.mov``, ``.avi`` or ``.mkv``; an older file is replaced. None writes none.
        threshold: smallest score that counts, from 0 to 1.
        progress: show a bar, where the file tells how many frames it has.

    Returns:
        an iterator of Frame; each is in the new video before it is given.

    Raises:
        FileNotFoundError: the source is not there.
        ValueError: it cannot be read, ``out`` cannot be written or is the source, or the threshold is out of range.
        OSError: while it is gone through: the video could not be written whole.
        KeyboardInterrupt: likewise, after Ctrl-C; its argument is how many frames the new video has, where it has any.
    """
    check_out(source, out)
    threshold = _check.number("threshold", threshold, at_least=0, at_most=1)
    return _frames(read_video(source), detector, out, threshold, progress)


def check_out(source: _files.PathLike, out: Optional[_files.PathLike]) -> None:
    """Refuse a place for a video to write.

    Raises:
        ValueError: its name ends in none of ``CODECS``, it is a folder, or the file that is read.
    """
    if out is None:
        return
    target = Path(out).expanduser()
    if target.suffix.lower() not in CODECS or target.is_dir():
        raise ValueError(f"{out} must be a file's name that ends in one of {', '.join(CODECS)}: a video is written")
    if target.resolve() == Path(source).expanduser().resolve():
        raise ValueError(f"{out} would overwrite the video that is read: give another place")


def _frames(video: Video, detector: Detector, out: Any, threshold: float, progress: bool) -> Iterator[Frame]:
    from tqdm.auto import tqdm

    hidden = None if progress and video.num_frames else True  # None shows a bar in a terminal only
    bar = tqdm(video.pictures, total=video.num_frames or None, disable=hidden, unit="frame", dynamic_ncols=True)
    with bar, _writing(out, video.rate) as write:
        for number, picture in enumerate(bar):
            (rows,) = detector.find([picture])
            rows = rows[rows[:, 1] >= threshold]
            if write is not None:
                write(draw_detections(picture, rows, detector.classes))
            yield Frame(number, number / video.rate, picture, rows)
    if number + 1 < video.num_frames:
        warnings.warn(f"{number + 1} frames could be read; the file tells of {video.num_frames}", stacklevel=2)


@contextlib.contextmanager
def _writing(out: Any, rate: float) -> Iterator[Optional[Write]]:
    """Yield a function that adds a frame to a video, which takes its name when the block ends or is stopped."""
    if out is None:
        yield None
        return
    cv2, path = _opencv(), Path(out).expanduser()
    code, writer, added = CODECS[path.suffix.lower()], cv2.VideoWriter(), 0
    with _files.replacing(path) as neighbour:

        def write(picture: np.ndarray) -> None:
            nonlocal added
            height, width = picture.shape[:2]
            if not added and not writer.open(
                str(neighbour), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*code), rate, (width, height)
            ):
                told = f"{path} cannot be written: OpenCV has no {code} for {width}x{height} pixels, {rate:g} frames/s"
                raise ValueError(f"{told}; another ending may do, of {', '.join(CODECS)}")
            turned = from_bgr(picture)  # RGB into BGR, as well
            added += 1  # before the writing, after which a Ctrl-C would be heard first
            writer.write(turned)

        stopped: Optional[BaseException] = None
        try:
            yield write
        except (KeyboardInterrupt, GeneratorExit) as stop:
            if not added:
                raise
            stopped, stop.args = stop, (added,)
        finally:
            writer.release()
        if not _opened(neighbour).isOpened():  # its writer reports no failure
            raise OSError(f"{path} could not be written whole: the disk may be full")
    if stopped is not None:
        raise stopped


def _pictures(capture: Any, first: np.ndarray) -> Iterator[np.ndarray]:
    is_there, frame, (height, width) = True, first, first.shape[:2]
    try:
        while is_there:
            yield resize(from_bgr(frame), (height, width))
            is_there, frame = capture.read()
    finally:
        capture.release()


def _opened(path: Path) -> Any:
    cv2 = _opencv()
    level = cv2.getLogLevel()
    cv2.setLogLevel(0)  # an error is one line of ours
    try:
        return cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    finally:
        cv2.setLogLevel(level)


def _opencv() -> Any:
    """Return OpenCV, its FFmpeg told to keep quiet before its first use."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    return cv2
