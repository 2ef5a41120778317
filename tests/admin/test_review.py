"""The review page: one fact at a time, decided by whoever may; nothing that is entered can break it."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from pytest_django.fixtures import Settings

from derive.lake import Lake
from derive.models import Fact, FactReview
from derive.queue import JobQueue
from derive.states import Verdict
from tests.admin.facts_scene import QUOTES, TEXT, a_fact, review_only_doubted_facts, three_facts, told

PAGE = "/admin/derive/factreview/"
HOSTILE = '"><script>alert(1)</script>\u202e'


@pytest.fixture
def lake(transactional_db: None, empty_queue: None, settings: Settings, tmp_path: Path) -> Lake:
    settings.LAKE_URL = str(tmp_path)
    review_only_doubted_facts()
    return Lake.open(settings.LAKE_URL)


def a_client(name: str, *groups: str, also: str = "") -> Client:
    user = User.objects.create(username=name, is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    user.user_permissions.set(Permission.objects.filter(codename=also))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def ann(lake: Lake) -> Client:
    return a_client("ann", "Reviewer")


def fragment(client: Client, where: str, **entries: Any) -> Any:
    return client.post(f"{PAGE}{where}/", {"fragment": "1", **entries})


def shown(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    return str(answer.content.decode())


def test_a_reviewer_sees_the_fact_its_quote_and_the_doubt_and_the_next_one_after_a_decision(
    ann: Client, lake: Lake
) -> None:
    told(lake, three_facts())
    start = ann.get(PAGE).content.decode()
    assert "data-start" in start
    assert "41 BBY" not in start
    first = shown(fragment(ann, "next"))
    refuted, unsure = Fact.objects.filter(review_status="OPEN").order_by("fact_index")
    assert f'data-fact-id="{refuted.fact_id}"' in first
    for words in ("41 BBY", "The quote contradicts the value.", "The quote says 19 BBY", "born on Corvessa in 19 BBY"):
        assert words in first
    assert 'data-left="2"' in first
    # The entity's other values are there too.
    assert "birth_place" in first
    second = shown(fragment(ann, "decide", fact_id=refuted.fact_id, decision="REJECTED"))
    assert f'data-fact-id="{unsure.fact_id}"' in second
    assert 'data-left="1"' in second
    assert "Nothing to review" in shown(fragment(ann, "decide", fact_id=unsure.fact_id, decision="ACCEPTED"))
    assert [review.decision for review in FactReview.objects.order_by("review_seq")] == ["REJECTED", "ACCEPTED"]
    assert set(FactReview.objects.values_list("actor", flat=True)) == {"ann"}


def test_it_works_without_a_script(ann: Client, lake: Lake) -> None:
    told(lake, three_facts())
    page = ann.post(f"{PAGE}next/")
    assert page.templates[0].name == "admin/review/page.html"
    fact = Fact.objects.get(fact_index=1)
    page = ann.post(f"{PAGE}decide/", {"fact_id": fact.fact_id, "decision": "CORRECTED", "value": ""})
    assert page.status_code == 400
    assert "Enter a value." in page.content.decode()
    page = ann.post(f"{PAGE}decide/", {"fact_id": fact.fact_id, "decision": "ACCEPTED"})
    assert page.status_code == 200
    assert Fact.objects.get(fact_index=1).review_status == "ACCEPTED"


@pytest.mark.parametrize(
    ("groups", "also", "why"),
    [(("Viewer",), "", "review_facts"), (("Viewer",), "review_facts", "see_payloads"), ((), "", "view_fact")],
    ids=["viewer", "no_payloads", "nobody"],
)
def test_who_may_not_decide_or_not_see_payloads_is_refused(
    lake: Lake, groups: tuple[str, ...], also: str, why: str
) -> None:
    told(lake, three_facts())
    client = a_client("ben", *groups, also=also)
    for answer in (client.get(PAGE), fragment(client, "next"), fragment(client, "decide", decision="ACCEPTED")):
        assert answer.status_code == 403
        assert why in answer.content.decode()
        assert "41 BBY" not in answer.content.decode()
    assert not Fact.objects.exclude(review_claimed_by=None).exists()


def test_a_correction_of_value_and_quote_is_kept_with_its_exact_place(ann: Client, lake: Lake) -> None:
    told(lake, three_facts())
    fact = Fact.objects.get(fact_index=1)
    # As a browser selects it: with other white space, and roughly where it is.
    quote, start = "in  19\r\nBBY", TEXT.index("in 19 BBY")
    shown(
        fragment(
            ann,
            "decide",
            fact_id=fact.fact_id,
            decision="CORRECTED",
            value="19 BBY",
            quote=quote,
            evidence_id="e1",
            near=str(start),
        )
    )
    fact = Fact.objects.get(fact_index=1)
    assert (fact.review_status, fact.corrected_value, fact.corrected_quote) == ("CORRECTED", "19 BBY", "in 19 BBY")
    assert (fact.corrected_quote_start, fact.corrected_quote_end) == (start, start + 9)
    assert fact.value_key
    assert "corrected to" in shown(fragment(ann, "show", fact_id=fact.fact_id))


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({"value": "19 BBY", "quote": "she was never there", "evidence_id": "e1"}, "not in this evidence item"),
        ({"value": "19 BBY", "quote": QUOTES[0], "evidence_id": "e2"}, "not part of the answer"),
        ({"value": "  "}, "Enter a value."),
        ({"value": "41 BBY"}, "Nothing was changed"),
        ({"value": "x" * 4_001}, "at most 4,000"),
        ({"value": "a\x00b"}, "U+0000"),
        ({"value": "19 BBY", "reason": "x" * 1_001}, "at most 1,000"),
    ],
    ids=["no_such_quote", "no_such_item", "blank", "unchanged", "long", "nul", "long_reason"],
)
def test_an_entry_that_cannot_be_kept_is_told_and_changes_nothing(
    ann: Client, lake: Lake, entries: dict[str, str], problem: str
) -> None:
    told(lake, three_facts())
    fact = Fact.objects.get(fact_index=1)
    answer = fragment(ann, "decide", fact_id=fact.fact_id, decision="CORRECTED", **entries)
    assert answer.status_code == 400
    assert problem in answer.json()["problem"]
    assert not FactReview.objects.exists()


def test_half_of_a_surrogate_pair_is_refused(ann: Client, lake: Lake) -> None:
    told(lake, three_facts())
    fact = Fact.objects.get(fact_index=1)
    body = b"fragment=1&decision=CORRECTED&value=%ED%A0%80&fact_id=" + str(fact.fact_id).encode()
    answer = ann.post(f"{PAGE}decide/", body, content_type="application/x-www-form-urlencoded")
    # A browser cannot send one; what arrives is replaced, or refused, but never stored as it is.
    assert answer.status_code in {200, 400}
    assert not FactReview.objects.filter(corrected_value__contains="\ud7ff").exists()


def test_hostile_text_is_shown_as_text(ann: Client, lake: Lake) -> None:
    text = f"{HOSTILE} was born. {TEXT}"
    told(
        lake,
        (
            a_fact(0, HOSTILE, text=text, fact_key=HOSTILE, value=HOSTILE, verdict=Verdict.REFUTED, why=HOSTILE),
            a_fact(1, QUOTES[0], text=text, fact_key=HOSTILE, value=HOSTILE, value_key="other"),
        ),
        text=text,
        entity_id=HOSTILE,
    )
    page = shown(fragment(ann, "next"))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_two_people_get_different_facts_and_the_second_to_decide_one_is_told(ann: Client, lake: Lake) -> None:
    told(lake, three_facts())
    ben = a_client("ben", "Reviewer")
    shown(fragment(ann, "next"))
    first, second = Fact.objects.filter(review_status="OPEN").order_by("fact_index")
    assert f'data-fact-id="{second.fact_id}"' in shown(fragment(ben, "next"))
    assert "ann is reviewing this fact" in shown(fragment(ben, "show", fact_id=first.fact_id))
    assert "Not saved: ann is reviewing it." in shown(
        fragment(ben, "decide", fact_id=first.fact_id, decision="REJECTED")
    )
    shown(fragment(ann, "decide", fact_id=first.fact_id, decision="ACCEPTED"))
    answer = fragment(ben, "decide", fact_id=first.fact_id, decision="REJECTED")
    assert answer.status_code == 400
    assert "ACCEPTED already, by ann" in answer.json()["problem"]
    shown(fragment(ben, "decide", fact_id=first.fact_id, decision="REJECTED", reason="the archive says no"))
    assert Fact.objects.get(fact_id=first.fact_id).review_status == "REJECTED"


def test_undo_shows_the_fact_again_as_it_was(ann: Client, lake: Lake) -> None:
    told(lake, three_facts())
    fact = Fact.objects.get(fact_index=1)
    shown(fragment(ann, "decide", fact_id=fact.fact_id, decision="ACCEPTED"))
    page = shown(fragment(ann, "decide", fact_id=fact.fact_id, decision="NONE"))
    assert f'data-fact-id="{fact.fact_id}"' in page
    assert Fact.objects.get(fact_index=1).review_status == "OPEN"


def test_a_missing_fact_is_added_with_its_place(ann: Client, lake: Lake) -> None:
    told(lake, three_facts())
    fact = Fact.objects.get(fact_index=1)
    entries = {"key": "guild", "value": "none", "quote": "never served", "evidence_id": "e1"}
    assert "Added guild." in shown(fragment(ann, "add", fact_id=fact.fact_id, **entries))
    added = Fact.objects.get(proof="person")
    assert (added.value, added.quote, TEXT[added.quote_start : added.quote_end]) == ("none", *["never served"] * 2)
    again = fragment(ann, "add", fact_id=fact.fact_id, **entries)
    assert "added already, by ann" in again.json()["problem"]
    answer = fragment(ann, "add", fact_id=fact.fact_id, **{**entries, "key": ""})
    assert answer.json()["problem"] == "Enter a key."


def test_a_fact_that_is_gone_is_told(ann: Client, lake: Lake) -> None:
    for where in ("decide", "add", "show"):
        assert "is gone" in shown(fragment(ann, where, fact_id=uuid4(), decision="ACCEPTED"))
        assert shown(fragment(ann, where, fact_id="x", decision="ACCEPTED"))


def test_the_agreement_page_tells_rates_pairs_and_calibration(ann: Client, lake: Lake) -> None:
    assert "No decisions yet" in ann.get(f"{PAGE}agreement/").content.decode()
    JobQueue().set_review_policy("sw_entity_facts_v1", actor="ada", reviewers=2)
    told(lake, tuple(a_fact(n, QUOTES[0], confidence=95, verdict=Verdict.NOT_ENOUGH_INFO) for n in range(8)))
    ben = a_client("ben", "Reviewer")
    facts = list(Fact.objects.order_by("fact_index"))
    for fact in facts:
        shown(fragment(ann, "decide", fact_id=fact.fact_id, decision="ACCEPTED"))
    for fact in facts:
        second = "ACCEPTED" if fact.fact_index < 2 else "REJECTED"
        shown(fragment(ben, "decide", fact_id=fact.fact_id, decision=second))
    answer = ann.get(f"{PAGE}agreement/")
    found = answer.context["found"]
    assert (found.facts, found.same, found.compared) == (8, 2, 8)
    (bucket,) = found.by["confidence"]
    assert (bucket.name, bucket.accepted, bucket.rejected, bucket.verdict) == ("90–100", 2, 6, "Overconfident")
    assert 5 < bucket.low < 10
    assert 50 < bucket.high < 60
    (model,) = found.by["model"]
    assert model.name == "llama3.2:latest"
    for because in ("sample", "verdict", "conflict", "no-such"):
        assert ann.get(f"{PAGE}agreement/", {"because": because}).status_code == 200


def test_a_maintainer_sets_how_much_is_reviewed(lake: Lake) -> None:
    assert a_client("ben", "Operator").get(f"{PAGE}policy/").status_code == 403
    client = a_client("mira", "Maintainer")
    entries = {
        "interrogation": "sw_entity_facts_v1",
        "sample_percent": "12.5",
        "reviewers": "2",
        "reason": "a new model",
    }
    assert client.post(f"{PAGE}policy/", entries).status_code == 302
    page = client.get(f"{PAGE}policy/").content.decode()
    assert "12.5" in page
    assert "a new model" in page
    assert client.post(f"{PAGE}policy/", {**entries, "sample_percent": "101"}).status_code == 400
    assert client.post(f"{PAGE}policy/", {**entries, "reason": ""}).status_code == 400
