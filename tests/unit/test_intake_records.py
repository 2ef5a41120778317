from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.intake import records
from derive.intake.line_format import LineFormat
from derive.intake.records import Record, read_records


def read(content: bytes, line_format: LineFormat = LineFormat.JSONL, **more: Any) -> list[Record]:
    return list(read_records(BytesIO(content), line_format, **more))


def test_lines_keep_their_numbers_over_blank_ones() -> None:
    found = read(b'{"a": 1}\n\n  \r\n{"a": 2}\r\n{"a": 3}')
    assert [(record.line, record.values) for record in found] == [(1, {"a": 1}), (4, {"a": 2}), (5, {"a": 3})]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert read(b'\xef\xbb\xbf{"a": 1}\n')[0].values == {"a": 1}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b'"text"', "is not a JSON object"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": 1, "a": 2}', "a key occurs twice"),
        (b'{"a": "\xff"}', "is not UTF-8 (byte 8 of the line)"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a": 1} {"a": 2}', "is not JSON"),
    ],
)
def test_a_line_that_is_not_an_object_is_reported_and_reading_continues(line: bytes, why: str) -> None:
    bad, good = read(line + b'\n{"a": 1}\n')
    assert (bad.line, bad.values) == (1, None)
    assert why in bad.why
    assert good == Record(2, {"a": 1})


def test_reading_starts_at_the_given_line() -> None:
    assert [record.line for record in read(b'{"a": 1}\nnot read\n{"a": 3}\n{"a": 4}\n', from_line=3)] == [3, 4]


def test_a_line_that_is_too_long_is_bad_and_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 20)
    longest, too_long = b'{"a": "0123456789a"}', b'{"a": "0123456789ab"}'
    seen: list[int] = []
    content = longest + b"\n" + too_long + b"x" * 1000 + b"\n" + too_long + b"\n" + longest
    found = read(content, on_bytes=seen.append)
    assert [record.values is None for record in found] == [False, True, True, False]
    assert "longer than 20 bytes" in found[1].why
    assert sum(seen) == len(content)


def test_csv_has_a_header_and_empty_cells_are_not_given() -> None:
    found = read(b'priority,entity_id,input\r\n5,luke,"{""a"": 1}"\r\n,leia,{}\r\n', LineFormat.CSV)
    assert [(record.line, record.values) for record in found] == [
        (2, {"priority": "5", "entity_id": "luke", "input": '{"a": 1}'}),
        (3, {"entity_id": "leia", "input": "{}"}),
    ]


def test_a_csv_record_of_several_lines_is_named_by_its_first() -> None:
    found = read(b'a,b\n"one\ntwo",2\n\n3,4\n', LineFormat.CSV)
    assert [(record.line, record.values) for record in found] == [
        (2, {"a": "one\ntwo", "b": "2"}),
        (5, {"a": "3", "b": "4"}),
    ]
    assert [record.line for record in read(b'a,b\n"one\ntwo",2\n\n3,4\n', LineFormat.CSV, from_line=3)] == [5]


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        (b"a,b\n1\n", 2, "has 1 cells where the header has 2"),
        (b"a,b\n1,2,3\n", 2, "has 3 cells"),
        (b"a,b\n\xff,2\n", 2, "is not UTF-8"),
        (b'a,b\n"x"y,2\n', 2, "is not CSV"),
        (b"a,a\n1,2\n", 1, "names a column twice"),
        (b"a,\n1,2\n", 1, "not at all"),
        (b'a,b\n"never closed,2\n', 2, "is not CSV"),
    ],
)
def test_invalid_csv_is_reported_with_the_reason(content: bytes, line: int, why: str) -> None:
    (bad,) = read(content, LineFormat.CSV)
    assert (bad.line, bad.values) == (line, None)
    assert why in bad.why


@given(st.binary(max_size=200), st.sampled_from(LineFormat))
def test_no_bytes_make_reading_fail(content: bytes, line_format: LineFormat) -> None:
    for record in read(content, line_format):
        assert (record.values is None) == bool(record.why)
