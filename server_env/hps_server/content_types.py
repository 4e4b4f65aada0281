"""What a result file is, told from its name: the same on every machine."""

import mimetypes

OTHER = "application/octet-stream"
# An instance knows Python's own table; the module's functions also read files of the system.
_TYPES = mimetypes.MimeTypes()
_TYPES.add_type("application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".docx")
_TYPES.add_type("image/webp", ".webp")  # Python knows it from 3.13 on


def content_type(key: str) -> str:
    """The media type of a key's blob; of what is compressed or unknown, that it is bytes."""
    found, encoding = _TYPES.guess_type(key)
    return found if found and not encoding else OTHER
