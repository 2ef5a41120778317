"""What people decide about facts: kept for ever, followed at once by the fact, refused where another was first."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from derive.contracts import Claim, FactDecision, JudgedFact, Reviewed
from derive.errors import BadArgument
from derive.models import Fact, FactReview, JobEvent, ReviewPolicy
from derive.queue import JobQueue
from derive.sql import procedures
from derive.states import JobStatus, ReviewDecision, ReviewStatus, Verdict
from tests.contract.facts import a_fact, told
from tests.contract.facts import facts_of as facts_of_claim
from tests.contract.scenes import ACTOR, KEY, at_once, said

ANN, BEN, CAT = "ann", "ben", "cat"
DOUBTED = Verdict.NOT_ENOUGH_INFO
PLACE: dict[str, Any] = {"evidence_id": "e1", "quote": "in 19 BBY", "quote_start": 3, "quote_end": 12}


def doubted(fact_index: int = 0, **values: Any) -> JudgedFact:
    return a_fact(fact_index, verdict=DOUBTED, **values)


def the_fact(queue: JobQueue, *facts: JudgedFact, **job: Any) -> Any:
    return facts_of_claim(told(queue, *(facts or (doubted(),)), **job))[0]


def decide(
    queue: JobQueue, fact_id: UUID, decision: ReviewDecision, *, by: str = ANN, reason: str | None = None, **values: Any
) -> Reviewed:
    (answer,) = queue.review_facts(
        [FactDecision(decision=decision, fact_id=fact_id, **values)], actor=by, reason=reason
    )
    return answer


def now(fact: Any) -> Any:
    return Fact.objects.get(fact_id=fact.fact_id)


def admitted(fact_id: UUID) -> str | None:
    """The value with which a fact is admitted, or None."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT v.value FROM llm.v_admitted_fact AS v WHERE v.fact_id = %s", [str(fact_id)])
        row = cursor.fetchone()
    return None if row is None else str(row[0])


def next_of(queue: JobQueue, who: str) -> UUID | None:
    claims = queue.claim_facts(actor=who)
    return claims[0].fact_id if claims else None


def let_claims_expire() -> None:
    for fact in Fact.objects.exclude(review_claim_expires_utc=None):
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE llm.fact SET review_claim_expires_utc = '2020-01-01' WHERE fact_id = %s", [str(fact.fact_id)]
            )


@pytest.mark.parametrize(
    ("decision", "values", "stands_as"),
    [
        (ReviewDecision.ACCEPTED, {}, "19 BBY"),
        (ReviewDecision.REJECTED, {}, None),
        (ReviewDecision.CORRECTED, {"corrected_value": "20 BBY", "corrected_value_key": "20 bby"}, "20 BBY"),
        (ReviewDecision.CORRECTED, PLACE, "19 BBY"),
    ],
    ids=["accepted", "rejected", "corrected_value", "corrected_place"],
)
def test_a_decision_is_kept_and_the_fact_follows_it(
    queue: JobQueue, decision: ReviewDecision, values: dict[str, Any], stands_as: str | None
) -> None:
    fact = the_fact(queue)
    assert admitted(fact.fact_id) is None
    answer = decide(queue, fact.fact_id, decision, reason="seen in the archive", **values)
    assert answer == Reviewed(
        fact_id=fact.fact_id,
        changed=True,
        from_status=ReviewStatus.OPEN,
        to_status=ReviewStatus(decision.value),
        why=None,
    )
    after = now(fact)
    assert (after.review_status, after.reviewed_by, after.review_priority) == (decision.value, ANN, None)
    assert admitted(fact.fact_id) == stands_as
    (review,) = FactReview.objects.all()
    assert (review.decision, review.actor, review.reason) == (decision.value, ANN, "seen in the archive")
    assert (review.from_status, review.to_status, review.because) == ("OPEN", decision.value, "verdict")
    assert (review.value, review.proof, review.fact_key) == (fact.value, fact.proof, fact.fact_key)
    event = JobEvent.objects.filter(job_id=fact.job_id).latest("event_seq")
    assert (event.event, event.actor, event.reason) == ("fact_reviewed", ANN, "seen in the archive")
    assert (event.from_status, event.to_status) == (JobStatus.SUCCEEDED, JobStatus.SUCCEEDED)
    assert json.loads(event.detail_json) == {
        "fact_id": str(fact.fact_id),
        "fact_index": 0,
        "decision": decision.value,
        "from": "OPEN",
        "to": decision.value,
        "review_seq": review.review_seq,
    }
    assert event.at_utc == review.at_utc == after.reviewed_utc


