"""Two versions of a schema, compared for those who send its values or for those who read them."""

from collections.abc import Sequence

from deploy.contracts.alternatives import ANY, Alternative, alternatives, takes
from deploy.contracts.documents import Definitions, Schema


class SchemaComparison:
    """Compares schemas of two documents, old and new.

    With `is_answer` the platform sends the values: what it sends now must suit those who read the
    old contract. Else it receives them: what the old contract allowed must still be taken.
    """

    def __init__(self, old: Definitions, new: Definitions, *, is_answer: bool) -> None:
        self._old = old
        self._new = new
        self._is_answer = is_answer
        self._known: dict[tuple[str, str], list[str]] = {}

    def compare(self, old: Schema, new: Schema, *, at: str) -> list[str]:
        """The breaking changes; `at` says where the schemas stand."""
        before = alternatives(old, self._old)
        after = alternatives(new, self._new)
        givers, takers = before, after
        if self._is_answer:
            givers, takers = after, before
        found: list[str] = []
        for giver in givers:
            fitting = [taker for taker in takers if takes(taker, giver)]
            if not fitting:
                found.append(f"{at}: the type changed from {_kinds(before)} to {_kinds(after)}")
                continue
            found += self._compare_with_any(giver, fitting, at=at)
        return found

    def _compare_with_any(
        self, giver: Alternative, takers: Sequence[Alternative], *, at: str
    ) -> list[str]:
        """The changes against the taker of the same name, or against the one that fits best."""
        namesakes = [taker for taker in takers if taker.name and taker.name == giver.name]
        results = [self._pair(giver, taker, at=at) for taker in namesakes or takers]
        return min(results, key=len)

    def _pair(self, giver: Alternative, taker: Alternative, *, at: str) -> list[str]:
        old, new = giver, taker
        if self._is_answer:
            old, new = taker, giver
        if not old.name or not new.name:
            return self._compare_alternatives(old, new, at=at)
        # Named schemas are compared once, and their changes told where the schema stands.
        pair = (old.name, new.name)
        if pair not in self._known:
            # A schema may hold itself.
            self._known[pair] = []
            self._known[pair] = self._compare_alternatives(old, new, at=old.name)
        return self._known[pair]

    def _compare_alternatives(self, old: Alternative, new: Alternative, *, at: str) -> list[str]:
        if ANY in {old.kind, new.kind}:
            # Only the side that takes can be any value here, and it takes all.
            return []
        if self._is_answer:
            found = [*_changed_constants(old, new, at=at), *_missing_in_answer(old, new, at=at)]
        else:
            found = [*_refused_values(old, new, at=at), *_refused_keys(old, new, at=at)]
        return found + self._compare_parts(old, new, at=at)

    def _compare_parts(self, old: Alternative, new: Alternative, *, at: str) -> list[str]:
        found: list[str] = []
        for name, schema in old.properties.items():
            if name in new.properties:
                found += self.compare(schema, new.properties[name], at=f"{at}.{name}")
        if old.other_keys is not None and new.other_keys is not None:
            found += self.compare(old.other_keys, new.other_keys, at=f"{at}.*")
        if old.kind == "array":
            items = (old.items or Schema(), new.items or Schema())
            found += self.compare(*items, at=f"{at}[]")
        return found


def _kinds(found: Sequence[Alternative]) -> str:
    return " | ".join(sorted({one.kind for one in found}))


def _changed_constants(old: Alternative, new: Alternative, *, at: str) -> list[str]:
    # More values or fewer are the same list still; quite others are another list.
    if old.values is None or new.values is None or old.values & new.values:
        return []
    return [f"{at}: none of the values {_listed(old.values)} is left"]


def _missing_in_answer(old: Alternative, new: Alternative, *, at: str) -> list[str]:
    found: list[str] = []
    for name in old.properties:
        if name not in new.properties:
            found.append(f"{at}.{name}: the property is removed")
        elif name in old.required and name not in new.required:
            found.append(f"{at}.{name}: the property may be absent now")
    return found


def _refused_values(old: Alternative, new: Alternative, *, at: str) -> list[str]:
    if new.values is None:
        return []
    if old.values is None:
        return [f"{at}: only {_listed(new.values)} is taken now"]
    removed = old.values - new.values
    return [f"{at}: {_listed(removed)} is taken no longer"] if removed else []


def _refused_keys(old: Alternative, new: Alternative, *, at: str) -> list[str]:
    found: list[str] = []
    for name in sorted(new.required - old.required):
        found.append(f"{at}.{name}: the property is required now")
    if new.other_keys is not None:
        return found
    for name in old.properties:
        if name not in new.properties:
            found.append(f"{at}.{name}: the property is taken no longer")
    if old.other_keys is not None:
        found.append(f"{at}: other keys are taken no longer")
    return found


def _listed(values: frozenset[str]) -> str:
    return ", ".join(sorted(values))
