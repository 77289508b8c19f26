// What operators compute with: loops that are compiled for several processors, of which the one at
// hand is taken when the library is loaded, and sums that need no reordering by the compiler.

#ifndef MS_RESTORE_VECTORS_H_
#define MS_RESTORE_VECTORS_H_

#include <cstdint>

// Levels are named by what a processor has: "arch=haswell" would be Intel's own alone.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define FOR_EACH_PROCESSOR \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif defined(__GNUC__) && !defined(__clang__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

constexpr int64_t kLanes = 16;  // floats that a compiler may take at once

// How many numbers a tensor of this shape has.
int64_t Size(const int64_t *shape, int dims);

// The sum of as many floats as there are lanes, which it changes.
float SumOfLanes(float *lanes);

// The sum of products.
float Dot(const float *a, const float *b, int64_t count);

// The sum, and the largest.
float Sum(const float *x, int64_t count);
float Largest(const float *x, int64_t count);

#endif  // MS_RESTORE_VECTORS_H_
