"""The file of sources: what it declares, and one clear line for each fault."""

from pathlib import Path
from typing import Any

import pytest

from derive.errors import ConfigurationError
from derive.sources.contract import SourceSubject
from derive.sources.registry import SourceRegistry

GOOD = '[[source]]\nname = "contracts"\nkind = "files"\nentity_type = "contract"\nfolder = "contracts"\n'


def no_database(url: str) -> dict[str, Any]:
    raise ValueError("the URL must begin with mssql:// or postgresql://")


def read(file: Path | None, **environment: str) -> SourceRegistry:
    return SourceRegistry.load(file, environment=environment, lake_url="", read_database_url=no_database)


def load(folder: Path, content: str, **environment: str) -> SourceRegistry:
    (folder / "sources.toml").write_text(content, "utf-8")
    return read(folder / "sources.toml", **environment)


def test_without_a_file_there_are_no_sources() -> None:
    assert read(None).all() == ()


def test_a_declared_source_is_found_by_name_and_its_folder_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "a.txt").write_text("text")
    source = load(tmp_path, GOOD).get("contracts")
    assert (source.name, source.kind) == ("contracts", "files")
    assert len(list(source.subjects())) == 1


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('kind = "files"\nfolder = "x"', "entity_type: is missing: write it"),
        ('kind = "files"\nentity_type = "x"\nfolder = "x"\nglob = "*"', "glob: is not a key of this kind"),
        ('kind = "files"\nentity_type = "x"', "write one of folder, url (s3://, abfs://) and lake"),
        ('kind = "files"\nentity_type = "x"\nfolder = "x"\nlake = "y"', "write one of folder, url"),
        ('kind = "files"\nentity_type = "x"\nlake = "../y"', "must not hold"),
        ('kind = "files"\nentity_type = "x"\nurl = "s3://key:canary@bucket/x"', "without user, password"),
        ('kind = "files"\nentity_type = "x"\nurl = "ftp://host/x"', "has no scheme that is served"),
        ('kind = "files"\nentity_type = "x"\nurl = "/etc"', "name a local folder by folder"),
        ('kind = "files"\nentity_type = "x"\nfolder = "x"\nglobs = ["/etc/*"]', "globs[0]: write a glob relative"),
        ('kind = "files"\nentity_type = "x"\nfolder = "x"\nglobs = ["../*"]', "globs[0]: write a glob relative"),
        ('kind = "files"\nentity_type = "x\\n"\nfolder = "x"', "entity_type: write at most 100"),
        ('kind = "fils"', "kind: write files or jobs or sql"),
        ("kind = 3", "kind: write files or jobs or sql"),
        ("", "kind: write files or jobs or sql"),
    ],
)
def test_a_broken_source_says_why_in_one_line_and_stops_no_other(tmp_path: Path, keys: str, said: str) -> None:
    registry = load(tmp_path, f'{GOOD}[[source]]\nname = "other"\n{keys}\n')
    assert [one.name for one in registry.all()] == ["contracts"]
    why = registry.broken["other"]
    assert why.startswith(f"HOLOCRON_SOURCES: {tmp_path}/sources.toml: source 'other': ")
    assert said in why
    assert "\n" not in why
    assert "canary" not in why
    with pytest.raises(ConfigurationError, match="source 'other'"):
        registry.get("other")


def test_a_rule_that_routes_to_no_interrogation_is_refused_with_its_line(tmp_path: Path) -> None:
    rule = '[[source.rule]]\nname = "invoices"\nglob = "*"\nroute = "invoice_fact"\n'
    (tmp_path / "sources.toml").write_text(GOOD + GOOD.replace("contracts", "letters", 1) + rule, "utf-8")
    registry = SourceRegistry.load(
        tmp_path / "sources.toml",
        environment={},
        lake_url="",
        read_database_url=no_database,
        known_interrogations=lambda: ["invoice_facts"],
    )
    assert [one.name for one in registry.all()] == ["contracts"]
    assert registry.broken["letters"].endswith(
        "source 'letters': line 14: rule 'invoices' routes to 'invoice_fact', which no interrogation is; "
        "did you mean invoice_facts?"
    )


@pytest.mark.parametrize("name", ["3", '""', '"a/b"', f'"{"x" * 61}"', '"a\\nb"'])
def test_a_source_without_a_usable_name_is_listed_by_its_place(tmp_path: Path, name: str) -> None:
    registry = load(tmp_path, f'{GOOD}[[source]]\nname = {name}\nkind = "files"\n')
    assert list(registry.broken) == ["source 2"]


