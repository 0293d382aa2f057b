"""The `attacks:` and `defaults:` of a suite: entries, matrices expanded, each with a name of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from robustbench_lite.engine.attack import Attack, attacks
from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.generators import zoo as generators
from robustbench_lite.guards.foreign import blamed
from robustbench_lite.models import zoo
from robustbench_lite.peers import Call, peers
from robustbench_lite.registry import Records, canonical
from robustbench_lite.suite._matrix import expand
from robustbench_lite.suite.own_attacks import own_attack
from robustbench_lite.suite.records import Parts, kind_of
from robustbench_lite.suite.yaml import Key

__all__ = ["AttackEntry", "entries"]

MOST_ATTACKS = 10_000


@dataclass(frozen=True)
class AttackEntry:
    """An attack, and what this suite calls it."""

    variant: str
    attack: Attack


def entries(parts: Parts) -> tuple[AttackEntry, ...]:
    """The attacks of a suite, its matrices expanded; the classifiers must have been built before."""
    return _Entries(parts).built()


@dataclass
class _Entries:
    """Builds the attack entries of a suite from its parts."""

    parts: Parts

    def built(self) -> tuple[AttackEntry, ...]:
        named = list(self._named_alike())
        defaults = _defaults(self.parts)
        built: list[tuple[Key, str | None, Attack]] = []
        for i, (path, name, params, label) in enumerate(expand(named, self.parts.wrong)):
            if i >= MOST_ATTACKS:
                self.parts.wrong(path, f"attacks: more than {MOST_ATTACKS}, matrices expanded")
                break
            registry, kind, named_there = _registered(name)
            if kind not in registry:
                self.parts.wrong(path, attacks.unknown(name), key=True)
                continue
            own = self._common() | defaults.get(kind, {}) | named_there
            origins = self._origins(path, name, own, params)
            place = path[:2] if self._is_own(path) else path  # its parameters stand beside it
            try:
                with blamed(name, UsageError, "load"):  # validators of the user's own
                    attack = self.parts.record(registry, kind, {**own, **params}, place, origins)
                if isinstance(attack, Call):
                    self.parts.records.pop()  # it is not to be asked about before it has its function
                    attack = attack.at(self.parts.root)
                    self.parts.records.append((place, attack))
            except UsageError as error:
                self.parts.wrong(place, str(error))
                continue
            if attack is not None:
                self._sources(path, attack)
                self._named(path, attack)
                built.append((path, label, attack))
        different = self._different(built)
        names = _variants([(label, attack) for _, label, attack in different])
        self.parts.unique("attack", [(path, name) for (path, _, _), name in zip(different, names, strict=True)])
        return tuple(AttackEntry(name, attack) for (_, _, attack), name in zip(different, names, strict=True))

    def _named_alike(self) -> Iterator[tuple[int, Any]]:
        """The entries with their numbers; those that name code of the user's become {attack: parameters}."""
        files: dict[str, str] = {}
        for i, entry in enumerate(self.parts.items("attacks")):
            if not (isinstance(entry, dict) and "python" in entry):
                yield i, entry
                continue
            name = self._loaded(("attacks", i), entry)
            if name and files.setdefault(name, entry["python"]) != entry["python"]:
                self.parts.wrong(
                    ("attacks", i), f"two attacks are called '{name}'; register one of them under another name"
                )
            elif name:
                params = {key: value for key, value in entry.items() if key not in {"python", "trust", "as"}}
                yield i, {name: params, **{key: entry[key] for key in entry if key == "as"}}

    def _loaded(self, path: Key, entry: Mapping[str, Any]) -> str | None:
        """What the attack in the user's code is called; None where it cannot be had, which is a problem."""
        if entry.get("trust") is not True:
            self.parts.wrong(path, "'python:' runs code that the suite names; say `trust: true` if you trust it")
            return None
        try:
            return own_attack(str(entry["python"]), self.parts.root).registered
        except UsageError as error:
            self.parts.wrong((*path, "python"), str(error))
            return None

    def _written(self, path: Key) -> Any:
        """The entry that `path` begins at, as it is in the file."""
        return self.parts.marked.data["attacks"][path[1]]

    def _is_own(self, path: Key) -> bool:
        written = self._written(path)
        return isinstance(written, dict) and "python" in written

    def _sources(self, path: Key, attack: Attack) -> None:
        """The classifiers that an attack names must be in the suite, and enough of them."""
        named, titles = attack.sources if isinstance(attack.sources, tuple) else (), self.parts.titles
        wrong = self.parts.wrong
        for name in named:
            if name not in titles:
                wrong((*path, "sources"), f"sources: unknown classifier '{name}'{did_you_mean(name, titles)}")
        if attack.sources == "leave_one_out" and len(titles) < 2:
            wrong((*path, "sources"), "sources: leave_one_out needs two classifiers at least")
        if attack.shares is not None and len(attack.shares) != len(named or titles):
            wanted = f"{len(named or titles)}, one for each of the sources"
            wrong((*path, "weights"), f"weights: expected {wanted}, got {len(attack.shares)}")

    def _named(self, path: Key, attack: Attack) -> None:
        """What an attack names beside: a bundled generator, classifiers of the suite or of the zoo."""
        classifiers = [*self.parts.titles, *zoo.available()]
        known = {"generator": generators.available(), "auxiliary": classifiers, "second": classifiers}
        for option, name in attack.named._asdict().items() if attack.named else ():
            if name not in known[option]:
                what = "generator" if option == "generator" else "classifier"
                self.parts.wrong(
                    (*path, option), f"{option}: unknown {what} '{name}'{did_you_mean(name, known[option])}"
                )

    def _origins(self, path: Key, name: str, defaults: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Key]:
        """Where the parameters are written that the entry itself does not give: in `defaults` or in its matrix."""
        written, place = self._written(path), path
        if self._is_own(path):
            inner, place = written, path[:2]
        else:
            inner = (written[name] or {}) if isinstance(written, dict) else {}
        matrix = inner.get("matrix", {})
        kind, named_there = _registered(name)[1:]
        origins: dict[str, Key] = {key: ("defaults", kind) for key in defaults if key not in {*params, *named_there}}
        if "under" in origins and "under" not in ((self.parts.marked.data.get("defaults") or {}).get(kind) or {}):
            origins["under"] = ()
        return origins | dict.fromkeys(matrix, (*place, "matrix"))

    def _common(self) -> dict[str, Any]:
        """What the suite says for all attacks."""
        under = self.parts.marked.data.get("under")
        return {} if under is None else {"under": under}

    def _different(self, built: list[tuple[Key, str | None, Attack]]) -> list[tuple[Key, str | None, Attack]]:
        """Those that nobody before them equals; the others are problems."""
        seen: dict[str, Key] = {}
        different = []
        for path, label, attack in built:
            key = attack.fingerprint() + canonical(attack.params().get("sources"))
            if key in seen:
                where = self.parts.marked.place(seen[key])
                self.parts.wrong(path, f"the same attack with the same parameters is at {where}")
            else:
                seen[key] = path
                different.append((path, label, attack))
        return different


