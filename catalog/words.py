"""Words for people: labels out of keys, names of languages."""

from __future__ import annotations

import re
from collections.abc import Iterable

from django.conf.locale import LANG_INFO

# A key of a front end's translations, such as `settings.tts.debugTts.pitch`: words joined by
# dots without a space. Shown as it is, it would tell nobody anything.
_TRANSLATION_KEY = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ACRONYMS = {"api", "cfg", "cpu", "gpu", "id", "url", "tts", "stt", "vad", "wav"}
_UNITS = {"db": "dB", "hz": "Hz", "ms": "ms"}

# What Django's own list of languages lacks; engines name both two-letter and three-letter codes.
_MORE_LANGUAGES = {
    "am": "Amharic", "an": "Aragonese", "as": "Assamese", "ba": "Bashkir", "bo": "Tibetan",
    "chr": "Cherokee", "cmn": "Chinese (Mandarin)", "cv": "Chuvash", "fo": "Faroese",
    "gn": "Guarani", "grc": "Greek (ancient)", "gu": "Gujarati", "ha": "Hausa", "hak": "Hakka",
    "haw": "Hawaiian", "ht": "Haitian Creole", "io": "Ido", "jbo": "Lojban", "jv": "Javanese",
    "jw": "Javanese", "kaa": "Karakalpak", "kl": "Greenlandic", "kok": "Konkani", "ku": "Kurdish",
    "la": "Latin", "lfn": "Lingua Franca Nova", "ln": "Lingala", "lo": "Lao", "ltg": "Latgalian",
    "mg": "Malagasy", "mi": "Maori", "mt": "Maltese", "nci": "Nahuatl", "nog": "Nogai",
    "oc": "Occitan", "om": "Oromo", "or": "Odia", "pa": "Punjabi", "pap": "Papiamento",
    "piqd": "Klingon", "ps": "Pashto", "qu": "Quechua", "quc": "K'iche'", "qya": "Quenya",
    "sa": "Sanskrit", "sd": "Sindhi", "shn": "Shan", "si": "Sinhala", "sjn": "Sindarin",
    "smj": "Lule Sami", "sn": "Shona", "so": "Somali", "su": "Sundanese", "tl": "Tagalog",
    "tn": "Setswana", "ti": "Tigrinya", "uz": "Uzbek", "xh": "Xhosa", "yi": "Yiddish",
    "yo": "Yoruba", "yue": "Chinese (Cantonese)", "zh": "Chinese",
    "zh-cn": "Chinese (simplified)", "zh-tw": "Chinese (traditional)", "zu": "Zulu",
}  # fmt: skip


def is_translation_key(text: str) -> bool:
    """Whether `text` is a key of somebody's translations rather than words."""
    return _TRANSLATION_KEY.fullmatch(text.strip()) is not None


def readable_key(key: str) -> str:
    """A key as words: `settings.tts.xtts.topK` -> `Top K`, `max_text_length` -> `Max text length`.

    >>> readable_key("settings.tts.debugTts.pitch")
    'Pitch'
    """
    words = _WORD.findall(key.rsplit(".", 1)[-1])
    shown = [
        _UNITS.get(word.lower())
        or (word.upper() if len(word) == 1 or word.lower() in _ACRONYMS else word.lower())
        for word in words
    ]
    text = " ".join(shown)
    return text[:1].upper() + text[1:]


def readable_label(label: str, key: str) -> str:
    """`label` if it is words, else words made of it, else of `key`."""
    label = label.strip()
    if not label:
        return readable_key(key) or key
    if is_translation_key(label):
        return readable_key(label) or key
    return label


def readable_description(description: str) -> str:
    """`description` if it is words; a translation key says nothing and becomes empty."""
    return "" if is_translation_key(description) else description.strip()


def language_name(code: str) -> str:
    """The English name of a language code, or the code where it has none we know.

    >>> language_name("de")
    'German'
    """
    code = code.lower()
    if code in _MORE_LANGUAGES:
        return _MORE_LANGUAGES[code]
    known = LANG_INFO.get(code, {})
    if "name" in known:
        return str(known["name"])
    base, _, region = code.partition("-")
    if region and language_name(base) != base:
        return f"{language_name(base)} ({region.upper()})"
    return code


def language_choices(codes: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of code and name, by name, each code once."""
    return sorted(((code, language_name(code)) for code in set(codes)), key=lambda pair: pair[1])
