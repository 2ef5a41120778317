"""The rule ``identifier``: the quote contains a code, address or number used as a name exactly."""

import re

from derive.proofs.judgement import Context, Judgement, refuted, shown, supported, undecided

_EMAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_URL = re.compile(r"(?:https?|ftp|s3|urn):/?/?[^\s<>\"']{1,400}|www\.[^\s<>\"']{1,400}", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_DOTTED = re.compile(r"v?\d{1,10}(?:\.\d{1,10}){2,5}(?:-[\w.]{1,20})?")
_DIGITS = re.compile(r"\+?\(?\d[\d ()./-]{4,30}\d(?:[ -]?[Xx])?")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:#()-]{0,80}")
_SPACED_CODE = re.compile(r"(?:[A-Z]{1,6}|\d{1,6}) (?:[A-Z]{1,4}\d{1,6}|\d{1,4}[A-Z]{1,4}\d{1,4})")
_TOKEN = re.compile(r"[^\s,;()\[\]{}<>\"“”‘’]+")
_LONGEST_CODE = 80
_EDGE = ".:!?'’`*"
_SEPARATORS = str.maketrans("", "", " -./()\u00a0\u2011")
_DASHES = str.maketrans("‐‑‒–−", "-----")
_NUMBER_LIKE = re.compile(
    r"\d[\d.]{0,40}e[+-]?\d{1,3}|\d[\d.,]{0,40}(?:st|nd|rd|th|s|k|m|bn|km|kg|cm|mm|g|mg|ml|l|h|hr|hrs|min|ft|in|lb|lbs|mph|am|pm|x|d|y|yr|w|b|tn|mn|t|gb|mb|tb|"
    r"kb|hz|khz|mhz|ghz|kw|mw|gw|kwh|mwh|v|a|c|f|oz|mi|m2|m3|km2|ad|bc|bce|ce|bby|aby|ppm|bps|bpm|mmhg|usd|eur|gbp|pp|pct)",
    re.IGNORECASE,
)
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}:\d{2}(?::\d{2})?(?:[^\w-]|$)")
_QUARTER = re.compile(r"(?:[QH][1-4][-/ ]?(?:\d{4}|\d{2})?|FY ?\d{2,4}|\d{4}[-/ ]?[QH][1-4]|[QH][1-4])", re.IGNORECASE)


def looks_like_identifier(value: str) -> bool:
    """Whether a value has the form of a code, an address or a number used as a name."""
    value = value.strip()
    if len(value) > 300 or not value:
        return False
    if "@" in value and _EMAIL.fullmatch(value):
        return True
    if (":" in value or value[:3] in {"www", "WWW"}) and _URL.fullmatch(value):
        return True
    if (len(value) == 36 and _UUID.fullmatch(value)) or (value.count(".") > 1 and _DOTTED.fullmatch(value)):
        return True
    if not value.isascii():
        return False
    if " " in value:
        return _SPACED_CODE.fullmatch(value) is not None and not _QUARTER.fullmatch(value)
    has_digit = any(map(str.isdigit, value))
    has_letter = any(map(str.isalpha, value))
    if not (has_digit and has_letter) or not _CODE.fullmatch(value):
        return False
    if _MOMENT.match(value):
        return False
    return not (
        _NUMBER_LIKE.fullmatch(value) or _QUARTER.fullmatch(value) or (value[0].isdigit() and value[-1] in "%°")
    )


def judge_identifier(value: str, quote: str, context: Context) -> Judgement:  # noqa: ARG001 (every rule's signature)
    """Judge a value that the quote must contain character by character."""
    wanted = value.strip().translate(_DASHES)
    text = quote.translate(_DASHES)
    if not wanted:
        return undecided("The value is empty.")
    if stands_whole(wanted, text):
        return supported("The quote has it exactly.")
    kind = _kind(wanted)
    if kind is not None:
        return _judge_kind(wanted, text, kind)
    return _judge_code(wanted, text)


def stands_whole(wanted: str, text: str) -> bool:
    """Whether a text contains another as a whole word, with no letter, digit or joining mark next to it."""
    start = text.find(wanted)
    tries = 0
    while start >= 0 and tries < 50:
        end = start + len(wanted)
        if not _joins(text, start, -1) and not _joins(text, end - 1, 1):
            return True
        start = text.find(wanted, start + 1)
        tries += 1
    return False


def _joins(text: str, at: int, step: int) -> bool:
    """Whether a code continues beyond this end."""
    beside = at + step
    if not 0 <= beside < len(text):
        return False
    if text[beside].isalnum() or text[beside] == "_":
        return True
    further = beside + step
    if text[beside] == ":":
        return False
    return text[beside] in "-./@:#+" and 0 <= further < len(text) and text[further].isalnum() and text[at].isalnum()


