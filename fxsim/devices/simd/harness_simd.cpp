// Drives the Verilated SIMD accelerator: an AXI4-Lite master that starts jobs, and an AXI4 memory that holds parameters
// and images and takes results. Every word of every monitor and every result is compared while it runs, and the rules
// of AXI are checked on every channel in every cycle.
//
// An image's record (see harness_common.hpp) holds its words as they lie in memory, those of its result, then for each
// compared tap its expected words in the order of the tap's stage: for each group of 16 channels all tokens. The file
// `parameters` holds the parameters' words. A value is the image it belongs to and its byte in the tap's expected
// words.
//
// Memory is not an array: what is read is looked up by its address among parameters and images, and what is written is
// compared at once. Every other address is a fault, so that nothing around the results can have been touched.

#include "harness_simd.hpp"

namespace {

using namespace cosim;

constexpr uint64_t PAGE = 4096;         // no burst crosses such a boundary
constexpr size_t OUTSTANDING_MAX = 32;  // bursts that the memory takes in on each side
constexpr uint64_t CYCLES_SLACK = 8;    // between the register CYCLES and what is seen from outside
constexpr uint64_t POLL_CYCLES = 200;   // most between two questions whether a job is done
constexpr uint64_t STOP_CYCLES = 8;     // in which a stop takes effect

// ---- The simulation -------------------------------------------------------------------------------------------------

class Simulation {
  public:
    explicit Simulation(const Options& options)
        : images_(options.number("images")),
          batch_(options.number("batch")),
          keep_(options.number("keep") != 0),
          image_words_(options.number("image_words")),
          result_words_(options.number("result_words")),
          result_lanes_(options.number("result_lanes")),
          latency_(options.number("read_latency")),
          gap_(options.number("gap")),
          reach_(options.number("reach")),
          delays_(options.number("delays")),
          inside_max_(options.number("inside_max")),
          watchdog_(options.number("watchdog")),
          drain_(options.number("drain")),
          wave_from_(options.number("wave_from")),
          scattered_(options.number("scattered") != 0),
          resets_(options, "resets", "reset_seed"),
          errors_(options, "errors", "error_seed"),
          stops_(options, "stops", "stop_seed"),
          random_(options.number("seed")),
          ar_stall_(options.numbers("input_stall"), 1),
          r_stall_(options.numbers("input_stall"), 2),
          aw_stall_(options.numbers("output_stall"), 3),
          w_stall_(options.numbers("output_stall"), 4),
          b_stall_(options.numbers("output_stall"), 5),
          disordered_(options.numbers("input_stall").at(0) != 0),
          particular_(options.numbers("output_stall").at(0) != 0),
          parameters_(read_file(options.text("parameters"))),
          figures_(options.numbers("layer_words")),
          dut_(options),
          registers_(dut_, log_, options.number("seed"), !disordered_ && !particular_),
          window_(images_, plan(options)) {
        uint64_t words = 0;
        for (const uint64_t count : options.numbers("layer_words")) words += count;
        if (words == 0 || words * WORD != parameters_.size()) fail("the parameters do not fit the layers");
        if (wave_from_ == 0) dut_.open_wave();
    }

    void run() {
        progress_.start();
        reset(RESET_CYCLES);
        uint64_t drained = 0;
        while (!dut_.finished()) {
            log_.cycle = dut_.cycle();
            if (resets_.left != 0 && (is_due(resets_) || is_last_moment_)) {
                resets_.happened();
                reset(1 + resets_.random.below(RESET_CYCLES));
                restart(acknowledged_);
            }
            control();
            drive();
            dut_.settle();
            const bool moved = observe();
            dut_.clock();
            if (log_.stop) break;
            if (phase_ == Phase::DRAIN) {
                if (++drained > drain_) break;
            } else if (moved) {
                idle_ = 0;
            } else if (!held_back_ && ++idle_ >= watchdog_) {
                hung_ = true;
                break;
            }
            if ((dut_.cycle() & 0x3ff) == 0) progress_.report(acknowledged_, dut_.cycle());
        }
        if (dut_.finished()) fail("the design called $finish");
        print_result();
        dut_.close();
    }

  private:
    enum class Phase { GAP, SETUP, RUN, COLLECT, DRAIN };

    // Something that disturbs a job: after so many more beats and then so many cycles, or at such a beat.
    struct Disturbance {
        Disturbance(const Options& options, const char* count, const char* seed)
            : left(options.number(count)), random(options.number(seed)) {}
        void happened() {
            --left;
            ++done;
        }
        uint64_t left, done = 0;
        Random random;
        uint64_t at = NEVER, delay = 0;
    };

    struct Job {
        uint64_t first = 0, count = 0;
        uint64_t parameters = 0, images = 0, image_stride = 0, results = 0, result_stride = 0;
        bool irq = false;                               // waits for the interrupt, not by asking again and again
        uint64_t start = NEVER;                         // first cycle after the start was taken
        uint64_t parameter_beats = 0, image_beats = 0;  // asked for
        uint64_t parameter_taken = 0;
        uint64_t last_done = NEVER;  // cycle of the last whole result
        Code error = NONE;           // given on the bus
        bool stop_asked = false;
        uint64_t stop_taken = NEVER;  // cycle in which the stop was taken
        uint64_t done = NEVER;        // cycle in which it was seen to be done
        uint64_t done_before = 0;     // images acknowledged when it was disturbed
        bool disturbed() const { return error != NONE || stop_asked; }
        bool running() const { return start != NEVER && done == NEVER; }
    };

