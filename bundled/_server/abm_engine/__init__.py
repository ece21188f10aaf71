"""What the engines that come with abm share: the HTTP contract of engine.yaml, version 2."""

from abm_engine.engine import Engine, Reject
from abm_engine.serving import serve
from abm_engine.wav import Sound, read_wav, write_wav

__all__ = ["Engine", "Reject", "Sound", "read_wav", "serve", "write_wav"]
