/* The int8 LSTM of a bundle's CPU graph: the numbers of onnxruntime's DynamicQuantizeLSTM, bit for bit, in less time.
 * lstm_avx512.c and lstm_avx2.c compile it, each for its instructions.
 *
 * What makes it faster is what it knows and a general operator cannot: the ranges of what is quantized never change
 * (export/quantize.py pins them), so the embedding is quantized once and for all, and reviews of any length share the
 * LANES of a run without padding: a lane whose review ends takes the next one.
 *
 * What makes it exact: integers are summed exactly in any order, and every float operation is the one, in the order,
 * that onnxruntime does. Hence no fused multiply-adds but those written here (build with -ffp-contract=off).
 *
 * Whoever includes this says what its registers are:
 *   TARGET               the attribute of functions that use them
 *   NAME(suffix)         of what it exports
 *   OP(name)             an intrinsic of that width, such as add_ps
 *   WIDTH                how many floats, or sums of integers, a register has
 *   FULL                 for how many lanes the sums of all gates fit into the registers; for more, those of two do
 *   PRODUCTS             how many products one instruction sums
 *   element              the type of one quantized input or state: PRODUCTS of them have 4 bytes
 *   floats, ints         registers
 *   packed, unpacked(w)  a register of weights as it lies in memory, and as `summed` takes it
 *   summed(a, x, w)      ints: a + the sums of PRODUCTS products of x and w
 *   total(x)             float: all floats of x, added up
 *   store_state(to, x)   ints, bounded to 0 and 255, as WIDTH elements
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    GATES = 4, /* ONNX's order: input, output, forget, candidate */
    UNITS = 112,
    BLOCKS = UNITS / WIDTH,
    LANES = 6, /* reviews side by side */
};

/* Laid out by service/native_lstm.py. A column is one gate of one unit; columns come by block, gate, unit. */
struct model {
    const element *embedding;        /* (vocabulary, input_groups * PRODUCTS), quantized */
    const packed *input_weights;     /* int8 (BLOCKS, input_groups, GATES, WIDTH, PRODUCTS) */
    const packed *state_weights;     /* int8 (BLOCKS, state_groups, GATES, WIDTH, PRODUCTS) */
    const ints *input_zero;          /* int32 (BLOCKS, GATES, WIDTH): a sum begins here, so that zero points cancel */
    const ints *state_zero;
    const float *input_scale;        /* (BLOCKS, GATES, WIDTH): from a sum of integers to a float */
    const float *state_scale;
    const float *bias;
    const float *cell;               /* (UNITS): what every review begins with */
    const float *dense;              /* (UNITS): from the last state to a logit */
    int32_t input_groups;            /* of PRODUCTS inputs each */
    int32_t state_groups;
    int32_t blocks;                  /* of WIDTH units each: those that carry weight */
    float dense_bias;
    float state_step;                /* what one integer of a quantized state stands for */
    int32_t state_zero_point;
};

#define INLINE TARGET static inline __attribute__((always_inline))

/* Rational approximations of the logistic function and of tanh, with the coefficients of Eigen and onnxruntime. */
INLINE floats clamped(floats x, float bound)
{
    return OP(min_ps)(OP(set1_ps)(bound), OP(max_ps)(OP(set1_ps)(-bound), x));
}

#define FMA(a, b, constant) OP(fmadd_ps)(a, b, OP(set1_ps)(constant))

INLINE floats logistic(floats x)
{
    x = clamped(x, 18.0f);
    const floats square = OP(mul_ps)(x, x);
    floats p = FMA(square, OP(set1_ps)(4.37031012579801e-11f), 1.15627324459942e-07f);
    p = FMA(p, square, 6.08574864600143e-05f);
    p = FMA(p, square, 8.51377133304701e-03f);
    p = FMA(p, square, 2.48287947061529e-01f);
    p = OP(mul_ps)(p, x);
    floats q = FMA(square, OP(set1_ps)(6.10247389755681e-13f), 5.76102136993427e-09f);
    q = FMA(q, square, 6.29106785017040e-06f);
    q = FMA(q, square, 1.70198817374094e-03f);
    q = FMA(q, square, 1.16817656904453e-01f);
    q = FMA(q, square, 9.93151921023180e-01f);
    return OP(add_ps)(OP(div_ps)(p, q), OP(set1_ps)(0.5f));
}