def test_a_corrected_place_is_shown_by_the_view_and_the_answers_own_quote_stays(queue: JobQueue) -> None:
    fact = the_fact(queue, doubted(quote="in the year", quote_start=40, quote_end=51))
    decide(queue, fact.fact_id, ReviewDecision.CORRECTED, **PLACE)
    assert (now(fact).quote, now(fact).quote_start) == ("in the year", 40)
    with connection.cursor() as cursor:
        cursor.execute("SELECT v.evidence_id, v.quote, v.quote_start, v.quote_end FROM llm.v_admitted_fact AS v")
        assert cursor.fetchall() == [tuple(PLACE.values())]


def test_a_decision_taken_back_leaves_the_fact_as_it_was(queue: JobQueue) -> None:
    fact = the_fact(queue)
    for decision, values in (
        (ReviewDecision.ACCEPTED, {}),
        (ReviewDecision.REJECTED, {}),
        (ReviewDecision.CORRECTED, {"corrected_value": "20 BBY", "corrected_value_key": "20 bby", **PLACE}),
    ):
        decide(queue, fact.fact_id, decision, **values)
        answer = decide(queue, fact.fact_id, ReviewDecision.NONE)
        assert (answer.changed, answer.to_status) == (True, ReviewStatus.OPEN)
        for name in (
            *("review_status", "review_priority", "reviewed_by", "value_key", "corrected_value"),
            *("corrected_quote", "corrected_evidence_id", "review_round"),
        ):
            assert getattr(now(fact), name) == getattr(fact, name), name
    assert not decide(queue, fact.fact_id, ReviewDecision.NONE).changed
    assert FactReview.objects.count() == 6


def test_a_fact_that_somebody_decided_is_not_decided_again_without_a_reason(queue: JobQueue) -> None:
    fact = the_fact(queue)
    decide(queue, fact.fact_id, ReviewDecision.ACCEPTED)
    assert decide(queue, fact.fact_id, ReviewDecision.ACCEPTED).why == "you have decided so already"
    refused = decide(queue, fact.fact_id, ReviewDecision.REJECTED, by=BEN)
    assert (refused.changed, refused.to_status) == (False, ReviewStatus.ACCEPTED)
    assert refused.why == "it is ACCEPTED already, by ann; to decide anew give a reason"
    assert decide(queue, fact.fact_id, ReviewDecision.NONE, by=BEN).why == "you have decided nothing about it"
    assert decide(queue, fact.fact_id, ReviewDecision.REJECTED, by=BEN, reason="the archive says no").changed
    assert now(fact).review_status == ReviewStatus.REJECTED
    # Who changes their mind needs none.
    assert decide(queue, fact.fact_id, ReviewDecision.ACCEPTED, by=BEN).changed


def test_of_two_who_decide_one_fact_at_once_one_is_told_of_the_other(queue: JobQueue) -> None:
    for _ in range(6):
        fact = the_fact(queue, evidence=uuid4().hex * 2)
        answers = at_once(
            partial(decide, queue, fact.fact_id, ReviewDecision.ACCEPTED, by=ANN),
            partial(decide, queue, fact.fact_id, ReviewDecision.REJECTED, by=BEN),
        )
        (winner,) = [answer for answer in answers if answer.changed]
        (loser,) = [answer for answer in answers if not answer.changed]
        assert now(fact).review_status == winner.to_status == loser.to_status
        assert f"it is {winner.to_status} already, by {now(fact).reviewed_by}" in str(loser.why)
        assert FactReview.objects.filter(fact_id=fact.fact_id).count() == 1


