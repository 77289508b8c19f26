// Operators on the channels of images as custom operators of MindSpore ("aot"): convolution of each
// channel by itself, the product of two halves, a factor for each channel, the mean of each, and their
// gradients.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "vectors.h"
#include "workers.h"

namespace {

// A plane with a border of zeros, or cut where the border is negative.
void Pad(const float *plane, int64_t rows, int64_t columns, int64_t top, int64_t left,
         int64_t padded_rows, int64_t padded_columns, float *padded) {
  std::fill_n(padded, padded_rows * padded_columns, 0.0f);
  for (int64_t row = 0; row < rows; ++row) {
    if (row + top < 0 || row + top >= padded_rows) continue;
    const int64_t first = std::max<int64_t>(0, -left);
    const int64_t last = std::min(columns, padded_columns - left);
    if (first < last) {
      std::copy(plane + row * columns + first, plane + row * columns + last,
                padded + (row + top) * padded_columns + left + first);
    }
  }
}

// y plus a padded x convolved by a kernel.
FOR_EACH_PROCESSOR void Convolve(const float *__restrict x, const float *__restrict kernel,
                                 int64_t kernel_rows, int64_t kernel_columns, int64_t rows,
                                 int64_t columns, float *__restrict y) {
  const int64_t width = columns + kernel_columns - 1;
  for (int64_t row = 0; row < rows; ++row) {
    float *__restrict to = y + row * columns;
    for (int64_t k = 0; k < kernel_rows; ++k) {
      const float *__restrict from = x + (row + k) * width, *w = kernel + k * kernel_columns;
      int64_t l = 0;
      for (; l + 3 <= kernel_columns; l += 3) {
        for (int64_t i = 0; i < columns; ++i) {
          to[i] += w[l] * from[i + l] + w[l + 1] * from[i + l + 1] + w[l + 2] * from[i + l + 2];
        }
      }
      for (; l < kernel_columns; ++l) {
        for (int64_t i = 0; i < columns; ++i) to[i] += w[l] * from[i + l];
      }
    }
  }
}

FOR_EACH_PROCESSOR void Multiply(const float *__restrict a, const float *__restrict b,
                                 float *__restrict product, int64_t count) {
  for (int64_t i = 0; i < count; ++i) product[i] = a[i] * b[i];
}

FOR_EACH_PROCESSOR void Scale(const float *__restrict x, float factor, float *__restrict y,
                              int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = factor * x[i];
}

}  // namespace

extern "C" Operator DepthwiseForward, DepthwiseBackwardData;
extern "C" Operator DepthwiseBackwardWeights, Gate, GateBackward, ScaleChannels;
extern "C" Operator ScaleChannelsBackward, PlaneMean, PlaneMeanBackward;

// (x, kernels, windows, bias) to y, or without a bias; of the windows the padding alone counts
int DepthwiseForward(int tensor_count, void **tensors, int *, int64_t **shapes, const char **, void *,
              void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const bool has_bias = tensor_count == 5;
  const int64_t *x = shapes[0], *w = shapes[1], *y = shapes[has_bias ? 4 : 3];
  const auto *windows = reinterpret_cast<int64_t *>(tensors[2]);
  const int64_t top = windows[2], left = windows[4];
  return Guarded([&] {
    const int64_t padded_rows = y[2] + w[2] - 1, padded_columns = y[3] + w[3] - 1;
    std::vector<std::vector<float>> padded(Workers());
    Together(y[0] * y[1], [&](size_t worker, size_t plane) {
      auto &own = padded[worker];
      own.resize(padded_rows * padded_columns);
      const size_t channel = plane % y[1];
      float *to = images[has_bias ? 4 : 3] + plane * y[2] * y[3];
      Pad(images[0] + plane * x[2] * x[3], x[2], x[3], top, left, padded_rows,
          padded_columns, own.data());
      std::fill_n(to, y[2] * y[3], has_bias ? images[3][channel] : 0.0f);
      Convolve(own.data(), images[1] + channel * w[2] * w[3], w[2], w[3], y[2], y[3], to);
    });
  });
}

// (gradient of y, kernels, windows) to the gradient of x
int DepthwiseBackwardData(int, void **tensors, int *, int64_t **shapes, const char **, void *,
                          void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t *y = shapes[0], *w = shapes[1], *x = shapes[3];
  const auto *windows = reinterpret_cast<int64_t *>(tensors[2]);
  const int64_t top = windows[2], left = windows[4];
  return Guarded([&] {
    const int64_t taps = w[2] * w[3];
    const int64_t padded_rows = x[2] + w[2] - 1, padded_columns = x[3] + w[3] - 1;
    std::vector<std::vector<float>> buffers(Workers());
    Together(x[0] * x[1], [&](size_t worker, size_t plane) {
      auto &own = buffers[worker];
      own.resize(padded_rows * padded_columns + taps);
      float *turned = own.data() + padded_rows * padded_columns;
      const float *kernel = images[1] + plane % x[1] * taps;
      std::reverse_copy(kernel, kernel + taps, turned);
      float *to = images[3] + plane * x[2] * x[3];
      Pad(images[0] + plane * y[2] * y[3], y[2], y[3], w[2] - 1 - top,
          w[3] - 1 - left, padded_rows, padded_columns, own.data());
      std::fill_n(to, x[2] * x[3], 0.0f);
      Convolve(own.data(), turned, w[2], w[3], x[2], x[3], to);
    });
  });
}

