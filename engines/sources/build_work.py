"""The work of building an image: fetch, build, learn what it is, offer it in the catalog."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from catalog.custom import CustomImage, write_custom
from catalog.definition import EngineDefinition
from catalog.models import Variant
from catalog.reading import CatalogUnreadable, read_definition
from engines.following import follow
from engines.models import Engine
from engines.sources.discover_work import ask
from engines.sources.notes import note
from engines.sources.places import workspace
from engines.sources.recipe import Recipe, recipe_of
from engines.sources.services import Asking
from engines.storage_work import remember_image
from hosts.models import Host, RegistryLogin
from hosts.oci.reference import ImageReference
from hosts.runners.base import EngineFailed, EngineRunner, InstallFailed, StartFailed
from hosts.runners.docker.build import BUILD_STEPS, BuiltImage
from hosts.runners.docker.build_source import dockerfile_of, folder_below
from hosts.runners.docker.git_source import fetch
from jobs.work import JobRun

BUILT, ASKED = 85.0, 98.0
"""Percent of the job at which the image is built, and at which it is known what it is."""
DEFINITION = "engine.yaml"
DEFINITION_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Made:
    """What a build gave; the definition is that of an engine.yaml beside the Dockerfile."""

    image: BuiltImage
    definition: EngineDefinition | None


def build(run: JobRun, runner: EngineRunner, host: Host) -> None:
    """Build an image and offer it; one that does not say what it is waits for the form."""
    recipe = Recipe.read(run.job.params["recipe"])
    image = ImageReference.parse(run.job.params["image"])
    made = make(run, runner, recipe, image, ends=BUILT)
    note(run.job, platform=made.image.platform, size=made.image.size)
    definition = made.definition or _asked(run, runner, image)
    if definition is None:
        return
    run.step("offer", "Offer it in the catalog")
    if recipe.name:
        definition = definition.model_copy(update={"name": recipe.name})
    variant = write_custom(definition, _custom(definition, image, made.image, recipe), user=None)
    note(run.job, entry=variant.entry_id)
    run.line(f"{variant.entry} is in the catalog with the image {image}. Install it from there.")


def build_for(
    run: JobRun, runner: EngineRunner, engine: Engine, variant: Variant, *, ends: float
) -> float:
    """Build the image of an engine that is installed, where its variant is built and not pulled.

    The percent of the job that it reached, 0 if there was nothing to build.
    """
    recipe = recipe_of(variant) if engine.host.is_docker else None
    if recipe is None:
        return 0.0
    run.line(f"{variant.entry} has no image in a registry; it is built from {recipe.words}.")
    image = ImageReference.parse(f"{engine.image}:{engine.tag}")
    make(run, runner, recipe, image, ends=ends, platform=engine.platform)
    return ends


def make(
    run: JobRun,
    runner: EngineRunner,
    recipe: Recipe,
    image: ImageReference,
    *,
    ends: float,
    platform: str = "",
) -> Made:
    """Build `image`. Raises RunnerError and Cancelled."""
    workshop = runner.workshop()
    with _files(run, recipe, ends) as root:
        built = follow(
            run,
            BUILD_STEPS,
            workshop.build(
                recipe.source(root, platform=platform),
                image,
                cancel=run.token,
                workspace=workspace(),
                registries=RegistryLogin.objects.values_list("registry", flat=True),
            ),
            ends=ends,
        )
        definition = _definition(run, recipe, root)
    remember_image(run.job.host_id, image.canonical, workshop.find(image))
    return Made(built, definition)


@contextlib.contextmanager
def _files(run: JobRun, recipe: Recipe, ends: float) -> Iterator[Path]:
    """The folder that it is built from; a repository is fetched, and removed afterwards."""
    if recipe.git is None:
        if not Path(recipe.folder).is_dir():
            raise InstallFailed(
                f"The folder {recipe.folder} is gone. Put it back, or build from another one."
            )
        yield Path(recipe.folder)
        return
    told = fetch(recipe.git, workspace(), cancel=run.token)
    checkout = follow(run, BUILD_STEPS, told, ends=ends)
    try:
        note(run.job, commit=checkout.commit)
        yield checkout.folder
    finally:
        shutil.rmtree(checkout.folder, ignore_errors=True)


def _definition(run: JobRun, recipe: Recipe, root: Path) -> EngineDefinition | None:
    """What an engine.yaml beside the Dockerfile, or at the top of the context, says."""
    context = folder_below(root, recipe.sub_folder)
    dockerfile = dockerfile_of(root, context, recipe.dockerfile)
    for folder in dict.fromkeys((dockerfile.parent, context)):
        file = folder / DEFINITION
        # A link could lead out of a stranger's repository.
        if file.is_symlink() or not file.is_file() or file.stat().st_size > DEFINITION_BYTES:
            continue
        try:
            return read_definition(file)
        except CatalogUnreadable as error:
            run.line(f"Its {DEFINITION} is not used: {error}")
    return None


def _asked(run: JobRun, runner: EngineRunner, image: ImageReference) -> EngineDefinition | None:
    """What the image says of itself when it is started; an image that is mute is no failure."""
    try:
        return ask(run, runner, image, Asking(), begins=BUILT, ends=ASKED).definition
    except (EngineFailed, StartFailed) as failure:
        run.fail_step()
        run.line(failure.message)
        run.line("The image is built; say in the form what it is.")
        return None


def _custom(
    definition: EngineDefinition, image: ImageReference, built: BuiltImage, recipe: Recipe
) -> CustomImage:
    needs = {variant.tag: variant.requires_gpu for variant in definition.variants}
    return CustomImage(
        image=str(image).rpartition(":")[0],
        tag=image.tag,
        platforms=(built.platform,),
        needs_gpu=needs.get(image.tag, definition.requires_gpu or all(needs.values())),
        disk_bytes=built.size,
        recipe=recipe.row,
    )
