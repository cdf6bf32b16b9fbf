// The parts of harness_simd.cpp that stand on their own: where faults go, the rule that every channel keeps, the
// AXI4-Lite master, where the monitors stand, and where the cycles of an image went.

#ifndef FXSIM_HARNESS_SIMD_HPP
#define FXSIM_HARNESS_SIMD_HPP

#include "harness_common.hpp"

#include <array>
#include <utility>

namespace cosim {

constexpr size_t WORD = 16;  // bytes
constexpr size_t STAGES = 6;

// Byte offsets, bits and codes of the registers.
enum Register : uint32_t {
    ID = 0x00,
    CONTROL = 0x04,
    STATUS = 0x08,
    ERROR = 0x0c,
    PARAM_ADDR = 0x10,
    PARAM_WORDS = 0x18,
    IMAGE_COUNT = 0x1c,
    IMAGE_ADDR = 0x20,
    IMAGE_WORDS = 0x28,
    IMAGE_STRIDE = 0x2c,
    RESULT_ADDR = 0x30,
    RESULT_WORDS = 0x38,
    RESULT_STRIDE = 0x3c,
    CYCLES = 0x40,
    IMAGES_DONE = 0x48
};
constexpr uint32_t ACCELERATOR_ID = 0x46580001;
constexpr uint32_t START = 1, STOP = 2, KEEP = 4, IRQ_ENABLE = 8;
constexpr uint32_t BUSY = 1, DONE = 2, FAILED = 4;
enum Code : uint32_t { NONE = 0, READ_RESPONSE = 6, WRITE_RESPONSE = 7, STOPPED = 9 };
enum Wait : unsigned { FOR_PARAMETERS = 1, FOR_IMAGE = 2, FOR_RESULTS_BEFORE = 3, FOR_ROOM = 4 };

inline std::string hex(uint64_t value) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
    return text;
}

// ---- Faults and rules -----------------------------------------------------------------------------------------------

// Where every part of the simulation says what is wrong, and when and where that is.
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

// ---- Registers ------------------------------------------------------------------------------------------------------

// AXI4-Lite master: one access after the other.
class Registers {
  public:
    Registers(Design& design, Log& log, uint64_t seed, bool hurried)
        : dut_(design), log_(log), random_(seed), hurried_(hurried) {}

    void write(uint32_t address, uint32_t value) { accesses_.push_back({true, address, value}); }
    void write_wide(uint32_t address, uint64_t value) {
        write(address, uint32_t(value));
        write(address + 4, uint32_t(value >> 32));
    }
    void read(uint32_t address) { accesses_.push_back({false, address, 0}); }
    bool idle() const { return accesses_.empty(); }
    uint32_t operator[](uint32_t address) const { return values_.at(address); }  // as read last
    // The write that was taken in this cycle, or none.
    const uint32_t* written(uint32_t address) const {
        return taken_ && accesses_.front().address == address ? &accesses_.front().value : nullptr;
    }
    std::string waiting() const {
        const Access& access = accesses_.front();
        return std::string(access.write ? "write" : "read") + " of register " + hex(access.address);
    }

    void reset() {
        accesses_.clear();
        state_ = IDLE;
        response_.reset();
        data_.reset();
        rest();
    }

    void drive() {
        if (state_ == IDLE) {
            if (accesses_.empty()) return rest();
            state_ = REQUEST;
            const Access& access = accesses_.front();
            address_left_ = true;
            data_left_ = access.write;
            address_delay_ = delay();
            data_delay_ = delay();
        }
        const Access& access = accesses_.front();
        const bool address = state_ == REQUEST && address_left_ && (address_delay_ == 0 || address_delay_-- == 0);
        const bool data = state_ == REQUEST && data_left_ && (data_delay_ == 0 || data_delay_-- == 0);
        dut_->s_axil_awvalid = address && access.write;
        dut_->s_axil_awaddr = address && access.write ? uint8_t(access.address) : 0xa5;
        dut_->s_axil_wvalid = data;
        dut_->s_axil_wdata = data ? access.value : 0xa5a5a5a5;
        dut_->s_axil_wstrb = data ? 0xf : 0x5;
        dut_->s_axil_arvalid = address && !access.write;
        dut_->s_axil_araddr = address && !access.write ? uint8_t(access.address) : 0xa5;
        const bool ready = state_ == RESPONSE && delay() == 0;
        dut_->s_axil_bready = ready && access.write;
        dut_->s_axil_rready = ready && !access.write;
    }

