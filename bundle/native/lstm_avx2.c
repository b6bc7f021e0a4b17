/* The LSTM of lstm.h for processors with AVX2. It has an instruction for products of 8 bits, but that sums them in 16,
 * which is too few; so inputs and states have 16, and weights get them when they are loaded. */
#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>
#include <stdint.h>

#define TARGET __attribute__((target("avx2,fma")))
#define NAME(suffix) sentiment_lstm_avx2##suffix
#define OP(name) _mm256_##name
#define WIDTH 8
#define FULL 2
#define PRODUCTS 2

typedef int16_t element;
typedef __m256 floats;
typedef __m256i ints;
typedef __m128i packed;

#define unpacked OP(cvtepi8_epi16)

TARGET static inline ints summed(ints sums, ints row, ints weights)
{
    return OP(add_epi32)(sums, OP(madd_epi16)(row, weights));
}

TARGET static inline float total(floats values)
{
    __m128 sums = _mm_add_ps(OP(castps256_ps128)(values), OP(extractf128_ps)(values, 1));
    sums = _mm_add_ps(sums, _mm_movehl_ps(sums, sums));
    return _mm_cvtss_f32(_mm_add_ss(sums, _mm_movehdup_ps(sums)));
}

TARGET static inline void store_state(element *to, ints states)
{
    states = OP(max_epi32)(OP(min_epi32)(states, OP(set1_epi32)(255)), OP(setzero_si256)());
    _mm_store_si128((__m128i *)to, _mm_packs_epi32(OP(castsi256_si128)(states), OP(extracti128_si256)(states, 1)));
}

#include "lstm.h"

int NAME(_supported)(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#endif
