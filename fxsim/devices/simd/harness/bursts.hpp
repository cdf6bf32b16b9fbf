// The accelerator's ports as the memory sees them, and where a burst lies in memory.

#ifndef FXSIM_SIMD_BURSTS_HPP
#define FXSIM_SIMD_BURSTS_HPP

#include "shared.hpp"

namespace cosim {

// An array of the job's, and the first word of a burst in it.
struct Array {
    uint64_t base, stride, words;  // `words` an image, the images `stride` bytes apart
};
struct Place {
    uint64_t image = 0, word = 0;
};

// Whether a run of `beats` words from `address` lies in the array of `count` images, and where it begins.
inline bool locate(const Array& array, uint64_t count, uint64_t address, unsigned beats, Place& at) {
    if (address < array.base) return false;
    at.image = (address - array.base) / array.stride;
    at.word = (address - array.base) % array.stride / WORD;
    const bool dense = array.stride == array.words * WORD;
    const uint64_t end = dense ? (at.word + beats + array.words - 1) / array.words : 1;
    return at.word < array.words && (dense || at.word + beats <= array.words) && at.image + end <= count;
}

class ReadPort {
  public:
    explicit ReadPort(Design& dut) : dut_(dut) {}
    static constexpr size_t bytes() { return WORD; }
    static constexpr const char* address_name() { return "m_axi_ar"; }

    bool valid() const { return dut_->m_axi_arvalid; }
    bool ready() const { return dut_->m_axi_arready; }
    void set_ready(bool ready) { dut_->m_axi_arready = ready; }
    Request request() const {
        return {dut_->m_axi_arid,    dut_->m_axi_araddr,  unsigned(dut_->m_axi_arlen) + 1,
                dut_->m_axi_arsize,  dut_->m_axi_arburst, dut_->m_axi_arlock,
                dut_->m_axi_arcache, dut_->m_axi_arprot};
    }

    uint8_t* data() { return reinterpret_cast<uint8_t*>(&dut_->m_axi_rdata); }
    bool data_ready() const { return dut_->m_axi_rready; }
    void give(uint64_t id, unsigned response, bool last) {
        dut_->m_axi_rvalid = 1;
        dut_->m_axi_rid = uint8_t(id);
        dut_->m_axi_rresp = uint8_t(response);
        dut_->m_axi_rlast = last;
    }
    // What no design may look at.
    void rest() {
        dut_->m_axi_rvalid = 0;
        std::memset(&dut_->m_axi_rdata, 0xa5, WORD * LANES);
        dut_->m_axi_rid = 1;
        dut_->m_axi_rresp = 3;
        dut_->m_axi_rlast = 1;
    }

  private:
    Design& dut_;
};

class WritePort {
  public:
    using Beat = WriteBeat<WORD * LANES>;  // of which each word has its strobes once

    explicit WritePort(Design& dut) : dut_(dut) {}
    static constexpr size_t bytes() { return WORD; }
    static constexpr const char* address_name() { return "m_axi_aw"; }
    static constexpr const char* data_name() { return "m_axi_w"; }

    bool valid() const { return dut_->m_axi_awvalid; }
    bool ready() const { return dut_->m_axi_awready; }
    void set_ready(bool ready) { dut_->m_axi_awready = ready; }
    Request request() const {
        return {dut_->m_axi_awid,    dut_->m_axi_awaddr,  unsigned(dut_->m_axi_awlen) + 1,
                dut_->m_axi_awsize,  dut_->m_axi_awburst, dut_->m_axi_awlock,
                dut_->m_axi_awcache, dut_->m_axi_awprot};
    }

    bool data_valid() const { return dut_->m_axi_wvalid; }
    bool data_ready() const { return dut_->m_axi_wready; }
    void set_data_ready(bool ready) { dut_->m_axi_wready = ready; }
    Beat beat() const {
        Beat beat{};
        take_word(dut_->m_axi_wdata, 0, beat.data.data());
        std::memcpy(beat.strobes.data(), &dut_->m_axi_wstrb, WORD / 8);
        beat.last = dut_->m_axi_wlast;
        return beat;
    }

    bool answer_ready() const { return dut_->m_axi_bready; }
    void answer(uint64_t id, unsigned response) {
        dut_->m_axi_bvalid = 1;
        dut_->m_axi_bid = uint8_t(id);
        dut_->m_axi_bresp = uint8_t(response);
    }
    // What no design may look at.
    void rest() {
        dut_->m_axi_bvalid = 0;
        dut_->m_axi_bid = 1;
        dut_->m_axi_bresp = 3;
    }

  private:
    Design& dut_;
};

}  // namespace cosim

#endif
