"""Personal data of the visitor, out of the model's sight: placeholders go up, the visitor's own words come back.

Numbers with a checksum (identity cards, bank cards) are only taken for what they are when the checksum holds, so that
order and serial numbers stay readable. A place beside a word such as *order* or *serial number* is left alone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from workspace.chinese import simplified

_DIGIT = "0-9０-９"
_GAP = r"[\s\-·.]?"
_NOT_INSIDE = rf"(?<![A-Za-z{_DIGIT}])"
_NOT_BEFORE = rf"(?![A-Za-z{_DIGIT}])"
_TO_ASCII = str.maketrans("０１２３４５６７８９Ｘｘ＠．", "0123456789XX@.")
LABEL = 40  # characters before a place that may name it
_HARMLESS_BEFORE = re.compile(
    r"(?:订单号?|快递单?号?|运单号?|单号|序列号|批次号?|条码|条形码|积分|版本号?|型号|编号|金额|order|serial|tracking|batch|version|sku|model)"
    r"\s*(?:no\.?|number|#)?\s*[:：#]?\s*$",
    re.IGNORECASE,
)


def _id_card_holds(text: str) -> bool:
    digits = _bare(text).upper()
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    month, day = int(digits[10:12]), int(digits[12:14])
    return (
        digits[6:8] in {"19", "20"}
        and 1 <= month <= 12
        and 1 <= day <= 31
        and "10X98765432"[sum(int(d) * w for d, w in zip(digits, weights, strict=False)) % 11] == digits[17]
    )


def _company_code_holds(text: str) -> bool:
    """GB 32100: eighteen places, the last one a check digit over the others."""
    places = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    total = sum(places.index(character) * pow(3, at, 31) for at, character in enumerate(text[:17]))
    return places.index(text[17]) == (31 - total % 31) % 31


def _luhn_holds(text: str) -> bool:
    digits = [int(character) for character in _bare(text)]
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


@dataclass(frozen=True)
class _Kind:
    name: str
    pattern: re.Pattern[str]
    holds: Callable[[str], bool] = lambda _: True
    heeds_labels: bool = True


_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"


def _number(count: str, last: str = "") -> str:
    return rf"(?:[{_DIGIT}]{_GAP}){count}[{_DIGIT}{last}]"


_KINDS = (
    _Kind(
        "EMAIL",
        re.compile(
            r"[A-Za-z0-9._%+\-]{1,64}[@＠][A-Za-z0-9\u00a1-\uffff\-]+(?:[.．][A-Za-z0-9\u00a1-\uffff\-]+)*[.．][A-Za-z]{2,24}"
        ),
        heeds_labels=False,
    ),
    _Kind("SECRET", re.compile(r"\b(?:sk|pk|rk|ghp|xox[bap])[-_][A-Za-z0-9_\-]{16,}"), heeds_labels=False),
    _Kind("ID", re.compile(rf"{_NOT_INSIDE}{_number('{17}', 'XxＸｘ')}{_NOT_BEFORE}"), _id_card_holds),
    _Kind("CARD", re.compile(rf"{_NOT_INSIDE}{_number('{12,18}')}{_NOT_BEFORE}"), _luhn_holds),
    _Kind(
        "PHONE",
        re.compile(rf"(?:[+＋]?[8８][6６]{_GAP})?{_NOT_INSIDE}[1１][3-9３-９]{_GAP}{_number('{8}')}{_NOT_BEFORE}"),
    ),
    _Kind(
        "PHONE",
        re.compile(
            rf"{_NOT_INSIDE}(?:[(（]?[0０][{_DIGIT}]{{2,3}}[)）]?[\s\-－]?)[2-9２-９]{_number('{5,6}')}{_NOT_BEFORE}"
        ),
    ),
    _Kind(
        "PHONE",
        re.compile(
            rf"[+＋][{_DIGIT}]{{1,3}}[\s\-.]?(?:[(]?[{_DIGIT}]{{1,4}}[)]?[\s\-.]?){{2,4}}[{_DIGIT}]{_NOT_BEFORE}"
        ),
    ),
    _Kind("PHONE", re.compile(r"(?<![\w.])(?:\([2-9]\d{2}\)\s?|[2-9]\d{2}[-.\s])\d{3}[-.\s]\d{4}(?!\w)")),
    _Kind("COMPANY", re.compile(r"(?<![A-Za-z0-9])[0-9A-HJ-NPQRTUWXY]{18}(?![A-Za-z0-9])"), _company_code_holds),
    _Kind("WECHAT", re.compile(r"(?<![A-Za-z0-9_])wxid_[a-z0-9]{10,20}(?![A-Za-z0-9_])"), heeds_labels=False),
    _Kind(
        "PLATE",
        re.compile(
            r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z][·\s]?"
            r"(?=[A-HJ-NP-Z0-9]*\d)[A-HJ-NP-Z0-9]{5,6}(?![A-Za-z0-9])"
        ),
        heeds_labels=False,
    ),
    _Kind("IP", re.compile(rf"(?<![A-Za-z0-9.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\.?\d)")),
    _Kind("PASSPORT", re.compile(rf"(?<![A-Za-z0-9])[EGDSPH][A-Z]?\d{{7,8}}{_NOT_BEFORE}")),
)


class Masker:
    """The masking of one turn. The same value always gets the same placeholder."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._names: dict[tuple[str, str], str] = {}

    @property
    def found(self) -> bool:
        """Whether any personal data was seen."""
        return bool(self._values)

    def mask(self, text: str) -> str:
        for kind in _KINDS:
            text = kind.pattern.sub(lambda match, kind=kind: self._replace(kind, match), text)  # type: ignore[misc]
        return text

    def unmask(self, text: str) -> str:
        for name, value in self._values.items():
            text = text.replace(name, value)
        return text

    def _replace(self, kind: _Kind, match: re.Match[str]) -> str:
        value = match.group()
        if kind.heeds_labels and _HARMLESS_BEFORE.search(
            simplified(match.string[max(0, match.start() - LABEL) : match.start()])
        ):
            return value
        if not kind.holds(value):
            return value
        key = (kind.name, _bare(value))
        if key not in self._names:
            number = 1 + sum(1 for name, _ in self._names if name == kind.name)
            self._names[key] = f"[{kind.name}_{number}]"
            self._values[self._names[key]] = value
        return self._names[key]


def _bare(value: str) -> str:
    return re.sub(r"[\s\-·.()（）+]", "", value.translate(_TO_ASCII))
