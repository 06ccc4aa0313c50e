"""The types of files that are taken from applicants, read from the content."""

from enum import StrEnum


class MediaType(StrEnum):
    """What an applicant may upload."""

    PDF = "application/pdf"
    PNG = "image/png"
    JPEG = "image/jpeg"


SIGNATURES = (
    (b"%PDF-", MediaType.PDF),
    (b"\x89PNG\r\n\x1a\n", MediaType.PNG),
    (b"\xff\xd8\xff", MediaType.JPEG),
)


def sniff(content: bytes) -> MediaType | None:
    """The media type by the first bytes of the content; None for anything else."""
    for signature, media_type in SIGNATURES:
        if content.startswith(signature):
            return media_type
    return None
