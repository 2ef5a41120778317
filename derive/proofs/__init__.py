"""Rules that judge whether a quote supports a value, without a model, a database or Django.

``judge`` picks the rule by the value's form, or the one its field declares; ``same_value`` compares two values in any
notation, and ``value_key`` is what equal ones share; ``read_field_proofs`` reads what an output model declares. Each
rule is a pure function of the value, the quote and a ``Context``; none raises, and none takes more than 5 ms on texts
of 500 characters.

Libraries were measured before these rules were written. Pint: 0.4 ms an expression, and it evaluates what it reads
(``9**9**7`` took three seconds). Quantulum3: 47 ms for one text of 480 characters. Dateparser: 658 ms, and it looks at
the clock. text2num is fast, but rewrites the text instead of saying where a number stands, and knows neither dozens nor
halves. Babel reads the numbers of a locale that must be known beforehand. Snowball's stems are too coarse.
"""

from derive.proofs.fields import FieldProof, path_in_schema, read_field_proofs
from derive.proofs.judgement import Context, Judgement, Verdict
from derive.proofs.judging import RULES, choose_rule, judge
from derive.proofs.same_value import same_value
from derive.proofs.value_key import value_key

__all__ = [
    "RULES",
    "Context",
    "FieldProof",
    "Judgement",
    "Verdict",
    "choose_rule",
    "judge",
    "path_in_schema",
    "read_field_proofs",
    "same_value",
    "value_key",
]