    struct ReadBurst {
        bool parameters;
        uint64_t image, word;  // of the next beat
        unsigned left;
        uint64_t ready, order;
    };
    struct WriteBurst {
        uint64_t image, word;  // of the next beat
        unsigned left;
        uint64_t address;
        std::vector<std::pair<uint64_t, uint64_t>> words;  // (image, word) of those written
        bool bad;                                          // to be answered with an error
    };
    struct WriteBeat {
        uint8_t data[WORD];
        uint32_t strobes;
        bool last;
    };
    struct Response {
        uint64_t ready;
        WriteBurst burst;
    };

    static std::vector<uint8_t> read_file(const std::string& path) {
        std::FILE* file = std::fopen(path.c_str(), "rb");
        if (file == nullptr) fail("cannot read '" + path + "'");
        std::vector<uint8_t> bytes;
        uint8_t part[1 << 16];
        for (size_t got; (got = std::fread(part, 1, sizeof part, file)) != 0;)
            bytes.insert(bytes.end(), part, part + got);
        std::fclose(file);
        return bytes;
    }

    // Lay out an image's bytes: its words, those of its result, those of compared taps. Returns their number.
    size_t plan(const Options& options) {
        const std::string compared = options.text("compared"), schedule = options.text("schedule");
        taps_.resize(compared.size());
        std::vector<size_t> sizes(compared.size());  // bytes of each tap's expected words
        size_t stage = 0;
        for (size_t at = 0; at < schedule.size(); ++stage) {
            const size_t end = std::min(schedule.find(';', at), schedule.size());
            const std::vector<uint64_t> n = Options::parse_list(schedule.substr(at, end - at));
            if (stage == STAGES || n.size() % 4 != 0) fail("the schedule is none");
            for (size_t i = 0; i < n.size(); i += 4) {
                const Entry entry{n[i], uint32_t(n[i + 1]), uint32_t(n[i + 2]), uint32_t(n[i + 3])};
                if (entry.tap >= compared.size()) fail("the taps do not fit the schedule");
                stages_[stage].entries.push_back(entry);
                sizes[entry.tap] = size_t(entry.tokens) * entry.groups * WORD;
            }
            at = end + 1;
        }
        size_t offset = (image_words_ + result_words_) * WORD;
        std::vector<size_t> offsets(compared.size(), NEVER);
        for (size_t i = 0; i < compared.size(); ++i) {
            if (compared[i] != '1') continue;
            offsets[i] = offset;
            offset += sizes[i];
        }
        for (Stage& s : stages_)
            for (Entry& entry : s.entries) entry.offset = offsets[entry.tap];
        return offset;
    }

    // -- Disturbances --

    bool is_due(Disturbance& d) { return beats_ >= d.at && d.delay-- == 0; }

    // The last image's result has been written and not been acknowledged: what is still to come must come now.
    bool is_last_moment() const {
        if (acknowledged_ + 1 != images_) return false;
        const auto words = words_.find(acknowledged_);
        return words != words_.end() &&
               std::all_of(words->second.begin(), words->second.end(), [](uint8_t state) { return state != 0; });
    }

    // When the next of each comes, counted from here: in one of the next images, at once or within an image's time.
    void draw_disturbances() {
        beats_ = read_beats_since_ = words_since_ = 0;
        const uint64_t images = std::max<uint64_t>(1, std::min(images_ - acknowledged_, reach_));
        const uint64_t passes = keep_ ? (images + batch_ - 1) / batch_ : images;
        const uint64_t reads = passes * (parameters_.size() / WORD) + images * image_words_;
        const uint64_t writes = images * result_words_;
        for (Disturbance* d : {&resets_, &stops_}) {
            if (d->left == 0) continue;
            d->at = d->random.below(reads + writes + 1);
            d->delay = d->random.below(d->random.below(2) == 0 ? 4 : delays_);
        }
        if (errors_.left == 0) return;
        error_is_write_ = errors_.random.below(4) == 0;
        errors_.at = errors_.random.below(error_is_write_ ? writes : reads);
        error_response_ = uint8_t(2 + errors_.random.below(2));  // SLVERR or DECERR
    }

    void reset(uint64_t cycles) {
        dut_->rst = 1;
        registers_.reset();
        dut_->m_axi_rvalid = dut_->m_axi_bvalid = 0;
        for (uint64_t i = 0; i < cycles; ++i) {
            dut_->m_axi_arready = dut_->m_axi_awready = dut_->m_axi_wready = random_.below(2);
            dut_.settle();
            // What the first edge with reset set right.
            if (i != 0 && (dut_->m_axi_arvalid || dut_->m_axi_awvalid || dut_->m_axi_wvalid || dut_->s_axil_bvalid ||
                           dut_->s_axil_rvalid || dut_->irq))
                log_.fault("valid or irq set during reset", "rst");
            dut_.clock();
            log_.cycle = dut_.cycle();
        }
        dut_->rst = 0;
        drop_transfers();
        identified_ = irq_ = false;
        draw_disturbances();
    }

    void drop_transfers() {
        for (auto& queue : reads_) queue.clear();
        for (Offer<8>* offer : {&ar_, &aw_}) offer->reset();
        w_.reset();
        reading_ = -1;
        writes_.clear();
        early_.clear();
        responses_.clear();
        answering_ = false;
    }

