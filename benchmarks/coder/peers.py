"""Named peers on the same phrases: char n-gram TF-IDF nearest neighbour (scikit-learn), RapidFuzz token_set_ratio.

They see what the tabular list offers (titles and inclusion terms), not our lexicon, as in the published comparison.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from heldout import Phrase

from terminology.text.index import PhraseIndex


def compare(index: PhraseIndex, sets: dict[str, list[Phrase]], fuzzy: int) -> dict[str, dict[str, float]]:
    """Lenient top-1 share per set and peer. RapidFuzz sees the first `fuzzy` phrases of a set only: it is slow."""
    from rapidfuzz import fuzz, process
    from sklearn.feature_extraction.text import TfidfVectorizer

    terms = np.flatnonzero(index.term_source <= 1)
    texts = [index.texts[i] for i in terms]
    lower = [t.lower() for t in texts]
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), sublinear_tf=True)
    matrix = vectors.fit_transform(texts).T.tocsr()
    result: dict[str, dict[str, float]] = {}
    for name, phrases in sets.items():
        tfidf = [
            _right(index, terms, (vectors.transform([p.text]) @ matrix).toarray()[0], p) for p in phrases
        ]
        some = phrases[:fuzzy]
        fuzzed = [
            _right(index, terms, process.cdist([p.text.lower()], lower, scorer=fuzz.token_set_ratio)[0], p)
            for p in some
        ]
        result[name] = {"char TF-IDF": float(np.mean(tfidf)), "RapidFuzz token_set": float(np.mean(fuzzed))}
    return result


def rates(index: PhraseIndex, texts: Sequence[str]) -> dict[str, float]:
    """Texts/s of the char n-gram TF-IDF nearest neighbour over titles and inclusion terms: one by one (the first 150
    texts), and in batches of 200 by one sparse product."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    terms = [index.texts[i] for i in np.flatnonzero(index.term_source <= 1)]
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), sublinear_tf=True)
    matrix = vectors.fit_transform(terms).T.tocsr()
    few = texts[:150]
    begun = time.thread_time()
    for text in few:
        (vectors.transform([text]) @ matrix).toarray()[0].argmax()
    single = len(few) / (time.thread_time() - begun)
    begun = time.thread_time()
    for first in range(0, len(texts), 200):
        (vectors.transform(texts[first : first + 200]) @ matrix).argmax(axis=1)
    return {"one by one": single, "batch": len(texts) / (time.thread_time() - begun)}


def _right(index: PhraseIndex, terms: np.ndarray, scores: np.ndarray, phrase: Phrase) -> bool:
    values = scores.astype(float)
    if phrase.left_out:
        values[np.isin(terms, list(phrase.left_out))] = -1
    code = index.codes.code[index.term_code[terms[int(values.argmax())]]]
    return code.startswith(phrase.gold)
