`default_nettype none

// The memory side of the SIMD accelerator: registers, control, the AXI4 master, and the loader that feeds the core.
//
//   AXI4-Lite -> simd_registers <-> simd_control
//   AXI4 reads:  two axi_reader -> axi_read_arbiter -> AR;  R -> FIFO -> simd_loader -> rings (ID 0: parameters)
//                                                           R -> image buffer (ID 1: images)
//   AXI4 writes: results -> axi_writer
//
// Order of reads: the first burst of the parameters, the first image, the rest of the parameters; later an image goes
// before parameters. Without `keep` the parameters are read once for every image, as far ahead as there is room. An
// image is read once the one before has been released. RREADY and BREADY are always high: nothing is asked for that has
// no place. The first ARVALID comes three cycles after the one in which the start was accepted.
//
// What comes in cycle n is written in n + 1 if it is an image's, and in n + 3 at the earliest if it is a parameter.
//
// Parameters: see simd_resmlp.
module simd_memory #(
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
    // Towards the core; see simd_core.
    output wire                 core_rst,
    output wire                 keep,
    output wire [31:0]          image_count,
    output wire                 layer_valid,
    input  wire                 layer_ready,
    output wire [127:0]         layer_data,
    output wire [15:0]          chunks_loaded,
    output wire [15:0]          groups_loaded,
    output wire [15:0]          image_words_loaded,
    input  wire                 image_release,
    output wire [127:0]         parameter_data,
    output wire                 weight_write,
    output wire [15:0]          weight_write_address,
    output wire                 bias_write,
    output wire                 shift_write,
    output wire [15:0]          chunk_write_address,
    output wire [8:0]           constant_write,
    output wire [15:0]          constant_write_address,
    output wire                 table_write,
    output wire [15:0]          table_write_address,
    output wire                 image_write,
    output wire [15:0]          image_write_address,
    output wire [127:0]         image_write_data,
    input  wire                 free_chunk,
    input  wire [15:0]          free_weight_words,
    input  wire                 free_group,
    input  wire [15:0]          free_table_words,
    input  wire                 result_valid,
    input  wire [127:0]         result_data,
    output wire                 result_ready
);

  generate
    if (FIFO_WORDS < 1 || FIFO_WORDS > 32768 || (FIFO_WORDS & (FIFO_WORDS - 1)) != 0) begin : illegal_fifo_words
      illegal_parameter_FIFO_WORDS_is_not_a_power_of_two_up_to_32768 stop ();
    end
  endgenerate

  // ---- Registers and control ----

  wire start;
  wire start_keep;
  wire stop;
  wire clear_done;
  wire clear_error;
  wire [63:0] param_address;
  wire [31:0] param_words;
  wire [63:0] image_address;
  wire [31:0] image_words;
  wire [31:0] image_stride;
  wire [63:0] result_address;
  wire [31:0] result_words;
  wire [31:0] result_stride;
  wire begin_run;
  wire running;
  wire checked;
  wire busy;
  wire done;
  wire error;
  wire [7:0] error_code;
  wire [15:0] error_layer;
  wire [63:0] cycles;
  wire [31:0] images_done;
  wire loader_error;
  wire [7:0] loader_code;
  wire [15:0] loader_layer;
  wire read_error;
  wire read_broken;
  wire reads_idle;
  wire write_error;
  wire writes_idle;

  reg rvalid_reg;  // a beat of read data came

  simd_registers #(
      .ACTIVATION_WORDS(ACTIVATION_WORDS),
      .IMAGE_WORDS(IMAGE_WORDS),
      .RESIDUAL_WORDS(RESIDUAL_WORDS),
      .WEIGHT_WORDS(WEIGHT_WORDS),
      .TABLE_WORDS(TABLE_WORDS),
      .CONSTANT_GROUPS(CONSTANT_GROUPS),
      .CHUNKS(CHUNKS),
      .LAYERS(LAYERS),
      .ACC_W(ACC_W)
  ) registers (
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
      .irq(irq),
      .start(start),
      .start_keep(start_keep),
      .stop(stop),
      .clear_done(clear_done),
      .clear_error(clear_error),
      .keep(keep),
      .param_address(param_address),
      .param_words(param_words),
      .image_count(image_count),
      .image_address(image_address),
      .image_words(image_words),
      .image_stride(image_stride),
      .result_address(result_address),
      .result_words(result_words),
      .result_stride(result_stride),
      .busy(busy),
      .done(done),
      .error(error),
      .error_code(error_code),
      .error_layer(error_layer),
      .cycles(cycles),
      .images_done(images_done)
  );

  simd_control #(
      .ADDRESS_W(ADDRESS_W)
  ) control (
      .clk(clk),
      .rst(rst),
      .start(start),
      .stop(stop),
      .clear_done(clear_done),
      .clear_error(clear_error),
      .param_address(param_address),
      .param_words(param_words),
      .image_count(image_count),
      .image_address(image_address),
      .image_words(image_words),
      .image_stride(image_stride),
      .result_address(result_address),
      .result_words(result_words),
      .result_stride(result_stride),
      .begin_run(begin_run),
      .running(running),
      .core_rst(core_rst),
      .checked(checked),
      .busy(busy),
      .done(done),
      .error(error),
      .error_code(error_code),
      .error_layer(error_layer),
      .cycles(cycles),
      .images_done(images_done),
      .loader_error(loader_error),
      .loader_code(loader_code),
      .loader_layer(loader_layer),
      .read_error(read_error),
      .read_broken(read_broken),
      .read_beat(rvalid_reg),
      .address_idle(!m_axi_arvalid),
      .reads_idle(reads_idle),
      .write_error(write_error),
      .writes_idle(writes_idle)
  );

  // ---- Reads ----

  wire parameter_burst_valid;
  wire parameter_burst_ready;
  wire [ADDRESS_W-5:0] parameter_burst_address;
  wire [7:0] parameter_burst_length;
  wire parameter_range_end;
  wire parameter_freed;
  wire parameter_asked;
  wire parameter_end;
  wire parameters_idle;
  wire image_burst_valid;
  wire image_burst_ready;
  wire [ADDRESS_W-5:0] image_burst_address;
  wire [7:0] image_burst_length;
  wire image_range_end;
  wire image_asked;
  wire image_end;
  wire images_idle;

  reg image_id_reg;
  reg [127:0] rdata_reg;
  reg rerror_reg;
  reg rlast_reg;
  reg image_free_reg;  // the image buffer may take the next image
  reg first_image_reg;  // which is the first

  wire parameter_beat = rvalid_reg && !image_id_reg;
  wire image_beat = rvalid_reg && image_id_reg;
  wire asked = image_id_reg ? image_asked : parameter_asked;

  assign read_error  = rvalid_reg && rerror_reg;
  assign read_broken = rvalid_reg && (!asked || rlast_reg != (image_id_reg ? image_end : parameter_end));
  assign reads_idle  = parameters_idle && images_idle;

  always @(posedge clk) begin
    rvalid_reg <= m_axi_rvalid;  // not reset: without a run, with nothing owed, a beat is not looked at
    image_id_reg <= m_axi_rid[0];
    rdata_reg <= m_axi_rdata;
    rerror_reg <= m_axi_rresp != 2'd0;
    rlast_reg <= m_axi_rlast;
  end

  axi_reader #(
      .ADDRESS_W(ADDRESS_W),
      .BURST(BURST),
      .CREDITS(FIFO_WORDS)
  ) parameter_reader (
      .clk(clk),
      .rst(rst),
      .start(begin_run),
      .address(param_address[ADDRESS_W-1:4]),
      .words(param_words),
      .stride(28'd0),
      .ranges(start_keep ? 32'd1 : image_count),
      .enable(running),
      .range_allowed(1'b1),
      .burst_valid(parameter_burst_valid),
      .burst_ready(parameter_burst_ready),
      .burst_address(parameter_burst_address),
      .burst_length(parameter_burst_length),
      .range_end(parameter_range_end),
      .freed(parameter_freed),
      .beat(parameter_beat),
      .beat_asked(parameter_asked),
      .beat_end(parameter_end),
      .idle(parameters_idle)
  );

  axi_reader #(
      .ADDRESS_W(ADDRESS_W),
      .BURST(BURST),
      .CREDITS(FIFO_WORDS)
  ) image_reader (
      .clk(clk),
      .rst(rst),
      .start(begin_run),
      .address(image_address[ADDRESS_W-1:4]),
      .words(image_words),
      .stride(image_stride[31:4]),
      .ranges(image_count),
      .enable(running),
      .range_allowed(image_free_reg && (first_image_reg || checked)),
      .burst_valid(image_burst_valid),
      .burst_ready(image_burst_ready),
      .burst_address(image_burst_address),
      .burst_length(image_burst_length),
      .range_end(image_range_end),
      .freed(image_beat),
      .beat(image_beat),
      .beat_asked(image_asked),
      .beat_end(image_end),
      .idle(images_idle)
  );

  axi_read_arbiter #(
      .ADDRESS_W(ADDRESS_W)
  ) arbiter (
      .clk(clk),
      .rst(rst),
      .start(begin_run),
      .parameter_valid(parameter_burst_valid),
      .parameter_ready(parameter_burst_ready),
      .parameter_address(parameter_burst_address),
      .parameter_length(parameter_burst_length),
      .image_valid(image_burst_valid),
      .image_ready(image_burst_ready),
      .image_address(image_burst_address),
      .image_length(image_burst_length),
      .m_axi_arid(m_axi_arid),
      .m_axi_araddr(m_axi_araddr),
      .m_axi_arlen(m_axi_arlen),
      .m_axi_arvalid(m_axi_arvalid),
      .m_axi_arready(m_axi_arready)
  );

  // ---- Images ----

  reg [15:0] image_loaded_reg;

  always @(posedge clk) begin
    if (core_rst || image_release) image_loaded_reg <= 16'd0;
    else if (image_write) image_loaded_reg <= image_loaded_reg + 16'd1;

    if (core_rst || image_release) image_free_reg <= 1'b1;
    else if (image_burst_valid && image_burst_ready && image_range_end) image_free_reg <= 1'b0;

    // Not set anew, a second run would read its first image up to 32 cycles later: once its ranges are checked.
    if (core_rst) first_image_reg <= 1'b1;
    else if (image_release) first_image_reg <= 1'b0;
  end

  assign image_write = image_beat && image_asked && running;
  assign image_write_address = image_loaded_reg;
  assign image_write_data = rdata_reg;
  assign image_words_loaded = image_loaded_reg;

  // ---- Parameters ----

  wire word_valid;
  wire word_ready;
  wire [127:0] word_data;
  wire has_room;  // always: there is a credit for every word
  wire unused = &{1'b0, has_room, parameter_range_end, m_axi_bid};

  assign parameter_freed = word_valid && word_ready;

  axis_fifo #(
      .DEPTH(FIFO_WORDS),
      .DATA_W(128)
  ) landing (
      .clk(clk),
      .rst(core_rst),
      .s_axis_tdata(rdata_reg),
      .s_axis_tvalid(parameter_beat && parameter_asked),
      .s_axis_tready(has_room),
      .m_axis_tdata(word_data),
      .m_axis_tvalid(word_valid),
      .m_axis_tready(word_ready)
  );

  simd_loader #(
      .ACTIVATION_WORDS(ACTIVATION_WORDS),
      .IMAGE_WORDS(IMAGE_WORDS),
      .RESIDUAL_WORDS(RESIDUAL_WORDS),
      .WEIGHT_WORDS(WEIGHT_WORDS),
      .TABLE_WORDS(TABLE_WORDS),
      .CONSTANT_GROUPS(CONSTANT_GROUPS),
      .CHUNKS(CHUNKS),
      .LAYERS(LAYERS),
      .ACC_W(ACC_W)
  ) loader (
      .clk(clk),
      .rst(core_rst),
      .keep(keep),
      .param_words(param_words),
      .image_words(image_words),
      .result_words(result_words),
      .word_valid(word_valid),
      .word_ready(word_ready),
      .word_data(word_data),
      .layer_valid(layer_valid),
      .layer_ready(layer_ready),
      .layer_data(layer_data),
      .chunks_loaded(chunks_loaded),
      .groups_loaded(groups_loaded),
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
      .free_chunk(free_chunk),
      .free_weight_words(free_weight_words),
      .free_group(free_group),
      .free_table_words(free_table_words),
      .error_valid(loader_error),
      .error_code(loader_code),
      .error_layer(loader_layer)
  );

  // ---- Results ----

  axi_writer #(
      .ADDRESS_W(ADDRESS_W)
  ) writer (
      .clk(clk),
      .rst(rst),
      .flush(core_rst),
      .start(start),
      .address(result_address[ADDRESS_W-1:4]),
      .words(result_words),
      .stride(result_stride[31:4]),
      .enable(running),
      .result_valid(result_valid),
      .result_data(result_data),
      .result_ready(result_ready),
      .m_axi_awaddr(m_axi_awaddr),
      .m_axi_awvalid(m_axi_awvalid),
      .m_axi_awready(m_axi_awready),
      .m_axi_wdata(m_axi_wdata),
      .m_axi_wvalid(m_axi_wvalid),
      .m_axi_wready(m_axi_wready),
      .m_axi_bresp(m_axi_bresp),
      .m_axi_bvalid(m_axi_bvalid),
      .m_axi_bready(m_axi_bready),
      .images_done(images_done),
      .response_error(write_error),
      .idle(writes_idle)
  );

  // ---- What never changes: INCR bursts of whole words, normal non-cacheable bufferable memory ----

  assign m_axi_rready = 1'b1;
  assign m_axi_arsize = 3'd4;
  assign m_axi_arburst = 2'b01;
  assign m_axi_arlock = 1'b0;
  assign m_axi_arcache = 4'b0011;
  assign m_axi_arprot = 3'b000;
  assign m_axi_awid = 1'b0;
  assign m_axi_awlen = 8'd0;
  assign m_axi_awsize = 3'd4;
  assign m_axi_awburst = 2'b01;
  assign m_axi_awlock = 1'b0;
  assign m_axi_awcache = 4'b0011;
  assign m_axi_awprot = 3'b000;
  assign m_axi_wstrb = 16'hFFFF;
  assign m_axi_wlast = 1'b1;

endmodule

`default_nettype wire