    // After a disturbance: images from `image` on are run again.
    void restart(uint64_t image) {
        acknowledged_ = image;
        words_.clear();
        is_last_moment_ = asking_ = false;
        job_ = Job{};
        phase_ = image == images_ ? Phase::DRAIN : Phase::GAP;
        gap_left_ = 0;
        idle_ = 0;
    }

    // -- Jobs --

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

    void set_up() {
        job_ = Job{};
        job_.first = acknowledged_;
        job_.count = std::min(batch_, images_ - acknowledged_);
        job_.irq = (!disordered_ && !particular_) || jobs_ % 2 == 0;
        const uint64_t spread = scattered_ ? PAGE / WORD : 1;
        job_.parameters = 0x12'3456'0000'0000 + WORD * random_.below(spread);
        job_.images = (scattered_ ? 0xffff'8000'0000'0000 : 0x20'0000'0000'0000) + WORD * random_.below(spread);
        job_.results = 0x30'8000'0000'0000 + WORD * random_.below(spread);
        job_.image_stride = WORD * (image_words_ + (scattered_ ? random_.below(4) : 0));
        job_.result_stride = WORD * (result_words_ + (scattered_ ? random_.below(4) : 0));
        for (Stage& stage : stages_) place(stage, job_.first);
        if (!identified_) registers_.read(ID);
        registers_.write_wide(PARAM_ADDR, job_.parameters);
        registers_.write(PARAM_WORDS, uint32_t(parameters_.size() / WORD));
        registers_.write(IMAGE_COUNT, uint32_t(job_.count));
        registers_.write_wide(IMAGE_ADDR, job_.images);
        registers_.write(IMAGE_WORDS, uint32_t(image_words_));
        registers_.write(IMAGE_STRIDE, uint32_t(job_.image_stride));
        registers_.write_wide(RESULT_ADDR, job_.results);
        registers_.write(RESULT_WORDS, uint32_t(result_words_));
        registers_.write(RESULT_STRIDE, uint32_t(job_.result_stride));
        registers_.write(CONTROL, control_bits() | START);
        enter(job_.first);
        phase_ = Phase::SETUP;
    }

    uint32_t control_bits() const { return (keep_ ? KEEP : 0) | (job_.irq ? IRQ_ENABLE : 0); }

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
        if (stops_.left != 0 && !job_.stop_asked && (is_due(stops_) || is_last_moment_)) {
            disturb();
            job_.stop_asked = true;
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
        poll_delay_ = random_.below(POLL_CYCLES);
    }

    void see_done() {
        job_.done = dut_.cycle();
        if (transfers_under_way()) log_.fault("done with transfers under way", "m_axi");
    }

    void disturb() {
        if (!job_.disturbed()) job_.done_before = acknowledged_;
    }

    bool transfers_under_way() const {
        return !reads_[0].empty() || !reads_[1].empty() || !writes_.empty() || !early_.empty() || !responses_.empty();
    }

    void finish_job() {
        ++jobs_;
        const uint32_t status = registers_[STATUS], code = registers_[ERROR] & 0xff;
        const uint64_t done = registers_[IMAGES_DONE], end = job_.first + job_.count;
        const std::string seen =
            "STATUS " + hex(status) + ", ERROR " + hex(registers_[ERROR]) + ", IMAGES_DONE " + std::to_string(done);
        if (irq_) log_.fault("irq stays though it was cleared", "irq");
        const bool failed = (status & FAILED) != 0;
        if ((status & (BUSY | DONE)) != DONE || failed != (code != 0))
            log_.fault("status contradicts itself", "s_axil", seen);
        check_cycles();
        if (failed) {
            const bool given = job_.error != NONE && code == job_.error;
            const bool stopped = job_.stop_taken != NEVER && code == STOPPED;
            if (!given && !stopped) return log_.fatal("unexpected error", "s_axil", seen);
            if (done < job_.done_before - job_.first || done > acknowledged_ - job_.first)
                return log_.fatal("wrong IMAGES_DONE", "s_axil",
                                  seen + ", " + std::to_string(acknowledged_ - job_.first) + " acknowledged");
            if (stopped) stops_.happened();
            if (job_.error != NONE) errors_.happened();
            // What is still to come needs an image to come in.
            const bool more = resets_.left != 0 || errors_.left != 0 || stops_.left != 0;
            restart(std::min(job_.first + done, more ? images_ - 1 : images_));
            draw_disturbances();
            return;
        }
        if (job_.error != NONE) return log_.fatal("an error on the bus was not noticed", "s_axil", seen);
        if (acknowledged_ != end) return log_.fatal("done too early", "s_axil", seen);
        // A stop may come too late, but not as long before the last result as this.
        if (job_.stop_taken != NEVER && job_.last_done > job_.stop_taken + STOP_CYCLES)
            return log_.fatal("a stop was not noticed", "s_axil", seen);
        if (done != job_.count) log_.fault("wrong IMAGES_DONE", "s_axil", seen);
        for (const Stage& stage : stages_)
            if (stage.image < end) stage_fault("values missing", stage);
        const uint64_t cycles = uint64_t(registers_[CYCLES + 4]) << 32 | registers_[CYCLES];
        job_cycles_.add(cycles);
        if (job_.count == 1) {
            single_cycles_.add(cycles);
            latencies_.add(cycles);
            if (first_latency_ == NEVER) first_latency_ = cycles;
        }
        window_.drop_before(acknowledged_);
        phase_ = acknowledged_ == images_ ? Phase::DRAIN : Phase::GAP;
        gap_left_ = gap_;
        job_ = Job{};
    }

