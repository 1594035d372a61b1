"""The command that looks at pictures with a camera's eye and shows why it says what it says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.commands.options import with_settings
from api.wording.words import say_problem, say_scorer
from ingest.errors import BadInput, BadRecord
from ingest.messages import Box, Findings, Frame, Instant, encode
from ingest.plan.file import load_plan
from ingest.plan.plan import Camera, Line
from ingest.settings import Settings

if TYPE_CHECKING:
    from vision.closer import CloserLook
    from vision.fitness import Limit
    from vision.inspect import Eyes


@click.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--camera", "camera_id", required=True, help="Whose eye looks.")
@click.option("--product", default="", help="The product shown, where a product has an eye of its own.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write, or folder; default: beside each image.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as on the wire, one a line.")
@with_settings
def look(
    settings: Settings, images: tuple[Path, ...], camera_id: str, product: str, out: Path | None, as_json: bool
) -> None:
    """Look at images with a camera's eye: print what it finds and why, and write each with it drawn on."""
    targets = _targets(images, out)
    eyes = _open_eyes(settings, camera_id)
    line, camera = _camera(settings, camera_id)
    failed = []
    for image, target in zip(images, targets, strict=True):
        try:
            seen = _look_at(eyes, image, camera_id, product, line, camera)
        except BadInput as error:
            failed.append(str(error))
            if len(images) > 1:
                click.echo(f"{image}: not looked at", err=as_json)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(seen.png)
        if as_json:
            click.echo(encode(seen.findings).decode())
        elif len(images) == 1:
            click.echo("\n".join(_told(seen, camera.pixel_mm if camera else None)))
            click.echo(f"Drawn: {target}")
        else:
            click.echo(f"{image}: {_in_short(seen.findings)} -> {target}")
    if failed:
        raise BadInput("; ".join(failed))


def _targets(images: tuple[Path, ...], out: Path | None) -> list[Path]:
    """Where each picture goes. Raises BadInput where two would go to one file, or over an image itself."""
    if out is None:
        targets = [image.with_name(f"{image.name}.look.png") for image in images]
    elif len(images) == 1 and not out.is_dir():
        targets = [out]
    elif out.exists() and not out.is_dir():
        raise BadInput(f"--out {out}: several images need a folder, and this is a file")
    else:
        targets = [out / f"{image.name}.look.png" for image in images]
    if len(set(targets)) < len(targets):
        raise BadInput(f"--out {out}: two images of the same name would be written to one file; look at them in turn")
    if any(target.exists() and target.samefile(image) for target, image in zip(targets, images, strict=True)):
        raise BadInput(f"--out {out}: this is the image itself; name another file")
    return targets


def _open_eyes(settings: Settings, camera_id: str) -> Eyes:
    """Raises BadInput when the shelf is not there, or has no eye of this camera that opens."""
    from vision.eye.notes import cameras_with_eyes
    from vision.inspect import Eyes

    shelf = Path(settings.shelf)
    if not shelf.is_dir():
        raise BadInput(f"{shelf}: no such shelf of models; set QCFUSE_SHELF, or train with `qcfuse train DIR`")
    eyes = Eyes.open(shelf, [camera_id], settings.image_pixels_max)
    if eyes.cameras:
        return eyes
    known = cameras_with_eyes(shelf)
    if camera_id in known:
        raise BadInput(f"camera {camera_id}: its eye does not open: {'; '.join(eyes.refused.values())}")
    others = f"cameras with an eye: {', '.join(known)}" if known else "no camera has one"
    raise BadInput(f"camera {camera_id}: no eye on {shelf} ({others}); train it with `qcfuse train DIR`")


def _camera(settings: Settings, camera_id: str) -> tuple[Line | None, Camera | None]:
    """Of the plan, where there is one and it knows the camera."""
    if Path(settings.plan).is_file():
        for line in load_plan(settings.plan).lines:
            for camera in line.cameras:
                if camera.camera_id == camera_id:
                    return line, camera
    return None, None


