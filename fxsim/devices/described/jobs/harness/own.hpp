// RAMs inside the design: the harness writes inputs, and reads outputs, through the design's port.

#ifndef FXSIM_JOBS_OWN_HPP
#define FXSIM_JOBS_OWN_HPP

#include "late.hpp"
#include "shared.hpp"

namespace cosim {

class OwnRams {
  public:
    // `take`: a word of an output that was read: whether all lanes are what was put there before, and whether it is not
    // what it was when the job was done, or becomes something else afterwards.
    using Take = std::function<void(const Region&, uint64_t word, const uint8_t* slots, bool untouched, bool late)>;

    OwnRams(Shared& shared, const Options& options, Take take)
        : shared_(shared),
          dut_(shared.dut),
          write_stall_(options.numbers("input_stall"), 3),
          read_stall_(options.numbers("output_stall"), 4),
          take_(std::move(take)),
          seed_(options.number("power_on_seed") << 8),
          reads_(OWN_RAMS.size()) {
        for (size_t i = 0; i < REGIONS.size(); ++i) {
            if (REGIONS[i].own == NEVER || REGIONS[i].role != Role::OUTPUT) continue;
            firsts_[i] = outputs_.size();
            for (uint64_t word = 0; word < REGIONS[i].words; ++word) {
                outputs_.push_back({false, i, word});
                slots_ = std::max(slots_, REGIONS[i].shape.stride());
            }
        }
        found_ = std::make_unique<SharedBytes>(2 * outputs_.size() * slots_);
    }

    bool idle() const {
        return accesses_.empty() &&
               std::all_of(reads_.begin(), reads_.end(), [](const auto& reads) { return reads.empty(); });
    }

    void reset() {
        accesses_.clear();
        for (auto& reads : reads_) reads.clear();
        set_up_ = false;
    }

    // Before a job: parameters once after a reset, outputs overwritten, so that what stays there is wrong, and inputs.
    void load(const std::vector<size_t>& offsets) {
        offsets_ = &offsets;
        for (const Role role : {Role::PARAMETER, Role::OUTPUT, Role::INPUT})
            for (size_t i = 0; i < REGIONS.size(); ++i) {
                const Region& region = REGIONS[i];
                if (region.own == NEVER || region.role != role || !OWN_RAMS[region.own].writes) continue;
                if (role == Role::PARAMETER && set_up_) continue;
                for (uint64_t word = 0; word < region.words; ++word) accesses_.push_back({true, i, word});
            }
        set_up_ = true;
    }

    // In the cycle after done, before anything is driven. `cycle` carries out one.
    void read(const std::function<void()>& cycle) {
        looked_ = !outputs_.empty() && (jobs_ < LOOKED_AT || jobs_ % LOOKED_AT == 0);
        if (looked_) look(cycle);
        ++jobs_;
        accesses_.insert(accesses_.end(), outputs_.begin(), outputs_.end());
    }

    void drive() {
        for (size_t i = 0; i < OWN_RAMS.size(); ++i) {
            set_bit(dut_->own_enable, i, false);
            set_bit(dut_->own_write, i, false);
            // What nobody may look at.
            const uint64_t address = OWN_RAMS[i].unit * shared_.memories.below(OWN_RAMS[i].words);
            std::memcpy(bytes_of(dut_->own_address) + 8 * i, &address, 8);
            shared_.memories.scramble(bytes_of(dut_->own_wdata) + OWN_RAMS[i].offset, OWN_RAMS[i].word_bytes);
        }
        driving_ = false;
        if (accesses_.empty()) return;
        const Access& access = accesses_.front();
        if (copy_ == nullptr && (access.write ? write_stall_() : read_stall_())) {
            shared_.held_back = true;
            return;
        }
        driving_ = true;
        const Region& region = REGIONS[access.region];
        const OwnRam& port = OWN_RAMS[region.own];
        const uint64_t address = (region.at + access.word) * port.unit;
        set_bit(dut_->own_enable, region.own, true);
        set_bit(dut_->own_write, region.own, access.write);
        std::memcpy(bytes_of(dut_->own_address) + 8 * region.own, &address, 8);
        if (access.write) put(region, access.region, access.word, bytes_of(dut_->own_wdata) + port.offset);
    }

    // Returns whether there was an access.
    bool observe() {
        if (driving_) {
            const Access access = accesses_.front();
            accesses_.pop_front();
            const size_t own = REGIONS[access.region].own;
            if (!access.write)
                reads_[own].push_back({dut_.cycle() + OWN_RAMS[own].latency, access.region, access.word});
        }
        for (auto& reads : reads_) {
            if (reads.empty() || reads.front().due != dut_.cycle()) continue;
            const Read read = reads.front();
            reads.pop_front();
            take(read);
        }
        return driving_;
    }