    // CYCLES against what was seen from outside; a job that is polled ends some time before that is known.
    void check_cycles() {
        const uint64_t cycles = uint64_t(registers_[CYCLES + 4]) << 32 | registers_[CYCLES];
        const uint64_t seen = job_.done - job_.start;
        if (cycles > seen + CYCLES_SLACK || (job_.irq && cycles + CYCLES_SLACK < seen))
            log_.fault("wrong CYCLES", "s_axil",
                       "CYCLES is " + std::to_string(cycles) + ", the job took " + std::to_string(seen));
    }

    // -- Images --

    void enter(uint64_t image) { entered_ = std::max(entered_, std::min(image + 1, images_)); }

    // The image is asked for, perhaps not for the first time.
    void fetch(uint64_t image) {
        if (image < window_.first() || image < acknowledged_)
            return log_.fatal("reads an image that was done with", "m_axi_ar", "image " + std::to_string(image));
        if (image - acknowledged_ >= inside_max_)
            return log_.fatal("too many images inside", "m_axi_ar", "image " + std::to_string(image));
        while (window_.end() <= image) window_.read_next();
        enter(image);
        if (image >= wave_from_) dut_.open_wave();
    }

    // -- Driving --

    void drive() {
        registers_.drive();
        const bool busy = reads_[0].size() + reads_[1].size() >= OUTSTANDING_MAX;
        dut_->m_axi_arready = !ar_stall_() && !busy;
        drive_read();
        // A memory may wait for a write's data before it takes the address, or the other way round.
        const bool address_stall = aw_stall_() || writes_.size() + responses_.size() >= OUTSTANDING_MAX;
        const bool data_stall = w_stall_() || early_.size() >= OUTSTANDING_MAX;
        address_starves_ = !address_stall && address_waits_ && !data_seen_ && early_.empty();
        data_starves_ = !data_stall && data_waits_ && !address_seen_ && writes_.empty();
        dut_->m_axi_awready = !address_stall && !address_starves_;
        dut_->m_axi_wready = !data_stall && !data_starves_;
        drive_response();
    }

    void drive_read() {
        if (reading_ < 0) {
            const bool stall = r_stall_();
            const bool ready[2] = {is_ready(0), is_ready(1)};
            if (!stall && (ready[0] || ready[1])) {
                // Beats of different ids may come in any order.
                if (ready[0] && ready[1])
                    reading_ = disordered_ ? int(random_.below(2)) : reads_[1].front().order < reads_[0].front().order;
                else reading_ = ready[1];
                offer_beat();
            }
        }
        dut_->m_axi_rvalid = reading_ >= 0;
        if (reading_ < 0) {
            // What no design may look at.
            std::memset(&dut_->m_axi_rdata, 0xa5, WORD);
            dut_->m_axi_rid = 1;
            dut_->m_axi_rresp = 3;
            dut_->m_axi_rlast = 1;
        }
    }

    bool is_ready(int id) const { return !reads_[id].empty() && reads_[id].front().ready <= dut_.cycle(); }

    void offer_beat() {
        const ReadBurst& burst = reads_[reading_].front();
        const uint8_t* data =
            burst.parameters ? parameters_.data() + burst.word * WORD : window_.bytes(burst.image, burst.word * WORD);
        std::memcpy(&dut_->m_axi_rdata, data, WORD);
        dut_->m_axi_rid = uint8_t(reading_);
        dut_->m_axi_rresp = 0;
        dut_->m_axi_rlast = burst.left == 1;
        if (may_fail() && !error_is_write_ && read_beats_since_ >= errors_.at) {
            dut_->m_axi_rresp = error_response_;
            std::memset(&dut_->m_axi_rdata, 0x5a, WORD);
        }
    }

    bool may_fail() const { return errors_.left != 0 && !job_.disturbed(); }

    void drive_response() {
        // Not before a stop that is to come first has taken effect.
        const bool hold = is_last_moment_ && job_.stop_asked &&
                          (job_.stop_taken == NEVER || dut_.cycle() < job_.stop_taken + STOP_CYCLES);
        if (!answering_ && !responses_.empty() && responses_.front().ready <= dut_.cycle() && !hold && !b_stall_())
            answering_ = true;
        dut_->m_axi_bvalid = answering_;
        dut_->m_axi_bid = answering_ ? 0 : 1;
        dut_->m_axi_bresp = !answering_ ? 3 : responses_.front().burst.bad ? error_response_ : 0;
    }

    // -- Observing: every channel in this cycle. Returns whether anything moved. --

    bool observe() {
        held_back_ = phase_ == Phase::GAP;
        log_.cycle = dut_.cycle();
        log_.image = acknowledged_;
        log_.entered = entered_;
        bool moved = registers_.observe();
        if (phase_ == Phase::RUN) moved = false;  // asking moves nothing
        if (const uint32_t* bits = registers_.written(CONTROL)) {
            if (*bits & START) start();
            if (*bits & STOP) job_.stop_taken = dut_.cycle();
        }
        observe_irq();
        moved |= observe_monitors();
        if (job_.running() && figures_.computing() && job_.first == 0)
            figures_.observe(dut_.cycle(), dut_->mon_step, dut_->mon_layer, dut_->mon_wait);
        moved |= observe_read_address();
        moved |= observe_read();
        moved |= observe_write_address();
        moved |= observe_write();
        moved |= observe_response();
        return moved | bool(dut_->mon_step);
    }

