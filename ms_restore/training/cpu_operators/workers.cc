#include "workers.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace {

// A thread that does one thing at a time.
class Worker {
 public:
  Worker() {
    std::thread([this] { Loop(); }).detach();
  }
  void Start(std::function<void()> work) {
    std::lock_guard<std::mutex> lock(mutex_);
    work_ = std::move(work);
    changed_.notify_all();
  }
  std::exception_ptr Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !work_; });
    return std::exchange(failure_, nullptr);
  }

 private:
  void Loop() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return static_cast<bool>(work_); });
      try {
        work_();
      } catch (...) {
        failure_ = std::current_exception();
      }
      work_ = nullptr;
      changed_.notify_all();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> work_;
  std::exception_ptr failure_;
};

std::vector<Worker *> others;  // beside the thread that calls, which is number 0
std::mutex one_at_a_time;

}  // namespace

size_t Workers() { return others.size() + 1; }

void SetWorkers(size_t count) {
  if (others.size() >= count) others.resize(count - 1);
  while (others.size() + 1 < count) others.push_back(new Worker);
}

void Together(size_t pieces, const std::function<void(size_t, size_t)> &work) {
  std::atomic<size_t> next{0};
  const auto share = [&](size_t number) {
    for (size_t piece; (piece = next++) < pieces;) work(number, piece);
  };
  const size_t helping = pieces > 1 ? std::min(others.size(), pieces - 1) : 0;
  for (size_t i = 0; i < helping; ++i) others[i]->Start([&share, i] { share(i + 1); });
  std::exception_ptr failure;
  try {
    share(0);
  } catch (...) {
    failure = std::current_exception();
  }
  for (size_t i = 0; i < helping; ++i) {
    if (auto one = others[i]->Wait()) failure = one;
  }
  if (failure) std::rethrow_exception(failure);
}

int Guarded(const std::function<void()> &work) try {
  std::lock_guard<std::mutex> lock(one_at_a_time);
  work();
  return 0;
} catch (const std::exception &error) {
  fprintf(stderr, "ms_restore: %s\n", error.what());
  return 1;
}
