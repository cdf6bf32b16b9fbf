// Drives the Verilated streaming accelerator, free running, and compares every stream with expected values while it
// runs.
//
// An image's record (see harness_common.hpp) holds its stimulus, its class scores, then for each compared tap its
// expected values in the order of the tap's stream. An image is dropped once every stream has passed it.
//
// Of a design in lanes a record is of LANES images, the values of each place side by side, and counts here as one; in
// what is reported images are the caller's again.
//
// A stream is a tap (0 to NTAPS - 1, in the order of the accelerator's monitor ports), s_axis or m_axis. What the
// streams mean is the caller's business: here a value is the image it belongs to and its index in the stream. A beat
// has `beat` values, the first lowest.

#include "harness_common.hpp"

namespace {

using namespace cosim;

// ---- Streams --------------------------------------------------------------------------------------------------------

constexpr size_t VALUES_MAX = 4;  // of a beat

// A stream's position, and what was found of its values.
struct Stream : Comparison {
    size_t size = 0;        // values an image
    size_t offset = NEVER;  // of its expected values in an image's bytes; NEVER: not compared
    uint64_t image = 0;     // of the next value
    size_t index = 0;
    const uint8_t* expected = nullptr;         // of the current image; null where not compared or not at hand
    bool at_hand = false;                      // the current image has been read
    uint8_t offered[VALUES_MAX * LANES] = {};  // the beat that waits, while one does
    uint64_t stalled = 0;                      // cycles with valid and without ready

    // Compare the next values, so many of a beat, in the lanes of the images that there are.
    void compare(uint64_t cycle, uint64_t entered, const uint8_t* got, size_t values, size_t lanes) {
        for (size_t value = 0; value < values; ++value, got += LANES) {
            const uint8_t* wanted = expected + (index + value) * LANES;
            compared += lanes;
            if (std::memcmp(wanted, got, lanes) == 0) continue;
            for (size_t lane = 0; lane < lanes; ++lane)
                if (wanted[lane] != got[lane])
                    mismatch(
                        {image * LANES + lane, index + value, cycle, entered, int8_t(wanted[lane]), int8_t(got[lane])});
        }
    }
};

// ---- Moments --------------------------------------------------------------------------------------------------------

// Numbers of the moments, in the order in which `moments.py` names them: by phase of the oldest image inside resets,
// cycles in which nothing was offered, and those in which the input was held; the places of an image at which the
// output was held; taps that were held.
enum Phase : size_t { BETWEEN, FIRST_TOKEN, FURTHER_TOKENS, STAGES };  // then a phase a stage, then SCORES

constexpr size_t PLACES = 3;
enum Place : size_t { FIRST, MIDDLE, LAST };
inline size_t place_of(size_t index, size_t size) { return index == 0 ? FIRST : index + 1 == size ? LAST : MIDDLE; }

// Put a beat of so many values into a port, the first lowest. A design in lanes has one value a beat.
template <typename P>
void put_beat(P& port, const uint8_t* bytes, size_t values) {
    if constexpr (std::is_integral_v<P>) {
        uint32_t beat = 0;
        for (size_t value = 0; value < values; ++value) beat |= uint32_t(bytes[value]) << (8 * value);
        port = P(beat);
    } else {
        put_byte(port, bytes);
    }
}

// When the output holds back so that the streams before it come to wait: after a random time, until nothing moves any
// more, or for a few cycles.
class Holds {
  public:
    Holds(bool active, uint64_t seed, uint64_t free) : active_(active), random_(seed), free_(free) { draw(); }
    // To be asked once a cycle.
    bool operator()(bool moved) {
        if (!active_) return false;
        if (!holding_) {
            if (left_-- != 0) return false;
            holding_ = true;
            still_ = 0;
            left_ = random_.below(2) == 0 ? random_.below(SHORT) : NEVER;
        }
        still_ = moved ? 0 : still_ + 1;
        if (still_ == STILL || left_-- == 0) draw();
        return holding_;
    }