    // Returns whether there was any handshake.
    bool observe() {
        taken_ = false;
        const bool b = dut_->s_axil_bvalid, r = dut_->s_axil_rvalid;
        if (state_ == IDLE) {
            if (b || r) log_.fault("response without an access", "s_axil");
            return false;
        }
        response_.check(log_, "s_axil_b", b, dut_->s_axil_bready, {dut_->s_axil_bresp});
        data_.check(log_, "s_axil_r", r, dut_->s_axil_rready, {dut_->s_axil_rdata, dut_->s_axil_rresp});
        const Access access = accesses_.front();
        bool moved = false;
        if (state_ == REQUEST) {
            if (b || r) log_.fault("response before the access", "s_axil", waiting());
            if ((dut_->s_axil_awvalid && dut_->s_axil_awready) || (dut_->s_axil_arvalid && dut_->s_axil_arready)) {
                address_left_ = false;
                moved = true;
            }
            if (dut_->s_axil_wvalid && dut_->s_axil_wready) {
                data_left_ = false;
                moved = true;
            }
            if (!address_left_ && !data_left_) {
                state_ = RESPONSE;
                taken_ = access.write;
            }
            return moved;
        }
        if (access.write ? r : b) log_.fault("response on the wrong channel", "s_axil", waiting());
        const bool done = access.write ? b && dut_->s_axil_bready : r && dut_->s_axil_rready;
        if (!done) return false;
        const unsigned answer = access.write ? dut_->s_axil_bresp : dut_->s_axil_rresp;
        if (answer != 0)
            log_.fatal("register access refused", "s_axil", waiting() + ", answer " + std::to_string(answer));
        if (!access.write) values_[access.address] = dut_->s_axil_rdata;
        accesses_.pop_front();
        state_ = IDLE;
        return true;
    }

  private:
    struct Access {
        bool write;
        uint32_t address, value;
    };
    enum State { IDLE, REQUEST, RESPONSE };

    void rest() {
        dut_->s_axil_awvalid = dut_->s_axil_wvalid = dut_->s_axil_arvalid = 0;
        dut_->s_axil_bready = dut_->s_axil_rready = 0;
    }
    uint64_t delay() { return hurried_ ? 0 : random_.below(4); }

    Design& dut_;
    Log& log_;
    Random random_;
    bool hurried_;
    std::deque<Access> accesses_;
    std::map<uint32_t, uint32_t> values_;
    State state_ = IDLE;
    bool address_left_ = false, data_left_ = false, taken_ = false;
    uint64_t address_delay_ = 0, data_delay_ = 0;
    Offer<1> response_;
    Offer<2> data_;
};

// ---- Stages ---------------------------------------------------------------------------------------------------------

// The words of one tap in a stage: group by group, in each token by token.
struct Entry {
    size_t tap;
    uint32_t tokens, groups, last_lanes;  // channels of the last group
    size_t offset = NEVER;                // of the expected words in an image's bytes; NEVER: not compared
};

// A monitor: the taps whose words it shows one after the other, and which word comes next.
struct Stage {
    std::vector<Entry> entries;
    uint64_t image = 0;
    size_t entry = 0;
    uint32_t group = 0, token = 0;
    const uint8_t* expected = nullptr;  // the next word; null where the tap is not compared

    bool begun() const { return entry != 0 || group != 0 || token != 0; }
    size_t index() const { return (size_t(group) * entries[entry].tokens + token) * WORD; }
};

// ---- Figures --------------------------------------------------------------------------------------------------------

