"""What a host's disk holds, as the rows that its page shows; kept in `Host.disk`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from engines.models import Engine
from hosts.runners.docker.disk import (
    ContainerUse,
    DiskUse,
    ImageUse,
    VolumeUse,
    canonical,
    reclaimable,
)

Row = dict[str, Any]
Needs = Mapping[str, Collection[Engine]]


def disk_rows(
    use: DiskUse,
    *,
    engines: Collection[Engine],
    current: Needs,
    way_back: Needs,
    volumes: Collection[str],
    may_pull: bool,
) -> Row:
    """Everything of ours with its size, who needs it, and by which word it could be given back.

    `current` and `way_back` are images by id or name, with the engines that run them and those
    that could be rolled back to them; `volumes` are those that engines were given; `may_pull`:
    what a broken pull left may be needed in a moment.
    """
    names = {engine.name for engine in engines}
    free = reclaimable(use, engines=names, images=[*current, *way_back], volumes=volumes)
    rows = [_image(one, current, way_back, free.images, may_pull) for one in use.images]
    rows += [_container(one, free.containers, names) for one in use.containers]
    rows += [_volume(one, free.volumes) for one in use.volumes]
    return {
        "rows": rows,
        "free": free.size,
        "images_size": use.images_size,
        "other_images_size": use.other_images_size,
        "other_containers_size": use.other_containers_size,
        "other_volumes_size": use.other_volumes_size,
        "build_cache_size": use.build_cache_size,
    }


def _image(
    one: ImageUse, current: Needs, way_back: Needs, free: Collection[str], may_pull: bool
) -> Row:
    runs = _users(one, current)
    returns = [engine for engine in _users(one, way_back) if engine not in runs]
    row = {
        "kind": "image",
        "title": one.names[0] if one.names else one.id[:19],
        "size": one.size,
        "own": one.own_bytes,
        "engines": [str(engine) for engine in runs],
        "choice": f"image:{one.id}",
        "is_chosen": False,
    }
    if one.is_partial:
        note = "Finished layers of a pull that broke off; the next try goes on from there."
        return {**row, "note": note, "choice": "" if may_pull else row["choice"]}
    if runs:
        return {**row, "note": f"{_listed(runs)} {_runs(runs)} it.", "choice": ""}
    if returns and not one.used_by:
        return {**row, "note": f"Kept so that {_listed(returns)} can be rolled back to it."}
    if one.id in free:
        return {**row, "note": "No engine needs it any more.", "is_chosen": True}
    note = f"Somebody else calls it {one.foreign_names[0]}." if one.foreign_names else ""
    return {**row, "note": note or "Containers are made from it.", "choice": ""}


def _container(one: ContainerUse, free: Collection[str], names: Collection[str]) -> Row:
    is_free = one.id in free
    note = "Belongs to no engine; see above." if one.engine not in names else ""
    return {
        "kind": "container",
        "title": one.name,
        "size": one.size,
        "own": one.size,
        "engines": [],
        "note": note or "What its engine wrote outside of its volumes.",
        "choice": f"container:{one.id}" if is_free else "",
        "is_chosen": False,
    }


def _volume(one: VolumeUse, free: Collection[str]) -> Row:
    is_free = one.name in free
    users = f"Used by {', '.join(one.used_by)}." if one.used_by else "No container has it."
    return {
        "kind": "volume",
        "title": one.name,
        "size": one.size,
        "own": one.size,
        "engines": [],
        "note": f"{users} What is in it would be lost." if is_free else users,
        "choice": f"volume:{one.name}" if is_free else "",
        "is_chosen": False,
    }


def engine_sizes(
    engine: Engine, use: DiskUse, *, images: Collection[str], volumes: Collection[str]
) -> Row:
    """What would come free with an engine: by its images, by id, its container, each volume."""
    known = {one.name: one.size for one in use.volumes}
    mine = [one.size for one in use.containers if one.engine == engine.name]
    return {
        "image": use.freed_by(set(images)) if images else None,
        "container": sum(mine),
        "volumes": {name: known.get(name) for name in volumes},
        "ours": [name for name in volumes if name in known],
    }


def ids_of(use: DiskUse, wanted: Collection[str]) -> set[str]:
    """Ids of the images that are meant by these ids and names."""
    return {one.id for one in use.images if not _called(one).isdisjoint(wanted)}


def _called(one: ImageUse) -> set[str]:
    return {one.id, *map(canonical, one.names)}


def _users(one: ImageUse, needs: Needs) -> list[Engine]:
    found = [engine for name in _called(one) for engine in needs.get(name, ())]
    return list(dict.fromkeys(found))


def _runs(engines: Collection[Engine]) -> str:
    return "runs" if len(engines) == 1 else "run"


def _listed(engines: Collection[Engine]) -> str:
    *most, last = [str(engine) for engine in engines]
    return f"{', '.join(most)} and {last}" if most else last
