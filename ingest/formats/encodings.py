"""From the bytes of a text file to its characters: marks first, then UTF-8, then what the file says, then a guess.

A guess is used only where it is sure, and then recorded with the document; everything else is refused.
"""

from __future__ import annotations

import codecs
import re

from ingest.formats.limits import MB, ReadLimits, check_length
from memory_graph.errors import UnreadableDocument

GUESSED = "guessed_encoding"  # the field of a document's metadata

MAGIC = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x7fELF", "a program"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
)
BOMS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CONTROLS = "".join(map(chr, (*range(1, 9), *range(14, 27), *range(28, 32), 127)))
MAX_CONTROL_SHARE = 0.05
_CONTROL = re.compile(f"[{re.escape(CONTROLS)}]")

# A legacy encoding is only believed where the text is in a language that it was made for.
_WEST = frozenset(
    ("English", "French", "German", "Spanish", "Portuguese", "Italian", "Dutch", "Swedish", "Norwegian", "Danish",
     "Finnish", "Indonesian")
)  # fmt: skip
_EAST = frozenset(("Polish", "Czech", "Hungarian", "Slovak", "Slovene", "Croatian", "Romanian"))
_CYRILLIC = frozenset(("Russian", "Ukrainian", "Bulgarian", "Serbian", "Kazakh"))
LANGUAGES = {
    "cp1252": _WEST, "mac_roman": _WEST, "cp850": _WEST,
    "cp1250": _EAST, "iso8859_2": _EAST,
    "cp1251": _CYRILLIC, "koi8_r": _CYRILLIC, "cp866": _CYRILLIC, "iso8859_5": _CYRILLIC,
    "cp1253": frozenset(("Greek",)), "cp1254": frozenset(("Turkish",)), "cp1255": frozenset(("Hebrew",)),
    "cp1256": frozenset(("Arabic", "Farsi")), "cp1257": frozenset(("Lithuanian", "Estonian")),
    "cp932": frozenset(("Japanese",)), "euc_jp": frozenset(("Japanese",)),
    "gb18030": frozenset(("Chinese",)), "big5": frozenset(("Chinese",)), "cp949": frozenset(("Korean",)),
}  # fmt: skip
_EAST_ASIAN = frozenset(("cp932", "euc_jp", "gb18030", "big5", "cp949"))
_EAST_ASIAN_LETTER = re.compile("[\u3000-\u30ff\u3400-\u9fff\uac00-\ud7a3\uff01-\uff5e]")
MIN_GUESS_BYTES = 100  # of lines that hold anything but ASCII: a shorter text fits too many encodings
MAX_GUESS_BYTES = 64 * 1024
MIN_SCORE = 0.35
MIN_LEAD = 0.04  # over the best encoding that would read the text otherwise
_MAX_MESS = 0.1
_FOREIGN = re.compile(rb"[\x80-\xff]")


def clean_text(text: str) -> str:
    r"""Return a text with every line ended by ``\n``."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decode_text(
    name: str, data: bytes, limits: ReadLimits, declared: str = "", *, guess: bool = True
) -> tuple[str, str]:
    """Return a text file's text, and the encoding where it was guessed.

    ``declared`` is what the file itself says its encoding is. Errors: ``UnreadableDocument`` for what is not text,
    or is in an encoding that cannot be told.
    """
    magic = find_magic(data)
    if magic:
        raise UnreadableDocument(name, "binary", f"looks like {magic}, not text. Give it the suffix of its format.")
    mark, encoding = next(((mark, e) for mark, e in BOMS if data.startswith(mark)), (b"", "utf-8"))
    guessed = ""
    if not mark and guess and (guessed := guess_utf16(data)):
        encoding = guessed
    if encoding == "utf-8" and b"\0" in data:
        message = f"holds a NUL byte at offset {data.index(0):,}, so it is not text (or UTF-16 without a mark)."
        raise UnreadableDocument(name, "binary", message)
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        other = None if mark or guessed else _decode_otherwise(data, declared, guess=guess)
        if other is None:
            at = error.start + len(mark)
            label = encoding.upper().removesuffix("-LE").removesuffix("-BE")
            message = f"is not valid {label}: byte 0x{data[at]:02X} at offset {at:,}."
            tried = "" if mark or not guess else ", and in which encoding it is cannot be told for certain"
            raise UnreadableDocument(
                name, "encoding", f"{message.removesuffix('.')}{tried}. Convert it to UTF-8."
            ) from None
        text, guessed = other
    text = clean_text(text)
    check_length(name, len(text), limits)  # of HTML too, before it is parsed at many times its size
    if "\0" in text:
        raise UnreadableDocument(name, "binary", "holds NUL characters, so it is not text.")
    if len(_CONTROL.findall(text, 0, MB)) > MAX_CONTROL_SHARE * min(len(text), MB):
        raise UnreadableDocument(name, "binary", "is full of control characters, so it is not text.")
    return text, guessed


def find_magic(data: bytes) -> str:
    """Return what a file's first bytes say it is, in words, or nothing where they could be text."""
    return next((kind for magic, kind in MAGIC if data.startswith(magic)), "")