  private:
    // Copies of the process for the first job and for others: each reads a word first, and others behind it.
    static constexpr size_t COPIES_FIRST = 1024, COPIES = 64;
    // Jobs that are looked at: so many at first, and then one in so many.
    static constexpr uint64_t LOOKED_AT = 16;
    // Cycles after the words have been read in which none may change; the next job may start any time later.
    static constexpr uint64_t PAUSE = 64;

    struct Access {
        bool write;
        size_t region;
        uint64_t word;
    };
    struct Read {
        uint64_t due;
        size_t region;
        uint64_t word;
    };

    // Each copy of the process reads some words, another one first in every job; one more reads all after a pause.
    void look(const std::function<void()>& cycle) {
        const size_t count = outputs_.size(), copies = std::min(count, jobs_ == 0 ? COPIES_FIRST : COPIES);
        const uint64_t turn = jobs_ + LOOKED_AT * (seed_ >> 8);
        Copies::run(copies + 1, [&](size_t copy) {
            dut_.leave_wave();
            const bool last = copy == copies;
            const size_t from = last ? 0 : copy * count / copies, to = last ? count : (copy + 1) * count / copies;
            for (size_t i = 0; i < to - from; ++i) accesses_.push_back(outputs_[from + (i + turn) % (to - from)]);
            copy_ = found_->at(last ? count * slots_ : 0);
            if (last) {
                std::deque<Access> later;
                later.swap(accesses_);
                for (uint64_t i = 0; i < count + PAUSE; ++i) cycle();
                later.swap(accesses_);
            }
            while (!idle()) cycle();
        });
    }

    // The word that a port shows in this cycle.
    void take(const Read& read) {
        const Region& region = REGIONS[read.region];
        const OwnRam& port = OWN_RAMS[region.own];
        const uint8_t* word = bytes_of(dut_->own_rdata) + port.offset;
        std::vector<uint8_t> slots(region.shape.stride()), before(port.word_bytes), lanes(slots.size());
        region.decode(word, slots.data());
        const size_t place = (firsts_[read.region] + read.word) * slots_;
        const size_t bytes = lanes_of(region.shape, read.word) * region.shape.slot;
        if (copy_ != nullptr) {
            std::memcpy(copy_ + place, slots.data(), bytes);
            return;
        }
        put(region, read.region, read.word, before.data());
        region.decode(before.data(), lanes.data());
        const bool untouched = port.writes && std::memcmp(slots.data(), lanes.data(), bytes) == 0;
        const size_t again = outputs_.size() * slots_ + place;
        const bool late = looked_ && (std::memcmp(slots.data(), found_->at(place), bytes) != 0 ||
                                      std::memcmp(slots.data(), found_->at(again), bytes) != 0);
        take_(region, read.word, slots.data(), untouched, late);
    }

    // The word that is written to a region before a job; of an output one whose every value is wrong.
    void put(const Region& region, size_t number, uint64_t word, uint8_t* to) {
        if (region.role == Role::PARAMETER) {
            std::vector<uint8_t>& words = parameters_[number];
            if (words.empty()) words = read_file(region.file, region.words * region.word_bytes);
            std::memcpy(to, words.data() + word * region.word_bytes, region.word_bytes);
            return;
        }
        const uint8_t* image = shared_.window.bytes(shared_.image, (*offsets_)[number]);
        std::vector<uint8_t> slots(image + word * region.shape.stride(), image + (word + 1) * region.shape.stride());
        if (region.role == Role::OUTPUT) {
            Random random(seed_ ^ (shared_.image << 40 | uint64_t(number) << 32 | word));
            const uint32_t values = region.bits == 32 ? ~uint32_t{0} : (uint32_t{1} << region.bits) - 1;
            for (size_t lane = 0; lane < region.shape.lanes; ++lane) {
                const uint32_t change = 1 + uint32_t(random.below(values));
                for (size_t i = 0; i < region.shape.slot; ++i)
                    slots[lane * region.shape.slot + i] ^= uint8_t(change >> (8 * i));
            }
        }
        region.encode(word, slots.data(), to);
    }

    Shared& shared_;
    Design& dut_;
    Stall write_stall_, read_stall_;
    Take take_;
    uint64_t seed_;
    const std::vector<size_t>* offsets_ = nullptr;  // of each region's values in an image's bytes
    std::deque<Access> accesses_;
    std::vector<std::deque<Read>> reads_;  // of each port, which answers in order
    std::map<size_t, std::vector<uint8_t>> parameters_;
    std::vector<Access> outputs_;         // all words of outputs
    std::map<size_t, size_t> firsts_;     // of each region's words among them
    size_t slots_ = 0;                    // bytes of a word's values
    std::unique_ptr<SharedBytes> found_;  // each word's values in the cycle after done, then those after a pause
    uint8_t* copy_ = nullptr;             // in a copy of the process: where it leaves values
    uint64_t jobs_ = 0;
    bool looked_ = false;
    bool driving_ = false, set_up_ = false;
};

}  // namespace cosim

#endif
