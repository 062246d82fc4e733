"""Videos are read, gone through by a detector, drawn in and written: frames, rates, sizes, stops and errors."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tqdm.auto

from gluonbook.detection import Detector, draw_detections, video
from gluonbook.detection.video import CODECS, Frame, check_out, detect_video, read_video

HEIGHT, WIDTH, COUNT, RATE = 48, 64, 6, 10.0
ROWS = np.array([[1, 0.9, 0.25, 0.25, 0.75, 0.75], [0, 0.5, 0, 0, 1, 1], [0, 0.25, 0, 0, 0.5, 0.5]], np.float32)
CLASSES = ("cat", "dog")
LOSS = 8  # grey levels, mean: what the codecs change in pictures such as these; wrong colours change over 50


@pytest.fixture(autouse=True)
def here(isolated):
    """An empty working folder."""
    return isolated / "work" / "here"


def scene(i, height=HEIGHT, width=WIDTH):
    """An orange picture, RGB, with a blue bar that moves to the right."""
    picture = np.full((height, width, 3), (220, 120, 20), np.uint8)
    picture[:, 8 * i : 8 * i + 8] = (20, 40, 200)
    return picture


def make_video(name, count=COUNT, rate=RATE, height=HEIGHT, width=WIDTH):
    code = cv2.VideoWriter_fourcc(*CODECS[os.path.splitext(name)[1]])
    writer = cv2.VideoWriter(name, cv2.CAP_FFMPEG, code, rate, (width, height))
    assert writer.isOpened()
    for i in range(count):
        writer.write(scene(i, height, width)[:, :, ::-1].copy())
    writer.release()


def seen(name):
    """What OpenCV reads: rate, number of frames as told, code, and the frames, RGB."""
    capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
    frames = []
    while (frame := capture.read())[0]:
        frames.append(frame[1][:, :, ::-1])
    code = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode()
    return capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT), code, frames


def difference(picture, other):
    return np.abs(picture.astype(int) - other).mean()


def saying(rows=ROWS, at=None, what=None):
    """A detector that finds rows in each picture, and keeps what it was shown; at the at-th it raises something."""
    shown = []

    def find(pictures):
        shown.extend(pictures)
        if len(shown) - 1 == at:
            raise what
        return [rows.copy() for _ in pictures]

    return Detector(CLASSES, find), shown


# Reading


@pytest.mark.parametrize("suffix", CODECS)
def test_frames_are_those_of_opencv_in_red_green_blue(suffix):
    make_video(f"a{suffix}")
    rate, count, pictures = read_video(f"a{suffix}")
    pictures = list(pictures)
    assert (rate, count, len(pictures)) == (RATE, COUNT, COUNT)
    for i, (picture, expected) in enumerate(zip(pictures, seen(f"a{suffix}")[3])):
        np.testing.assert_array_equal(picture, expected)
        assert picture.dtype == np.uint8
        assert difference(picture, scene(i)) < LOSS


class Capture:
    """A stand-in for OpenCV's of a video that is given as frames."""

    def __init__(self, frames, rate=10.0, count=2.0):
        self.frames, self.numbers, self.released, self.num_read = frames, (rate, count), False, 0

    def isOpened(self):
        return True

    def get(self, what):
        return dict(zip((cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT), self.numbers))[what]

    def read(self):
        self.num_read += 1
        return (True, self.frames[self.num_read - 1]) if self.num_read <= len(self.frames) else (False, None)

    def release(self):
        self.released = True


@pytest.fixture
def captured(monkeypatch):
    """Call it with what a Capture takes: the next video is that, whatever its file."""

    def give(*arguments):
        capture = Capture(*arguments)
        monkeypatch.setattr(video, "_opened", lambda path: capture)
        with open("a.mp4", "wb"):
            return capture

    return give


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_the_file_does_not_tell_is_25(captured, rate):
    captured([scene(0)], rate)
    assert read_video("a.mp4").rate == 25


@pytest.mark.parametrize(("told", "count"), [(0.0, 0), (-9.2e18, 0), (7.0, 7)])
def test_a_number_of_frames_that_the_file_does_not_tell_is_0(captured, told, count):
    captured([scene(0)], 10.0, told)
    assert read_video("a.mp4").num_frames == count


def test_a_frame_of_another_size_gets_the_first_ones(captured):
    captured([scene(0), scene(1, 24, 32), scene(2, 96, 128)])
    pictures = list(read_video("a.mp4").pictures)
    assert [picture.shape for picture in pictures] == [(HEIGHT, WIDTH, 3)] * 3
    assert pictures[1][24, 4].tolist() == scene(1)[24, 4][::-1].tolist()


