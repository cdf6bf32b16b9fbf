// Drives somebody's Verilated design that works off jobs, one an image: its inputs are put into memories, it is
// started, and when it is done its outputs are compared. Taps are compared while it runs.
//
// An image's record (see harness_common.hpp) holds the inputs of all regions in order, the expected output, then each
// compared tap, all in beats: lane by lane, a value in 1, 2 or 4 bytes. described_ports.hpp says what the design has.
//
// A stream is a tap (0 to TAPS - 1) or the output. A tap is shown by a monitor, or lies in a region of a memory.

#include "axi4.hpp"
#include "control.hpp"
#include "own.hpp"
#include "ram.hpp"

namespace {

using namespace cosim;

class Simulation {
  public:
    explicit Simulation(const Options& options)
        : gap_(options.number("gap")),
          resets_left_(options.number("resets")),
          reset_random_(options.number("reset_seed")),
          reset_reach_(options.number("reset_reach")),
          errors_left_(options.number("errors")),
          error_random_(options.number("error_seed")),
          watchdog_(options.number("watchdog")),
          drain_(options.number("drain")),
          wave_from_(options.number("wave_from")),
          shared_(options, plan(options)),
          control_(shared_, options),
          rams_(shared_),
          masters_(shared_, options),
          own_(shared_, options,
               [this](const Region& region, uint64_t word, const uint8_t* slots, bool untouched, bool late) {
                   if (untouched) miss(region, word);
                   else take_own(region, word, slots, late);
               }) {
        shared_.transfers = [this] { return masters_.waiting(); };
        shared_.waits_for_ready = [this] { return masters_.waits_for_ready(); };
        if (wave_from_ == 0) dut_.open_wave();
    }

    void run() {
        progress_.start();
        dut_->rst = 0;
        dut_->start = 0;
        // An asynchronous reset is an edge: the design sees it inactive before. No waveform begins here.
        dut_->clk = 0;
        own_.drive();
        dut_->eval();
        reset(RESET_CYCLES_ASKED);
        uint64_t drained = 0, idle = 0;
        while (!dut_.finished()) {
            if (resets_left_ != 0 && phase_ == Phase::RUN && reset_delay_-- == 0) disturb();
            shared_.held_back = false;
            step();
            const bool moved = cycle();
            if (shared_.log.stop) break;
            if (phase_ == Phase::DRAIN) {
                if (++drained <= drain_) continue;
                control_.check_rest();
                break;
            } else if (moved) {
                idle = 0;
            } else if (!shared_.held_back && ++idle >= watchdog_) {
                hung_ = !masters_.waits_for_ready();
                break;
            }
            if ((dut_.cycle() & 0x3ff) == 0) progress_.report(shared_.image, dut_.cycle());
        }
        if (dut_.finished()) fail("the design called $finish");
        if (!hung_ && !shared_.log.stop) check_complete();
        print_result();
        dut_.close();
    }

  private:
    enum class Phase { GAP, LOAD, SETUP, RUN, READ, DRAIN };

    // Lay out an image's bytes: inputs, output, compared taps. Returns their number.
    size_t plan(const Options& options) {
        size_t offset = 0;
        offsets_.assign(REGIONS.size(), NEVER);
        for (size_t i = 0; i < REGIONS.size(); ++i) {
            if (REGIONS[i].role != Role::INPUT) continue;
            offsets_[i] = offset;
            offset += REGIONS[i].shape.bytes();
        }
        output_.shape = OUTPUT;
        output_.offset = offset;
        offset += OUTPUT.bytes();
        // Of each tap: 0 not given, 1 compared, 2 only given.
        const std::string given = options.text("compared");
        if (given.size() != TAPS.size()) fail("the taps do not fit the comparison");
        std::vector<size_t> tap_offsets(TAPS.size(), NEVER);
        for (size_t i = 0; i < TAPS.size(); ++i) {
            Stream tap;
            tap.stream = int32_t(i);
            tap.shape = TAPS[i];
            if (given[i] != '0') tap_offsets[i] = offset;
            if (given[i] == '1') tap.offset = offset;
            if (given[i] != '0') offset += tap.shape.bytes();
            taps_.push_back(tap);
        }
        for (size_t i = 0; i < REGIONS.size(); ++i)
            if (REGIONS[i].role == Role::OUTPUT)
                offsets_[i] = REGIONS[i].tap == NEVER ? output_.offset : tap_offsets[REGIONS[i].tap];
        return offset;
    }

