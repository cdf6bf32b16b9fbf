`default_nettype none

// Fixed-size SIMD accelerator: any quantised ResMLP that its buffers hold, from memory. Started through AXI4-Lite
// registers it reads layer descriptors, parameters and images as an AXI4 master, and writes the class scores back.
// Registers, memory image and error codes: docs/memory-image.md. How it works, and timing: docs/simd.md.
//
// Monitors, for verification; leave them open in a product. Stage s shows a word of 16 channels at mon_data[128*s +: 128]
// while mon_valid[s]: 0 linear, 1 affine, 2 add, 3 res_affine, 4 next (affine_1, psa or relu), 5 pool; in each image
// the layers in order that have the stage, in each the groups of 16 channels, in each the tokens. mon_step is high while
// the multipliers are fed, mon_layer says with what, and mon_wait what they wait for: 0 nothing, 1 parameters, 2 image,
// 3 results of the layer before, 4 room for results.
//
// Parameters (all but ADDRESS_W and ACC_W powers of two; a word is 128 bits)
//   ADDRESS_W         width of the AXI addresses, bits, 32 to 64
//   ACTIVATION_WORDS  words of each of the two activation buffers, up to 16384: see simd_sequencer
//   IMAGE_WORDS       words of the image buffer, up to 32768, as all sizes below
//   RESIDUAL_WORDS    words of the residual buffer
//   WEIGHT_WORDS      words of the ring of weights, 16 or more
//   TABLE_WORDS       words of the ring of tables, one point of 16 channels each, 4 or more
//   CONSTANT_GROUPS   groups of 16 channels whose constants the ring holds
//   CHUNKS            chunks (biases and shifts of 16 outputs) that the ring holds
//   LAYERS            layers whose descriptors are kept with `keep`, 2 or more
//   ACC_W             accumulator width, bits, 20 to 32: 16 + log2 of the most inputs of a product
//   BURST             longest burst, beats, up to 256
//   FIFO_WORDS        words of the FIFO that parameters land in, BURST or more
module simd_resmlp #(
    parameter ADDRESS_W = 64,
    parameter ACTIVATION_WORDS = 2048,
    parameter IMAGE_WORDS = 512,
    parameter RESIDUAL_WORDS = 1024,
    parameter WEIGHT_WORDS = 8192,
    parameter TABLE_WORDS = 4096,
    parameter CONSTANT_GROUPS = 128,
    parameter CHUNKS = 128,
    parameter LAYERS = 32,
    parameter ACC_W = 26,
    parameter BURST = 64,
    parameter FIFO_WORDS = 256
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [7:0]           s_axil_awaddr,
    input  wire [2:0]           s_axil_awprot,
    input  wire                 s_axil_awvalid,
    output wire                 s_axil_awready,
    input  wire [31:0]          s_axil_wdata,
    input  wire [3:0]           s_axil_wstrb,
    input  wire                 s_axil_wvalid,
    output wire                 s_axil_wready,
    output wire [1:0]           s_axil_bresp,
    output wire                 s_axil_bvalid,
    input  wire                 s_axil_bready,
    input  wire [7:0]           s_axil_araddr,
    input  wire [2:0]           s_axil_arprot,
    input  wire                 s_axil_arvalid,
    output wire                 s_axil_arready,
    output wire [31:0]          s_axil_rdata,
    output wire [1:0]           s_axil_rresp,
    output wire                 s_axil_rvalid,
    input  wire                 s_axil_rready,
    output wire [0:0]           m_axi_awid,
    output wire [ADDRESS_W-1:0] m_axi_awaddr,
    output wire [7:0]           m_axi_awlen,
    output wire [2:0]           m_axi_awsize,
    output wire [1:0]           m_axi_awburst,
    output wire                 m_axi_awlock,
    output wire [3:0]           m_axi_awcache,
    output wire [2:0]           m_axi_awprot,
    output wire                 m_axi_awvalid,
    input  wire                 m_axi_awready,
    output wire [127:0]         m_axi_wdata,
    output wire [15:0]          m_axi_wstrb,
    output wire                 m_axi_wlast,
    output wire                 m_axi_wvalid,
    input  wire                 m_axi_wready,
    input  wire [0:0]           m_axi_bid,
    input  wire [1:0]           m_axi_bresp,
    input  wire                 m_axi_bvalid,
    output wire                 m_axi_bready,
    output wire [0:0]           m_axi_arid,
    output wire [ADDRESS_W-1:0] m_axi_araddr,
    output wire [7:0]           m_axi_arlen,
    output wire [2:0]           m_axi_arsize,
    output wire [1:0]           m_axi_arburst,
    output wire                 m_axi_arlock,
    output wire [3:0]           m_axi_arcache,
    output wire [2:0]           m_axi_arprot,
    output wire                 m_axi_arvalid,
    input  wire                 m_axi_arready,
    input  wire [0:0]           m_axi_rid,
    input  wire [127:0]         m_axi_rdata,
    input  wire [1:0]           m_axi_rresp,
    input  wire                 m_axi_rlast,
    input  wire                 m_axi_rvalid,
    output wire                 m_axi_rready,
    output wire                 irq,
    output wire [5:0]           mon_valid,
    output wire [767:0]         mon_data,
    output wire                 mon_step,
    output wire [15:0]          mon_layer,
    output wire [2:0]           mon_wait
);

  // Between the memory side and the core.
  wire core_rst;
  wire keep;
  wire [31:0] image_count;
  wire layer_valid;
  wire layer_ready;
  wire [127:0] layer_data;
  wire [15:0] chunks_loaded;
  wire [15:0] groups_loaded;
  wire [15:0] image_words_loaded;
  wire image_release;
  wire [127:0] parameter_data;
  wire weight_write;
  wire [15:0] weight_write_address;
  wire bias_write;
  wire shift_write;
  wire [15:0] chunk_write_address;
  wire [8:0] constant_write;
  wire [15:0] constant_write_address;
  wire table_write;
  wire [15:0] table_write_address;
  wire image_write;
  wire [15:0] image_write_address;
  wire [127:0] image_write_data;
  wire free_chunk;
  wire [15:0] free_weight_words;
  wire free_group;
  wire [15:0] free_table_words;
  wire result_valid;
  wire [127:0] result_data;
  wire result_ready;

  simd_memory #(
      .ADDRESS_W(ADDRESS_W),
      .ACTIVATION_WORDS(ACTIVATION_WORDS),
      .IMAGE_WORDS(IMAGE_WORDS),
      .RESIDUAL_WORDS(RESIDUAL_WORDS),
      .WEIGHT_WORDS(WEIGHT_WORDS),
      .TABLE_WORDS(TABLE_WORDS),
      .CONSTANT_GROUPS(CONSTANT_GROUPS),
      .CHUNKS(CHUNKS),
      .LAYERS(LAYERS),
      .ACC_W(ACC_W),
      .BURST(BURST),
      .FIFO_WORDS(FIFO_WORDS)
  ) memory (
      .clk(clk),
      .rst(rst),
      .s_axil_awaddr(s_axil_awaddr),
      .s_axil_awprot(s_axil_awprot),
      .s_axil_awvalid(s_axil_awvalid),
      .s_axil_awready(s_axil_awready),
      .s_axil_wdata(s_axil_wdata),
      .s_axil_wstrb(s_axil_wstrb),
      .s_axil_wvalid(s_axil_wvalid),
      .s_axil_wready(s_axil_wready),
      .s_axil_bresp(s_axil_bresp),
      .s_axil_bvalid(s_axil_bvalid),
      .s_axil_bready(s_axil_bready),
      .s_axil_araddr(s_axil_araddr),
      .s_axil_arprot(s_axil_arprot),
      .s_axil_arvalid(s_axil_arvalid),
      .s_axil_arready(s_axil_arready),
      .s_axil_rdata(s_axil_rdata),
      .s_axil_rresp(s_axil_rresp),
      .s_axil_rvalid(s_axil_rvalid),
      .s_axil_rready(s_axil_rready),
      .m_axi_awid(m_axi_awid),
      .m_axi_awaddr(m_axi_awaddr),
      .m_axi_awlen(m_axi_awlen),
      .m_axi_awsize(m_axi_awsize),
      .m_axi_awburst(m_axi_awburst),
      .m_axi_awlock(m_axi_awlock),
      .m_axi_awcache(m_axi_awcache),
      .m_axi_awprot(m_axi_awprot),
      .m_axi_awvalid(m_axi_awvalid),
      .m_axi_awready(m_axi_awready),
      .m_axi_wdata(m_axi_wdata),
      .m_axi_wstrb(m_axi_wstrb),
      .m_axi_wlast(m_axi_wlast),
      .m_axi_wvalid(m_axi_wvalid),
      .m_axi_wready(m_axi_wready),
      .m_axi_bid(m_axi_bid),
      .m_axi_bresp(m_axi_bresp),
      .m_axi_bvalid(m_axi_bvalid),
      .m_axi_bready(m_axi_bready),
      .m_axi_arid(m_axi_arid),
      .m_axi_araddr(m_axi_araddr),
      .m_axi_arlen(m_axi_arlen),
      .m_axi_arsize(m_axi_arsize),
      .m_axi_arburst(m_axi_arburst),
      .m_axi_arlock(m_axi_arlock),
      .m_axi_arcache(m_axi_arcache),
      .m_axi_arprot(m_axi_arprot),
      .m_axi_arvalid(m_axi_arvalid),
      .m_axi_arready(m_axi_arready),
      .m_axi_rid(m_axi_rid),
      .m_axi_rdata(m_axi_rdata),
      .m_axi_rresp(m_axi_rresp),
      .m_axi_rlast(m_axi_rlast),
      .m_axi_rvalid(m_axi_rvalid),
      .m_axi_rready(m_axi_rready),
      .irq(irq),
      .core_rst(core_rst),
      .keep(keep),
      .image_count(image_count),
      .layer_valid(layer_valid),
      .layer_ready(layer_ready),
      .layer_data(layer_data),
      .chunks_loaded(chunks_loaded),
      .groups_loaded(groups_loaded),
      .image_words_loaded(image_words_loaded),
      .image_release(image_release),
      .parameter_data(parameter_data),
      .weight_write(weight_write),
      .weight_write_address(weight_write_address),
      .bias_write(bias_write),
      .shift_write(shift_write),
      .chunk_write_address(chunk_write_address),
      .constant_write(constant_write),
      .constant_write_address(constant_write_address),
      .table_write(table_write),
      .table_write_address(table_write_address),
      .image_write(image_write),
      .image_write_address(image_write_address),
      .image_write_data(image_write_data),
      .free_chunk(free_chunk),
      .free_weight_words(free_weight_words),
      .free_group(free_group),
      .free_table_words(free_table_words),
      .result_valid(result_valid),
      .result_data(result_data),
      .result_ready(result_ready)
  );

  simd_core #(
      .ACTIVATION_WORDS(ACTIVATION_WORDS),
      .IMAGE_WORDS(IMAGE_WORDS),
      .RESIDUAL_WORDS(RESIDUAL_WORDS),
      .WEIGHT_WORDS(WEIGHT_WORDS),
      .TABLE_WORDS(TABLE_WORDS),
      .CONSTANT_GROUPS(CONSTANT_GROUPS),
      .CHUNKS(CHUNKS),
      .LAYERS(LAYERS),
      .ACC_W(ACC_W)
  ) core (
      .clk(clk),
      .rst(core_rst),
      .keep(keep),
      .image_count(image_count),
      .layer_valid(layer_valid),
      .layer_ready(layer_ready),
      .layer_data(layer_data),
      .chunks_loaded(chunks_loaded),
      .groups_loaded(groups_loaded),
      .image_words_loaded(image_words_loaded),
      .image_release(image_release),
      .parameter_data(parameter_data),
      .weight_write(weight_write),
      .weight_write_address(weight_write_address),
      .bias_write(bias_write),
      .shift_write(shift_write),
      .chunk_write_address(chunk_write_address),
      .constant_write(constant_write),
      .constant_write_address(constant_write_address),
      .table_write(table_write),
      .table_write_address(table_write_address),
      .image_write(image_write),
      .image_write_address(image_write_address),
      .image_write_data(image_write_data),
      .free_chunk(free_chunk),
      .free_weight_words(free_weight_words),
      .free_group(free_group),
      .free_table_words(free_table_words),
      .result_valid(result_valid),
      .result_data(result_data),
      .result_ready(result_ready),
      .mon_valid(mon_valid),
      .mon_data(mon_data),
      .mon_step(mon_step),
      .mon_layer(mon_layer),
      .mon_wait(mon_wait)
  );

endmodule

`default_nettype wire
