// AXI4 masters of the design, and the memories of the harness behind them.

#ifndef FXSIM_JOBS_AXI4_HPP
#define FXSIM_JOBS_AXI4_HPP

#include "harness_axi4.hpp"
#include "shared.hpp"

#include <memory>

namespace cosim {

constexpr size_t AXI4_BYTES_MAX = 128;
constexpr unsigned DECERR = 3;  // the answer of a bus where there is nothing at an address

// The slots of a master in the wrapper's ports.
struct Slots {
    Design& dut;
    size_t i;
    const Axi4Port& port;

    Slots(Design& design, size_t number) : dut(design), i(number), port(AXI4_PORTS[number]) {}

    template <typename Signal>
    uint64_t get(const Signal& signal, size_t bytes) const {
        uint64_t value = 0;
        std::memcpy(&value, bytes_of(signal) + bytes * i, bytes);
        return value;
    }
    template <typename Signal>
    void set(Signal& signal, size_t bytes, uint64_t value) {
        std::memcpy(bytes_of(signal) + bytes * i, &value, bytes);
    }
};

class MasterReadPort {
  public:
    MasterReadPort(Shared& shared, size_t number) : shared_(shared), dut_(shared.dut), at_(shared.dut, number) {}
    size_t bytes() const { return at_.port.bytes; }
    const char* address_name() const { return at_.port.ar; }

    bool valid() const { return at_.get(dut_->axi4_arvalid, 1) != 0; }
    bool ready() const { return at_.get(dut_->axi4_arready, 1) != 0; }
    void set_ready(bool ready) { at_.set(dut_->axi4_arready, 1, ready); }
    Request request() const {
        return {at_.get(dut_->axi4_arid, 4),
                at_.get(dut_->axi4_araddr, 8),
                unsigned(at_.get(dut_->axi4_arlen, 1)) + 1,
                unsigned(at_.get(dut_->axi4_arsize, 1)),
                unsigned(at_.get(dut_->axi4_arburst, 1)),
                unsigned(at_.get(dut_->axi4_arlock, 1)),
                unsigned(at_.get(dut_->axi4_arcache, 1)),
                unsigned(at_.get(dut_->axi4_arprot, 1))};
    }

    uint8_t* data() { return bytes_of(dut_->axi4_rdata) + at_.port.offset; }
    bool data_ready() const { return at_.get(dut_->axi4_rready, 1) != 0; }
    void give(uint64_t id, unsigned response, bool last) { set(1, id, response, last); }
    // What no design may look at.
    void rest() {
        shared_.memories.scramble(data(), bytes());
        set(0, shared_.random.next(), 3, true);
    }

  private:
    void set(bool valid, uint64_t id, unsigned response, bool last) {
        at_.set(dut_->axi4_rvalid, 1, valid);
        at_.set(dut_->axi4_rid, 4, id);
        at_.set(dut_->axi4_rresp, 1, response);
        at_.set(dut_->axi4_rlast, 1, last);
    }

    Shared& shared_;
    Design& dut_;
    Slots at_;
};

class MasterWritePort {
  public:
    using Beat = WriteBeat<AXI4_BYTES_MAX>;

    MasterWritePort(Shared& shared, size_t number) : shared_(shared), dut_(shared.dut), at_(shared.dut, number) {}
    size_t bytes() const { return at_.port.bytes; }
    const char* address_name() const { return at_.port.aw; }
    const char* data_name() const { return at_.port.w; }

    bool valid() const { return at_.get(dut_->axi4_awvalid, 1) != 0; }
    bool ready() const { return at_.get(dut_->axi4_awready, 1) != 0; }
    void set_ready(bool ready) { at_.set(dut_->axi4_awready, 1, ready); }
    Request request() const {
        return {at_.get(dut_->axi4_awid, 4),
                at_.get(dut_->axi4_awaddr, 8),
                unsigned(at_.get(dut_->axi4_awlen, 1)) + 1,
                unsigned(at_.get(dut_->axi4_awsize, 1)),
                unsigned(at_.get(dut_->axi4_awburst, 1)),
                unsigned(at_.get(dut_->axi4_awlock, 1)),
                unsigned(at_.get(dut_->axi4_awcache, 1)),
                unsigned(at_.get(dut_->axi4_awprot, 1))};
    }

    bool data_valid() const { return at_.get(dut_->axi4_wvalid, 1) != 0; }
    bool data_ready() const { return at_.get(dut_->axi4_wready, 1) != 0; }
    void set_data_ready(bool ready) { at_.set(dut_->axi4_wready, 1, ready); }
    Beat beat() const {
        Beat beat{};
        std::memcpy(beat.data.data(), bytes_of(dut_->axi4_wdata) + at_.port.offset, bytes());
        for (size_t k = 0; k < bytes(); ++k)
            if (bit_of(dut_->axi4_wstrb, at_.port.offset + k)) beat.strobes[k / 8] |= uint8_t(1u << (k % 8));
        beat.last = at_.get(dut_->axi4_wlast, 1) != 0;
        return beat;
    }

