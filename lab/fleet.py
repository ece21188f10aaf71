"""The whole lab: its registry, its catalog and its machines, up and down together.

A machine of another kind gets a module of its own beside lab/daemon.py and a line in `machines`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab import base_image, bundled_images, catalog_file, file_server, made_images, network
from lab.daemon import Daemon
from lab.own import end_leftovers
from lab.place import LabError, Place, check_machine
from lab.pushing import Pusher
from lab.registry import Registry
from lab.remote import Remote
from lab.state import State, only_one
from lab.steps import step

NOT_UP = "the lab is not up: make lab-up (root on Linux)"


@dataclass(frozen=True, slots=True)
class Lab:
    """The lab at one place."""

    place: Place

    @property
    def registry(self) -> Registry:
        return Registry("registry", self.place.folder / "registry", self.place.registry_port)

    @property
    def local(self) -> Daemon:
        """The daemon of this machine."""
        return Daemon(
            "local",
            self.place.folder / "local",
            self.place.registry,
            subnet_number=self._number,
        )

    @property
    def remotes(self) -> tuple[Remote, ...]:
        """Two hosts reached by SSH, the first with a simulated card."""
        return tuple(
            Remote(
                name,
                self.place.folder / name,
                self.place.registry,
                bridge=network.short_name("abmr", str(self.place.folder)),
                network_number=self._number,
                number=number,
                has_card=name == "gpu1",
            )
            for number, name in ((11, "gpu1"), (12, "cpu1"))
        )

    @property
    def machines(self) -> tuple[Daemon | Remote, ...]:
        return (self.local, *self.remotes)

    @property
    def _number(self) -> int:
        """Of its networks, by which two labs on one machine keep apart."""
        return 64 + int(self.place.mark, 16) % 128

    def up(self) -> None:
        """Start what does not run and make what is missing. Raises LabError with the reason."""
        check_machine(self.place)
        with only_one(self.place):
            state = State(self.place)
            with step("registry"):
                self.registry.start(state)
            for machine in self.machines:
                with step(f"Machine {machine.name}"):
                    machine.start(state)
            with Pusher(self.place.registry) as pusher:
                with step("base image"):
                    base = base_image.ensure(pusher)
                bundled_images.ensure(self.place, pusher, self.local.host)
                made_images.ensure(self.place, pusher, base)
            with step("catalog"):
                catalog_file.write(self.place)
                file_server.start(self.place, state)
            self.place.environment_file.write_text(self.environment())

    def down(self) -> None:
        """End exactly what `up` has written down; images stay on the disk for the next time."""
        self.place.environment_file.unlink(missing_ok=True)
        with only_one(self.place):
            end_leftovers(self.place)
            state = State(self.place)
            for machine in reversed(self.machines):
                with step(f"Machine {machine.name}"):
                    machine.stop(state)
            for name in list(state.processes):
                with step(name):
                    state.end(name)
            for name in list(state.links):
                network.remove_link(state, name)

    def faults(self) -> list[str]:
        """A sentence for each part that does not run; none when the lab is up."""
        state = State(self.place)
        parts = {
            f"The registry {self.place.registry}": self.registry.answers(),
            f"The catalog {self.place.catalog_url}": state.process(file_server.NAME) is not None,
            **{f"The machine {one.name} ({one.host})": one.answers() for one in self.machines},
        }
        wrong = [f"{part} does not answer." for part, is_there in parts.items() if not is_there]
        if not wrong and not self.place.environment_file.is_file():
            wrong = ["It was not brought up to its end; see what `make lab-up` said."]
        return wrong

    def environment(self) -> str:
        """What abm and the tests read, as lines of a shell: NAME=value."""
        return (
            f"DOCKER_HOST={self.local.host}\n"
            f"ABM_LAB_REGISTRY={self.place.registry}\n"
            f"ABM_LAB_CATALOG={self.place.catalog_url}\n"
            f"CATALOG_URL={self.place.catalog_url}\n"
            f"ABM_LAB_REMOTES='{' '.join(one.url for one in self.remotes)}'\n"
        )

    def paste(self, name: str, command: str) -> str:
        """Type a command on a remote host as the user who may use Docker. Raises LabError."""
        found = next((one for one in self.remotes if one.name == name), None)
        if found is None:
            known = " and ".join(one.name for one in self.remotes)
            raise LabError(f"There is no remote host {name}; there are {known}.")
        said = found.room.say(State(self.place), command)
        return said.stdout + said.stderr

    def require_up(self) -> None:
        """Raises LabError when the lab is down."""
        if faults := self.faults():
            raise LabError(f"{NOT_UP}. {' '.join(faults)}")