def guess_utf16(data: bytes) -> str:
    """Return which UTF-16 without a mark this is: of ASCII letters in it every second byte is zero, and no other."""
    look = data[:4096]
    even, odd = look[::2], look[1::2]
    if len(data) % 2 or len(look) < 16:
        return ""
    zeros = (even.count(0) / len(even), odd.count(0) / len(odd))
    if zeros[0] == 0 and zeros[1] > 0.7:
        return "utf-16-le"
    return "utf-16-be" if zeros[1] == 0 and zeros[0] > 0.7 else ""


def guess_encoding(data: bytes) -> str:
    """Return the legacy encoding of a text, or nothing where that is not sure.

    An encoding is scored by how much the letters of the text are those of a language it was made for, less what looks
    like no writing at all, twice (charset-normalizer's coherence and chaos, both between 0 and 1).
    """
    from charset_normalizer import from_bytes  # imported late: almost no file needs it

    sample = _find_sample(data)
    if len(sample) < MIN_GUESS_BYTES:
        return ""
    matches = from_bytes(sample, cp_isolation=list(LANGUAGES), threshold=_MAX_MESS, enable_fallback=False)
    scored: list[tuple[float, str, str]] = []
    for match in matches:
        for encoding in LANGUAGES.keys() & {match.encoding, *match.could_be_from_charset}:
            text = sample.decode(encoding, "replace")
            scored.append((_measure_coherence(text, encoding) - 2 * match.chaos, encoding, text))
    if not scored:
        return ""
    score, encoding, text = max(scored)
    rival = max((other for other, _, read in scored if read != text), default=0.0)
    return encoding if score >= MIN_SCORE and score - rival >= MIN_LEAD else ""


def _measure_coherence(text: str, encoding: str) -> float:
    """Return how often letters are those of a language of the encoding; East Asian ones are told by the script too."""
    from charset_normalizer.cd import coherence_ratio

    found = dict(coherence_ratio(text, lg_inclusion=",".join(LANGUAGES[encoding])))
    coherence = max((found.get(language, 0.0) for language in LANGUAGES[encoding]), default=0.0)
    return coherence + (0.4 if encoding in _EAST_ASIAN and _is_east_asian(text) else 0.0)


def _decode_otherwise(data: bytes, declared: str, *, guess: bool) -> tuple[str, str] | None:
    for encoding, guessed in ((declared, ""), *(((found := guess_encoding(data)), found),) * guess):
        if encoding:
            try:
                return data.decode(encoding), guessed
            except (LookupError, ValueError):  # no encoding of ours, one of bytes to bytes, or not what it is
                continue
    return None


def _find_sample(data: bytes) -> bytes:
    """Return lines that hold anything but ASCII, cut where no encoding has the middle of a letter."""
    sample = bytearray()
    at = 0
    while len(sample) < MAX_GUESS_BYTES and (found := _FOREIGN.search(data, at)):
        # Not further back than a sample is long: a file may be one line.
        start = max(at, data.rfind(b"\n", max(at, found.start() - MAX_GUESS_BYTES // 2), found.start()) + 1)
        start = max(start, found.start() - MAX_GUESS_BYTES // 2)
        end = data.find(b"\n", found.start(), start + MAX_GUESS_BYTES)
        at = end + 1 if end >= 0 else min(len(data), start + MAX_GUESS_BYTES)
        sample += data[start:at]
        if end < 0 and at < len(data):
            while sample and sample[-1] > 0x2F:
                sample.pop()
    return bytes(sample)


def _is_east_asian(text: str) -> bool:
    foreign = [letter for letter in text if letter > "\x7f"]
    return len(_EAST_ASIAN_LETTER.findall(text)) >= 0.9 * len(foreign)
