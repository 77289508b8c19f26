// Attention within windows as a custom operator of MindSpore ("aot"), and its gradient. What pixels
// weigh for each other is computed for a window and a head at a time and not kept: the gradient
// computes it again, so that memory grows with pixels alone.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "vectors.h"
#include "workers.h"

namespace {

constexpr int64_t kGroups = 8;  // of windows, whose gradients of positions are summed one by one

// e to the power of each number less the largest, relative error below 2e-7.
FOR_EACH_PROCESSOR void Exponentials(float *__restrict x, float largest, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float clamped = std::max(x[i] - largest, -87.0f);
    const int32_t power = static_cast<int32_t>(clamped * 1.44269504f - 0.5f);
    const float rest = clamped - power * 0.693359375f + power * 2.12194440e-4f;
    float value = 1.9875691500e-4f;
    value = value * rest + 1.3981999507e-3f;
    value = value * rest + 8.3334519073e-3f;
    value = value * rest + 4.1665795894e-2f;
    value = value * rest + 1.6666665459e-1f;
    value = value * rest + 5.0000001201e-1f;
    value = value * rest * rest + rest + 1.0f;
    const int32_t bits = (power + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, sizeof scale);
    x[i] = value * scale;
  }
}

FOR_EACH_PROCESSOR void AddScaled(const float *__restrict x, float factor, float *__restrict to,
                                  int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] += factor * x[i];
}

FOR_EACH_PROCESSOR void Normalise(float *x, float factor, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] *= factor;
}

FOR_EACH_PROCESSOR void SoftmaxGradient(const float *__restrict weights, float mean,
                                        float *__restrict gradient, int64_t count) {
  for (int64_t i = 0; i < count; ++i) gradient[i] = weights[i] * (gradient[i] - mean);
}

// As many floats as there are lanes, anywhere in memory.
using Vector [[gnu::vector_size(kLanes * sizeof(float)), gnu::aligned(4), gnu::may_alias]] = float;

constexpr int64_t kTile = 4;  // rows that a product computes at once, of kLanes columns

int64_t Padded(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// Rows of numbers, of which those beyond the last column, and beyond the last row, are zero.
struct Matrix {
  Matrix(int64_t rows, int64_t columns)
      : rows(Padded(rows, kTile)), stride(Padded(columns, kLanes)), values(this->rows * stride) {}
  float *Row(int64_t row) { return &values[row * stride]; }
  int64_t rows, stride;
  std::vector<float> values;
};

// Writes the product of a (rows, depth), whose steps are those from a row and from a column to the
// next, and b (depth, columns). Rows are a multiple of kTile, and columns, the stride of b and of
// the product, of kLanes.
FOR_EACH_PROCESSOR void Multiply(const float *__restrict a, int64_t row_step, int64_t column_step,
                                 const float *__restrict b, float *__restrict product,
                                 int64_t rows, int64_t depth, int64_t columns) {
  for (int64_t column = 0; column < columns; column += kLanes) {
    for (int64_t row = 0; row < rows; row += kTile) {
      Vector sums[kTile] = {};
      const float *of_a = a + row * row_step;
      const float *of_b = b + column;
      for (int64_t k = 0; k < depth; ++k, of_a += column_step, of_b += columns) {
        const Vector values = *reinterpret_cast<const Vector *>(of_b);
#pragma GCC unroll 4
        for (int64_t i = 0; i < kTile; ++i) sums[i] += of_a[i * row_step] * values;
      }
      float *to = product + row * columns + column;
      for (int64_t i = 0; i < kTile; ++i) *reinterpret_cast<Vector *>(to + i * columns) = sums[i];
    }
  }
}

// "product" is a times b, or the transposed a times b.
void Multiply(Matrix &a, Matrix &b, int64_t depth, Matrix *product) {
  Multiply(a.Row(0), a.stride, 1, b.Row(0), product->Row(0), a.rows, depth, b.stride);
}

void MultiplyTransposed(Matrix &a, Matrix &b, int64_t depth, Matrix *product) {
  Multiply(a.Row(0), 1, a.stride, b.Row(0), product->Row(0), product->rows, depth, b.stride);
}

// One head: matrices (pixels, channels) of queries, scaled, keys and values, and what pixels weigh
// for each other.
class Head {
 public:
  Head(int64_t pixels, int64_t channels)
      : pixels_(pixels),
        channels_(channels),
        scale_(1.0f / std::sqrt(static_cast<float>(channels))),
        queries_(pixels, channels),
        keys_(pixels, channels),
        values_(pixels, channels),
        across_(channels, pixels),
        weights_(pixels, pixels),
        of_weights_(pixels, pixels),
        gradient_(pixels, channels),
        product_(pixels, channels) {}

  // "qkv" is this head's part of the first pixel, whose query, key and value lie a stride apart.
  // The mask may be null.
  void Weigh(const float *qkv, int64_t stride, const float *position, const float *mask) {
    Read(qkv, 3 * stride, scale_, &queries_);
    Read(qkv + stride, 3 * stride, 1.0f, &keys_);
    Read(qkv + 2 * stride, 3 * stride, 1.0f, &values_);
    Turn(keys_);
    Multiply(queries_, across_, channels_, &weights_);
    for (int64_t i = 0; i < pixels_; ++i) {
      float *row = weights_.Row(i);
      AddScaled(position + i * pixels_, 1.0f, row, pixels_);
      if (mask) AddScaled(mask + i * pixels_, 1.0f, row, pixels_);
      Exponentials(row, Largest(row, pixels_), pixels_);
      Normalise(row, 1.0f / Sum(row, pixels_), pixels_);
    }
  }

  void Apply(int64_t stride, float *y) {
    Multiply(weights_, values_, pixels_, &product_);
    Write(1.0f, y, stride);
  }

  // Writes the gradients of queries, keys and values, and adds that of the position.
  void Differentiate(const float *dy, int64_t stride, float *of_qkv, float *of_position) {
    Read(dy, stride, 1.0f, &gradient_);
    MultiplyTransposed(weights_, gradient_, pixels_, &product_);
    Write(1.0f, of_qkv + 2 * stride, 3 * stride);
    Turn(values_);
    Multiply(gradient_, across_, channels_, &of_weights_);
    for (int64_t i = 0; i < pixels_; ++i) {
      float *row = of_weights_.Row(i);
      SoftmaxGradient(weights_.Row(i), Dot(weights_.Row(i), row, pixels_), row, pixels_);
      AddScaled(row, 1.0f, of_position + i * pixels_, pixels_);
    }
    Multiply(of_weights_, keys_, pixels_, &product_);
    Write(scale_, of_qkv, 3 * stride);
    MultiplyTransposed(of_weights_, queries_, pixels_, &product_);
    Write(1.0f, of_qkv + stride, 3 * stride);
  }

 private:
  void Read(const float *from, int64_t stride, float factor, Matrix *to) const {
    for (int64_t i = 0; i < pixels_; ++i) {
      for (int64_t c = 0; c < channels_; ++c) to->Row(i)[c] = from[i * stride + c] * factor;
    }
  }

  void Write(float factor, float *to, int64_t stride) {
    for (int64_t i = 0; i < pixels_; ++i) {
      for (int64_t c = 0; c < channels_; ++c) to[i * stride + c] = product_.Row(i)[c] * factor;
    }
  }

  void Turn(Matrix &from) {
    for (int64_t c = 0; c < channels_; ++c) {
      for (int64_t i = 0; i < pixels_; ++i) across_.Row(c)[i] = from.Row(i)[c];
    }
  }

  int64_t pixels_, channels_;
  float scale_;
  Matrix queries_, keys_, values_, across_, weights_, of_weights_, gradient_, product_;
};

// (windows, pixels, 3 C) of queries, keys and values; (1, heads, pixels, pixels) of positions; and,
// where there is one, the mask (windows of an image, 1, pixels, pixels).
struct Windows {
  Windows(const int64_t *qkv, const int64_t *position, const int64_t *mask)
      : count(qkv[0]),
        pixels(qkv[1]),
        channels(qkv[2] / 3),
        heads(position[1]),
        of_head(channels / heads),
        of_image(mask ? mask[0] : 1),
        in_group((count + kGroups - 1) / kGroups) {}

  // Calls with the number of the piece, the head's number, and the window's.
  template <typename Work>
  void ForEach(const Work &work) const {
    Together(heads * kGroups, [&](size_t, size_t piece) {
      const int64_t first = piece % kGroups * in_group;
      Head head(pixels, of_head);
      for (int64_t window = first; window < std::min(count, first + in_group); ++window) {
        work(head, piece, piece / kGroups, window);
      }
    });
  }
  void Weigh(Head &head, int64_t number, int64_t window, const float *qkv, const float *position,
             const float *mask) const {
    const int64_t pairs = pixels * pixels;
    head.Weigh(qkv + window * pixels * 3 * channels + number * of_head, channels,
               position + number * pairs, mask ? mask + window % of_image * pairs : nullptr);
  }
  int64_t count, pixels, channels, heads, of_head, of_image, in_group;
};

}  // namespace