def test_frames_are_read_as_they_are_asked_for_and_the_file_is_let_go(captured):
    capture = captured([scene(i) for i in range(5)])
    pictures = read_video("a.mp4").pictures
    next(pictures)
    next(pictures)
    assert (capture.num_read, capture.released) == (2, False)
    pictures.close()
    assert capture.released


# Finding


def test_a_detector_is_shown_each_frame_and_what_it_finds_is_told_with_its_time():
    make_video("a.avi")
    detector, shown = saying()
    found = list(detect_video("a.avi", detector))
    assert [frame.number for frame in found] == list(range(COUNT))
    assert [frame.seconds for frame in found] == [i / RATE for i in range(COUNT)]
    for frame, picture, expected in zip(found, shown, read_video("a.avi").pictures):
        assert isinstance(frame, Frame)
        np.testing.assert_array_equal(picture, expected)
        np.testing.assert_array_equal(frame.picture, expected)
        np.testing.assert_array_equal(frame.rows, ROWS[:2])
    assert os.listdir(".") == ["a.avi"]


@pytest.mark.parametrize(("threshold", "count"), [(0, 3), (0.25, 3), (0.5, 2), (0.51, 1), (0.91, 0), (1, 0)])
def test_the_threshold_is_the_smallest_score_that_counts(threshold, count):
    make_video("a.avi", 1)
    (frame,) = detect_video("a.avi", saying()[0], "b.avi", threshold)
    np.testing.assert_array_equal(frame.rows, ROWS[:count])
    assert difference(seen("b.avi")[3][0], draw_detections(frame.picture, ROWS[:count], CLASSES)) < LOSS


# Writing


@pytest.mark.parametrize("rate", [10.0, 12.5, 29.97])
@pytest.mark.parametrize("suffix", CODECS)
def test_the_drawn_video_has_the_frames_the_rate_and_the_size_of_the_source(suffix, rate):
    make_video("a.mkv", rate=rate)
    drawn = [draw_detections(frame.picture, ROWS[:2], CLASSES) for frame in detect_video("a.mkv", saying()[0])]
    list(detect_video("a.mkv", saying()[0], f"new/b{suffix}"))
    told, count, code, frames = seen(f"new/b{suffix}")
    assert told == pytest.approx(rate, abs=1e-3)
    assert (count, len(frames)) == (COUNT, COUNT)
    assert code == {".mp4": "FMP4", ".mov": "FMP4", ".avi": "MJPG", ".mkv": "FMP4"}[suffix]  # MPEG-4's name there
    for frame, expected in zip(frames, drawn):
        assert frame.shape == (HEIGHT, WIDTH, 3)
        assert difference(frame, expected) < LOSS
    assert os.listdir("new") == [f"b{suffix}"]


@pytest.mark.parametrize("suffix", CODECS)
def test_an_odd_size_loses_a_column_and_a_row(captured, suffix):
    captured([scene(i, 49, 65) for i in range(2)])
    detector, shown = saying()
    frames = detect_video("a.mp4", detector, f"b{suffix}")
    next(frames)
    assert shown[0].shape == (49, 65, 3)
    captured([])  # what was written is opened for a check
    list(frames)
    assert [frame.shape for frame in seen(f"b{suffix}")[3]] == [(48, 64, 3)] * 2


def test_an_older_video_is_replaced_when_the_new_one_is_whole():
    make_video("a.avi")
    make_video("b.AVI".lower(), 2)
    frames = detect_video("a.avi", saying()[0], "b.avi")
    next(frames)
    assert len(seen("b.avi")[3]) == 2
    list(frames)
    assert len(seen("b.avi")[3]) == COUNT
    assert sorted(os.listdir(".")) == ["a.avi", "b.avi"]


def test_the_ending_may_be_in_capitals():
    make_video("a.avi", 2)
    list(detect_video("a.avi", saying()[0], "b.MP4"))
    assert len(seen("b.MP4")[3]) == 2


# Stopping


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("at", [1, COUNT - 1])
def test_ctrl_c_keeps_the_frames_so_far_in_a_whole_video(suffix, at):
    make_video("a.avi")
    make_video(f"b{suffix}", 3)
    found = []
    with pytest.raises(KeyboardInterrupt) as stop:
        found.extend(detect_video("a.avi", saying(at=at, what=KeyboardInterrupt())[0], f"b{suffix}"))
    assert stop.value.args == (at,)
    _, count, _, frames = seen(f"b{suffix}")
    assert (count, len(frames)) == (at, at)
    assert sorted(os.listdir(".")) == ["a.avi", f"b{suffix}"]