def _look_at(
    eyes: Eyes, image: Path, camera_id: str, product: str, line: Line | None, camera: Camera | None
) -> CloserLook:
    from vision.closer import look_closer

    try:
        body = image.read_bytes()
    except FileNotFoundError as error:
        raise BadInput(f"{image}: no such image") from error
    except OSError as error:
        raise BadInput(f"{image}: cannot be read ({error.strerror})") from error
    now = Instant(time.time() * 1000)
    frame = Frame(
        part_id=image.stem,
        line_id=line.line_id if line else "",
        camera_id=camera_id,
        captured_at=now,
        content_type="",
        body=body,
        station_id=camera.station_id if camera else "",
        frame_id=image.name,
        product=product,
    )
    try:
        return look_closer(eyes, frame, now)
    except BadRecord as trouble:
        raise BadInput(f"{image}: not an image that can be read ({trouble})") from trouble


def _in_short(findings: Findings) -> str:
    if findings.score is None or findings.threshold is None:
        return f"not inspected: {_problems(findings)}"
    side = "unusual" if findings.score > findings.threshold else "usual"
    kinds = sorted({box.kind for box in findings.boxes if box.kind})
    boxes = f"{len(findings.boxes)} {'box' if len(findings.boxes) == 1 else 'boxes'}"
    parts = [f"{side}, score {findings.score:.2f} against {findings.threshold:.2f}", boxes]
    return ", ".join([*parts, *kinds, *([f"not fit: {_problems(findings)}"] if findings.fitness.problems else [])])


def _problems(findings: Findings) -> str:
    return ", ".join(say_problem(problem) for problem in findings.fitness.problems)


def _told(seen: CloserLook, pixel_mm: float | None) -> Iterator[str]:
    """The findings in plain words, a line each."""
    findings = seen.findings
    model = f"{findings.model.name}, version {findings.model.version}" if findings.model else "no eye"
    if findings.score is None or findings.threshold is None:
        yield f"Camera {findings.camera_id} ({model}): not inspected: {_problems(findings)}."
        return
    side = "over" if findings.score > findings.threshold else "within"
    yield f"Camera {findings.camera_id} ({model}):"
    yield f"score {findings.score:.2f}, {side} its limit {findings.threshold:.2f}."
    if findings.scores:
        yield "Made of, in spreads of good frames above a usual one:"
        width = max(len(say_scorer(name)) for name in findings.scores)
        for name, share in sorted(findings.scores.items(), key=lambda item: -item[1]):
            yield f"  {say_scorer(name):{width}s}  {share:+.1f}"
    yield "Fit to be judged." if findings.fitness.ok else f"Not fit to be judged: {_problems(findings)}."
    for name, limit in seen.limits.items():
        value = findings.fitness.measures.get(name)
        if value is not None and (beyond := _beyond(value, limit)):
            yield f"  {name} {value:.3g} is {beyond} (usual: {limit.usual:.3g})"
    for number, box in enumerate(findings.boxes, start=1):
        yield _box_line(number, box, pixel_mm)
        if found := [one for one in seen.compared if one.box == box]:
            nearest = ", ".join(f"{good.place.part_id} ({good.times:.1f} x usual)" for good in found[0].good)
            yield f"     nearest good patches: {nearest or 'none'}"
    if not findings.boxes:
        yield "No place stands out."


def _beyond(value: float, limit: Limit) -> str:
    if limit.low is not None and value < limit.low:
        return f"below {limit.low:.3g}"
    return f"above {limit.high:.3g}" if limit.high is not None and value > limit.high else ""


def _box_line(number: int, box: Box, pixel_mm: float | None) -> str:
    size = f"{box.width} x {box.height} pixels"
    if pixel_mm is not None:
        size += f" ({box.width * pixel_mm:.2f} x {box.height * pixel_mm:.2f} mm)"
    return f"  {number}. {box.kind or 'unusual'}: {size} at x {box.x}, y {box.y}, {box.score:.2f} x the box limit"


COMMANDS = (look,)