  private:
    static constexpr uint64_t STILL = 40;  // cycles in which nothing moves: then nothing will
    static constexpr uint64_t SHORT = 64;
    void draw() {
        holding_ = false;
        left_ = random_.below(free_);
    }
    bool active_, holding_ = false;
    Random random_;
    uint64_t free_, left_ = 0, still_ = 0;
};

// ---- The simulation -------------------------------------------------------------------------------------------------

class Simulation {
  public:
    explicit Simulation(const Options& options)
        : input_stall_(options.numbers("input_stall")),
          output_stall_(options.numbers("output_stall")),
          ready_waits_(options.number("ready_waits") != 0),
          gap_(options.number("gap")),
          resets_left_(options.number("resets")),
          reset_random_(options.number("reset_seed")),
          reset_reach_(options.number("reset_reach")),
          reset_delays_(options.number("reset_delays")),
          inside_max_(options.number("inside_max")),
          watchdog_(options.number("watchdog")),
          drain_(options.number("drain")),
          wave_from_(options.number("wave_from")),
          values_(options.number("beat")),
          input_size_(options.number("input_size")),
          token_size_(options.number("token_size")),
          stage_ends_(options.numbers("stage_ends")),
          images_(options.number("images")),
          window_((images_ + LANES - 1) / LANES, LANES * plan(options)),
          moments_(3 * phases() + PLACES + taps_.size()),
          aim_(options.number("aim") != 0, options.number("aim_seed"), phases()),
          holds_(options.number("aim") != 0, options.number("aim_seed") + 1, options.number("aim_free")),
          dut_(options) {
        std::memset(nothing_, 0xa5, sizeof nothing_);
        if (wave_from_ == 0) dut_.open_wave();
    }

    void run() {
        progress_.start();
        reset(RESET_CYCLES);
        uint64_t drained = 0;
        while (!dut_.finished()) {
            now_ = phase();
            const bool aimed = aim_.is_due(now_, moments_.seen(now_));
            if (aimed || (resets_left_ != 0 && reset_is_due())) {
                if (!aimed) --resets_left_;
                ++resets_done_;
                moments_.add(now_);
                reset(1 + reset_random_.below(RESET_CYCLES));
                restart();
                now_ = phase();
            }
            drive();
            dut_.settle();
            const bool moved = observe();
            dut_.clock();
            held_ = holds_(moved);
            if (stop_) break;
            if (output_.image == window_.count() && input_image_ == window_.count()) {
                if (++drained > drain_) break;
            } else if (moved) {
                idle_ = 0;
            } else if (!held_back_ && ++idle_ >= watchdog_) {
                hung_ = !waits_for_ready();
                stop_ = !hung_;
                break;
            }
            if ((dut_.cycle() & 0x3ff) == 0) progress_.report(of_caller(output_.image), dut_.cycle());
        }
        if (dut_.finished()) fail("the design called $finish");
        if (!hung_ && !stop_) check_complete(window_.count());
        print_result();
        dut_.close();
    }

  private:
    static constexpr int OUTPUT = -1;  // m_axis, where a tap number is asked for
    static constexpr size_t WORDS = (sizeof(Vdut::mon_valid) + 7) / 8;

    // Lay out an image's bytes: stimulus, scores, compared taps. Returns their number.
    size_t plan(const Options& options) {
        size_t offset = options.number("input_size");
        output_.size = options.number("output_size");
        output_.offset = offset;
        offset += output_.size;
        const std::vector<uint64_t> sizes = options.numbers("tap_sizes");
        const std::string compared = options.text("compared");
        if (compared.size() != sizes.size()) fail("the taps do not fit the comparison");
        if (sizeof(Vdut::mon_ready) != sizeof(Vdut::mon_valid)) fail("mon_ready is not as wide as mon_valid");
        if (values_ < 1 || values_ > VALUES_MAX) fail("a beat has 1 to 4 values");
        if (LANES != 1 && values_ != 1) fail("a design in lanes has one value a beat");
        constexpr size_t bytes = port_bytes(static_cast<std::remove_reference_t<decltype(Vdut::mon_data)>*>(nullptr));
        if (values_ * sizes.size() > bytes || sizes.size() > 8 * sizeof(Vdut::mon_valid))
            fail("the design shows fewer taps than the model has");
        for (size_t i = 0; i < sizes.size(); ++i) known_[i / 64] |= uint64_t{1} << (i % 64);
        for (size_t i = 0; i < sizes.size(); ++i) {
            Stream tap;
            tap.stream = int32_t(i);
            tap.size = sizes[i];
            if (compared[i] == '1') {
                tap.offset = offset;
                offset += tap.size;
            }
            taps_.push_back(tap);
        }
        return offset;
    }

    // -- Lanes --

