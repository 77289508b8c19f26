// What a training step asks of its gradients, as a custom operator of MindSpore ("aot").

#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "vectors.h"
#include "workers.h"

namespace {

// Of numbers whose squares are too large for a float, slower.
double SumOfLargeSquares(const float *x, int64_t count) {
  return std::accumulate(x, x + count, 0.0, [](double sum, double one) { return sum + one * one; });
}

}  // namespace

extern "C" Operator EuclideanNorm;

// (x) to its norm, a tensor of one number, which is finite where all of x are
int EuclideanNorm(int, void **tensors, int *dims, int64_t **shapes, const char **, void *, void *) {
  const auto *x = static_cast<float *>(tensors[0]);
  const int64_t count = Size(shapes[0], dims[0]);
  return Guarded([=] {
    std::vector<double> sums(count / kPiece + 1);
    InPieces(count, [&](int64_t first, int64_t end) {
      const float sum = Dot(x + first, x + first, end - first);
      sums[first / kPiece] = std::isfinite(sum) ? sum : SumOfLargeSquares(x + first, end - first);
    });
    const double all = std::accumulate(sums.begin(), sums.end(), 0.0);
    *static_cast<float *>(tensors[1]) = static_cast<float>(std::sqrt(all));
  });
}
