"""Statements that are written once and run many times.

Django writes a query's SQL anew each time it is run. For a row with what it refers to that takes three times as long as
all the rest, on the processor that streams answers, so the few statements that every question needs are kept here
(docs/decisions/0020). What they read and write are ordinary model instances, through the fields' own conversions.
"""

import datetime as dt
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from django.db.models.query import get_related_populators
from django.db.models.sql import InsertQuery

Row = TypeVar("Row", bound=models.Model)

_FIRST_NUMBER = 2_000_000_011  # stands for a number in a statement that is being written; no row has it


class Rows(Generic[Row]):
    """The rows of a query set that is the same but for some values: `rows` gets them by name, `given` says of what type:
    ``str``, ``int`` or ``datetime``.

    A list of numbers is given as a tuple of as many types, and may be shorter when it is run. Values in a slice are not
    given, they are written into the statement. A lock (``select_for_update``) needs a transaction around each run.
    """

    def __init__(self, rows: Callable[..., models.QuerySet[Row]], **given: type | tuple[type, ...]) -> None:
        self._rows, self._given = rows, given
        self._written: dict[str, _Statement[Row]] = {}
        self._writing = threading.Lock()

    def all(self, **values: Any) -> list[Row]:
        (rows,) = fetch_each(self.asked(**values))
        return rows

    def get(self, **values: Any) -> Row:
        """Raises the model's ``DoesNotExist``; of several rows, which no caller has, it is the first."""
        for row in self.all(**values):
            return row
        raise self._statement().missing

    def first(self, **values: Any) -> Row | None:
        return next(iter(self.all(**values)), None)

    def asked(self, **values: Any) -> "Asked":
        """For `fetch_each`."""
        return Asked(self._statement(), values)

    def _statement(self) -> "_Statement[Row]":
        vendor = _connection().vendor
        found = self._written.get(vendor)
        if found is None:
            with self._writing:
                stand_ins = _stand_ins(self._given)
                found = self._written[vendor] = _Statement(self._rows(**stand_ins), stand_ins)
        return found


