"""Foreign histories: what each format means, and what is refused with its place."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli import main as cli
from harness.foreign import read_calls
from harness.foreign._edn import EdnError, Word, values
from harness.model.errors import HarnessError, UsageError
from harness.model.history import NEVER, History, Op
from harness.session import judge_history
from harness.transport.recorder import Recorder, to_parquet

EXAMPLES = int(os.environ.get("HARNESS_HISTORIES", "2000")) // 10


def edn(*events: str) -> str:
    """Events written as `0 :invoke :write 1`, in a vector, as Knossos keeps them."""
    maps = []
    for event in events:
        process, kind, f, value = event.split(" ", 3)
        maps.append(f"{{:process {process}, :type {kind}, :f {f}, :value {value}}}")
    return "[" + "\n ".join(maps) + "]\n"


def kv(*events: str) -> str:
    """Events written as `0 :invoke :put "k" "v"`, one a line, as Porcupine's tests keep them."""
    lines = []
    for event in events:
        process, kind, f, key, value = event.split(" ", 4)
        lines.append(f"{{:process {process}, :type {kind}, :f {f}, :key {key}, :value {value}}}\n")
    return "".join(lines)


def etcd(*events: str) -> str:
    """Events written as `0 :invoke :write 1`, as jepsen.util logs them."""
    return "".join("INFO  jepsen.util - " + event.replace(" ", "\t", 3) + "\n" for event in events)


def wrote(value: int, process: int = 0) -> tuple[str, str]:
    return f"{process} :invoke :write {value}", f"{process} :ok :write {value}"


def put(tmp_path: Path, text: str | bytes, name: str = "h") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def judged(tmp_path: Path, text: str, **options: Any) -> str:
    return judge_history(put(tmp_path, text), timeout_s=60, **options).result.verdict


READ_1 = ("1 :invoke :read nil", "1 :ok :read 1")
CAS_2_3_FAILS = ("1 :invoke :cas [2 3]", "1 :fail :cas [2 3]")
CAS_1_3_FAILS = ("1 :invoke :cas [1 3]", "1 :fail :cas [1 3]")