    // The images of a record, of which the last may have fewer than there are lanes.
    size_t lanes_of(uint64_t record) const { return size_t(std::min<uint64_t>(LANES, images_ - record * LANES)); }

    // The number of a record's first image, or of all images, as the caller counts.
    uint64_t of_caller(uint64_t record) const { return std::min(record * LANES, images_); }

    // -- Moments --

    size_t phases() const { return STAGES + stage_ends_.size() + 1; }
    size_t input_gap() const { return phases() + now_; }
    size_t input_held() const { return 2 * phases() + now_; }
    size_t output_held() const { return 3 * phases() + place_of(output_.index / values_, output_.size / values_); }
    size_t tap_held(size_t tap) const { return 3 * phases() + PLACES + tap; }

    // Where the oldest image stands that has not come out whole.
    size_t phase() const {
        const uint64_t image = output_.image;
        const size_t scores = STAGES + stage_ends_.size();
        if (output_.index != 0) return scores;
        if (image == window_.count()) return BETWEEN;
        if (input_image_ == image)
            return input_index_ == 0 ? BETWEEN : input_index_ < token_size_ ? FIRST_TOKEN : FURTHER_TOKENS;
        for (size_t i = 0; i < stage_ends_.size(); ++i)
            if (taps_[stage_ends_[i]].image <= image) return STAGES + i;
        return scores;
    }

    // -- Resets --

    void reset(uint64_t cycles) {
        dut_->rst = 1;
        dut_->s_axis_tvalid = 0;
        for (uint64_t i = 0; i < cycles; ++i) {
            dut_->m_axis_tready = !output_stall_() && !ready_waits_;
            dut_.settle();
            // By then every register has been set right that a reset sets.
            if (i != 0 && i + 1 == cycles && dut_->m_axis_tvalid) output_fault("valid set during reset");
            dut_.clock();
        }
        dut_->rst = 0;
        draw_reset();
    }

    bool reset_is_due() {
        if (accepted_ >= reset_at_ && reset_delay_-- == 0) return true;
        // When the last score of all stands at the output, what is still to come must come now.
        return output_.image + 1 == window_.count() && output_.index + values_ == output_.size && dut_->m_axis_tvalid;
    }

    // The next reset comes after so many more accepted values (at times an image's last), and then so many cycles, few
    // or as many as an image takes: while values enter, while the input waits or pauses, while scores come out.
    void draw_reset() {
        accepted_ = 0;
        if (resets_left_ == 0) return;
        const uint64_t images = std::min<uint64_t>(window_.count() - output_.image, reset_reach_);
        const bool at_end = reset_random_.below(4) == 0;
        const uint64_t inside = at_end ? input_size_ : 1 + reset_random_.below(input_size_);
        reset_at_ = reset_random_.below(std::max<uint64_t>(images, 1)) * input_size_ + inside;
        const bool at_once = reset_random_.below(2) == 0;
        reset_delay_ = reset_random_.below(at_once ? RESET_CYCLES : reset_delays_);
    }

    // After a reset: every image that had not come out whole is sent again.
    void restart() {
        const uint64_t image = output_.image;
        check_complete(image);
        window_.rewind(image);
        differences.again(of_caller(image));
        for (Stream& tap : taps_) place(tap, image);
        place(output_, image);
        input_image_ = image;
        input_index_ = 0;
        offering_ = false;
        output_waits_ = false;
        std::fill(std::begin(waiting_), std::end(waiting_), 0);
        gap_left_ = 0;
        idle_ = 0;
        last_output_ = last_input_ = NEVER;
        intervals_seen_ = 0;
    }

    // Every tap must be at the start of image `image` or beyond: that many have come out.
    void check_complete(uint64_t image) {
        for (size_t i = 0; i < taps_.size(); ++i)
            if (taps_[i].image < image) fault("values missing", int(i), taps_[i].image, taps_[i].index);
    }

    void place(Stream& stream, uint64_t image) {
        stream.image = image;
        stream.index = 0;
        stream.at_hand = image < window_.end();
        stream.expected =
            stream.at_hand && stream.offset != NEVER ? window_.bytes(image, stream.offset * LANES) : nullptr;
    }

    // -- Driving --

