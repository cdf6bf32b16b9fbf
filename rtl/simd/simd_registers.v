`default_nettype none

// The accelerator's registers: an AXI4-Lite subordinate. Offsets, bits and access rules: docs/memory-image.md.
//
// A write takes effect in the cycle after the one in which both its address and its data have been accepted; the
// earliest answer is one cycle later. A write every two cycles, a read every two. SLVERR, without any effect: an offset
// that is no register's or no multiple of 4, wstrb other than 1111, a read-only register, and while `busy` a
// configuration register or `start`; always `start` and `stop` in one write, of which one would be lost.
//
// `start`, `stop`, `clear_done` and `clear_error` are high in the cycle of the write, in which `keep` is still the old
// one: `start_keep` is the one that comes with it. The configuration stands at its outputs one cycle after a write.
//
// Parameters: sizes that the registers from 0x50 report; see simd_resmlp.
module simd_registers #(
    parameter ACTIVATION_WORDS = 2048,
    parameter IMAGE_WORDS = 512,
    parameter RESIDUAL_WORDS = 1024,
    parameter WEIGHT_WORDS = 8192,
    parameter TABLE_WORDS = 4096,
    parameter CONSTANT_GROUPS = 128,
    parameter CHUNKS = 128,
    parameter LAYERS = 32,
    parameter ACC_W = 26
) (
    input  wire        clk,
    input  wire        rst,
    input  wire [ 7:0] s_axil_awaddr,
    input  wire [ 2:0] s_axil_awprot,
    input  wire        s_axil_awvalid,
    output wire        s_axil_awready,
    input  wire [31:0] s_axil_wdata,
    input  wire [ 3:0] s_axil_wstrb,
    input  wire        s_axil_wvalid,
    output wire        s_axil_wready,
    output wire [ 1:0] s_axil_bresp,
    output wire        s_axil_bvalid,
    input  wire        s_axil_bready,
    input  wire [ 7:0] s_axil_araddr,
    input  wire [ 2:0] s_axil_arprot,
    input  wire        s_axil_arvalid,
    output wire        s_axil_arready,
    output wire [31:0] s_axil_rdata,
    output wire [ 1:0] s_axil_rresp,
    output wire        s_axil_rvalid,
    input  wire        s_axil_rready,
    output wire        irq,
    output wire        start,
    output wire        start_keep,
    output wire        stop,
    output wire        clear_done,
    output wire        clear_error,
    output wire        keep,
    output wire [63:0] param_address,
    output wire [31:0] param_words,
    output wire [31:0] image_count,
    output wire [63:0] image_address,
    output wire [31:0] image_words,
    output wire [31:0] image_stride,
    output wire [63:0] result_address,
    output wire [31:0] result_words,
    output wire [31:0] result_stride,
    input  wire        busy,
    input  wire        done,
    input  wire        error,
    input  wire [ 7:0] error_code,
    input  wire [15:0] error_layer,
    input  wire [63:0] cycles,
    input  wire [31:0] images_done
);

  localparam [31:0] ID = 32'h4658_0001;
  localparam [1:0] OKAY = 2'b00;
  localparam [1:0] SLVERR = 2'b10;

  // Offsets in words.
  localparam [5:0] REG_ID = 6'h00;
  localparam [5:0] REG_CONTROL = 6'h01;
  localparam [5:0] REG_STATUS = 6'h02;
  localparam [5:0] REG_ERROR = 6'h03;
  localparam [5:0] REG_PARAM_ADDR_LO = 6'h04;
  localparam [5:0] REG_PARAM_ADDR_HI = 6'h05;
  localparam [5:0] REG_PARAM_WORDS = 6'h06;
  localparam [5:0] REG_IMAGE_COUNT = 6'h07;
  localparam [5:0] REG_IMAGE_ADDR_LO = 6'h08;
  localparam [5:0] REG_IMAGE_ADDR_HI = 6'h09;
  localparam [5:0] REG_IMAGE_WORDS = 6'h0A;
  localparam [5:0] REG_IMAGE_STRIDE = 6'h0B;
  localparam [5:0] REG_RESULT_ADDR_LO = 6'h0C;
  localparam [5:0] REG_RESULT_ADDR_HI = 6'h0D;
  localparam [5:0] REG_RESULT_WORDS = 6'h0E;
  localparam [5:0] REG_RESULT_STRIDE = 6'h0F;
  localparam [5:0] REG_CYCLES_LO = 6'h10;
  localparam [5:0] REG_CYCLES_HI = 6'h11;
  localparam [5:0] REG_IMAGES_DONE = 6'h12;
  localparam [5:0] REG_ACTIVATION_WORDS = 6'h14;
  localparam [5:0] REG_IMAGE_BUFFER_WORDS = 6'h15;
  localparam [5:0] REG_RESIDUAL_WORDS = 6'h16;
  localparam [5:0] REG_WEIGHT_WORDS = 6'h17;
  localparam [5:0] REG_TABLE_WORDS = 6'h18;
  localparam [5:0] REG_CONSTANT_GROUPS = 6'h19;
  localparam [5:0] REG_CHUNKS = 6'h1A;
  localparam [5:0] REG_LAYERS = 6'h1B;
  localparam [5:0] REG_ACC_W = 6'h1C;

  // Bits.
  localparam CONTROL_START = 0;
  localparam CONTROL_STOP = 1;
  localparam CONTROL_KEEP = 2;
  localparam CONTROL_IRQ_ENABLE = 3;
  localparam STATUS_BUSY = 0;
  localparam STATUS_DONE = 1;
  localparam STATUS_ERROR = 2;
  localparam ERROR_CODE = 0;    // its lowest one
  localparam ERROR_LAYER = 16;  // its lowest one

  // ---- Writes ----

  reg awvalid_reg;
  reg [7:0] awaddr_reg;
  reg wvalid_reg;
  reg [31:0] wdata_reg;
  reg whole_reg;  // all four bytes
  reg bvalid_reg;
  reg bad_write_reg;

  assign s_axil_awready = !awvalid_reg;
  assign s_axil_wready = !wvalid_reg;
  assign s_axil_bvalid = bvalid_reg;
  assign s_axil_bresp = bad_write_reg ? SLVERR : OKAY;

  wire write = awvalid_reg && wvalid_reg && (!bvalid_reg || s_axil_bready);
  wire [5:0] write_word = awaddr_reg[7:2];
  wire to_control = write_word == REG_CONTROL;
  wire to_status = write_word == REG_STATUS;
  wire to_configuration = write_word >= REG_PARAM_ADDR_LO && write_word <= REG_RESULT_STRIDE;
  wire sound = whole_reg && awaddr_reg[1:0] == 2'd0;
  wire no_start = busy || wdata_reg[CONTROL_STOP];
  wire allowed = sound && (to_status || (to_control && !(no_start && wdata_reg[CONTROL_START]))
                           || (to_configuration && !busy));
  wire effect = write && allowed;

  always @(posedge clk) begin
    if (rst) begin
      awvalid_reg <= 1'b0;
      wvalid_reg <= 1'b0;
      bvalid_reg <= 1'b0;
    end else begin
      if (write) awvalid_reg <= 1'b0;
      else if (s_axil_awvalid) awvalid_reg <= 1'b1;
      if (write) wvalid_reg <= 1'b0;
      else if (s_axil_wvalid) wvalid_reg <= 1'b1;
      if (write) bvalid_reg <= 1'b1;
      else if (s_axil_bready) bvalid_reg <= 1'b0;
    end
    if (s_axil_awready) awaddr_reg <= s_axil_awaddr;
    if (s_axil_wready) begin
      wdata_reg <= s_axil_wdata;
      whole_reg <= &s_axil_wstrb;
    end
    if (write) bad_write_reg <= !allowed;
  end

  assign start = effect && to_control && wdata_reg[CONTROL_START];
  assign start_keep = wdata_reg[CONTROL_KEEP];
  assign stop = effect && to_control && wdata_reg[CONTROL_STOP];
  assign clear_done = effect && to_status && wdata_reg[STATUS_DONE];
  assign clear_error = effect && to_status && wdata_reg[STATUS_ERROR];

  reg keep_reg;
  reg irq_enable_reg;
  reg [31:0] param_low_reg;
  reg [31:0] param_high_reg;
  reg [31:0] param_words_reg;
  reg [31:0] image_count_reg;
  reg [31:0] image_low_reg;
  reg [31:0] image_high_reg;
  reg [31:0] image_words_reg;
  reg [31:0] image_stride_reg;
  reg [31:0] result_low_reg;
  reg [31:0] result_high_reg;
  reg [31:0] result_words_reg;
  reg [31:0] result_stride_reg;

  always @(posedge clk) begin
    // All of it has a value that a driver may read before it writes any, and no interrupt is enabled by chance.
    if (rst) begin
      keep_reg <= 1'b0;
      irq_enable_reg <= 1'b0;
      param_low_reg <= 32'd0;
      param_high_reg <= 32'd0;
      param_words_reg <= 32'd0;
      image_count_reg <= 32'd0;
      image_low_reg <= 32'd0;
      image_high_reg <= 32'd0;
      image_words_reg <= 32'd0;
      image_stride_reg <= 32'd0;
      result_low_reg <= 32'd0;
      result_high_reg <= 32'd0;
      result_words_reg <= 32'd0;
      result_stride_reg <= 32'd0;
    end else if (effect) begin
      case (write_word)
        REG_CONTROL: begin
          irq_enable_reg <= wdata_reg[CONTROL_IRQ_ENABLE];
          if (!busy) keep_reg <= wdata_reg[CONTROL_KEEP];
        end
        REG_PARAM_ADDR_LO: param_low_reg <= wdata_reg;
        REG_PARAM_ADDR_HI: param_high_reg <= wdata_reg;
        REG_PARAM_WORDS: param_words_reg <= wdata_reg;
        REG_IMAGE_COUNT: image_count_reg <= wdata_reg;
        REG_IMAGE_ADDR_LO: image_low_reg <= wdata_reg;
        REG_IMAGE_ADDR_HI: image_high_reg <= wdata_reg;
        REG_IMAGE_WORDS: image_words_reg <= wdata_reg;
        REG_IMAGE_STRIDE: image_stride_reg <= wdata_reg;
        REG_RESULT_ADDR_LO: result_low_reg <= wdata_reg;
        REG_RESULT_ADDR_HI: result_high_reg <= wdata_reg;
        REG_RESULT_WORDS: result_words_reg <= wdata_reg;
        REG_RESULT_STRIDE: result_stride_reg <= wdata_reg;
        default: ;  // STATUS: its bits stand in simd_control
      endcase
    end
  end

  assign keep = keep_reg;
  assign param_address = {param_high_reg, param_low_reg};
  assign param_words = param_words_reg;
  assign image_count = image_count_reg;
  assign image_address = {image_high_reg, image_low_reg};
  assign image_words = image_words_reg;
  assign image_stride = image_stride_reg;
  assign result_address = {result_high_reg, result_low_reg};
  assign result_words = result_words_reg;
  assign result_stride = result_stride_reg;
  assign irq = irq_enable_reg && done;

  // ---- Reads ----

  reg rvalid_reg;
  reg [31:0] rdata_reg;
  reg bad_read_reg;
  reg [31:0] value;
  reg mapped;

  assign s_axil_arready = !rvalid_reg;
  assign s_axil_rvalid = rvalid_reg;
  assign s_axil_rdata = rdata_reg;
  assign s_axil_rresp = bad_read_reg ? SLVERR : OKAY;

  always @* begin
    mapped = s_axil_araddr[1:0] == 2'd0;
    case (s_axil_araddr[7:2])
      REG_ID: value = ID;
      REG_CONTROL: begin
        value = 32'd0;
        value[CONTROL_IRQ_ENABLE] = irq_enable_reg;
        value[CONTROL_KEEP] = keep_reg;
      end
      REG_STATUS: begin
        value = 32'd0;
        value[STATUS_ERROR] = error;
        value[STATUS_DONE] = done;
        value[STATUS_BUSY] = busy;
      end
      REG_ERROR: begin
        value = 32'd0;
        value[ERROR_LAYER+:16] = error_layer;
        value[ERROR_CODE+:8] = error_code;
      end
      REG_PARAM_ADDR_LO: value = param_low_reg;
      REG_PARAM_ADDR_HI: value = param_high_reg;
      REG_PARAM_WORDS: value = param_words_reg;
      REG_IMAGE_COUNT: value = image_count_reg;
      REG_IMAGE_ADDR_LO: value = image_low_reg;
      REG_IMAGE_ADDR_HI: value = image_high_reg;
      REG_IMAGE_WORDS: value = image_words_reg;
      REG_IMAGE_STRIDE: value = image_stride_reg;
      REG_RESULT_ADDR_LO: value = result_low_reg;
      REG_RESULT_ADDR_HI: value = result_high_reg;
      REG_RESULT_WORDS: value = result_words_reg;
      REG_RESULT_STRIDE: value = result_stride_reg;
      REG_CYCLES_LO: value = cycles[31:0];
      REG_CYCLES_HI: value = cycles[63:32];
      REG_IMAGES_DONE: value = images_done;
      REG_ACTIVATION_WORDS: value = ACTIVATION_WORDS;
      REG_IMAGE_BUFFER_WORDS: value = IMAGE_WORDS;
      REG_RESIDUAL_WORDS: value = RESIDUAL_WORDS;
      REG_WEIGHT_WORDS: value = WEIGHT_WORDS;
      REG_TABLE_WORDS: value = TABLE_WORDS;
      REG_CONSTANT_GROUPS: value = CONSTANT_GROUPS;
      REG_CHUNKS: value = CHUNKS;
      REG_LAYERS: value = LAYERS;
      REG_ACC_W: value = ACC_W;
      default: begin
        value  = 32'd0;
        mapped = 1'b0;
      end
    endcase
  end

  always @(posedge clk) begin
    if (rst) rvalid_reg <= 1'b0;
    else rvalid_reg <= rvalid_reg ? !s_axil_rready : s_axil_arvalid;
    if (s_axil_arready) begin
      rdata_reg <= mapped ? value : 32'd0;
      bad_read_reg <= !mapped;
    end
  end

  wire unused = &{1'b0, s_axil_awprot, s_axil_arprot};

endmodule

`default_nettype wire
