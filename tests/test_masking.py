"""What opens a store is written nowhere: not into manifests, indexes, logs, nor messages."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.config import config_from_json, load_config
from gato_data.errors import ContentError, GatoDataError, UsageError
from gato_data.masking import is_masked, masked, masked_arguments
from pipelines import cli
from pipelines.cli import main
from tests.building.builds import build, write_config

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (f"s3://AKIA1:{SECRET}@bucket/a/b", "s3://***@bucket/a/b"),
        (f"s3://AKIA1:{SECRET}/with/slashes+@bucket/a", "s3://***@bucket/a"),
        (f"https://user:{SECRET}@host:8080/a?b=c", "https://***@host:8080/a?b=c"),
        (f"https://{SECRET}@host/a", "https://***@host/a"),
        (f"simplecache::ftp://u:{SECRET}@host/a", "simplecache::ftp://***@host/a"),
        (
            f"https://b.host/k?X-Amz-Credential={SECRET}%2Fx&X-Amz-Expires=9&"
            f"X-Amz-Signature={SECRET}&X-Amz-Security-Token={SECRET} not found",
            "https://b.host/k?X-Amz-Credential=***&X-Amz-Expires=9&"
            "X-Amz-Signature=***&X-Amz-Security-Token=*** not found",
        ),
        (
            f"https://x.host/k?sv=2021&sig={SECRET}%3D&se=1, 'y'",
            "https://x.host/k?sv=2021&sig=***&se=1, 'y'",
        ),
        (f"https://h/a?token={SECRET}", "https://h/a?token=***"),
        (f"gs://b/a?api_key={SECRET}#x", "gs://b/a?api_key=***"),
        (f"a://b:{SECRET}@c and d://{SECRET}@f", "a://***@c and d://***@f"),
        (f"{{'aws_secret_access_key': '{SECRET}'}}", "{'aws_secret_access_key': '***'}"),
        (
            f"--s3_secret_access_key={SECRET} is no option",
            "--s3_secret_access_key=*** is no option",
        ),
        (f"AccountName=x;AccountKey={SECRET}==;", "AccountName=x;AccountKey=***;"),
    ],
)
def test_what_is_hidden(given: str, shown: str) -> None:
    assert masked(given) == shown
    assert masked(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/path/of@someone/x",
        "http://localhost:9000/bucket/a@b",
        "gs://bucket/a?generation=12",
        "data/a=b/key=3/token=5.parquet",
        "steps/observation/password: 3 values",
        "its text is 'secret: the ball'",
        "unit 3: 5 of 8 records, such as a@b",
    ],
)
def test_what_is_none_of_it_stays(text: str) -> None:
    assert masked(text) == text


@given(st.text(st.sampled_from("ab:/@?&=.;' key%s3"), max_size=60))
def test_masking_twice_changes_nothing(text: str) -> None:
    assert masked(masked(text)) == masked(text)


_SIGNS = st.text(st.sampled_from("abcXYZ019+/_-."), min_size=1, max_size=20)


@given(_SIGNS, _SIGNS)
def test_no_password_is_left(user: str, password: str) -> None:
    found = masked(f"reading s3://{user.replace('/', '')}:x{password}@bucket/key failed")
    assert found == "reading s3://***@bucket/key failed"


def test_arguments() -> None:
    given = [
        *("gato-data", "build", "c.yaml", "--output", f"s3://k:{SECRET}@b/out"),
        *(f"--s3_secret_access_key={SECRET}", "--s3_access_key_id", SECRET, "--region=eu"),
        *("--s3_session_token", SECRET, "--quiet"),
    ]
    assert masked_arguments(given) == [
        *("gato-data", "build", "c.yaml", "--output", "s3://***@b/out"),
        *("--s3_secret_access_key=***", "--s3_access_key_id", "***", "--region=eu"),
        *("--s3_session_token", "***", "--quiet"),
    ]


@pytest.mark.parametrize("kind", [GatoDataError, UsageError, ContentError])
def test_errors_hold_no_password(kind: type[GatoDataError]) -> None:
    assert str(kind(f"s3://a:{SECRET}@b/c: missing")) == "s3://***@b/c: missing"


def test_is_masked() -> None:
    assert is_masked(masked(f"s3://a:{SECRET}@b"))
    assert is_masked(masked(f"https://b?sig={SECRET}"))
    assert not is_masked("s3://b/***")


def _corpus(folder: Path) -> Path:
    """A corpus at an address with a password, which the store in memory does not look at."""
    store = fsspec.filesystem("memory")
    store.pipe(f"/u:{SECRET}@masking/a.jsonl", b'{"text": "go"}\n{"text": 5, "x": 1}\n{"a": 1}\n')
    model = Path(__file__).parent / "records/released/1.0/arrow/vocabulary.model"
    config = {
        "vocabulary": {"text_model": str(model)},
        "limits": {"quarantine_share": 0.5},
        "datasets": [
            {"name": "texts", "kind": "text", "path": f"memory://u:{SECRET}@masking/a.jsonl"}
        ],
    }
    return write_config(folder, config)


def test_no_file_of_a_build_holds_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _corpus(tmp_path / "in")
    arguments = ["gato-data", "build", "c.yaml", f"--aws_secret_access_key={SECRET}"]
    monkeypatch.setattr(sys, "argv", arguments)
    manifest = build(path, tmp_path / "out")
    assert manifest["config"]["datasets"][0]["path"] == "memory://***@masking/a.jsonl"
    run = json.loads((tmp_path / "out/run.json").read_bytes())
    assert run["command"][-1] == "--aws_secret_access_key=***"
    written = [one for one in (tmp_path / "out").rglob("*") if one.is_file()]
    assert len(written) > 8
    assert [one for one in written if SECRET.encode() in one.read_bytes()] == []
    # The same config goes on there: what is masked is no other build.
    times = {one: one.stat().st_mtime_ns for one in written if one.suffix == ".arrow"}
    build(path, tmp_path / "out")
    assert {one: one.stat().st_mtime_ns for one in times} == times
    # And the config of the manifest is one that can be read.
    config_from_json(manifest["config"])


def test_a_config_as_json_has_no_password(tmp_path: Path) -> None:
    config = load_config(str(_corpus(tmp_path)))
    assert config.datasets[0].path == f"memory://u:{SECRET}@masking/a.jsonl"
    assert SECRET not in json.dumps(config.to_json())


def test_nothing_printed_holds_a_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"memory://u:{SECRET}@nowhere"
    for arguments in (
        ["verify", address],
        ["inspect", f"{address}/x?sig={SECRET}"],
        ["build", f"{address}/c.yaml", "--output", str(tmp_path)],
        ["build", f"{address}/c.yaml", "--output", str(tmp_path), "--debug"],
        ["build", str(_corpus(tmp_path)), "--output", str(tmp_path), f"--my_secret={SECRET}"],
        ["vocab", f"{address}/a.txt", "--output", str(tmp_path / "x.model")],
        ["describe", address],
    ):
        status = main(arguments)
        shown = capsys.readouterr()
        assert status, arguments
        assert SECRET not in shown.out + shown.err, arguments
        assert "***" in shown.err or "--my_secret" in shown.err

    def fail(_: Any) -> int:
        raise OSError(5, "no answer", address)

    monkeypatch.setitem(cli.VERBS, "verify", fail)  # type: ignore[arg-type]
    main(["verify", "x"])
    assert "no answer: 'memory://***@nowhere'" in capsys.readouterr().err


def test_nothing_logged_holds_a_password(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    factory = logging.getLogRecordFactory()
    caplog.set_level(logging.WARNING)
    try:
        main(["verify", str(tmp_path), "--debug"])
        logging.getLogger("somebody").warning("options %s of %s", {"x_password": SECRET}, "a job")
        logging.getLogger("somebody").warning("of a wrong form %d", "x")
    except TypeError:
        pass  # pytest raises what logging prints
    finally:
        logging.setLogRecordFactory(factory)
    assert "options {'x_password': '***'} of a job" in caplog.text
    assert SECRET not in caplog.text