    void start() {
        job_.start = dut_.cycle() + 1;
        figures_.start(job_.start);
    }

    void observe_irq() {
        irq_ = dut_->irq;
        if (!irq_) return;
        if (!job_.irq || job_.start == NEVER) return log_.fatal("irq that nobody waits for", "irq");
        if (job_.done == NEVER) see_done();
    }

    bool observe_monitors() {
        unsigned valid = dut_->mon_valid;
        if (valid == 0) return false;
        const uint8_t* data = reinterpret_cast<const uint8_t*>(&dut_->mon_data);
        for (; valid != 0; valid &= valid - 1) {
            const unsigned i = unsigned(__builtin_ctz(valid));
            take_word(stages_[i], data + WORD * i);
        }
        return true;
    }

    void take_word(Stage& stage, const uint8_t* got) {
        if (stage.image < window_.first()) return stage_stop("values missing", stage);
        // An image is read before anything can be made of it: what comes now was made of nothing.
        if (stage.image >= window_.end() || stage.entries.empty()) return stage_stop("values too many", stage);
        const Entry& entry = stage.entries[stage.entry];
        if (!stage.begun()) aim(stage);
        if (stage.expected != nullptr) {
            const uint32_t lanes = stage.group + 1 == entry.groups ? entry.last_lanes : uint32_t(WORD);
            if (std::memcmp(stage.expected, got, lanes) != 0) differ(stage, got, lanes);
            taps_[entry.tap].compared += lanes;
            stage.expected += WORD;
        }
        if (++stage.token < entry.tokens) return;
        stage.token = 0;
        if (++stage.group < entry.groups) return;
        stage.group = 0;
        if (++stage.entry == stage.entries.size()) {
            stage.entry = 0;
            ++stage.image;
            stage.expected = nullptr;
        } else {
            aim(stage);
        }
    }

    void differ(const Stage& stage, const uint8_t* got, uint32_t lanes) {
        Comparison& tap = taps_[stage.entries[stage.entry].tap];
        for (uint32_t lane = 0; lane < lanes; ++lane) {
            const int expected = int8_t(stage.expected[lane]), value = int8_t(got[lane]);
            if (expected != value)
                tap.mismatch({stage.image, stage.index() + lane, dut_.cycle(), entered_, expected, value});
        }
    }

    void place(Stage& stage, uint64_t image) {
        stage.image = image;
        stage.entry = stage.group = stage.token = 0;
        stage.expected = nullptr;
    }

    // Point at the first expected word of the stage's entry.
    void aim(Stage& stage) {
        const size_t offset = stage.entries[stage.entry].offset;
        stage.expected = offset == NEVER ? nullptr : window_.bytes(stage.image, offset);
    }

    void stage_fault(const std::string& kind, const Stage& stage) {
        if (stage.entries.empty()) return log_.fault(kind, "mon", "a stage that the model does not use");
        const size_t tap = stage.entries[stage.entry].tap;
        log_.faults.add({kind, std::to_string(tap), stage.image, stage.index(), dut_.cycle(), entered_, ""});
    }

    void stage_stop(const std::string& kind, const Stage& stage) {
        stage_fault(kind, stage);
        log_.stop = true;
    }

    // -- Reading --

    static std::string run_of(uint64_t address, unsigned beats) {
        return hex(address) + ", " + std::to_string(beats) + " beats";
    }

    // A burst's own rules. False where it cannot be followed.
    bool check_burst(const char* channel, uint64_t address, unsigned beats, unsigned size, unsigned burst,
                     unsigned lock) {
        const std::string where = run_of(address, beats);
        if (!job_.running()) log_.fatal("request without a job", channel, where);
        else if (size != 4) log_.fatal("burst with other beats than of 16 bytes", channel, where);
        else if (burst != 1) log_.fatal("burst that is not INCR", channel, where);
        else if (address % WORD != 0) log_.fatal("address is no multiple of 16", channel, where);
        else if (address % PAGE + WORD * beats > PAGE) log_.fatal("burst crosses 4 KiB", channel, where);
        if (lock != 0) log_.fault("locked access", channel, where);
        return !log_.stop;
    }

    // A run of `beats` words from `address` in an array of the job's: `words` an image, `stride` bytes apart.
    bool locate(uint64_t address, unsigned beats, uint64_t base, uint64_t stride, uint64_t words, uint64_t& image,
                uint64_t& word) const {
        if (address < base) return false;
        image = (address - base) / stride;
        word = (address - base) % stride / WORD;
        const bool dense = stride == words * WORD;
        const uint64_t end = dense ? (word + beats + words - 1) / words : 1;
        return word < words && (dense || word + beats <= words) && image + end <= job_.count;
    }

