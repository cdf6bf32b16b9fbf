// Ports of the design that lead to RAMs of the harness.

#ifndef FXSIM_JOBS_RAM_HPP
#define FXSIM_JOBS_RAM_HPP

#include "shared.hpp"

namespace cosim {

class Rams {
  public:
    explicit Rams(Shared& shared) : shared_(shared), dut_(shared.dut), memories_(shared.memories) {
        for (const RamPort& port : RAMS) {
            State state{std::vector<std::vector<uint8_t>>(std::max<size_t>(port.latency, 1)), 0};
            for (auto& word : state.stages) {
                word.resize(port.word_bytes);
                fill(port, word.data());
            }
            states_.push_back(std::move(state));
        }
        show();
    }

    // RAMs without a register: data follows the address within a cycle.
    void settle() {
        if (!COMBINATIONAL) return;
        dut_->eval();
        for (size_t i = 0; i < RAMS.size(); ++i) {
            if (RAMS[i].latency != 0 || !RAMS[i].reads) continue;
            states_[i].stages[0] = look_up(RAMS[i], address(i), false);
            put(i);
        }
    }

    // Accesses of this cycle. Returns whether there was any.
    bool observe() {
        bool moved = false;
        for (size_t i = 0; i < RAMS.size(); ++i) moved |= write(i);
        for (size_t i = 0; i < RAMS.size(); ++i) moved |= read(i);
        // Reads of this cycle have seen what was there before.
        for (const Write& write : writes_) store(write);
        writes_.clear();
        return moved;
    }

    // After the clock's edge: the data of the next cycle.
    void show() {
        for (size_t i = 0; i < RAMS.size(); ++i) {
            if (RAMS[i].latency == 0 || !RAMS[i].reads) continue;
            auto& stages = states_[i].stages;
            for (size_t k = stages.size(); k-- > 1;) stages[k] = stages[k - 1];
            if (!next_.empty() && !next_[i].empty()) stages[0] = next_[i];
            put(i);
        }
        next_.assign(RAMS.size(), {});
    }

  private:
    struct State {
        std::vector<std::vector<uint8_t>> stages;  // data on its way, [0] the youngest
        uint64_t address;
    };
    struct Write {
        size_t port;
        uint64_t cell;
        Memories::Cell at;
    };

    uint64_t address(size_t i) const {
        uint64_t value;
        std::memcpy(&value, bytes_of(dut_->ram_address) + 8 * i, 8);
        return value;
    }
    bool enabled(size_t i) const { return !RAMS[i].has_enable || bit_of(dut_->ram_enable, i); }
    bool strobe(size_t i, size_t byte) const { return bit_of(dut_->ram_strobe, RAMS[i].offset + byte); }
    bool writes(size_t i) const {
        if (!RAMS[i].writes || !enabled(i)) return false;
        for (size_t k = 0; k < RAMS[i].word_bytes; ++k)
            if (strobe(i, k)) return true;
        return false;
    }

    // Random bits, none beyond the word's.
    void fill(const RamPort& port, uint8_t* word) {
        memories_.scramble(word, port.word_bytes);
        trim(port, word);
    }
    static void trim(const RamPort& port, uint8_t* word) {
        if (port.word_bits % 8 != 0) word[port.word_bytes - 1] &= uint8_t((1u << (port.word_bits % 8)) - 1);
    }

    void put(size_t i) {
        std::memcpy(bytes_of(dut_->ram_rdata) + RAMS[i].offset, states_[i].stages.back().data(), RAMS[i].word_bytes);
    }

    std::string place(const RamPort& port, uint64_t address) const {
        return "address " + hex(address) + " of " + port.memory_name;
    }

    bool write(size_t i) {
        if (!writes(i)) return false;
        const RamPort& port = RAMS[i];
        const uint64_t at = address(i);
        const Memories::Cell cell =
            at % port.unit == 0 ? memories_.find(port.memory, at / port.unit) : Memories::Cell{};
        if (cell.bytes == nullptr)
            shared_.fault(at % port.unit == 0 ? "write outside every region" : "address is no multiple of a word",
                          port.name, place(port, at));
        else if (!cell.all(Memories::WRITABLE))
            shared_.fault(shared_.running ? "write into what is only read" : "write without a job", port.name,
                          place(port, at));
        else push({i, at / port.unit, cell});
        return true;
    }

    // A write of this cycle. What is left of two of the same bits differs from RAM to RAM.
    void push(const Write& write) {
        for (const Write& other : writes_) {
            if (other.at.bytes != write.at.bytes) continue;
            for (size_t k = 0; k < write.at.count; ++k) {
                if (!strobe(write.port, k) || !strobe(other.port, k)) continue;
                const RamPort& port = RAMS[write.port];
                shared_.fault("two writes of a word in one cycle", port.name,
                              place(port, write.cell * port.unit) + ", with " + RAMS[other.port].name);
                break;
            }
        }
        writes_.push_back(write);
    }

    void store(const Write& write) {
        const uint8_t* data = bytes_of(dut_->ram_wdata) + RAMS[write.port].offset;
        for (size_t k = 0; k < RAMS[write.port].word_bytes; ++k) {
            if (!strobe(write.port, k)) continue;
            write.at.bytes[k] = data[k];
            write.at.states[k] |= Memories::HELD | Memories::WRITTEN;
        }
        *write.at.cycle = dut_.cycle();
    }

    bool read(size_t i) {
        const RamPort& port = RAMS[i];
        const uint64_t at = address(i);
        const bool moved = at != states_[i].address;
        states_[i].address = at;
        if (!port.reads || !enabled(i)) return false;
        if (port.latency == 0) {
            look_up(port, at, true);
        } else if (writes(i)) {
            // What a RAM shows of a word that it is writing differs from RAM to RAM.
            next_[i].resize(port.word_bytes);
            fill(port, next_[i].data());
        } else {
            next_[i] = look_up(port, at, true);
        }
        return moved || port.has_enable;
    }

    // A word as it is read, random where nothing is; `tell` where nothing is.
    std::vector<uint8_t> look_up(const RamPort& port, uint64_t address, bool tell) {
        std::vector<uint8_t> word(port.word_bytes);
        fill(port, word.data());
        const bool whole = address % port.unit == 0;
        const uint64_t number = address / port.unit;
        const Memories::Cell cell = whole ? memories_.find(port.memory, number) : Memories::Cell{};
        const bool held = cell.bytes != nullptr && cell.all(Memories::HELD);
        // What is read of a word while another port writes it differs from RAM to RAM.
        const bool collides = std::any_of(writes_.begin(), writes_.end(), [&](const Write& write) {
            return RAMS[write.port].memory == port.memory && write.cell == number;
        });
        if (held && !collides) {
            std::memcpy(word.data(), cell.bytes, port.word_bytes);
            trim(port, word.data());
        }
        if (held || !tell) return word;
        const char* kind = !whole                  ? "address is no multiple of a word"
                           : cell.bytes == nullptr ? "read outside every region"
                                                   : "read of a word that nothing was written to";
        if (port.checked) shared_.fault(kind, port.name, place(port, address));
        else shared_.note_odd_read(kind, port.name, place(port, address));
        return word;
    }

    Shared& shared_;
    Design& dut_;
    Memories& memories_;
    std::vector<State> states_;
    std::vector<Write> writes_;               // of this cycle
    std::vector<std::vector<uint8_t>> next_;  // read in this cycle; empty: nothing
};

}  // namespace cosim

#endif
