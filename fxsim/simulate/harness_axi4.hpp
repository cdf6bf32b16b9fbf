// A memory behind an AXI4 master: its read channels (AR, R) and its write channels (AW, W, B), with the rules that the
// design must keep, latencies, stalls, and bursts of different ids in any order.
//
// A Port reaches the design's signals. What lies in the memory is the harness's business: a Store.

#ifndef FXSIM_HARNESS_AXI4_HPP
#define FXSIM_HARNESS_AXI4_HPP

#include "harness_axi.hpp"

#include <utility>

namespace cosim {

constexpr uint64_t PAGE = 4096;         // no burst crosses such a boundary
constexpr size_t OUTSTANDING_MAX = 32;  // bursts that the memory takes in on each side

// How a memory behaves, and where it says what is wrong.
struct MemoryConditions {
    Design& dut;
    Log& log;
    Random& random;
    bool& held_back;  // set where the memory waits: not moving proves nothing
    uint64_t latency;
    bool disordered;  // reads of different ids in any order, after different times
    bool particular;  // addresses and data of writes wait for each other; answers of different ids in any order
    bool waits;       // ready waits for valid
    bool whole;       // every beat is as wide as the data, and every address a multiple of that
};

// What the design offers on AW or AR.
struct Request {
    uint64_t id, address;
    unsigned beats, size, burst, lock, cache, prot;

    std::array<uint64_t, 8> payload() const { return {id, address, beats, size, burst, lock, cache, prot}; }
    std::string text() const {
        static const char* const kinds[] = {"FIXED, ", "", "WRAP, ", "burst 3, "};
        return kinds[burst & 3] + hex(address) + ", " + std::to_string(beats) + " beats";
    }
};

constexpr unsigned FIXED = 0, INCR = 1, WRAP = 2;

// A burst's next beat: its first byte, and the bytes from there on to the next multiple of its size.
struct Burst {
    uint64_t id, address;
    unsigned size;   // log2 of a beat's bytes
    unsigned left;   // beats
    uint64_t start;  // address of the burst
    unsigned kind, beats;

    explicit Burst(const Request& request)
        : id(request.id),
          address(request.address),
          size(request.size),
          left(request.beats),
          start(request.address),
          kind(request.burst),
          beats(request.beats) {}
    uint64_t end() const { return ((address >> size) + 1) << size; }
    void advance() {
        const uint64_t next = end();
        --left;
        if (kind == INCR) address = next;
        if (kind == WRAP) address = next == first() + bytes() ? first() : next;
    }
    // Where all of its beats lie: the lowest address, and one that is above all.
    uint64_t first() const { return kind == WRAP ? start / bytes() * bytes() : start; }
    uint64_t last() const {
        const uint64_t beat = start >> size << size;
        return kind == WRAP ? first() + bytes() : beat + (kind == FIXED ? uint64_t{1} << size : bytes());
    }

  private:
    uint64_t bytes() const { return uint64_t(beats) << size; }
};

// False where the burst cannot be followed. `bytes`: of the data; `awake`: whether a request may come.
inline bool check_burst(const MemoryConditions& memory, const char* channel, const Request& request, size_t bytes,
                        bool awake) {
    Log& log = memory.log;
    const uint64_t beat = uint64_t{1} << request.size;
    const std::string wide = std::to_string(bytes);
    const bool wraps = request.beats == 2 || request.beats == 4 || request.beats == 8 || request.beats == 16;
    if (!awake) log.fatal("request without a job", channel, request.text());
    else if (memory.whole && beat != bytes)
        log.fatal("burst with other beats than of " + wide + " bytes", channel, request.text());
    else if (beat > bytes) log.fatal("burst with beats of more than " + wide + " bytes", channel, request.text());
    else if (memory.whole && request.burst != INCR) log.fatal("burst that is not INCR", channel, request.text());
    else if (request.burst > WRAP) log.fatal("burst of a kind that is none", channel, request.text());
    else if (request.burst == FIXED && request.beats > 16)
        log.fatal("FIXED burst of more than 16 beats", channel, request.text());
    else if (request.burst == WRAP && !wraps)
        log.fatal("WRAP burst of other than 2, 4, 8 or 16 beats", channel, request.text());
    else if (request.burst == WRAP && request.address % beat != 0)
        log.fatal("WRAP burst from within a beat", channel, request.text());
    else if (memory.whole && request.address % bytes != 0)
        log.fatal("address is no multiple of " + wide, channel, request.text());
    else if (request.burst == INCR && request.address / beat * beat % PAGE + beat * request.beats > PAGE)
        log.fatal("burst crosses 4 KiB", channel, request.text());
    if (request.lock != 0) log.fault("locked access", channel, request.text());
    return !log.stop;
}

// Whether a burst is the oldest of its id: those of one id are answered in order.
template <typename Bursts>
bool is_first(const Bursts& bursts, size_t at) {
    for (size_t i = 0; i < at; ++i)
        if (bursts[i].id == bursts[at].id) return false;
    return true;
}

// AXI: valid does not wait for ready.
template <typename SetReady, typename Valid>
void check_unwaited(const MemoryConditions& memory, const char* channel, SetReady set_ready, Valid valid) {
    set_ready(false);
    memory.dut->eval();
    if (!valid()) memory.log.fault("valid waits for ready", channel);
    set_ready(true);
    memory.dut->eval();
}

// AR and R. A Store has, of reads, a type Read (a Burst and more), and
//   bool awake()                                 whether a request may come
//   bool begin(Read&)                            takes a burst in; false where it is none that can be answered
//   unsigned give(const Read&, uint8_t* data)    the next beat's data and response
//   void taken(Read&, unsigned response)         the next beat was taken
template <typename Port, typename Store>
class ReadChannels {
  public:
    using Read = typename Store::Read;

