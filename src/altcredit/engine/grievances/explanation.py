"""What is said of the score that a grievance is about: before, after, and why (contract G1: in English and Hindi)."""

import msgspec

from altcredit.engine.grievances.case import Language
from altcredit.engine.scoring import Recorded

_TEXTS: dict[str, dict[Language, str]] = {
    "none": {
        "en": "No score was on file when the grievance was filed.",
        "hi": "शिकायत दर्ज होने पर कोई स्कोर उपलब्ध नहीं था।",
    },
    "insufficient": {
        "en": "There was too little data for a score ({score_id}).",
        "hi": "स्कोर के लिए डेटा पर्याप्त नहीं था ({score_id})।",
    },
    "before": {
        "en": "The score in question was {altscore}, band {band} ({score_id}).",
        "hi": "जिस स्कोर पर शिकायत है, वह {altscore} था, श्रेणी {band} ({score_id})।",
    },
    "after": {
        "en": "After the correction the score is {altscore}, band {band} ({score_id}): {change}.",
        "hi": "सुधार के बाद स्कोर {altscore} है, श्रेणी {band} ({score_id}): {change}।",
    },
    "after_insufficient": {
        "en": "After the correction there is too little data for a score ({score_id}).",
        "hi": "सुधार के बाद स्कोर के लिए डेटा पर्याप्त नहीं है ({score_id})।",
    },
    "more": {"en": "{points} points more", "hi": "{points} अंक अधिक"},
    "less": {"en": "{points} points less", "hi": "{points} अंक कम"},
    "same": {"en": "unchanged", "hi": "कोई बदलाव नहीं"},
}


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The assessments before and after, as recorded (each with its reasons), and a sentence or two on them."""

    before: Recorded | None
    after: Recorded | None
    en: str
    hi: str


def told(language: Language, before: Recorded | None, after: Recorded | None) -> str:
    """Return the sentences on the old score and, where a correction led to one, the new."""
    sentences = [_before(language, before)]
    if after is not None:
        sentences.append(_after(language, before, after))
    return " ".join(sentences)


def _before(language: Language, score: Recorded | None) -> str:
    if score is None:
        return _TEXTS["none"][language]
    return _said("insufficient" if score.altscore is None else "before", language, score)


def _after(language: Language, before: Recorded | None, after: Recorded) -> str:
    if after.altscore is None:
        return _said("after_insufficient", language, after)
    points = after.altscore - (
        before.altscore if before is not None and before.altscore is not None else after.altscore
    )
    key = "more" if points > 0 else "less" if points < 0 else "same"
    return _said("after", language, after, change=_TEXTS[key][language].format(points=abs(points)))


def _said(key: str, language: Language, score: Recorded, **more: str) -> str:
    return _TEXTS[key][language].format(altscore=score.altscore, band=score.risk_band, score_id=score.score_id, **more)