def test_what_is_not_there_or_malformed_is_refused(queue: JobQueue) -> None:
    assert "purged" in (decide(queue, uuid4(), ReviewDecision.ACCEPTED).why or "")
    fact = the_fact(queue)
    malformed: list[Any] = [
        {},
        [],
        [{}],
        [{"fact_id": str(fact.fact_id)}],
        [{"fact_id": str(fact.fact_id), "decision": "MAYBE"}],
        [{"fact_id": "x", "decision": "ACCEPTED"}],
        [{"decision": "ACCEPTED"}],
        [{"fact_id": str(fact.fact_id), "decision": "CORRECTED"}],
        [{"fact_id": str(fact.fact_id), "decision": "CORRECTED", "evidence_id": "e1"}],
        [{"fact_id": str(fact.fact_id), "decision": "CORRECTED", **PLACE, "quote_end": 3}],
        [{"fact_id": str(fact.fact_id), "decision": "CORRECTED", **PLACE, "quote": ""}],
        [{"fact_id": str(fact.fact_id), "decision": "CORRECTED", **PLACE, "quote_start": "here"}],
        [{"decision": "ADDED", "run_id": str(fact.run_id), "fact_key": "k", **PLACE}],
        [{"fact_id": str(fact.fact_id), "decision": "ACCEPTED"}] * 101,
    ]
    for bad in malformed:
        with pytest.raises(BadArgument, match="decisions_json is malformed") as refused:
            said(procedures.REVIEW_FACTS, decisions_json=json.dumps(bad), actor=ACTOR)
        assert refused.value.number == 51
    assert not FactReview.objects.exists()


def test_a_value_that_no_database_could_keep_is_refused_before_it_gets_there() -> None:
    for value in ("\ud800", "nul \x00"):
        with pytest.raises(ValueError, match=r"surrogate|unicode|U\+0000"):
            FactDecision(decision=ReviewDecision.CORRECTED, fact_id=uuid4(), corrected_value=value)


def test_any_text_comes_back_as_it_was_given(queue: JobQueue) -> None:
    text = "\"><script>alert(1)</script>\u202e🚀\n\\ '; DROP TABLE llm.fact; --"
    fact = the_fact(queue)
    decide(
        queue,
        fact.fact_id,
        ReviewDecision.CORRECTED,
        corrected_value=text,
        corrected_value_key="k",
        **{**PLACE, "quote": text},
    )
    assert (now(fact).corrected_value, now(fact).corrected_quote) == (text, text)
    assert admitted(fact.fact_id) == text


def test_a_correction_that_agrees_ends_a_conflict_and_one_that_disagrees_makes_one(queue: JobQueue) -> None:
    first = the_fact(queue, a_fact(value="19 BBY"))
    other = the_fact(queue, a_fact(value="19 BBY"), evidence="cd" * 32)
    assert admitted(first.fact_id) == admitted(other.fact_id) == "19 BBY"
    decide(queue, first.fact_id, ReviewDecision.CORRECTED, corrected_value="41 BBY", corrected_value_key="41 bby")
    assert now(other).conflict_id == now(first).conflict_id is not None
    assert (admitted(first.fact_id), admitted(other.fact_id)) == ("41 BBY", None)
    assert now(other).review_priority == other.review_priority or now(other).review_priority is not None
    decide(queue, other.fact_id, ReviewDecision.CORRECTED, corrected_value="41 BBY", corrected_value_key="41 bby")
    assert admitted(other.fact_id) == "41 BBY"


def test_facts_in_conflict_come_to_review(queue: JobQueue) -> None:
    queue.set_review_policy(KEY, actor=ACTOR, sample_percent=Decimal(0))
    first = the_fact(queue, a_fact(value="19 BBY"))
    assert now(first).review_priority is None
    other = the_fact(queue, a_fact(value="41 BBY"), evidence="cd" * 32)
    assert {next_of(queue, ANN), next_of(queue, ANN)} == {first.fact_id, other.fact_id}
    let_claims_expire()
    decide(queue, first.fact_id, ReviewDecision.ACCEPTED)
    assert FactReview.objects.get().because == "conflict"
    assert (admitted(first.fact_id), admitted(other.fact_id)) == ("19 BBY", None)


