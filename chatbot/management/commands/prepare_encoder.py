"""``manage.py prepare_encoder``: make the form of the encoder in which web processes embed questions without torch."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from knowledge import embedding
from knowledge.embedding import EncoderUnavailable
from knowledge.fast_encoder import CannotExport


class Command(BaseCommand):
    help = "Make the fast form of the encoder, once a machine; does nothing when it is there."

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        try:
            nearest = embedding.prepare()
        except EncoderUnavailable as problem:
            raise CommandError(str(problem)) from problem
        except CannotExport as reason:
            self.stdout.write(f"This encoder has no fast form; questions are embedded by torch. {reason}")
            return
        if nearest is None:
            self.stdout.write("The fast form is there already.")
        else:
            took = time.monotonic() - began
            self.stdout.write(f"Made in {took:.0f} s; sample questions come within a cosine of {nearest:.4f}.")
