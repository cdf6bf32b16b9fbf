// Where every part of the harness says what is wrong, and the rule that every channel keeps.

#ifndef FXSIM_SIMD_LOG_HPP
#define FXSIM_SIMD_LOG_HPP

#include "harness_common.hpp"

#include <array>

namespace cosim {

inline std::string hex(uint64_t value) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

// Takes down what is wrong, and when and where that is.
struct Log {
    uint64_t cycle = 0, image = 0, entered = 0;
    Faults faults;
    bool stop = false;  // a fault after which positions mean nothing any more

    void fault(const std::string& kind, const char* channel, const std::string& detail = "") {
        faults.add({kind, "\"" + std::string(channel) + "\"", image, 0, cycle, entered, detail});
    }
    void fatal(const std::string& kind, const char* channel, const std::string& detail = "") {
        fault(kind, channel, detail);
        stop = true;
    }
};

// A channel on which the design offers something: that stays, unchanged, until it is taken.
template <size_t N>
class Offer {
  public:
    using Payload = std::array<uint64_t, N>;
    void check(Log& log, const char* channel, bool valid, bool ready, const Payload& payload) {
        if (waits_) {
            if (!valid) log.fault("valid withdrawn", channel);
            else if (payload != payload_) log.fault("payload changed while waiting", channel);
        }
        waits_ = valid && !ready;
        payload_ = payload;
    }
    bool waits() const { return waits_; }
    void reset() { waits_ = false; }

  private:
    bool waits_ = false;
    Payload payload_{};
};

}  // namespace cosim

#endif
