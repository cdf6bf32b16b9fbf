// The master: it starts jobs and stops them, learns when one is done, and checks what its registers say.

#ifndef FXSIM_SIMD_JOBS_HPP
#define FXSIM_SIMD_JOBS_HPP

#include "disturbances.hpp"
#include "read_side.hpp"
#include "registers.hpp"
#include "results.hpp"
#include "stages.hpp"
#include "write_side.hpp"

#include <utility>

namespace cosim {

constexpr uint64_t CYCLES_SLACK = 8;   // between the register CYCLES and what is seen from outside
constexpr uint64_t POLL_CYCLES = 200;  // most between two questions whether a job is done

class Jobs {
  public:
    Jobs(Shared& shared, Disturbances& disturbances, Stages& stages, Results& results, const ReadSide& reads,
         const WriteSide& writes, const Options& options)
        : shared_(shared),
          disturbances_(disturbances),
          stages_(stages),
          results_(results),
          reads_(reads),
          writes_(writes),
          dut_(shared.dut),
          log_(shared.log),
          job_(shared.job),
          registers_(shared.dut, shared.log, options.number("seed"), !shared.disordered && !shared.particular, false),
          gap_(options.number("gap")),
          scattered_(options.number("scattered") != 0) {}

    bool pausing() const { return phase_ == Phase::GAP; }
    bool finished() const { return phase_ == Phase::DRAIN; }

    void reset() {
        registers_.reset();
        identified_ = irq_ = false;
    }

    // After a disturbance: images from `image` on are run again.
    void restart(uint64_t image) {
        shared_.acknowledged = image;
        results_.forget();
        asking_ = false;
        job_ = Job{};
        phase_ = image == shared_.images ? Phase::DRAIN : Phase::GAP;
        gap_left_ = 0;
    }

    // What the master does next, where it has nothing under way.
    void control() {
        switch (phase_) {
            case Phase::GAP:
                if (gap_left_ != 0) --gap_left_;
                else set_up();
                break;
            case Phase::SETUP:
                if (!registers_.idle()) break;
                if (!identified_ && registers_[ID] != ACCELERATOR_ID)
                    log_.fatal("wrong ID", "s_axil", "register ID reads " + hex(registers_[ID]));
                identified_ = true;
                phase_ = Phase::RUN;
                poll_delay_ = 0;
                break;
            case Phase::RUN:
                run_job();
                break;
            case Phase::COLLECT:
                if (registers_.idle()) finish_job();
                break;
            case Phase::DRAIN:
                break;
        }
    }

    void drive() { registers_.drive(); }

    // Say which step this cycle is in.
    void tell_step() {
        JobMoments& moments = shared_.moments;
        if (phase_ == Phase::SETUP && !registers_.idle()) moments.set_up(registers_.address());
        else if (phase_ == Phase::COLLECT && !registers_.idle()) moments.collect(COLLECTED.size() - registers_.left());
        else if (phase_ == Phase::RUN && job_.running()) moments.running();
        else moments.between_jobs();
    }

    // Returns whether anything moved.
    bool observe() {
        bool moved = registers_.observe();
        if (phase_ == Phase::RUN) moved = false;  // asking moves nothing
        if (const uint32_t* bits = registers_.written(CONTROL)) {
            if (*bits & START) start();
            if (*bits & STOP) {
                job_.stop_taken = dut_.cycle();
                if (job_.running()) shared_.moments.stop();
            }
        }
        observe_irq();
        return moved;
    }

    // Of all jobs; then the state of this one.
    Object& describe(Object& object) const {
        return object.number("jobs", jobs_)
            .raw("job_cycles", job_cycles_.json())
            .raw("single_cycles", single_cycles_.json());
    }
    Object& describe_state(Object& object) const {
        static const char* const PHASES[] = {"gap", "setup", "run", "collect", "drain"};
        return object.text("phase", PHASES[int(phase_)]).text("access", registers_.idle() ? "" : registers_.waiting());
    }