    // Returns whether anything moved.
    bool cycle() {
        control_.drive();
        own_.drive();
        masters_.drive();
        rams_.settle();
        dut_.settle();
        const bool moved = observe();
        dut_.clock();
        rams_.show();
        return moved;
    }

    // -- Resets --

    void reset(uint64_t cycles) {
        dut_->rst = RESET_CYCLES_ASKED != 0;
        dut_->start = 0;
        own_.reset();
        control_.reset();
        masters_.reset();
        set_up_ = shared_.setting_up = false;
        for (uint64_t i = 0; i < cycles; ++i) {
            own_.drive();
            control_.rest();
            masters_.rest();
            rams_.settle();
            dut_.settle();
            // By then every register has been set right that a reset sets.
            if (i != 0 && i + 1 == cycles) masters_.check_reset();
            dut_.clock();
            rams_.show();
        }
        dut_->rst = 0;
        reset_jobs_ =
            reset_random_.below(std::max<uint64_t>(1, std::min(shared_.images - shared_.image, reset_reach_)));
    }

    // A reset in a job, which is then done again.
    void disturb() {
        --resets_left_;
        ++resets_done_;
        shared_.running = false;
        reset(1 + reset_random_.below(RESET_CYCLES_ASKED));
        again();
    }

    // The job of the same image.
    void again() {
        failing_ = false;
        for (Stream& tap : taps_) tap.leave();
        output_.leave();
        shared_.window.rewind(shared_.image);
        differences.again(shared_.image);
        phase_ = Phase::GAP;
        gap_left_ = 0;
        last_done_ = last_start_ = NEVER;
        intervals_seen_ = 0;
    }

    // When in this job a reset comes, if at all; in the last one those come that are left.
    void draw_reset() {
        reset_delay_ = NEVER;
        if (resets_left_ == 0) return;
        if (reset_jobs_ != 0) {
            --reset_jobs_;
            return;
        }
        const bool at_once = reset_random_.below(4) == 0;
        reset_delay_ = reset_random_.below(at_once || job_cycles_ == 0 ? 16 : job_cycles_);
    }

    // -- Jobs --

    // What is to be done next, where the last thing is done.
    void step() {
        switch (phase_) {
            case Phase::GAP:
                if (gap_left_ == 0) return begin_job();
                --gap_left_;
                shared_.held_back = true;
                break;
            case Phase::LOAD:
                if (!own_.idle()) break;
                if (set_up_) return run_job();
                phase_ = Phase::SETUP;
                shared_.setting_up = true;
                control_.begin(SETUP_STEPS);
                break;
            case Phase::SETUP:
                if (!control_.finished()) break;
                set_up_ = true;
                shared_.setting_up = false;
                run_job();
                break;
            case Phase::RUN:
                if (control_.finished()) failing_ ? end_failed() : end_job();
                break;
            case Phase::READ:
                if (own_.idle()) next_job();
                break;
            case Phase::DRAIN:
                break;
        }
    }

    void run_job() {
        phase_ = Phase::RUN;
        began_ = dut_.cycle();
        shared_.running = true;
        // How many transfers there are is known from the job before.
        const bool last = shared_.image + 1 == shared_.images;
        failing_ = errors_left_ != 0 && masters_.measured() && (last || error_random_.below(2) == 0);
        masters_.begin_job();
        if (failing_) masters_.fail(error_random_);
        control_.begin(failing_ ? ERROR_STEPS : RUN_STEPS);
        // A job without a start of its own begins with its first step.
        if (RUN_STEPS[0].act != Act::START) start();
        draw_reset();
    }

    void begin_job() {
        Window& window = shared_.window;
        const uint64_t image = shared_.image;
        if (image == window.end()) window.read_next();
        if (image == wave_from_) dut_.open_wave();
        output_.place(image, window);
        shared_.memories.begin(window.bytes(image, 0));
        own_.load(offsets_);
        phase_ = Phase::LOAD;
    }

    // A job that was to end as one does with an error: it is done again.
    void end_failed() {
        shared_.running = false;
        if (!masters_.failed())
            return shared_.fatal("error without an error response", "control", "no transfer was answered with one");
        masters_.check_done();
        shared_.memories.end();
        --errors_left_;
        ++errors_done_;
        again();
    }

