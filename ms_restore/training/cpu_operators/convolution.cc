// Convolutions and their gradients as custom operators of MindSpore ("aot"), by oneDNN.
//
// MindSpore fixes the layouts of a convolution's operands, for which oneDNN has no kernels of its
// own. Here oneDNN chooses the layouts, and the operands are copied to them and back. The
// oneDNN that MindSpore brings has no threads of its own, so a batch is cut into parts, for several
// threads and small enough for their caches.

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "onednn.h"
#include "workers.h"

namespace {

constexpr int64_t kAlignment = 64;    // bytes
constexpr int64_t kVector = 16;       // floats of AVX-512: channels that a part has at least
constexpr int64_t kCached = 1 << 19;  // floats of images that a part has, if of several images

struct Operand {
  int argument;
  int query, index;  // for the layout that oneDNN wants
  int place;         // among those of the forward convolution, whose shape it has
};

// Two operands, the result, and what may be left out: the bias, which is a result in the last kind.
enum Kind { kForward, kBackwardData, kBackwardWeights };
const std::vector<Operand> kOperands[] = {
    {{kSource, 129, 0, 0}, {kWeights, 131, 0, 1}, {kResult, 133, 0, 2}, {kBias, 131, 1, 3}},
    {{kOfResult, 134, 0, 2}, {kWeights, 131, 0, 1}, {kOfSource, 130, 0, 0}},
    {{kSource, 129, 0, 0}, {kOfResult, 134, 0, 2}, {kOfWeights, 132, 0, 1}, {kOfBias, 132, 1, 3}},
};

bool IsResult(Kind kind, size_t operand) {
  return operand == 2 || (operand == 3 && kind == kBackwardWeights);
}

// A part of a tensor, strides in floats.
struct Part {
  float *data;
  Numbers shape;
  Numbers strides;
  Handle layout = nullptr;  // where oneDNN chose it, instead of the strides

  Part(void *all, const int64_t *sizes, int dims)
      : data(static_cast<float *>(all)), shape(sizes, sizes + dims), strides(dims, 1) {
    for (int i = dims - 1; i > 0; --i) strides[i - 1] = strides[i] * shape[i];
  }
  int64_t Size() const { return shape[0] * strides[0]; }
  Part Cut(int axis, int64_t first, int64_t end) const {
    Part part = *this;
    part.data += first * strides[axis];
    part.shape[axis] = end - first;
    return part;
  }
  Handle Layout() const {
    if (layout != nullptr) return layout;
    Dims sizes(shape), steps(strides);
    return Make("dnnl_memory_desc_create_with_strides", static_cast<int>(shape.size()),
                sizes.values, kFloat32, steps.values);
  }
};

// Bytes that are kept from one use to the next.
class Scratch {
 public:
  char *Start(int64_t size) {
    const auto wanted = static_cast<size_t>(size + kAlignment);
    if (bytes_.size() < wanted) bytes_ = std::vector<char>(wanted);
    return bytes_.data() + kAlignment - reinterpret_cast<uintptr_t>(bytes_.data()) % kAlignment;
  }

