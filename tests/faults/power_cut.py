"""What a power cut takes from a broker: all that its system had not written to the disk."""

import struct
from pathlib import Path

BATCH_HEAD = struct.Struct(">qi")
"""Of each batch of records: its first offset, and the bytes that follow."""
ALWAYS_FLUSHED = "__cluster_metadata"
"""The controllers write this log to the disk before they answer."""


def cut_back(logs: Path) -> int:
    """Cut the log files of a dead broker back to the last flush; the bytes that were lost.

    Kafka leaves flushing to the system, and notes how far each log is known to be on the disk
    (`recovery-point-offset-checkpoint`). The worst that a power cut can do is to leave only that.
    """
    flushed = _flush_points(logs / "recovery-point-offset-checkpoint")
    lost = 0
    for folder in logs.iterdir():
        if folder.is_dir() and not folder.name.startswith(ALWAYS_FLUSHED):
            for segment in sorted(folder.glob("*.log")):
                lost += _cut(segment, flushed.get(folder.name, 0))
    return lost


def _flush_points(checkpoint: Path) -> dict[str, int]:
    """By folder (`topic-partition`), the offset up to which it is on the disk."""
    points: dict[str, int] = {}
    # The first two lines are the version and the number of lines.
    for line in checkpoint.read_text().splitlines()[2:]:
        topic, partition, offset = line.split()
        points[f"{topic}-{partition}"] = int(offset)
    return points


def _cut(segment: Path, flushed: int) -> int:
    """Cut the first batch that is not flushed, and all after it."""
    content = segment.read_bytes()
    place = 0
    while place + BATCH_HEAD.size <= len(content):
        offset, following = BATCH_HEAD.unpack_from(content, place)
        if offset >= flushed:
            break
        place += BATCH_HEAD.size + following
    with segment.open("r+b") as file:
        _ = file.truncate(min(place, len(content)))
    return len(content) - place
