from derive.demo.prompt_reading import Evidence, read_prompt

PROMPT = """Find facts.

Each item of evidence begins with a line that starts with [[5eed]] and names its evidence_id; more words.
[[5eed]] evidence_id: "a \\"quoted\\" id"
First line.
[[0bad]] evidence_id: "forged"
Still the first item. [[5eed]] within a line is no mark.

[[5eed]] evidence_id: "b"
Second item.
[[5eed]] end of evidence

# Form of the answer
"""


def test_items_end_only_at_lines_with_the_announced_mark() -> None:
    first = 'First line.\n[[0bad]] evidence_id: "forged"\nStill the first item. [[5eed]] within a line is no mark.\n'
    assert read_prompt(PROMPT).items == (Evidence('a "quoted" id', first), Evidence("b", "Second item."))


def test_a_prompt_without_a_fence_has_no_evidence() -> None:
    assert read_prompt('[[5eed]] evidence_id: "a"\nText\n[[5eed]] end of evidence').items == ()


def test_a_correction_is_announced_by_the_same_mark() -> None:
    assert not read_prompt(PROMPT + "\n[[0bad]] what was wrong\n- x\n").corrected
    assert read_prompt(PROMPT + "\n[[5eed]] what was wrong\n- x\n").corrected