// (x, gradient of y, windows, kernels) to the gradients of the kernels and of the bias, if one is
int DepthwiseBackwardWeights(int tensor_count, void **tensors, int *, int64_t **shapes,
                             const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t *x = shapes[0], *y = shapes[1], *w = shapes[3];
  const auto *windows = reinterpret_cast<int64_t *>(tensors[2]);
  const int64_t top = windows[2], left = windows[4];
  return Guarded([&] {
    const int64_t padded_rows = y[2] + w[2] - 1, padded_columns = y[3] + w[3] - 1;
    std::vector<std::vector<float>> buffers(Workers());
    // rows of the gradient are as long as those of the padded x, so that a tap is one product
    const int64_t length = y[2] * padded_columns;
    const std::vector<float> ones(length, 1.0f);
    Together(y[1], [&](size_t worker, size_t channel) {
      auto &own = buffers[worker];
      own.resize(padded_rows * padded_columns + w[3] + length);
      float *gradient = own.data() + padded_rows * padded_columns + w[3];
      std::vector<double> sums(w[2] * w[3] + 1);
      for (int64_t image = 0; image < y[0]; ++image) {
        const int64_t plane = image * y[1] + channel;
        Pad(images[0] + plane * x[2] * x[3], x[2], x[3], top, left, padded_rows,
            padded_columns, own.data());
        Pad(images[1] + plane * y[2] * y[3], y[2], y[3], 0, 0, y[2], padded_columns, gradient);
        for (int64_t k = 0; k < w[2]; ++k) {
          for (int64_t l = 0; l < w[3]; ++l) {
            sums[k * w[3] + l] += Dot(gradient, own.data() + k * padded_columns + l, length);
          }
        }
        sums.back() += Dot(gradient, ones.data(), length);
      }
      std::copy(sums.begin(), sums.end() - 1, images[4] + channel * w[2] * w[3]);
      if (tensor_count == 6) images[5][channel] = static_cast<float>(sums.back());
    });
  });
}

// (x) to the product of the first and the second half of its channels
int Gate(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t channels = shapes[1][1], pixels = shapes[1][2] * shapes[1][3];
  return Guarded([=] {
    Together(shapes[1][0] * channels, [=](size_t, size_t plane) {
      const float *first = images[0] + (plane / channels * channels + plane) * pixels;
      Multiply(first, first + channels * pixels, images[1] + plane * pixels, pixels);
    });
  });
}

// (gradient of the product, x) to the gradient of x
int GateBackward(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t channels = shapes[0][1], pixels = shapes[0][2] * shapes[0][3];
  return Guarded([=] {
    Together(shapes[0][0] * channels, [=](size_t, size_t plane) {
      const int64_t at = (plane / channels * channels + plane) * pixels, half = channels * pixels;
      const float *gradient = images[0] + plane * pixels, *x = images[1] + at;
      Multiply(gradient, x + half, images[2] + at, pixels);
      Multiply(gradient, x, images[2] + at + half, pixels);
    });
  });
}

// (x, a factor for each channel of each image, or of all alike) to their product
int ScaleChannels(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t factors = shapes[1][0] * shapes[1][1], pixels = shapes[0][2] * shapes[0][3];
  return Guarded([=] {
    Together(shapes[0][0] * shapes[0][1], [=](size_t, size_t plane) {
      const int64_t at = plane * pixels;
      Scale(images[0] + at, images[1][plane % factors], images[2] + at, pixels);
    });
  });
}

// (gradient of the product, x, factors) to the gradients of x and of the factors
int ScaleChannelsBackward(int, void **tensors, int *, int64_t **shapes, const char **, void *,
                          void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t factors = shapes[2][0] * shapes[2][1], pixels = shapes[0][2] * shapes[0][3];
  const int64_t planes = shapes[0][0] * shapes[0][1];
  return Guarded([=] {
    Together(factors, [=](size_t, size_t factor) {
      double sum = 0.0;
      for (int64_t plane = factor; plane < planes; plane += factors) {
        const float *gradient = images[0] + plane * pixels, *x = images[1] + plane * pixels;
        Scale(gradient, images[2][factor], images[3] + plane * pixels, pixels);
        sum += Dot(gradient, x, pixels);
      }
      images[4][factor] = static_cast<float>(sum);
    });
  });
}

// (x) to the mean of each plane
int PlaneMean(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t pixels = shapes[0][2] * shapes[0][3];
  return Guarded([=] {
    Together(shapes[0][0] * shapes[0][1], [=](size_t, size_t plane) {
      images[1][plane] = Sum(images[0] + plane * pixels, pixels) / pixels;
    });
  });
}

// (gradient of the means, x) to the gradient of x
int PlaneMeanBackward(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t pixels = shapes[1][2] * shapes[1][3];
  return Guarded([=] {
    Together(shapes[1][0] * shapes[1][1], [=](size_t, size_t plane) {
      std::fill_n(images[2] + plane * pixels, pixels, images[0][plane] / pixels);
    });
  });
}