    void drive() {
        held_back_ = false;
        if (!offering_ && input_image_ < window_.count()) {
            if (gap_left_ != 0) {
                --gap_left_;
            } else if (aim_.active() && !moments_.seen(input_gap())) {
                // A gap, in a phase that has not had one.
            } else if (!input_stall_()) {
                offering_ = true;
                if (input_image_ == window_.end()) {
                    if (window_.end() - window_.first() >= inside_max_) stop_overfull();
                    window_.read_next();
                }
                if (input_image_ == wave_from_) dut_.open_wave();
            }
            held_back_ = !offering_;
            if (!offering_) moments_.add(input_gap());
        }
        dut_->s_axis_tvalid = offering_;
        // While nothing is offered the data and last lines carry what no design may look at.
        const uint8_t* beat = offering_ ? window_.bytes(input_image_, input_index_ * LANES) : nothing_;
        put_beat(dut_->s_axis_tdata, beat, values_);
        dut_->s_axis_tlast = offering_ ? input_index_ + values_ == input_size_ : 1;
        const bool aimed = aim_.active() && (held_ || !moments_.seen(output_held()));
        const bool stall = output_stall_() || aimed;
        dut_->m_axis_tready = !stall && (!ready_waits_ || output_waits_);
        held_back_ |= stall;
    }

    // Whether the output, at which nothing came while ready waited for valid, has something once ready is high.
    bool waits_for_ready() {
        for (uint64_t i = 0; ready_waits_ && i < watchdog_; ++i) {
            dut_->m_axis_tready = 1;
            dut_.settle();
            if (dut_->m_axis_tvalid) {
                output_fault("tvalid waits for tready");
                return true;
            }
            dut_.clock();
        }
        return false;
    }

    // -- Observing: every handshake of this cycle. Returns whether there was any. --

    bool observe() {
        bool moved = observe_taps();
        if (dut_->s_axis_tvalid && dut_->s_axis_tready) {
            accept_input();
            moved = true;
        } else if (dut_->s_axis_tvalid) {
            moments_.add(input_held());
        }
        check_output_rules();
        if (dut_->m_axis_tvalid && dut_->m_axis_tready) {
            take_output();
            moved = true;
        }
        if (dut_->frame_error_early | dut_->frame_error_late) check_frame_errors();
        return moved;
    }

    bool observe_taps() {
        uint64_t valid[WORDS] = {}, ready[WORDS] = {};
        std::memcpy(valid, &dut_->mon_valid, sizeof dut_->mon_valid);
        std::memcpy(ready, &dut_->mon_ready, sizeof dut_->mon_ready);
        uint64_t any = 0;
        for (size_t word = 0; word < WORDS; ++word) {
            if ((valid[word] & ~known_[word]) != 0) fail("the design shows more taps than the model has");
            // AXI4-Stream's rule holds inside too: what waited must still be there.
            for (uint64_t left = waiting_[word]; left != 0; left &= left - 1) {
                const size_t i = word * 64 + size_t(__builtin_ctzll(left));
                if ((valid[word] >> (i % 64) & 1) == 0) tap_fault("tvalid withdrawn", i);
                else if (std::memcmp(byte_of(dut_->mon_data, values_ * i), taps_[i].offered, values_ * LANES) != 0)
                    tap_fault("beat changed while waiting", i);
            }
            for (uint64_t fire = valid[word] & ready[word]; fire != 0; fire &= fire - 1) {
                const size_t i = word * 64 + size_t(__builtin_ctzll(fire));
                take_tap(i, byte_of(dut_->mon_data, values_ * i));
                any = 1;
            }
            waiting_[word] = valid[word] & ~ready[word];
            for (uint64_t wait = waiting_[word]; wait != 0; wait &= wait - 1) {
                const size_t i = word * 64 + size_t(__builtin_ctzll(wait));
                ++taps_[i].stalled;
                moments_.add(tap_held(i));
                std::memcpy(taps_[i].offered, byte_of(dut_->mon_data, values_ * i), values_ * LANES);
            }
        }
        return any != 0;
    }

    void take_tap(size_t i, const uint8_t* got) {
        Stream& tap = taps_[i];
        if (!tap.at_hand) {
            // The input side reads an image before it offers any of it: what comes now was made of nothing.
            if (tap.image < window_.end()) place(tap, tap.image);
            else return stop("values too many", int(i), tap);
        }
        if (tap.expected != nullptr) tap.compare(dut_.cycle(), entered(), got, values_, lanes_of(tap.image));
        if ((tap.index += values_) == tap.size) finish(tap);
    }

