"""A request's body to its pictures: raw or multipart, within limits of bytes and time, never touching a disk."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alexnet.errors import counted
from alexnet.serving.limits import Limits
from alexnet.serving.telling import Reason

if TYPE_CHECKING:
    from fastapi import Request

FIELD = "images"
_DRAINED = 8  # times the limit: so much of a body that is too large is read and dropped, that the client hears why
_BODIES = 8  # largest bodies in memory at once
_NAME = 120  # characters of a name


class Bad(Exception):
    """A request that is refused: its HTTP status, why as `telling.REASONS` has it, one sentence, and headers."""

    def __init__(self, status: int, reason: Reason, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.reason, self.sentence, self.headers = status, reason, sentence, headers or {}


@dataclass(frozen=True)
class Upload:
    """One picture as it came."""

    name: str
    """The last part of the file's name, or "image 1" for the first of those without one."""
    data: bytes


class Room:
    """The bytes of all bodies that are in memory."""

    def __init__(self, limits: Limits) -> None:
        self.held, self._most = 0, limits.bytes * _BODIES

    def take(self, count: int) -> None:
        """Nothing; so many more are held. Raises Bad where there is no room for them."""
        if self.held + count > self._most:
            raise Bad(429, "memory", "too much is being uploaded at once; try again in a moment.", {"Retry-After": "1"})
        self.held += count


async def body(request: "Request", limits: Limits, room: Room) -> bytes:
    """The whole body; its bytes stay in `room` until the caller gives them back.

    Raises:
        Bad: 413 over the limit of bytes, 429 where all bodies together are too much, 415 where it is compressed.
        fastapi's ClientDisconnect: the client has gone.
    """
    if (encoding := request.headers.get("content-encoding", "identity")).lower() != "identity":
        way_out = "send the picture's bytes as they are."
        sentence = f"content encoded as {printable(encoding)} is not taken; {way_out}"
        raise Bad(415, "type", sentence, {"Accept-Encoding": "identity"})
    most = limits.bytes
    declared = int(length) if (length := request.headers.get("content-length", "")).isdecimal() else 0
    if declared > most and (declared > _DRAINED * most or "expect" in request.headers):
        raise too_large(limits)
    chunks, size, kept, refusal = [], 0, 0, None
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if refusal is None and size > most:
                refusal = too_large(limits)
            if refusal is None:
                try:
                    room.take(len(chunk))
                except Bad as full:
                    refusal = full
                else:
                    kept += len(chunk)
                    chunks.append(chunk)
                    continue
            chunks.clear()
            if size > _DRAINED * most:
                break
        if refusal is not None:
            raise refusal
    except BaseException:
        room.held -= kept
        raise
    return b"".join(chunks)


def too_large(limits: Limits) -> Bad:
    """The refusal of a body over the limit."""
    return Bad(413, "size", f"the request is over the limit of {limits.megabytes:g} MB.", {"Connection": "close"})


def uploads(data: bytes, content_type: str, limits: Limits) -> list[Upload]:
    """The pictures of a body: the parts of a multipart form called `images`, or the body itself.

    Raises:
        Bad: 415 for another kind of content, 413 for too many pictures, 400 where there is none or the form is damaged.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        found = _of_form(data, content_type, limits)
    elif not kind or kind.startswith("image/") or kind == "application/octet-stream":
        found = [Upload("image 1", data)] if data else []
    else:
        raise Bad(
            415,
            "type",
            f"content of type {printable(kind)} is no picture; send a picture's bytes as image/jpeg, image/png or "
            f"application/octet-stream, or a multipart/form-data form with the field {FIELD!r}.",
        )
    if not found:
        raise Bad(
            400, "form", f"there is no picture in the request; send its bytes, or a form with the field {FIELD!r}."
        )
    return found


def base_name(name: str, number: int) -> str:
    """The last part of a file's name, printable and short; "image 1" for the first where there is none."""
    last = re.split(r"[/\\]", printable(name))[-1].strip()
    return last[:_NAME] if last.strip(".") else f"image {number}"


def printable(text: str) -> str:
    """What of a text can be shown, and not too much of it."""
    return "".join(character for character in text if character.isprintable())[: 4 * _NAME]


def _of_form(data: bytes, content_type: str, limits: Limits) -> list[Upload]:
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise Bad(400, "form", "the form's content type names no boundary.")
    form = _Form(limits)
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]
        parser.write(data)
        parser.finalize()
    except FormParserError:
        raise Bad(400, "form", "the form is damaged: its parts cannot be told apart.") from None
    if not form.ended:
        raise Bad(400, "form", "the form is cut short: its last boundary is missing.")
    if form.other and not form.found:
        given = printable(form.other)
        raise Bad(
            400, "form", f"there is no picture in the request: its form has the field {given!r}; call it {FIELD!r}."
        )
    return form.found


class _Form:
    """Listens to the parser."""

    def __init__(self, limits: Limits) -> None:
        self.found: list[Upload] = []
        self.other = ""  # the name of a field that is not taken
        self.ended = False
        self._limits, self._parts = limits, 0
        self._begin()

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header,
            "on_part_data": lambda data, start, end: self._data.extend(data[start:end]),
            "on_part_end": self._part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._field, self._value, self._data = bytearray(), bytearray(), bytearray()
        self._disposition = b""

    def _header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._field, self._value = bytearray(), bytearray()

    def _part(self) -> None:
        from python_multipart.multipart import parse_options_header

        self._parts += 1
        options = parse_options_header(self._disposition)[1]
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if field == FIELD:
            name = options.get(b"filename", b"").decode("utf-8", "replace")
            self.found.append(Upload(base_name(name, len(self.found) + 1), bytes(self._data)))
        else:
            self.other = field
        if len(self.found) > self._limits.images or self._parts > self._limits.images + 16:
            fit = counted(self._limits.images, "image")
            raise Bad(413, "images", f"a request may bring {fit}; send the others apart.")

    def _end(self) -> None:
        self.ended = True
