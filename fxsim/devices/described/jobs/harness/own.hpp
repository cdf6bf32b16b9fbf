// RAMs inside the design: the harness writes inputs, and reads outputs, through the design's port.

#ifndef FXSIM_JOBS_OWN_HPP
#define FXSIM_JOBS_OWN_HPP

#include "shared.hpp"

#include <functional>

namespace cosim {

class OwnRams {
  public:
    // `take`: a word of an output that was read, of which all lanes are what was put there before or not.
    using Take = std::function<void(const Region&, uint64_t word, const uint8_t* slots, bool untouched)>;

    OwnRams(Shared& shared, const Options& options, Take take)
        : shared_(shared),
          dut_(shared.dut),
          write_stall_(options.numbers("input_stall"), 3),
          read_stall_(options.numbers("output_stall"), 4),
          take_(std::move(take)),
          seed_(options.number("power_on_seed") << 8),
          reads_(OWN_RAMS.size()) {}

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

    void read() {
        for (size_t i = 0; i < REGIONS.size(); ++i) {
            const Region& region = REGIONS[i];
            if (region.own == NEVER || region.role != Role::OUTPUT) continue;
            for (uint64_t word = 0; word < region.words; ++word) accesses_.push_back({false, i, word});
        }
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
        if (access.write ? write_stall_() : read_stall_()) {
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

    // The word that a port shows in this cycle.
    void take(const Read& read) {
        const Region& region = REGIONS[read.region];
        const OwnRam& port = OWN_RAMS[region.own];
        const uint8_t* word = bytes_of(dut_->own_rdata) + port.offset;
        std::vector<uint8_t> slots(region.shape.stride()), before(port.word_bytes), lanes(slots.size());
        region.decode(word, slots.data());
        put(region, read.region, read.word, before.data());
        region.decode(before.data(), lanes.data());
        const size_t bytes = lanes_of(region.shape, read.word) * region.shape.slot;
        const bool untouched = port.writes && std::memcmp(slots.data(), lanes.data(), bytes) == 0;
        take_(region, read.word, slots.data(), untouched);
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
    bool driving_ = false, set_up_ = false;
};

}  // namespace cosim

#endif
