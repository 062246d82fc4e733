"""``gluonbook detect`` and ``gluonbook detect-train``."""

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any, Optional

import click
import numpy as np

from gluonbook import _files, _models
from gluonbook.cli._shared import KVSTORE_HELP, Flags, flags, take_saved, tell_stopped
from gluonbook.data import detection as sets
from gluonbook.data.pictures import find_pictures, read_picture
from gluonbook.detection import drawing, inference, saved, training
from gluonbook.detection.video import check_out
from gluonbook.devices import device_list
from gluonbook.distributed.group import KVSTORES, is_first, resumed_recipe

SOME_FAILED = 1
YOLO = "yolo"  # a network in Darknet's files
FILE = click.Path(exists=True, dir_okay=False)
MOST_TOLD = 5  # scores of a class
WRITABLE = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

READ_FLAGS: Flags = {
    "format": ("--format", click.Choice(sets.FORMATS), "Of DATA; told by its files if not given."),
    "held_out": ("--held-out", float, "Share of the pictures for validation where DATA has no such split."),
    "skip_bad": ("--skip-bad", None, "Leave out boxes that are none, and count them, instead of refusing DATA."),
}
TRAIN_FLAGS: Flags = {
    "out": ("--out", click.Path(file_okay=False), "Folder for the model, its checkpoints, plot and samples."),
    "network": (
        "--network",
        click.Choice(["tiny", "mobilenet", "yolo"]),
        "TinySSD of the notes, SSD on MobileNet 0.5, or a small YOLOv3.",
    ),
    "size": ("--size", int, "Pixels of the square that pictures are squeezed to, or letterboxed to by yolo."),
    "num_epochs": ("--epochs", int, "Passes over the pictures."),
    "batch_size": ("--batch-size", int, "Pictures of a batch."),
    "lr": ("--lr", float, "Highest learning rate."),
    "wd": ("--wd", float, "Weight decay."),
    "negative_ratio": ("--negatives", float, "Background anchors a matched one, the hardest; not of yolo."),
    "seed": ("--seed", int, "Makes the same numbers again."),
    "device": ("--device", str, "auto, cpu, gpu(0), or several: gpu(0),gpu(1)."),
    "kvstore": ("--kvstore", click.Choice(KVSTORES), KVSTORE_HELP),
    "resume": ("--resume", None, "Go on from the checkpoint in --out, with its settings."),
}


@click.command("detect")
@click.argument("places", metavar="[PICTURE...]", nargs=-1)
@click.option("--video", type=FILE, help="Go through a video instead of pictures.")
@click.option("--model", "folder", type=click.Path(), help="A detector's folder, or yolo; the embedded one if none.")
@click.option("--cfg", type=FILE, help="Of --model yolo: Darknet's configuration.")
@click.option("--weights", type=FILE, help="Of --model yolo: Darknet's weights.")
@click.option("--names", type=FILE, help="Of --model yolo: its classes, one a line; COCO's if not given.")
@click.option("--pretrained", metavar="NAME", help="A detector of gluoncv's zoo: ssd_512_mobilenet1.0_voc, …")
@click.option("--threshold", default=0.5, show_default=True, help="Smallest score that counts, from 0 to 1.")
@click.option("-o", "--out", type=click.Path(), help="Picture, video or, for several, folder to write: boxes drawn in.")
@click.option("--json", "as_json", is_flag=True, help="Print the boxes as JSON, in pixels.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, gpu(0).")
def detect(
    places: tuple[str, ...],
    video: Optional[str],
    folder: Optional[str],
    cfg: Optional[str],
    weights: Optional[str],
    names: Optional[str],
    pretrained: Optional[str],
    threshold: float,
    out: Optional[str],
    as_json: bool,
    device: str,
) -> int:
    """Find objects in pictures (files, folders, globs) or in a video.

    A picture that cannot be read is told and the others go on; the status is then 1.
    """
    from tqdm.auto import tqdm

    if folder and pretrained:
        raise click.UsageError("give --model or --pretrained, not both")
    if not places and not video:
        raise click.UsageError("Missing argument 'PICTURE...' (or --video FILE)")
    if places and video:
        raise click.UsageError("give PICTUREs or --video, not both")
    _check_darknet(folder, {"--cfg": cfg, "--weights": weights, "--names": names})
    if out is None and not as_json:
        what = "video goes" if video else "pictures go"
        raise click.UsageError(f"say where the drawn {what} (-o), or --json for numbers")
    if not 0 <= threshold <= 1:
        raise click.UsageError(f"--threshold must be from 0 to 1, got {threshold}")
    if video:
        from gluonbook.cli.video import find_in_video

        check_out(video, out)
        detector = _detector(folder, pretrained, device, cfg, weights, names)
        find_in_video(video, out, detector, threshold, _as_plain if as_json else None)
        return 0
    paths = find_pictures(places)
    targets = _targets(paths, out)
    detector = _detector(folder, pretrained, device, cfg, weights, names)
    results, found_in_all = [], 0
    for path in tqdm(paths, disable=None if len(paths) > 1 else True, unit="picture", dynamic_ncols=True):
        result: dict[str, Any] = {"picture": str(path)}
        try:
            picture = read_picture(path)
            (rows,) = detector.find([picture])
            rows = rows[rows[:, 1] >= threshold]
            result.update(_as_plain(rows, picture, detector.classes))
            if path in targets:
                _write_picture(targets[path], drawing.draw_detections(picture, rows, detector.classes))
                result["drawn"] = str(targets[path])
        except (ValueError, OSError, RuntimeError, MemoryError) as error:  # MXNet raises RuntimeError
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            result["error"] = reason if str(path) in reason else f"{path}: {reason}"
            tqdm.write(f"gluonbook: {result['error']}", file=sys.stderr)
        results.append(result)
        found_in_all += len(result.get("objects", ()))
        if not as_json and "error" not in result:
            tqdm.write(_told(result))
    if as_json:
        click.echo(json.dumps(results, ensure_ascii=False, indent=1))
    failed = sum("error" in result for result in results)
    if len(paths) > 1 or failed:
        summary = f"{len(paths) - failed} of {len(paths)} pictures done, {found_in_all} objects found, {failed} failed"
        click.echo(summary, err=True)
    if failed == len(paths):
        return 2
    return SOME_FAILED if failed else 0


