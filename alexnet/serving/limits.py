"""What one server takes on at most, so that no request and no crowd of them brings it down."""

from dataclasses import dataclass, fields

from alexnet.data.decoding import Refused, unwrapped
from alexnet.errors import InputError

_SCANS = 100
"""Of a JPEG. Photographs have about ten; each goes over all pixels, and thousands fit in a small file."""


@dataclass(frozen=True)
class Limits:
    """What is taken on at most; anything beyond is refused with a sentence."""

    megabytes: float = 32
    """Of one request's body."""
    megapixels: float = 50
    """Of one picture, before it is decoded."""
    images: int = 64
    """Pictures in one request."""
    seconds: float = 30
    """From a request's first byte to its answer."""
    queue: int = 256
    """Pictures accepted and not answered yet; then 429 with Retry-After."""
    batch: int = 64
    """Pictures in the network at once."""
    wait: float = 0.1
    """Seconds that a picture waits for others that are being decoded, and no longer than the batch before took. One
    that is alone never waits."""

    def __post_init__(self) -> None:
        """Raises InputError where a limit leaves nothing to serve."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0 and not (field.name == "wait" and value == 0):
                raise InputError(f"the limit {field.name} is {value}; it must be more than 0.")
        if self.images > self.queue:
            raise InputError(
                f"a request may bring {self.images} images and the queue holds {self.queue}: it would never be taken; "
                "lower images or raise queue."
            )

    @property
    def bytes(self) -> int:
        """Bytes of one body."""
        return int(self.megabytes * (1 << 20))

    @property
    def pixels(self) -> int:
        """Pixels of one picture."""
        return int(self.megapixels * 1e6)


def plain(data: bytes, limits: Limits) -> bytes:
    """An image file's bytes, out of their gzip wrapper if they have one.

    Raises:
        Refused: they would become too many, or would take minutes to decode.
    """
    data = unwrapped(data, limits.bytes)
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > _SCANS:
        raise Refused(f"a JPEG of more than {_SCANS} scans")
    return data
