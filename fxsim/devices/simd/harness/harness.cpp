// Drives the Verilated SIMD accelerator: an AXI4-Lite master that starts jobs, and an AXI4 memory that holds parameters
// and images and takes results. Every word of every monitor and every result is compared while it runs, and the rules
// of AXI are checked on every channel in every cycle.
//
// An image's record (see harness_common.hpp) holds its words as they lie in memory, those of its result, then for each
// compared tap its expected words in the order of the tap's stage: for each group of 16 channels all tokens. The file
// `parameters` holds the parameters' words. A value is the image it belongs to and its byte in the tap's expected
// words.
//
// Of a design in lanes a record is of LANES images, each byte of them side by side, and counts here as one; parameters
// are the same in all lanes. In what is reported images are the caller's again.
//
// Memory is not an array: what is read is looked up by its address among parameters and images, and what is written is
// compared at once. Every other address is a fault, so that nothing around the results can have been touched.

#include "jobs.hpp"

namespace {

using namespace cosim;

class Simulation {
  public:
    explicit Simulation(const Options& options)
        : watchdog_(options.number("watchdog")),
          drain_(options.number("drain")),
          layers_(options.numbers("layer_words").size()),
          schedule_(options),
          shared_(options, schedule_.image_bytes),
          disturbances_(shared_, options),
          stages_(shared_, schedule_),
          results_(shared_, options),
          reads_(shared_, disturbances_, options),
          writes_(shared_, disturbances_, results_, options),
          jobs_(shared_, disturbances_, stages_, results_, reads_, writes_, options) {
        if (options.number("wave_from") == 0) dut_.open_wave();
    }

    void run() {
        progress_.start();
        reset(RESET_CYCLES);
        uint64_t drained = 0, idle = 0;
        while (!dut_.finished()) {
            log_.cycle = dut_.cycle();
            jobs_.tell_step();
            const bool aimed = !jobs_.finished() && shared_.moments.reset_is_due();
            if (aimed || disturbances_.is_due(disturbances_.resets, results_.last_moment())) {
                shared_.moments.reset();
                disturbances_.resets.happened();
                reset(1 + disturbances_.resets.random.below(RESET_CYCLES));
                jobs_.restart(shared_.acknowledged);
                idle = 0;
            }
            jobs_.control();
            jobs_.tell_step();
            drive();
            dut_.settle();
            count_held();
            const bool moved = observe();
            moved_ = moved;
            dut_.clock();
            if (log_.stop) break;
            if (jobs_.finished()) {
                if (++drained > drain_) break;
            } else if (moved) {
                idle = 0;
            } else if (!shared_.held_back && ++idle >= watchdog_) {
                hung_ = true;
                break;
            }
            if ((dut_.cycle() & 0x3ff) == 0) progress_.report(shared_.of_caller(shared_.acknowledged), dut_.cycle());
        }
        if (dut_.finished()) fail("the design called $finish");
        print_result();
        dut_.close();
    }

  private:
    static constexpr uint64_t HELD_INSIDE = 5;  // images read whose results may be held back

    void reset(uint64_t cycles) {
        dut_->rst = 1;
        jobs_.reset();
        reads_.reset();
        writes_.reset();
        for (uint64_t i = 0; i < cycles; ++i) {
            dut_->m_axi_arready = dut_->m_axi_awready = dut_->m_axi_wready = shared_.random.below(2);
            dut_.settle();
            // What the first edge with reset set right.
            if (i != 0 && (dut_->m_axi_arvalid || dut_->m_axi_awvalid || dut_->m_axi_wvalid || dut_->s_axil_bvalid ||
                           dut_->s_axil_rvalid || dut_->irq))
                log_.fault("valid or irq set during reset", "rst");
            dut_.clock();
            log_.cycle = dut_.cycle();
        }
        dut_->rst = 0;
        disturbances_.draw();
    }

    void drive() {
        jobs_.drive();
        reads_.drive();
        JobMoments& moments = shared_.moments;
        const bool many = shared_.window.end() > shared_.acknowledged + HELD_INSIDE;
        writes_.hold_answers(moments.holds_on(B, moved_, b_taken_, many));
        writes_.drive();
        if (!moments.aimed()) return;
        if (moments.holds_answer()) dut_->s_axil_bready = dut_->s_axil_rready = 0;
        if (moments.holds_once(AR)) dut_->m_axi_arready = 0;
        if (moments.holds_on(AW, moved_, aw_taken_, many)) dut_->m_axi_awready = 0;
        if (moments.holds_on(W, moved_, w_taken_, many)) dut_->m_axi_wready = 0;
    }

