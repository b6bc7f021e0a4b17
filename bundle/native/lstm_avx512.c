/* The LSTM of lstm.h for processors with AVX-512 VNNI. */
#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>
#include <stdint.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma")))
#define NAME(suffix) sentiment_lstm_avx512##suffix
#define OP(name) _mm512_##name
#define WIDTH 16
#define FULL 6
#define PRODUCTS 4

typedef uint8_t element;
typedef __m512 floats;
typedef __m512i ints;
typedef __m512i packed;

#define unpacked(weights) weights
#define summed OP(dpbusd_epi32)
#define total OP(reduce_add_ps)

TARGET static inline void store_state(element *to, ints states)
{
    _mm_store_si128((__m128i *)to, OP(cvtusepi32_epi8)(OP(max_epi32)(states, OP(setzero_si512)())));
}

#include "lstm.h"

int NAME(_supported)(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
}

#endif