def test_the_next_fact_is_the_oldest_of_the_highest_priority(queue: JobQueue) -> None:
    low = the_fact(queue, doubted(), doubted(1, fact_key="home"), priority=5)
    high = the_fact(queue, doubted(fact_key="x"), priority=50, entity_id="leia")
    older = [fact.fact_id for fact in Fact.objects.filter(run_id=low.run_id).order_by("fact_index")]
    assert [next_of(queue, ANN) for _ in range(4)] == [high.fact_id, *older, None]
    let_claims_expire()
    assert [claim.fact_id for claim in queue.claim_facts(actor=BEN, max_facts=2)] == [high.fact_id, older[0]]


def test_no_fact_goes_to_two_people_at_once(queue: JobQueue) -> None:
    told(queue, *(doubted(n, fact_key=f"key-{n}") for n in range(60)))

    def work(who: str) -> list[UUID]:
        return [claim.fact_id for _ in range(4) for claim in JobQueue().claim_facts(actor=who, max_facts=3)]

    answers = at_once(*(partial(work, f"reviewer-{n}") for n in range(5)))
    taken = Counter(fact_id for facts in answers for fact_id in facts)
    assert max(taken.values()) == 1
    # Who finds a fact locked passes over it: some may get fewer, and what is left goes to the next.
    rest = [claim.fact_id for claim in queue.claim_facts(actor="last", max_facts=100)]
    assert not taken.keys() & set(rest)
    assert len(taken) + len(rest) == 60


def test_a_claim_holds_until_it_expires_by_the_databases_clock(queue: JobQueue) -> None:
    fact = the_fact(queue)
    assert next_of(queue, ANN) == fact.fact_id
    assert next_of(queue, BEN) is None
    assert decide(queue, fact.fact_id, ReviewDecision.ACCEPTED, by=BEN).why == "ann is reviewing it"
    held = queue.claim_fact(fact.fact_id, actor=BEN)
    assert held is not None
    assert held.claimed_by == ANN
    let_claims_expire()
    assert next_of(queue, BEN) == fact.fact_id
    held = queue.claim_fact(fact.fact_id, actor=ANN)
    assert held is not None
    assert held.claimed_by == BEN
    # The expired claim's owner came too late, and is told so.
    assert decide(queue, fact.fact_id, ReviewDecision.ACCEPTED, by=ANN).why == "ben is reviewing it"
    assert decide(queue, fact.fact_id, ReviewDecision.REJECTED, by=BEN).changed
    assert queue.claim_fact(uuid4(), actor=ANN) is None


def test_who_is_not_sure_leaves_the_fact_to_somebody_else(queue: JobQueue) -> None:
    fact = the_fact(queue)
    answer = decide(queue, fact.fact_id, ReviewDecision.NOT_SURE)
    assert (answer.changed, answer.to_status) == (True, ReviewStatus.OPEN)
    assert next_of(queue, ANN) is None
    assert next_of(queue, BEN) == fact.fact_id
    assert decide(queue, fact.fact_id, ReviewDecision.ACCEPTED, by=BEN).to_status == ReviewStatus.ACCEPTED


def two_reviewers(queue: JobQueue) -> None:
    assert queue.set_review_policy(KEY, actor=ACTOR, reviewers=2, sample_percent=Decimal(0))


def test_with_two_reviewers_two_that_agree_decide(queue: JobQueue) -> None:
    two_reviewers(queue)
    fact = the_fact(queue)
    first = decide(queue, fact.fact_id, ReviewDecision.ACCEPTED)
    assert (first.changed, first.to_status) == (True, ReviewStatus.OPEN)
    assert admitted(fact.fact_id) is None
    assert next_of(queue, ANN) is None
    assert next_of(queue, BEN) == fact.fact_id
    assert decide(queue, fact.fact_id, ReviewDecision.ACCEPTED, by=BEN).to_status == ReviewStatus.ACCEPTED
    assert admitted(fact.fact_id) == "19 BBY"
    # One of the two takes it back: it waits again for another opinion.
    assert decide(queue, fact.fact_id, ReviewDecision.NONE, by=BEN).to_status == ReviewStatus.OPEN
    assert next_of(queue, CAT) == fact.fact_id


def test_where_two_reviewers_disagree_the_third_decides(queue: JobQueue) -> None:
    two_reviewers(queue)
    fact = the_fact(queue)
    decide(queue, fact.fact_id, ReviewDecision.ACCEPTED)
    assert decide(queue, fact.fact_id, ReviewDecision.REJECTED, by=BEN).to_status == ReviewStatus.OPEN
    assert next_of(queue, ANN) is next_of(queue, BEN) is None
    assert next_of(queue, CAT) == fact.fact_id
    assert decide(queue, fact.fact_id, ReviewDecision.REJECTED, by=CAT).to_status == ReviewStatus.REJECTED


