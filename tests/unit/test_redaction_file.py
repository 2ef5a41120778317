from pathlib import Path

import pytest

from derive.errors import ConfigurationError
from derive.evidence.redaction_file import read_redactor

TEXT = "Badge TK-421 belongs to ben@kenobi.example."


def write(folder: Path, text: str) -> Path:
    file = folder / "redactions.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_without_a_file_the_default_patterns_hold() -> None:
    assert read_redactor(None).redact(TEXT).text == "Badge TK-421 belongs to [redacted:email]."


def test_a_pattern_of_ones_own_is_added_to_the_default_ones(tmp_path: Path) -> None:
    file = write(tmp_path, "[[pattern]]\nname = \"badge\"\nregex = 'TK-\\d{3}'\n")
    redacted = read_redactor(file).redact(TEXT)
    assert redacted.text == "Badge [redacted:badge] belongs to [redacted:email]."
    assert redacted.counts == {"badge": 1, "email": 1}


def test_a_default_pattern_can_be_left_out_or_replaced(tmp_path: Path) -> None:
    assert read_redactor(write(tmp_path, 'leave_out = ["email"]')).redact(TEXT).text == TEXT
    own = '[[pattern]]\nname = "email"\nregex = \'\\w+@\'\nreplacement = "…"\n'
    assert read_redactor(write(tmp_path, own)).redact(TEXT).text == "Badge TK-421 belongs to …kenobi.example."


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("leave_out = [", "not TOML"),
        ('leave_out = ["telephone"]', "the default ones: "),
        ('[[pattern]]\nname = "badge"\n', "regex"),
        ('[[pattern]]\nname = "Badge!"\nregex = "x"\n', "name"),
        ('[[pattern]]\nname = "badge"\nregex = "("\n', "badge"),
        ('[[pattern]]\nname = "badge"\nregex = "x*"\n', "empty text"),
        ('[[patterns]]\nname = "badge"\nregex = "x"\n', "patterns"),
    ],
)
def test_an_unusable_file_is_reported_with_its_fault(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        read_redactor(write(tmp_path, text))
    assert "redactions.toml" in str(caught.value)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_redactor(tmp_path / "none.toml")
