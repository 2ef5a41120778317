"""The patterns that are redacted from evidence by default.

Each expression runs in linear time: repeats are bounded or possessive (``++``, ``*+``), and a look-behind lets a run
match only from its beginning, so a megabyte of one letter takes no longer than a megabyte of prose. None matches
what is common in evidence: years, dates, times, coordinates, populations, designations ("94-7", "R2-D2",
"THX-1138"), hashes and GUIDs.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    r"""A named expression (Python's ``re``) and its replacement, in which ``\g<1>`` keeps a group.

    ``replacement`` defaults to ``[redacted:NAME]``. With ``needs`` (lower case), the expression is tried only on texts
    that contain one of those words in any case, because searching for a word is a hundred times cheaper.
    """

    name: str
    regex: str
    replacement: str | None = None
    needs: tuple[str, ...] = ()

    @property
    def written_instead(self) -> str:
        """The replacement, or the default one."""
        return f"[redacted:{self.name}]" if self.replacement is None else self.replacement


PRIVATE_KEY = Pattern(
    "private_key",
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----))*+"
    # A key without an end marker is redacted to the end of the text: too much is better than half a key.
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
    needs=("private key",),
)

URL_PASSWORD = Pattern(
    "url_password",
    r"(://[^\s/:@\[\]]*+:)(?!\[redacted:)(?:[^\s/@]*+@)+",
    r"\g<1>[redacted:url_password]@",
    needs=("://",),
)

JWT = Pattern(
    "jwt",
    r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+)?",
    needs=("eyj",),
)

AWS_KEY_ID = Pattern(
    "aws_key",
    r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AIPA|ANPA|ANVA|AROA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    needs=("akia", "asia", "abia", "acca", "agpa", "aida", "aipa", "anpa", "anva", "aroa"),
)

GITHUB_TOKEN = Pattern(
    "github_token",
    r"(?<![A-Za-z0-9])(?:gh[opsur]_[A-Za-z0-9]{20,}+|github_pat_[A-Za-z0-9_]{20,}+)",
    needs=("ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_"),
)

SLACK_TOKEN = Pattern(
    "slack_token",
    r"(?<![A-Za-z0-9])xox[a-z]-[A-Za-z0-9-]{10,}+|(?<=hooks\.slack\.com/services/)[A-Za-z0-9/]{20,}+",
    needs=("xox", "hooks.slack.com"),
)

API_KEY = Pattern(
    "api_key",
    r"(?<![A-Za-z0-9_-])(?:"
    r"sk-(?=[A-Za-z_-]*+[0-9])[A-Za-z0-9_-]{20,}+"  # OpenAI, Anthropic and compatible services
    r"|[rsp]k_(?:live|test)_[A-Za-z0-9]{10,}+"  # Stripe
    r"|AIza[A-Za-z0-9_-]{30,}+"  # Google
    r"|glpat-[A-Za-z0-9_-]{20,}+"  # GitLab
    r"|hf_[A-Za-z0-9]{30,}+"  # Hugging Face
    r"|npm_[A-Za-z0-9]{30,}+"
    r"|pypi-[A-Za-z0-9_-]{50,}+"
    r")",
    needs=("sk-", "k_live_", "k_test_", "aiza", "glpat-", "hf_", "npm_", "pypi-"),
)

BEARER = Pattern(
    "bearer_token",
    # "ring bearer Frodo" is prose, so a token must be long and contain a digit unless it follows the header's name.
    r"(?i)(?<![\w-])(authorization[\"']?[ \t]{0,5}[:=][ \t]{0,5}[\"']?(?:bearer|basic|token)[ \t]{1,5})"
    r"[A-Za-z0-9._~+/=-]{4,}+",
    r"\g<1>[redacted:bearer_token]",
    needs=("authorization",),
)

BARE_BEARER = Pattern(
    "bare_bearer_token",
    r"(?i)(?<![\w-])(bearer[ \t]{1,5})(?=[A-Za-z._~+/=-]*+[0-9])[A-Za-z0-9._~+/=-]{16,}+",
    r"\g<1>[redacted:bearer_token]",
    needs=("bearer",),
)

# Quoted, or up to the next white space. An unterminated quote also ends at the next white space.
_VALUE = r"(?![\"']?\[redacted:)(?:\"[^\"\n]{1,300}\"|'[^'\n]{1,300}'|[\"']?[^\s\"',;]{MIN,}+)"

PASSWORD = Pattern(
    "password",
    r"(?i)((?:password|passwd|passphrase|passcode|pwd)(?:[_-][\w-]{0,30}+)?[\"']?[ \t]{0,5}(?::=|=>|[:=])[ \t]{0,5})"
    + _VALUE.replace("MIN", "1"),
    r"\g<1>[redacted:password]",
    needs=("passw", "passphrase", "passcode", "pwd"),
)

SECRET = Pattern(
    "secret",
    # After "=" or in quotation marks any value matches. After a colon alone ("the secret: Vader was …"), it must look
    # like a token: at least eight characters, one of them a digit.
    r"(?i)((?:api[_ -]?key|access[_ -]?key|secret|token|credentials?|private[_ -]?key|auth[_ -]?key)"
    r"(?:[_-][\w-]{0,30}+)?[\"']?[ \t]{0,5})"
    r"(?:((?::=|=>|=|:(?=[ \t]{0,5}[\"']))[ \t]{0,5})" + _VALUE.replace("MIN", "4") + r"|(:[ \t]{0,5})(?!\[redacted:)"
    # A designation ("token: THX-1138-B") consists of short groups between hyphens and is no secret.
    r"(?!(?:[a-z0-9]{1,6}-){1,3}[a-z0-9]{1,6}(?![\w-]))"
    r"(?=[^\s\"',;0-9]{0,100}+[0-9])[^\s\"',;]{8,}+)",
    r"\g<1>\g<2>\g<3>[redacted:secret]",
    needs=("key", "secret", "token", "credential"),
)

EMAIL = Pattern(
    "email",
    r"(?<![\w.%+-])[\w.%+-]++@(?:[\w-]++\.)+[^\W\d_]{2,63}+",
    needs=("@",),
)

HIGH_ENTROPY = Pattern(
    "high_entropy",
    # Forty or more characters that mix digits, upper-case and lower-case letters (at least four of each) are a key.
    # Hexadecimal digests and GUIDs do not mix cases; paths contain dots, dashes or underscores.
    r"(?<![A-Za-z0-9+/_.-])(?=(?:[A-Za-z+/]*+[0-9]){4})(?=(?:[a-z0-9+/]*+[A-Z]){4})(?=(?:[A-Z0-9+/]*+[a-z]){4})"
    r"[A-Za-z0-9+/]{40,}+={0,2}",
)

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])|[0-9]{2}[-/. ][0-9]{2}[-/. ][0-9]{4}(?![0-9])"
_END = r"(?![\w-]|[.,:][0-9])"

PHONE = Pattern(
    "phone",
    r"(?<![\w.+,:/-])(?:"
    # International: + and 7 to 15 digits, but not a signed decimal number ("+34.0522" is a coordinate).
    r"\+(?![0-9]+\.[0-9]{1,8}(?![0-9.]))[0-9](?:[ .()/-]{0,3}[0-9]){6,14}"
    # North American: 555-123-4567, 555.123.4567, (555) 123-4567, with or without a leading 1.
    r"|(?:1[-. ])?(?:\([0-9]{3}\)[ -]?[0-9]{3}[-. ]|[0-9]{3}-[0-9]{3}-|[0-9]{3}\.[0-9]{3}\.)[0-9]{4}"
    # National with a leading 0: 020 7946 0958, 030/1234567, 01 23 45 67 89.
    rf"|(?!{_DATE})(?<![0-9] )0(?:0?[1-9][0-9]{{0,3}})[ /-](?:[ /-]?[0-9]){{6,9}}"
    rf"){_END}",
)

ANNOUNCED_PHONE = Pattern(
    "announced_phone",
    # A number that is labelled as a telephone number may have any form.
    r"(?i)(?<![A-Za-z])((?:tele)?phone|tel|fax|mobile|cell|whatsapp)"
    r"((?:[ ]?(?:number|no))?[.:]{0,2}[ ]{0,3}(?:is |at )?)"
    rf"(?!{_DATE})\+?\(?[0-9](?:[ .()/-]{{0,2}}[0-9]){{6,14}}{_END}",
    r"\g<1>\g<2>[redacted:phone]",
    needs=("phone", "tel", "fax", "mobile", "cell", "whatsapp"),
)

DEFAULT_PATTERNS: tuple[Pattern, ...] = (
    PRIVATE_KEY,
    URL_PASSWORD,
    JWT,
    AWS_KEY_ID,
    GITHUB_TOKEN,
    SLACK_TOKEN,
    API_KEY,
    BEARER,
    BARE_BEARER,
    PASSWORD,
    SECRET,
    EMAIL,
    HIGH_ENTROPY,
    PHONE,
    ANNOUNCED_PHONE,
)
"""Ordered from narrow to broad, so that a replacement is counted under the most specific pattern."""
