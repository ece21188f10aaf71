"""What engines write before they end, and what it means for a user.

Read from CPython 3.11, PyTorch 2, CTranslate2, uvicorn, Node, tini, bash and busybox.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Said:
    """A line that engines write, and what it means; may name the pattern's groups and `facts`."""

    pattern: str
    sentence: str


NEEDS_VARIABLE = (
    "{name} needs the variable {variable}, which is not set. Set it in its environment."
)
SAID = (
    Said(
        r"(?:environ|frozen os|/os\.py)[\s\S]{0,600}^KeyError: '(?P<variable>\w+)'",
        NEEDS_VARIABLE,
    ),
    Said(
        r"\b(?P<variable>[A-Z][A-Z0-9]*_[A-Z0-9_]+)[`'\"]? (?:environment variable )?"
        r"(?:(?:is |was |are )?(?:not set|not defined|undefined|missing|required|unset)|"
        r"must be set|not found in (?:the )?environment)",
        NEEDS_VARIABLE,
    ),
    Said(
        r"\b(?i:missing|required|set|define|provide)\b.{0,30}\b(?i:env(?:ironment)?|variable)s?\b"
        r".{0,20}?\b(?P<variable>[A-Z][A-Z0-9]*_[A-Z0-9_]+)",
        NEEDS_VARIABLE,
    ),
    Said(
        r"\b(?P<variable>[A-Z][A-Z0-9_]+): (?:unbound variable|parameter (?:null or )?not set)",
        NEEDS_VARIABLE,
    ),
    Said(
        r"(?i:Cannot assign requested address)|EADDRNOTAVAIL",
        "{name} was told to listen on an address that its container does not have. Take HOST out "
        "of its environment, or set it to 0.0.0.0.",
    ),
    Said(
        r"(?i:address already in use)|EADDRINUSE",
        "Inside its container the port is in use: {image} starts two servers on it. It was given "
        "port {port}; see that no variable or command gives the same port to another.",
    ),
    Said(
        r"\[FATAL tini.* exec (?P<program>\S+) failed: No such file",
        "{image} has no program {program}. Check the entrypoint and command of the engine.",
    ),
    Said(
        r"\bexec\b.*(?i:format error)",
        "{image} is made for another architecture than that of {host}. Choose a variant for this "
        "machine, or install emulation there.",
    ),
    Said(
        r"(?:(?i:Permission denied)|EACCES)\b.*?['\"](?P<path>/[^'\"]+)['\"]|"
        r"['\"‘]?(?P<other>/[^\s'\"’:]+)['\"’]?: (?i:Permission denied)",
        "{permission}",
    ),
    Said(
        r"(?i:Read-only file system): ['\"](?P<path>/[^'\"]+)",
        "{name} wants to write {path}, which is mounted read-only. Let its volume be written.",
    ),
    Said(
        r"No space left on device",
        "The disk of {host} is full. Free some space there and start {name} again.",
    ),
    Said(
        r"CUDA driver version is insufficient|NVIDIA driver on your system is too old|"
        r"forward compatibility was attempted|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        "The NVIDIA driver of {host} is too old for {image}. Update the driver or choose another "
        "variant.",
    ),
    Said(
        r"Found no NVIDIA driver|no CUDA-capable device|libcuda\.so\.1: cannot open|"
        r"CUDA_ERROR_NO_DEVICE|No CUDA GPUs are available|Torch not compiled with CUDA",
        "{name} looked for a GPU and was given none. Give it one in its settings, or choose a "
        "variant for CPU.",
    ),
    Said(
        r"no kernel image is available for execution",
        "{image} is not made for the GPU of {host}: it is older or newer than those it knows. "
        "Choose another variant.",
    ),
    Said(
        r"CUDA out of memory|CUDA error: out of memory|CUDA_ERROR_OUT_OF_MEMORY|\[GPU_OOM\]",
        "The memory of the GPU was not enough. Stop another engine on it, or choose a smaller "
        "model.",
    ),
    Said(
        r"lib(?P<library>cu\w+|nv\w+)\.so[\d.]*(?:: cannot open| is not found or cannot)",
        "{image} lacks the library {library} that its packages want. Its maker must mend it; "
        "choose another variant or version.",
    ),
    Said(
        r"I have read, understood and agreed|COQUI_TOS_AGREED|tos_agreed",
        "{name} asks for its licence to be accepted. Accept it on the engine's page.",
    ),
    Said(
        r"GatedRepoError|401 Client Error.*huggingface|access to model .* is restricted",
        "The model of {name} is only given to those who accepted its terms at Hugging Face. Accept "
        "them there and set HF_TOKEN in its environment.",
    ),
    Said(
        r"Temporary failure in name resolution|Name or service not known|Max retries exceeded|"
        r"NameResolutionError|getaddrinfo failed",
        "{name} could not reach what it wanted from the network, mostly a model. Check the "
        "internet connection of {host}, or put the model into its models folder.",
    ),
    Said(
        r"^MemoryError|std::bad_alloc|Cannot allocate memory|DefaultCPUAllocator: can't allocate",
        "{name} did not get the memory that it asked for. {memory}",
    ),
)
RAISED = re.compile(
    r"^(?:[a-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Refused)\b(?:: |$)"
)
"""A traceback's last line."""
