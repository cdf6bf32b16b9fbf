// AXI, as several harnesses see it: where they say what is wrong, the rule that every channel keeps, and an AXI4-Lite
// master that writes and reads registers at the ports s_axil_*.

#ifndef FXSIM_HARNESS_AXI_HPP
#define FXSIM_HARNESS_AXI_HPP

#include "harness_common.hpp"

#include <array>
#include <type_traits>

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

// AXI4-Lite master: one access after the other. `patient`: it sometimes takes an answer only when it has waited for a
// cycle, so that one whose valid waits for ready, through a register too, never comes.
class Registers {
  public:
    Registers(Design& design, Log& log, uint64_t seed, bool hurried, bool patient)
        : dut_(design), log_(log), random_(seed), hurried_(hurried), patient_(patient) {}

    void write(uint32_t address, uint32_t value) { accesses_.push_back({true, address, value}); }
    void write_wide(uint32_t address, uint64_t value) {
        write(address, uint32_t(value));
        write(address + 4, uint32_t(value >> 32));
    }
    void read(uint32_t address) { accesses_.push_back({false, address, 0}); }
    bool idle() const { return accesses_.empty(); }
    uint32_t address() const { return accesses_.front().address; }  // of the access that is under way
    size_t left() const { return accesses_.size(); }
    uint32_t operator[](uint32_t address) const { return values_.at(address); }  // as read last
    // The write that was taken in this cycle, or none.
    const uint32_t* written(uint32_t address) const {
        return taken_ && accesses_.front().address == address ? &accesses_.front().value : nullptr;
    }
    std::string waiting() const {
        const Access& access = accesses_.front();
        return std::string(access.write ? "write" : "read") + " of register " + hex(access.address);
    }

    // Where an answer has not come while ready was low: whether it does soon once ready is high.
    bool waits_for_ready() {
        if (state_ != RESPONSE || !holds_) return false;
        const bool write = accesses_.front().write;
        for (int i = 0; i < READY_CYCLES; ++i) {
            if (write) dut_->s_axil_bready = 1;
            else dut_->s_axil_rready = 1;
            dut_.settle();
            if (write ? dut_->s_axil_bvalid : dut_->s_axil_rvalid) {
                log_.fatal("valid waits for ready", write ? "s_axil_b" : "s_axil_r", waiting());
                return true;
            }
            dut_.clock();
        }
        return false;
    }

    void reset() {
        accesses_.clear();
        state_ = IDLE;
        holds_ = false;
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
            // The first of each kind, and under stalls some others.
            holds_ = patient_ && (!held_[access.write] || (!hurried_ && random_.below(4) == 0));
            held_[access.write] = true;
        }
        const Access& access = accesses_.front();
        const bool address = state_ == REQUEST && address_left_ && (address_delay_ == 0 || address_delay_-- == 0);
        const bool data = state_ == REQUEST && data_left_ && (data_delay_ == 0 || data_delay_-- == 0);
        dut_->s_axil_awvalid = address && access.write;
        dut_->s_axil_awaddr = address && access.write ? Address(access.address) : Address(0xa5);
        dut_->s_axil_wvalid = data;
        dut_->s_axil_wdata = data ? access.value : 0xa5a5a5a5;
        dut_->s_axil_wstrb = data ? 0xf : 0x5;
        dut_->s_axil_arvalid = address && !access.write;
        dut_->s_axil_araddr = address && !access.write ? Address(access.address) : Address(0xa5);
        const bool ready = state_ == RESPONSE && !holds_ && delay() == 0;
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
        if (access.write ? b : r) holds_ = false;
        const bool done = access.write ? b && dut_->s_axil_bready : r && dut_->s_axil_rready;
        if (!done) return false;
        check_unwaited(access.write);
        const unsigned answer = access.write ? dut_->s_axil_bresp : dut_->s_axil_rresp;
        if (answer != 0)
            log_.fatal("register access refused", "s_axil", waiting() + ", answer " + std::to_string(answer));
        if (!access.write) values_[access.address] = dut_->s_axil_rdata;
        accesses_.pop_front();
        state_ = IDLE;
        return true;
    }

  private:
    using Address = std::remove_reference_t<decltype(Vdut::s_axil_awaddr)>;

    struct Access {
        bool write;
        uint32_t address, value;
    };
    enum State { IDLE, REQUEST, RESPONSE };
    static constexpr int READY_CYCLES = 64;

    void rest() {
        dut_->s_axil_awvalid = dut_->s_axil_wvalid = dut_->s_axil_arvalid = 0;
        dut_->s_axil_bready = dut_->s_axil_rready = 0;
    }
    // AXI: valid does not wait for ready.
    void check_unwaited(bool write) {
        auto set_ready = [&](bool ready) {
            if (write) dut_->s_axil_bready = ready;
            else dut_->s_axil_rready = ready;
            dut_->eval();
        };
        set_ready(false);
        const bool waits = write ? !dut_->s_axil_bvalid : !dut_->s_axil_rvalid;
        if (waits) log_.fault("valid waits for ready", write ? "s_axil_b" : "s_axil_r", waiting());
        set_ready(true);
    }
    uint64_t delay() { return hurried_ ? 0 : random_.below(4); }

    Design& dut_;
    Log& log_;
    Random random_;
    bool hurried_, patient_;
    std::array<bool, 2> held_{};  // whether an answer to a read, or a write, has been made to wait
    bool holds_ = false;          // ready waits for valid
    std::deque<Access> accesses_;
    std::map<uint32_t, uint32_t> values_;
    State state_ = IDLE;
    bool address_left_ = false, data_left_ = false, taken_ = false;
    uint64_t address_delay_ = 0, data_delay_ = 0;
    Offer<1> response_;
    Offer<2> data_;
};

}  // namespace cosim

#endif
