"""What the wizard says of a host, on hosts of the lab that lack one thing after the other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hosts.ssh.checks import Check, CheckResult, Outcome, Seen, check_host
from hosts.ssh.keys import fresh_key
from hosts.ssh.known import HostKey
from hosts.ssh.target import Target
from tests.fleet.conftest import MakeBox
from tests.fleet.remotes import Box

pytestmark = pytest.mark.fleet


def results(target: Target) -> dict[Check, CheckResult]:
    found = {result.check: result for result in check_host(target)}
    assert sorted(found) == sorted(Check)
    return found


def outcomes(found: dict[Check, CheckResult]) -> list[str]:
    return [found[check].outcome.value for check in Check]


class TestSound:
    def test_every_check_passes_in_order_and_says_what_is_there(self, shared_box: Box) -> None:
        told = list(check_host(shared_box.target))

        assert [one.check for one in told] == list(Check)
        # The data of this host lies in 4 GB of memory, which is little for engines.
        assert [one.check for one in told if one.outcome is not Outcome.PASSED] == [Check.DISK]
        words = {one.check: one.sentence for one in told}
        assert words[Check.VERSION].startswith("20.10")
        assert "free" in words[Check.DISK] and "free" in words[Check.MEMORY]
        assert "RTX 3090 (simulated)" in words[Check.GPU]
        assert "root on this host" in words[Check.SOCKET]

    def test_cards_can_be_looked_at_by_something_else(self, shared_box: Box) -> None:
        def look(seen: Seen) -> CheckResult:
            assert "nvidia" in seen.info["Runtimes"]
            return CheckResult(Check.GPU, Outcome.WARNED, "Looked.")

        *_, last = check_host(shared_box.target, look_at_cards=look)

        assert last.sentence == "Looked."

    def test_a_host_without_a_card_is_no_failure(self, box: Box) -> None:
        found = results(box.target)

        assert found[Check.GPU].outcome is Outcome.PASSED
        assert "No NVIDIA card" in found[Check.GPU].sentence


class TestUnsound:
    def test_an_unknown_host_is_asked_about_with_all_its_keys(self, shared_box: Box) -> None:
        found = results(replace(shared_box.target, known=()))

        asked = found[Check.HOST_KEY]
        assert asked.outcome is Outcome.ASKED
        assert asked.offered == (HostKey.from_line(shared_box.own.host_key),)
        assert outcomes(found)[:2] == ["passed", "asked"]
        assert set(outcomes(found)[2:]) == {"skipped"}

    def test_an_accepted_host_with_another_key_fails(self, box: Box) -> None:
        box.own.replace_host_key()
        found = results(box.target)

        assert found[Check.HOST_KEY].code == "SSH_HOST_KEY_CHANGED"
        assert box.own.host_key

    def test_a_key_that_is_not_installed_fails(self, shared_box: Box) -> None:
        found = results(replace(shared_box.target, key=fresh_key()))

        assert found[Check.AUTHENTICATION].code == "SSH_KEY_REFUSED"
        assert outcomes(found)[:3] == ["passed", "passed", "failed"]

    def test_a_user_without_rights_fails(self, shared_box: Box) -> None:
        found = results(shared_box.guest)

        assert found[Check.SOCKET].code == "SSH_SOCKET_FORBIDDEN"
        assert "usermod" in found[Check.SOCKET].sentence

    def test_a_daemon_that_is_down_fails(self, box: Box) -> None:
        box.own.stop_docker()
        found = results(box.target)

        assert found[Check.SOCKET].code == "SSH_DOCKER_DOWN"

    def test_a_host_that_is_cut_off_fails(self, box: Box) -> None:
        box.own.cut()
        found = results(box.target)

        assert found[Check.REACHABLE].outcome is Outcome.FAILED
        assert found[Check.REACHABLE].code in {"SSH_TIMEOUT", "SSH_NO_ROUTE"}

    def test_an_sshd_without_forwarding_fails_for_engines_alone(self, make_box: MakeBox) -> None:
        found = results(make_box(sshd_options="AllowTcpForwarding no").target)

        assert found[Check.PORTS].code == "SSH_FORWARDING_FORBIDDEN"
        assert found[Check.SOCKET].outcome is Outcome.PASSED

    def test_a_key_without_abms_line_is_warned_of(self, box: Box) -> None:
        line = f"{box.target.key.public} plain"
        box.own.say(f"echo '{line}' > ~/.ssh/authorized_keys")
        found = results(box.target)

        assert found[Check.SOCKET].outcome is Outcome.WARNED
        assert "Run the command that installs the key" in found[Check.SOCKET].sentence