class _Statement(Generic[Row]):
    """A query set's SQL, and how its columns become instances: what `django.db.models.query.ModelIterable` does."""

    def __init__(self, rows: models.QuerySet[Row], stand_ins: Mapping[str, Any]) -> None:
        compiler = rows.query.get_compiler(connection=connection)  # whichever thread's it is: the compiler is kept
        self.sql, written = compiler.as_sql()
        self._values = [_name_of(value, stand_ins) for value in written]
        if missing := set(stand_ins) - {name for name, _, _ in self._values}:
            raise ValueError(f"not in the statement: {', '.join(sorted(missing))}")
        chosen, places = compiler.select, compiler.klass_info["select_fields"]
        self.model: type[Row] = compiler.klass_info["model"]
        self.missing: type[Exception] = vars(self.model)["DoesNotExist"]
        self._columns = slice(places[0], places[-1] + 1)
        self._names = [column[0].target.attname for column in chosen[self._columns]]
        populators: Any = get_related_populators  # the stubs know a later Django's
        self._related = populators(compiler.klass_info, chosen, DEFAULT_DB_ALIAS)
        self._conversions = compiler.get_converters([column[0] for column in chosen])
        self._compiler = compiler

    def with_values(self, here: Any, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        return self.sql, [_value(here, values[name], at) if name else value for name, at, value in self._values]

    def instances(self, found: Any) -> list[Row]:
        if self._conversions:
            found = self._compiler.apply_converters(found, self._conversions)
        return [self._instance(row) for row in found]

    def _instance(self, row: Sequence[Any]) -> Row:
        instance: Row = self.model.from_db(DEFAULT_DB_ALIAS, self._names, row[self._columns])
        for related in self._related:
            related.populate(row, instance)
        return instance


@dataclass(frozen=True)
class Asked:
    """Rows with the values that they are asked for with."""

    statement: "_Statement[Any]"
    values: Mapping[str, Any]


def fetch_each(*asked: Asked) -> list[list[Any]]:
    """The rows of each, in one round trip where the database takes several statements at once."""
    here = _connection()
    statements = [one.statement.with_values(here, one.values) for one in asked]
    if here.vendor == "postgresql":
        together = ";\n".join(sql for sql, _ in statements), [value for _, values in statements for value in values]
        found = _fetch_each(here, [together])
    else:
        found = _fetch_each(here, statements)
    return [one.statement.instances(rows) for one, rows in zip(asked, found, strict=True)]


def _fetch_each(here: Any, statements: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
    found = []
    with here.cursor() as cursor:
        for statement in statements:
            cursor.execute(*statement)
            found.append(cursor.fetchall())
            while here.vendor == "postgresql" and cursor.nextset():
                found.append(cursor.fetchall())
    return found


def insert(row: models.Model) -> None:
    """As ``row.save(force_insert=True)``, without signals; the row gets its key."""
    here = _connection()
    sql, fields = _insertion(type(row), here.vendor, keyed=True)
    with here.cursor() as cursor:
        cursor.execute(sql, _to_write(here, row, fields, adding=True))
        row.pk = cursor.fetchone()[0]
    row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


def insert_unkeyed(row: models.Model) -> None:
    """As `insert` for a row whose key nobody needs: it gets none, and goes with the next statement (see `_write`)."""
    here = _connection()
    sql, fields = _insertion(type(row), here.vendor, keyed=False)
    _write(here, sql, _to_write(here, row, fields, adding=True))


def update(row: models.Model, names: Sequence[str]) -> None:
    """As ``row.save(update_fields=names)``, without signals; whoever holds the row's lock knows that it is there.

    It goes with the next statement (see `_write`).
    """
    here = _connection()
    sql, fields = _change(type(row), tuple(names), here.vendor)
    _write(here, sql, [*_to_write(here, row, fields, adding=False), row.pk])


def _write(here: Any, sql: str, values: list[Any]) -> None:
    """Within a transaction what goes wrong is raised by the next statement, or by the commit (see `workspace.postgresql`)."""
    if hasattr(here, "with_next"):
        here.with_next(sql, values)
    else:
        with here.cursor() as cursor:
            cursor.execute(sql, values)


def _connection() -> Any:
    """This thread's own: Django's `connection` looks for it anew at each attribute, which is felt here."""
    return connections[DEFAULT_DB_ALIAS]


def _to_write(here: Any, row: models.Model, fields: Sequence[Any], *, adding: bool) -> list[Any]:
    return [field.get_db_prep_save(field.pre_save(row, adding), connection=here) for field in fields]


@lru_cache
def _insertion(model: type[models.Model], vendor: str, *, keyed: bool) -> tuple[str, Sequence[Any]]:
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    query = InsertQuery(model)
    query.insert_values(fields, [model()])
    compiler = query.get_compiler(connection=_connection())
    if keyed:
        compiler.returning_fields = [model._meta.pk]
    ((sql, _),) = compiler.as_sql()
    return sql, fields


@lru_cache
def _change(model: type[models.Model], names: tuple[str, ...], vendor: str) -> tuple[str, Sequence[Any]]:
    quote = _connection().ops.quote_name
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    key: Any = model._meta.pk
    columns = ", ".join(f"{quote(field.column)} = %s" for field in fields)
    table = quote(model._meta.db_table)
    return f"UPDATE {table} SET {columns} WHERE {quote(key.column)} = %s", fields  # noqa: S608 - names of models' columns


def _stand_ins(given: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """A value for each name that stands for nothing else."""
    numbers = iter(range(_FIRST_NUMBER, _FIRST_NUMBER + 1_000))

    def one(name: str, kind: type) -> Any:
        if kind is str:
            return f"\ue000{name}"
        return next(numbers) if kind is int else dt.datetime.fromtimestamp(next(numbers), dt.UTC)

    return {
        name: [one(name, each) for each in kind] if isinstance(kind, tuple) else one(name, kind)
        for name, kind in given.items()
    }


def _name_of(value: Any, stand_ins: Mapping[str, Any]) -> tuple[str, int, Any]:
    """Which of the given values is meant, and which of a list (-1: it is none); else the value itself."""
    for name, stand_in in stand_ins.items():
        if isinstance(stand_in, list) and value in stand_in:
            return name, stand_in.index(value), None
        if not isinstance(stand_in, list) and value == _as_written(_connection(), stand_in):
            return name, -1, None
    return "", -1, value


def _value(here: Any, given: Any, at: int) -> Any:
    """A short list is filled up with its last value: it is asked for again, and found once."""
    return _as_written(here, given) if at < 0 else given[min(at, len(given) - 1)]


def _as_written(here: Any, value: Any) -> Any:
    return here.ops.adapt_datetimefield_value(value) if isinstance(value, dt.datetime) else value
