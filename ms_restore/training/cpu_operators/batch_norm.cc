// Batch normalisation of images (N, C, H, W) in training as custom operators of MindSpore ("aot"),
// one channel at a time, so that its second pass finds the channel in a core's cache.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "vectors.h"
#include "workers.h"

namespace {

// The images of a channel: planes of pixels that lie side by side.
struct Channel {
  int64_t images, stride, pixels;

  Channel(const int64_t *shape)
      : images(shape[0]), stride(Size(shape + 1, 3)), pixels(shape[2] * shape[3]) {}
  double Count() const { return static_cast<double>(images * pixels); }
  template <typename Work>
  double SumOver(Work work) const {
    double sum = 0.0;
    for (int64_t image = 0; image < images; ++image) sum += work(image * stride);
    return sum;
  }
};

// What is normalised is x scale + shift; with a ReLU, gradients pass where that is positive.
struct Line {
  float scale, shift;
};

inline __attribute__((always_inline)) float Passes(float x, Line line) {
  return x * line.scale + line.shift > 0 ? 1.0f : 0.0f;
}

// The sums of dy, where it passes, and of its products with x less the mean.
FOR_EACH_PROCESSOR void SumGradients(const float *__restrict dy, const float *__restrict x,
                                     Line passes, float mean, int64_t count, double *sum,
                                     double *product) {
  float sums[kLanes] = {}, products[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const float one = x[i + lane];
      const float gradient = dy[i + lane] * Passes(one, passes);
      sums[lane] += gradient;
      products[lane] += gradient * (one - mean);
    }
  }
  for (; i < count; ++i) {
    const float gradient = dy[i] * Passes(x[i], passes);
    sums[0] += gradient;
    products[0] += gradient * (x[i] - mean);
  }
  *sum += SumOfLanes(sums);
  *product += SumOfLanes(products);
}

FOR_EACH_PROCESSOR float SumOfSquaredDifferences(const float *__restrict x, float mean,
                                                 int64_t count) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] += (x[i + lane] - mean) * (x[i + lane] - mean);
    }
  }
  for (; i < count; ++i) lanes[0] += (x[i] - mean) * (x[i] - mean);
  return SumOfLanes(lanes);
}

// a times dy, where it passes, + b x + c
FOR_EACH_PROCESSOR void Combine(const float *__restrict dy, float a, const float *__restrict x,
                                float b, float c, Line passes, float *__restrict to,
                                int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    to[i] = a * (dy[i] * Passes(x[i], passes)) + b * x[i] + c;
  }
}

FOR_EACH_PROCESSOR void Follow(const float *__restrict x, Line line, float least,
                               float *__restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = std::max(x[i] * line.scale + line.shift, least);
}

}  // namespace

extern "C" Operator BatchNorm, BatchNormBackward;

// (x, weight, bias, moving mean, moving variance, numbers) to the normalised x, the batch's mean and
// one over its standard deviation, and the new moving mean and variance. The numbers are epsilon,
// momentum, and 1 for a ReLU of what is normalised, else 0.
int BatchNorm(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const Channel channel(shapes[0]);
  const float epsilon = images[5][0], momentum = images[5][1];
  const float least = images[5][2] != 0 ? 0.0f : -std::numeric_limits<float>::infinity();
  return Guarded([=] {
    Together(shapes[0][1], [=](size_t, size_t c) {
      const float *x = images[0] + c * channel.pixels;
      float *y = images[6] + c * channel.pixels;
      const double count = channel.Count();
      const double sum = channel.SumOver([&](int64_t at) { return Sum(x + at, channel.pixels); });
      const auto mean = static_cast<float>(sum / count);
      const double squares = channel.SumOver(
          [&](int64_t at) { return SumOfSquaredDifferences(x + at, mean, channel.pixels); });
      const auto inverse = static_cast<float>(1.0 / std::sqrt(squares / count + epsilon));
      const float scale = images[1][c] * inverse;
      const Line line{scale, images[2][c] - mean * scale};
      for (int64_t image = 0; image < channel.images; ++image) {
        const int64_t at = image * channel.stride;
        Follow(x + at, line, least, y + at, channel.pixels);
      }
      const auto unbiased = static_cast<float>(squares / (count > 1 ? count - 1 : 1));
      images[7][c] = mean;
      images[8][c] = inverse;
      images[9][c] = images[3][c] + momentum * (mean - images[3][c]);
      images[10][c] = images[4][c] + momentum * (unbiased - images[4][c]);
    });
  });
}

// (gradient of y, x, weight, bias, mean, inverse, numbers) to the gradients of x, weight and bias
int BatchNormBackward(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const Channel channel(shapes[0]);
  const bool relu = images[6][2] != 0;
  return Guarded([=] {
    Together(shapes[0][1], [=](size_t, size_t c) {
      const float *dy = images[0] + c * channel.pixels, *x = images[1] + c * channel.pixels;
      float *dx = images[7] + c * channel.pixels;
      const float mean = images[4][c], inverse = images[5][c], scale = images[2][c] * inverse;
      const Line passes = relu ? Line{scale, images[3][c] - mean * scale} : Line{0.0f, 1.0f};
      double sum = 0.0, product = 0.0;
      for (int64_t image = 0; image < channel.images; ++image) {
        const int64_t at = image * channel.stride;
        SumGradients(dy + at, x + at, passes, mean, channel.pixels, &sum, &product);
      }
      product *= inverse;
      const double b = -static_cast<double>(scale) * inverse * product / channel.Count();
      const auto shift = static_cast<float>(-scale * sum / channel.Count() - b * mean);
      for (int64_t image = 0; image < channel.images; ++image) {
        const int64_t at = image * channel.stride;
        Combine(dy + at, scale, x + at, static_cast<float>(b), shift, passes, dx + at,
                channel.pixels);
      }
      images[8][c] = static_cast<float>(product);
      images[9][c] = static_cast<float>(sum);
    });
  });
}
