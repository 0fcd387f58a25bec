"""Fields sealed with AES-256-GCM: message text, contact details and credentials are unreadable in the database.

A stored value looks like ``k1.<base64url of 12-byte nonce + ciphertext + tag>``; ``k1`` names the key, so that a new
key can write while old keys still read. The table, column, workspace and public id of the row are bound into the
seal: a value copied to another row, column or tenant does not open.
"""

import json
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models.query_utils import DeferredAttribute
from django.utils.translation import gettext_lazy as _

from workspace.keys import keyring

if TYPE_CHECKING:
    _TextField = models.TextField[Any, Any]
else:
    _TextField = models.TextField


class Ciphertext(str):
    """A sealed value as it stands in the database; the only kind of string these columns accept."""


class SealedTextField(_TextField):
    """Text that is sealed on its way into the database and opened on first use.

    The model needs ``workspace`` and ``public_id``. ``QuerySet.update`` and lookups refuse plain text: use ``save``
    or ``bulk_create``, or seal by hand with `seal_for`.
    """

    description = _("Encrypted text")

    class _Opening(DeferredAttribute):
        field: "SealedTextField"

        def __get__(self, instance: models.Model | None, cls: Any = None) -> Any:
            value = super().__get__(instance, cls)
            if instance is not None and isinstance(value, Ciphertext):
                held: Any = instance
                opened = keyring().open(value, _place(self.field, held.workspace_id, held.public_id))
                value = self.field.from_plain_text(opened)
                instance.__dict__[self.field.attname] = value
            return value

        def __set__(self, instance: models.Model, value: Any) -> None:
            """Being able to set makes this a data descriptor, so that reading always comes through `__get__`."""
            instance.__dict__[self.field.attname] = value

    descriptor_class = _Opening

    def from_db_value(self, value: str | None, *_: Any) -> Ciphertext | None:
        return None if value is None else Ciphertext(value)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        return seal_for(model_instance, self.attname, getattr(model_instance, self.attname))

    def get_prep_value(self, value: Any) -> Any:
        if value is None or isinstance(value, Ciphertext):
            return value
        raise TypeError(f"{self.name} is sealed: write it with save() or seal_for(), and do not search in it.")

    def value_to_string(self, obj: models.Model) -> str:
        return str(getattr(obj, self.attname))

    def from_plain_text(self, text: str) -> Any:
        return text

    def to_plain_text(self, value: Any) -> str:
        return str(value)


class SealedJSONField(SealedTextField):
    """JSON that is sealed like `SealedTextField`."""

    description = _("Encrypted JSON")

    def from_plain_text(self, text: str) -> Any:
        return json.loads(text)

    def to_plain_text(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def formfield(self, **kwargs: Any) -> Any:
        from django import forms

        return super().formfield(**{"form_class": forms.JSONField, **kwargs})


def seal_for(instance: models.Model, attname: str, value: Any) -> Ciphertext | None:
    """Seal `value` for one column of one row, for use in a compare-and-set ``update``."""
    if value is None or isinstance(value, Ciphertext):
        return value
    held: Any = instance
    return sealed_value(type(instance), attname, held.workspace_id, held.public_id, value)


def sealed_value(model: type[models.Model], attname: str, workspace_id: int, public_id: str, value: Any) -> Ciphertext:
    """Seal `value` for one column of the row of a workspace that has this public id."""
    field = model._meta.get_field(attname)
    assert isinstance(field, SealedTextField)
    return Ciphertext(keyring().seal(field.to_plain_text(value), _place(field, workspace_id, public_id)))


def fingerprint(workspace_id: int, text: str) -> str:
    """A keyed hash (hex, 64 characters) by which a sealed value can be looked up for equality, per workspace."""
    return keyring().fingerprint(f"{workspace_id}\0{text}")


def _place(field: "models.Field[Any, Any]", workspace_id: int, public_id: str) -> bytes:
    return f"{field.model._meta.db_table}.{field.column}:{workspace_id}:{public_id}".encode()
