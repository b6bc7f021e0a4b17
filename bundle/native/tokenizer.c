/* bundle/tokenizer.py for ASCII texts: the same tokens, in a fraction of the time. Entities and whatever else a text may
 * hold stay with Python, whose tables decide. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { LONGEST_TAG = 100 }; /* characters between a tag's first letter and its ">" */

/* Tokens one after another in `bytes`, token `id` ending before `ends[id]`. `slots` is a hash table with open
 * addressing: an id, or -1 where a slot is free; `mask` is their number, a power of two, less one. */
struct vocabulary {
    const char *bytes;
    const int32_t *ends;
    int32_t *slots;
    uint32_t mask;
    int32_t unk_id;
};

static int is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* As Python's str.isspace; and "_", which marks emphasis. */
static int is_gap(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f) || c == '_';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* The slot of a token, or the free one where it would go. FNV-1a, by Fowler, Noll and Vo. */
static uint32_t find(const struct vocabulary *vocabulary, const char *token, size_t length)
{
    uint32_t hash = 2166136261u;
    for (size_t at = 0; at < length; at++)
        hash = (hash ^ (uint8_t)lower(token[at])) * 16777619u;
    for (uint32_t slot = hash & vocabulary->mask;; slot = (slot + 1) & vocabulary->mask) {
        const int32_t id = vocabulary->slots[slot];
        if (id < 0)
            return slot;
        const int32_t start = id ? vocabulary->ends[id - 1] : 0;
        if ((size_t)(vocabulary->ends[id] - start) != length)
            continue;
        size_t same = 0;
        while (same < length && lower(token[same]) == vocabulary->bytes[start + (int32_t)same])
            same++;
        if (same == length)
            return slot;
    }
}

/* Fill the slots, all of them free, with `count` tokens. */
void sentiment_vocabulary(const struct vocabulary *vocabulary, int32_t count)
{
    for (int32_t id = 0; id < count; id++) {
        const int32_t start = id ? vocabulary->ends[id - 1] : 0;
        const size_t length = (size_t)(vocabulary->ends[id] - start);
        vocabulary->slots[find(vocabulary, vocabulary->bytes + start, length)] = id;
    }
}

/* Where a tag that begins at `text` ends, or `text` if it is none. */
static const char *skip_tag(const char *text, const char *end)
{
    const char *at = text + 1;
    if (at < end && *at == '/')
        at++;
    if (at == end || !is_word(*at) || (*at >= '0' && *at <= '9'))
        return text;
    at++;
    for (int inside = 0; at < end; at++, inside++) {
        if (*at == '>')
            return at + 1;
        if (*at == '<' || inside == LONGEST_TAG)
            return text;
    }
    return text;
}

static const char *skip_word(const char *text, const char *end)
{
    while (text < end && is_word(*text))
        text++;
    return text;
}

/* Writes the ids of all tokens of `text`, at most `length` of them, and returns how many there are. With `markup`, tags
 * are none. */
int64_t sentiment_encode(const struct vocabulary *vocabulary, const char *text, int64_t length, int markup,
                         int32_t *ids)
{
    const char *const end = text + length;
    int64_t count = 0;
    while (text < end) {
        const char *next = text + 1;
        if (is_gap(*text)) {
            text = next;
            continue;
        }
        if (*text == '<' && markup) {
            const char *behind = skip_tag(text, end);
            if (behind != text) {
                text = behind;
                continue;
            }
        } else if (is_word(*text)) {
            next = skip_word(next, end);
            if (next + 1 < end && *next == '\'' && is_word(next[1])) /* "don't", "film's" */
                next = skip_word(next + 1, end);
        }
        const int32_t id = vocabulary->slots[find(vocabulary, text, (size_t)(next - text))];
        ids[count++] = id < 0 ? vocabulary->unk_id : id;
        text = next;
    }
    return count;
}
