"""Locks in a forked child: nobody there holds them."""

from __future__ import annotations

import os
import weakref
from typing import Any

_owners: weakref.WeakSet[Any] = weakref.WeakSet()


def renewed_in_children(owner: Any) -> None:
    """From now on, as long as it lives, `owner.renew_locks()` is called in every forked child."""
    _owners.add(owner)


def _renew_all() -> None:
    for owner in list(_owners):
        owner.renew_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