    ReadChannels(const MemoryConditions& memory, Port port, Store& store, Stall address_stall, Stall data_stall)
        : memory_(memory), port_(port), store_(store), address_stall_(address_stall), data_stall_(data_stall) {}

    void reset() {
        port_.rest();
        bursts_.clear();
        offer_.reset();
        reading_ = NONE;
    }
    // Ready is anything during a reset.
    void scramble() { port_.set_ready(memory_.random.below(2) && !memory_.waits); }

    const std::deque<Read>& bursts() const { return bursts_; }
    bool under_way() const { return !bursts_.empty(); }
    bool offering() const { return reading_ != NONE; }
    bool owes() const { return under_way() && !offering(); }
    uint64_t beats() const { return beats_; }

    // What has not ended, in words; empty where everything has.
    std::string waiting() const {
        if (bursts_.empty()) {
            if (!offer_.waits()) return "";
            return std::string(port_.address_name()) + ": a read from " + hex(port_.request().address) +
                   ", which is offered and not taken";
        }
        const Read& burst = bursts_[offering() ? reading_ : 0];
        return std::string(port_.address_name()) + ": a read from " + hex(burst.start) +
               (offering() ? ", of which a beat is offered and not taken" : ", which the memory is to answer");
    }

    void drive() {
        const bool address_stall = address_stall_() || (memory_.waits && !offer_.waits());
        port_.set_ready(!address_stall && bursts_.size() < OUTSTANDING_MAX);
        if (reading_ == NONE) {
            const bool stall = data_stall_();
            if (!stall) choose();
            if (reading_ == NONE) port_.rest();
            else offer();
        }
    }

    bool observe_address() {
        const bool valid = port_.valid();
        if (!valid && !offer_.waits()) return false;
        const Request request = port_.request();
        offer_.check(memory_.log, port_.address_name(), valid, port_.ready(), request.payload());
        if (!valid) return false;
        if (!port_.ready()) {
            memory_.held_back = true;
            return false;
        }
        if (!check_burst(memory_, port_.address_name(), request, port_.bytes(), store_.awake())) return true;
        Read burst{request};
        burst.accepted = memory_.dut.cycle();
        burst.due = burst.accepted + memory_.latency;
        // Memories differ in how long each access takes.
        if (memory_.disordered) burst.due += memory_.random.below(memory_.latency + 1);
        if (!store_.begin(burst)) return true;
        if (!memory_.log.stop) bursts_.push_back(std::move(burst));
        check_unwaited(
            memory_, port_.address_name(), [&](bool ready) { port_.set_ready(ready); }, [&] { return port_.valid(); });
        return true;
    }

    bool observe_data() {
        if (reading_ == NONE) {
            memory_.held_back |= under_way();
            return false;
        }
        if (!port_.data_ready()) return false;
        Read& burst = bursts_[reading_];
        ++beats_;
        store_.taken(burst, response_);
        burst.advance();
        if (burst.left == 0) bursts_.erase(bursts_.begin() + long(reading_));
        reading_ = NONE;
        return true;
    }

  private:
    static constexpr size_t NONE = ~size_t{0};

    // The burst whose beat comes next: the oldest, or any of different ids that are due.
    void choose() {
        ready_.clear();
        const size_t count = memory_.disordered ? bursts_.size() : std::min<size_t>(bursts_.size(), 1);
        for (size_t i = 0; i < count; ++i)
            if (bursts_[i].due <= memory_.dut.cycle() && is_first(bursts_, i)) ready_.push_back(i);
        if (ready_.empty()) return;
        std::sort(ready_.begin(), ready_.end(), [&](size_t a, size_t b) { return bursts_[a].id < bursts_[b].id; });
        reading_ = ready_[ready_.size() == 1 ? 0 : memory_.random.below(ready_.size())];
    }

