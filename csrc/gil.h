// The interpreter's lock around long native work, and calls back into Python; safe while the interpreter shuts down.
//
// A daemon thread that asks for the lock after the interpreter has begun to shut down is ended by Python (before 3.14, which
// stops it for good), and on Linux that unwinds its C++ frames: into a noexcept function, which aborts the process, or through
// destructors that need the lock. Such a thread is stopped here, as newer Pythons do; the process ends without it.
#pragma once

#include <Python.h>

#include <chrono>
#include <thread>

namespace pynn {

// Work that is estimated to take longer gives the lock to other threads.
constexpr double kReleaseGilNs = 20000;

[[noreturn]] inline void stop_thread() {
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

// Gives the lock to other threads while it lives.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      stop_thread();
    }
  }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

// Holds the lock while it lives, whether the thread had it before or not.
class GilAcquire {
 public:
  GilAcquire() {
    try {
      state_ = PyGILState_Ensure();
    } catch (...) {
      stop_thread();
    }
  }
  ~GilAcquire() { PyGILState_Release(state_); }
  GilAcquire(const GilAcquire&) = delete;
  GilAcquire& operator=(const GilAcquire&) = delete;

 private:
  PyGILState_STATE state_;
};

// function(first, second): a new reference, null with a Python error set.
inline PyObject* call_python(PyObject* function, PyObject* first, PyObject* second) {
  try {
    return PyObject_CallFunctionObjArgs(function, first, second, nullptr);
  } catch (...) {
    stop_thread();
  }
}

}  // namespace pynn
