"""``gluonbook detect --video``."""

import json
import time
from typing import Any, Callable, Optional

import click

from gluonbook.detection import video
from gluonbook.detection.inference import Detector

Describe = Callable[..., dict[str, Any]]


def find_in_video(
    source: str, out: Optional[str], detector: Detector, threshold: float, describe: Optional[Describe]
) -> None:
    """Find objects in each frame of a video; write them drawn in, print them, or both.

    Args:
        source, out: files, as for ``detect_video``.
        detector: Detector.
        threshold: smallest score that counts.
        describe: rows, picture and classes to plain data, which is then printed for all frames as JSON, also after
            Ctrl-C for those so far; None prints none.
    """
    frames: list[dict[str, Any]] = []
    num_frames, num_objects, stopped, start = 0, 0, None, time.perf_counter()
    try:
        for frame in video.detect_video(source, detector, out, threshold, progress=True):
            num_frames, num_objects = num_frames + 1, num_objects + len(frame.rows)
            if describe is not None:
                what = describe(frame.rows, frame.picture, detector.classes)
                frames.append({"frame": frame.number, "seconds": round(frame.seconds, 3), **what})
    except KeyboardInterrupt as stop:
        stopped = stop
    rate = num_frames / (time.perf_counter() - start)
    if describe is not None:
        click.echo(json.dumps(frames, ensure_ascii=False, indent=1))
    if stopped is not None:
        (kept,) = stopped.args or (num_frames,)  # a frame may be written that was not given yet
        where = f", which are in {out}" if out and kept else ""
        click.echo(f"\nstopped after {kept} frames{where}; {rate:.3g} frames/s", err=True)
        raise stopped
    told = f"{source}: {num_frames} frames, {rate:.3g} frames/s, {num_objects} objects found"
    click.echo(told + (f"  -> {out}" if out else ""), err=describe is not None)
