"""What is taken out of evidence, what is left alone, and that neither costs more than the text is long."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.errors import ConfigurationError
from derive.evidence.redaction import DEFAULT_PATTERNS, Pattern, Redactor

REDACTOR = Redactor()

# Put together here, so that no scanner takes this file for a leak.
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
SLACK = "xoxb-" + "123456789012-abcdefABCDEF"
JWT = "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0" + ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG3" + "bPxRfiCY8EXAMPLEKEY9"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEpAIBAAKCAQEA\nx+y/z==\n"
    "-----END RSA PRIVATE KEY-----"
)

SECRETS = [
    ("write to luke.skywalker+x@rebels.example.org.", "luke.skywalker"),
    ("пётр@почта.рф", "пётр"),
    (f"id {AWS},", AWS),
    (f"token {GITHUB}", GITHUB),
    ("github_pat_" + "11ABCDEFG0aBcDeFgHiJkL_MnOpQr", "11ABCDEFG0"),
    (f"({SLACK})", SLACK),
    ("https://hooks.slack.com/services/T00000000/B00000000/" + "X" * 24, "XXXX"),
    (f"cookie={JWT};", JWT),
    ("sk-" + "ant-api03-abcdefghij0123456789", "abcdefghij"),
    ("AIza" + "SyA1234567890abcdefghijklmnopqrstuv", "SyA123"),
    ("sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", "4eC39"),
    ("Authorization: Bearer abcdef", "abcdef"),
    ("Authorization: Basic bHVrZTpsZWlh", "bHVrZ"),
    ("curl -H 'bearer 0123456789abcdef'", "0123456789abcdef"),
    ("password: swordfish", "swordfish"),
    ('{"password": "two words"}', "two words"),
    ("DB_PASSWORD=hunter2", "hunter2"),
    ("pwd = 'x'", "'x'"),
    ("password=" + "s" * 900, "sss"),
    ('password: "' + "s" * 900 + '"', "sss"),
    ("api_key=abcd1234", "abcd1234"),
    ("AWS_SECRET_ACCESS_KEY = " + AWS_SECRET, AWS_SECRET),
    ('"client_secret": "shhh"', "shhh"),
    ("token: a1b2c3d4e5", "a1b2c3d4e5"),
    ("postgres://leia:organa@db.example/x", "organa"),
    ("https://leia:or@g@na@db/x", "g@na"),
    (PEM, "MIIEp"),
    (PEM[:80], "MIIEp"),
    (f"the key was {AWS_SECRET} once", AWS_SECRET),
    ("call +49 30 901820 now", "901820"),
    ("+1 (555) 123-4567", "4567"),
    ("(555) 123-4567", "4567"),
    ("555-123-4567", "4567"),
    ("1-800-555-0199", "0199"),
    ("020 7946 0958", "7946"),
    ("030/12345678", "12345678"),
    ("01 23 45 67 89", "45"),
    ("Tel.: 5551234567", "5551234567"),
    ("phone number 555 1234 567", "1234"),
    ("tel:+4930901820", "901820"),
    ("0800 123456", "123456"),
    ("token: 3f2504e0-4f89-11d3-9a0c-0305e82c3301", "0305e82c3301"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_is_replaced_and_counted(text: str, secret: str) -> None:
    redacted = REDACTOR.redact(text)
    assert secret not in redacted.text
    assert "[redacted:" in redacted.text
    assert sum(redacted.counts.values()) >= 1


HARMLESS = [
    "R2-D2, C-3PO, BB-8 and THX-1138 met TK-421 and FN-2187.",
    "Hull number 94-7 was a CR90 of 1977; grid L-9, R-16, sector 7G.",
    "From 1977 to 1983, again 1999-2005, in 19 BBY and 4 ABY.",
    "1977-05-25, 25.05.1977, 25/05/1977, 25 05 1977 10:30, 02-05-1977 12:30 and 2026-11-23T09:03:09Z.",
    "34.0522, -118.2437 and +34.0522 +118.243700",
    "Population: 1,000,000,000; 1 000 000 000; 200.000; 384400 km at 1,050 km/h or 0.5 past 299792458.",
    "ISBN 978-0-345-26079-5, 192.168.0.1, version 1.22.333.4444",
    "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "The secret: Vader was his father. The token of the order, a key to it, the keyword: hope.",
    "The ring bearer Frodo, a standard bearer protecting everyone, secretary: Mon Mothma.",
    "https://starwars.example/wiki/Luke_Skywalker/Legends#Episode4 and @leia, luke@rebel",
    "He called 1977-05-25. Tell 40 of 1138 cells.",
    "Telos IV had 3 moons, faxon 12, mobile in 1977.",
    "Token: THX-1138-B; secret: R2-D2 and 4-LOM; YT-1300 492727ZED at 51°30′26″N 0°7′39″W.",
    "docking bay 94, detention block AA-23, cell 2187",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_evidence_is_full_of_stays(text: str) -> None:
    assert REDACTOR.redact(text).text == text


FRAGMENTS = ["password: ", "token=", "@", "a.b", ".org", "://", ":", "+1 555", " 123", "-4567", "0", "1977-05-25", '"',
             "[redacted:email]", "AKIA", "A" * 16, "eyJ", "bearer ", "-----BEGIN PRIVATE KEY-----", "x9Y" * 15, "\n",
             "tel ", "020 7946 0958", "é", "secret", "["]  # fmt: skip


@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=14).map("".join))
def test_redacting_again_changes_nothing(text: str) -> None:
    once = REDACTOR.redact(text).text
    assert REDACTOR.redact(once).text == once


ADVERSARIAL = ["a", "a.", "a@", "@a.", "a@a.", "0", "0 ", "+1 ", "1-", "555-", "(555) ", "://", "://a:", "eyJ",
               "eyJaaaaaaaa.", "token:", "token:a", "password", "password:\"",
               "secret_", "secret = '", "-----BEGIN PRIVATE KEY-----",
               "-----", "bearer ", "bearer a", "authorization: bearer ", "sk-", "tel ", "tel 1 ", "xoxb-", "aA0/", "Aa",
               "AKIA", "://a@", "hooks.slack.com/services/", "0-", "0123 ", "[redacted:", "\t", "key\t",
               "é"]  # fmt: skip


@pytest.mark.parametrize("unit", ADVERSARIAL)
def test_redaction_takes_linear_time(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        best = 1e9
        for _ in range(2):
            started = time.process_time()
            REDACTOR.redact(text)
            best = min(best, time.process_time() - started)
        return best

    # Eight times the text: eight times the time, 64 times if it were quadratic. The floor drowns out what is too
    # short to be measured.
    assert seconds(200_000) < 24 * max(seconds(25_000), 0.004)


def test_patterns_can_be_added() -> None:
    redactor = Redactor((*DEFAULT_PATTERNS, Pattern("badge", r"TK-\d{3}")))
    redacted = redactor.redact("TK-421, TK-422: a@b.org")
    assert redacted.text == "[redacted:badge], [redacted:badge]: [redacted:email]"
    assert redacted.counts == {"badge": 2, "email": 1}


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (Pattern("open", "("), "open"),
        (Pattern("empty", "a*"), "empty"),
        (Pattern("group", "a", r"\g<4>"), "group"),
    ],
)
def test_a_pattern_that_cannot_work_is_refused_by_name(pattern: Pattern, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Redactor((pattern,))


def test_two_patterns_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two redaction patterns"):
        Redactor((Pattern("x", "a"), Pattern("x", "b")))


def test_a_text_is_redacted_in_at_most_four_passes() -> None:
    chain = tuple(Pattern(f"{one}-{other}", one, other) for one, other in ("EF", "DE", "CD", "BC", "AB"))
    redacted = Redactor(chain).redact("A")
    assert redacted.text == "E"
    assert redacted.counts == {"A-B": 1, "B-C": 1, "C-D": 1, "D-E": 1}
