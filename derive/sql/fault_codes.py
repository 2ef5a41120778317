"""The meaning of each engine's error codes: SQLSTATEs, SQL Server's numbers, and messages if a driver gives neither.

Sources: https://www.postgresql.org/docs/current/errcodes-appendix.html, SQL Server's ``sys.messages`` (English) and
https://learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-errors-issues.
"""

import re
from enum import StrEnum


class Meaning(StrEnum):
    """What an error means for the call, independently of the engine."""

    BAD_ARGUMENT = "bad_argument"
    """One of our own errors, HC0nn."""
    WORKER_ID_IN_USE = "worker_id_in_use"
    BAD_CONTENT = "bad_content"
    """A constraint, type or size limit rejects the values; a retry cannot help."""
    CONTENDED = "contended"
    """Deadlock victim or lock time-out: everything was rolled back and the call can be retried."""
    LOST = "lost"
    """The connection broke; it is unknown whether the call took effect."""
    CROWDED = "crowded"
    """No connection is available because the server, the database or the login has reached its limit."""
    TIMED_OUT = "timed_out"
    """The statement exceeded its time limit; nothing was done."""
    EXHAUSTED = "exhausted"
    """The server ran out of disk, log, memory or locks; nothing was done."""
    NO_DATABASE = "no_database"
    LOGIN_REFUSED = "login_refused"
    DENIED = "denied"
    NOT_INSTALLED = "not_installed"
    OTHER = "other"


BY_SQLSTATE = {
    "40000": Meaning.CONTENDED,  # rolled back
    "40001": Meaning.CONTENDED,  # serialization; on SQL Server the deadlock victim
    "40002": Meaning.BAD_CONTENT,  # a deferred constraint
    "40003": Meaning.LOST,  # statement completion unknown
    "40P01": Meaning.CONTENDED,  # deadlock
    "55P03": Meaning.CONTENDED,  # lock time-out
    "3D000": Meaning.NO_DATABASE,
    "28000": Meaning.LOGIN_REFUSED,
    "28P01": Meaning.LOGIN_REFUSED,
    "42501": Meaning.DENIED,
    "42883": Meaning.NOT_INSTALLED,  # no such function
    "42P01": Meaning.NOT_INSTALLED,  # no such table
    "3F000": Meaning.NOT_INSTALLED,  # no such schema
    "57014": Meaning.TIMED_OUT,  # statement_timeout, or an administrator's pg_cancel_backend
    "57P01": Meaning.LOST,  # ended by an administrator
    "57P02": Meaning.LOST,  # another process crashed
    "57P03": Meaning.LOST,  # starting or stopping
    "57P04": Meaning.LOST,  # the database was dropped
    "57P05": Meaning.LOST,  # idle for too long
    "25P03": Meaning.LOST,  # idle in a transaction for too long
    "53300": Meaning.CROWDED,
    "25006": Meaning.LOST,  # read-only: a standby that has not taken over yet
}

BY_SQLSTATE_CLASS = {
    "08": Meaning.LOST,  # connection exception
    "22": Meaning.BAD_CONTENT,  # data exception
    "23": Meaning.BAD_CONTENT,  # integrity constraint violation
    "53": Meaning.EXHAUSTED,  # insufficient resources: disk full, out of memory
    "54": Meaning.BAD_CONTENT,  # program limit exceeded: an index row's size, the depth of nested JSON
    "58": Meaning.EXHAUSTED,  # system error: a file that cannot be read or written
}

_NUMBERS = {
    Meaning.CONTENDED: (1205, 1222, 3960),
    Meaning.DENIED: (229, 230, 300, 916),
    Meaning.NO_DATABASE: (4060, 4064, 924, 942, 945),
    Meaning.LOGIN_REFUSED: (18450, 18452, 18456, 18470, 18486, 18487, 18488),
    Meaning.CROWDED: (17809,),
    # 8145: an unknown parameter, 201: a missing one; the procedure is of another version.
    Meaning.NOT_INSTALLED: (201, 208, 2812, 8145),
    # Constraints and nulls, then conversions, truncation, and text that is not JSON.
    Meaning.BAD_CONTENT: (
        *(515, 547, 2601, 2627),
        *(220, 241, 242, 244, 245, 248, 295, 296, 2628, 8114, 8115, 8152, 8169),
        *(13606, 13607, 13608, 13609),
    ),
    # Memory, buffers, files, log, locks, disk errors; then an Azure database's quotas.
    Meaning.EXHAUSTED: (
        *(701, 802, 823, 824, 845, 1101, 1105, 1121, 1204, 3967, 8628, 8645, 8651, 8657, 9002, 17300, 17803),
        *(40544, 40549, 40550, 40551, 40552, 40553),
    ),
    Meaning.LOST: (
        *(64, 121, 233, 596, 6005, 10053, 10054, 10060, 18401, 18451),
        # Recovering, read-only or on another replica.
        *(921, 922, 926, 976, 978, 979, 983, 3906, 4221, 9001),
        *(10922, 10928, 10929, 10936, 40143, 40197, 40501, 40540, 40613, 40615, 49918, 49919, 49920),
    ),
}
BY_NUMBER = {number: meaning for meaning, numbers in _NUMBERS.items() for number in numbers}