    // Who waits in this cycle, in which step of the job.
    void count_held() {
        JobMoments& moments = shared_.moments;
        if ((dut_->s_axil_bvalid && !dut_->s_axil_bready) || (dut_->s_axil_rvalid && !dut_->s_axil_rready))
            moments.answer_held();
        if (dut_->m_axi_arvalid && !dut_->m_axi_arready) moments.held_back(AR);
        if (reads_.owes()) moments.held_back(R);
        if (dut_->m_axi_awvalid && !dut_->m_axi_awready) moments.held_back(AW);
        if (dut_->m_axi_wvalid && !dut_->m_axi_wready) moments.held_back(W);
        if (writes_.owes()) moments.held_back(B);
        aw_taken_ = dut_->m_axi_awvalid && dut_->m_axi_awready;
        w_taken_ = dut_->m_axi_wvalid && dut_->m_axi_wready;
        b_taken_ = dut_->m_axi_bvalid && dut_->m_axi_bready;
    }

    // Every channel in this cycle. Returns whether anything moved.
    bool observe() {
        shared_.held_back = jobs_.pausing();
        log_.cycle = dut_.cycle();
        log_.image = shared_.of_caller(shared_.acknowledged);
        log_.entered = shared_.callers_entered();
        bool moved = jobs_.observe();
        moved |= stages_.observe();
        observe_sequencer();
        Figures& figures = shared_.figures;
        if (shared_.job.running() && figures.computing() && shared_.job.first == 0)
            figures.observe(dut_.cycle(), dut_->mon_step, dut_->mon_layer, dut_->mon_wait);
        moved |= reads_.observe_address();
        moved |= reads_.observe_data();
        moved |= writes_.observe_address();
        moved |= writes_.observe_data();
        moved |= writes_.observe_response();
        return moved | bool(dut_->mon_step);
    }

    // What the sequencer shows: no steps and no waiting without a job; in a job layer after layer, image after image.
    void observe_sequencer() {
        const bool step = dut_->mon_step;
        const size_t layer = dut_->mon_layer;
        if (shared_.job.running()) shared_.moments.compute(step, dut_->mon_wait, layer);
        if (!shared_.job.running()) {
            if (step || dut_->mon_wait != 0) log_.fault("steps or waits without a job", "mon");
            layer_ = size_t(NEVER);  // before the first one
            return;
        }
        if (!step) return;
        if (layer != layer_ && layer != (layer_ + 1) % layers_)
            log_.fault("layer out of turn", "mon", "layer " + std::to_string(layer) + " in a step");
        layer_ = layer;
    }

    // -- Reporting --

    std::string json(const Comparison& comparison, uint64_t image) const {
        Object object;
        object.number("compared", comparison.compared).number("stalled", 0);
        return comparison.describe(object)
            .number("image", shared_.of_caller(image))
            .number("index", 0)
            .flag("valid", false)
            .flag("ready", false)
            .json();
    }

    std::string json_state() const {
        Object object;
        jobs_.describe_state(object)
            .number("layer", unsigned(dut_->mon_layer))
            .number("wait", unsigned(dut_->mon_wait));
        return writes_.describe(reads_.describe(object)).raw("stages", stages_.json()).json();
    }

    void print_result() const {
        Object simd;
        jobs_.describe(simd)
            .number("read_beats", reads_.beats())
            .number("write_beats", writes_.beats())
            .number("errors", disturbances_.errors.done)
            .number("stops", disturbances_.stops.done)
            .raw("state", json_state());
        Object result;
        result.number("images", shared_.of_caller(shared_.acknowledged))
            .number("cycles", dut_.cycle())
            .number("seconds", progress_.seconds() - shared_.window.seconds_waiting())
            .number("seconds_waiting", shared_.window.seconds_waiting())
            .number("cpu_seconds", Progress::cpu_seconds())
            .number("entered", shared_.callers_entered())
            .number("resets", disturbances_.resets.done)
            .flag("hung", hung_)
            .raw("moments", shared_.moments.json());
        results_.describe(result, reads_.intervals())
            .raw("output", json(results_.output(), shared_.acknowledged))
            .raw("taps", json_list(stages_.taps(),
                                   [&](const Comparison& tap) { return json(tap, stages_.shown(size_t(tap.stream))); }))
            .raw("device", shared_.figures.describe(simd).json());
        print(Object().raw("result", log_.faults.describe(result).json()));
    }

    uint64_t watchdog_, drain_;
    size_t layers_, layer_ = 0;  // of a model; of the last step
    bool hung_ = false;
    bool moved_ = true, aw_taken_ = false, w_taken_ = false, b_taken_ = false;  // in the last cycle
    Schedule schedule_;
    Shared shared_;
    Design& dut_ = shared_.dut;
    Log& log_ = shared_.log;
    Disturbances disturbances_;
    Stages stages_;
    Results results_;
    ReadSide reads_;
    WriteSide writes_;
    Jobs jobs_;
    Progress progress_;
};

}  // namespace

int main(int argc, char** argv) {
    divert_output();
    Simulation(Options(argc, argv)).run();
    return 0;
}