    bool observe_read_address() {
        const bool valid = dut_->m_axi_arvalid;
        if (!valid && !ar_.waits()) return false;
        ar_.check(log_, "m_axi_ar", valid, dut_->m_axi_arready,
                  {dut_->m_axi_arid, dut_->m_axi_araddr, dut_->m_axi_arlen, dut_->m_axi_arsize, dut_->m_axi_arburst,
                   dut_->m_axi_arlock, dut_->m_axi_arcache, dut_->m_axi_arprot});
        if (!valid) return false;
        if (!dut_->m_axi_arready) {
            held_back_ = true;
            return false;
        }
        const uint64_t address = dut_->m_axi_araddr;
        const unsigned beats = unsigned(dut_->m_axi_arlen) + 1, id = dut_->m_axi_arid;
        if (!check_burst("m_axi_ar", address, beats, dut_->m_axi_arsize, dut_->m_axi_arburst, dut_->m_axi_arlock))
            return true;
        ReadBurst burst{false, 0, 0, beats, dut_.cycle() + latency_, order_++};
        // Memories differ in how long each access takes.
        if (disordered_) burst.ready += random_.below(latency_ + 1);
        const uint64_t words = parameters_.size() / WORD;
        if (locate(address, beats, job_.parameters, parameters_.size(), words, burst.image, burst.word) &&
            burst.image == 0 && burst.word + beats <= words) {
            burst.parameters = true;
            job_.parameter_beats += beats;
            if (job_.parameter_beats > words * (keep_ ? 1 : job_.count))
                log_.fatal("reads more parameters than the job needs", "m_axi_ar", hex(address));
            if (!keep_) enter(job_.first + (job_.parameter_beats - 1) / words);
        } else if (locate(address, beats, job_.images, job_.image_stride, image_words_, burst.image, burst.word)) {
            burst.image += job_.first;
            job_.image_beats += beats;
            if (job_.image_beats > image_words_ * job_.count)
                log_.fatal("reads more of the images than the job needs", "m_axi_ar", hex(address));
            else fetch(burst.image + (burst.word + beats - 1) / image_words_);
        } else {
            log_.fatal("read outside parameters and images", "m_axi_ar", run_of(address, beats));
            return true;
        }
        if (id != (burst.parameters ? 0 : 1))
            log_.fault("wrong id", "m_axi_ar", hex(address) + ", id " + std::to_string(id));
        if (!log_.stop) reads_[id].push_back(burst);
        unwaited("m_axi_ar", dut_->m_axi_arready, dut_->m_axi_arvalid);
        return true;
    }

    bool observe_read() {
        if (reading_ < 0) {
            held_back_ |= !reads_[0].empty() || !reads_[1].empty();
            return false;
        }
        if (!dut_->m_axi_rready) return false;
        ReadBurst& burst = reads_[reading_].front();
        ++read_beats_;
        ++read_beats_since_;
        ++beats_;
        if (dut_->m_axi_rresp != 0) {
            disturb();
            job_.error = READ_RESPONSE;
        }
        if (burst.parameters) {
            if (job_.first == 0 && !figures_.taken() && job_.parameter_taken < parameters_.size() / WORD)
                figures_.parameter_beat(dut_.cycle(), burst.word);
            ++job_.parameter_taken;
        } else {
            if (burst.image == 0 && !figures_.taken()) figures_.image_beat(dut_.cycle());
            if (burst.word == 0) {
                if (last_input_ != NEVER) input_intervals_.add(dut_.cycle() - last_input_);
                last_input_ = dut_.cycle();
            }
        }
        if (++burst.word == image_words_ && !burst.parameters) {
            burst.word = 0;
            ++burst.image;
        }
        if (--burst.left == 0) reads_[reading_].pop_front();
        reading_ = -1;
        return true;
    }

    // AXI: valid does not wait for ready.
    template <typename Ready, typename Valid>
    void unwaited(const char* channel, Ready& ready, const Valid& valid) {
        ready = 0;
        dut_->eval();
        if (!valid) log_.fault("valid waits for ready", channel);
        ready = 1;
        dut_->eval();
    }

    // -- Writing --

    bool observe_write_address() {
        const bool valid = dut_->m_axi_awvalid;
        address_seen_ = valid;
        if (!valid && !aw_.waits()) return false;
        aw_.check(log_, "m_axi_aw", valid, dut_->m_axi_awready,
                  {dut_->m_axi_awid, dut_->m_axi_awaddr, dut_->m_axi_awlen, dut_->m_axi_awsize, dut_->m_axi_awburst,
                   dut_->m_axi_awlock, dut_->m_axi_awcache, dut_->m_axi_awprot});
        if (!valid) return false;
        if (!dut_->m_axi_awready) {
            // The data that the memory waits for is the design's to give.
            held_back_ |= !address_starves_;
            return false;
        }
        const uint64_t address = dut_->m_axi_awaddr;
        const unsigned beats = unsigned(dut_->m_axi_awlen) + 1;
        if (!check_burst("m_axi_aw", address, beats, dut_->m_axi_awsize, dut_->m_axi_awburst, dut_->m_axi_awlock))
            return true;
        WriteBurst burst{0, 0, beats, address, {}, false};
        if (!locate(address, beats, job_.results, job_.result_stride, result_words_, burst.image, burst.word)) {
            log_.fatal("write outside the results", "m_axi_aw", run_of(address, beats));
            return true;
        }
        if (dut_->m_axi_awid != 0) log_.fault("wrong id", "m_axi_aw", hex(address));
        burst.image += job_.first;
        writes_.push_back(burst);
        address_waits_ = particular_ && random_.below(2) == 0;
        unwaited("m_axi_aw", dut_->m_axi_awready, dut_->m_axi_awvalid);
        match_writes();
        return true;
    }