def _check_darknet(folder: Optional[str], files: dict[str, Optional[str]]) -> None:
    """Refuse Darknet's files without --model yolo, and that without them."""
    given = [flag for flag, file in files.items() if file is not None]
    if folder == YOLO and not {"--cfg", "--weights"} <= set(given):
        raise click.UsageError(f"--model {YOLO} needs --cfg FILE and --weights FILE; a folder of that name is ./{YOLO}")
    if folder != YOLO and given:
        raise click.UsageError(f"{given[0]} goes with --model {YOLO} only")


def _detector(
    folder: Optional[str], pretrained: Optional[str], device: str, cfg: Any, weights: Any, names: Any
) -> inference.Detector:
    if folder == YOLO:
        from gluonbook.detection.darknet_files import darknet_detector

        return darknet_detector(cfg, weights, names, device)
    if pretrained:
        from gluonbook.detection.zoo import pretrained_detector

        return pretrained_detector(pretrained, device)
    return inference.make_detector(saved.load_detector(folder or saved.embedded_detector()), device)


def _targets(paths: list[Path], out: Optional[str]) -> dict[Path, Path]:
    """Return where each picture's drawing goes: none on a picture that is read, no two on one."""
    from PIL import Image

    if out is None:
        return {}
    target = Path(out).expanduser()
    if len(paths) == 1 and target.suffix.lower() in WRITABLE and not target.is_dir():
        found = {paths[0]: target}
    else:
        if not target.is_dir() and (target.is_file() or target.suffix.lower() in Image.registered_extensions()):
            one = f"the name of a drawn picture ends in one of {', '.join(WRITABLE)}"
            needed = one if len(paths) == 1 else f"{len(paths)} drawn pictures need a folder"
            raise ValueError(f"{target} is a file's name: {needed} (-o)")
        found, taken = {}, set()
        for path in paths:
            suffix = path.suffix if path.suffix.lower() in WRITABLE else ".png"
            name, number = f"{path.stem}{suffix}", 2
            while name.lower() in taken:
                name, number = f"{path.stem}-{number}{suffix}", number + 1
            taken.add(name.lower())
            found[path] = target / name
    read = {path.resolve() for path in paths}
    for drawn in found.values():
        if drawn.resolve() in read:
            raise ValueError(f"{drawn} would overwrite the picture that is read: give another place (-o)")
    return found


