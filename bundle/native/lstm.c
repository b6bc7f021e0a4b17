/* The int8 LSTM of a bundle's CPU graph, for processors with AVX-512 VNNI: the numbers of onnxruntime's
 * DynamicQuantizeLSTM, bit for bit, in less time.
 *
 * What makes it faster is what it knows and a general operator cannot: the ranges of what is quantized never change
 * (export/quantize.py pins them), so the embedding is quantized once and for all, and reviews of any length share the
 * LANES of a run without padding: a lane whose review ends takes the next one.
 *
 * What makes it exact: integers are summed exactly in any order, and every float operation is the one, in the order,
 * that onnxruntime does. Hence no fused multiply-adds but those written here (build with -ffp-contract=off).
 */
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

enum {
    GATES = 4,     /* ONNX's order: input, output, forget, candidate */
    WIDTH = 16,    /* units in one register of floats */
    BLOCKS = 7,    /* registers that hold the units, at most 112 */
    UNITS = BLOCKS * WIDTH,
    QUAD = 4,      /* products that one instruction sums */
    LANES = 6,     /* reviews side by side: with 4 gates each, their sums fill the registers */
};

/* Laid out by service/native_lstm.py. A column is one gate of one unit; columns come by block, gate, unit. */
struct model {
    const uint8_t *embedding;        /* (vocabulary, 4 * input_quads), quantized */
    const __m512i *input_weights;    /* int8 (BLOCKS, input_quads, GATES, WIDTH, QUAD) */
    const __m512i *state_weights;    /* int8 (BLOCKS, state_quads, GATES, WIDTH, QUAD) */
    const __m512i *input_zero;       /* int32 (BLOCKS, GATES, WIDTH): a sum begins here, so that zero points cancel */
    const __m512i *state_zero;
    const float *input_scale;        /* (BLOCKS, GATES, WIDTH): from a sum of integers to a float */
    const float *state_scale;
    const float *bias;
    const float *cell;               /* (UNITS): what every review begins with */
    const float *dense;              /* (UNITS): from the last state to a logit */
    int32_t input_quads;
    int32_t state_quads;
    float dense_bias;
    float state_step;                /* what one integer of a quantized state stands for */
    int32_t state_zero_point;
};

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")))
#define INLINE TARGET static inline __attribute__((always_inline))

/* Rational approximations of the logistic function and of tanh, with the coefficients of Eigen and onnxruntime. */
INLINE __m512 clamped(__m512 x, float bound)
{
    return _mm512_min_ps(_mm512_set1_ps(bound), _mm512_max_ps(_mm512_set1_ps(-bound), x));
}

#define FMA(a, b, constant) _mm512_fmadd_ps(a, b, _mm512_set1_ps(constant))

INLINE __m512 logistic(__m512 x)
{
    x = clamped(x, 18.0f);
    const __m512 square = _mm512_mul_ps(x, x);
    __m512 p = FMA(square, _mm512_set1_ps(4.37031012579801e-11f), 1.15627324459942e-07f);
    p = FMA(p, square, 6.08574864600143e-05f);
    p = FMA(p, square, 8.51377133304701e-03f);
    p = FMA(p, square, 2.48287947061529e-01f);
    p = _mm512_mul_ps(p, x);
    __m512 q = FMA(square, _mm512_set1_ps(6.10247389755681e-13f), 5.76102136993427e-09f);
    q = FMA(q, square, 6.29106785017040e-06f);
    q = FMA(q, square, 1.70198817374094e-03f);
    q = FMA(q, square, 1.16817656904453e-01f);
    q = FMA(q, square, 9.93151921023180e-01f);
    return _mm512_add_ps(_mm512_div_ps(p, q), _mm512_set1_ps(0.5f));
}

INLINE __m512 hyperbolic_tangent(__m512 x)
{
    x = clamped(x, 9.0f);
    const __m512 square = _mm512_mul_ps(x, x);
    __m512 p = FMA(square, _mm512_set1_ps(-2.76076847742355e-16f), 2.00018790482477e-13f);
    p = FMA(p, square, -8.60467152213735e-11f);
    p = FMA(p, square, 5.12229709037114e-08f);
    p = FMA(p, square, 1.48572235717979e-05f);
    p = FMA(p, square, 6.37261928875436e-04f);
    p = FMA(p, square, 4.89352455891786e-03f);
    p = _mm512_mul_ps(p, x);
    __m512 q = FMA(square, _mm512_set1_ps(1.19825839466702e-06f), 1.18534705686654e-04f);
    q = FMA(q, square, 2.26843463243900e-03f);
    q = FMA(q, square, 4.89352518554385e-03f);
    return _mm512_div_ps(p, q);
}

/* A review's state: its cell, and its output as floats (what is asked for in the end) and quantized (what goes on). */
struct lane {
    _Alignas(64) float cell[UNITS];
    _Alignas(64) float output[UNITS];
    _Alignas(64) uint8_t state[2][UNITS]; /* before and after a step, by turns */
    const int32_t *next;                  /* the review's tokens from here */
    const int32_t *end;
    int32_t review;
};

