"""Contrast pairs made by rule: adjectives said of a thing and unsaid, and sentences of the training reviews turned.

The frames know which of their adjectives decides, so "not", "hardly" and "anything but" are learnt with every adjective
of the lists, and not as idioms. In a review's sentence with one such adjective, another of the other side takes its
place, or a "not" comes between the verb and it.
"""

import random
import re
from collections.abc import Iterator

from export.contrast import Pair


def _listed(text: str) -> list[str]:
    return [" ".join(item.split()) for item in text.split(";")]


POSITIVE = frozenset(
    """
    absorbing accurate addictive adorable affordable amazing amusing appealing astonishing astounding
    atmospheric attentive attractive authentic awesome beautiful believable bold breathtaking bright brilliant
    captivating careful caring charming cheerful classy clean clear clever colourful comfortable comfy
    compelling competent convincing cool courteous cozy creative crisp cute dazzling decent delicious delightful
    dependable durable easy effective efficient elegant enchanting endearing engaging engrossing enjoyable
    entertaining enthralling excellent exceptional exciting exquisite extraordinary fabulous fair faithful
    fantastic fascinating fast fine flawless fresh friendly fun funny generous genius gentle genuine gifted
    glorious good gorgeous graceful great gripping handy happy harmonious heartwarming helpful hilarious honest
    hypnotic imaginative impeccable impressive incredible informative ingenious innovative insightful inspired
    inspiring instructive intelligent interesting intriguing inventive invigorating irresistible joyful juicy
    kind knowledgeable lively lovable lovely luminous lush luxurious magical magnificent marvellous masterful
    memorable mesmerizing moving neat nice original outstanding perfect phenomenal playful pleasant pleasing
    poignant polished polite powerful practical precious precise professional prompt punctual quick quiet
    radiant realistic refreshing reliable remarkable responsive rewarding rich riveting robust safe satisfying
    seamless sensational sharp sincere skilled sleek smart smooth soft solid soothing sparkling spectacular
    speedy splendid spotless stellar stunning sturdy stylish sublime subtle suitable superb superior supportive
    surprising suspenseful sweet tasteful tasty tender terrific thorough thoughtful thrilling tidy tight
    timeless top touching trustworthy unforgettable unique uplifting useful valuable versatile vibrant vivid
    warm welcoming wise witty wonderful worthwhile
    """.split()
)
NEGATIVE = frozenset(
    """
    abrasive abrupt abysmal aimless amateurish annoying appalling arrogant artificial atrocious awful awkward
    bad banal bitter bizarre bland bleak blurry bogus boring botched broken bulky bumpy careless cheap cheesy
    chaotic childish choppy clichéd clueless clumsy clunky coarse cold condescending confused confusing
    contrived convoluted corny crass creaky crooked crude cruddy cumbersome cynical damp dangerous dated
    deafening defective deplorable depressing derivative dire dirty disappointing disastrous disgraceful
    disgusting dishonest disjointed dismal dismissive distasteful dodgy dreadful dreary drab dry dull dumb
    embarrassing empty erratic excruciating exhausting expensive fake faulty feeble filthy flat flawed flimsy
    forced forgettable formulaic fragile frustrating generic ghastly gloomy greasy grim gross grubby hackneyed
    harsh hateful hideous hollow hopeless horrendous horrible horrid idiotic ignorant illogical impersonal
    implausible inaccurate inadequate inane incoherent incompetent incomprehensible inconsistent inconvenient
    inedible inept inferior infuriating insipid insufferable insulting intolerable irritating jarring joyless
    lacklustre laggy lame laughable lazy leaky lifeless limp loathsome loud lousy ludicrous lumpy manipulative
    mean meaningless mediocre messy mindless miscast miserable misleading monotonous muddled musty nasty
    nauseating nonsensical noisy obnoxious offensive outdated outrageous overcooked overhyped overlong
    overpriced overrated painful pathetic patronising pitiful plodding pointless poor predictable preposterous
    pretentious rancid repetitive repulsive revolting ridiculous rotten rough rubbish rude rushed sad scratchy
    senseless shabby shaky shallow shoddy sickening silly slippery sloppy slow sluggish smelly smug soggy
    soulless sour stale stiff stilted stingy stodgy stupid substandard superficial tacky tasteless tedious
    terrible tiresome tired trashy trite ugly unacceptable unappetising unbearable uncomfortable unconvincing
    underwhelming uneven unfair unfinished unfriendly unfunny unhelpful unhygienic unimaginative uninspired
    uninteresting unlikeable unoriginal unpleasant unprofessional unreadable unreliable unresponsive unsafe
    unsatisfying unstable unusable unwatchable unwelcoming useless vapid vile vulgar wasteful weak wobbly wooden
    worthless wretched
    """.split()
)

