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

// One head: queries, scaled, by pixel; keys and values by channel, so that pixels lie side by side.
class Head {
 public:
  Head(int64_t pixels, int64_t channels)
      : pixels_(pixels),
        channels_(channels),
        scale_(1.0f / std::sqrt(static_cast<float>(channels))),
        queries_(pixels * channels),
        keys_(pixels * channels),
        values_(pixels * channels),
        weights_(pixels * pixels),
        row_(pixels),
        of_keys_(pixels * channels),
        of_values_(pixels * channels) {}

  // "qkv" is this head's part of the first pixel, whose query, key and value lie a stride apart.
  // The mask may be null.
  void Weigh(const float *qkv, int64_t stride, const float *position, const float *mask) {
    for (int64_t i = 0; i < pixels_; ++i) {
      const float *of_pixel = qkv + i * 3 * stride;
      for (int64_t c = 0; c < channels_; ++c) {
        queries_[i * channels_ + c] = of_pixel[c] * scale_;
        keys_[c * pixels_ + i] = of_pixel[stride + c];
        values_[c * pixels_ + i] = of_pixel[2 * stride + c];
      }
    }
    for (int64_t i = 0; i < pixels_; ++i) {
      float *row = &weights_[i * pixels_];
      std::copy_n(position + i * pixels_, pixels_, row);
      if (mask) AddScaled(mask + i * pixels_, 1.0f, row, pixels_);
      for (int64_t c = 0; c < channels_; ++c) {
        AddScaled(&keys_[c * pixels_], queries_[i * channels_ + c], row, pixels_);
      }
      Exponentials(row, Largest(row, pixels_), pixels_);
      Normalise(row, 1.0f / Sum(row, pixels_), pixels_);
    }
  }

  void Apply(int64_t stride, float *y) const {
    for (int64_t i = 0; i < pixels_; ++i) {
      for (int64_t c = 0; c < channels_; ++c) {
        y[i * stride + c] = Dot(&weights_[i * pixels_], &values_[c * pixels_], pixels_);
      }
    }
  }

  // Writes the gradients of queries, keys and values, and adds that of the position.
  void Differentiate(const float *dy, int64_t stride, float *of_qkv, float *of_position) {
    std::fill(of_keys_.begin(), of_keys_.end(), 0.0f);
    std::fill(of_values_.begin(), of_values_.end(), 0.0f);
    for (int64_t i = 0; i < pixels_; ++i) {
      const float *weights = &weights_[i * pixels_], *gradient = dy + i * stride;
      std::fill(row_.begin(), row_.end(), 0.0f);
      for (int64_t c = 0; c < channels_; ++c) {
        AddScaled(&values_[c * pixels_], gradient[c], row_.data(), pixels_);
        AddScaled(weights, gradient[c], &of_values_[c * pixels_], pixels_);
      }
      SoftmaxGradient(weights, Dot(weights, row_.data(), pixels_), row_.data(), pixels_);
      AddScaled(row_.data(), 1.0f, of_position + i * pixels_, pixels_);
      for (int64_t c = 0; c < channels_; ++c) {
        of_qkv[i * 3 * stride + c] = scale_ * Dot(row_.data(), &keys_[c * pixels_], pixels_);
        AddScaled(row_.data(), queries_[i * channels_ + c], &of_keys_[c * pixels_], pixels_);
      }
    }
    for (int64_t i = 0; i < pixels_; ++i) {
      float *of_pixel = of_qkv + i * 3 * stride;
      for (int64_t c = 0; c < channels_; ++c) {
        of_pixel[stride + c] = of_keys_[c * pixels_ + i];
        of_pixel[2 * stride + c] = of_values_[c * pixels_ + i];
      }
    }
  }

 private:
  int64_t pixels_, channels_;
  float scale_;
  std::vector<float> queries_, keys_, values_, weights_, row_, of_keys_, of_values_;
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
