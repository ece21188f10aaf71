"""Speaker samples: what is taken, where it goes, and the folders it lies in."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from accounts.refused import Refused
from engines import host_work, samples
from engines.models import Engine, Sample
from engines.recording import Unfit, judge
from engines.sound import loudness
from engines.spec import spec_of
from hosts.models import Host
from jobs.models import Job
from tests.engines.factories import make_engine, make_host
from tests.engines.recordings import RATE, recording
from tests.pages.factories import make_user


class TestJudging:
    def test_a_good_recording_has_nothing_to_be_said_against(self) -> None:
        judged = judge(recording())

        assert (judged.wav.rate, judged.wav.seconds, judged.advice) == (RATE, 7.0, ())

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"OggS" + bytes(100), "no WAV file"),
            (recording(rate=8_000), "8,000 Hz"),
            (recording(1.0), "1.0 s long"),
            (recording(121.0, rate=16_000), "121.0 s long"),
            (recording(level=0.005), "nothing to hear"),
            (recording(level=2.0), "clipped"),
            (recording(bits=8), "8 bits"),
        ],
    )
    def test_what_engines_cannot_use_is_refused_with_the_reason(
        self, data: bytes, why: str
    ) -> None:
        with pytest.raises(Unfit, match=why):
            judge(data)

    @pytest.mark.parametrize(
        ("data", "advice"),
        [
            (recording(rate=16_000), "16,000 Hz is little"),
            (recording(3.0), "It is short"),
            (recording(channels=2), "2 channels"),
            (recording(level=0.05), "It is quiet"),
        ],
    )
    def test_what_could_be_better_is_said(self, data: bytes, advice: str) -> None:
        assert [advice in sentence for sentence in judge(data).advice] == [True]

    @pytest.mark.parametrize("bits", [16, 24, 32])
    def test_each_width_is_as_loud_as_it_is(self, bits: int) -> None:
        peak, clipped = loudness(recording(2.0, bits=bits, level=0.25))

        assert peak == pytest.approx(0.25, abs=0.001)
        assert clipped == 0


@pytest.fixture
def elsewhere(transactional_db: None, data_dir: Path) -> Host:
    """A host whose engines look for samples in a folder of their own."""
    folder = data_dir / "elsewhere"
    folder.mkdir()
    return make_host(samples_path=str(folder), models_path=str(data_dir / "models"))


def done(job: Job) -> Job:
    host_work.run(job.pk)
    job.refresh_from_db()
    assert job.status == Job.Status.SUCCEEDED, f"{job.error} {job.error_detail}"
    return job


def add(name: str = "Ada", data: bytes = b"") -> Sample:
    user = make_user("operator", f"who-added-{name}")
    return samples.add_sample(name=name, data=data or recording(), user=user)


def names_in(host: Host) -> list[str]:
    return sorted(file.name for file in Path(host.samples_path).iterdir())


class TestBringing:
    def test_adding_one_brings_it_to_hosts_with_engines_that_look_elsewhere(
        self, elsewhere: Host
    ) -> None:
        make_engine(host=elsewhere)
        sample = add()
        (job,) = Job.objects.filter(action=Job.Action.SAMPLES)
        done(job)

        assert names_in(elsewhere) == [sample.file]
        assert (Path(elsewhere.samples_path) / sample.file).read_bytes() == recording()
        elsewhere.refresh_from_db()
        assert elsewhere.folders["samples"]["names"] == [sample.file]

    def test_a_host_that_reads_abms_own_folder_is_brought_nothing(self, host: Host) -> None:
        make_engine(host=host)
        add()

        assert not Job.objects.filter(action=Job.Action.SAMPLES).exists()
        with pytest.raises(Refused, match="abm's own folder"):
            samples.bring_samples(host, user=make_user("operator"))

    def test_what_was_deleted_here_is_deleted_there_and_strangers_stay(
        self, elsewhere: Host
    ) -> None:
        (Path(elsewhere.samples_path) / "of-somebody.wav").write_bytes(b"mine")
        sample = add()
        operator = make_user("operator")
        done(samples.bring_samples(elsewhere, user=operator))
        samples.delete_sample(sample, user=operator)
        assert not sample.path.exists()
        done(samples.bring_samples(elsewhere, user=operator))

        assert names_in(elsewhere) == ["of-somebody.wav"]

    def test_a_folder_that_is_missing_fails_in_words_and_is_made_on_request(
        self, elsewhere: Host
    ) -> None:
        add()
        admin = make_user("admin")
        Path(elsewhere.samples_path).rmdir()
        job = samples.bring_samples(elsewhere, user=admin)
        host_work.run(job.pk)
        job.refresh_from_db()
        assert job.error == f"The folder {elsewhere.samples_path} is not there."

        done(samples.make_folder(elsewhere, kind="samples", user=admin))
        elsewhere.refresh_from_db()
        assert elsewhere.folders["samples"]["is_there"]
        done(samples.bring_samples(elsewhere, user=admin))
        assert len(names_in(elsewhere)) == 1

    def test_operators_make_no_folders(self, elsewhere: Host) -> None:
        with pytest.raises(Refused):
            samples.make_folder(elsewhere, kind="models", user=make_user("operator"))


@pytest.mark.django_db
class TestFar:
    def test_engines_on_a_remote_host_without_folders_share_a_volume_of_samples(self) -> None:
        host = make_host(host_type=Host.Type.DOCKER_REMOTE)
        engines = [make_engine(host=host, image="lab/tone", tag="1") for _ in range(2)]
        mounts = [spec_of(engine).container.mounts for engine in engines]  # type: ignore[union-attr]
        sources = [{one.target: one.source for one in each} for each in mounts]

        assert sources[0]["/app/samples"] == sources[1]["/app/samples"]
        assert sources[0]["/app/external_models"] != sources[1]["/app/external_models"]


class TestPage:
    @pytest.fixture(autouse=True)
    def folder(self, settings: Settings, tmp_path: Path) -> None:
        settings.DATA_DIR = tmp_path

    def test_a_recording_is_added_listened_to_and_deleted(self, operator: Client) -> None:
        data = recording(3.0)
        upload = SimpleUploadedFile("ada.wav", data, "audio/wav")
        answer = operator.post("/engines/samples/", {"name": "Ada", "audio": upload}, follow=True)
        sample = Sample.objects.get()
        audio = operator.get(f"/engines/samples/{sample.pk}.wav")

        page = answer.content.decode()
        assert "3.0 s" in page and "It is short" in page
        assert b"".join(audio) == data  # type: ignore[arg-type]
        operator.post(f"/engines/samples/{sample.pk}/delete/")
        assert not Sample.objects.exists()

    def test_one_that_is_refused_says_why_and_keeps_its_name(self, operator: Client) -> None:
        upload = SimpleUploadedFile("ada.wav", recording(level=3.0), "audio/wav")
        answer = operator.post("/engines/samples/", {"name": "Ada", "audio": upload})

        assert answer.status_code == 400
        assert "it was recorded too loud" in answer.content.decode()
        assert 'value="Ada"' in answer.content.decode()
        assert not Sample.objects.exists()

    def test_two_of_one_name_are_refused_and_leave_no_file(self, operator: Client) -> None:
        first = add("Ada")
        with pytest.raises(Refused, match="called ada already"):
            samples.add_sample(name="ada", data=recording(), user=make_user("operator", "bo"))

        assert list(first.path.parent.iterdir()) == [first.path]

    def test_a_hosts_page_offers_to_make_a_folder_that_is_missing(self, admin: Client) -> None:
        row = {"source": "/srv/s", "is_folder": True, "is_there": False, "names": [], "error": ""}
        host = make_host(folders={"samples": row})
        page = admin.get(f"/hosts/{host.pk}/").content.decode()

        assert "Not there yet" in page
        assert f"/engines/hosts/{host.pk}/folders/samples/" in page


def test_engines_that_are_not_installed_bring_nothing_to_their_host(elsewhere: Host) -> None:
    make_engine(host=elsewhere, state=Engine.State.ABSENT)
    add()

    assert not Job.objects.exists()