 private:
  std::vector<char> bytes_;
};

// One convolution of given shapes, of one thread.
class Plan {
 public:
  Plan(Kind kind, const std::vector<Part> &parts, const Numbers &windows) {
    const auto &operands = kOperands[kind];
    Handle forward_layouts[4] = {};
    for (size_t i = 0; i < parts.size(); ++i) {
      Dims shape(parts[i].shape);
      forward_layouts[operands[i].place] = Make("dnnl_memory_desc_create_with_tag",
          static_cast<int>(parts[i].shape.size()), shape.values, kFloat32, kAnyLayout);
    }
    const auto [source, weights, result, bias] = forward_layouts;
    Dims stride({windows[0], windows[1]}), before({windows[2], windows[4]});
    Dims after({windows[3], windows[5]}), dilation({windows[6] - 1, windows[7] - 1});
    const Handle none = nullptr;
    Handle description = Make("dnnl_convolution_forward_primitive_desc_create", engine, kTraining,
                              kDirect, source, weights, bias, result, stride.values,
                              dilation.values, before.values, after.values, none);
    if (kind == kBackwardData) {
      description = Make("dnnl_convolution_backward_data_primitive_desc_create", engine, kDirect,
                         source, weights, result, stride.values, dilation.values, before.values,
                         after.values, description, none);
    } else if (kind == kBackwardWeights) {
      description = Make("dnnl_convolution_backward_weights_primitive_desc_create", engine, kDirect,
                         source, weights, bias, result, stride.values, dilation.values,
                         before.values, after.values, description, none);
    }
    std::vector<Step> last;
    std::vector<Bound> bound;
    for (size_t i = 0; i < parts.size(); ++i) {
      Handle given = parts[i].Layout();
      Handle wanted = Ask<Handle>("dnnl_primitive_desc_query_md", description, operands[i].query,
                                  operands[i].index);
      if (i == 0) layout_ = wanted;
      Handle memory = Make("dnnl_memory_create", given, engine, none);
      given_.push_back(memory);
      if (!Ask("dnnl_memory_desc_equal", given, wanted)) {
        const bool is_result = IsResult(kind, i);
        Handle other = Make("dnnl_memory_create", wanted, engine, none);
        wanted_.emplace_back(other, scratch_);
        scratch_ += (SizeOf(wanted) + kAlignment - 1) / kAlignment * kAlignment;
        Handle from = is_result ? wanted : given, to = is_result ? given : wanted;
        Handle copying = Make("dnnl_reorder_primitive_desc_create", from, engine, to, engine, none);
        Step copy{Make("dnnl_primitive_create", copying),
                  {{kSource, is_result ? other : memory}, {kResult, is_result ? memory : other}}};
        (is_result ? last : steps_).push_back(copy);
        memory = other;
      }
      bound.push_back({operands[i].argument, memory});
    }
    steps_.push_back({Make("dnnl_primitive_create", description), bound});
    steps_.insert(steps_.end(), last.begin(), last.end());
  }

  // What oneDNN chose for the first operand.
  Handle LayoutOfFirst() const { return layout_; }

  void Run(Handle stream, Scratch *scratch, const std::vector<Part> &parts) {
    char *start = scratch->Start(scratch_);
    for (size_t i = 0; i < given_.size(); ++i) {
      Call("dnnl_memory_set_data_handle", given_[i], static_cast<void *>(parts[i].data));
    }
    for (auto [memory, offset] : wanted_) {
      Call("dnnl_memory_set_data_handle", memory, static_cast<void *>(start + offset));
    }
    for (const Step &step : steps_) {
      const auto count = static_cast<int>(step.bound.size());
      Call("dnnl_primitive_execute", step.primitive, stream, count, step.bound.data());
    }
  }

 private:
  struct Step {
    Handle primitive;
    std::vector<Bound> bound;
  };
  std::vector<Handle> given_;                       // memory in MindSpore's layout,
  std::vector<std::pair<Handle, int64_t>> wanted_;  // and in oneDNN's, with its place in scratch
  std::vector<Step> steps_;
  Handle layout_ = nullptr;
  int64_t scratch_ = 0;  // bytes
};

// Copies a part, of one thread.
class Copy {
 public:
  Copy(Handle from, Handle to)
      : from_(Make("dnnl_memory_create", from, engine, Handle{})),
        to_(Make("dnnl_memory_create", to, engine, Handle{})),
        primitive_(Make("dnnl_primitive_create",
                        Make("dnnl_reorder_primitive_desc_create", from, engine, to, engine,
                             Handle{}))) {}
  void Run(Handle stream, float *from, char *to) {
    Call("dnnl_memory_set_data_handle", from_, static_cast<void *>(from));
    Call("dnnl_memory_set_data_handle", to_, static_cast<void *>(to));
    const Bound bound[] = {{kSource, from_}, {kResult, to_}};
    Call("dnnl_primitive_execute", primitive_, stream, 2, bound);
  }