/* The sums of one block for `count` lanes, a constant to the compiler: (count, GATES, WIDTH). Each sum has a name,
 * for an array of them the compiler would keep in memory, too. */
#define EACH_LANE(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define BEGIN(n) __m512i i##n = zeros[0], o##n = zeros[1], f##n = zeros[2], c##n = zeros[3];
#define ADD(n)                                                                                                       \
    if (n < count) {                                                                                                 \
        int32_t four;                                                                                                \
        memcpy(&four, rows[n] + quad * QUAD, sizeof four);                                                           \
        const __m512i row = _mm512_set1_epi32(four);                                                                 \
        i##n = _mm512_dpbusd_epi32(i##n, row, columns[0]);                                                           \
        o##n = _mm512_dpbusd_epi32(o##n, row, columns[1]);                                                           \
        f##n = _mm512_dpbusd_epi32(f##n, row, columns[2]);                                                           \
        c##n = _mm512_dpbusd_epi32(c##n, row, columns[3]);                                                           \
    }
#define KEEP(n)                                                                                                      \
    if (n < count) {                                                                                                 \
        _mm512_store_si512(sums + n * GATES, i##n);                                                                  \
        _mm512_store_si512(sums + n * GATES + 1, o##n);                                                              \
        _mm512_store_si512(sums + n * GATES + 2, f##n);                                                              \
        _mm512_store_si512(sums + n * GATES + 3, c##n);                                                              \
    }

INLINE void multiply(__m512i *sums, int count, const uint8_t *const *rows, const __m512i *columns, int quads,
                     const __m512i *zeros)
{
    EACH_LANE(BEGIN)
    for (int quad = 0; quad < quads; quad++, columns += GATES) {
        EACH_LANE(ADD)
    }
    EACH_LANE(KEEP)
}

/* Not inlined: among other code the compiler would keep the sums in memory. */
#define MULTIPLY(count)                                                                                              \
    TARGET __attribute__((noinline)) static void multiply_##count(                                                   \
        __m512i *sums, const uint8_t *const *rows, const __m512i *columns, int quads, const __m512i *zeros)          \
    {                                                                                                                \
        multiply(sums, count, rows, columns, quads, zeros);                                                          \
    }
MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
MULTIPLY(4)
MULTIPLY(5)
MULTIPLY(6)

typedef void (*multiplier)(__m512i *, const uint8_t *const *, const __m512i *, int, const __m512i *);
static const multiplier MULTIPLIERS[LANES] = {multiply_1, multiply_2, multiply_3, multiply_4, multiply_5, multiply_6};

INLINE __m512 scaled(__m512i sum, const float *scale)
{
    return _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_load_ps(scale));
}

/* What the input brings to the sums of one block, for some rows of the embedding. */
TARGET static void multiply_input(const struct model *model, __m512i *sums, int count, const uint8_t *const *rows,
                                  int block)
{
    MULTIPLIERS[count - 1](sums, rows, model->input_weights + block * model->input_quads * GATES, model->input_quads,
                           model->input_zero + block * GATES);
}

static const uint8_t *row_of(const struct model *model, int32_t id)
{
    return model->embedding + (size_t)id * (size_t)(model->input_quads * QUAD);
}

/* One block of one lane a token further, from the sums of its input and of its state. */
INLINE void activate(const struct model *model, struct lane *lane, int turn, int block, const __m512i *from_input,
                     const __m512i *from_state)
{
    __m512 gate[GATES];
    for (int g = 0; g < GATES; g++) {
        const int column = (block * GATES + g) * WIDTH;
        gate[g] = scaled(from_input[g], model->input_scale + column);
        gate[g] = _mm512_add_ps(gate[g], scaled(from_state[g], model->state_scale + column));
        gate[g] = _mm512_add_ps(gate[g], _mm512_load_ps(model->bias + column));
    }
    float *cell = lane->cell + block * WIDTH;
    const __m512 taken = _mm512_mul_ps(logistic(gate[0]), hyperbolic_tangent(gate[3]));
    const __m512 kept = _mm512_mul_ps(_mm512_load_ps(cell), logistic(gate[2]));
    const __m512 now = _mm512_add_ps(kept, taken);
    _mm512_store_ps(cell, now);
    const __m512 output = _mm512_mul_ps(hyperbolic_tangent(now), logistic(gate[1]));
    _mm512_store_ps(lane->output + block * WIDTH, output);
    const __m512 steps = _mm512_div_ps(output, _mm512_set1_ps(model->state_step));
    const __m512i moved = _mm512_add_epi32(_mm512_cvtps_epi32(steps), _mm512_set1_epi32(model->state_zero_point));
    _mm_store_si128((__m128i *)(lane->state[1 - turn] + block * WIDTH),
                    _mm512_cvtusepi32_epi8(_mm512_max_epi32(moved, _mm512_setzero_si512())));
}

TARGET static void multiply_state(const struct model *model, __m512i *sums, int count, const uint8_t *const *states,
                                  int block)
{
    MULTIPLIERS[count - 1](sums, states, model->state_weights + block * model->state_quads * GATES,
                           model->state_quads, model->state_zero + block * GATES);
}

/* One token further in the first `count` lanes. */
TARGET static void step(const struct model *model, struct lane *lanes, int count, int turn)
{
    __m512i from_input[LANES * GATES], from_state[LANES * GATES];
    const uint8_t *inputs[LANES], *states[LANES];
    for (int lane = 0; lane < count; lane++) {
        inputs[lane] = row_of(model, *lanes[lane].next);
        states[lane] = lanes[lane].state[turn];
    }
    for (int block = 0; block < BLOCKS; block++) {
        multiply_input(model, from_input, count, inputs, block);
        multiply_state(model, from_state, count, states, block);
        for (int lane = 0; lane < count; lane++)
            activate(model, &lanes[lane], turn, block, from_input + lane * GATES, from_state + lane * GATES);
    }
}

/* A lane that is alone, up to LANES tokens further, whose input is multiplied at once: each weight serves them all.
 * Returns how many tokens that was. */
TARGET static int steps_alone(const struct model *model, struct lane *lane, int turn)
{
    __m512i from_input[BLOCKS][LANES * GATES], from_state[GATES];
    const uint8_t *inputs[LANES];
    const int count = lane->end - lane->next < LANES ? (int)(lane->end - lane->next) : LANES;
    for (int token = 0; token < count; token++)
        inputs[token] = row_of(model, lane->next[token]);
    for (int block = 0; block < BLOCKS; block++)
        multiply_input(model, from_input[block], count, inputs, block);
    for (int token = 0; token < count; token++, turn = 1 - turn) {
        const uint8_t *const state = lane->state[turn];
        for (int block = 0; block < BLOCKS; block++) {
            multiply_state(model, from_state, 1, &state, block);
            activate(model, lane, turn, block, from_input[block] + token * GATES, from_state);
        }
    }
    return count;
}

struct length {
    int32_t tokens;
    int32_t review;
};

static int longest_first(const void *left, const void *right)
{
    return ((const struct length *)right)->tokens - ((const struct length *)left)->tokens;
}

static void begin(const struct model *model, struct lane *lane, int turn, const int32_t *ids, const int32_t *ends,
                  int32_t review)
{
    memcpy(lane->cell, model->cell, sizeof lane->cell);
    memset(lane->state[turn], model->state_zero_point, sizeof lane->state[turn]);
    lane->next = ids + (review ? ends[review - 1] : 0);
    lane->end = ids + ends[review];
    lane->review = review;
}

/* Summed review by review: a matrix product's last digits would depend on how many there are. */
TARGET static float logit(const struct model *model, const float *state)
{
    __m512 sum = _mm512_setzero_ps();
    for (int unit = 0; unit < UNITS; unit += WIDTH)
        sum = _mm512_add_ps(sum, _mm512_mul_ps(_mm512_load_ps(state + unit), _mm512_load_ps(model->dense + unit)));
    return _mm512_reduce_add_ps(sum) + model->dense_bias;
}

/* Whether this processor can run it. */
int sentiment_lstm_supported(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
}

/* The logits (reviews,) of reviews whose tokens stand one after another in `ids`, each of at least one and ending before
 * `ends[review]`; and, unless NULL is given for them, the last states (reviews, UNITS). Returns 0, or -1 if there is no
 * memory. */
int sentiment_lstm(const struct model *model, const int32_t *ids, const int32_t *ends, int32_t reviews, float *logits,
                   float *states)
{
    struct lane lanes[LANES];
    struct length *order = malloc(sizeof *order * (size_t)reviews);
    if (!order && reviews)
        return -1;
    for (int32_t review = 0; review < reviews; review++)
        order[review] = (struct length){ends[review] - (review ? ends[review - 1] : 0), review};
    qsort(order, (size_t)reviews, sizeof *order, longest_first);

    int active = 0, turn = 0;
    int32_t begun = 0;
    for (; begun < reviews && active < LANES; active++)
        begin(model, &lanes[active], turn, ids, ends, order[begun++].review);
    while (active) {
        int steps = 1;
        if (active == 1)
            steps = steps_alone(model, &lanes[0], turn);
        else
            step(model, lanes, active, turn);
        turn = (turn + steps) % 2;
        for (int lane = active - 1; lane >= 0; lane--) {
            lanes[lane].next += steps;
            if (lanes[lane].next < lanes[lane].end)
                continue;
            const size_t review = (size_t)lanes[lane].review;
            logits[review] = logit(model, lanes[lane].output);
            if (states)
                memcpy(states + review * UNITS, lanes[lane].output, sizeof lanes[lane].output);
            if (begun < reviews)
                begin(model, &lanes[lane], turn, ids, ends, order[begun++].review);
            else
                lanes[lane] = lanes[--active];
        }
    }
    free(order);
    return 0;
}

#else

int sentiment_lstm_supported(void)
{
    return 0;
}

int sentiment_lstm(const void *model, const int32_t *ids, const int32_t *ends, int32_t reviews, float *logits,
                   float *states)
{
    (void)model, (void)ids, (void)ends, (void)reviews, (void)logits, (void)states;
    return -1;
}

#endif