def test_a_frame_whose_writing_ends_in_ctrl_c_is_counted(monkeypatch):
    """OpenCV writes on until it is done; then Python hears of the signal."""
    make_video("a.avi")
    real = cv2.VideoWriter

    class Writer:
        def __init__(self):
            self.real, self.count = real(), 0
            self.open, self.release = self.real.open, self.real.release

        def write(self, picture):
            self.real.write(picture)
            self.count += 1
            if self.count == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr(cv2, "VideoWriter", Writer)
    found = []
    with pytest.raises(KeyboardInterrupt) as stop:
        found.extend(frame.number for frame in detect_video("a.avi", saying()[0], "b.mp4"))
    assert (found, stop.value.args) == ([0, 1], (3,))
    assert len(seen("b.mp4")[3]) == 3


def test_ctrl_c_before_the_first_frame_leaves_things_as_they_were():
    make_video("a.avi")
    make_video("b.avi", 1)
    for out in ("b.avi", "c.avi"):
        with pytest.raises(KeyboardInterrupt) as stop:
            list(detect_video("a.avi", saying(at=0, what=KeyboardInterrupt())[0], out))
        assert stop.value.args == ()
    assert len(seen("b.avi")[3]) == 1
    assert sorted(os.listdir(".")) == ["a.avi", "b.avi"]


def test_who_asks_for_no_more_frames_keeps_those_so_far():
    make_video("a.avi")
    for frame in detect_video("a.avi", saying()[0], "b.avi"):
        if frame.number == 2:
            break
    del frame
    assert len(seen("b.avi")[3]) == 3
    assert sorted(os.listdir(".")) == ["a.avi", "b.avi"]


def test_an_error_in_a_frame_leaves_things_as_they_were():
    make_video("a.avi")
    make_video("b.avi", 1)
    for out in ("b.avi", "c.avi"):
        with pytest.raises(RuntimeError, match="out of memory"):
            list(detect_video("a.avi", saying(at=3, what=RuntimeError("out of memory"))[0], out))
    assert len(seen("b.avi")[3]) == 1
    assert sorted(os.listdir(".")) == ["a.avi", "b.avi"]


