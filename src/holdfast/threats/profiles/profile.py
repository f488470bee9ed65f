"""A profile: which columns an attacker moves, which way, at what cost and why; a schema that says so."""

import dataclasses
import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from holdfast.core.errors import ThreatError
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.schema import Schema

Moves = Literal["both", "up", "down", "no"]


@dataclasses.dataclass(frozen=True)
class Role:
    """What columns of one kind are to an attacker.

    Args:
        name: A word for them.
        moves: `both` ways, `up`, `down`, or `no`.
        why: The reason, in one line.
        cost: What one standardized unit costs, or one change of a level without order.
    """

    name: str
    moves: Moves
    why: str
    cost: float = 1.0


@dataclasses.dataclass(frozen=True)
class Known:
    """A table whose columns a profile knows.

    Args:
        name: Of the set.
        columns: Names of columns of each role; `word_freq_*` is all that begin so.
        relations: What holds in its rows beside the relations of its schema.
    """

    name: str
    columns: Mapping[str, tuple[str, ...]]
    relations: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Profile:
    """Assumptions about an attacker of tables; `print` shows them, `of` makes a schema of them.

    Args:
        name: `intrusion`, say.
        attacker: Who it is and what he wants.
        threat: The limit to begin with, as a literal.
        roles: Columns by what they are to him.
        tables: Sets whose columns are known.
        beyond: What these assumptions leave out.
        sources: Where they come from.
    """

    name: str
    attacker: str
    threat: str
    roles: tuple[Role, ...]
    tables: tuple[Known, ...]
    beyond: str
    sources: tuple[str, ...]

    def of(self, schema: Schema, **columns: Iterable[str]) -> Schema:
        """The schema with what this attacker can do to its columns: directions, costs, relations.

        Ranges, steps, scales and relations stay the schema's. What it calls immutable becomes mutable where the role
        says so, constant columns aside.

        Args:
            schema: Of a set that is known, or any other.
            columns: Names of columns of each role, for another table; those that are not named are fixed.

        Raises:
            ThreatError: HF311 for a table that is not known, without columns; HF312 for a role or a column that there
                is not, or a column in two roles.
        """
        if columns:
            return self._made(schema, self._placed(schema, columns), ())
        known = next((table for table in self.tables if self._fits(schema, table)), None)
        if known is None:
            raise ThreatError(
                "HF311",
                f"The profile {self.name!r} does not know the columns of this table",
                seen=f"{schema.name}: {', '.join(list(schema.by_name)[:6])}",
                expected=f"the columns of {' or '.join(table.name for table in self.tables)}, or columns for its roles",
                fix=f'hf.profile("{self.name}").of(schema, {self.roles[0].name}=["NAME", ...])',
            )
        placed = self._placed(schema, _matched(schema, known))
        return self._made(schema, placed, known.relations)

    def knows(self, schema: Schema) -> bool:
        """Whether the columns of a table are those of one of its sets."""
        return any(self._fits(schema, table) for table in self.tables)

    def _fits(self, schema: Schema, table: Known) -> bool:
        """Whether the columns are those of a set, each of them known."""
        found = [name for names in _matched(schema, table).values() for name in names]
        return set(found) == set(schema.by_name) and all(_matched(schema, table).values())

    def _placed(self, schema: Schema, columns: Mapping[str, Iterable[str]]) -> dict[str, Role]:
        """The role of each column."""
        roles, placed = {role.name: role for role in self.roles}, dict[str, Role]()
        for word, names in columns.items():
            if word not in roles:
                raise self._misfit(f"there is no role {word!r}", f"roles {', '.join(roles)}")
            for name in [names] if isinstance(names, str) else names:
                if name not in schema.by_name:
                    raise self._misfit(f"there is no column {name!r}", f"columns of {schema.name!r}")
                if name in placed:
                    raise self._misfit(f"the column {name!r} has two roles", "one role for a column")
                placed[name] = roles[word]
        return placed

    def _misfit(self, seen: str, expected: str) -> ThreatError:
        return ThreatError(
            "HF312", f"Columns that the profile {self.name!r} cannot place", seen=seen, expected=expected
        )

    def _made(self, schema: Schema, placed: Mapping[str, Role], relations: tuple[str, ...]) -> Schema:
        features = tuple(_moved(feature, placed.get(feature.name)) for feature in schema.features)
        more = tuple(text for text in relations if text not in schema.relations)
        return dataclasses.replace(schema, features=features, relations=(*schema.relations, *more))

    def __repr__(self) -> str:
        return f"Profile({self.name}: {', '.join(table.name for table in self.tables)})"

    def __str__(self) -> str:
        wide = max(len(role.name) for role in self.roles)
        lines = [f"{self.name}: {self.attacker}", f"threat: {self.threat}", ""]
        for role in self.roles:
            price = f", {role.cost:g} a unit" if role.moves != "no" and role.cost != 1 else ""
            lines.append(f"  {role.name:{wide}s}  {role.moves + price}: {role.why}")
        for table in self.tables:
            lines += ["", f"{table.name}:"]
            lines += [f"  {role:{wide}s}  {', '.join(names)}" for role, names in table.columns.items()]
            lines += [f"  {text if len(text) <= 120 else text[:100] + ' ...'}" for text in table.relations]
        return "\n".join([*lines, "", f"left out: {self.beyond}", *(f"source: {source}" for source in self.sources)])


def _matched(schema: Schema, table: Known) -> dict[str, list[str]]:
    """The columns of each role; a pattern is one with a star."""
    return {
        role: [n for n in schema.by_name for p in names if n == p or ("*" in p and fnmatch.fnmatchcase(n, p))]
        for role, names in table.columns.items()
    }


def _moved(feature: Feature, role: Role | None) -> Feature:
    """The column as the role has it; fixed without one, and where there is one value only."""
    low, high = feature.span
    if role is None or role.moves == "no" or low == high:
        return dataclasses.replace(feature, immutable=True, direction="both")
    ordered = feature.ordered and feature.kind != "one-hot"
    told: dict[str, Any] = {"direction": role.moves if ordered else "both"}
    return dataclasses.replace(feature, immutable=False, cost=role.cost / float(feature.scale or 1), **told)
