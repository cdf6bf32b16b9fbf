// The steps of a job: the design is started, and seen to be done.

#ifndef FXSIM_JOBS_CONTROL_HPP
#define FXSIM_JOBS_CONTROL_HPP

#include "shared.hpp"

namespace cosim {

class Control {
  public:
    Control(Shared& shared, const Options& options)
        : shared_(shared),
          dut_(shared.dut),
          registers_(shared.dut, shared.log, options.number("power_on_seed"), options.numbers("input_stall").at(0) == 0,
                     true) {}

    const char* step() const { return steps_ == nullptr || finished() ? "" : (*steps_)[at_].name; }
    bool finished() const { return steps_ == nullptr || at_ == steps_->size(); }

    void reset() {
        steps_ = nullptr;
        held_ = false;
        done_before_ = busy_before_ = true;  // whatever they are after a reset
        registers_.reset();
    }
    // Nothing is asked of the registers.
    void rest() { registers_.drive(); }

    void begin(const std::vector<Step>& steps) {
        steps_ = &steps;
        at_ = 0;
        enter();
    }

    void drive() {
        registers_.drive();
        dut_->start = held_;
        starting_ = false;
        if (finished() || (*steps_)[at_].act != Act::START || (HAS_BUSY && busy_before_)) return;
        starting_ = true;
        dut_->start = 1;
    }

    // Returns whether a step ended.
    bool observe() {
        const bool done = dut_->done, busy = HAS_BUSY && dut_->busy;
        // Asking again and again moves nothing.
        registers_.observe();
        const bool moved = advance(done, busy);
        done_before_ = done;
        busy_before_ = busy;
        if (!moved && !finished() && ++waited_ >= (*steps_)[at_].timeout && !waits_for_ready())
            shared_.fatal("timeout", "control",
                          "no end of '" + std::string(step()) + "' in " + std::to_string(waited_) + " cycles" +
                              shared_.transfers());
        return moved;
    }

    bool starting() const { return starting_; }

    // Some time after the last job.
    void check_rest() {
        if (HAS_BUSY && busy_before_) shared_.fault("busy without a job", "busy", "it stays high after the last one");
    }

  private:
    bool waits_for_ready() { return shared_.waits_for_ready() || registers_.waits_for_ready(); }

    void enter() {
        waited_ = 0;
        if (finished()) return;
        const Step& step = (*steps_)[at_];
        if (step.act == Act::WRITE) registers_.write(step.address, step.value);
        if (step.act == Act::READ || step.act == Act::POLL) registers_.read(step.address);
    }

    // A step that is no start or done. Returns whether it ended.
    bool carry_on(const Step& step) {
        if (step.act == Act::WAIT) return bit_of(dut_->waits, step.port) && next();
        if (!registers_.idle()) return false;
        if (step.act == Act::WRITE) return next();
        const uint32_t got = registers_[step.address];
        if ((got & step.mask) == step.value) return next();
        if (step.act == Act::POLL) registers_.read(step.address);
        else
            shared_.fatal("wrong value in a register", "s_axil",
                          std::string(step.name) + " is " + hex(got) + ", expected " + hex(step.value));
        return false;
    }

    bool advance(bool done, bool busy) {
        // A level that is high since the last job is none of this one.
        const bool news = DONE_LEVEL ? done && !done_before_ : done;
        const bool waits = !finished() && (*steps_)[at_].act == Act::DONE;
        if (news && !waits) shared_.fault("done without a job", "done");
        if (busy && !busy_before_ && !waits && !starting_) shared_.fault("busy without a job", "busy");
        if (starting_) {
            held_ = START_LEVEL;
            was_busy_ = busy;
            return next();
        }
        if (!finished() && (*steps_)[at_].act != Act::START && !waits) return carry_on((*steps_)[at_]);
        if (!waits) return false;
        was_busy_ |= busy;
        if (!news) return false;
        if (HAS_BUSY && !was_busy_) shared_.fault("busy never high in a job", "busy");
        held_ = false;
        return next();
    }
    bool next() {
        ++at_;
        enter();
        return true;
    }

    Shared& shared_;
    Design& dut_;
    Registers registers_;
    const std::vector<Step>* steps_ = nullptr;
    size_t at_ = 0;
    uint64_t waited_ = 0;
    bool held_ = false, starting_ = false, was_busy_ = false;
    bool done_before_ = true, busy_before_ = true;
};

}  // namespace cosim

#endif
