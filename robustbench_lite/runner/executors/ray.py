"""Workers on a cluster, by Ray (https://docs.ray.io): an actor each, so that classifiers are loaded once a worker.

No file system is shared: what is made comes back through Ray's object store, and the driver stores it.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from robustbench_lite import __version__
from robustbench_lite.errors import UsageError
from robustbench_lite.results.shards import Fit, Shard
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.executors.base import Setup
from robustbench_lite.runner.executors.driver import Driver, Word
from robustbench_lite.runner.executors.jobs import Job, Order, portable
from robustbench_lite.runner.executors.worker import Say, Worker
from robustbench_lite.runner.plan import Cell

__all__ = ["Ray", "fitting"]

_TRIES = 3  # to start the first worker
_KNOCK = 10.0  # seconds to wait for a machine of the cluster
_WAIT = 0.2  # seconds until words are looked for again
_NOT_SENT = [".git", ".venv", "__pycache__"]  # of the suite's folder, beside what .gitignore says


@dataclass
class Ray:
    """The executor of so many workers of a cluster: that at `address`, else one on this machine.

    Each has so many `cpus`, and `gpus`, which may be a fraction of one; null: one where this machine uses one.
    """

    jobs: int
    address: str | None = None
    cpus: int = 1
    gpus: float | None = None
    _own: bool = False  # whether it was begun here
    sent: bool = False  # whether the suite's folder is

    def check(self, assets: Assets, folder: Path) -> None:
        portable(assets, "--executor ray")
        ray = _ray()
        self._own = not ray.is_initialized()
        try:
            if self._own:
                self._connect(_environment(assets, folder.resolve()))
            self._refuse_what_cannot_be_met(assets)
        except BaseException:
            self._leave()
            raise

    def reports(self, due: Sequence[Cell], setup: Setup) -> Generator[CellReport]:
        try:
            yield from Driver(setup, _Actors(self, setup), self.jobs).run(due)
        finally:
            self._leave()

    def gpus_of(self, assets: Assets) -> float:
        """What each worker is given."""
        return self.gpus if self.gpus is not None else float(assets.device.type == "cuda")

    def _connect(self, environment: dict[str, Any]) -> None:
        self.sent = bool(environment)
        address = self.address or os.environ.get("RAY_ADDRESS")
        more = {"log_to_driver": False, "logging_level": "ERROR"} | ({} if address else {"include_dashboard": False})
        try:
            _knock(address or "")
            with _our_signals():
                _ray().init(address=self.address, runtime_env=environment, **more)
        except (OSError, ValueError, RuntimeError) as error:
            where = address or "this machine"
            raise UsageError(f"--executor ray: no Ray cluster answers at {where} ({_first(error)})") from None

    def _leave(self) -> None:
        if self._own:
            _ray().shutdown()

    def _refuse_what_cannot_be_met(self, assets: Assets) -> None:
        ray, gpus = _ray(), self.gpus_of(assets)
        room = sum(fitting(node["Resources"], self.cpus, gpus) for node in ray.nodes() if node["Alive"])
        if room < self.jobs:
            has = ray.cluster_resources()
            raise UsageError(
                f"--executor ray: expected room for {self.jobs} workers with {self.cpus} CPUs and {gpus:g} GPUs each, "
                f"the cluster has {has.get('CPU', 0):g} CPUs and {has.get('GPU', 0):g} GPUs, room for {room}; "
                "lower --jobs, --cpus or --gpus, or add machines"
            )


def fitting(resources: Mapping[str, float], cpus: int, gpus: float) -> int:
    """How many workers find room on a machine; no two GPUs make up for one that is too small."""
    room = int(resources.get("CPU", 0) // cpus)
    if not gpus:
        return room
    have = int(resources.get("GPU", 0))
    return min(room, int(have // gpus) if gpus >= 1 else have * int(1 / gpus + 1e-9))


def _ray() -> Any:
    """The library. Raises UsageError where it is missing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UsageError("--executor ray needs Ray: pip install 'robustbench_lite[ray]'") from None
    return ray