// What each layer took of the first image of the first job: of one that got that far.
class Figures {
  public:
    Figures(const std::vector<uint64_t>& layer_words) : layers_(layer_words.size()) {
        for (size_t i = 0; i < layer_words.size(); ++i) layer_of_.insert(layer_of_.end(), layer_words[i], uint16_t(i));
    }
    bool taken() const { return complete_; }
    bool computing() const { return computing_; }

    void start(uint64_t cycle) {
        if (complete_) return;
        std::fill(layers_.begin(), layers_.end(), Layer{});
        load_ = write_ = Span{};
        std::fill(std::begin(pending_), std::end(pending_), 0);
        start_ = layer_start_ = cycle;
        layer_ = 0;
        computing_ = true;
    }
    void observe(uint64_t cycle, bool step, unsigned layer, unsigned wait) {
        if (!step && wait == 0) return;
        if (layer >= layers_.size() || layer < layer_) {
            computing_ = false;  // the next image
            return;
        }
        if (layer > layer_) {
            layer_start_ = std::min(layers_[layer_].compute.end, cycle);
            layer_ = layer;
        }
        Layer& now = layers_[layer];
        if (step) {
            ++now.steps;
            now.compute.extend(cycle);
            now.cycles = cycle + 1 - layer_start_;
            for (size_t i = 0; i < 4; ++i) now.waits[i] += std::exchange(pending_[i], 0);
        } else if (wait <= 4) {
            ++pending_[wait - 1];
        }
    }
    void parameter_beat(uint64_t cycle, size_t word) { layers_[layer_of_[word]].load.extend(cycle); }
    void image_beat(uint64_t cycle) { load_.extend(cycle); }
    void result(uint64_t cycle) { write_.extend(cycle); }
    void image_done() {
        complete_ = true;
        computing_ = false;
    }
    uint64_t start() const { return start_; }

    Object& describe(Object& object) const {
        if (!complete_) return object.raw("layers", "[]").raw("timeline", "[]");
        std::vector<std::string> spans;
        load_.describe(spans, "load", -1, start_);
        for (size_t i = 0; i < layers_.size(); ++i) layers_[i].load.describe(spans, "load", int(i), start_);
        for (size_t i = 0; i < layers_.size(); ++i) layers_[i].compute.describe(spans, "compute", int(i), start_);
        write_.describe(spans, "write", -1, start_);
        return object
            .raw("layers", json_list(layers_,
                                     [](const Layer& l) {
                                         return Object()
                                             .number("steps", l.steps)
                                             .number("cycles", l.cycles)
                                             .number("waits_parameters", l.waits[FOR_PARAMETERS - 1])
                                             .number("waits_image", l.waits[FOR_IMAGE - 1])
                                             .number("waits_results_before", l.waits[FOR_RESULTS_BEFORE - 1])
                                             .number("waits_room", l.waits[FOR_ROOM - 1])
                                             .json();
                                     }))
            .raw("timeline", json_list(spans, [](const std::string& text) { return text; }));
    }

  private:
    struct Span {
        uint64_t first = NEVER, end = NEVER;
        void extend(uint64_t cycle) {
            if (first == NEVER) first = cycle;
            end = cycle + 1;
        }
        void describe(std::vector<std::string>& into, const char* kind, int layer, uint64_t start) const {
            if (first == NEVER) return;
            into.push_back(Object()
                               .text("kind", kind)
                               .number("layer", layer)
                               .number("start", first - start)
                               .number("end", end - start)
                               .json());
        }
    };
    struct Layer {
        uint64_t steps = 0, cycles = 0;
        uint64_t waits[4] = {};
        Span load, compute;
    };
    std::vector<Layer> layers_;
    std::vector<uint16_t> layer_of_;  // a parameter word's
    Span load_, write_;
    uint64_t start_ = 0, layer_start_ = 0;
    uint64_t pending_[4] = {};  // waits that no step has ended yet: after the image's last step they are the next one's
    size_t layer_ = 0;
    bool computing_ = false, complete_ = false;
};

}  // namespace cosim

#endif