def test_a_full_disk_is_told_and_leaves_the_older_video():
    import resource

    make_video("a.avi", 6)
    make_video("b.mp4", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    frames = detect_video("a.avi", saying()[0], "b.mp4")
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # bytes, of any file that this process writes
    try:
        with pytest.raises(OSError, match=r"b.mp4 could not be written whole: the disk may be full"):
            list(frames)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(seen("b.mp4")[3]) == 1
    assert sorted(os.listdir(".")) == ["a.avi", "b.mp4"]


# Progress


@pytest.mark.parametrize(
    ("progress", "told", "disable"), [(True, 2.0, None), (False, 2.0, True), (True, 0.0, True), (True, -1.0, True)]
)
def test_a_bar_is_shown_where_it_is_wanted_and_the_file_tells_its_frames(
    captured, monkeypatch, progress, told, disable
):
    made, real = [], tqdm.auto.tqdm

    def record(frames, **how):
        made.append(how)
        return real(frames, disable=True)

    monkeypatch.setattr(tqdm.auto, "tqdm", record)
    captured([scene(0), scene(1)], 10.0, told)
    assert len(list(detect_video("a.mp4", saying()[0], progress=progress))) == 2
    assert [(how["total"], how["disable"], how["unit"]) for how in made] == [
        (2 if told == 2 else None, disable, "frame")
    ]


# Errors


def break_video(name):
    """Cut a video, or put zeros into its middle."""
    make_video("whole.avi", 30)
    with open("whole.avi", "rb") as stream:
        content = stream.read()
    with open(name, "wb") as stream:
        stream.write(content[: len(content) // 2])


def test_a_video_that_is_cut_short_is_gone_through_as_far_as_it_goes_with_a_warning():
    break_video("a.avi")
    with pytest.warns(UserWarning, match=r"^\d+ frames could be read; the file tells of 30$") as told:
        found = list(detect_video("a.avi", saying()[0], "b.avi"))
    assert 0 < len(found) < 30
    assert str(told[0].message).startswith(f"{len(found)} frames")
    assert len(seen("b.avi")[3]) == len(found)


def test_a_whole_video_gives_no_warning(recwarn):
    make_video("a.avi")
    list(detect_video("a.avi", saying()[0]))
    assert [str(warning.message) for warning in recwarn if warning.category is UserWarning] == []


def write_odd_files():
    os.mkdir("folder.mp4")
    with open("text.mp4", "w") as stream:
        stream.write("this is no video\n" * 100)
    with open("empty.mp4", "w"):
        pass
    make_video("nothing.avi", 0)
    make_video("whole.mp4")
    with open("whole.mp4", "rb") as stream, open("cut.mp4", "wb") as other:
        other.write(stream.read()[:300])
    os.remove("whole.mp4")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("nowhere.mp4", FileNotFoundError, "nowhere.mp4 is not there$"),
        ("folder.mp4", FileNotFoundError, "folder.mp4 is a folder, not a video$"),
        ("text.mp4", ValueError, "text.mp4 is not a video that can be read: no known format, damaged or cut short$"),
        ("empty.mp4", ValueError, "empty.mp4 is not a video that can be read"),
        ("cut.mp4", ValueError, "cut.mp4 is not a video that can be read"),
        ("nothing.avi", ValueError, "nothing.avi holds no frame that can be read$"),
    ],
)
def test_a_file_that_is_no_video_is_refused_by_name_before_a_frame_is_asked_for(name, kind, message):
    write_odd_files()
    before = sorted(os.listdir("."))
    with pytest.raises(kind, match=message):
        detect_video(name, saying()[0], "out.mp4")
    assert sorted(os.listdir(".")) == before


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("b.webm", r"b.webm must be a file's name that ends in one of .mp4, .mov, .avi, .mkv: a video is written$"),
        ("b", "b must be a file's name that ends in one of"),
        ("b.png", "b.png must be"),
        ("folder.mp4", "folder.mp4 must be"),
        ("a.avi", "a.avi would overwrite the video that is read: give another place"),
        ("./folder.mp4/../a.avi", "would overwrite the video that is read"),
        ("link.avi", "link.avi would overwrite the video that is read"),
    ],
)
def test_a_wrong_place_is_refused_at_once(out, message):
    make_video("a.avi", 1)
    os.mkdir("folder.mp4")
    os.symlink("a.avi", "link.avi")
    with pytest.raises(ValueError, match=message):
        check_out("a.avi", out)
    with pytest.raises(ValueError, match=message):
        detect_video("a.avi", saying()[0], out)
    assert len(seen("a.avi")[3]) == 1


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_out_of_range_is_refused_at_once(threshold):
    make_video("a.avi", 1)
    with pytest.raises(ValueError, match=f"threshold must be at least 0 and at most 1, got {threshold}"):
        detect_video("a.avi", saying()[0], None, threshold)


@pytest.mark.parametrize(
    ("side", "rate", "told"), [(1, 10.0, "1x1 pixels, 10 frames/s"), (64, 90000.0, "64x64 pixels, 90000 frames/s")]
)
def test_what_a_codec_cannot_do_is_told_with_the_endings(captured, side, rate, told):
    captured([np.zeros((side, side, 3), np.uint8)], rate)
    told = f"b.mp4 cannot be written: OpenCV has no mp4v for {told}; another ending may do, of .mp4, .mov, .avi, .mkv"
    with pytest.raises(ValueError, match=told):
        list(detect_video("a.mp4", saying(ROWS[:0])[0], "b.mp4"))
    assert os.listdir(".") == ["a.mp4"]


def test_neither_opencv_nor_ffmpeg_says_anything_of_its_own(here):
    write_odd_files()
    break_video("a.avi")
    make_video("b.mkv", 30)
    content = bytearray((here / "b.mkv").read_bytes())
    content[len(content) * 6 // 10 : len(content) * 7 // 10] = bytes(len(content) * 7 // 10 - len(content) * 6 // 10)
    (here / "b.mkv").write_bytes(content)
    program = """
import warnings, numpy as np
from gluonbook.detection import Detector
from gluonbook.detection.video import detect_video
warnings.simplefilter("ignore")
nothing = Detector(("cat",), lambda pictures: [np.zeros((0, 6), np.float32)])
for source in ("text.mp4", "empty.mp4", "cut.mp4", "nothing.avi", "a.avi", "b.mkv"):
    try:
        print(source, len(list(detect_video(source, nothing, "out.mp4"))) > 0)
    except ValueError as error:
        print(error)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stderr) == (0, "")
    assert len(found.stdout.splitlines()) == 6
    assert found.stdout.endswith("a.avi True\nb.mkv True\n")