 private:
  Handle from_, to_, primitive_;
};

// Of a worker.
struct Context {
  Handle stream = Make("dnnl_stream_create", engine, kInOrder);
  Scratch scratch;
  std::map<Numbers, std::unique_ptr<Plan>> plans;
  std::map<Numbers, std::unique_ptr<Copy>> copies;  // by the shape of the whole, and the place

  Plan *PlanOf(Kind kind, const std::vector<Part> &parts, const Numbers &windows) {
    Numbers key{kind};
    key.insert(key.end(), windows.begin(), windows.end());
    for (const Part &part : parts) {
      key.insert(key.end(), part.shape.begin(), part.shape.end());
      key.insert(key.end(), part.strides.begin(), part.strides.end());
      key.push_back(reinterpret_cast<intptr_t>(part.layout));
    }
    auto &plan = plans[key];
    if (!plan) plan = std::make_unique<Plan>(kind, parts, windows);
    return plan.get();
  }
  void Convolve(Kind kind, const std::vector<Part> &parts, const Numbers &windows) {
    PlanOf(kind, parts, windows)->Run(stream, &scratch, parts);
  }
};

std::vector<Context *> contexts;
Scratch shared;

// Where all parts have the same first operand, let the threads copy it to oneDNN's layout together,
// instead of each for itself.
void ShareFirst(Kind kind, std::vector<std::vector<Part>> *divided, const Numbers &windows) {
  const Part whole = divided->front()[0];
  const int64_t images = whole.shape[0], channels = whole.shape[1];
  const int axis = images > 1 ? 0 : 1;
  const int64_t unit = images > 1 ? 1 : kVector, units = whole.shape[axis] / unit;
  const int64_t slices = std::min<int64_t>(Workers(), units);
  Handle layout = contexts[0]->PlanOf(kind, divided->front(), windows)->LayoutOfFirst();
  if (slices < 2 || channels % kVector != 0) return;
  Handle plain = whole.Layout();
  const bool same = Ask("dnnl_memory_desc_equal", plain, layout);
  Call("dnnl_memory_desc_destroy", plain);
  if (same) return;
  char *start = shared.Start(SizeOf(layout));
  Together(slices, [&](size_t worker, int64_t slice) {
    const int64_t first = units * slice / slices * unit, end = units * (slice + 1) / slices * unit;
    const Part part = whole.Cut(axis, first, end);
    Numbers key = whole.shape;
    key.insert(key.end(), {reinterpret_cast<intptr_t>(layout), slice});
    auto &copy = contexts[worker]->copies[key];
    if (!copy) {
      Dims shape(part.shape), place(axis == 0 ? Numbers{first} : Numbers{0, first});
      copy = std::make_unique<Copy>(part.Layout(), Make("dnnl_memory_desc_create_submemory", layout,
                                                        shape.values, place.values));
    }
    copy->Run(contexts[worker]->stream, part.data, start);
  });
  for (auto &parts : *divided) {
    parts[0].data = reinterpret_cast<float *>(start);
    parts[0].layout = layout;
  }
}

struct Summand {
  size_t operand;
  std::unique_ptr<float[]> values;
};

// Equal parts of the batch; where that is smaller than the threads are many, of the result's
// channels, too; of these alone where the weights are more than the images, for every part of a
// batch copies the weights. Of the gradients of weights and bias each part of the batch gives a
// summand; all but the first need a place.
std::vector<std::vector<Part>> Divide(Kind kind, const std::vector<Part> &whole,
                                      std::vector<Summand> *summands) {
  const auto threads = static_cast<int64_t>(Workers());
  const int axis = kind == kBackwardWeights ? 0 : 1, other = kind == kBackwardWeights ? 1 : 2;
  const int64_t images = whole[0].shape[0], channels = whole[2].shape[axis];
  const int64_t most = kind == kBackwardWeights ? 4 * kCached : kCached;  // summands cost, too
  const int64_t cached = (whole[0].Size() + whole[other].Size()) / most;
  int64_t batches = std::min(std::max(threads, cached), images);
  while (batches < images && (images % batches != 0 || batches % threads != 0)) ++batches;
  const Part &weights = whole[kind == kBackwardWeights ? 2 : 1];
  if (weights.Size() > whole[0].Size() && channels >= threads * kVector) batches = 1;
  const int64_t groups = std::max<int64_t>(1, std::min(threads / batches, channels / kVector));
  std::vector<std::vector<Part>> divided;
  for (int64_t i = 0; i < batches; ++i) {
    auto batch = whole;
    for (int k : {0, other}) {
      batch[k] = batch[k].Cut(0, images * i / batches, images * (i + 1) / batches);
    }
    if (kind == kBackwardWeights && i > 0) {
      for (size_t k = 2; k < batch.size(); ++k) {
        summands->push_back({k, std::unique_ptr<float[]>(new float[whole[k].Size()])});
        batch[k].data = summands->back().values.get();
      }
    }
    for (int64_t j = 0; j < groups; ++j) {
      const int64_t channel = channels * j / groups, last = channels * (j + 1) / groups;
      auto part = batch;
      part[1] = part[1].Cut(kind == kForward ? 0 : 1, channel, last);
      part[2] = part[2].Cut(axis, channel, last);
      if (part.size() > 3) part[3] = part[3].Cut(0, channel, last);
      divided.push_back(part);
    }
  }
  return divided;
}

void Convolve(Kind kind, const std::vector<Part> &whole, const int64_t *windows) {
  std::vector<Summand> summands;
  auto divided = Divide(kind, whole, &summands);
  const Numbers geometry(windows, windows + 8);
  const bool one_batch = divided.front()[0].shape[0] == whole[0].shape[0];
  if (divided.size() > 1 && one_batch) ShareFirst(kind, &divided, geometry);
  Together(divided.size(), [&](size_t worker, size_t i) {
    contexts[worker]->Convolve(kind, divided[i], geometry);
  });
  for (const auto &[operand, values] : summands) {
    float *sum = whole[operand].data;
    InPieces(whole[operand].Size(), [sum, from = values.get()](int64_t first, int64_t end) {
      for (int64_t i = first; i < end; ++i) sum[i] += from[i];
    });
  }
}

// The tensors are numbered in the order of the operands; the third holds the windows: stride of
// rows and columns, padding above, below, left, right, dilation of rows and columns.
int Run(Kind kind, std::initializer_list<int> order, void **tensors, int *dims, int64_t **shapes) {
  return Guarded([&] {
    std::vector<Part> whole;
    for (int i : order) whole.emplace_back(tensors[i], shapes[i], dims[i]);
    Convolve(kind, whole, static_cast<int64_t *>(tensors[2]));
  });
}

}  // namespace