    void finish(Stream& stream) {
        const uint64_t image = stream.image;
        place(stream, image + 1);
        window_.pass(image, taps_.size() + 1);
    }

    void accept_input() {
        if (input_index_ == 0) {
            window_[input_image_].first_beat = dut_.cycle();
            if (last_input_ != NEVER) input_intervals_.add(dut_.cycle() - last_input_);
            last_input_ = dut_.cycle();
        }
        offering_ = false;
        accepted_ += values_;
        if ((input_index_ += values_) == input_size_) {
            input_index_ = 0;
            ++input_image_;
            gap_left_ = gap_;
        }
    }

    // AXI4-Stream: once valid, a beat stays and does not change until it is taken.
    void check_output_rules() {
        const unsigned flags = unsigned(dut_->m_axis_tlast) | unsigned(dut_->m_axis_tuser) << 1;
        if (output_waits_) {
            const uint8_t* data = byte_of(dut_->m_axis_tdata, 0);
            if (!dut_->m_axis_tvalid) output_fault("tvalid withdrawn");
            else if (flags != waiting_flags_ || std::memcmp(data, output_.offered, values_ * LANES) != 0)
                output_fault("beat changed while waiting");
        }
        output_waits_ = dut_->m_axis_tvalid && !dut_->m_axis_tready;
        if (!output_waits_) return;
        ++output_.stalled;
        moments_.add(output_held());
        waiting_flags_ = flags;
        std::memcpy(output_.offered, byte_of(dut_->m_axis_tdata, 0), values_ * LANES);
    }

    void take_output() {
        if (!output_.at_hand) {
            if (output_.image < window_.end()) place(output_, output_.image);
            else return stop("values too many", OUTPUT, output_);
        }
        // AXI4-Stream: tvalid does not wait for tready.
        dut_->m_axis_tready = 0;
        dut_->eval();
        if (!dut_->m_axis_tvalid) output_fault("tvalid waits for tready");
        dut_->m_axis_tready = 1;
        dut_->eval();
        const bool last = output_.index + values_ == output_.size;
        output_.compare(dut_.cycle(), entered(), byte_of(dut_->m_axis_tdata, 0), values_, lanes_of(output_.image));
        if (bool(dut_->m_axis_tlast) != last) output_fault(last ? "tlast missing" : "tlast too early");
        if (dut_->m_axis_tuser) output_fault("tuser set");
        const uint64_t first_beat = window_[output_.image].first_beat;
        if (first_beat == NEVER) return stop("values too many", OUTPUT, output_);
        if (output_.index == 0 && first_output_latency_ == NEVER) first_output_latency_ = dut_.cycle() - first_beat + 1;
        if (last) {
            const uint64_t latency = dut_.cycle() - first_beat + 1;
            if (first_latency_ == NEVER) first_latency_ = latency;
            latencies_.add(latency);
            // The pipeline fills while the first image is on its way: the first interval after that does not count.
            if (last_output_ != NEVER && intervals_seen_++ > 0) intervals_.add(dut_.cycle() - last_output_);
            last_output_ = dut_.cycle();
        }
        if ((output_.index += values_) == output_.size) finish(output_);
    }

    void check_frame_errors() {
        if (dut_->frame_error_early && !frame_early_) output_fault("frame_error_early set");
        if (dut_->frame_error_late && !frame_late_) output_fault("frame_error_late set");
        frame_early_ |= bool(dut_->frame_error_early);
        frame_late_ |= bool(dut_->frame_error_late);
    }

    void fault(const std::string& kind, int stream, uint64_t image, uint64_t index) {
        faults_.add({kind, std::to_string(stream), of_caller(image), index, dut_.cycle(), entered(), ""});
    }

    void tap_fault(const std::string& kind, size_t i) { fault(kind, int(i), taps_[i].image, taps_[i].index); }

    void output_fault(const std::string& kind) { fault(kind, OUTPUT, output_.image, output_.index); }

    uint64_t entered() const { return of_caller(input_image_ + 1); }

    // A fault after which positions mean nothing any more.
    void stop(const std::string& kind, int number, const Stream& stream) {
        fault(kind, number, stream.image, stream.index);
        stop_ = true;
    }

