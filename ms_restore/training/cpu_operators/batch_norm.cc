// Batch normalisation of images (N, C, H, W) in training as custom operators of MindSpore ("aot"),
// one channel at a time, so that its second pass finds the channel in a core's cache.

#include <cmath>
#include <cstdint>

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

// The sum of products of a, and of b less its mean.
FOR_EACH_PROCESSOR float DotOfCentred(const float *__restrict a, const float *__restrict b,
                                      float mean, int64_t count) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * (b[i + lane] - mean);
  }
  for (; i < count; ++i) lanes[0] += a[i] * (b[i] - mean);
  return SumOfLanes(lanes);
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

// to = a x + b y + c
FOR_EACH_PROCESSOR void Combine(const float *__restrict x, float a, const float *__restrict y,
                                float b, float c, float *__restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = a * x[i] + b * y[i] + c;
}

FOR_EACH_PROCESSOR void ScaleAndShift(const float *__restrict x, float scale, float shift,
                                      float *__restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = x[i] * scale + shift;
}

}  // namespace

extern "C" Operator BatchNorm, BatchNormBackward;

// (x, weight, bias, moving mean, moving variance, epsilon and momentum) to the normalised x, the
// batch's mean and one over its standard deviation, and the new moving mean and variance
int BatchNorm(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const Channel channel(shapes[0]);
  const float epsilon = images[5][0], momentum = images[5][1];
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
      const float scale = images[1][c] * inverse, shift = images[2][c] - mean * scale;
      for (int64_t image = 0; image < channel.images; ++image) {
        const int64_t at = image * channel.stride;
        ScaleAndShift(x + at, scale, shift, y + at, channel.pixels);
      }
      const auto unbiased = static_cast<float>(squares / (count > 1 ? count - 1 : 1));
      images[7][c] = mean;
      images[8][c] = inverse;
      images[9][c] = images[3][c] + momentum * (mean - images[3][c]);
      images[10][c] = images[4][c] + momentum * (unbiased - images[4][c]);
    });
  });
}

// (gradient of y, x, weight, mean, inverse) to the gradients of x, weight and bias
int BatchNormBackward(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const Channel channel(shapes[0]);
  return Guarded([=] {
    Together(shapes[0][1], [=](size_t, size_t c) {
      const float *dy = images[0] + c * channel.pixels, *x = images[1] + c * channel.pixels;
      float *dx = images[5] + c * channel.pixels;
      const float mean = images[3][c], inverse = images[4][c];
      const double sum = channel.SumOver([&](int64_t at) { return Sum(dy + at, channel.pixels); });
      const double product = channel.SumOver([&](int64_t at) {
        return DotOfCentred(dy + at, x + at, mean, channel.pixels);
      }) * inverse;
      const double a = images[2][c] * inverse, b = -a * inverse * product / channel.Count();
      const auto shift = static_cast<float>(-a * sum / channel.Count() - b * mean);
      for (int64_t image = 0; image < channel.images; ++image) {
        const int64_t at = image * channel.stride;
        Combine(dy + at, static_cast<float>(a), x + at, static_cast<float>(b), shift, dx + at,
                channel.pixels);
      }
      images[6][c] = static_cast<float>(product);
      images[7][c] = static_cast<float>(sum);
    });
  });
}