extern "C" Operator Forward, BackwardData, BackwardWeights;

// (source, weights, windows[, bias]) to the result
int Forward(int count, void **tensors, int *dims, int64_t **shapes, const char **, void *, void *) {
  if (count == 4) return Run(kForward, {0, 1, 3}, tensors, dims, shapes);
  return Run(kForward, {0, 1, 4, 3}, tensors, dims, shapes);
}

// (gradient of the result, weights, windows) to that of the source
int BackwardData(int, void **tensors, int *dims, int64_t **shapes, const char **, void *, void *) {
  return Run(kBackwardData, {0, 1, 3}, tensors, dims, shapes);
}

// (source, gradient of the result, windows, weights) to the gradients of weights[, and bias]
int BackwardWeights(int count, void **tensors, int *dims, int64_t **shapes, const char **, void *,
                    void *) {
  if (count == 5) return Run(kBackwardWeights, {0, 1, 4}, tensors, dims, shapes);
  return Run(kBackwardWeights, {0, 1, 4, 5}, tensors, dims, shapes);
}

// To be called before any operator; again, it changes the number of threads alone. Returns 0, or 1
// where the library is not as expected.
extern "C" int Open(const char *path, int threads) {
  return Guarded([=] {
    if (engine == nullptr) {
      library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
      if (library == nullptr) throw std::runtime_error(dlerror());
      Call("dnnl_set_max_cpu_isa", kAllIsas);
      engine = Make("dnnl_engine_create", kCpu, size_t{0});
    }
    SetWorkers(threads);
    while (contexts.size() < Workers()) contexts.push_back(new Context);
  });
}