  private:
    enum class Phase { GAP, SETUP, RUN, COLLECT, DRAIN };

    void set_up() {
        Random& random = shared_.random;
        job_ = Job{};
        job_.first = shared_.acknowledged;
        job_.count = std::min(shared_.batch, shared_.images - shared_.acknowledged);
        job_.irq = (!shared_.disordered && !shared_.particular) || jobs_ % 2 == 0;
        const uint64_t spread = scattered_ ? PAGE / WORD : 1;
        job_.parameters = 0x12'3456'0000'0000 + WORD * random.below(spread);
        job_.images = (scattered_ ? 0xffff'8000'0000'0000 : 0x20'0000'0000'0000) + WORD * random.below(spread);
        job_.results = 0x30'8000'0000'0000 + WORD * random.below(spread);
        job_.image_stride = WORD * (shared_.image_words + (scattered_ ? random.below(4) : 0));
        job_.result_stride = WORD * (shared_.result_words + (scattered_ ? random.below(4) : 0));
        stages_.place(job_.first);
        if (!identified_) registers_.read(ID);
        registers_.write_wide(PARAM_ADDR, job_.parameters);
        registers_.write(PARAM_WORDS, uint32_t(shared_.parameter_words));
        registers_.write(IMAGE_COUNT, uint32_t(job_.count));
        registers_.write_wide(IMAGE_ADDR, job_.images);
        registers_.write(IMAGE_WORDS, uint32_t(shared_.image_words));
        registers_.write(IMAGE_STRIDE, uint32_t(job_.image_stride));
        registers_.write_wide(RESULT_ADDR, job_.results);
        registers_.write(RESULT_WORDS, uint32_t(shared_.result_words));
        registers_.write(RESULT_STRIDE, uint32_t(job_.result_stride));
        registers_.write(CONTROL, control_bits() | START);
        shared_.enter(job_.first);
        phase_ = Phase::SETUP;
    }

    uint32_t control_bits() const { return (shared_.keep ? KEEP : 0) | (job_.irq ? IRQ_ENABLE : 0); }

    void start() {
        job_.start = dut_.cycle() + 1;
        shared_.moments.begin();
        shared_.figures.start(job_.start);
    }

    void observe_irq() {
        irq_ = dut_->irq;
        if (!irq_) return;
        if (!job_.irq || job_.start == NEVER) return log_.fatal("irq that nobody waits for", "irq");
        if (job_.done == NEVER) see_done();
    }

    // While a job runs: stop it where that is wanted, and ask whether it is done.
    void run_job() {
        if (job_.done != NEVER) {
            if (!registers_.idle()) return;
            for (const uint32_t address : {STATUS, ERROR, CYCLES, Register(CYCLES + 4), IMAGES_DONE})
                registers_.read(address);
            registers_.write(STATUS, DONE | FAILED);
            phase_ = Phase::COLLECT;
            return;
        }
        const bool aimed = !job_.disturbed() && shared_.moments.stop_is_due();
        if (!job_.stop_asked && (aimed || disturbances_.is_due(disturbances_.stops, results_.last_moment()))) {
            job_.ask_to_stop(shared_.acknowledged);
            registers_.write(CONTROL, control_bits() | STOP);
        }
        if (job_.irq || !registers_.idle()) return;
        if (std::exchange(asking_, false) && (registers_[STATUS] & DONE) != 0) return see_done();
        if (poll_delay_ != 0) {
            --poll_delay_;
            return;
        }
        registers_.read(STATUS);
        asking_ = true;
        poll_delay_ = shared_.random.below(POLL_CYCLES);
    }

    void see_done() {
        job_.done = dut_.cycle();
        // Fatal: they would go on into the next job, whose images are others.
        if (reads_.under_way() || writes_.under_way()) log_.fatal("done with transfers under way", "m_axi");
    }

