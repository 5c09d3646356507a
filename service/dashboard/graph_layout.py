"""Where names stand in a picture: those that are joined near each other, groups side by side.

A spring embedding in the manner of Fruchterman and Reingold (1991), whose names push each other only nearby, so that
its cost goes by the names and not by their pairs. It is done here and not in the browser: there it would hold the page
up for seconds, and what is opened later would throw all about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]

_GOLDEN = np.pi * (3 - np.sqrt(5))
_ROUNDS, _ROUNDS_OF_MANY = 90, 24
_FEW = 250  # names, whose every pair is weighed
_NEAR = 2.5  # in lengths of a spring


def place(
    names: Sequence[int],
    groups: Mapping[int, int],
    ties: Sequence[tuple[int, int, float]],
    known: Mapping[int, tuple[float, float]] | None = None,
) -> dict[int, tuple[float, float]]:
    """Return a place for each name; a spring is 1 long. Names with a ``known`` place move little.

    ``ties`` are (name, name, strength above 0). The same input gives the same picture.
    """
    if not names:
        return {}
    row = {one: at for at, one in enumerate(names)}
    held = known or {}
    at = _start(names, groups)
    is_known = np.array([one in held for one in names])
    if is_known.any():
        _stand_by_known(at, is_known, [held.get(one) for one in names], row, ties)
    ends = np.array([(row[one], row[other]) for one, other, _ in ties], dtype=np.int64).reshape(-1, 2)
    pull = np.log1p(np.array([strength for _, _, strength in ties], dtype=np.float64)) + 0.5
    degree = np.bincount(ends.ravel(), minlength=len(names)) + 1.0
    if len(ends):
        # What has many ties would be drawn into one knot by them.
        pull /= (degree[ends[:, 0]] * degree[ends[:, 1]]) ** 0.25
    every = np.column_stack(np.triu_indices(len(names), 1)) if len(names) <= _FEW else None
    gravity = 0.12 / np.sqrt(len(names))
    freedom = np.where(is_known, 0.15, 1.0)[:, None]
    rounds = _ROUNDS if every is not None else _ROUNDS_OF_MANY
    for turn in range(rounds):
        pairs = every if every is not None else cKDTree(at).query_pairs(_NEAR, output_type="ndarray")
        force = _push(at, pairs) + _pull(at, ends, pull) - gravity * at
        length = np.linalg.norm(force, axis=1, keepdims=True)
        most = 1.2 * (1 - turn / rounds) + 0.02
        at += freedom * force * np.minimum(1.0, most / np.maximum(length, 1e-9))
    return {one: (float(x), float(y)) for one, (x, y) in zip(names, at, strict=True)}


def _start(names: Sequence[int], groups: Mapping[int, int]) -> Floats:
    """Put each group on a disc of its own, the largest in the middle."""
    members: dict[int, list[int]] = {}
    for at, one in enumerate(names):
        members.setdefault(groups[one], []).append(at)
    found = np.zeros((len(names), 2))
    before = 0.0
    for turn, group in enumerate(sorted(members, key=lambda one: (-len(members[one]), one))):
        inside = members[group]
        radius = 1.6 * np.sqrt(before + (len(inside) / 2 if turn else 0))
        middle = radius * np.array([np.cos(turn * _GOLDEN), np.sin(turn * _GOLDEN)])
        steps = np.arange(len(inside))
        spread = np.sqrt(steps + 0.5)[:, None]
        found[inside] = middle + spread * np.column_stack([np.cos(steps * _GOLDEN), np.sin(steps * _GOLDEN)])
        before += len(inside)
    return found


def _stand_by_known(
    at: Floats,
    is_known: NDArray[np.bool_],
    places: Sequence[tuple[float, float] | None],
    row: Mapping[int, int],
    ties: Sequence[tuple[int, int, float]],
) -> None:
    """Leave those with a place where they are, and put the others beside those that they are joined with."""
    for number, spot in enumerate(places):
        if spot is not None:
            at[number] = spot
    beside: dict[int, list[int]] = {}
    for one, other, _ in ties:
        for new, old in ((row[one], row[other]), (row[other], row[one])):
            if is_known[old] and not is_known[new]:
                beside.setdefault(new, []).append(old)
    middle = at[is_known].mean(axis=0)
    for turn, number in enumerate(np.flatnonzero(~is_known).tolist()):
        near = at[beside[number]].mean(axis=0) if number in beside else middle
        outwards = near - middle
        away = outwards / max(float(np.linalg.norm(outwards)), 1.0)
        around = np.array([np.cos(turn * _GOLDEN), np.sin(turn * _GOLDEN)])
        at[number] = near + away + around


def _push(at: Floats, pairs: NDArray[np.int64]) -> Floats:
    force = np.zeros_like(at)
    if len(pairs):
        away = at[pairs[:, 0]] - at[pairs[:, 1]]
        away /= np.maximum((away**2).sum(axis=1, keepdims=True), 0.01)
        for axis in (0, 1):
            force[:, axis] += np.bincount(pairs[:, 0], weights=away[:, axis], minlength=len(at))
            force[:, axis] -= np.bincount(pairs[:, 1], weights=away[:, axis], minlength=len(at))
    return force


def _pull(at: Floats, ends: NDArray[np.int64], pull: Floats) -> Floats:
    force = np.zeros_like(at)
    if len(ends):
        along = at[ends[:, 1]] - at[ends[:, 0]]
        along *= (pull * np.minimum(np.linalg.norm(along, axis=1), 6.0))[:, None] * 0.25
        for axis in (0, 1):
            force[:, axis] += np.bincount(ends[:, 0], weights=along[:, axis], minlength=len(at))
            force[:, axis] -= np.bincount(ends[:, 1], weights=along[:, axis], minlength=len(at))
    return force