def test_two_sources_of_one_name_are_both_refused(tmp_path: Path) -> None:
    registry = load(tmp_path, GOOD + GOOD)
    assert registry.all() == ()
    assert "two sources have this name" in registry.broken["contracts"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[[source", "is not TOML"),
        ("sources = 3", "sources is not known"),
        ("source = 3", "as a [[source]] table"),
        ("source = [3]", "as a [[source]] table"),
    ],
)
def test_a_file_that_declares_no_sources_stops_with_one_line(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, content)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_stops_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read(tmp_path / "latin.toml")


def test_an_unknown_source_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean contracts"):
        load(tmp_path, GOOD).get("contract")


SQL = '[[source]]\nname = "rows"\nkind = "sql"\nentity_type = "x"\nview = "a.b"\nentity = "id"\ntext = "body"\n'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('database_env = "postgresql://u:canary@h/d"', "database_env: write the name of an environment variable"),
        ('database_env = "NOT_SET"', "the variable that database_env names is not set"),
        ('database_env = "WRONG"', "the URL must begin with"),
        ("timeout_seconds = 0", "timeout_seconds: "),
        ('uri = "a;b"', "uri: write a column's name"),
    ],
)
def test_a_wrong_database_is_said_without_its_secrets(tmp_path: Path, line: str, said: str) -> None:
    why = load(tmp_path, f"{SQL}{line}\n", WRONG="oracle://u:canary@h").broken["rows"]
    assert said in why
    assert "canary" not in why


@pytest.mark.parametrize("view", ["b", "a.b.c", 'a."b"', "a.b;drop", "a.[b]", "a.b--", "a.", "a. b", "a.b\\n", "1a.b"])
def test_a_view_is_named_by_schema_and_name_alone(tmp_path: Path, view: str) -> None:
    why = load(tmp_path, SQL.replace("a.b", view.replace('"', '\\"'))).broken["rows"]
    assert "view: write schema.view" in why


@pytest.mark.parametrize("column", ['id"', "id]", "id;", "1id", "", "id ", "a.b", "x" * 128, "count(*)", "%s"])
def test_a_column_is_a_plain_name(tmp_path: Path, column: str) -> None:
    why = load(tmp_path, SQL.replace('"id"', "'" + column + "'")).broken["rows"]
    assert "entity: write a column's name" in why


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('name = "a"\nskip = "why"', "rule[0]: write a condition"),
        ('name = "a"\nglob = "*"', "rule[0]: write either skip"),
        ('name = "a"\nglob = "*"\nskip = "why"\nroute = "key"', "rule[0]: write either skip"),
        ('name = "a"\nregex = "(?=a)b"\nskip = "why"', "rule[0].regex: write a regular expression without"),
        ('name = "a"\nregex = "("\nskip = "why"', "rule[0].regex: write a regular expression without"),
        ('name = "a"\nglob = "/x"\nskip = "why"', "rule[0].glob: "),
        ('name = "a"\nmin_characters = -1\nskip = "why"', "rule[0].min_characters: "),
        ('name = "a"\nlanguage = "de"\nskip = "why"', "rule[0].language: "),
    ],
)
def test_a_wrong_rule_breaks_its_source_with_one_line(tmp_path: Path, rule: str, said: str) -> None:
    why = load(tmp_path, f"{GOOD}[[source.rule]]\n{rule}\n").broken["contracts"]
    assert said in why
    assert "\n" not in why


def test_a_kind_of_a_package_that_fails_breaks_only_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_declaration: object) -> None:
        raise RuntimeError("canary")

    class Installed:
        name = "own"

        def load(self) -> object:
            return fail

    monkeypatch.setattr("derive.sources.registry.entry_points", lambda group: [Installed()])
    registry = load(tmp_path, f'{GOOD}[[source]]\nname = "mine"\nkind = "own"\n')
    assert [one.name for one in registry.all()] == ["contracts"]
    assert registry.broken["mine"].endswith("source 'mine': its package failed (RuntimeError)")


def test_a_source_may_lie_in_the_lake(tmp_path: Path) -> None:
    (tmp_path / "lake" / "texts").mkdir(parents=True)
    (tmp_path / "lake" / "texts" / "a.txt").write_text("text")
    content = '[[source]]\nname = "texts"\nkind = "files"\nentity_type = "text"\nlake = "texts"\n'
    (tmp_path / "sources.toml").write_text(content)
    for lake in (str(tmp_path / "lake"), (tmp_path / "lake").as_uri()):
        registry = SourceRegistry.load(
            tmp_path / "sources.toml", environment={}, lake_url=lake, read_database_url=no_database
        )
        (subject,) = registry.get("texts").subjects()
        assert isinstance(subject, SourceSubject)
        assert subject.address == (tmp_path / "lake/texts/a.txt").as_uri()
