"""Reviews as tokens: words, the vocabulary of the training reviews, sequences of one length; and drawn reviews."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from grokscope.data import Samples
from grokscope.rng import generator

FUNCTION_WORDS = """
a an the this that these those
i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers
herself it its itself they them their theirs themselves who whom whose which what
am is are was were be been being have has had having do does did doing done will would shall should can could may
might must
and or but nor so if because as until while though although than then whether since unless
of at by for with without about against between into through during before after above below to from up down in
out on off over under upon within toward towards onto
again further once here there when where why how all any both each few more most other some such no not only own
same too very just now also
im ive id ill youre youve hes shes theyre theyve weve thats theres whats lets
dont doesnt didnt isnt arent wasnt werent hasnt havent hadnt wont wouldnt cant couldnt shouldnt mustnt
"""

STOP_WORDS = frozenset(FUNCTION_WORDS.split())
"""English function words, those with an apostrophe written without it: 177 words that say little of a film."""

NO_LETTERS = re.compile(r"[\W\d_]+")

PADDING = 0
"""The token before the first word of a review that is shorter than the sequence."""


def words(text: str) -> list[str]:
    """Return the words of a text: lower case, letters only, without :data:`STOP_WORDS`.

    A word is what stands between blanks, and whatever is no letter is taken out of it: a mark of a line break leaves
    ``br``, at the end of the word before it where no blank is between.

    Example:
        >>> words("The film isn't BAD, it's 100% well-made! <br />")
        ['film', 'bad', 'wellmade', 'br']
    """
    bare = (NO_LETTERS.sub("", part) for part in text.lower().split())
    return [word for word in bare if word and word not in STOP_WORDS]


def vocabulary(reviews: Iterable[Sequence[str]], size: int) -> dict[str, int]:
    """Return the tokens 1 … ``size`` of the most frequent words; of those equally frequent, in alphabetical order.

    Example:
        >>> vocabulary([["good", "film"], ["bad", "film"]], 2)
        {'film': 1, 'bad': 2}
    """
    counts = Counter(word for review in reviews for word in review)
    ordered = sorted(counts, key=lambda word: (-counts[word], word))
    return {word: token for token, word in enumerate(ordered[:size], 1)}


def sequences(reviews: Sequence[Sequence[str]], tokens: Mapping[str, int], length: int) -> np.ndarray:
    """Return the first ``length`` known words of each review, padded on the left, int64 (reviews, length).

    Example:
        >>> sequences([["good", "new", "film"], ["film", "film", "film", "bad"]], {"film": 1, "good": 2}, 3).tolist()
        [[0, 2, 1], [1, 1, 1]]
    """
    found = np.full((len(reviews), length), PADDING, np.int64)
    for row, review in zip(found, reviews, strict=True):
        known = [tokens[word] for word in review if word in tokens][:length]
        if known:
            row[-len(known) :] = known
    return found


def stratified(targets: np.ndarray, share: float) -> np.ndarray:
    """Return which entries are chosen, bool (n,): ⌊share · n⌋, of each class its share, rounded down or up.

    They are the first of each class, so that who wants a random part shuffles before.

    Example:
        >>> stratified(np.array([0, 0, 1, 1, 0, 0]), 0.5).tolist()
        [True, True, True, False, False, False]
    """
    of_class = [np.flatnonzero(targets == one) for one in np.unique(targets)]
    quotas = np.array([share * len(one) for one in of_class])
    counts = np.floor(quotas).astype(int)
    # the largest remainders are rounded up, so that the number of all does not depend on how many are of which class
    for one in np.argsort(counts - quotas, kind="stable")[: int(share * len(targets)) - counts.sum()]:
        counts[one] += 1
    chosen = np.zeros(len(targets), bool)
    for one, count in zip(of_class, counts, strict=True):
        chosen[one[:count]] = True
    return chosen


KINDS, KIND_WORDS = ("bad", "good", "neutral"), (8, 8, 40)
CLASS_SHARE, SHORTEST, LONGEST = 0.3, 5, 15


def synthetic(count: int, seed: int) -> Samples:
    """Return ``count`` drawn reviews, bad and good in turn: three words in ten are of their class, the others neutral.

    A review has 5 to 15 words, such as ``badb neutralaf``; there are 8 of each class and 40 neutral ones.

    Example:
        >>> synthetic(4, 0).targets.tolist()
        [0, 1, 0, 1]
    """
    import torch

    def uniform(what: str, *shape: int) -> np.ndarray:
        return torch.rand(shape, generator=generator(seed, "synthetic", what), dtype=torch.float64).numpy()

    targets = np.arange(count, dtype=np.int64) % 2
    lengths = SHORTEST + np.floor(uniform("lengths", count) * (LONGEST - SHORTEST + 1)).astype(int)
    kinds = np.where(uniform("kinds", count, LONGEST) < CLASS_SHARE, targets[:, None], 2)
    places = np.floor(uniform("words", count, LONGEST) * np.array(KIND_WORDS)[kinds]).astype(int)
    texts = np.empty(count, object)
    for row in range(count):
        chosen = zip(kinds[row, : lengths[row]], places[row, : lengths[row]], strict=True)
        texts[row] = " ".join(KINDS[kind] + _letters(place) for kind, place in chosen)
    return Samples(texts, targets, 2, "synthetic")


def _letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))