    void end_job() {
        shared_.running = false;
        masters_.measure();
        job_cycles_ = dut_.cycle() - began_;
        if (resets_left_ != 0 && shared_.image + 1 == shared_.images) return disturb();
        if (errors_left_ != 0 && shared_.image + 1 == shared_.images) {
            shared_.memories.end();
            return again();
        }
        const uint64_t latency = job_cycles_;
        if (first_latency_ == NEVER) first_latency_ = latency;
        latencies_.add(latency);
        if (last_done_ != NEVER && intervals_seen_++ > 0) intervals_.add(dut_.cycle() - last_done_);
        last_done_ = dut_.cycle();
        masters_.check_done();
        compare_memories();
        shared_.memories.end();
        own_.read([this] { cycle(); });
        phase_ = Phase::READ;
    }

    void next_job() {
        ++shared_.image;
        phase_ = shared_.image == shared_.images ? Phase::DRAIN : Phase::GAP;
        gap_left_ = gap_;
    }

    void compare_memories() {
        for (const Region& region : REGIONS) {
            if (region.role != Role::OUTPUT || region.area == NEVER) continue;
            std::vector<uint8_t> slots(region.shape.stride());
            for (uint64_t word = 0; word < region.words; ++word) {
                uint64_t cycle = 0;
                const uint8_t* bytes = shared_.memories.written(region, word, cycle);
                if (bytes == nullptr) {
                    miss(region, word);
                    continue;
                }
                region.decode(bytes, slots.data());
                take(region, slots.data(), cycle);
            }
        }
    }

    Stream& stream_of(const Region& region) { return region.tap == NEVER ? output_ : taps_[region.tap]; }

    void take(const Region& region, const uint8_t* slots, uint64_t cycle) {
        stream_of(region).take(slots, shared_.window, NEVER, cycle, shared_.entered());
    }

    void take_own(const Region& region, uint64_t word, const uint8_t* slots, bool late) {
        if (late && late_.size() < FAULTS_MAX)
            late_.push_back({"written after done", std::to_string(stream_of(region).stream), shared_.image,
                             stream_of(region).index, dut_.cycle(), shared_.entered(),
                             "word " + std::to_string(word) + " of " + region.name});
        take(region, slots, dut_.cycle());
    }

    // A word that the design never wrote: whatever it holds is no value.
    void miss(const Region& region, uint64_t word) {
        Stream& stream = stream_of(region);
        shared_.stream_fault("output never written", region.tap, stream.index,
                             "word " + std::to_string(word) + " of " + region.name);
        stream.skip(shared_.window, NEVER);
    }

    // All that jobs before the current one give has come when it starts.
    void check_complete() {
        for (size_t i = 0; i < taps_.size(); ++i) {
            if (taps_[i].image >= shared_.image) continue;
            const Stream& tap = taps_[i];
            const std::string number = std::to_string(i);
            shared_.log.faults.add(
                {"values missing", number, tap.image, tap.index, dut_.cycle(), shared_.entered(), ""});
            taps_[i].leave();
            taps_[i].lose(taps_[i].shape.values());
        }
    }

    // -- Observing --

    bool observe() {
        shared_.note();
        bool moved = own_.observe();
        moved |= control_.observe();
        if (masters_.waited()) return moved;
        if (control_.starting()) start();
        moved |= rams_.observe();
        moved |= masters_.observe();
        // What comes of data that were refused is no value.
        if (failing_) return moved;
        turns_.clear();
        for (size_t i = 0; i < MONITORS.size(); ++i) turns_.push_back(has_turn(i));
        for (size_t i = 0; i < MONITORS.size(); ++i) {
            const Monitor& monitor = MONITORS[i];
            Stream& tap = taps_[monitor.tap];
            const bool there = monitor.latency == NEVER ? bit_of(dut_->mon_valid, i) : is_due(tap, monitor.latency);
            if (!there || !turns_[i]) continue;
            if (!bit_of(dut_->mon_ready, i)) {
                ++tap.stalled;
                continue;
            }
            moved = true;
            Window& window = shared_.window;
            const bool started = tap.image < window.end() && window[tap.image].first_beat != NEVER;
            const uint8_t* beat = bytes_of(dut_->mon_data) + monitor.offset;
            if (!started || !tap.take(beat, window, NEVER, dut_.cycle(), shared_.entered())) {
                shared_.stream_fault("values too many", monitor.tap, tap.index);
                shared_.log.stop = true;
            }
        }
        return moved;
    }