def _write_picture(path: Path, picture: np.ndarray) -> None:
    from PIL import Image

    with _files.replacing(path) as neighbour:
        Image.fromarray(picture).save(neighbour, quality=92)


def _as_plain(rows: np.ndarray, picture: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return a picture's detections as plain data: corners in pixels, to a tenth."""
    height, width = picture.shape[:2]
    objects = []
    for kind, score, *box in rows.tolist():
        corners = [round(value * side, 1) for value, side in zip(box, (width, height) * 2)]
        objects.append({"class": classes[int(kind)], "score": round(score, 4), "box": corners})
    return {"width": width, "height": height, "objects": objects}


def _told(result: dict[str, Any]) -> str:
    scores: dict[str, list[str]] = {}
    for entry in result["objects"]:
        scores.setdefault(entry["class"], []).append(f"{entry['score']:.2f}")
    parts = []
    for name, values in scores.items():
        more = f" and {len(values) - MOST_TOLD} more" if len(values) > MOST_TOLD else ""
        parts.append(f"{name} {' '.join(values[:MOST_TOLD])}{more}")
    found = ", ".join(parts) or "nothing"
    return f"{result['picture']}: {found}" + (f"  -> {result['drawn']}" if "drawn" in result else "")


@click.command("detect-train")
@click.argument("data", default=sets.EMBEDDED)
@flags(sets.read_detection, READ_FLAGS)
@flags(training.train, TRAIN_FLAGS)
@click.pass_context
def detect_train(
    context: click.Context, data: str, format: Optional[str], held_out: float, skip_bad: bool, out: str, resume: bool,
    **settings: Any,
) -> None:  # fmt: skip
    """Train a detector on DATA: embedded, pikachu, banana, or a folder with Pascal VOC, COCO, YOLO or RecordIO labels.

    Writes the model, history.png (losses and mAP per epoch) and samples.png to --out.
    """
    if resume:
        take_saved(context, settings, resumed_recipe(settings["kvstore"], out))
    device_list(settings["device"])  # refused now, not after the data were read and told
    train_set, val_set = sets.read_detection(data, format, held_out, settings["seed"], skip_bad)
    click.echo(f"training: {sets.summary(train_set)}\nvalidation: {sets.summary(val_set)}")
    start = time.perf_counter()
    try:
        model = training.train(train_set, val_set, out, resume=resume, progress=True, **settings)
    except KeyboardInterrupt:
        given = ["--format", format] if format else []
        given += ["--skip-bad"] if skip_bad else []
        given += ["--held-out", str(held_out)] if context.get_parameter_source("held_out") != _DEFAULT else []
        tell_stopped(out, ["detect-train", *([] if data == sets.EMBEDDED else [data]), *given])
        raise
    if not is_first():
        return
    click.echo(f"{training.describe_epoch(model.history[-1])}; {time.perf_counter() - start:.1f} s")
    for path in write_report(model, val_set, Path(out), settings["device"]):
        click.echo(f"  {path}")
    click.echo(f"find with it: {shlex.join(['gluonbook', 'detect', 'PICTURE', '--model', str(out), '-o', 'OUT'])}")


_DEFAULT = click.core.ParameterSource.DEFAULT


def write_report(model: saved.TrainedDetector, val_set: sets.DetectionSet, out: Path, device: str) -> list[Path]:
    """Write ``history.png`` and ``samples.png`` to a model's folder and return what is in it for the reader."""
    import matplotlib

    from gluonbook import devices, plot

    matplotlib.use("agg")
    plot.save(plot.detector_history(model.history)[0].figure, out / "history.png")
    detector = inference.make_detector(model, devices.device_list(device)[0])
    chosen = range(min(6, len(val_set)))
    pictures = [val_set.picture(i) for i in chosen]
    num_columns = min(len(chosen), 3)
    num_rows = -(-len(chosen) // num_columns)
    size = (3 * num_columns, 3 * num_rows)
    fig, axes = plot.figure(num_rows, num_columns, squeeze=False, figsize=size)
    for ax in axes.flat[len(chosen) :]:
        ax.axis("off")
    for ax, i, picture, rows in zip(axes.flat, chosen, pictures, detector.find(pictures)):
        plot.detections(picture, rows[rows[:, 1] >= 0.5], model.classes, val_set.labels[i], ax)
    plot.save(fig, out / "samples.png")
    return [out / name for name in (_models.DESCRIPTION, _models.PARAMS, "history.png", "samples.png")]