    bool observe_write() {
        const bool valid = dut_->m_axi_wvalid;
        data_seen_ = valid;
        if (!valid && !w_.waits()) return false;
        WriteBeat beat{};
        std::memcpy(beat.data, &dut_->m_axi_wdata, WORD);
        beat.strobes = dut_->m_axi_wstrb;
        beat.last = dut_->m_axi_wlast;
        uint64_t halves[2];
        std::memcpy(halves, beat.data, WORD);
        w_.check(log_, "m_axi_w", valid, dut_->m_axi_wready, {halves[0], halves[1], beat.strobes, beat.last});
        if (!valid) return false;
        if (!dut_->m_axi_wready) {
            held_back_ |= !data_starves_;
            return false;
        }
        if (!job_.running()) log_.fatal("write data without a job", "m_axi_w");
        ++write_beats_;
        ++beats_;
        early_.push_back(beat);
        data_waits_ = particular_ && random_.below(2) == 0;
        unwaited("m_axi_w", dut_->m_axi_wready, dut_->m_axi_wvalid);
        match_writes();
        return true;
    }

    // Data may come before its address.
    void match_writes() {
        while (!writes_.empty() && !early_.empty() && !log_.stop) {
            WriteBurst& burst = writes_.front();
            const WriteBeat beat = early_.front();
            early_.pop_front();
            if (beat.last != (burst.left == 1))
                log_.fatal(beat.last ? "wlast too early" : "wlast missing", "m_axi_w", hex(burst.address));
            if (beat.strobes == 0xffff) {
                write_word(burst, beat);
            } else if (beat.strobes != 0 || !job_.disturbed()) {
                // A job that is broken off may fill up its bursts with bytes that are not written.
                log_.fault("strobes not all set", "m_axi_w", hex(beat.strobes));
            }
            if (++burst.word == result_words_) {
                burst.word = 0;
                ++burst.image;
            }
            if (--burst.left != 0) continue;
            responses_.push_back({dut_.cycle() + latency_, std::move(burst)});
            writes_.pop_front();
        }
    }

    void write_word(WriteBurst& burst, const WriteBeat& beat) {
        const uint64_t image = burst.image, word = burst.word;
        if (image < acknowledged_ || image >= window_.end())
            return log_.fatal(image < acknowledged_ ? "result written again" : "result of an image that was not read",
                              "m_axi_w", "image " + std::to_string(image));
        std::vector<uint8_t>& states = words_.try_emplace(image, result_words_).first->second;
        if (states[word] != 0) log_.fault("result written again", "m_axi_w", "image " + std::to_string(image));
        states[word] = 1;
        burst.words.emplace_back(image, word);
        burst.bad |= may_fail() && error_is_write_ && words_since_ == errors_.at;
        ++words_since_;
        if (image == 0 && !figures_.taken()) figures_.result(dut_.cycle());
        if (word == 0 && first_output_latency_ == NEVER) first_output_latency_ = dut_.cycle() - job_.start + 1;
        const uint8_t* expected = window_.bytes(image, (image_words_ + word) * WORD);
        for (uint64_t lane = 0; lane < WORD; ++lane) {
            const uint64_t index = word * WORD + lane;
            if (index >= result_lanes_) {
                if (beat.data[lane] != 0) log_.fault("padding is not zero", "m_axi_w", "byte " + std::to_string(index));
                continue;
            }
            ++output_.compared;
            if (expected[lane] != beat.data[lane])
                output_.mismatch(
                    {image, index, dut_.cycle(), entered_, int8_t(expected[lane]), int8_t(beat.data[lane])});
        }
        is_last_moment_ = is_last_moment();
    }

    bool observe_response() {
        if (!answering_) {
            held_back_ |= !responses_.empty();
            return false;
        }
        if (!dut_->m_axi_bready) return false;
        const WriteBurst burst = std::move(responses_.front().burst);
        responses_.pop_front();
        answering_ = false;
        if (burst.bad) {
            disturb();
            job_.error = WRITE_RESPONSE;
            return true;
        }
        for (const auto& [image, word] : burst.words) words_[image][word] = 2;
        for (;;) {
            const auto front = words_.find(acknowledged_);
            if (front == words_.end()) break;
            const std::vector<uint8_t>& states = front->second;
            if (!std::all_of(states.begin(), states.end(), [](uint8_t state) { return state == 2; })) break;
            words_.erase(front);
            acknowledge();
        }
        return true;
    }

    // A whole result is in memory.
    void acknowledge() {
        const uint64_t cycle = dut_.cycle();
        if (acknowledged_ == 0 && !figures_.taken()) {
            figures_.result(cycle);
            figures_.image_done();
        }
        if (job_.last_done != NEVER) intervals_.add(cycle - job_.last_done);
        job_.last_done = cycle;
        if (job_.count != 1) {
            latencies_.add(cycle - job_.start + 1);
            if (first_latency_ == NEVER) first_latency_ = cycle - job_.start + 1;
        }
        ++acknowledged_;
        is_last_moment_ = is_last_moment();
        // After a disturbance some may have to be run again.
        if (!job_.disturbed()) window_.drop_before(acknowledged_);
    }

    // -- Reporting --