    void offer() {
        const Read& burst = bursts_[reading_];
        response_ = store_.give(burst, port_.data());
        port_.give(burst.id, response_, burst.left == 1);
    }

    MemoryConditions memory_;
    Port port_;
    Store& store_;
    Stall address_stall_, data_stall_;
    Offer<8> offer_;
    std::deque<Read> bursts_;    // those of an id answer in this order
    std::vector<size_t> ready_;  // bursts that may give a beat
    size_t reading_ = NONE;      // the one whose beat is offered
    unsigned response_ = 0;
    uint64_t beats_ = 0;
};

// A read that a Store takes in.
struct ReadBurst : Burst {
    explicit ReadBurst(const Request& request) : Burst(request) {}
    uint64_t accepted = 0, due = 0;
};

// AW, W and B. A Store has, of writes, a type Write (a Burst and more), and
//   bool awake()                           whether a request may come
//   bool begin(Write&)                     takes a burst in; false where it is none that can be followed
//   void data()                            data have come
//   void put(Write&, const WriteBeat&)     the next beat of a burst
//   bool holds(const Write&)               whether its answer must not come yet
//   unsigned response(const Write&)
//   void answered(Write&)                  the answer was taken
template <typename Port, typename Store>
class WriteChannels {
  public:
    using Write = typename Store::Write;
    using Beat = typename Port::Beat;

    WriteChannels(const MemoryConditions& memory, Port port, Store& store, Stall address_stall, Stall data_stall,
                  Stall response_stall)
        : memory_(memory),
          port_(port),
          store_(store),
          address_stall_(address_stall),
          data_stall_(data_stall),
          response_stall_(response_stall) {}

    void reset() {
        port_.rest();
        address_.reset();
        data_.reset();
        bursts_.clear();
        early_.clear();
        responses_.clear();
        answering_ = NONE;
    }
    void scramble() {
        port_.set_ready(memory_.random.below(2) && !memory_.waits);
        port_.set_data_ready(memory_.random.below(2) && !memory_.waits);
    }

    bool under_way() const { return !bursts_.empty() || !early_.empty() || !responses_.empty(); }
    bool owes() const { return !responses_.empty() && answering_ == NONE; }
    uint64_t beats() const { return beats_; }

    // What has not ended, in words; empty where everything has.
    std::string waiting() const {
        const std::string address = port_.address_name(), data = port_.data_name();
        if (answering_ != NONE)
            return address + ": a write to " + hex(responses_[answering_].start) + ", whose answer is not taken";
        if (!bursts_.empty())
            return address + ": a write to " + hex(bursts_.front().start) + ", of which " +
                   std::to_string(bursts_.front().left) + " beats have not come";
        if (data_.waits())
            return data + ": a beat that is offered and not taken" +
                   (data_starves_ ? ": the memory waits for its address" : "");
        if (!early_.empty()) return data + ": " + std::to_string(early_.size()) + " beats whose address has not come";
        if (address_.waits())
            return address + ": a write to " + hex(port_.request().address) + ", which is offered and not taken" +
                   (address_starves_ ? ": the memory waits for its data" : "");
        if (responses_.empty()) return "";
        return address + ": a write to " + hex(responses_.front().start) + ", which the memory is to answer";
    }

    void drive() {
        // A memory may wait for a write's data before it takes the address, or the other way round.
        const bool address_stall = address_stall_() || bursts_.size() + responses_.size() >= OUTSTANDING_MAX;
        const bool data_stall = data_stall_() || early_.size() >= OUTSTANDING_MAX;
        address_starves_ = !address_stall && address_waits_ && !data_seen_ && early_.empty();
        data_starves_ = !data_stall && data_waits_ && !address_seen_ && bursts_.empty();
        port_.set_ready(!address_stall && !address_starves_ && (!memory_.waits || address_.waits()));
        port_.set_data_ready(!data_stall && !data_starves_ && (!memory_.waits || data_.waits()));
        if (answering_ == NONE) {
            choose();
            if (answering_ == NONE) port_.rest();
            else port_.answer(responses_[answering_].id, store_.response(responses_[answering_]));
        }
    }

    bool observe_address() {
        const bool valid = port_.valid();
        address_seen_ = valid;
        if (!valid && !address_.waits()) return false;
        const Request request = port_.request();
        address_.check(memory_.log, port_.address_name(), valid, port_.ready(), request.payload());
        if (!valid) return false;
        if (!port_.ready()) {
            // The data that the memory waits for is the design's to give.
            memory_.held_back |= !address_starves_;
            return false;
        }
        if (!check_burst(memory_, port_.address_name(), request, port_.bytes(), store_.awake())) return true;
        Write burst{request};
        if (!store_.begin(burst)) return true;
        bursts_.push_back(std::move(burst));
        address_waits_ = memory_.particular && memory_.random.below(2) == 0;
        check_unwaited(
            memory_, port_.address_name(), [&](bool ready) { port_.set_ready(ready); }, [&] { return port_.valid(); });
        match();
        return true;
    }