def _last(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


@contextmanager
def _our_signals() -> Iterator[None]:
    """Ray puts its own handler in the place of ours."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _environment(assets: Assets, results: Path) -> dict[str, Any]:
    """What travels to the workers: the suite's folder where code of the user's lies in it; else nothing."""
    suite = assets.suite
    code = [model for model in suite.models if model.runs_code or model.stand_in]
    if not code and not any(entry.attack.source for entry in suite.attacks):
        return {}
    root = suite.root.resolve()
    inside = [f"/{results.relative_to(root).parts[0]}"] if results != root and results.is_relative_to(root) else []
    return {"working_dir": str(root), "excludes": [*_NOT_SENT, *inside]}


def _knock(address: str) -> None:
    """Raises OSError where nobody listens at host:port, which Ray would wait two minutes for."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_KNOCK).close()


def _first(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@dataclass
class _Sent:
    """The shards of a cell with a worker who sees no results folder: the driver has them, and hears what is new."""

    say: Say
    known: list[Shard]
    known_fit: Fit | None

    def add(self, shard: Shard) -> None:
        self.say("add", shard)

    def add_fit(self, fit: Fit) -> None:
        self.say("add_fit", fit)

    def fit(self) -> Fit | None:
        return self.known_fit

    def stored(self) -> list[Shard]:
        return list(self.known)

    def images(self, shard: Shard) -> pa.Table:
        """A cell that is put together by a worker has one shard, and what is not in that is nowhere."""
        return shard.images

    def remove(self, shard: Shard) -> None:
        self.known.remove(shard)

    def drop(self) -> None:
        self.known.clear()
        self.say("drop", None)


class _Actor:
    """What Ray starts. Its words go into a queue, in order, and before its job is over."""

    def __init__(self, order: Order) -> None:
        self.worker = Worker(order)

    def version(self) -> str:
        """Of the package there."""
        return __version__

    def do(self, job: Job, known: list[Shard], fit: Fit | None, words: Any, number: int) -> CellReport:
        def say(word: str, about: Any) -> None:
            words.put((number, word, about))

        return self.worker.do(job, _Sent(say, known, fit), say)


@dataclass
class _Actors:
    """The crew."""

    ray: Ray
    setup: Setup
    _words: Any = None
    _at: dict[int, Any] = field(default_factory=dict)
    _busy: dict[int, tuple[int, Any]] = field(default_factory=dict)  # number of the job, what it will have returned
    _number: int = 0  # of jobs that were given

    @property
    def device(self) -> str:
        return "cuda" if self.ray.gpus_of(self.setup.assets) else "cpu"

    def begin(self, place: int) -> None:
        if self._words is not None:
            self._at[place] = self._started()
            return
        self._words = _words()
        self.setup.told.entered("waiting for the cluster")
        self._at[place] = self._greeted()

    def _started(self) -> Any:
        order = Order.of(self.setup, self.device, self.ray.cpus)
        order = replace(order, root=None) if self.ray.sent else order
        gpus = self.ray.gpus_of(self.setup.assets)
        needs = {"num_cpus": self.ray.cpus, "num_gpus": gpus, "max_restarts": 0}
        return _ray().remote(**needs)(_Actor).remote(order)

    def _greeted(self) -> Any:
        """The first one. Raises UsageError where none can be started, or it has another version of this package."""
        ray, problem = _ray(), ""
        for _ in range(_TRIES):
            actor = self._started()
            try:
                version = ray.get(actor.version.remote())
            except (ray.exceptions.RayError, ValueError, RuntimeError) as error:
                problem = _last(error)
                continue
            if version == __version__:
                return actor
            text = f"expected robustbench_lite {__version__} on its machines, as here, got {version}"
            raise UsageError(f"--executor ray: {text}; install the same version")
        raise UsageError(f"--executor ray: a worker cannot be started: {problem}")

    def give(self, place: int, job: Job) -> None:
        shards = self.setup.store.shards(job.cell.id)
        known = [shard.without_rows() for shard in shards.stored()]
        self._number += 1
        report = self._at[place].do.remote(job, known, shards.fit(), self._words, self._number)
        self._busy[place] = self._number, report

    def hear(self, busy: Sequence[int]) -> Iterator[Word]:
        refs = {self._busy[place][1]: place for place in busy}
        ready, _ = _ray().wait(list(refs), num_returns=len(refs), timeout=_WAIT)
        yield from self._said(busy)  # whatever was said before
        for ref in ready:
            yield self._end_of(refs[ref], ref)

    def _said(self, busy: Sequence[int]) -> Iterator[Word]:
        """Words of these; not of those who have died since."""
        places = {self._busy[place][0]: place for place in busy}
        for number, word, about in self._words.get_nowait_batch(self._words.size()):
            if number in places:
                yield places[number], word, about

    def _end_of(self, place: int, ref: Any) -> Word:
        ray = _ray()
        try:
            return place, "done", ray.get(ref)
        except ray.exceptions.RayTaskError:
            raise  # a mistake of ours, with its traceback
        except ray.exceptions.RayError as error:
            return place, "died", _first(error)

    def end(self) -> None:
        for actor in self._at.values():
            with suppress(Exception):
                _ray().kill(actor)


def _words() -> Any:
    """A queue beside the driver: without the driver nothing goes on anyway."""
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(_ray().get_runtime_context().get_node_id(), soft=True)
    return Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
