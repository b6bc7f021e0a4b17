"""Reviews of our own writing whose answers every bundle carries, chosen to touch each rule of the tokenizer."""

_PRAISE = "The pacing is sure, the cast is a joy, and the last scene earns every tear it asks for. "
_COMPLAINT = "Nothing in the second half makes sense, and the jokes were old before I was born. "

GOLDEN_TEXTS = (
    "I loved it.",
    "I hated it.",
    "Not bad at all!",
    "A complete waste of two hours.",
    "One of the best films I have seen this year: funny, warm and beautifully shot.",
    "The plot is thin, the acting is wooden and the dialogue made me wince.",
    "I wanted to like this, but it never decides what it wants to be.",
    "Slow to start, yet the ending is so good that I forgave it everything.",
    "It wasn't terrible, it just wasn't worth the ticket.",
    "GREAT CAST, AWFUL SCRIPT.",
    "Great start.<br /><br />Then it falls apart.<br />Avoid.",
    "Salt &amp; Vinegar is the <i>funniest</i> short I&#39;ve seen &mdash; twice!",
    "\u201cDon\u2019t bother\u201d \u2013 that\u2019s what my sister said. She was right\u2026",
    "A na\u00efve little caf\u00e9 romance, tr\u00e8s charming.",
    "\uff26\uff55\uff4c\uff4c\uff57\uff49\uff44\uff54\uff48 praise for a \ufb01ne \ufb01lm.",
    "It is _so_ boring that I cleaned the kitchen instead.",
    "10/10, would watch again <3",
    "1/10. I want my money back!!!",
    "The blender broke after a week and the shop would not take it back.",
    "Comfortable headphones with clear sound; the battery lasts for days.",
    "\U0001f600\U0001f44d",
    "qzxv wrrgh blorptastic",
    "boring",
    "?",
    "No\u00a0break\u200b here, and\ta tab\r\nand a line.",
    _PRAISE * 8,
    _COMPLAINT * 8,
    _PRAISE * 20 + _COMPLAINT * 5,  # the first 400 tokens praise
    _COMPLAINT * 40,  # far more than 500 tokens
)