def _kind(wanted: str) -> re.Pattern[str] | None:
    for pattern in (_EMAIL, _URL, _UUID, _DOTTED):
        if pattern.fullmatch(wanted):
            return pattern
    digits = sum(map(str.isdigit, wanted))
    return _DIGITS if digits >= 6 and _DIGITS.fullmatch(wanted) else None


def _judge_kind(wanted: str, text: str, kind: re.Pattern[str]) -> Judgement:
    found = [match[0] for match in kind.finditer(text)][:40]
    bare = _bare(wanted, kind)
    for other in found:
        if _bare(other, kind) == bare:
            return supported("The quote has it, written a little differently.")
    if kind is _URL and stands_whole(_without_scheme(wanted), text):
        return supported("The quote has the address without its scheme.")
    if found:
        return refuted(f"The quote says {shown(found[0])}, not {shown(wanted)}.")
    return undecided(f"The quote does not hold {shown(wanted)}.")


def _bare(text: str, kind: re.Pattern[str]) -> str:
    if kind is _DIGITS:
        return text.translate(_SEPARATORS).upper()
    if kind is _URL:
        return text.rstrip("/.,;:!?)").removeprefix("www.")
    if kind is _DOTTED:
        return text.lower().removeprefix("v")
    return text.lower().rstrip(".")


def _without_scheme(url: str) -> str:
    return url.partition("://")[2].rstrip("/").removeprefix("www.") or url


def _judge_code(wanted: str, text: str) -> Judgement:
    bare = wanted.translate(_SEPARATORS)
    shape = _shape(wanted)
    likely: str | None = None
    is_alike = False
    for match in _TOKEN.finditer(text):
        token = match[0].strip(_EDGE).lstrip("#")
        if not token:
            continue
        if token.lower() == wanted.lower() or (len(bare) > 2 and token.translate(_SEPARATORS) == bare):
            if token.translate(_SEPARATORS) == bare:
                return supported("The quote has it, written a little differently.")
            return undecided(f"The quote writes {shown(token)}, in other letters.")
        if (
            (_is_code(token) or (wanted.isdigit() and token.isdigit()))
            and not _NUMBER_LIKE.fullmatch(token)
            and not _MOMENT.match(token)
        ):
            is_nearer = _shape(token) == shape or _is_near(token, wanted)
            if likely is None or is_nearer > is_alike:
                likely, is_alike = token, is_nearer
    if 3 < len(bare) <= _LONGEST_CODE and _stands_in_pieces(bare, text):
        return supported("The quote has it, written a little differently.")
    likely = _alike_in_pieces(wanted, text) or likely
    if likely is not None:
        return refuted(f"The quote says {shown(likely)}, not {shown(wanted)}.")
    return undecided(f"The quote does not hold {shown(wanted)}.")


def _stands_in_pieces(bare: str, text: str) -> bool:
    """Whether adjacent words of a text form a code ("DE89 3704", "NGC 4258")."""
    pieces = [match[0].strip(_EDGE).translate(_SEPARATORS) for match in _TOKEN.finditer(text)]
    for start, piece in enumerate(pieces):
        if not piece or not bare.startswith(piece):
            continue
        joined, at = piece, start + 1
        while len(joined) < len(bare) and at < len(pieces) and bare.startswith(joined):
            joined += pieces[at]
            at += 1
        if joined == bare:
            return True
    return False


def _alike_in_pieces(wanted: str, text: str) -> str | None:
    """Return adjacent words of a text that form a different code of the same shape."""
    count = wanted.count(" ") + 1
    if count == 1:
        return None
    pieces = [match[0].strip(_EDGE) for match in _TOKEN.finditer(text)]
    windows = (" ".join(pieces[at : at + count]) for at in range(len(pieces) - count + 1))
    shape = _shape(wanted)
    return next((window for window in windows if _shape(window) == shape and len(window) < 100), None)


def _is_code(token: str) -> bool:
    return any(map(str.isdigit, token)) and (any(map(str.isalpha, token)) or "-" in token)


def _shape(text: str) -> str:
    """Return the text with A for each run of letters and 0 for each run of digits, which codes of one kind share."""
    shape = ""
    for character in text[:80]:
        mark = "A" if character.isalpha() else "0" if character.isdigit() else character
        if not shape or shape[-1] != mark or mark not in "A0":
            shape += mark
    return shape


def _is_near(token: str, wanted: str) -> bool:
    """Whether two codes begin alike."""
    same = 0
    for one, other in zip(token.lower(), wanted.lower(), strict=False):
        if one != other:
            break
        same += 1
    return same >= 2 and 2 * same >= min(len(token), len(wanted))