    // Of taps that are multiplexed: those before have shown all of the image, and this one has not. What comes then is
    // too much of the last.
    bool has_turn(size_t i) const {
        const Monitor& monitor = MONITORS[i];
        if (monitor.before != NEVER && taps_[MONITORS[monitor.before].tap].image <= shared_.image) return false;
        return monitor.last || taps_[monitor.tap].image <= shared_.image;
    }

    void start() {
        check_complete();
        for (Stream& tap : taps_) tap.place(shared_.image, shared_.window);
        shared_.window.drop_before(shared_.image);
        shared_.window[shared_.image].first_beat = dut_.cycle();
        if (last_start_ != NEVER) input_intervals_.add(dut_.cycle() - last_start_);
        last_start_ = dut_.cycle();
    }

    // Whether a tap without valid has its next beat in this cycle: so long after the job's start.
    bool is_due(const Stream& tap, uint64_t latency) {
        if (tap.image >= shared_.window.end()) return false;
        const uint64_t started = shared_.window[tap.image].first_beat;
        return started != NEVER && dut_.cycle() == started + latency + tap.beat;
    }

    // -- Reporting --

    std::string json_taps() {
        std::vector<size_t> monitor(taps_.size(), NEVER);
        for (size_t i = 0; i < MONITORS.size(); ++i) monitor[MONITORS[i].tap] = i;
        return json_list(taps_, [&](const Stream& tap) {
            const size_t i = monitor[size_t(&tap - taps_.data())];
            return tap.json(i != NEVER && bit_of(dut_->mon_valid, i), i == NEVER || bit_of(dut_->mon_ready, i));
        });
    }

    void print_result() {
        bool wrong = hung_ || output_.mismatches != 0;
        for (const Stream& tap : taps_) wrong |= tap.mismatches != 0;
        // Where values differ, a port that is read otherwise than it is described can be the reason, too.
        if (wrong) shared_.tell_odd_read();
        else
            for (const Fault& fault : late_) shared_.log.faults.add(fault);
        static const char* const PHASES[] = {"gap", "load", "setup", "run", "read", "drain"};
        Object state, result;
        state.text("phase", PHASES[int(phase_)]).text("step", control_.step()).number("errors", errors_done_);
        result.number("images", shared_.image)
            .number("cycles", dut_.cycle())
            .number("seconds", progress_.seconds() - shared_.window.seconds_waiting())
            .number("seconds_waiting", shared_.window.seconds_waiting())
            .number("cpu_seconds", Progress::cpu_seconds())
            .number("entered", shared_.entered())
            .number("resets", resets_done_)
            .flag("hung", hung_)
            .raw("interval", intervals_.json())
            .raw("input_interval", input_intervals_.json())
            .raw("latency", latencies_.json())
            .known("first_latency", first_latency_)
            .known("first_output_latency", first_latency_)
            .raw("output", output_.json(false, false))
            .raw("taps", json_taps())
            .raw("device", state.json());
        print(Object().raw("result", shared_.log.faults.describe(result).json()));
    }

    uint64_t gap_, gap_left_ = 0;
    uint64_t resets_left_, resets_done_ = 0;
    Random reset_random_;
    uint64_t reset_reach_, reset_jobs_ = 0, reset_delay_ = NEVER;
    uint64_t errors_left_, errors_done_ = 0;
    Random error_random_;
    bool failing_ = false;  // a transfer of this job is answered with an error
    uint64_t watchdog_, drain_, wave_from_;
    Stream output_;
    std::vector<Stream> taps_;
    std::vector<Fault> late_;      // told where no value differs
    std::vector<bool> turns_;      // of each monitor, in this cycle
    std::vector<size_t> offsets_;  // of each region's values in an image's bytes
    Phase phase_ = Phase::GAP;
    bool hung_ = false, set_up_ = false;
    uint64_t began_ = 0, job_cycles_ = 0;
    uint64_t last_done_ = NEVER, last_start_ = NEVER, intervals_seen_ = 0, first_latency_ = NEVER;
    Histogram intervals_, input_intervals_, latencies_;
    Progress progress_;
    Shared shared_;
    Design& dut_ = shared_.dut;
    Control control_;
    Rams rams_;
    Masters masters_;
    OwnRams own_;
};

}  // namespace

int main(int argc, char** argv) {
    divert_output();
    Simulation(Options(argc, argv)).run();
    return 0;
}
