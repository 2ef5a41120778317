"""Answers into the user's own tables: every change once, the newest answer last, and what cannot be written waits."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from derive.contracts import RunFacts
from derive.deadline import Deadline
from derive.deliveries.delivering import ROWS_AT_ONCE, Delivered, deliver, look
from derive.deliveries.targets import TargetUnfit
from derive.derivations.declarations import find_declared
from derive.errors import ConfigurationError
from derive.models import Delivery
from derive.queue import JobQueue
from derive.schedules.deliveries import deliver_due
from derive.schedules.single_flight import TaskOutcome
from tests.contract.derived import ACTOR, MODEL, NAME, World, subject
from tests.contract.facts import a_fact
from tests.contract.scenes import WORKER, success
from tests.contract.test_batches_command import ran

pytestmark = pytest.mark.django_db(transaction=True)
TARGET = """
[derivation.target]
table = "shop.planet"
key = {{ entity_id = "planet" }}
run_id = "run"
retired = "{retired}"
{marked}
[derivation.target.columns]
climate = "fact:climate"
climates = "facts:climate"
summary = "answer:facts.0.value"
"""


def sql(text: str) -> list[tuple[Any, ...]]:
    """Run SQL on a connection of its own: after a DROP the driver forgets what the connection had prepared."""
    other = connection.copy()
    try:
        return here(text, other)
    finally:
        other.close()


def here(text: str, using: BaseDatabaseWrapper | None = None) -> list[tuple[Any, ...]]:
    """Run SQL on the connection that delivers."""
    with (using or connection).cursor() as cursor:
        cursor.execute(text)
        return list(cursor.fetchall()) if cursor.description else []


class Shop(World):
    """A world whose derivation delivers to ``shop.planet``."""

    def target(self, *, retired: str = "mark", column: str | None = "gone", **changes: str) -> None:
        """Declare the target; ``changes`` replace texts of it."""
        marked = f'retired_column = "{column}"' if column and retired == "mark" else ""
        text = TARGET.format(retired=retired, marked=marked)
        for old, new in changes.items():
            text = text.replace(old, new)
        self.declare()
        self.file.write_text(self.file.read_text("utf-8") + text, "utf-8")

    def answer(self, *values: str, names: tuple[str, ...] = ("hoth",)) -> None:
        """Write texts of their own, and let their jobs succeed with a fact for each value."""
        self.texts = getattr(self, "texts", 0) + 1
        self.write(*names, text=f"It is told {self.texts} times of {{name}}.")
        self.apply()
        queue = JobQueue()
        facts = [
            a_fact(fact_key="climate", value=value, fact_index=place, path=f"facts[{place}]")
            for place, value in enumerate(values)
        ]
        for claim in queue.claim(WORKER, max_jobs=1000):
            queue.complete(success(claim, run=RunFacts(model_name=MODEL), facts=facts))
        self.settle()

    def deliver(self, **options: Any) -> Delivered:
        """Deliver."""
        return deliver(find_declared(NAME), JobQueue(), actor=ACTOR, **options)


@pytest.fixture
def shop(queue: JobQueue, tmp_path: Path, settings: Any) -> Iterator[Shop]:
    sql("DROP SCHEMA IF EXISTS shop CASCADE")
    sql("CREATE SCHEMA shop")
    sql(
        "CREATE TABLE shop.planet (planet varchar(20) PRIMARY KEY, climate varchar(40), climates text, summary text,"
        " run uuid, gone timestamptz, price integer)"
    )
    yield Shop(tmp_path, settings)
    # What the driver prepared is forgotten after a rollback too.
    connection.close()
    sql("DROP SCHEMA shop CASCADE")


def rows() -> list[tuple[Any, ...]]:
    return sql("SELECT planet, climate, run::text, gone IS NOT NULL FROM shop.planet ORDER BY planet")


def test_an_answer_is_written_with_its_run_and_once(shop: Shop) -> None:
    shop.target()
    shop.answer("cold")
    done = shop.deliver()
    assert (done.written, done.outbox.waiting, done.problem) == (1, 0, None)
    assert rows() == [("hoth.txt", "cold", str(subject("hoth").run_id), False)]
    assert shop.deliver().written == 0
    assert not Delivery.objects.exists()


def test_the_scheduler_delivers_and_says_why_something_waits(shop: Shop) -> None:
    shop.target()
    assert deliver_due(Deadline(60)).outcome is TaskOutcome.IDLE
    shop.answer("cold")
    result = deliver_due(Deadline(60))
    assert (result.outcome, result.text) == (TaskOutcome.DONE, f"{NAME}: 1 row delivered")
    assert rows() == [("hoth.txt", "cold", str(subject("hoth").run_id), False)]
    shop.answer("warm")
    sql("ALTER TABLE shop.planet RENAME COLUMN climate TO weather")
    result = deliver_due(Deadline(60))
    assert result.outcome is TaskOutcome.FAILED
    assert result.text.startswith(f"{NAME}: 1 change waiting: ")
    assert "climate" in result.text
    sql("ALTER TABLE shop.planet RENAME COLUMN weather TO climate")
    assert deliver_due(Deadline(60)).outcome is TaskOutcome.DONE
    assert rows() == [("hoth.txt", "warm", str(subject("hoth").run_id), False)]


def test_the_scheduler_begins_nothing_when_its_time_is_over(shop: Shop) -> None:
    shop.target()
    shop.answer("cold")
    assert deliver_due(Deadline(0)).outcome is TaskOutcome.IDLE
    assert rows() == []


def test_a_new_answer_replaces_the_old_one_which_stays_until_then(shop: Shop) -> None:
    shop.target()
    shop.answer("cold")
    shop.deliver()
    first = subject("hoth").run_id
    shop.write("hoth", text="Changed.")
    shop.apply()
    assert shop.deliver().written == 0
    assert rows() == [("hoth.txt", "cold", str(first), False)]
    shop.answer("warm")
    assert shop.deliver().written == 1
    assert rows() == [("hoth.txt", "warm", str(subject("hoth").run_id), False)]


def test_a_target_that_is_declared_later_gets_the_answers_there_are(shop: Shop) -> None:
    shop.declare()
    shop.answer("cold", names=("hoth", "naboo"))
    shop.target()
    assert look(find_declared(NAME)).outbox.waiting == 0
    assert shop.deliver().written == 2
    sql("DELETE FROM shop.planet")
    assert (shop.deliver().written, shop.deliver(restart=True).written) == (0, 2)
    assert len(rows()) == 2


def test_a_target_that_is_declared_anew_is_delivered_to_anew(shop: Shop) -> None:
    shop.target()
    shop.answer("cold")
    shop.deliver()
    shop.target(**{'climate = "fact:climate"': 'climate = "facts:climate"'})
    assert shop.deliver().written == 1
    assert rows()[0][1] == '["cold"]'


@pytest.mark.parametrize(
    ("retired", "left", "counted"),
    [
        ("mark", [("hoth.txt", "cold", True), ("naboo.txt", "cold", False)], 1),
        ("remove", [("naboo.txt", "cold", False)], 1),
        ("keep", [("hoth.txt", "cold", False), ("naboo.txt", "cold", False)], 0),
    ],
)
def test_a_subject_that_is_gone_is_marked_removed_or_kept_and_comes_back(
    shop: Shop, retired: str, left: list[Any], counted: int
) -> None:
    shop.target(retired=retired)
    shop.answer("cold", names=("hoth", "naboo"))
    shop.deliver()
    text = (shop.folder / "hoth.txt").read_text("utf-8")
    (shop.folder / "hoth.txt").unlink()
    shop.apply()
    assert shop.deliver().retired == counted
    assert [(planet, climate, gone) for planet, climate, _run, gone in rows()] == left
    (shop.folder / "hoth.txt").write_text(text, "utf-8")
    shop.apply()
    shop.deliver()
    assert [(row[0], row[3]) for row in rows()] == [("hoth.txt", False), ("naboo.txt", False)]


def test_a_boolean_column_is_marked_with_true(shop: Shop) -> None:
    sql("ALTER TABLE shop.planet DROP COLUMN gone, ADD COLUMN gone boolean")
    shop.target()
    shop.answer("cold", names=("hoth", "naboo"))
    shop.deliver()
    (shop.folder / "hoth.txt").unlink()
    shop.apply()
    shop.deliver()
    assert sql("SELECT planet, gone FROM shop.planet ORDER BY planet") == [("hoth.txt", True), ("naboo.txt", False)]


def test_two_deliveries_at_once_write_each_row_once(shop: Shop) -> None:
    """A table without a trigger would not tell: this one counts every write."""
    sql("CREATE TABLE shop.written (planet text, run uuid)")
    sql(
        "CREATE FUNCTION shop.note() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN INSERT INTO shop.written VALUES (NEW.planet, NEW.run); RETURN NEW; END$$"
    )
    sql("CREATE TRIGGER note AFTER INSERT OR UPDATE ON shop.planet FOR EACH ROW EXECUTE FUNCTION shop.note()")
    shop.target()
    shop.answer("cold", names=tuple(f"p{number}" for number in range(30)))
    told: list[Delivered] = []

    def run() -> None:
        try:
            told.append(shop.deliver())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shop.deliver().outbox.waiting == 0
    assert len(rows()) == 30
    assert sql("SELECT count(*), count(DISTINCT (planet, run)) FROM shop.written") == [(30, 30)]


def test_who_comes_while_another_delivers_is_told_so_and_writes_nothing(shop: Shop) -> None:
    shop.target()
    shop.answer("cold")
    queue = JobQueue()
    told: list[Delivered] = []

    def meanwhile(_due: object) -> None:
        def run() -> None:
            try:
                told.append(shop.deliver())
            finally:
                connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        raise TargetUnfit("and this one is rolled back")

    queue.declare_derivation(NAME, find_declared(NAME).usable(), declared_in="file", actor=ACTOR)
    while not queue.fill_deliveries(NAME, max_rows=10).is_done:
        pass
    with pytest.raises(TargetUnfit):
        queue.take_deliveries(NAME, max_rows=10, write=meanwhile)
    assert told[0].problem is not None
    assert "already" in told[0].problem
    assert rows() == []
    assert shop.deliver().written == 1


def test_a_kill_between_writing_and_committing_loses_and_doubles_nothing(shop: Shop) -> None:
    shop.target()
    shop.answer("cold")
    queue = JobQueue()

    class Killed(BaseException):
        """What ends a process in the middle."""

    def write_and_die(_due: object) -> None:
        here("INSERT INTO shop.planet (planet) VALUES ('hoth.txt')")
        raise Killed

    queue.fill_deliveries(NAME, max_rows=10)
    with pytest.raises(Killed):
        queue.take_deliveries(NAME, max_rows=10, write=write_and_die)
    assert rows() == []
    assert Delivery.objects.count() >= 1
    assert shop.deliver().written == 1
    assert [row[1] for row in rows()] == ["cold"]


def test_an_answer_that_comes_while_rows_are_written_is_delivered_next(shop: Shop) -> None:
    """Taking reads the subject after the rows of the outbox, and a later change has a row of its own."""
    shop.target()
    shop.answer("cold")
    shop.deliver()
    shop.answer("warm")
    queue = JobQueue()

    def answered_meanwhile(due: Any) -> None:
        assert [one.run_id for one in due] == [subject("hoth").run_id]

        def run() -> None:
            try:
                shop.answer("hot")
            finally:
                connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    queue.take_deliveries(NAME, max_rows=10, write=answered_meanwhile)
    assert shop.deliver().written == 1
    assert rows()[0][1] == "hot"


def test_a_review_is_delivered_and_a_corrected_value_takes_the_place_of_the_answers(shop: Shop) -> None:
    from derive.models import Fact
    from derive.states import ReviewDecision
    from tests.contract.test_reviewing import decide

    shop.target()
    shop.answer("cold")
    shop.deliver()
    decide(
        JobQueue(),
        Fact.objects.get().fact_id,
        ReviewDecision.CORRECTED,
        corrected_value="frozen",
        corrected_value_key="f",
    )
    shop.settle()
    assert shop.deliver().written == 1
    assert rows()[0][1] == "frozen"


def test_of_several_values_the_most_confident_is_written_and_a_list_has_them_all(shop: Shop) -> None:
    shop.target()
    shop.write("hoth")
    shop.apply()
    queue = JobQueue()
    (claim,) = queue.claim(WORKER)
    facts = [
        a_fact(0, fact_key="climate", value="cold", value_key="same", confidence=40),
        a_fact(1, fact_key="climate", value="Cold", value_key="same", confidence=90),
        a_fact(2, fact_key="other", value="x", confidence=99),
    ]
    queue.complete(success(claim, run=RunFacts(model_name=MODEL), facts=facts))
    shop.settle()
    shop.deliver()
    assert sql("SELECT climate, climates FROM shop.planet") == [("Cold", '["Cold", "cold"]')]


def test_a_fact_that_another_answer_contradicts_is_withdrawn_from_the_table(shop: Shop) -> None:
    """It is not admitted any more, though its own subject did not change."""
    from tests.contract.facts import told

    shop.target()
    shop.answer("cold")
    shop.deliver()
    assert rows()[0][1] == "cold"
    other = {"entity_type": "planet", "entity_id": "hoth.txt", "interrogation_key": "another_v1"}
    told(JobQueue(), a_fact(fact_key="climate", value="hot"), **other)
    shop.settle()
    assert shop.deliver().written == 1
    assert rows()[0][1] is None


@pytest.mark.parametrize(
    "value", ["'; DROP TABLE shop.planet; --", "%s %(x)s {y}", 'back\\slash "quote"', "é\U0001f600"]
)
def test_hostile_values_are_values(shop: Shop, value: str) -> None:
    shop.target()
    shop.answer(value)
    assert shop.deliver().written == 1
    assert rows()[0][1] == value


def test_a_value_that_does_not_fit_sets_its_own_row_aside_until_there_is_another(shop: Shop) -> None:
    shop.target()
    shop.answer("cold", names=("hoth", "naboo", "endor"))
    shop.write("hoth", text="Changed.")
    shop.answer("x" * 41, names=("hoth",))
    done = shop.deliver()
    assert (done.written, done.outbox.refused, done.problem) == (2, 1, None)
    (refusal,) = done.outbox.refusals
    assert (refusal.entity_id, "xxx" in refusal.why) == ("hoth.txt", False)
    assert [row[0] for row in rows()] == ["endor.txt", "naboo.txt"]
    assert shop.deliver().written == 0
    shop.answer("warm")
    done = shop.deliver()
    assert (done.written, done.outbox.refused) == (1, 0)
    assert [row[1] for row in rows()] == ["cold", "warm", "cold"]


def test_columns_that_fit_no_row_stop_the_delivery_early(shop: Shop) -> None:
    shop.target(**{'climate = "fact:climate"': 'price = "fact:climate"'})
    shop.answer("cold", names=tuple(f"p{number}" for number in range(60)))
    done = shop.deliver()
    assert (done.written, done.outbox.refused) == (0, 20)
    assert done.problem is not None
    assert "20 rows" in done.problem
    assert done.outbox.waiting == 40


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP TABLE shop.planet", "there is no table shop.planet"),
        ("ALTER TABLE shop.planet DROP COLUMN climates", "has no column climates"),
        ("ALTER TABLE shop.planet DROP CONSTRAINT planet_pkey", "no unique key of planet"),
        ("DROP TABLE shop.planet; CREATE VIEW shop.planet AS SELECT 1 AS planet", "is no table"),
        (
            "ALTER TABLE shop.planet DROP CONSTRAINT planet_pkey; CREATE UNIQUE INDEX ON shop.planet (planet, run)",
            "no unique key of planet",
        ),
        (
            "ALTER TABLE shop.planet DROP COLUMN climate, ADD COLUMN climate text GENERATED ALWAYS AS ('x') STORED",
            "fills climate",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_told_and_its_changes_wait(shop: Shop, change: str, said: str) -> None:
    shop.target()
    shop.answer("cold")
    sql(change)
    for done in (shop.deliver(), look(find_declared(NAME))):
        assert done.problem is not None
        assert said in done.problem
    assert shop.deliver().outbox.waiting >= 1


def test_a_locked_table_keeps_its_changes_waiting(shop: Shop) -> None:
    shop.target()
    shop.answer("cold")
    other = connections["default"].copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE shop.planet IN ACCESS EXCLUSIVE MODE")
        done = shop.deliver(lock_ms=50)
        assert done.problem is not None
        assert "locked" in done.problem
        assert done.outbox.waiting >= 1
        other.rollback()
    finally:
        other.close()
    assert shop.deliver().written == 1


def test_a_login_without_rights_is_told_what_to_grant(shop: Shop) -> None:
    from derive.deliveries.targets import look_at

    shop.target()
    target = find_declared(NAME).usable().target
    assert target is not None
    name = f"poor_{connection.settings_dict['NAME']}"[:60]
    sql(f'CREATE ROLE "{name}" NOLOGIN')
    sql(f'GRANT USAGE ON SCHEMA shop TO "{name}"; GRANT SELECT ON shop.planet TO "{name}"')
    try:
        here(f'SET ROLE "{name}"')
        with pytest.raises(TargetUnfit, match="grant it SELECT, INSERT, UPDATE"):
            look_at(target)
    finally:
        here("RESET ROLE")
        sql(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')


def test_subjects_of_several_types_need_a_type_in_the_key(shop: Shop) -> None:
    shop.target()
    shop.answer("cold")
    sql(
        "INSERT INTO llm.subject (derivation_seq, entity_type, entity_id, state) "
        "SELECT derivation_seq, 'moon', 'hoth.txt', 'MISSING' FROM llm.derivation"
    )
    done = shop.deliver()
    assert done.problem is not None
    assert "several types" in done.problem


def test_a_limit_leaves_the_rest_waiting_and_the_next_call_goes_on(shop: Shop) -> None:
    shop.target()
    shop.answer("cold", names=("a", "b", "c", "d", "e"))
    done = shop.deliver(max_rows=2)
    assert (done.written, done.outbox.waiting > 0) == (2, True)
    assert shop.deliver().outbox.waiting == 0
    assert len(rows()) == 5


def test_many_rows_are_written_in_bounded_transactions(shop: Shop) -> None:
    shop.target()
    shop.answer("cold", names=("hoth",))
    amount = 3 * ROWS_AT_ONCE
    sql(
        "INSERT INTO llm.subject (derivation_seq, entity_type, entity_id, state, job_id, answer_job_id, run_id) "
        "SELECT derivation_seq, entity_type, 'n' || n, state, NULL, answer_job_id, run_id "
        f"FROM llm.subject, generate_series(1, {amount}) AS n"
    )
    sql("CREATE TABLE shop.steps (id xid8 PRIMARY KEY, amount integer)")
    sql(
        "CREATE FUNCTION shop.note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO shop.steps AS s "
        "VALUES (pg_current_xact_id(), 1) ON CONFLICT (id) DO UPDATE SET amount = s.amount + 1; RETURN NEW; END$$"
    )
    sql("CREATE TRIGGER note AFTER INSERT OR UPDATE ON shop.planet FOR EACH ROW EXECUTE FUNCTION shop.note()")
    shop.deliver(restart=True)
    assert len(rows()) == amount + 1
    ((most, steps),) = sql("SELECT max(amount), count(*) FROM shop.steps")
    assert most <= ROWS_AT_ONCE
    assert steps >= 3


def test_a_derivation_without_a_target_has_nothing_queued(shop: Shop) -> None:
    shop.declare()
    shop.answer("cold")
    assert not Delivery.objects.exists()
    with pytest.raises(ConfigurationError, match="declares no target"):
        shop.deliver()


def test_only_the_file_says_which_tables_are_written(shop: Shop) -> None:
    """Who may edit a derivation in the admin could otherwise have any table written that this login may write."""
    shop.target()
    shop.answer("cold")
    shop.deliver()
    shop.file.write_text(
        '[[source]]\nname = "texts"\nkind = "files"\nentity_type = "planet"\nfolder = "texts"\n', "utf-8"
    )
    sql("UPDATE llm.derivation SET declared_in = 'admin'")
    assert find_declared(NAME).usable().target is None
    with pytest.raises(ConfigurationError, match="declares no target"):
        shop.deliver()


def ran_json(*arguments: str) -> tuple[int, Any]:
    code, out, _err = ran(*arguments, "--json")
    return code, json.loads(out)


def test_the_command_tells_what_it_delivered_and_what_waits(shop: Shop) -> None:
    shop.target()
    shop.answer("cold")
    code, told = ran_json("deliver", "--dry-run")
    assert (code, told["deliveries"][0]["waiting"], rows()) == (1, 1, [])
    code, told = ran_json("derive", "status", NAME)
    assert (code, told["target"]["table"], told["target"]["waiting"]) == (0, "shop.planet", 1)
    code, told = ran_json("deliver")
    assert (code, told["deliveries"][0]["written"], told["deliveries"][0]["waiting"]) == (0, 1, 0)
    code, out, _err = ran("deliver", NAME, "--all")
    assert (code, out.strip()) == (0, f"{NAME} to shop.planet: 1 written, 0 retired, 0 waiting, 0 refused")
    assert "target shop.planet: 0 changes waiting, 0 refused" in ran("derive", "status", NAME)[1]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nobody",), "there is no derivation"),
        (("--all",), "--all needs KEY"),
        ((NAME,), "declares no target"),
    ],
)
def test_the_command_ends_with_2_and_the_reason_if_it_cannot_deliver(
    shop: Shop, arguments: tuple[str, ...], why: str
) -> None:
    shop.declare()
    code, out, err = ran("deliver", *arguments)
    assert (code, out) == (2, "")
    assert why in err
