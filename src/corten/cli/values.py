"""Words of the command line into values: sizes, durations, decimals, booleans, pairs.

Owns: the grammar of each kind of flag value and Docker's words for refusing one.
"""

from __future__ import annotations

from corten.errors import Invalid

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_SIZES = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}


def check(kind: str, text: str) -> None:
    """Raise Invalid unless a flag of this kind takes the text."""
    checker = _CHECKS.get(kind)
    if checker is not None:
        checker(text)


def parse_bool(text: str) -> bool:
    """Go's spellings of a boolean."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise Invalid(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def parse_int(text: str) -> int:
    """A decimal integer; no spaces, no underscores."""
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()) or len(text) - len(digits) > 1:
        raise Invalid(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _parse_uint(text: str) -> None:
    if not (text.isascii() and text.isdecimal()):
        raise Invalid(f'strconv.ParseUint: parsing "{text}": invalid syntax')


def _parse_uint16(text: str) -> None:
    _parse_uint(text)
    if int(text) > 65535:
        raise Invalid(f'strconv.ParseUint: parsing "{text}": value out of range')


def parse_bytes(text: str) -> int:
    """``64m``, ``1.5GiB``, ``100``: powers of 1024 whatever the spelling; -1 stays."""
    if text == "-1":
        return -1
    lowered = text.strip().lower()
    number = lowered.rstrip("kmgtpib")
    unit = lowered[len(number) :]
    number = number.rstrip(" ")
    prefix = unit[:1] if unit[:1] != "b" else ""
    if unit not in ("", "b", prefix, f"{prefix}b", f"{prefix}ib") or prefix not in _SIZES or not _is_decimal(number):
        raise Invalid(f"invalid size: '{text}'")
    return int(float(number) * 1024 ** _SIZES[prefix])


def _is_decimal(text: str) -> bool:
    whole, _, part = text.partition(".")
    return bool(whole or part) and (whole + part).isdecimal() and text.isascii()


def parse_duration(text: str) -> int:
    """Go's durations (``1h2m3.5s``) in nanoseconds; raises Invalid."""
    if text in ("0", "+0", "-0"):
        return 0
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("-", "+") else text
    if not rest:
        raise Invalid(f'time: invalid duration "{text}"')
    total = 0.0
    while rest:
        number = _leading(rest, "0123456789.")
        rest = rest[len(number) :]
        unit = _leading_unit(rest)
        rest = rest[len(unit) :]
        if not _is_decimal(number):
            raise Invalid(f'time: invalid duration "{text}"')
        if not unit:
            raise Invalid(f'time: missing unit in duration "{text}"')
        if unit not in _NANOSECONDS:
            raise Invalid(f'time: unknown unit "{unit}" in duration "{text}"')
        total += float(number) * _NANOSECONDS[unit]
    return sign * round(total)


def _leading(text: str, characters: str) -> str:
    return text[: len(text) - len(text.lstrip(characters))]


def _leading_unit(text: str) -> str:
    end = next((at for at, character in enumerate(text) if character in "0123456789."), len(text))
    return text[:end]


def parse_cpus(text: str) -> int:
    """``1.5`` CPUs in billionths."""
    whole, slash, part = text.partition("/")
    if slash and whole.isdecimal() and part.isdecimal() and int(part):
        return int(whole) * 10**9 // int(part)
    if not _is_decimal(text):
        raise Invalid(f"failed to parse {text} as a rational number")
    digits = text.partition(".")[2]
    if len(digits.rstrip("0")) > 9:
        raise Invalid("value is too precise")
    return round(float(text) * 10**9)


def split_csv(text: str) -> list[str]:
    """Comma-separated words, of which one in double quotes may hold commas."""
    if '"' not in text:
        return text.split(",") if text else []
    import csv

    return next(csv.reader([text]))


def is_address(text: str) -> bool:
    """Is it an IPv4 or IPv6 address?"""
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def pair(text: str) -> tuple[str, str]:
    """``name=value``; an absent value is empty."""
    name, _, value = text.partition("=")
    return name, value


def pairs(words: list[str]) -> dict[str, str]:
    """Several ``name=value``; the last one of a name wins."""
    return dict(pair(word) for word in words)


def _check_filter(text: str) -> None:
    if "=" not in text and text:
        raise Invalid("bad format of filter (expected name=value)")


def filters(words: list[str]) -> dict[str, dict[str, bool]]:
    """``--filter`` words in the shape of the API's ``filters`` parameter."""
    found: dict[str, dict[str, bool]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            found.setdefault(name.strip().lower(), {})[value.strip()] = True
    return found


_CHECKS = {
    "bool": parse_bool,
    "int": parse_int,
    "uint": _parse_uint,
    "uint16": _parse_uint16,
    "bytes": parse_bytes,
    "duration": parse_duration,
    "decimal": parse_cpus,
    "filter": _check_filter,
}
