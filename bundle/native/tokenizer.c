/* bundle/tokenizer.py for ASCII texts in lower case: the same tokens, in a fraction of the time. Entities and whatever
 * else a text may hold stay with Python, whose tables decide. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    LONGEST_TAG = 100, /* characters between a tag's first letter and its ">" */
    AHEAD = 32,        /* tokens that are looked up together, so that memory is asked for all of them at once */
};

struct slot {
    uint32_t hash;
    int32_t id; /* or FREE */
    int32_t start;
    int32_t length;
};

enum { FREE = -1 };

/* Tokens one after another in `bytes`, token `id` ending before `ends[id]`. `slots` is a hash table with open
 * addressing; `mask` is their number, a power of two, less one. */
struct vocabulary {
    const char *bytes;
    const int32_t *ends;
    struct slot *slots;
    uint32_t mask;
    int32_t unk_id;
};

static int is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* As Python's str.isspace; and "_", which marks emphasis. */
static int is_gap(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f) || c == '_';
}

/* FNV-1a, by Fowler, Noll and Vo. */
static uint32_t hash_of(const char *token, int32_t length)
{
    uint32_t hash = 2166136261u;
    for (int32_t at = 0; at < length; at++)
        hash = (hash ^ (uint8_t)token[at]) * 16777619u;
    return hash;
}

/* The slot of a token, or the free one where it would go. */
static struct slot *find(const struct vocabulary *vocabulary, const char *token, int32_t length, uint32_t hash)
{
    for (uint32_t at = hash & vocabulary->mask;; at = (at + 1) & vocabulary->mask) {
        struct slot *slot = vocabulary->slots + at;
        if (slot->id == FREE || (slot->hash == hash && slot->length == length &&
                                 !memcmp(vocabulary->bytes + slot->start, token, (size_t)length)))
            return slot;
    }
}

/* Fill the slots, `vocabulary->mask + 1` of them, with `count` tokens. */
void sentiment_vocabulary(const struct vocabulary *vocabulary, int32_t count)
{
    for (uint32_t at = 0; at <= vocabulary->mask; at++)
        vocabulary->slots[at].id = FREE;
    for (int32_t id = 0; id < count; id++) {
        const int32_t start = id ? vocabulary->ends[id - 1] : 0;
        const int32_t length = vocabulary->ends[id] - start;
        const uint32_t hash = hash_of(vocabulary->bytes + start, length);
        *find(vocabulary, vocabulary->bytes + start, length, hash) = (struct slot){hash, id, start, length};
    }
}

struct token {
    const char *text;
    int32_t length;
    uint32_t hash;
};

static void look_up(const struct vocabulary *vocabulary, const struct token *tokens, int count, int32_t *ids)
{
    for (int at = 0; at < count; at++)
        __builtin_prefetch(vocabulary->bytes + vocabulary->slots[tokens[at].hash & vocabulary->mask].start);
    for (int at = 0; at < count; at++) {
        const int32_t id = find(vocabulary, tokens[at].text, tokens[at].length, tokens[at].hash)->id;
        ids[at] = id == FREE ? vocabulary->unk_id : id;
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
    struct token tokens[AHEAD];
    int64_t looked_up = 0;
    int waiting = 0;
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
        const int32_t size = (int32_t)(next - text);
        tokens[waiting] = (struct token){text, size, hash_of(text, size)};
        __builtin_prefetch(vocabulary->slots + (tokens[waiting].hash & vocabulary->mask));
        if (++waiting == AHEAD) {
            look_up(vocabulary, tokens, waiting, ids + looked_up);
            looked_up += waiting;
            waiting = 0;
        }
        text = next;
    }
    look_up(vocabulary, tokens, waiting, ids + looked_up);
    return looked_up + waiting;
}

/* How many of `count` ids are `id`. */
int64_t sentiment_count(const int32_t *ids, int64_t count, int32_t id)
{
    int64_t found = 0;
    for (int64_t at = 0; at < count; at++)
        found += ids[at] == id;
    return found;
}