def test_two_corrections_agree_when_their_values_do(queue: JobQueue) -> None:
    two_reviewers(queue)
    one, other = (the_fact(queue, doubted(fact_key=key), evidence=key * 64) for key in "ab")
    for fact, second in ((one, "1000"), (other, "1001")):
        decide(queue, fact.fact_id, ReviewDecision.CORRECTED, corrected_value="1,000", corrected_value_key="1000")
        decide(
            queue,
            fact.fact_id,
            ReviewDecision.CORRECTED,
            by=BEN,
            corrected_value=second,
            corrected_value_key=second,
        )
    assert (now(one).review_status, now(one).corrected_value) == (ReviewStatus.CORRECTED, "1000")
    assert now(other).review_status == ReviewStatus.OPEN


def test_with_two_reviewers_one_doubt_takes_an_admitted_fact_out_meanwhile(queue: JobQueue) -> None:
    two_reviewers(queue)
    liked, doubted_one = (the_fact(queue, a_fact(fact_key=key), evidence=key * 64) for key in "ab")
    assert decide(queue, liked.fact_id, ReviewDecision.ACCEPTED).to_status == ReviewStatus.NONE
    assert decide(queue, doubted_one.fact_id, ReviewDecision.REJECTED).to_status == ReviewStatus.OPEN
    assert (admitted(liked.fact_id), admitted(doubted_one.fact_id)) == ("19 BBY", None)


def test_the_share_of_admitted_facts_that_are_reviewed_is_what_the_policy_says(queue: JobQueue) -> None:
    facts = [a_fact(n, fact_key=f"key-{n}") for n in range(2_000)]
    shares = {}
    for percent in (0, 10, 100):
        queue.set_review_policy(KEY, actor=ACTOR, sample_percent=Decimal(percent))
        claim = told(queue, *facts, evidence=f"{percent:064x}")
        shares[percent] = Fact.objects.filter(run_id=claim.run_id, review_priority__isnull=False).count()
    assert (shares[0], shares[100]) == (0, 2_000)
    # 2,000 draws of a tenth: six standard deviations are 80.
    assert 120 <= shares[10] <= 280
    assert not Fact.objects.exclude(review_status="NONE").exists()


def test_a_sampled_fact_is_admitted_until_somebody_doubts_it(queue: JobQueue) -> None:
    queue.set_review_policy(KEY, actor=ACTOR, sample_percent=Decimal(100))
    fact = the_fact(queue, a_fact())
    assert next_of(queue, ANN) == fact.fact_id
    assert admitted(fact.fact_id) == "19 BBY"
    decide(queue, fact.fact_id, ReviewDecision.REJECTED)
    assert FactReview.objects.get().because == "sample"
    assert admitted(fact.fact_id) is None
    assert decide(queue, fact.fact_id, ReviewDecision.NONE).to_status == ReviewStatus.NONE
    assert admitted(fact.fact_id) == "19 BBY"


def test_a_policy_keeps_those_before_it_and_bad_ones_are_refused(queue: JobQueue) -> None:
    assert not queue.set_review_policy(KEY, actor=ACTOR, sample_percent=Decimal(2), reviewers=1)
    assert queue.set_review_policy(KEY, actor=ACTOR, sample_percent=Decimal("12.5"), reason="a new model")
    assert queue.set_review_policy(KEY, actor=BEN, reviewers=2)
    assert not queue.set_review_policy(KEY, actor=BEN, reviewers=2)
    rows = ReviewPolicy.objects.order_by("policy_seq").values_list("sample_percent", "reviewers", "changed_by")
    assert list(rows) == [(Decimal("12.50"), 1, ACTOR), (Decimal("12.50"), 2, BEN)]
    refused_ones: list[dict[str, Any]] = [
        {"sample_percent": Decimal(-1)},
        {"sample_percent": Decimal("100.5")},
        {"reviewers": 3},
    ]
    for bad in refused_ones:
        with pytest.raises(BadArgument) as refused:
            queue.set_review_policy(KEY, actor=ACTOR, **bad)
        assert refused.value.number == 52


