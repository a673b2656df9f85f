"""Which process this is: as given, as a framework has it, or the only one."""

import json
from typing import Any

import pytest

from gato_data.errors import UsageError
from gato_data.loading.hosts import Host, find_host

CLUSTER: dict[str, Any] = {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"]}


def test_slices_cover_a_batch_in_order() -> None:
    slices = [Host(index, 3).slice_of(12) for index in range(3)]
    assert [list(range(12))[one] for one in slices] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]


def test_given_or_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert find_host(None, None) == Host(0, 1)
    assert find_host(2, 8) == Host(2, 8)
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": CLUSTER, "task": {"index": 1}}))
    assert find_host(0, 1) == Host(0, 1)


@pytest.mark.parametrize(
    ("cluster", "task", "host"),
    [
        (CLUSTER, {"type": "chief", "index": 0}, Host(0, 3)),
        (CLUSTER, {"type": "worker", "index": 0}, Host(1, 3)),
        (CLUSTER, {"type": "worker", "index": 1}, Host(2, 3)),
        (CLUSTER, {"type": "ps", "index": 0}, Host(0, 1)),
        (CLUSTER, {"type": "evaluator", "index": 0}, Host(0, 1)),
        ({"master": ["a:1"], "worker": ["b:1"]}, {"type": "worker", "index": "0"}, Host(1, 2)),
        ({"worker": ["b:1", "c:1"]}, {"type": "worker", "index": 1}, Host(1, 2)),
        ({}, {}, Host(0, 1)),
        (None, None, Host(0, 1)),
    ],
)
def test_a_worker_of_tensorflow(
    monkeypatch: pytest.MonkeyPatch, cluster: Any, task: Any, host: Host
) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    assert find_host(None, None) == host


NO_NUMBER = json.dumps({"cluster": CLUSTER, "task": {"index": "x"}})


@pytest.mark.parametrize("config", ["{", "[]", "3", '{"cluster": 3}', NO_NUMBER])
def test_a_cluster_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, config: str) -> None:
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UsageError, match="TF_CONFIG is no JSON of a cluster"):
        find_host(None, None)


def test_a_worker_that_the_cluster_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    task = {"type": "worker", "index": 2}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": CLUSTER, "task": task}))
    with pytest.raises(UsageError, match="process_index is 3 of 3"):
        find_host(None, None)