extern "C" Operator Attention, AttentionBackward;

// (queries, keys and values; positions; mask, if there is one) to y (windows, pixels, C)
int Attention(int tensor_count, void **tensors, int *, int64_t **shapes, const char **, void *,
              void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const bool masked = tensor_count == 4;
  const Windows windows(shapes[0], shapes[1], masked ? shapes[2] : nullptr);
  float *y = images[tensor_count - 1];
  return Guarded([&] {
    windows.ForEach([&](Head &head, int64_t, int64_t number, int64_t window) {
      windows.Weigh(head, number, window, images[0], images[1], masked ? images[2] : nullptr);
      head.Apply(windows.channels,
                 y + window * windows.pixels * windows.channels + number * windows.of_head);
    });
  });
}

// (gradient of y; queries, keys and values; positions; mask, if there is one) to the gradients of
// queries, keys and values, and of the positions
int AttentionBackward(int tensor_count, void **tensors, int *, int64_t **shapes, const char **,
                      void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const bool masked = tensor_count == 6;
  const Windows windows(shapes[1], shapes[2], masked ? shapes[3] : nullptr);
  const int64_t pairs = windows.pixels * windows.pixels, channels = windows.channels;
  return Guarded([&] {
    std::vector<float> sums(windows.heads * kGroups * pairs);
    windows.ForEach([&](Head &head, int64_t piece, int64_t number, int64_t window) {
      windows.Weigh(head, number, window, images[1], images[2], masked ? images[3] : nullptr);
      const int64_t at = window * windows.pixels * channels, own = number * windows.of_head;
      head.Differentiate(images[0] + at + own, channels,
                         images[tensor_count - 2] + 3 * at + own, &sums[piece * pairs]);
    });
    float *of_position = images[tensor_count - 1];
    std::fill_n(of_position, windows.heads * pairs, 0.0f);
    for (int64_t piece = 0; piece < windows.heads * kGroups; ++piece) {
      AddScaled(&sums[piece * pairs], 1.0f, of_position + piece / kGroups * pairs, pairs);
    }
  });
}
