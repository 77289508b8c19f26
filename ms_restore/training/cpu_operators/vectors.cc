#include "vectors.h"

float SumOfLanes(const float *lanes) {
  double sum = 0.0;
  for (int64_t lane = 0; lane < kLanes; ++lane) sum += lanes[lane];
  return static_cast<float>(sum);
}

FOR_EACH_PROCESSOR float Dot(const float *__restrict a, const float *__restrict b, int64_t count) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  }
  for (; i < count; ++i) lanes[0] += a[i] * b[i];
  return SumOfLanes(lanes);
}
