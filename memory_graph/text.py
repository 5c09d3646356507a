"""How names are normalised and texts are hashed: one place, used when learning and when recalling."""

from __future__ import annotations

import unicodedata
from hashlib import blake2b

import regex

# Marks (\p{M}) belong to words: without them Devanagari, Thai or Arabic vowel signs would cut words apart.
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
# Scripts in which two characters are a whole name.
_DENSE = regex.compile(r"[\p{Han}\p{Hangul}\p{Hiragana}\p{Katakana}]")
_LETTER = regex.compile(r"[\p{L}\p{N}]")
_SHORT_NAME = 2
_TRAILING_PARENTHESIS = regex.compile(r"\s*\([^()]*\)\s*$")
_ARTICLES = ("the ", "a ", "an ")

# Longer names are rare, and every word more is another look-up for each word of a text.
MAX_NAME_WORDS = 12


def words(text: str) -> list[str]:
    """Split ``text`` into normalised words: NFKC, case folded, letters, marks and digits of any script."""
    found: list[str] = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return found


def normalize(text: str) -> str:
    """Return the key under which a phrase is known: its normalised words joined by single spaces."""
    return " ".join(words(text))


def is_linkable(key: str) -> bool:
    """Tell whether a phrase is long enough for its vector to say what it means: more than two letters or digits.

    A character of Chinese, Japanese or Korean counts for two.
    """
    return len(_LETTER.findall(key)) + len(_DENSE.findall(key)) > _SHORT_NAME


def fact_key(subject: str, predicate: str, object_: str) -> tuple[str, str, str]:
    """Return the key under which a triple is known: its phrases' keys around the predicate as it was read."""
    return normalize(subject), predicate, normalize(object_)


def title_name(title: str) -> str:
    """Return a title without the parenthesis that tells namesakes apart ("Mercury (planet)" → "Mercury")."""
    return _TRAILING_PARENTHESIS.sub("", title).strip() or title.strip()


def clean_name(text: str) -> str:
    """Return a name without leading article, possessive ending and stray white space, as it is stored and matched."""
    name = " ".join(text.split())
    for ending in ("'s", "’s"):
        name = name.removesuffix(ending)
    lowered = name.casefold()
    for article in _ARTICLES:
        if lowered.startswith(article) and len(words(name)) > 2:
            name = name[len(article) :]
            break
    return name.strip(" .,;:!?\"'“”‘’()[]*_#-–—")


def title_as_name(title: str) -> str:
    """Return the name that a document's title gives to what it is about; empty where a title is no name."""
    name = clean_name(title_name(title))
    return name if 0 < len(words(name)) <= MAX_NAME_WORDS else ""


def order_key(*names: str | int) -> int:
    """Return a number by which what has equal scores is ordered: it follows from what it is called.

    The order is arbitrary, but does not depend on when anything was learned.
    """
    digest = blake2b("\0".join(map(str, names)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def fold(text: str) -> str:
    """Return a text as it is looked through: NFKC, case folded, with single spaces; punctuation stays."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def hash_text(*parts: str) -> str:
    """Hash texts to 32 hex digits; ("ab", "c") and ("a", "bc") differ."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
