"""YAML's traps and bombs."""

from __future__ import annotations

import pytest

from tests.loader_catalog import problem, problems, read


def service(text: str) -> str:
    return f"name: x\nnetworks: {{app: {{driver: overlay}}}}\nservices:\n  web: {text}\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("name: x\nservices: [a\n", 3, 1, "a comma or a closing bracket is missing"),
        ("name: x\nservices:\n\tweb:\n", 3, 1, "a tab stands where YAML wants blanks"),
        ("name: x: y\n", 1, 8, "a colon stands where no key can be"),
        ("name: x\nservices:\n  a: {}\n b: {}\n", 4, 2, "the indentation does not fit"),
        ("name: x\n---\nname: y\n", 2, 1, "several documents"),
        ("name: *nobody\n", 1, 7, "no anchor &nobody comes before it"),
        ("name: 'x\n", 2, 1, "ends inside a quote or bracket"),
        ("a: {\n", 2, 1, "not valid YAML"),
        ("name: x\nwords\n", 3, 1, "a colon is missing after a key"),
        ("name: \0", 1, 7, "NUL"),
        ("name: x\nx: a\x07b\n", 2, 5, "cannot stand in YAML"),
        ('name: "\\UFFFFFFFF"\n', 1, 10, "not valid YAML"),
    ],
)
def test_a_syntax_error_is_one_problem_in_plain_words(text: str, line: int, column: int, words: str) -> None:
    found = problem(text)
    assert words in found.message
    assert (found.line, found.column) == (line, column)


@pytest.mark.parametrize("name", ["on", "yes", "No", "true"])
def test_a_boolean_as_a_name_is_explained(name: str) -> None:
    found = problems(f"name: x\nservices:\n  {name}: {{}}\n")
    assert [(p.line, p.column, p.key) for p in found] == [(3, 3, f"services.{name}")]
    assert f"the name {name} is read as a boolean by YAML" in found[0].message


@pytest.mark.parametrize(("name", "what"), [("12", "a number"), ("1.5", "a number"), ("~", "nothing")])
def test_a_number_or_nothing_as_a_name_is_explained(name: str, what: str) -> None:
    assert f"is read as {what}" in problem(f"name: x\nservices:\n  {name}: {{}}\n").message


def test_booleans_and_numbers_in_place_of_texts_are_explained() -> None:
    text = service("{networks: {app: {aliases: [on, 5]}}, command: [sleep, 10], cap_drop: [~]}")
    assert [(p.key, p.message) for p in problems(text)] == [
        ("services.web.networks.app.aliases[0]", 'on is read as a boolean by YAML: put it in quotes, "on"'),
        ("services.web.networks.app.aliases[1]", '5 is read as a number by YAML: put it in quotes, "5"'),
        ("services.web.command[1]", '10 is read as a number by YAML: put it in quotes, "10"'),
        ("services.web.cap_drop[0]", "must be a text, not nothing"),
    ]


def test_a_boolean_in_a_short_list_of_networks_is_the_mistake_not_the_list() -> None:
    found = problem(service("{networks: [app, yes]}"))
    assert found.key == "services.web.networks[1]"
    assert 'put it in quotes, "yes"' in found.message


def test_an_entry_of_environment_must_be_a_pair() -> None:
    found = problem(service("{environment: [A=1, B]}"))
    assert (found.key, found.message) == ("services.web.environment[1]", "must be NAME=value, not B")


@pytest.mark.parametrize("number", ["22:22", "1:30:00", "80:53"])
def test_a_number_in_base_60_is_refused_with_the_quotes_that_mend_it(number: str) -> None:
    text = service("{deploy: {endpoint_mode: vip}, ports: [%s]}")
    found = next(p for p in problems(text % number) if "base 60" in p.message)
    assert (found.key, found.line) == ("services.web.ports[0]", 4)
    assert f'"{number}"' in found.message


def test_a_quoted_pair_of_ports_is_right() -> None:
    (port,) = read(service('{deploy: {endpoint_mode: vip}, ports: ["22:22"]}')).services["web"].ports
    assert (port.published, port.target) == (22, 22)


