"""Pictures: where a frame's bytes come from, and where frame and heatmap are kept for whoever looks at the part."""

from __future__ import annotations

import msgspec

from ingest.blobs import BlobGone, Blobs, blob_name
from ingest.errors import BadRecord
from ingest.messages import Findings, Frame
from vision.inspect import Look

SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/tiff": ".tif", "image/bmp": ".bmp"}


def fetch(frame: Frame, blobs: Blobs) -> bytes:
    """The encoded image: the body, or what `ref` names in the plant's blob store. Raises BadRecord.

    Only names inside the store are resolved: a record must not make us read anything else.
    """
    if frame.body or not frame.ref:
        return frame.body
    name = frame.ref.removeprefix(blobs.url).lstrip("/")
    if "://" in name or ".." in name.split("/"):
        raise BadRecord("ref_outside_store", f"{frame.ref[:200]} is not in {blobs.url}")
    try:
        return blobs.get(name)
    except BlobGone as gone:
        raise BadRecord("ref_not_found", str(gone)) from gone


def keep_pictures(blobs: Blobs, frame: Frame, look: Look) -> Findings:
    """Store a frame and its heatmap under names made of its identity; the findings, with references to both."""
    findings = look.findings
    identity = f"{findings.line_id}/{findings.part_id}/{findings.frame_id}"
    frame_ref, heatmap_ref = frame.ref, ""
    if frame.body and not frame.ref:
        frame_ref = blob_name("frames", identity, SUFFIXES.get(frame.content_type, ".bin"))
        blobs.put(frame_ref, frame.body)
    if look.heatmap is not None:
        heatmap_ref = blob_name("heatmaps", identity, ".png")
        blobs.put(heatmap_ref, look.heatmap)
    return msgspec.structs.replace(findings, frame_ref=frame_ref, heatmap_ref=heatmap_ref)