    bool answer_ready() const { return at_.get(dut_->axi4_bready, 1) != 0; }
    void answer(uint64_t id, unsigned response) { set(1, id, response); }
    // What no design may look at.
    void rest() { set(0, shared_.random.next(), 3); }

  private:
    void set(bool valid, uint64_t id, unsigned response) {
        at_.set(dut_->axi4_bvalid, 1, valid);
        at_.set(dut_->axi4_bid, 4, id);
        at_.set(dut_->axi4_bresp, 1, response);
    }

    Shared& shared_;
    Design& dut_;
    Slots at_;
};

// Numbers of those who write: a port and an id, whose writes keep their order. All beyond 254 share one.
class Writers {
  public:
    uint8_t operator()(size_t port, uint64_t id) {
        return uint8_t(numbers_.try_emplace({port, id}, std::min<size_t>(numbers_.size() + 1, 255)).first->second);
    }

  private:
    std::map<std::pair<size_t, uint64_t>, size_t> numbers_;
};

// One master: what it reads is looked up, and what it writes is stored, byte by byte.
class Master {
  public:
    using Read = ReadBurst;
    struct Write : WriteBurst {
        using WriteBurst::WriteBurst;
        uint8_t writer = 0;
        bool outside = false;  // a beat of it lay outside every region
    };

    Master(Shared& shared, Writers& writers, const Options& options, size_t number)
        : shared_(shared),
          dut_(shared.dut),
          memories_(shared.memories),
          writers_(writers),
          number_(number),
          port_(AXI4_PORTS[number]),
          reads_(conditions(options), MasterReadPort(shared, number), *this, stall(options, "input_stall", 1),
                 stall(options, "input_stall", 2)),
          writes_(conditions(options), MasterWritePort(shared, number), *this, stall(options, "output_stall", 3),
                  stall(options, "output_stall", 4), stall(options, "output_stall", 5)) {}

    void reset() {
        reads_.reset();
        writes_.reset();
    }
    void rest() {
        reads_.scramble();
        writes_.scramble();
    }
    void drive() {
        if (port_.reads) reads_.drive();
        if (port_.writes) writes_.drive();
    }
    bool observe() {
        bool moved = false;
        if (port_.reads) {
            moved |= reads_.observe_address();
            moved |= reads_.observe_data();
        }
        if (port_.writes) {
            moved |= writes_.observe_address();
            moved |= writes_.observe_data();
            moved |= writes_.observe_response();
        }
        return moved;
    }

    std::string waiting() const {
        const std::string read = reads_.waiting(), write = writes_.waiting();
        return read + (read.empty() || write.empty() ? "" : "; ") + write;
    }

    // Fatal: they would go on into the next job, whose inputs are others.
    void check_done() {
        if (reads_.under_way()) shared_.fatal("done with transfers under way", port_.ar);
        if (writes_.under_way()) shared_.fatal("done with transfers under way", port_.aw);
    }
    void check_reset() {
        const MasterReadPort read(shared_, number_);
        const MasterWritePort write(shared_, number_);
        if (read.valid()) shared_.fault("valid set during reset", port_.ar);
        if (write.valid()) shared_.fault("valid set during reset", port_.aw);
        if (write.data_valid()) shared_.fault("valid set during reset", port_.w);
    }

    // What the design offers: AR, AW, W.
    std::array<bool, 3> offered() const {
        const MasterWritePort write(shared_, number_);
        return {MasterReadPort(shared_, number_).valid(), write.valid(), write.data_valid()};
    }
    std::array<const char*, 3> names() const { return {port_.ar, port_.aw, port_.w}; }
    void raise_ready() {
        MasterReadPort(shared_, number_).set_ready(true);
        MasterWritePort write(shared_, number_);
        write.set_ready(true);
        write.set_data_ready(true);
    }

    // -- Errors --

    void begin_job() {
        job_reads_ = job_writes_ = 0;
        failing_read_ = failing_write_ = NEVER;
        failed_ = false;
    }
    // Of a job without an error: the fewest beats that are read, and bursts that are written.
    void measure() {
        reads_of_job_ = std::min(reads_of_job_, job_reads_);
        writes_of_job_ = std::min(writes_of_job_, job_writes_);
    }
    uint64_t reads_of_job() const { return reads_of_job_ == NEVER ? 0 : reads_of_job_; }
    uint64_t writes_of_job() const { return writes_of_job_ == NEVER ? 0 : writes_of_job_; }
    // A beat that is read, or a burst that is written, is to be answered so.
    void fail(uint64_t read, uint64_t write, unsigned response) {
        failing_read_ = read;
        failing_write_ = write;
        error_ = response;
    }
    bool failed() const { return failed_; }

