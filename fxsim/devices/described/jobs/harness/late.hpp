// Outputs inside the design as they are in the cycle after done: what is written later than that came too late.
//
// A port shows a word a cycle, and while the harness reads one word another may still be written. So copies of the
// process, made in that cycle, each read other words first; what they find is compared with what is read in the end.

#ifndef FXSIM_JOBS_LATE_HPP
#define FXSIM_JOBS_LATE_HPP

#include "harness_common.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <functional>

namespace cosim {

class Copies {
  public:
    // Run `body(i)`, i below `count`, each in a copy of the process that ends with it. It leaves its results in memory
    // that is shared with the copies.
    static void run(size_t count, const std::function<void(size_t)>& body) {
        // What is in a buffer would be written twice.
        std::fflush(nullptr);
        for (size_t i = 0; i < count; ++i) {
            const pid_t copy = fork();
            if (copy < 0) fail("the simulator cannot be copied to read the outputs when the job is done");
            if (copy == 0) {
                // A copy tells nothing but its result.
                const int nowhere = open("/dev/null", O_WRONLY);
                for (const int file : {STDOUT_FILENO, STDERR_FILENO, fileno(messages)}) dup2(nowhere, file);
                differences.leave();
                body(i);
                _exit(0);
            }
            int status = 0;
            if (waitpid(copy, &status, 0) != copy || status != 0) fail("a copy of the simulator did not end");
        }
    }
};

// Bytes that copies of the process leave something in.
class SharedBytes {
  public:
    explicit SharedBytes(size_t count) : count_(count) {
        if (count == 0) return;
        void* found = mmap(nullptr, count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (found == MAP_FAILED) fail("no memory for the outputs when the job is done");
        bytes_ = static_cast<uint8_t*>(found);
    }
    SharedBytes(const SharedBytes&) = delete;
    SharedBytes& operator=(const SharedBytes&) = delete;
    ~SharedBytes() {
        if (bytes_ != nullptr) munmap(bytes_, count_);
    }
    uint8_t* at(size_t place) { return bytes_ + place; }

  private:
    size_t count_;
    uint8_t* bytes_ = nullptr;
};

}  // namespace cosim

#endif