SUBJECTS = _listed(
    """
    the film; this movie; the story; the plot; the acting; the cast; the script; the ending; the dialogue; the
    music; the book; the novel; the series; the play; this album; the game; it; it all; everything about it; the
    phone; the screen; the sound; the battery; the camera; the laptop; the app; the website; the keyboard; the
    fan; the vacuum; the kettle; the mattress; the chair; the table; the knife; the jacket; the fabric; the fit;
    the zip; this pair of shoes; the sole; the packaging; the delivery; the manual; the food; the soup; the
    coffee; the service; the waiter; the room; the bed; the breakfast; the hotel; the location; the flight; the
    tour; the guide; the dentist; the doctor; the repair; the support; the driver; the course; the teacher; the
    price; the quality; my stay; the whole evening; the toy; the tent; the bike; the cream; the taste
    """
)

# S is the subject, A an adjective of the verdict's own side, B one of the other side.
_PLAIN = _listed(
    """
    S was A; S is A; S is really A; S was so A; S is just A; A; A!; so A; S felt A; S seemed A to me; I found
    S A; S was A from start to finish; S is A, plain and simple; S was nothing short of A; S is A in every
    way; A stuff; S turned out to be A; S is as A as they say; S could not be more A; S was never less than A;
    what a A thing
    """
)
_TURNED = _listed(
    """
    S was not B; S wasn't B; S is not B; S isn't B; S is not B at all; not B; not B at all; S was never B; S
    wasn't the least bit B; S is anything but B; S was far from B; S is hardly B; nobody could call S B; S is
    by no means B; I don't find S B; I can't say S was B; S isn't exactly B; S was not remotely B; there is
    nothing B about it; they say S is B, it isn't; S is neither B nor anything like it; S isn't B in any way
    """
)
_BOTH = _listed(
    """
    S was A, not B; S is more A than B; S is less B than A; S looked B at first but turned out A; S was B
    once, now it is A; although people call it B, S is A; S may sound B, but it is A; I expected B and got A;
    not B but A; S isn't B, it's A; S is A and not at all B; S was anything but B, it was A; despite a B
    start, S was A
    """
)
_FRAMES = _PLAIN + 2 * _TURNED + _BOTH


_SENTENCE = re.compile(r"[^.!?<>]+")
_WORD = re.compile(r"[a-z]+")
_VERB = re.compile(r"\b(is|was|are|were|be|been)( (?:very|so|really|quite|pretty|truly|just))?$")
_NEGATION = re.compile(
    r"\b(?:not|no|never|nothing|none|nobody|hardly|without|neither|nor|too|but|than|less|least)\b|n't"
)
LONGEST = 90  # characters of a review's sentence
SENTENCES = 0.5  # share of pairs that are made from one


class RulePairs:
    """An endless supply of pairs; those from reviews are of the texts given."""

    def __init__(self, texts: list[str]) -> None:
        self._positive, self._negative = sorted(POSITIVE), sorted(NEGATIVE)
        self._sentences = [found for text in texts for found in _sentences(text)]

    def draw(self, rng: random.Random) -> Pair:
        """Two short texts, the same but for what makes one positive and the other negative."""
        good, bad = rng.choice(self._positive), rng.choice(self._negative)
        if self._sentences and rng.random() < SENTENCES:
            return _turn(*rng.choice(self._sentences), good, bad, rng)
        frame, subject = rng.choice(_FRAMES), rng.choice(SUBJECTS)
        return Pair(_fill(frame, subject, good, bad), _fill(frame, subject, bad, good))


def _fill(frame: str, subject: str, own: str, other: str) -> str:
    words = {"S": subject, "A": own, "B": other}
    return re.sub(r"\b[SAB]\b", lambda match: words[match[0]], frame)


def _sentences(text: str) -> Iterator[tuple[str, str, str]]:
    """(before, adjective, after) of each short sentence with one adjective of the lists, and nothing to turn it."""
    for match in _SENTENCE.finditer(text.lower()):
        sentence = match[0].strip()
        if len(sentence) <= LONGEST and not _NEGATION.search(sentence):
            found = [word for word in _WORD.finditer(sentence) if word[0] in POSITIVE or word[0] in NEGATIVE]
            if len(found) == 1:
                yield sentence[: found[0].start()], found[0][0], sentence[found[0].end() :]


def _turn(before: str, adjective: str, after: str, good: str, bad: str, rng: random.Random) -> Pair:
    """The sentence and its opposite: by a "not" where the adjective follows a verb, or by another adjective."""
    verb = _VERB.search(before.rstrip())
    is_positive = adjective in POSITIVE
    said = before + adjective + after
    if verb and rng.random() < 0.5:
        unsaid = f"{before[: verb.end(1)]} not{before[verb.end(1) :]}{adjective}{after}"
    else:
        unsaid = before + (bad if is_positive else good) + after
    return Pair(said, unsaid) if is_positive else Pair(unsaid, said)