#: By what it is: its text, the model that it suggests, and the verdict.
VERDICTS: dict[str, tuple[str, str, str]] = {
    "a register": (edn(*wrote(1), *READ_1), "register", "pass"),
    "a stale register": (edn(*wrote(1), *wrote(2), *READ_1), "register", "fail"),
    "a cas of Knossos": (edn(*wrote(1), "1 :invoke :cas [1 3]", "1 :ok :cas [1 3]"), "cas-register", "pass"),
    "a cas that cannot be": (edn(*wrote(1), "1 :invoke :cas [2 3]", "1 :ok :cas [2 3]"), "cas-register", "fail"),
    "a crashed write": (edn("0 :invoke :write 1", "0 :info :write 1", *wrote(2, 2), *READ_1), "register", "pass"),
    "under way at the end": (edn("0 :invoke :write 1", *wrote(2, 2), *READ_1), "register", "pass"),
    "a failed write": (edn("0 :invoke :write 1", "0 :fail :write 1", *wrote(2, 2), *READ_1), "register", "fail"),
    "only the nemesis": (edn(":nemesis :info :start nil", ":nemesis :info :stop nil"), "", "unknown"),
    "an empty file": ("", "", "unknown"),
    "an empty vector": ("[]", "", "unknown"),
    "only failures": (edn("0 :invoke :read nil", "0 :fail :read nil"), "register", "unknown"),
    "keys": (
        edn("0 :invoke :write [7 1]", "0 :ok :write [7 1]", "1 :invoke :read [8 nil]", "1 :ok :read [8 nil]"),
        "register",
        "pass",
    ),
    "keys and cas": (
        edn("0 :invoke :write [7 1]", "0 :ok :write [7 1]", "1 :invoke :cas [8 [1 2]]", "1 :ok :cas [8 [1 2]]"),
        "cas-register",
        "fail",
    ),
    "a mutex": (edn("0 :invoke :acquire nil", "0 :ok :acquire nil", "0 :invoke :release nil"), "mutex", "pass"),
    "a mutex granted twice": (
        edn("0 :invoke :acquire nil", "1 :invoke :acquire nil", "0 :ok :acquire nil", "1 :ok :acquire nil"),
        "mutex",
        "fail",
    ),
    "a transaction": (
        edn("0 :invoke :txn [[:write :x 1] [:read :y nil]]", "0 :ok :txn [[:write :x 1] [:read :y 5]]"),
        "multi-register",
        "pass",
    ),
    "a read of half a transaction": (
        edn(
            "0 :invoke :txn [[:w :x 1] [:w :y 1]]", "0 :ok :txn [[:w :x 1] [:w :y 1]]",
            "0 :invoke :txn [[:w :x 2] [:w :y 2]]", "1 :invoke :txn [[:r :x nil] [:r :y nil]]",
            "1 :ok :txn [[:r :x 2] [:r :y 1]]", "0 :info :txn :timed-out",
        ),
        "multi-register",
        "fail",
    ),
    "a key-value log": (
        kv('0 :invoke :append "k" "a"', '0 :ok :append "k" "a"', '1 :invoke :get "k" nil', '1 :ok :get "k" "a"'),
        "key-value",
        "pass",
    ),
    "an append that is lost": (
        kv('0 :invoke :append "k" "a"', '0 :ok :append "k" "a"', '1 :invoke :get "k" nil', '1 :ok :get "k" ""'),
        "key-value",
        "fail",
    ),
    "a log of etcd": (etcd(*wrote(1), *READ_1, *CAS_2_3_FAILS), "cas-register", "pass"),
    "etcd: nothing at first": (etcd("1 :invoke :read nil", "1 :ok :read nil", *wrote(1)), "register", "pass"),
    "etcd: a failed cas saw the state": (etcd(*wrote(1), *READ_1, *CAS_1_3_FAILS), "cas-register", "fail"),
    "etcd: a read that timed out": (
        etcd(*wrote(1), *READ_1, "1 :invoke :read nil", "1 :fail :read :timed-out"), "register", "pass"
    ),
    "etcd: a cas that timed out": (
        etcd(*wrote(1), "2 :invoke :cas [1 2]", "2 :info :cas :timed-out", *READ_1), "cas-register", "pass"
    ),
    "etcd: others write into the log as well": (
        "INFO  jepsen.core - Running\n" + etcd(":nemesis :info :start nil", *wrote(1), *READ_1), "register", "pass"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VERDICTS)
def test_what_a_history_means(name: str, tmp_path: Path) -> None:
    text, model, verdict = VERDICTS[name]
    found = judge_history(put(tmp_path, text), timeout_s=60)
    assert (found.model, found.result.verdict) == (model, verdict), found.result.witness


def test_the_same_failed_cas_means_two_things(tmp_path: Path) -> None:
    """In a log of etcd it is an observation, for Knossos it did not happen; an option decides otherwise."""
    events = (*wrote(1), *READ_1, *CAS_1_3_FAILS)
    assert judged(tmp_path, etcd(*events)) == "fail"
    assert judged(tmp_path, etcd(*events), failed_cas="not-done") == "pass"
    assert judged(tmp_path, edn(*events)) == "pass"
    assert judged(tmp_path, edn(*events), failed_cas="observed") == "fail"


@pytest.mark.parametrize("form", ["lines", "list", "records", "comments"])
def test_forms_of_edn(form: str, tmp_path: Path) -> None:
    vector = edn(*wrote(1), *READ_1)
    text = {
        "lines": vector.strip()[1:-1],
        "list": f"({vector.strip()[1:-1]})",
        "records": vector.strip()[1:-1].replace("{", "#jepsen.history.Op{"),
        "comments": f"; x=0, it says\n#_ {{:left out}} {vector}",
    }[form]
    assert judged(tmp_path, text) == "pass"


#: By what is wrong: the text, the line that must be named, and a word of what is said.
REFUSED: dict[str, tuple[str | bytes, int, str]] = {
    "binary": (bytes(range(256)), 2, "binary"),
    "a NUL byte": ("[\n\0]", 2, "NUL"),
    "no format": ("hello\n", 1, "no history in a format"),
    "cut in a vector": (edn(*wrote(1))[:-3], 2, "cut"),
    "cut in a map": (edn(*wrote(1))[:-12], 2, "cut"),
    "cut in a text": (kv('0 :invoke :put "k" "abc"')[:-5], 1, "cut"),
    "cut in a log": (etcd(*wrote(1))[:-15], 2, "cut"),
    "a completion twice": (edn(*wrote(1), "0 :ok :write 1"), 3, "did not invoke"),
    "an invocation that is missing": (edn("0 :ok :write 1"), 1, "did not invoke"),
    "a completion that is missing": (edn("0 :invoke :write 1", *wrote(2)), 2, "line 1, its write, has no"),
    "a completion that is missing in a log": (etcd("0 :invoke :write 1", *wrote(2)), 2, "has no completion"),
    "a completion of something else": (edn("0 :invoke :write 1", "0 :ok :read 1"), 2, "line 1 began write"),
    "a completion of another value": (edn("0 :invoke :write 1", "0 :ok :write 2"), 2, "another write"),
    "a completion of another key": (
        kv('0 :invoke :put "k" "a"', '0 :ok :put "l" "a"'), 2, "put of key l, but line 1 began put of key k"
    ),
    "a record of the future": ("#jepsen.v9.Op{:process 0}", 1, "does not know"),
    "a type of the future": (edn("0 :maybe :write 1"), 1, ":type :maybe"),
    "a call of the future": (edn("0 :invoke :transfer 1"), 1, "no call of any model"),
    "lists in transactions": (edn("0 :invoke :txn [[:append :x 1]]"), 1, "step"),
    "no process": ("{:type :invoke, :f :read}", 1, "no :process"),
    "no map": ("[1 2]", 1, "an event is a map"),
    "keys only sometimes": (
        edn("0 :invoke :write [1 2]", "0 :ok :write [1 2]", "1 :invoke :write 3"), 3, "one form"
    ),
    "out of order": (
        "[{:index 1 :process 0 :type :invoke :f :read}\n{:index 0 :process 0 :type :ok :f :read}]", 2, "order"
    ),
    "a key twice in a map": ("{:f :read :f :write}", 1, "twice"),
    "no EDN": ("[\n\n@x]", 3, "no value of EDN"),
    "nested without an end": ("[" * 100_000, 1, "deep"),
    "a number without an end": (f"[{'9' * 10_000}]", 1, "10000 characters"),
    "a cas with an error in a log": (etcd("0 :invoke :cas [1 2]", "0 :fail :cas :timed-out"), 2, "[old new]"),
    "a line that is no event": (etcd(*wrote(1)) + "INFO  jepsen.util - 1\t:perhaps\t:read\tnil\n", 3, "no event"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    text, line, words = REFUSED[name]
    path = put(tmp_path, text)
    with pytest.raises(UsageError) as refused:
        judge_history(path, timeout_s=60)
    assert refused.value.message.startswith(f"{path}:{line}: ")
    assert words in refused.value.message + (refused.value.hint or "")


def test_a_model_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, edn(*wrote(1), *READ_1, *CAS_2_3_FAILS[:1]))
    with pytest.raises(UsageError, match="line 5: cas is no call of a register"):
        judge_history(path, timeout_s=60, model="register")
    with pytest.raises(UsageError, match="no such model"):
        judge_history(path, timeout_s=60, model="registr")
    mixed = put(tmp_path, edn(*wrote(1), "1 :invoke :acquire nil"))
    with pytest.raises(UsageError, match="no model has all of the calls acquire, write"):
        judge_history(mixed, timeout_s=60)


def test_a_format_that_is_named_is_taken(tmp_path: Path) -> None:
    path = put(tmp_path, edn(*wrote(1), *READ_1))
    with pytest.raises(UsageError, match="no call of a key-value log"):
        read_calls(path, format_="kv")
    with pytest.raises(UsageError, match=r"no event of jepsen\.util"):
        read_calls(path, format_="etcd")
    with pytest.raises(UsageError, match="no such format"):
        read_calls(path, format_="xml")
    with pytest.raises(UsageError, match="no such history"):
        read_calls(tmp_path / "absent")


# --- our own -----------------------------------------------------------------------------------------------


def op(f: str, value: int, start: int, end: int, process: str = "p1", outcome: Any = "ok") -> Op:
    never = NEVER if outcome == "info" else end
    return Op(process, "n1", "web.1", "reg", f, "shared|3", value, start_ns=start, end_ns=never, outcome=outcome)


GOOD = (op("put", 1, 1, 2), op("get", 1, 3, 4), op("put", 5, 5, 6, outcome="info"), op("get", 5, 7, 8, "p2"))
STALE = (op("get", 0, 1, 2, "p2"), op("put", 1, 3, 4), op("get", 0, 5, 6, "p2"))


def parquet(tmp_path: Path, *ops: Op) -> Path:
    path = tmp_path / "history.parquet"
    to_parquet(History.of(ops), path)
    return path


def lines(tmp_path: Path, *ops: Op) -> Path:
    recorder = Recorder(tmp_path / "history")
    for one in ops:
        recorder.write({**{name: getattr(one, name) for name in Op.__slots__}, "n": 1})
    recorder.close()
    return tmp_path / "history"


def test_our_own_history_in_all_its_forms(tmp_path: Path) -> None:
    other = Op("p9", "n1", "web.1", "net", "tcp", "k", "ok", start_ns=1, end_ns=2)
    for ops, verdict in ((GOOD, "pass"), (STALE, "fail"), ((other,), "unknown"), ((), "unknown")):
        folder = tmp_path / verdict / str(len(ops))
        folder.mkdir(parents=True)
        written = [parquet(folder, *ops), folder]
        if ops:
            written += [lines(folder, *ops), folder / "history" / "0001.jsonl"]
        for path in written:
            assert judge_history(path, timeout_s=60).result.verdict == verdict, path


def test_our_own_witness_names_host_and_moment(tmp_path: Path) -> None:
    found = judge_history(parquet(tmp_path, *STALE), timeout_s=60)
    assert found.result.witness.startswith("key reg|shared|3: no order fits these calls")
    assert "  n1 at 5 ns, process p2: read 0" in found.result.witness.splitlines()


def test_clocks_that_may_be_off_widen_calls(tmp_path: Path) -> None:
    unsure = tuple(replace(one, err_ns=10) for one in STALE)
    assert judge_history(parquet(tmp_path, *unsure), timeout_s=60).result.verdict == "pass"


@pytest.mark.parametrize(
    ("ops", "words"),
    [
        ((op("put", 1, 1, 2), op("put", 1, 1, 2)), "twice"),
        ((op("put", 1, 3, 2),), "ends before it starts"),
        ((op("put", 1, 1, 2, outcome="perhaps"),), "not known to this version"),
    ],
)
def test_our_own_rows_that_cannot_be_are_refused(tmp_path: Path, ops: tuple[Op, ...], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        judge_history(parquet(tmp_path, *ops), timeout_s=60)
    assert words in refused.value.message + (refused.value.hint or "")


def test_our_own_files_that_are_damaged_are_refused(tmp_path: Path) -> None:
    whole = parquet(tmp_path, *GOOD).read_bytes()
    for damaged in (whole[:-20], whole[:200], whole[:50] + b"\0" * 100 + whole[150:], b"PAR1"):
        with pytest.raises(UsageError):
            judge_history(put(tmp_path, damaged, "cut.parquet"), timeout_s=60)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no history"):
        judge_history(tmp_path / "empty", timeout_s=60)


def test_our_own_history_of_the_future_is_refused(tmp_path: Path) -> None:
    path = lines(tmp_path, *GOOD) / "0001.jsonl"
    batch = {**json.loads(path.read_text().splitlines()[0]), "colour": "red"}
    later = put(tmp_path, json.dumps(batch) + "\n", "later.jsonl")
    with pytest.raises(UsageError, match=r"later\.jsonl:1: .*colour"):
        judge_history(later, timeout_s=60)
    columns = tmp_path / "columns.parquet"
    duckdb.sql(f"COPY (SELECT *, 1 AS colour FROM '{parquet(tmp_path, *GOOD)}') TO '{columns}' (FORMAT parquet)")
    with pytest.raises(UsageError, match="columns that this version does not know: colour"):
        judge_history(columns, timeout_s=60)


# --- any bytes ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "h"


SEEDS = [text.encode() for text, _model, _verdict in VERDICTS.values()]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A true history with some of its bytes cut, put in, doubled or changed."""
    content = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        to = min(len(content), at + draw(st.integers(0, 30)))
        middle = draw(
            st.one_of(st.binary(max_size=5), st.just(content[at:to] * 2), st.sampled_from([b"[", b"}", b"#_"]))
        )
        content = content[:at] + middle + content[to:]
    return content


def verdict_or_refusal(path: Path, content: bytes, format_: str | None = None) -> None:
    path.write_bytes(content)
    refused: HarnessError | None = None
    try:
        verdict = judge_history(path, timeout_s=5, format_=format_).result.verdict
    except HarnessError as error:
        refused = error
    assert verdict in ("pass", "unknown", "fail") if refused is None else refused.exit_code == 64
    assert refused is None or str(path) in refused.message


@settings(max_examples=EXAMPLES, deadline=None)
@given(content=damaged())
def test_a_damaged_history_is_judged_or_refused(scratch: Path, content: bytes) -> None:
    verdict_or_refusal(scratch, content)


@settings(max_examples=EXAMPLES, deadline=None)
@given(content=st.binary(), format_=st.sampled_from([None, "edn", "kv", "etcd", "harness"]))
def test_any_bytes_are_judged_or_refused(scratch: Path, content: bytes, format_: str | None) -> None:
    verdict_or_refusal(scratch, content, format_)


_PUNCTUATION = st.sampled_from(["[", "]", "{", "}", "(", ")", "#", "#_", '"', "\\", ":", " ", ",", ";", "\n"])
_WORDS = st.sampled_from(
    [":process", ":type", ":f", ":value", ":invoke", ":ok", ":write", "nil", "true", "1", "-0.5M"]
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(text=st.lists(st.one_of(_PUNCTUATION, _WORDS, st.text(max_size=3))).map("".join))
def test_any_text_is_edn_or_refused_with_a_line(text: str) -> None:
    try:
        lines_ = [line for line, _ in values(text)]
    except EdnError as error:
        lines_ = [error.line]
    assert all(1 <= line <= text.count("\n") + 1 for line in lines_)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return parquet(tmp_path_factory.mktemp("whole"), *GOOD).read_bytes()


@settings(max_examples=max(20, EXAMPLES // 5), deadline=None)
@given(at=st.integers(0, 3000), byte=st.binary(min_size=1, max_size=4))
def test_a_damaged_parquet_is_judged_or_refused(scratch: Path, whole: bytes, at: int, byte: bytes) -> None:
    at %= len(whole)
    verdict_or_refusal(scratch, whole[:at] + byte + whole[at + len(byte) :])


# --- EDN ---------------------------------------------------------------------------------------------------


def test_values_of_edn() -> None:
    text = r'[nil true 1 -2N 1.50M :a/b sym "a\n\"\u0041" \c #{1} (1 2) #inst "2020" #_ gone] {:k [1]}'
    (first, found), (second, map_) = values(text)
    assert (first, second) == (1, 1)
    assert found[:9] == (None, Word("true"), 1, -2, Word("1.50M"), Word(":a/b"), Word("sym"), 'a\n"A', Word("\\c"))
    assert found[9:11] == (frozenset({1}), (1, 2))
    assert (found[11].tag, found[11].value, len(found)) == ("inst", "2020", 12)
    assert map_.get("k") == (1,)


def test_true_and_one_are_two_values(tmp_path: Path) -> None:
    assert judged(tmp_path, edn("0 :invoke :write true", "0 :ok :write true", *READ_1)) == "fail"
    assert judged(tmp_path, edn('0 :invoke :write "1"', '0 :ok :write "1"', *READ_1)) == "fail"


# --- the command line --------------------------------------------------------------------------------------


def harness(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


@pytest.mark.parametrize(("name", "code"), [("a register", 0), ("a stale register", 1), ("an empty file", 2)])
def test_exit_codes_and_json(name: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, VERDICTS[name][0])
    assert harness("check", "--history", path, "--json") == code
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["verdict", "checker", "operations", "witness"]
    assert told["verdict"] == VERDICTS[name][2]


def test_what_a_person_sees_fits_one_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = [event for value in range(60) for event in wrote(value)]
    under_way = [f"{process} :invoke :write {process}" for process in range(100, 160)]
    path = put(tmp_path, edn(*many, *wrote(0), *under_way, *READ_1))
    assert harness("check", "--history", path) == 1
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) < 24
    assert "line 183, process 1: read 1 cannot be placed, in any order." in shown
    assert shown[-1].startswith("fail: not linearizable as a register")


def test_a_refusal_is_64_and_no_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, REFUSED["cut in a vector"][0])
    assert harness("check", "--history", path, "--json") == 64
    told = capsys.readouterr()
    assert told.out == ""
    assert "cut" in told.err


def test_mistakes_on_the_command_line_are_64(tmp_path: Path) -> None:
    path = put(tmp_path, VERDICTS["a register"][0])
    assert harness("check") == 64
    assert harness("check", tmp_path, "--history", path) == 64
    assert harness("check", tmp_path, "--model", "register") == 64
    assert harness("check", "--history", path, "--failed-cas", "perhaps") == 64
    assert harness("check", "--history", tmp_path / "absent") == 64