    std::string json_state() const {
        static const char* const PHASES[] = {"gap", "setup", "run", "collect", "drain"};
        std::vector<std::string> stages;
        for (const Stage& stage : stages_)
            if (!stage.entries.empty())
                stages.push_back(Object()
                                     .number("stage", &stage - stages_)
                                     .number("tap", stage.entries[stage.entry].tap)
                                     .number("image", stage.image)
                                     .number("index", stage.index())
                                     .json());
        Object object;
        object.text("phase", PHASES[int(phase_)])
            .text("access", registers_.idle() ? "" : registers_.waiting())
            .number("layer", unsigned(dut_->mon_layer))
            .number("wait", unsigned(dut_->mon_wait))
            .flag("beat", reading_ >= 0)
            .flag("answer", answering_)
            .flag("address_starves", address_starves_ && aw_.waits())
            .flag("data_starves", data_starves_ && w_.waits())
            .number("parameter_bursts", reads_[0].size())
            .number("image_bursts", reads_[1].size())
            .number("writes", writes_.size())
            .number("responses", responses_.size())
            .raw("stages", json_list(stages, [](const std::string& text) { return text; }));
        return object.json();
    }

    static std::string json(const Comparison& comparison, uint64_t image) {
        Object object;
        object.number("compared", comparison.compared).number("stalled", 0);
        return comparison.describe(object)
            .number("image", image)
            .number("index", 0)
            .flag("valid", false)
            .flag("ready", false)
            .json();
    }

    void print_result() const {
        Object simd;
        simd.number("jobs", jobs_)
            .raw("job_cycles", job_cycles_.json())
            .raw("single_cycles", single_cycles_.json())
            .number("read_beats", read_beats_)
            .number("write_beats", write_beats_)
            .number("errors", errors_.done)
            .number("stops", stops_.done)
            .raw("state", json_state());
        Object result;
        result.number("images", acknowledged_)
            .number("cycles", dut_.cycle())
            .number("seconds", progress_.seconds() - window_.seconds_waiting())
            .number("seconds_waiting", window_.seconds_waiting())
            .number("entered", entered_)
            .number("resets", resets_.done)
            .flag("hung", hung_)
            .raw("interval", intervals_.json())
            .raw("input_interval", input_intervals_.json())
            .raw("latency", latencies_.json())
            .known("first_latency", first_latency_)
            .known("first_output_latency", first_output_latency_)
            .raw("output", json(output_, acknowledged_))
            .raw("taps", json_list(taps_, [](const Comparison& tap) { return json(tap, 0); }))
            .raw("device", figures_.describe(simd).json());
        print(Object().raw("result", log_.faults.describe(result).json()));
    }

    uint64_t images_, batch_;
    bool keep_;
    uint64_t image_words_, result_words_, result_lanes_, latency_;
    uint64_t gap_, gap_left_ = 0;
    uint64_t reach_, delays_;  // of disturbances
    uint64_t inside_max_;      // images that may be on their way at once
    uint64_t watchdog_, drain_, idle_ = 0;
    uint64_t wave_from_;
    bool scattered_;  // addresses anywhere in a page, gaps between images
    Disturbance resets_, errors_, stops_;
    bool error_is_write_ = false;
    uint8_t error_response_ = 0;
    uint64_t beats_ = 0, read_beats_since_ = 0, words_since_ = 0;  // since disturbances were drawn
    Random random_;
    Stall ar_stall_, r_stall_, aw_stall_, w_stall_, b_stall_;
    bool disordered_;  // reads of different ids in any order, after different times
    bool particular_;  // addresses and data of writes wait for each other
    std::vector<uint8_t> parameters_;

    Stage stages_[STAGES];
    std::vector<Comparison> taps_;
    Comparison output_;
    Figures figures_;
    Log log_;
    Design dut_;
    Registers registers_;
    Window window_;  // after what plan() fills

    Phase phase_ = Phase::GAP;
    Job job_;
    uint64_t jobs_ = 0;
    uint64_t acknowledged_ = 0, entered_ = 1;
    std::map<uint64_t, std::vector<uint8_t>> words_;  // of results: 0 to come, 1 written, 2 acknowledged
    bool identified_ = false, irq_ = false, asking_ = false, is_last_moment_ = false;
    uint64_t poll_delay_ = 0;

    Offer<8> ar_, aw_;
    Offer<4> w_;
    std::deque<ReadBurst> reads_[2];  // by id
    int reading_ = -1;                // the id of the beat that is offered
    uint64_t order_ = 0;
    std::deque<WriteBurst> writes_;  // whose data is not complete
    std::deque<WriteBeat> early_;    // data whose address has not come
    std::deque<Response> responses_;
    bool answering_ = false;
    bool address_waits_ = false, data_waits_ = false;      // whether the memory waits for the other this time
    bool address_starves_ = false, data_starves_ = false;  // and does in this cycle
    bool address_seen_ = false, data_seen_ = false;        // offered in the last cycle
    bool held_back_ = false;                               // the memory or the master waits: not moving proves nothing
    bool hung_ = false;

    uint64_t read_beats_ = 0, write_beats_ = 0;
    uint64_t last_input_ = NEVER, first_latency_ = NEVER, first_output_latency_ = NEVER;
    Histogram intervals_, input_intervals_, latencies_, job_cycles_, single_cycles_;
    Progress progress_;
};

}  // namespace

int main(int argc, char** argv) {
    divert_output();
    Simulation(Options(argc, argv)).run();
    return 0;
}