    // -- What the channels ask --

    bool awake() const { return shared_.running || shared_.setting_up; }
    // AXI has no order between what is read and what is written, but by the answer of a write.
    bool begin(Read& burst) {
        bool writing = false;
        for (Burst beat = burst; beat.left != 0; beat.advance())
            each_byte(beat,
                      [&](const Memories::Run& byte, size_t) { writing |= byte.count != 0 && *byte.writers != 0; });
        if (writing) shared_.fault("read of bytes that are being written", port_.ar, place(burst.address));
        return true;
    }
    bool begin(Write& burst) {
        burst.writer = writers_(number_, burst.id);
        return true;
    }

    // The bytes that nothing lies in are random, and so are those on other lanes.
    unsigned give(const Read& burst, uint8_t* data) {
        memories_.scramble(data, port_.bytes);
        if (job_reads_ == failing_read_) return error_;
        bool there = false, held = false, written = false;
        each_byte(burst, [&](const Memories::Run& byte, size_t lane) {
            if (byte.count == 0) return;
            there = true;
            if ((*byte.states & Memories::HELD) == 0) return;
            held = true;
            if (*byte.cycles >= burst.accepted) written = true;
            else data[lane] = *byte.bytes;
        });
        if (written) shared_.fault("read of bytes that are being written", port_.ar, place(burst.address));
        if (held) return 0;
        const char* kind = there ? "read of bytes that nothing was written to" : "read outside every region";
        if (port_.checked) shared_.fault(kind, port_.ar, place(burst.address));
        else shared_.note_odd_read(kind, port_.ar, place(burst.address));
        return port_.checked && !there ? DECERR : 0;
    }
    void taken(Read&, unsigned) { failed_ |= job_reads_++ == failing_read_; }

    void data() {}
    void put(Write& burst, const MasterWritePort::Beat& beat) {
        bool outside = false, forbidden = false, twice = false;
        MasterWritePort::Beat left = beat;
        each_byte(burst, [&](const Memories::Run& byte, size_t lane) {
            left.strobes[lane / 8] = uint8_t(left.strobes[lane / 8] & ~(1u << (lane % 8)));
            if (!beat.strobe(lane)) return;
            if (byte.count == 0) {
                outside = true;
            } else if ((*byte.states & Memories::WRITABLE) == 0) {
                forbidden = true;
            } else {
                twice |= *byte.writers != 0 && *byte.writers != burst.writer;
                *byte.bytes = beat.data[lane];
                *byte.states |= Memories::HELD | Memories::WRITTEN;
                *byte.cycles = dut_.cycle();
                *byte.writers = burst.writer;
            }
        });
        const std::string at = place(burst.address);
        if (outside) shared_.fault("write outside every region", port_.w, at);
        burst.outside |= outside;
        if (forbidden)
            shared_.fault(shared_.running ? "write into what is only read" : "write without a job", port_.w, at);
        if (twice) shared_.fault("two writes of a byte under way", port_.w, at);
        if (std::any_of(left.strobes.begin(), left.strobes.end(), [](uint8_t bits) { return bits != 0; }))
            shared_.fault("strobe outside of the beat", port_.w, at);
    }
    bool holds(const Write&) const { return false; }
    unsigned response(const Write& burst) const {
        return job_writes_ == failing_write_ ? error_ : burst.outside ? DECERR : 0;
    }
    void answered(Write& burst) {
        failed_ |= job_writes_++ == failing_write_;
        for (uint64_t address = burst.first(); address < burst.last();) {
            const Memories::Run run = memories_.run(port_.memory, address);
            const uint64_t count = run.count == 0 ? 1 : std::min(run.count, burst.last() - address);
            for (uint64_t k = 0; k < count && run.count != 0; ++k)
                if (run.writers[k] == burst.writer && run.cycles[k] <= burst.complete) run.writers[k] = 0;
            address += count;
        }
    }

  private:
    MemoryConditions conditions(const Options& options) {
        const bool disordered = options.numbers("input_stall").at(0) != 0;
        const bool particular = options.numbers("output_stall").at(0) != 0;
        const bool waits = options.number("ready_waits") != 0;
        return {dut_,       shared_.log, shared_.random, shared_.held_back, port_.latency, disordered,
                particular, waits,       false};
    }
    Stall stall(const Options& options, const char* side, uint64_t sequence) const {
        return Stall(options.numbers(side), 16 * (number_ + 1) + sequence);
    }
    std::string place(uint64_t address) const { return "address " + hex(address) + " of " + port_.memory_name; }