def _registered(name: str) -> tuple[Records[Any], str, dict[str, Any]]:
    """Where an attack is found, under what name, and what that says already: `foolbox:DDN` is one of foolbox's."""
    kind, colon, there = name.partition(":")
    if name in attacks or kind not in peers:
        return attacks, name, {}
    return peers, kind, {"attack": there} if colon else {}


def _defaults(parts: Parts) -> dict[str, dict[str, Any]]:
    value = parts.marked.data.get("defaults") or {}
    if not isinstance(value, dict):
        parts.wrong(("defaults",), f"defaults: expected a mapping from attacks to parameters, got {kind_of(value)}")
        return {}
    out = {}
    for name, params in value.items():
        registry = _registered(name)[0]
        if name not in registry:
            parts.wrong(("defaults", name), f"unknown attack '{name}'{did_you_mean(name, attacks)}", key=True)
        elif not isinstance(params, dict):
            parts.wrong(("defaults", name), f"defaults of {name}: expected a mapping, got {kind_of(params)}")
        else:
            known = registry[name].model_fields
            for key in params:
                if key not in known:
                    parts.wrong(("defaults", name, key), f"unknown key '{key}'{did_you_mean(key, known)}", key=True)
            out[name] = {key: params[key] for key in params if key in known}
    return out


def _variants(entries: list[tuple[str | None, Attack]]) -> list[str]:
    """Labels: as given, else the name, with the parameters that tell it from its namesakes where there are any."""
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    params = [attack.params() for _, attack in entries]
    for (_, attack), own in zip(entries, params, strict=True):
        for key, value in own.items():
            values[attack.title, key].add(canonical(value))
    names: list[str] = []
    for (label, attack), own in zip(entries, params, strict=True):
        telling = [key for key in own if len(values[attack.title, key]) > 1]
        text = ", ".join(f"{key}={_short(own[key])}" for key in telling)
        names.append(label or (f"{attack.title}({text})" if text else attack.title))
    return names


def _short(value: Any) -> str:
    """As a person would write it, and never the same for two different values."""
    if isinstance(value, float):
        short, levels = f"{value:.4g}", value * 255
        exact = float(short) == value
        return short if exact else f"{levels:.0f}/255" if round(levels) / 255 == value else repr(value)
    return "null" if value is None else str(value).lower()