INLINE floats hyperbolic_tangent(floats x)
{
    x = clamped(x, 9.0f);
    const floats square = OP(mul_ps)(x, x);
    floats p = FMA(square, OP(set1_ps)(-2.76076847742355e-16f), 2.00018790482477e-13f);
    p = FMA(p, square, -8.60467152213735e-11f);
    p = FMA(p, square, 5.12229709037114e-08f);
    p = FMA(p, square, 1.48572235717979e-05f);
    p = FMA(p, square, 6.37261928875436e-04f);
    p = FMA(p, square, 4.89352455891786e-03f);
    p = OP(mul_ps)(p, x);
    floats q = FMA(square, OP(set1_ps)(1.19825839466702e-06f), 1.18534705686654e-04f);
    q = FMA(q, square, 2.26843463243900e-03f);
    q = FMA(q, square, 4.89352518554385e-03f);
    return OP(div_ps)(p, q);
}

/* A review's state: its cell, and its output as floats (what is asked for in the end) and quantized (what goes on). */
struct lane {
    _Alignas(64) float cell[UNITS];
    _Alignas(64) float output[UNITS];
    _Alignas(64) element state[2][UNITS]; /* before and after a step, by turns */
    const int32_t *next;                  /* the review's tokens from here */
    const int32_t *end;
    int32_t review;
};

/* How many gates are summed at a time, for so many lanes. */
#define TILE(count) ((count) <= FULL ? GATES : 2)

/* The sums of TILE(count) gates of one block for `count` lanes, a constant to the compiler: (count, GATES, WIDTH), of
 * which the first so many gates are written. Each sum has a name, for an array of them the compiler would keep in
 * memory, too. */
#define EACH_LANE(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define BEGIN(n) ints a##n = zeros[0], b##n = zeros[1], c##n = zeros[TILE(count) - 2], d##n = zeros[TILE(count) - 1];
#define ADD(n)                                                                                                       \
    if (n < count) {                                                                                                 \
        int32_t products;                                                                                            \
        memcpy(&products, rows[n] + group * PRODUCTS, sizeof products);                                              \
        const ints row = OP(set1_epi32)(products);                                                                   \
        a##n = summed(a##n, row, unpacked(columns[0]));                                                              \
        b##n = summed(b##n, row, unpacked(columns[1]));                                                              \
        if (TILE(count) == GATES) {                                                                                  \
            c##n = summed(c##n, row, unpacked(columns[2]));                                                          \
            d##n = summed(d##n, row, unpacked(columns[3]));                                                          \
        }                                                                                                            \
    }
#define KEEP(n)                                                                                                      \
    if (n < count) {                                                                                                 \
        sums[n * GATES] = a##n;                                                                                      \
        sums[n * GATES + 1] = b##n;                                                                                  \
        if (TILE(count) == GATES) {                                                                                  \
            sums[n * GATES + 2] = c##n;                                                                              \
            sums[n * GATES + 3] = d##n;                                                                              \
        }                                                                                                            \
    }

INLINE void multiply(ints *sums, int count, const element *const *rows, const packed *columns, int groups,
                     const ints *zeros)
{
    EACH_LANE(BEGIN)
    for (int group = 0; group < groups; group++, columns += GATES) {
        EACH_LANE(ADD)
    }
    EACH_LANE(KEEP)
}

/* Not inlined: among other code the compiler would keep the sums in memory. */
#define MULTIPLY(count)                                                                                              \
    TARGET __attribute__((noinline)) static void multiply_##count(                                                   \
        ints *sums, const element *const *rows, const packed *columns, int groups, const ints *zeros)                \
    {                                                                                                                \
        multiply(sums, count, rows, columns, groups, zeros);                                                         \
    }
MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
MULTIPLY(4)
MULTIPLY(5)
MULTIPLY(6)

typedef void (*multiplier)(ints *, const element *const *, const packed *, int, const ints *);
static const multiplier MULTIPLIERS[LANES] = {multiply_1, multiply_2, multiply_3, multiply_4, multiply_5, multiply_6};

INLINE floats scaled(ints sum, const float *scale)
{
    return OP(mul_ps)(OP(cvtepi32_ps)(sum), OP(load_ps)(scale));
}

INLINE void multiply_gates(ints *sums, int count, const element *const *rows, const packed *columns, int groups,
                           const ints *zeros)
{
    for (int gate = 0; gate < GATES; gate += TILE(count))
        MULTIPLIERS[count - 1](sums + gate, rows, columns + gate, groups, zeros + gate);
}

