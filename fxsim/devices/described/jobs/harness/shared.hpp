// What the parts of the harness share: the design, its memories, the images, and how far they are.

#ifndef FXSIM_JOBS_SHARED_HPP
#define FXSIM_JOBS_SHARED_HPP

#include "described_ports.hpp"

#include <functional>

namespace cosim {

struct Shared {
    Shared(const Options& options, size_t image_bytes)
        : images(options.number("images")),
          dut(options),
          window(images, image_bytes),
          memories(AREAS, REGIONS, options.number("power_on_seed")),
          random(options.number("power_on_seed") * 2) {}

    uint64_t images;
    Design dut;
    Window window;
    Memories memories;
    Random random;
    Log log;
    uint64_t image = 0;                                                     // of the job, or of the next one
    bool running = false;                                                   // a job
    bool setting_up = false;                                                // the steps before the first job
    std::function<std::string()> transfers = [] { return std::string(); };  // under way, each with "; " before it
    std::function<bool()> waits_for_ready = [] { return false; };           // whether that is why nothing comes
    bool held_back = false;  // the harness waits: not moving proves nothing

    // Where the log is, for what has no image of its own.
    void note() {
        log.cycle = dut.cycle();
        log.image = std::min(image, images - 1);
        log.entered = entered();
    }
    uint64_t entered() const { return std::min(image + 1, images); }
    void fault(const std::string& kind, const char* where, const std::string& detail = "") {
        note();
        log.fault(kind, where, detail);
    }
    void fatal(const std::string& kind, const char* where, const std::string& detail = "") {
        note();
        log.fatal(kind, where, detail);
    }
    // The first read that found nothing, of ports on which that may happen: it tells where wrong values may come from.
    void note_odd_read(const std::string& kind, const char* where, const std::string& detail) {
        if (!running || !odd_read.kind.empty()) return;
        odd_read = {kind, "\"" + std::string(where) + "\"", image, 0, dut.cycle(), entered(), detail};
    }
    void tell_odd_read() {
        if (!odd_read.kind.empty()) log.faults.add(odd_read);
    }
    Fault odd_read{};

    // Of a tap, or of the output (NEVER).
    void stream_fault(const std::string& kind, size_t tap, uint64_t index, const std::string& detail = "") {
        const std::string stream = tap == NEVER ? "-1" : std::to_string(tap);
        log.faults.add({kind, stream, std::min(image, images - 1), index, dut.cycle(), entered(), detail});
    }
};

}  // namespace cosim

#endif