    // Images go in and do not come out: the stream that is furthest back is named.
    void stop_overfull() {
        int number = OUTPUT;
        const Stream* last = &output_;
        for (size_t i = taps_.size(); i-- > 0;)
            if (taps_[i].image <= last->image) {
                number = int(i);
                last = &taps_[i];
            }
        stop("too many images inside", number, *last);
    }

    // -- Reporting --

    std::string json(const Stream& stream, bool valid, bool ready) const {
        Object object;
        object.number("compared", stream.compared).number("stalled", stream.stalled);
        return stream.describe(object)
            .number("image", of_caller(stream.image))
            .number("index", stream.index)
            .flag("valid", valid)
            .flag("ready", ready)
            .json();
    }

    std::string json_taps() const {
        uint64_t valid[WORDS] = {}, ready[WORDS] = {};
        std::memcpy(valid, &dut_->mon_valid, sizeof dut_->mon_valid);
        std::memcpy(ready, &dut_->mon_ready, sizeof dut_->mon_ready);
        return json_list(taps_, [&](const Stream& tap) {
            const size_t i = size_t(&tap - taps_.data());
            return json(tap, valid[i / 64] >> (i % 64) & 1, ready[i / 64] >> (i % 64) & 1);
        });
    }

    void print_result() const {
        Stream input;
        input.image = input_image_;
        input.index = input_index_;
        Object result;
        result.number("images", of_caller(output_.image))
            .number("cycles", dut_.cycle())
            .number("seconds", progress_.seconds() - window_.seconds_waiting())
            .number("seconds_waiting", window_.seconds_waiting())
            .number("cpu_seconds", Progress::cpu_seconds())
            .number("entered", entered())
            .number("resets", resets_done_)
            .flag("hung", hung_)
            .raw("interval", intervals_.json())
            .raw("input_interval", input_intervals_.json())
            .raw("latency", latencies_.json())
            .known("first_latency", first_latency_)
            .known("first_output_latency", first_output_latency_)
            .raw("input", json(input, dut_->s_axis_tvalid, dut_->s_axis_tready))
            .raw("output", json(output_, dut_->m_axis_tvalid, dut_->m_axis_tready))
            .raw("moments", moments_.json())
            .raw("taps", json_taps());
        print(Object().raw("result", faults_.describe(result).json()));
    }

    Stall input_stall_, output_stall_;
    bool ready_waits_;  // for valid
    uint64_t gap_, gap_left_ = 0;
    uint64_t resets_left_, resets_done_ = 0;
    Random reset_random_;
    uint64_t reset_reach_, reset_delays_, reset_at_ = NEVER, reset_delay_ = 0;
    uint64_t inside_max_;  // images that may be on their way at once
    uint64_t watchdog_, drain_, idle_ = 0;
    uint64_t wave_from_;
    uint64_t values_;  // values of a beat
    uint64_t input_size_, input_image_ = 0, input_index_ = 0;
    uint64_t accepted_ = 0;   // values since the last reset
    bool offering_ = false;   // s_axis_tvalid
    bool held_back_ = false;  // this side stalls in this cycle: not moving proves nothing
    Stream output_;
    std::vector<Stream> taps_;
    uint64_t known_[WORDS] = {};        // a bit for each tap there is
    size_t token_size_;                 // values of a token of the input
    std::vector<uint64_t> stage_ends_;  // the last tap of each stage
    uint64_t images_;                   // as the caller counts
    Window window_;                     // after what plan() fills
    Moments moments_;
    Aim aim_;
    Holds holds_;
    size_t now_ = 0;                // the phase of this cycle
    bool held_ = false;             // by what is aimed at
    uint64_t waiting_[WORDS] = {};  // taps whose value was not taken in the last cycle
    bool output_waits_ = false;
    unsigned waiting_flags_ = 0;
    uint8_t nothing_[VALUES_MAX * LANES];  // the input while nothing is offered
    bool frame_early_ = false, frame_late_ = false;
    bool stop_ = false, hung_ = false;
    Faults faults_;
    uint64_t last_output_ = NEVER, last_input_ = NEVER, intervals_seen_ = 0;
    uint64_t first_latency_ = NEVER, first_output_latency_ = NEVER;
    Histogram intervals_, input_intervals_, latencies_;
    Progress progress_;
    Design dut_;
};

}  // namespace

int main(int argc, char** argv) {
    divert_output();
    Simulation(Options(argc, argv)).run();
    return 0;
}
