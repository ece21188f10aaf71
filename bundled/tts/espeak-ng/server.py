"""eSpeak NG behind the engine contract: the library and its voices come in a wheel."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import espeakng_loader
from abm_engine import Engine, Reject, serve, write_wav

SYNCHRONOUS, DONT_EXIT = 2, 0x8000
RATE, VOLUME, PITCH = 1, 2, 3
UTF8, POSITION_IN_CHARACTERS = 1, 1
OK = 0
VOICE_OF = {"en": "en-us", "zh": "cmn", "no": "nb"}
Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class EspeakNg(Engine):
    """Speaks by formant synthesis; quick, small, and in many languages."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.library: Any = None
        self.rate = 0
        self.heard = bytearray()
        self.callback = Callback(self._take)

    def load(self, model: str) -> None:
        if self.library is not None:
            return
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(Path(espeakng_loader.get_data_path()).parent).encode()
        rate = library.espeak_Initialize(SYNCHRONOUS, 0, data, DONT_EXIT)
        if rate <= 0:
            raise RuntimeError("libespeak-ng did not find its voices")
        library.espeak_SetSynthCallback(self.callback)
        self.library, self.rate = library, rate

    def _take(self, samples: Any, count: int, events: Any) -> int:
        """Called by the library with each piece of sound; 0 asks for more."""
        if samples and count > 0:
            self.heard += ctypes.string_at(samples, count * 2)
        return 0

    def speak(self, text: str, language: str, parameters: dict[str, Any]) -> bytes:
        library = self.library
        voice = VOICE_OF.get(language, language)
        variant = self._choice("voice", parameters)
        name = f"{voice}+{variant}" if variant != "default" else voice
        if library.espeak_SetVoiceByName(name.encode()) != OK:
            raise Reject(400, f"Voice not found: {name}")
        library.espeak_SetParameter(RATE, self._number("speed", parameters), 0)
        library.espeak_SetParameter(PITCH, self._number("pitch", parameters), 0)
        self.heard = bytearray()
        encoded = text.replace("\0", " ").encode() + b"\0"
        said = library.espeak_Synth(
            encoded, len(encoded), 0, POSITION_IN_CHARACTERS, 0, UTF8, None, None
        )
        if said != OK:
            raise RuntimeError(f"libespeak-ng refused to speak (error {said})")
        library.espeak_Synchronize()
        return write_wav(bytes(self.heard), self.rate)

    def _choice(self, name: str, parameters: dict[str, Any]) -> str:
        rule = self.definition["parameters"][name]
        value = parameters.get(name, rule["default"])
        if value not in self.options(name):
            raise Reject(400, f"{name} must be one of {', '.join(self.options(name))}")
        return str(value)

    def _number(self, name: str, parameters: dict[str, Any]) -> int:
        rule = self.definition["parameters"][name]
        value = parameters.get(name, rule["default"])
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not rule["min"] <= value <= rule["max"]:
            raise Reject(400, f"{name} must be a number from {rule['min']} to {rule['max']}")
        return round(value)


if __name__ == "__main__":
    serve(EspeakNg(Path(__file__).parent))
