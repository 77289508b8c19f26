#include "workers.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace {

// How long a thread watches for what it waits for before it sleeps. The next operator comes within
// this time, while a thread that sleeps may be woken after milliseconds, in virtual machines above
// all.
constexpr std::chrono::microseconds kWatching{100};

// A thread that does one thing at a time.
class Worker {
 public:
  Worker() {
    std::thread([this] { Loop(); }).detach();
  }
  void Start(std::function<void()> work) {
    work_ = std::move(work);
    Change(true);
  }
  std::exception_ptr Wait() {
    Await(false);
    return std::exchange(failure_, nullptr);
  }

 private:
  void Loop() {
    while (true) {
      Await(true);
      try {
        work_();
      } catch (...) {
        failure_ = std::current_exception();
      }
      Change(false);
    }
  }
  void Change(bool busy) {
    std::lock_guard<std::mutex> lock(mutex_);
    busy_ = busy;
    changed_.notify_all();
  }
  void Await(bool busy) {
    const auto end = std::chrono::steady_clock::now() + kWatching;
    while (busy_ != busy) {
      if (std::chrono::steady_clock::now() > end) {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return busy_ == busy; });
        return;
      }
      std::this_thread::yield();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> busy_{false};
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

void InPieces(int64_t count, const std::function<void(int64_t, int64_t)> &work) {
  Together((count + kPiece - 1) / kPiece, [&](size_t, int64_t piece) {
    work(piece * kPiece, std::min(count, (piece + 1) * kPiece));
  });
}

int Guarded(const std::function<void()> &work) try {
  std::lock_guard<std::mutex> lock(one_at_a_time);
  work();
  return 0;
} catch (const std::exception &error) {
  fprintf(stderr, "ms_restore: %s\n", error.what());
  return 1;
}