# mssql_python gives no number, only the server's message and its own text for a SQLSTATE. Babelfish uses PostgreSQL's
# messages. The first match counts.
_WORDS = (
    (
        Meaning.CONTENDED,
        (
            "deadlock victim",
            "deadlock detected",
            "Serialization failure",
            "Lock request time out",
            "due to lock timeout",
            "Snapshot isolation transaction aborted due to update conflict",
        ),
    ),
    (Meaning.NO_DATABASE, ("Cannot open database", "Cannot open user default database")),
    (
        Meaning.LOGIN_REFUSED,
        (
            "Login failed",
            "password authentication failed",
            "no pg_hba.conf entry",
            r'role ".*" (does not exist|is not permitted)',
        ),
    ),
    (Meaning.NO_DATABASE, (r'database ".*" does not exist',)),
    (Meaning.DENIED, ("permission was denied", "permission denied", "not able to access the database")),
    (
        Meaning.NOT_INSTALLED,
        (
            "Could not find stored procedure",
            "Invalid object name",
            "is not a parameter for procedure",
            "(procedure|function|relation) .* does not exist",
        ),
    ),
    (
        Meaning.CROWDED,
        ("too many (connections|clients)", "remaining connection slots", "maximum number of .*connections"),
    ),
    (
        Meaning.EXHAUSTED,
        (
            "Could not allocate (space for|a new page)",  # 1105, 1101
            "transaction log for database .* is full",  # 9002
            "cannot obtain a LOCK resource",  # 1204
            "insufficient (system )?memory",  # 701, 802
            "waiting for memory resources",  # 8645
            "memory grant|minimum query memory is not available",  # 8651, 8657
            "waiting to optimize the query",  # 8628
            "I/O error",  # 823, 824
            "reached its size quota",  # 40544
            "No space left on device",
            "could not (extend|write)",
            "out of (shared )?memory",
        ),
    ),
    (
        Meaning.LOST,
        (
            "is not currently available",
            "Communication link failure",
            # The driver reconnects a broken idle connection; if it cannot, it reports states of its own.
            "SQLSTATE code: (08|IMC)",
            "connection is broken",
            "in the kill state",
            "terminating connection",
            "unable to establish connection",
            "Connection not open",
            "Server rejected the connection",
            "Connection failure during transaction",
            "Disconnect error",
            "Login timeout expired",
            "TCP Provider",
            "connection is closed",
            "SHUTDOWN is in progress",
            "The service is currently busy",
            "service has encountered an error processing your request",
            "[Rr]esource ID",  # 10928, 10929
            "Not enough resources to process request",  # 49918
            "Too many .*operations in progress",  # 49919, 49920
            "the database is read-only",
        ),
    ),
    (
        Meaning.TIMED_OUT,
        # Must follow the lock and login time-outs, whose messages contain these words.
        ("[Tt]imeout expired", "due to statement timeout", "due to user request", "Operation canceled"),
    ),
    (
        Meaning.BAD_CONTENT,
        (
            "Integrity constraint violation",
            "String data, right truncat",
            "Numeric value out of range",
            "[Dd]atetime field overflow",
            "Invalid character value for cast",
            "Violation of .* constraint",
            "Cannot insert (duplicate key|the value NULL)",
            "conflicted with the",
            "String or binary data would be truncated",
            "JSON text is not properly formatted",
            "Error converting data type",
            "Conversion failed when converting",
            "Arithmetic overflow",
            "violates .* constraint",
            "invalid input syntax",
            "value too long",
        ),
    ),
)
BY_WORDS = tuple((re.compile(words), meaning) for meaning, all_words in _WORDS for words in all_words)