def added(queue: JobQueue, claim: Claim, **values: Any) -> Reviewed:
    named: dict[str, Any] = {"fact_key": "home", "value": "Tatooine", "value_key": "tatooine", **PLACE, **values}
    decision = FactDecision(decision=ReviewDecision.ADDED, run_id=claim.run_id, **named)
    (answer,) = queue.review_facts([decision], actor=ANN)
    return answer


def test_a_fact_that_the_answer_lacks_is_added_by_a_person(queue: JobQueue) -> None:
    claim = told(queue, a_fact())
    answer = added(queue, claim)
    assert (answer.changed, answer.to_status) == (True, ReviewStatus.ACCEPTED)
    assert answer.fact_id is not None
    fact = Fact.objects.get(fact_id=answer.fact_id)
    assert (fact.proof, fact.reviewed_by, fact.fact_index, fact.is_current) == ("person", ANN, 1_000_000, True)
    assert (fact.entity_id, fact.quote, fact.evidence_id) == ("luke", PLACE["quote"], "e1")
    assert admitted(fact.fact_id) == "Tatooine"
    assert added(queue, claim).why == "this fact was added already, by ann"
    assert added(queue, claim, fact_key="eyes", value="blue", value_key="blue").changed
    assert decide(queue, fact.fact_id, ReviewDecision.NONE).to_status == ReviewStatus.REJECTED
    assert admitted(fact.fact_id) is None
    assert added(queue, claim).changed


def test_nothing_is_added_to_an_answer_that_is_gone(queue: JobQueue) -> None:
    claim = told(queue, a_fact())
    assert not added(queue, claim.model_copy(update={"run_id": uuid4()})).changed


def test_a_rebuild_keeps_decisions_and_added_facts(queue: JobQueue) -> None:
    facts = (doubted(), doubted(1, fact_key="home"), a_fact(2, fact_key="eyes"))
    claim = told(queue, *facts)
    open_one, corrected, _ = facts_of_claim(claim)
    decide(queue, corrected.fact_id, ReviewDecision.CORRECTED, corrected_value="x", corrected_value_key="x", **PLACE)
    added(queue, claim, fact_key="name")
    before = list(Fact.objects.order_by("fact_seq").values())
    queue.rebuild_facts(claim.run_id, facts, actor=ACTOR)
    assert list(Fact.objects.order_by("fact_seq").values()) == before
    # Judged again, and no longer doubted: it leaves the queue, and comes back when it is doubted again.
    queue.set_review_policy(KEY, actor=ACTOR, sample_percent=Decimal(0))
    queue.rebuild_facts(claim.run_id, (a_fact(), *facts[1:]), actor=ACTOR)
    assert (now(open_one).review_status, now(open_one).review_priority) == ("NONE", None)
    queue.rebuild_facts(claim.run_id, facts, actor=ACTOR)
    assert now(open_one).review_priority == open_one.review_priority
    assert now(corrected).corrected_value == "x"


def test_a_purge_takes_the_reviews_with_their_facts(queue: JobQueue) -> None:
    gone, kept = the_fact(queue), the_fact(queue, entity_id="leia")
    for fact in (gone, kept):
        decide(queue, fact.fact_id, ReviewDecision.ACCEPTED)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE llm.job SET hold_utc = '2020-01-01' WHERE job_id = %s", [str(kept.job_id)])
    queue.roll_up_hours()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    queue.purge(finished_before_utc=tomorrow, statuses=[JobStatus.SUCCEEDED], actor=ACTOR)
    assert [review.fact_id for review in FactReview.objects.all()] == [kept.fact_id]
    assert "purged" in (decide(queue, gone.fact_id, ReviewDecision.REJECTED, by=BEN).why or "")


def test_a_superseded_fact_waits_for_nobody(queue: JobQueue) -> None:
    older = the_fact(queue)
    newer = the_fact(queue)
    assert [next_of(queue, ANN), next_of(queue, ANN)] == [newer.fact_id, None]
    assert decide(queue, older.fact_id, ReviewDecision.ACCEPTED, by=BEN).changed
