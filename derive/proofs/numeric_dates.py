"""Dates written in digits only: "2021-05-03", "03/05/1998", "3.5.1998", "1998-05"."""

from derive.proofs.calendar_date import Date, day_date, months_date
from derive.proofs.reading import Reading


def numeric_date(reading: Reading, at: int) -> Date | None:
    """Read "2021-05-03", "03/05/1998", "3.5.1998", "1998-05"."""
    sign, parts, end = _parts_at(reading, at)
    if len(parts) < 2 or not all(part.isdigit() and len(part) <= 4 for part in parts):
        return None
    numbers = [int(part) for part in parts]
    end = _after_time(reading, end)
    if len(parts) == 3:
        return _of_three(at, end, numbers, parts, sign)
    if (
        len(parts) == 2
        and sign != "."
        and len(parts[0]) == 4
        and len(parts[1]) == 2
        and 1 <= numbers[1] <= 12
        and numbers[1] != (numbers[0] + 1) % 100
    ):
        return months_date(at, end, numbers[0], numbers[1], numbers[1])
    if len(parts) == 2 and sign == "/" and len(parts[1]) == 4 and 1 <= numbers[0] <= 12:
        return months_date(at, end, numbers[1], numbers[0], numbers[0])
    return None


def _parts_at(reading: Reading, at: int) -> tuple[str, list[str], int]:
    """Return the separator of the adjacent numbers here, the numbers, and the token after them."""
    raw, end = reading.raw[at], at + 1
    sign = "." if "." in raw else reading.word(end)
    parts = raw.split(".")
    if sign not in {".", "-", "/"}:
        return sign, [], end
    while len(parts) < 3 and reading.word(end) == sign and reading.is_glued(end) and reading.is_glued(end + 1):
        if not reading.word(end + 1).isdigit():
            break
        parts.append(reading.raw[end + 1])
        end += 2
    return sign, parts, end


def _after_time(reading: Reading, end: int) -> int:
    """Return the token after the time of "2024-02-29T14:30:00Z"."""
    if not (reading.word(end) == "t" and reading.is_glued(end) and reading.word(end + 1).isdigit()):
        return end
    end += 1
    while reading.is_glued(end) and (reading.low[end][0].isdigit() or reading.low[end] in {":", ".", "z", "+", "-"}):
        end += 1
    return end


def _of_three(at: int, end: int, numbers: list[int], parts: list[str], sign: str) -> Date | None:
    if len(parts[0]) == 4:
        return (
            day_date(at, end, numbers[0], numbers[1], numbers[2]) if len(parts[1]) <= 2 and len(parts[2]) <= 2 else None
        )
    if len(parts[2]) not in {2, 4} or len(parts[0]) > 2 or len(parts[1]) > 2:
        return None
    first, second, year = numbers
    if len(parts[2]) == 2:
        if sign == "." and max(map(len, parts)) < 2:
            return None
        year += 2000 if year < 40 else 1900
    date = day_date(at, end, year, second, first)
    swapped = day_date(at, end, year, first, second)
    date.is_short = swapped.is_short = len(parts[2]) == 2
    if sign == "." or first == second:
        return None if sign == "." and date.impossible and swapped.impossible and len(parts[2]) == 2 else date
    if date.impossible and not swapped.impossible:
        return swapped
    if not swapped.impossible and first <= 12:
        date.other = swapped
    return date