    // The bytes of a burst's next beat, each with its lane.
    template <typename Visit>
    void each_byte(const Burst& burst, Visit visit) {
        Memories::Run run;
        for (uint64_t address = burst.address; address != burst.end(); ++address) {
            if (run.count > 1) run = {run.bytes + 1, run.states + 1, run.cycles + 1, run.writers + 1, run.count - 1};
            else run = memories_.run(port_.memory, address);
            visit(run, address % port_.bytes);
        }
    }

    Shared& shared_;
    Design& dut_;
    Memories& memories_;
    Writers& writers_;
    size_t number_;
    const Axi4Port& port_;
    uint64_t job_reads_ = 0, job_writes_ = 0;                // beats and bursts that have ended
    uint64_t reads_of_job_ = NEVER, writes_of_job_ = NEVER;  // of every job so far
    uint64_t failing_read_ = NEVER, failing_write_ = NEVER;  // of this job
    unsigned error_ = 0;
    bool failed_ = false;
    ReadChannels<MasterReadPort, Master> reads_;
    WriteChannels<MasterWritePort, Master> writes_;
};

// All of them.
class Masters {
  public:
    Masters(Shared& shared, const Options& options)
        : shared_(shared), ready_waits_(options.number("ready_waits") != 0) {
        for (size_t i = 0; i < AXI4_PORTS.size(); ++i)
            masters_.push_back(std::make_unique<Master>(shared, writers_, options, i));
    }

    void reset() {
        shared_.memories.settle();
        for (auto& master : masters_) master->reset();
    }
    void rest() {
        for (auto& master : masters_) master->rest();
    }
    void drive() {
        for (auto& master : masters_) master->drive();
    }
    // Returns whether anything moved.
    bool observe() {
        bool moved = false;
        for (auto& master : masters_) moved |= master->observe();
        quiet_ = moved ? 0 : quiet_ + 1;
        return moved;
    }
    // Where nothing has long come while ready waited for valid: whether anything does, as soon, once ready is high.
    bool waits_for_ready() {
        if (!ready_waits_ || quiet_ < QUIET_MIN) return false;
        std::vector<std::array<bool, 3>> before;
        for (auto& master : masters_) before.push_back(master->offered());
        for (uint64_t i = 0; i < quiet_ && !waited_; ++i) {
            for (auto& master : masters_) master->raise_ready();
            shared_.dut.settle();
            for (size_t m = 0; m < masters_.size(); ++m)
                for (size_t k = 0; k < 3; ++k) {
                    if (!masters_[m]->offered()[k] || before[m][k]) continue;
                    shared_.fatal("valid waits for ready", masters_[m]->names()[k]);
                    waited_ = true;
                }
            shared_.dut.clock();
        }
        return waited_;
    }
    // Nothing that comes then means anything.
    bool waited() const { return waited_; }
    // What has not ended, in words, each with "; " before it.
    std::string waiting() const {
        std::string text;
        for (const auto& master : masters_)
            if (const std::string one = master->waiting(); !one.empty()) text += "; " + one;
        return text;
    }
    void check_done() {
        for (auto& master : masters_) master->check_done();
    }
    void begin_job() {
        for (auto& master : masters_) master->begin_job();
    }
    void measure() {
        for (auto& master : masters_) master->measure();
    }
    bool measured() const { return reads() + writes() != 0; }
    bool failed() const {
        return std::any_of(masters_.begin(), masters_.end(), [](const auto& master) { return master->failed(); });
    }
    // One of the transfers of the job that begins is answered SLVERR or DECERR.
    void fail(Random& random) {
        const bool write = reads() == 0 || (writes() != 0 && random.below(4) == 0);
        uint64_t at = random.below(write ? writes() : reads());
        for (auto& master : masters_) {
            const uint64_t own = write ? master->writes_of_job() : master->reads_of_job();
            if (at < own) {
                const unsigned response = 2 + unsigned(random.below(2));
                return master->fail(write ? NEVER : at, write ? at : NEVER, response);
            }
            at -= own;
        }
    }
    void check_reset() {
        shared_.note();
        for (auto& master : masters_) master->check_reset();
    }

  private:
    static constexpr uint64_t QUIET_MIN = 1000;

    uint64_t reads() const {
        uint64_t sum = 0;
        for (const auto& master : masters_) sum += master->reads_of_job();
        return sum;
    }
    uint64_t writes() const {
        uint64_t sum = 0;
        for (const auto& master : masters_) sum += master->writes_of_job();
        return sum;
    }

    Shared& shared_;
    bool ready_waits_, waited_ = false;
    uint64_t quiet_ = 0;  // cycles in which nothing has moved
    Writers writers_;
    std::vector<std::unique_ptr<Master>> masters_;
};

}  // namespace cosim

#endif
