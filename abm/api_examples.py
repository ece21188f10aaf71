"""What may be sent to each operation, by the name of its shape, for people who read of it."""

from __future__ import annotations

from typing import Any

BOX = {"name": "gpu-box", "sshUrl": "ssh://anna@gpu-box"}
VOLUMES = {"samplesPath": "/srv/samples", "modelsPath": "/srv/models"}
SHAPES: dict[str, dict[str, Any]] = {
    "AcceptWish": {"fingerprint": "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8"},
    "AddWish": {**BOX, "hostId": "docker:1a2b3c4d"},
    "AutoWish": {"autoUpdates": True},
    "BuildWish": {
        "hostId": "docker:local",
        "url": "https://github.com/me/voice.git",
        "ref": "v2",
        "dockerfile": "tts/voice/Dockerfile",
        "buildArgs": {"QUALITY": "high"},
    },
    "ContainerWish": {
        "ports": [{"containerPort": 8766, "hostPort": 9001}],
        "mounts": [{"source": "voices", "target": "/voices", "isReadOnly": True}],
        "limits": {"memory": "4 GB", "cpus": "1.5"},
    },
    "CopyWish": {"hostId": "docker:1a2b3c4d"},
    "DeleteWish": {"source": "models", "path": "xtts/v2"},
    "DiscoverWish": {"dockerImage": "ghcr.io/me/my-voice", "dockerTag": "1.0"},
    "EntryChange": {"displayName": "Our voice", "supportedLanguages": ["en", "de"]},
    "EnvironmentWish": {
        "variables": [{"name": "HF_TOKEN", "value": "hf_...", "isSecret": True}],
    },
    "FileWish": {"hostId": "docker:local", "path": "/srv/images/voice.tar"},
    "GpuWish": {"mode": "chosen", "uuids": ["GPU-5a1f0a7c"], "forbidsCpu": True},
    "HostWish": {"name": "gpu-box", "isAlwaysOn": False},
    "IdleWish": {"minutes": 30},
    "KeepWish": {"keepRunning": True},
    "LoadWish": {"modelName": "large-v3"},
    "PersonChange": {"role": "operator", "hosts": ["docker:local"]},
    "PersonWish": {"name": "anna", "password": "correct horse battery", "role": "operator"},
    "PrepareWish": BOX,
    "PushWish": {
        "entryId": 31,
        "tag": "latest",
        "hostId": "docker:local",
        "to": "ghcr.io/me/my-voice:1.0",
    },
    "ReclaimWish": {"chosen": ["build-cache"]},
    "RegisterWish": {
        "dockerImage": "ghcr.io/me/my-voice",
        "dockerTag": "1.0",
        "displayName": "My voice",
        "engineType": "tts",
        "supportedLanguages": ["en"],
    },
    "SettingWish": {"value": {"preferredMaxSegmentLength": 250}},
    "SettingsWish": {"defaultLanguage": "en", "parameters": {"speed": 1.1}},
    "SourceChange": {"isEnabled": False},
    "SourceWish": {"name": "Ours", "url": "https://engines.example.com/catalog.yaml"},
    "StartWish": {"modelName": "large-v3"},
    "TestWish": {"hostId": "docker:1a2b3c4d"},
    "TokenWish": {"name": "ci", "role": "operator", "days": 90},
    "UploadWish": {"hostId": "docker:local", "name": "voice.tar", "size": 52_428_800},
    "VolumesWish": VOLUMES,
}
THROUGH: dict[str, dict[str, Any]] = {
    "use_generate": {"text": "Hello", "language": "en", "ttsSpeakerWav": ""},
    "use_segment": {"text": "One. Two.", "language": "en", "maxLength": 250},
    "use_analyze": {"audioBase64": "UklGRiQA...", "language": "en"},
}
"""What engines take by their own contract, by the operation's id."""


def add_examples(document: dict[str, Any]) -> None:
    """Put them where the OpenAPI document has the shapes."""
    for name, example in SHAPES.items():
        document["components"]["schemas"][name]["examples"] = [example]
    for operations in document["paths"].values():
        for operation in operations.values():
            if body := THROUGH.get(operation["operationId"]):
                content = operation["requestBody"]["content"]
                content["application/json"]["example"] = body