    // The job is done and its registers have been read: they must say what was seen.
    void finish_job() {
        ++jobs_;
        const uint32_t status = registers_[STATUS], code = registers_[ERROR] & 0xff;
        const uint64_t done = registers_[IMAGES_DONE];
        const std::string seen =
            "STATUS " + hex(status) + ", ERROR " + hex(registers_[ERROR]) + ", IMAGES_DONE " + std::to_string(done);
        if (irq_) log_.fault("irq stays though it was cleared", "irq");
        const bool failed = (status & FAILED) != 0;
        if ((status & (BUSY | DONE)) != DONE || failed != (code != 0))
            log_.fault("status contradicts itself", "s_axil", seen);
        check_cycles();
        if (failed) finish_failed(code, done, seen);
        else finish_whole(done, seen);
    }

    // A job that was broken off: by what disturbed it. The rest of its images is run again.
    void finish_failed(uint32_t code, uint64_t done, const std::string& seen) {
        const bool given = job_.error != NONE && code == job_.error;
        const bool stopped = job_.stop_taken != NEVER && code == STOPPED;
        if (!given && !stopped) return log_.fatal("unexpected error", "s_axil", seen);
        const uint64_t whole = shared_.acknowledged - job_.first;
        if (done < job_.done_before - job_.first || done > whole)
            return log_.fatal("wrong IMAGES_DONE", "s_axil", seen + ", " + std::to_string(whole) + " acknowledged");
        if (stopped) disturbances_.stops.happened();
        if (job_.error != NONE) disturbances_.errors.happened();
        // What is still to come needs an image to come in.
        restart(std::min(job_.first + done, disturbances_.any_left() ? shared_.images - 1 : shared_.images));
        disturbances_.draw();
    }

    void finish_whole(uint64_t done, const std::string& seen) {
        const uint64_t end = job_.first + job_.count;
        if (job_.error != NONE) return log_.fatal("an error on the bus was not noticed", "s_axil", seen);
        if (shared_.acknowledged != end) return log_.fatal("done too early", "s_axil", seen);
        // A stop may come too late, but not as long before the last result as this.
        if (job_.stop_taken != NEVER && job_.last_done > job_.stop_taken + STOP_CYCLES)
            return log_.fatal("a stop was not noticed", "s_axil", seen);
        if (done != job_.count) log_.fault("wrong IMAGES_DONE", "s_axil", seen);
        stages_.check_complete(end);
        job_cycles_.add(cycles());
        if (job_.count == 1) {
            single_cycles_.add(cycles());
            results_.took(cycles());
        }
        shared_.window.drop_before(shared_.acknowledged);
        phase_ = shared_.acknowledged == shared_.images ? Phase::DRAIN : Phase::GAP;
        gap_left_ = gap_;
        job_ = Job{};
    }

    uint64_t cycles() const { return uint64_t(registers_[CYCLES + 4]) << 32 | registers_[CYCLES]; }

    // CYCLES against what was seen from outside; a job that is polled ends some time before that is known.
    void check_cycles() {
        const uint64_t seen = job_.done - job_.start;
        if (cycles() > seen + CYCLES_SLACK || (job_.irq && cycles() + CYCLES_SLACK < seen))
            log_.fault("wrong CYCLES", "s_axil",
                       "CYCLES is " + std::to_string(cycles()) + ", the job took " + std::to_string(seen));
    }

    Shared& shared_;
    Disturbances& disturbances_;
    Stages& stages_;
    Results& results_;
    const ReadSide& reads_;
    const WriteSide& writes_;
    Design& dut_;
    Log& log_;
    Job& job_;
    Registers registers_;
    uint64_t gap_, gap_left_ = 0;
    bool scattered_;  // addresses anywhere in a page, gaps between images
    Phase phase_ = Phase::GAP;
    uint64_t jobs_ = 0;
    bool identified_ = false, irq_ = false, asking_ = false;
    uint64_t poll_delay_ = 0;
    Histogram job_cycles_, single_cycles_;
};

}  // namespace cosim

#endif