    bool observe_data() {
        const bool valid = port_.data_valid();
        data_seen_ = valid;
        if (!valid && !data_.waits()) return false;
        const Beat beat = port_.beat();
        data_.check(memory_.log, port_.data_name(), valid, port_.data_ready(), beat.payload());
        if (!valid) return false;
        if (!port_.data_ready()) {
            memory_.held_back |= !data_starves_;
            return false;
        }
        if (!store_.awake()) memory_.log.fatal("write data without a job", port_.data_name());
        ++beats_;
        store_.data();
        early_.push_back(beat);
        data_waits_ = memory_.particular && memory_.random.below(2) == 0;
        check_unwaited(
            memory_, port_.data_name(), [&](bool ready) { port_.set_data_ready(ready); },
            [&] { return port_.data_valid(); });
        match();
        return true;
    }

    bool observe_response() {
        if (answering_ == NONE) {
            memory_.held_back |= !responses_.empty();
            return false;
        }
        if (!port_.answer_ready()) return false;
        Write burst = std::move(responses_[answering_]);
        responses_.erase(responses_.begin() + long(answering_));
        answering_ = NONE;
        store_.answered(burst);
        return true;
    }

    Object& describe(Object& object) const {
        return object.flag("answer", answering_ != NONE)
            .flag("address_starves", address_starves_ && address_.waits())
            .flag("data_starves", data_starves_ && data_.waits())
            .number("writes", bursts_.size())
            .number("responses", responses_.size());
    }

  private:
    static constexpr size_t NONE = ~size_t{0};

    // The answer that comes next: the oldest, or any of different ids that are due.
    void choose() {
        ready_.clear();
        const size_t count = memory_.particular ? responses_.size() : std::min<size_t>(responses_.size(), 1);
        for (size_t i = 0; i < count; ++i)
            if (responses_[i].due <= memory_.dut.cycle() && !store_.holds(responses_[i]) && is_first(responses_, i))
                ready_.push_back(i);
        if (ready_.empty() || response_stall_()) return;
        answering_ = ready_[ready_.size() == 1 ? 0 : memory_.random.below(ready_.size())];
    }

    // Data may come before its address.
    void match() {
        while (!bursts_.empty() && !early_.empty() && !memory_.log.stop) {
            Write& burst = bursts_.front();
            const Beat beat = early_.front();
            early_.pop_front();
            if (beat.last != (burst.left == 1))
                memory_.log.fatal(beat.last ? "wlast too early" : "wlast missing", port_.data_name(), hex(burst.start));
            store_.put(burst, beat);
            burst.advance();
            if (burst.left != 0) continue;
            burst.due = memory_.dut.cycle() + memory_.latency;
            burst.complete = memory_.dut.cycle();
            responses_.push_back(std::move(burst));
            bursts_.pop_front();
        }
    }

    MemoryConditions memory_;
    Port port_;
    Store& store_;
    Stall address_stall_, data_stall_, response_stall_;
    Offer<8> address_;
    Offer<Beat::PAYLOAD> data_;
    std::deque<Write> bursts_;     // whose data is not complete
    std::deque<Beat> early_;       // data whose address has not come
    std::deque<Write> responses_;  // to be answered, those of an id in this order
    std::vector<size_t> ready_;    // those that may be
    size_t answering_ = NONE;
    bool address_waits_ = false, data_waits_ = false;      // whether the memory waits for the other this time
    bool address_starves_ = false, data_starves_ = false;  // and does in this cycle
    bool address_seen_ = false, data_seen_ = false;        // offered in the last cycle
    uint64_t beats_ = 0;
};

// A write that a Store takes in.
struct WriteBurst : Burst {
    explicit WriteBurst(const Request& request) : Burst(request) {}
    uint64_t complete = 0, due = 0;  // cycle of its last beat; of its answer at the earliest
};

// A beat of write data of at most so many bytes.
template <size_t BYTES>
struct WriteBeat {
    static constexpr size_t PAYLOAD = (BYTES + 7) / 8 + (BYTES + 63) / 64 + 1;
    std::array<uint8_t, (BYTES + 7) / 8 * 8> data;
    std::array<uint8_t, (BYTES + 63) / 64 * 8> strobes;  // a bit a byte
    bool last;

    bool strobe(size_t byte) const { return strobes[byte / 8] >> byte % 8 & 1; }
    std::array<uint64_t, PAYLOAD> payload() const {
        std::array<uint64_t, PAYLOAD> words{};
        std::memcpy(words.data(), data.data(), data.size());
        std::memcpy(words.data() + data.size() / 8, strobes.data(), strobes.size());
        words.back() = last;
        return words;
    }
};

}  // namespace cosim

#endif