@pytest.mark.parametrize("number", ["010", "1_000", "0b11", "-010"])
def test_numbers_that_readers_take_differently_are_refused(number: str) -> None:
    found = problem(f"name: x\nstores: {{s: {{kind: local, options: {{a: {number}}}}}}}\n")
    assert found.key == "stores.s.options.a"
    assert "put it in quotes" in found.message


@pytest.mark.parametrize("number", [".inf", ".nan", "1.0e+999", "1" * 19, "1" * 5000])
def test_numbers_without_a_measure_are_refused(number: str) -> None:
    assert (
        problem(f"name: x\nstores: {{s: {{kind: local, options: {{a: {number}}}}}}}\n").key == "stores.s.options.a"
    )


def test_a_date_is_a_text() -> None:
    text = "name: x\nstores: {s: {kind: local, options: {since: 2024-01-01}}}\n"
    assert read(text).stores["s"].options == {"since": "2024-01-01"}


def test_a_key_that_stands_twice_is_named_with_both_places() -> None:
    found = problem("name: x\nservices:\n  a: {}\n  b: {}\n  a: {}\n")
    assert (found.line, found.column, found.key) == (5, 3, "services.a")
    assert "in line 3, column 3" in found.message


@pytest.mark.parametrize(
    ("value", "tag"),
    [("!secret a", "!secret"), ("!!binary aGk=", "!!binary"), ("!!set {a, b}", "!!set"), ("!!str [a]", "!!str")],
)
def test_an_unknown_tag_is_refused(value: str, tag: str) -> None:
    found = problem(f"name: x\nstores: {{s: {{kind: local, options: {{a: {value}}}}}}}\n")
    assert (found.key, found.message) == ("stores.s.options.a", f"the tag {tag} is not known in a topology")


@pytest.mark.parametrize("value", ["!!int abc", "!!float x", "!!bool maybe"])
def test_a_tag_that_does_not_fit_is_refused(value: str) -> None:
    assert (
        problem(f"name: x\nstores: {{s: {{kind: local, options: {{a: {value}}}}}}}\n").key == "stores.s.options.a"
    )


@pytest.mark.parametrize("text", ['"a\\0b"', '"\\ud800"'])
def test_characters_that_no_command_can_hold_are_refused(text: str) -> None:
    found = problem(f"name: x\ndescription: {text}\n")
    assert (found.key, found.line) == ("description", 2)


def test_a_list_as_a_key_is_refused() -> None:
    assert "cannot be a key" in problem("name: x\nservices:\n  ? [a, b]\n  : {}\n").message


@pytest.mark.parametrize("value", ["[a]", "text", "~"])
def test_only_mappings_can_be_merged(value: str) -> None:
    found = problem(f"name: x\nservices:\n  a:\n    <<: {value}\n")
    assert found.key == "services.a.<<"


# --- bombs: bounded by counts, so nothing here needs a clock -----------------------------------------------


def test_aliases_that_grow_without_bound_are_refused() -> None:
    lines = ["name: x", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 25)]
    assert "more than 20,000 values" in problem("\n".join(lines)).message


def test_merges_that_grow_without_bound_are_refused() -> None:
    lines = ["name: x", "m0: &m0 {" + ", ".join(f"k{i}: 1" for i in range(50)) + "}"]
    lines += [f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 10)}]}}" for i in range(1, 20)]
    assert "more than 20,000 values" in problem("\n".join(lines)).message


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "a: &a {<<: *a}"])
def test_an_anchor_inside_itself_is_refused(text: str) -> None:
    assert "deeper than 32 levels" in problem(text).message


@pytest.mark.parametrize("text", ["[" * 5000, "a: " + "{a: " * 5000, "- " * 5000])
def test_deep_nesting_is_refused_before_it_is_followed(text: str) -> None:
    assert "deeper than 32 levels" in problem(text).message


def test_depth_counts_through_aliases() -> None:
    lines = ["a0: &a0 x"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 40)]
    assert "deeper than 32 levels" in problem("\n".join(lines)).message


def test_a_long_flat_file_is_refused_by_its_number_of_values() -> None:
    assert "more than 20,000 values" in problem("a: [" + "1," * 20_001 + "]").message