/* What the input brings to the sums of one block, for some rows of the embedding. */
INLINE void multiply_input(const struct model *model, ints *sums, int count, const element *const *rows, int block)
{
    multiply_gates(sums, count, rows, model->input_weights + block * model->input_groups * GATES, model->input_groups,
                   model->input_zero + block * GATES);
}

/* What the states before bring to them. */
INLINE void multiply_state(const struct model *model, ints *sums, int count, const element *const *states, int block)
{
    multiply_gates(sums, count, states, model->state_weights + block * model->state_groups * GATES,
                   model->state_groups, model->state_zero + block * GATES);
}

static const element *row_of(const struct model *model, int32_t id)
{
    return model->embedding + (size_t)id * (size_t)(model->input_groups * PRODUCTS);
}

/* One block of one lane a token further, from the sums of its input and of its state. */
INLINE void activate(const struct model *model, struct lane *lane, int turn, int block, const ints *from_input,
                     const ints *from_state)
{
    floats gate[GATES];
    for (int g = 0; g < GATES; g++) {
        const int column = (block * GATES + g) * WIDTH;
        gate[g] = scaled(from_input[g], model->input_scale + column);
        gate[g] = OP(add_ps)(gate[g], scaled(from_state[g], model->state_scale + column));
        gate[g] = OP(add_ps)(gate[g], OP(load_ps)(model->bias + column));
    }
    float *cell = lane->cell + block * WIDTH;
    const floats taken = OP(mul_ps)(logistic(gate[0]), hyperbolic_tangent(gate[3]));
    const floats kept = OP(mul_ps)(OP(load_ps)(cell), logistic(gate[2]));
    const floats now = OP(add_ps)(kept, taken);
    OP(store_ps)(cell, now);
    const floats output = OP(mul_ps)(hyperbolic_tangent(now), logistic(gate[1]));
    OP(store_ps)(lane->output + block * WIDTH, output);
    const floats steps = OP(div_ps)(output, OP(set1_ps)(model->state_step));
    store_state(lane->state[1 - turn] + block * WIDTH,
                OP(add_epi32)(OP(cvtps_epi32)(steps), OP(set1_epi32)(model->state_zero_point)));
}

/* One token further in the first `count` lanes. */
TARGET static void step(const struct model *model, struct lane *lanes, int count, int turn)
{
    ints from_input[LANES * GATES], from_state[LANES * GATES];
    const element *inputs[LANES], *states[LANES];
    for (int lane = 0; lane < count; lane++) {
        inputs[lane] = row_of(model, *lanes[lane].next);
        states[lane] = lanes[lane].state[turn];
    }
    for (int block = 0; block < model->blocks; block++) {
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
    ints from_input[BLOCKS][LANES * GATES], from_state[GATES];
    const element *inputs[LANES];
    const int count = lane->end - lane->next < LANES ? (int)(lane->end - lane->next) : LANES;
    for (int token = 0; token < count; token++)
        inputs[token] = row_of(model, lane->next[token]);
    for (int block = 0; block < model->blocks; block++)
        multiply_input(model, from_input[block], count, inputs, block);
    for (int token = 0; token < count; token++, turn = 1 - turn) {
        const element *const state = lane->state[turn];
        for (int block = 0; block < model->blocks; block++) {
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
    for (int unit = 0; unit < UNITS; unit++)
        lane->state[turn][unit] = (element)model->state_zero_point;
    lane->next = ids + (review ? ends[review - 1] : 0);
    lane->end = ids + ends[review];
    lane->review = review;
}

/* Summed review by review: a matrix product's last digits would depend on how many there are. */
TARGET static float logit(const struct model *model, const float *state)
{
    floats sum = OP(setzero_ps)();
    for (int unit = 0; unit < model->blocks * WIDTH; unit += WIDTH)
        sum = OP(add_ps)(sum, OP(mul_ps)(OP(load_ps)(state + unit), OP(load_ps)(model->dense + unit)));
    return total(sum) + model->dense_bias;
}

/* The logits (reviews,) of reviews whose tokens stand one after another in `ids`, each of at least one and ending before
 * `ends[review]`; and, unless NULL is given for them, the last states (reviews, UNITS), of the units in `blocks`.
 * Returns 0, or -1 if there is no memory. */
int NAME()(const struct model *model, const int32_t *ids, const int32_t *ends, int32_t reviews, float *logits,
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
